"""The schema's versions: what a database has, what this program needs, and the way from one to the other."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.session import Database

UPGRADE_LOCK = 0x72656C61  # any number no other program on the same PostgreSQL takes


class SchemaOutdated(Exception):
    """The database's schema is not the one this program needs."""


def upgrade(db: Database) -> None:
    """Bring the schema to `head()` in one transaction. Several programs may start it at once."""
    config = _config()
    with db.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current(db: Database) -> str | None:
    """The database's revision; None for an empty database."""
    with db.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision this program needs."""
    return _scripts().get_current_head()


def check_schema(db: Database) -> None:
    """Raises `SchemaOutdated`, with the way out, unless the schema is the one this program needs."""
    found, scripts = current(db), _scripts()
    if found == scripts.get_current_head():
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaOutdated(f"The database {db} was written by a newer Relance ({found}). Install that version.")
    state = "has no tables yet" if found is None else f"is at revision {found}"
    raise SchemaOutdated(f"The database {db} {state}. Run: relance db upgrade")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "store:migrations")
    config.set_main_option("path_separator", "os")
    return config
