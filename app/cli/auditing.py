"""`relance audit`: who did what, and whether anybody changed what is written about it."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, counted, moment, note, print_json, say, stop

if TYPE_CHECKING:
    from store.audit import Entry

FAULTS_SHOWN = 20
SEALED_WITHIN = timedelta(minutes=1)
POSITION_DIGITS = 18  # what every database can count to

audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who did what, and that nobody changed it since.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@audit.command("list")
def list_(
    kind: Annotated[str | None, typer.Option(help="Only about this kind: contract, person, user, ...")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about what has this id.")] = None,
    customer: Annotated[str | None, typer.Option(help="Only about this customer.")] = None,
    source: Annotated[str | None, typer.Option(help="Only by this one: user:ID, token:ID, link:PERSON, ...")] = None,
    action: Annotated[str | None, typer.Option(help="Only this: record.changed, recommendation.done, ...")] = None,
    since: Annotated[str | None, typer.Option(help="From this moment on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The latest entries, each with what was before and after."""
    from dataclasses import asdict

    from app.settings import load_settings
    from app.wiring import open_store
    from store import audit as stored

    wanted = stored.Wanted(
        kind=kind,
        subject=subject,
        customer=customer,
        source=source,
        action=action,
        since=moment(since, "--since") if since else None,
        until=moment(until, "--until") if until else None,
    )
    with open_store(load_settings()) as store:
        found = stored.listing(store, wanted, limit=limit)
    if as_json:
        print_json({"entries": [asdict(entry) for entry in found]})
        return
    for entry in found:
        say(_line(entry))
    if not found:
        say("there is no such entry")


def _line(entry: Entry) -> str:
    head = f"{entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.action}  {entry.kind or ''} {entry.subject or ''}".rstrip()
    if entry.erased_at:
        return f"{head}  (erased on {entry.erased_at:%Y-%m-%d})"
    before, after = entry.before or {}, entry.after or {}
    changes = (f"{name}: {before.get(name, '-')} -> {after.get(name, '-')}" for name in sorted({*before, *after}))
    return f"{head}  by {entry.source}  {', '.join(changes)}".rstrip()


@audit.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="POSITION:HASH", help="A seal that was noted elsewhere: it must still be there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether every entry is as it was sealed, and none is gone.

    Prints the last seal: note it elsewhere, and --head says later whether anybody rewrote what was before it.
    """
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import chain

    with open_store(load_settings()) as store:
        verified = chain.verify(store, late=utc_now() - SEALED_WITHIN, progress=_progress)
        faults = [
            *verified.faults,
            *_unsealed(verified.unsealed),
            *(_missing(chain.find(store, _position(head)), head) if head else ()),
        ]
    if as_json:
        print_json(
            {"entries": verified.entries, "emptied": verified.emptied, "head": str(verified.last), "faults": faults}
        )
    else:
        for fault in faults[:FAULTS_SHOWN]:
            say(fault)
        if (more := len(faults) - FAULTS_SHOWN) > 0:
            say(f"and {more:,} more")
        well = "none was changed" if not faults else counted(len(faults), "fault")
        say(f"{verified.entries:,} entries, {verified.emptied:,} of them emptied: {well}")
        say(f"the last seal: {verified.last}")
    if faults:
        stop(Exit.FINDINGS)


def _unsealed(count: int) -> list[str]:
    return [f"{count:,} older than a minute and not sealed: is a worker running?"] if count else []


def _position(head: str) -> int:
    position, colon, _ = head.partition(":")
    if not colon or not position.isdecimal() or len(position) > POSITION_DIGITS:
        raise CommandError(f'--head "{head}" is no seal; write one as this command prints it')
    return int(position)


def _missing(found: object, head: str) -> list[str]:
    return [] if str(found) == head else [f"the seal {head} is not in the chain: it was made anew, or cut off"]


def _progress(entries: int) -> None:
    if sys.stderr.isatty():
        note(f"{entries:,} entries")
