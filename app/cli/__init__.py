"""The command `relance`. Commands live in the modules beside this one and import what they need when they run."""

from __future__ import annotations

import os
import sys

import typer

from app.cli import (
    auditing,
    delivering,
    describing,
    files,
    previewing,
    privacy,
    rules,
    running,
    sources,
    storing,
    users,
    webhooks,
)

app = typer.Typer(
    name="relance",
    help="Reminders and next best actions for customer relationships, decided by rules that anyone can read.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the time to start, and the same in a pipe
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="evaluate")(files.evaluate)
app.command(name="simulate")(files.simulate)
app.add_typer(rules.app, name="rules")
app.command(name="import")(storing.import_)
app.add_typer(storing.db, name="db")
app.command(name="demo")(running.demo)
app.command(name="serve")(running.serve)
app.command(name="worker")(running.worker)
app.command(name="doctor")(running.doctor)
app.command(name="preview")(previewing.preview)
app.command(name="send-test")(previewing.send_test)
app.command(name="openapi")(describing.openapi)
app.add_typer(delivering.deliveries, name="deliveries")
app.add_typer(sources.sources, name="sources")
app.add_typer(auditing.audit, name="audit")
app.add_typer(privacy.privacy, name="privacy")
app.add_typer(users.users, name="users")
app.add_typer(users.tokens, name="tokens")
app.add_typer(webhooks.webhooks, name="webhooks")


@app.callback()
def options(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an unexpected error.")) -> None:
    if debug:
        os.environ["RELANCE_DEBUG"] = "1"


def main() -> None:
    """Runs a command. Errors say what happened and what to do; a traceback only with --debug."""
    from app.cli.output import explained

    try:
        app(prog_name="relance")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as failure:
        if os.environ.get("RELANCE_DEBUG"):
            raise
        message, code = explained(failure)
        print(message, file=sys.stderr)
        sys.exit(code)
