"""Run by Alembic on the connection that `store.migrations` opened; it has no settings of its own."""

from alembic import context

from store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    user_module_prefix="",
)
with context.begin_transaction():
    context.run_migrations()
