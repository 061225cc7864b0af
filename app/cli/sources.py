"""`relance sources`: foreign databases, how far each was read, and reading one now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, print_json, say, stop

if TYPE_CHECKING:
    from collections.abc import Collection

sources = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The foreign databases that are read.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@sources.command("list")
def list_(as_json: AsJson = False) -> None:
    """The sources of the settings, and how the last reading of each went."""
    from app.settings import load_settings
    from app.wiring import open_store
    from store.sources import progress

    settings = load_settings()
    with open_store(settings) as store:
        known = progress(store)
    rows = [
        {
            "name": name,
            "every": source.every,
            "ran_at": last.ran_at if last else None,
            "rows": last.rows if last else None,
            "rejected": last.rejected if last else None,
            "watermark": last.watermark if last else None,
            "error": last.error if last else None,
        }
        for name, source in settings.sources.items()
        for last in [known.get(name)]
    ]
    if as_json:
        print_json({"sources": rows})
        return
    for row in rows:
        read = f"{row['rows']:,} rows, {row['rejected']:,} rejected" if row["ran_at"] else "never read"
        say(f"{row['name']}  every {row['every']}  {row['ran_at'] or ''}  {row['error'] or read}")
    if not rows:
        say("no source is set: write [sources.NAME] into the settings")


@sources.command()
def pull(
    name: Annotated[str, typer.Argument(help="The source's name in the settings.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what would happen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a source now, whenever its time is."""
    from app.cli import storing
    from app.pulling import pull as pull_source
    from app.settings import load_settings
    from app.wiring import House, open_store, utc_now
    from store.sources import SourceUnavailable

    settings = load_settings()
    with open_store(settings) as store:
        known = House.build(settings, store).sources()
        if name not in known:
            raise CommandError(_unknown(name, known))
        try:
            report = pull_source(store, known[name], now=utc_now(), dry_run=dry_run)
        except SourceUnavailable as failure:
            raise CommandError(f"source {name}: {failure}", Exit.UNREACHABLE) from None
    if as_json:
        print_json(storing.report_json(report, dry_run=dry_run))
    else:
        storing.print_report(report, dry_run=dry_run)
    if report.rejected:
        stop(Exit.FINDINGS)


def _unknown(name: str, known: Collection[str]) -> str:
    there_are = f"there are: {', '.join(known)}" if known else "none is set"
    return f'there is no source "{name}"; {there_are}'
