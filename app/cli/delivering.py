"""`relance deliveries`: what was sent, what waits and why, what could not be sent, and sending it again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, moment, note, print_json, say, stop
from domain.delivery import Channel, Delivery, DeliveryState, HeldBack, Purpose
from domain.recommendation import Recommendation, State

if TYPE_CHECKING:
    from app.settings import Settings
    from domain.person import People, Person
    from domain.wishes import Quiet
    from rules.rulebase import RuleBase
    from store.session import Database
    from store.suppressions import Suppression

SEARCHED = 5_000  # deliveries that a filter looks through: each comes with its message
STUCK = (DeliveryState.FAILED, DeliveryState.DEAD, DeliveryState.UNKNOWN)
FAILED = (DeliveryState.FAILED, DeliveryState.DEAD)

deliveries = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What was sent, what waits, what could not be sent."
)

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
    channel: Annotated[Channel | None, typer.Option(help="Only on this way.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what was due at this moment or later.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest due first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The latest deliveries, each with the reason for its state.

    At the end, how many there are in each state.
    """
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import outbox

    states = _states(state)
    wanted = Wanted(
        person=person, customer=customer, rule=rule, channel=channel, since=moment(since, "--since") if since else None
    )
    settings = load_settings()
    with open_store(settings) as store:
        counts = outbox.counts(store)
        looked_at = outbox.listing(store, states=states, limit=limit if wanted == Wanted() else SEARCHED)
        found = _told(settings, store, looked_at, wanted, limit=limit, now=utc_now())
    if as_json:
        print_json({"counts": {s.value: n for s, n in counts.items()}, "deliveries": [_row(each) for each in found]})
    else:
        for each in found:
            say(_line(each))
        say(", ".join(f"{count:,} {state}" for state, count in counts.items()) or "nothing was ever queued")
    if len(looked_at) == SEARCHED:
        note(f"Only the latest {SEARCHED:,} were looked through; --state narrows them down.")


@deliveries.command()
def show(delivery: Annotated[int, typer.Argument(help="The delivery's number.")], as_json: AsJson = False) -> None:
    """One delivery, why it is as it is, and the exact message.

    The message is as it was stored: what was sent, or would be sent again.
    """
    from app.settings import load_settings
    from app.wiring import open_store, utc_now
    from store import outbox

    settings = load_settings()
    with open_store(settings) as store:
        found = outbox.get(store, delivery)
        if found is None:
            raise CommandError(f"there is no delivery {delivery}")
        (told,) = _told(settings, store, [found], Wanted(), limit=1, now=utc_now())
    items = [_item(about, why) for about, why in told.items]
    body = found.body.decode() if found.body else None
    if as_json:
        print_json({**_row(told), "items": items, "body": body})
        return
    for name, value in _row(told).items():
        say(f"{name:15} {'-' if value is None else value}")
    for item in items:
        say(f"{'names':15} {item['rule']} {item['customer']}, {item['state']}: {item['why']}")
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
    from app.settings import load_settings
    from app.wiring import open_store, utc_now

    if bool(numbers) == all_failed:
        raise CommandError("name the deliveries by their numbers, or all that failed by --all-failed")
    with open_store(load_settings()) as store:
        chosen = _numbered(store, numbers) if numbers else _all_failed(store, yes=yes)
        refusals = [_retry(store, each, now=utc_now()) for each in chosen]
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
    from app.settings import load_settings
    from app.wiring import open_store
    from store import suppressions

    with open_store(load_settings()) as store:
        if lift is not None:
            if not suppressions.lift(store, lift):
                raise CommandError(f"{lift} is not suppressed")
            say(f"mail goes to {lift} again")
            return
        found = suppressions.listing(store)
    if as_json:
        print_json({"suppressed": [_suppression(each) for each in found]})
        return
    for each in found:
        say(f"{each.address}  {_why_suppressed(each)}" + (f"  (delivery {each.delivery})" if each.delivery else ""))
    say(f"{len(found):,} suppressed")


