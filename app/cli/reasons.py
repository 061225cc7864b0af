"""Deliveries as a person reads them: what each is about, the reason for its state, and what sending it again does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from app.settings import Settings
from domain.delivery import Channel, Delivery, DeliveryState, HeldBack, Purpose
from domain.person import People, Person
from domain.recommendation import Recommendation
from domain.wishes import Quiet
from rules.loader import check
from rules.rulebase import RuleBase
from scheduler.sorting import office_of, zone_of
from store import outbox, people, recommendations, resending
from store.resending import why_closed
from store.session import Database
from store.suppressions import Suppression

FAILED = (DeliveryState.FAILED, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A delivery, what it is about, and the reason for its state. `items`: what a digest names, and why there."""

    delivery: Delivery
    about: Recommendation | None
    items: Sequence[tuple[Recommendation, HeldBack]]
    reason: str


def told(settings: Settings, store: Database, found: Sequence[Delivery], *, now: datetime) -> list[Told]:
    """Each with its reason."""
    named = {each.id: outbox.items(store, each.id) for each in found if each.purpose is Purpose.DIGEST}
    ids = {each.recommendation for each in found if each.recommendation}
    known = recommendations.get_many(store, ids.union(*named.values()))
    why = _Why(settings=settings, store=store, now=now)
    return [
        Told(
            delivery=each,
            about=(about := known.get(each.recommendation or "")),
            items=[(known[id_], reason) for id_, reason in named.get(each.id, {}).items()],
            reason=why.of(each, about),
        )
        for each in found
    ]


def retry(store: Database, delivery: Delivery, *, now: datetime) -> str | None:
    """Queue it again. What stands against it; None: it is queued."""
    refusal = resending.retry(store, delivery, source="cli", now=now)
    if refusal is None or refusal.suppressed is None:
        return refusal and refusal.says
    return f"{refusal.says}. To send there again:\n\n  relance deliveries suppressed --lift {refusal.suppressed}\n"


# --- why ---


@dataclass(frozen=True, kw_only=True)
class _Why:
    """Why deliveries are as they are, at a moment. What it needs for that is read when it is first needed."""

    settings: Settings
    store: Database
    now: datetime

    def of(self, delivery: Delivery, about: Recommendation | None) -> str:
        return REASONS[delivery.state](self, delivery, about)

    def queued(self, delivery: Delivery, about: Recommendation | None) -> str:
        return self._snoozed(about) or self._waits(delivery)

    def ready(self, delivery: Delivery, about: Recommendation | None) -> str:
        last = f"; the last attempt: {delivery.last_error}" if delivery.last_error else ""
        if delivery.due_at > self.now:
            return f"{'tried again' if last else 'goes out'} at {delivery.due_at.isoformat()}{last}"
        return (self._snoozed(about) or "a worker sends it next") + last

    def unknown(self, delivery: Delivery, _about: Recommendation | None) -> str:
        at = delivery.lease_until
        again = f"sent once more at {at.isoformat()}" if at else "not sent again by itself"
        return f"{delivery.last_error or 'the worker ended while it was sent'}; it may have arrived, {again}"

    def gathered(self, delivery: Delivery, _about: Recommendation | None) -> str:
        """A digest comes no earlier than what it names was due, so the first that names it is the one."""
        named = outbox.digest_of(
            self.store, delivery.recommendation or "", person=delivery.person, since=delivery.due_at
        )
        return f"named in digest {named[0]}: {HELD_BACK[named[1]]}" if named else "named in a digest"

    def _snoozed(self, about: Recommendation | None) -> str | None:
        until = about.snoozed_until if about else None
        return f"snoozed until {until.isoformat()}" if until is not None and until > self.now else None

    def _waits(self, delivery: Delivery) -> str:
        if delivery.due_at <= self.now:
            return "a worker looks at it next"
        person = self._people.get(delivery.person)
        quiet = self._quiet(person) if person else None
        because = f": {person.name} is not to be disturbed ({quiet})" if person and quiet else ""
        return f"waits until {delivery.due_at.isoformat()}{because}"

    def _quiet(self, person: Person) -> Quiet | None:
        zone, days_off = zone_of(person, self._base), office_of(person, self._base).closed
        return person.wishes.why_quiet(self.now, zone=zone, days_off=days_off)

    @cached_property
    def _people(self) -> People:
        return people.load(self.store)

    @cached_property
    def _base(self) -> RuleBase:
        return check(self.settings.rules).rulebase  # with errors in its rules it has offices and zones all the same


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
        delivery.last_error or (why_closed(about) if about else "not wanted any more")
    ),
    DeliveryState.GATHERED: _Why.gathered,
}

HELD_BACK: Mapping[HeldBack, str] = {
    HeldBack.CHOSEN: "the rule or the person wants it so",
    HeldBack.CAP: "beyond what the person wants to hear in a day",
    HeldBack.FLOOD: "too many came at once",
}


# --- telling ---


def line(told: Told) -> str:
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


def row(told: Told) -> dict[str, object]:
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


def item(about: Recommendation, why: HeldBack) -> dict[str, object]:
    return {
        "recommendation": about.id,
        "rule": about.rule,
        "customer": about.dossier,
        "state": about.state.value,
        "why": HELD_BACK[why],
    }


def suppression_row(suppression: Suppression) -> dict[str, object]:
    return {
        "address": suppression.address,
        "reason": suppression.reason.value,
        "detail": suppression.detail,
        "since": suppression.since,
        "delivery": suppression.delivery,
    }
