"""`relance import` and `relance db`: what goes into the store, and its schema."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, counted, moment, note, print_json, say, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from app.importing import ImportReport

db = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The database and its schema.")


def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A CSV or JSONL file, plain or gzip; - reads standard input.")
    ],
    map_: Annotated[
        str, typer.Option("--map", help="Which column becomes which field: a mapping file, or the name of one of ours.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what would happen.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write every rejected row and warning to this CSV file.")] = None,
    at: Annotated[str | None, typer.Option(help="When it was recorded; now unless given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Records into the store. Importing the same file again changes nothing."""
    from app.importing import DryRun, StoreSink, import_file
    from app.settings import load_settings
    from app.tables import BadFile
    from app.wiring import open_store, utc_now
    from rules.loader import load
    from rules.mapping import UnknownMap, find
    from rules.mapping import load as load_map

    now = moment(at, "--at") if at else utc_now()
    settings = load_settings()
    source = sys.stdin.buffer if file == "-" else Path(file)
    with open_store(settings) as store:
        sink = DryRun(db=store) if dry_run else StoreSink(db=store, now=now, source=f"import {Path(file).name}")
        try:
            mapping = load_map(find(map_), load(settings.rules).model)
            with _progress(file) as progress:
                result = import_file(source, name=file, map_=mapping, sink=sink, report_to=report, progress=progress)
        except (BadFile, UnknownMap) as failure:
            raise CommandError(str(failure)) from None
    if as_json:
        print_json(report_json(result, dry_run=dry_run))
    else:
        print_report(result, dry_run=dry_run, report=report)
    if result.rejected:
        stop(Exit.FINDINGS)


def report_json(result: ImportReport, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "rows": result.rows,
        "rejected": result.rejected,
        "warnings": result.warnings,
        "kinds": result.counted(),
    }


def print_report(result: ImportReport, *, dry_run: bool, report: Path | None = None) -> None:
    for kind, counts in result.counted().items():
        say(f"{kind}: {', '.join(f'{count:,} {outcome}' for outcome, count in counts.items())}")
    would = " (nothing was written: --dry-run)" if dry_run else ""
    found = f"{result.rejected:,} rejected, {counted(result.warnings, 'warning')}"
    say(f"{counted(result.rows, 'row')} read, {found}{would}")
    for severity, findings in result.first.items():
        for finding in findings:
            say(f"  line {finding.line}: {severity}: {finding.reason}")
    shown = sum(len(findings) for findings in result.first.values())
    if report is not None:
        say(f"every one of them is in {report}")
    elif result.rejected + result.warnings > shown:
        note("Add --report FILE.csv to see every one of them.")


@contextmanager
def _progress(file: str) -> Generator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if file == "-" or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    size = Path(file).stat().st_size if Path(file).is_file() else None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"importing {Path(file).name}", total=size)
        yield lambda read: bar.update(task, completed=read)


@db.command()
def upgrade() -> None:
    """Bring the schema to what this version needs.

    Creates the database where there is none.
    """
    from app.settings import load_settings
    from app.wiring import database
    from store import migrations

    with database(load_settings()) as store:
        before = migrations.current(store)
        migrations.upgrade(store)
        after = migrations.current(store)
        say(f"{store}: schema {after}" + (" (unchanged)" if before == after else f", was {before or 'empty'}"))


@db.command()
def current() -> None:
    """Which schema the database has, and which one is needed."""
    from app.settings import load_settings
    from app.wiring import database
    from store import migrations

    with database(load_settings()) as store:
        have, need = migrations.current(store), migrations.head()
        say(f"{store}: schema {have or 'empty'}, needed {need}")
        if have != need:
            note("Run: relance db upgrade")
            stop(Exit.FINDINGS)
