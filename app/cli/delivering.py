"""`relance preview` and `relance deliveries`: the mail before it is sent, and what became of those that were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, moment, note, print_json, say

if TYPE_CHECKING:
    from domain.delivery import Delivery

deliveries = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What was sent, what waits, what could not be sent."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def preview(
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    customer: Annotated[str, typer.Option(help="The customer's id.")],
    out: Annotated[
        Path, typer.Option(help="The file to write: .html for the page, .txt for the text, .eml for the mail.")
    ],
    subject: Annotated[str | None, typer.Option(help="The record's id, where the customer has several.")] = None,
    lang: Annotated[str | None, typer.Option(help="en, de, fr or it; the reader's own unless given.")] = None,
    at: Annotated[str | None, typer.Option(help="As of this moment; now unless given.")] = None,
) -> None:
    """Write the mail that a rule would cause for a customer. Nothing is sent and nothing is recorded."""
    from app.preview import NothingToShow, preview_mail
    from app.settings import load_settings
    from app.wiring import House, open_store, utc_now

    if out.suffix not in (".html", ".txt", ".eml"):
        raise CommandError(f"--out {out} should end in .html, .txt or .eml")
    now = moment(at, "--at") if at else utc_now()
    settings = load_settings()
    with open_store(settings) as store:
        try:
            mail = preview_mail(House.build(settings, store), rule, customer, subject=subject, language=lang, now=now)
        except NothingToShow as reason:
            raise CommandError(str(reason)) from None
    content = {".html": mail.html.encode(), ".txt": mail.text.encode(), ".eml": mail.raw}[out.suffix]
    try:
        out.write_bytes(content)
    except OSError as failure:
        raise CommandError(f"--out {out} cannot be written: {failure.strerror}") from None
    say(f"{mail.subject}\nto {mail.recipient}\nwritten to {out}")
    if not mail.holds:
        note(f"{rule} does not hold for this customer now: this is what it would say if it did.")


@deliveries.command("list")
def list_(
    state: Annotated[
        list[str] | None, typer.Option(help="Only in this state: ready, sent, unknown, failed, dead, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest due first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The latest deliveries, and how many there are in each state."""
    from app.settings import load_settings
    from app.wiring import open_store
    from domain.delivery import DeliveryState
    from store import outbox

    try:
        states = [DeliveryState(word) for word in state or ()] or None
    except ValueError:
        raise CommandError(f"--state is one of: {', '.join(DeliveryState)}") from None
    with open_store(load_settings()) as store:
        counts = outbox.counts(store)
        found = outbox.listing(store, states=states, limit=limit)
    if as_json:
        print_json({"counts": {s.value: n for s, n in counts.items()}, "deliveries": [_row(d) for d in found]})
        return
    for delivery in found:
        why = f"  {delivery.last_error}" if delivery.last_error else ""
        say(f"{delivery.id:>6}  {delivery.due_at.isoformat()}  {delivery.state:9}  {delivery.destination}{why}")
    say(", ".join(f"{count:,} {state}" for state, count in counts.items()) or "nothing was ever queued")


@deliveries.command()
def show(delivery: Annotated[int, typer.Argument(help="The delivery's number.")], as_json: AsJson = False) -> None:
    """One delivery, with the exact message as it was stored."""
    from app.settings import load_settings
    from app.wiring import open_store
    from store import outbox

    with open_store(load_settings()) as store:
        found = outbox.get(store, delivery)
    if found is None:
        raise CommandError(f"there is no delivery {delivery}")
    if as_json:
        print_json({**_row(found), "body": found.body.decode() if found.body else None})
        return
    for name, value in _row(found).items():
        say(f"{name:15} {'-' if value is None else value}")
    if found.body:
        say()
        say(found.body.decode())


@deliveries.command()
def retry(delivery: Annotated[int, typer.Argument(help="The delivery's number.")]) -> None:
    """Send a failed, dead or uncertain one again, with the same bytes."""
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import outbox

    with open_store(load_settings()) as store:
        found = outbox.get(store, delivery)
        if found is None:
            raise CommandError(f"there is no delivery {delivery}")
        if not outbox.retry_now(store, delivery, now=utc_now()):
            raise CommandError(
                f"delivery {delivery} is {found.state}; only failed, dead or unknown ones whose recommendation is "
                "still open are sent again",
                Exit.FINDINGS,
            )
    say(f"delivery {delivery} is queued again")


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "state": delivery.state.value,
        "channel": delivery.channel.value,
        "destination": delivery.destination,
        "person": delivery.person,
        "recommendation": delivery.recommendation,
        "occurrence": delivery.occurrence,
        "due_at": delivery.due_at,
        "sent_at": delivery.sent_at,
        "attempts": delivery.attempts,
        "message_id": delivery.message_id,
        "last_code": delivery.last_code,
        "last_phase": delivery.last_phase,
        "last_error": delivery.last_error,
    }