# --- finding ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a listing is narrowed down to."""

    person: str | None = None
    customer: str | None = None
    rule: str | None = None
    channel: Channel | None = None
    since: datetime | None = None

    def fits(self, delivery: Delivery, about: Collection[Recommendation]) -> bool:
        """`about`: what it is about; a digest is about all that it names."""
        return (
            self.person in (None, delivery.person, delivery.destination)
            and self.channel in (None, delivery.channel)
            and (self.since is None or delivery.due_at >= self.since)
            and (self.customer is None or any(each.dossier == self.customer for each in about))
            and (self.rule is None or any(each.rule == self.rule for each in about))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A delivery, what it is about, and the reason for its state. `items`: what a digest names, and why there."""

    delivery: Delivery
    about: Recommendation | None
    items: Sequence[tuple[Recommendation, HeldBack]]
    reason: str


def _told(
    settings: Settings, store: Database, found: Sequence[Delivery], wanted: Wanted, *, limit: int, now: datetime
) -> list[Told]:
    """Those that are wanted, each with its reason."""
    from store import outbox, recommendations

    named = {each.id: outbox.items(store, each.id) for each in found if each.purpose is Purpose.DIGEST}
    ids = {each.recommendation for each in found if each.recommendation} | {
        id_ for items in named.values() for id_ in items
    }
    known = recommendations.get_many(store, ids)
    told: list[Told] = []
    why = _Why(settings=settings, store=store, now=now)
    for each in found:
        about = known.get(each.recommendation or "")
        items = [(known[id_], reason) for id_, reason in named.get(each.id, {}).items()]
        if wanted.fits(each, [about] if about else [recommendation for recommendation, _ in items]):
            told.append(Told(delivery=each, about=about, items=items, reason=why.of(each, about)))
        if len(told) == limit:
            break
    return told


def _states(words: Collection[str] | None) -> list[DeliveryState] | None:
    try:
        return [DeliveryState(word) for word in words or ()] or None
    except ValueError:
        raise CommandError(f"--state is one of: {', '.join(DeliveryState)}") from None


def _numbered(store: Database, numbers: Collection[int]) -> list[Delivery]:
    from store import outbox

    found = {number: outbox.get(store, number) for number in numbers}
    missing = [str(number) for number, delivery in found.items() if delivery is None]
    if missing:
        raise CommandError(f"there is no delivery {', '.join(missing)}")
    return [delivery for delivery in found.values() if delivery]


def _all_failed(store: Database, *, yes: bool) -> list[Delivery]:
    from store import outbox

    counts = outbox.counts(store)
    count = sum(counts.get(state, 0) for state in FAILED)
    if count and not yes:
        raise CommandError(f"{count:,} failed or dead would be sent again; add --yes", Exit.REFUSED)
    return outbox.listing(store, states=FAILED, limit=count)


def _retry(store: Database, delivery: Delivery, *, now: datetime) -> str | None:
    """Queue it again. What stands against it; None: it is queued."""
    from store import outbox, recommendations, suppressions

    suppression = suppressions.of(store, [delivery.destination]).get(delivery.destination.casefold())
    if suppression and delivery.channel is Channel.EMAIL and delivery.state in STUCK:
        said = f"stays {delivery.state}: nothing is sent to {delivery.destination}, {_why_suppressed(suppression)}"
        return f"{said}. To send there again:\n\n  relance deliveries suppressed --lift {delivery.destination}\n"
    if outbox.retry_now(store, delivery.id, now=now):
        return None
    if delivery.state not in STUCK:
        return f"is {delivery.state}; only failed, dead or unknown ones are sent again"
    about = recommendations.get(store, delivery.recommendation or "")
    return f"stays {delivery.state}: {_closed(about) if about else 'its recommendation is gone'}"


# --- why ---


@dataclass(frozen=True, kw_only=True)
class _Why:
    """Why deliveries are as they are, at a moment. What it needs for that is read when it is first needed."""

    settings: Settings
    store: Database
    now: datetime
    _items: dict[int, Mapping[str, HeldBack]] = field(default_factory=dict[int, "Mapping[str, HeldBack]"])

    def of(self, delivery: Delivery, about: Recommendation | None) -> str:
        return REASONS[delivery.state](self, delivery, about)

    def queued(self, delivery: Delivery, about: Recommendation | None) -> str:
        if delivery.due_at <= self.now:
            return self._next(about, "a worker looks at it next")
        person = self._people.get(delivery.person)
        quiet = self._quiet(person) if person else None
        because = f": {person.name} is not to be disturbed ({quiet})" if person and quiet else ""
        return f"waits until {delivery.due_at.isoformat()}{because}"

    def ready(self, delivery: Delivery, about: Recommendation | None) -> str:
        last = f"; the last attempt: {delivery.last_error}" if delivery.last_error else ""
        if delivery.due_at > self.now:
            return f"{'tried again' if last else 'goes out'} at {delivery.due_at.isoformat()}{last}"
        return self._next(about, "a worker sends it next") + last

    def unknown(self, delivery: Delivery, _about: Recommendation | None) -> str:
        again = (
            f"sent once more at {delivery.lease_until.isoformat()}"
            if delivery.lease_until
            else "not sent again by itself"
        )
        return f"{delivery.last_error or 'the worker ended while it was sent'}; it may have arrived, {again}"

    def gathered(self, delivery: Delivery, _about: Recommendation | None) -> str:
        """A digest comes no earlier than what it names was due, so the first that names it is the one."""
        for digest in self._digests:
            if digest.person == delivery.person and digest.due_at >= delivery.due_at:
                held_back = self._named_in(digest).get(delivery.recommendation or "")
                if held_back:
                    return f"named in digest {digest.id}: {HELD_BACK[held_back]}"
        return "named in a digest"

    def _next(self, about: Recommendation | None, otherwise: str) -> str:
        if about is not None and about.snoozed_until is not None and about.snoozed_until > self.now:
            return f"snoozed until {about.snoozed_until.isoformat()}"
        return otherwise

    def _quiet(self, person: Person) -> Quiet | None:
        from scheduler.sorting import office_of, zone_of

        zone, days_off = zone_of(person, self._base), office_of(person, self._base).closed
        return person.wishes.why_quiet(self.now, zone=zone, days_off=days_off)

    @cached_property
    def _people(self) -> People:
        from store import people

        return people.load(self.store)

    @cached_property
    def _base(self) -> RuleBase:
        from rules.loader import check

        return check(self.settings.rules).rulebase  # with errors in its rules it has offices and zones all the same

    @cached_property
    def _digests(self) -> list[Delivery]:
        """The earliest first."""
        from store import outbox

        found = [each for each in outbox.listing(self.store, limit=SEARCHED) if each.purpose is Purpose.DIGEST]
        return found[::-1]

    def _named_in(self, digest: Delivery) -> Mapping[str, HeldBack]:
        from store import outbox

        if digest.id not in self._items:
            self._items[digest.id] = outbox.items(self.store, digest.id)
        return self._items[digest.id]


REASONS: Mapping[DeliveryState, Callable[[_Why, Delivery, Recommendation | None], str]] = {
    DeliveryState.QUEUED: _Why.queued,
    DeliveryState.READY: _Why.ready,
    DeliveryState.LEASED: lambda _, delivery, about: "a worker is about to send it",
    DeliveryState.SENDING: lambda _, delivery, about: "on its way",
    DeliveryState.SENT: lambda _, delivery, about: f"taken: {delivery.last_code} {delivery.receipt}",
    DeliveryState.UNKNOWN: _Why.unknown,
    DeliveryState.FAILED: lambda _, delivery, about: delivery.last_error or "refused",
    DeliveryState.DEAD: lambda _, delivery, about: (
        f"{delivery.last_error}; given up after {delivery.attempts} attempts"
    ),
    DeliveryState.CANCELLED: lambda _, delivery, about: (
        delivery.last_error or (_closed(about) if about else "not wanted any more")
    ),
    DeliveryState.GATHERED: _Why.gathered,
}

HELD_BACK: Mapping[HeldBack, str] = {
    HeldBack.CHOSEN: "the rule or the person wants it so",
    HeldBack.CAP: "beyond what the person wants to hear in a day",
    HeldBack.FLOOD: "too many came at once",
}


def _closed(about: Recommendation) -> str:
    """Why a recommendation causes no message now."""
    if about.state is State.RESOLVED:
        return "the rule does not hold any more"
    if about.state is State.OPEN:
        return f"snoozed until {about.snoozed_until.isoformat()}" if about.snoozed_until else "not wanted any more"
    return f"{about.state} by {about.closed_by}"


def _why_suppressed(suppression: Suppression) -> str:
    detail = f": {suppression.detail}" if suppression.detail else ""
    return f"{suppression.reason} on {suppression.since:%Y-%m-%d}{detail}"


# --- telling ---


def _line(told: Told) -> str:
    delivery = told.delivery
    where = delivery.destination if delivery.channel is Channel.EMAIL else f"{delivery.channel}:{delivery.destination}"
    number_and_time = f"{delivery.id:>6}  {delivery.due_at.isoformat()}"
    return f"{number_and_time}  {delivery.state:9}  {where}  {PURPOSES[delivery.purpose](told)}  {told.reason}"


PURPOSES: Mapping[Purpose, Callable[[Told], str]] = {
    Purpose.REMINDER: lambda told: _about(told),
    Purpose.DIGEST: lambda told: f"digest of {len(told.items)}",
    Purpose.WITHDRAWAL: lambda told: f"out of the calendar: {_about(told)}",
    Purpose.UPDATE: lambda told: f"update: {_about(told)}",
}


def _about(told: Told) -> str:
    return f"{told.about.rule} {told.about.dossier}" if told.about else "-"


def _row(told: Told) -> dict[str, object]:
    delivery, about = told.delivery, told.about
    return {
        "id": delivery.id,
        "state": delivery.state.value,
        "reason": told.reason,
        "purpose": delivery.purpose.value,
        "rule": about.rule if about else None,
        "customer": about.dossier if about else None,
        "things": len(told.items) if delivery.purpose is Purpose.DIGEST else None,
        "channel": delivery.channel.value,
        "destination": delivery.destination,
        "person": delivery.person,
        "recommendation": delivery.recommendation,
        "occurrence": delivery.occurrence,
        "wanted_at": delivery.wanted_at,
        "due_at": delivery.due_at,
        "sent_at": delivery.sent_at,
        "attempts": delivery.attempts,
        "message_id": delivery.message_id,
        "receipt": delivery.receipt,
        "last_code": delivery.last_code,
        "last_phase": delivery.last_phase,
        "last_error": delivery.last_error,
    }


def _item(about: Recommendation, why: HeldBack) -> dict[str, object]:
    return {
        "recommendation": about.id,
        "rule": about.rule,
        "customer": about.dossier,
        "state": about.state.value,
        "why": HELD_BACK[why],
    }


def _suppression(suppression: Suppression) -> dict[str, object]:
    return {
        "address": suppression.address,
        "reason": suppression.reason.value,
        "detail": suppression.detail,
        "since": suppression.since,
        "delivery": suppression.delivery,
    }
