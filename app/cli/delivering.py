"""`relance deliveries`: what was sent, what waits and why, what could not be sent, and sending it again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.output import CommandError, Exit, moment, print_json, say, stop

if TYPE_CHECKING:
    from collections.abc import Collection

    from domain.delivery import Delivery
    from store.session import Database

deliveries = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What was sent, what waits, what could not be sent."
)

AnyEnum = TypeVar("AnyEnum", bound=StrEnum)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@deliveries.command("list")
def list_(
    state: Annotated[
        list[str] | None, typer.Option(help="Only in this state: ready, sent, unknown, failed, dead, ...")
    ] = None,
    person: Annotated[str | None, typer.Option(help="Only to this person: an id or an address.")] = None,
    customer: Annotated[
        str | None, typer.Option(help="Only about this customer, digests that name it included.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Only what this rule caused, digests that name it included.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only on this way: email, slack, teams, ...")] = None,
    since: Annotated[str | None, typer.Option(help="Only what was due at this moment or later.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest due first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The latest deliveries, each with the reason for its state.

    At the end, how many there are in each state.
    """
    from app.cli.reasons import line, row, told
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from domain.delivery import Channel, DeliveryState
    from store import outbox

    states = _among(DeliveryState, state, "--state")
    channels = _among(Channel, channel, "--channel")
    begin = moment(since, "--since") if since else None
    settings = load_settings()
    with open_store(settings) as store:
        counts = outbox.counts(store)
        latest = outbox.listing(
            store,
            states=states,
            channels=channels,
            to=person,
            since=begin,
            customer=customer,
            rule=rule,
            limit=limit,
        )
        found = told(settings, store, latest, now=utc_now())
    if as_json:
        print_json({"counts": {s.value: n for s, n in counts.items()}, "deliveries": [row(each) for each in found]})
    else:
        for each in found:
            say(line(each))
        say(", ".join(f"{count:,} {state}" for state, count in counts.items()) or "nothing was ever queued")


@deliveries.command()
def show(delivery: Annotated[int, typer.Argument(help="The delivery's number.")], as_json: AsJson = False) -> None:
    """One delivery, why it is as it is, and the exact message.

    The message is as it was stored: what was sent, or would be sent again.
    """
    from app.cli.reasons import item, row, told
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import outbox

    settings = load_settings()
    with open_store(settings) as store:
        found = outbox.get(store, delivery)
        if found is None:
            raise CommandError(f"there is no delivery {delivery}")
        (shown,) = told(settings, store, [found], now=utc_now())
    items = [item(about, why) for about, why in shown.items]
    body = found.body.decode() if found.body else None
    if as_json:
        print_json({**row(shown), "items": items, "body": body})
        return
    for name, value in row(shown).items():
        say(f"{name:15} {'-' if value is None else value}")
    for each in items:
        say(f"{'names':15} {each['rule']} {each['customer']}, {each['state']}: {each['why']}")
    if body:
        say(f"\n{body}")


@deliveries.command()
def retry(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[DELIVERY]...", help="The deliveries' numbers.")
    ] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Everything that is failed or dead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all-failed: yes, send them.")] = False,
) -> None:
    """Send failed, dead or uncertain ones again.

    With the same bytes. Says of each what became of it. Nothing goes to an address that is suppressed.
    """
    from app.cli import reasons
    from app.settings import load_settings
    from app.wiring import open_store, utc_now

    if bool(numbers) == all_failed:
        raise CommandError("name the deliveries by their numbers, or all that failed by --all-failed")
    with open_store(load_settings()) as store:
        chosen = _numbered(store, numbers) if numbers else _all_failed(store, yes=yes)
        refusals = [reasons.retry(store, each, now=utc_now()) for each in chosen]
    for each, refusal in zip(chosen, refusals, strict=True):
        say(f"delivery {each.id} {refusal or 'is queued again'}")
    if not chosen:
        say("no delivery is failed or dead")
    if any(refusals):
        stop(Exit.FINDINGS)


@deliveries.command()
def suppressed(
    lift: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Send to this address again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Addresses that nothing is sent to any more, and why."""
    from app.cli.reasons import suppression_row
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import suppressions
    from store.resending import why_suppressed

    with open_store(load_settings()) as store:
        if lift is not None:
            if not suppressions.lift(store, lift, now=utc_now(), source="command line"):
                raise CommandError(f"{lift} is not suppressed")
            say(f"mail goes to {lift} again")
            return
        found = suppressions.listing(store)
    if as_json:
        print_json({"suppressed": [suppression_row(each) for each in found]})
        return
    for each in found:
        say(f"{each.address}  {why_suppressed(each)}" + (f"  (delivery {each.delivery})" if each.delivery else ""))
    say(f"{len(found):,} suppressed")


def _among(kind: type[AnyEnum], words: Collection[str] | None, option: str) -> list[AnyEnum] | None:
    try:
        return [kind(word) for word in words or ()] or None
    except ValueError:
        raise CommandError(f"{option} is one of: {', '.join(kind)}") from None


def _numbered(store: Database, numbers: Collection[int]) -> list[Delivery]:
    from store import outbox

    found = {number: outbox.get(store, number) for number in numbers}
    missing = [str(number) for number, delivery in found.items() if delivery is None]
    if missing:
        raise CommandError(f"there is no delivery {', '.join(missing)}")
    return [delivery for delivery in found.values() if delivery]


def _all_failed(store: Database, *, yes: bool) -> list[Delivery]:
    from app.cli.reasons import FAILED
    from store import outbox

    counts = outbox.counts(store)
    count = sum(counts.get(state, 0) for state in FAILED)
    if count and not yes:
        raise CommandError(f"{count:,} failed or dead would be sent again; add --yes", Exit.REFUSED)
    return outbox.listing(store, states=FAILED, limit=count)
