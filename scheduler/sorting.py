"""What becomes of what is due: each person's wishes and the company's policies, applied to all that waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from itertools import groupby, islice
from zoneinfo import ZoneInfo

from domain.calendar import NEVER, Calendar, instant
from domain.delivery import Channel, HeldBack
from domain.person import People, Person
from domain.policy import Late, Policy
from domain.sorting import Drop, Fate, Gather, Send, Wait
from domain.wishes import Way
from rules.rule import Rule
from rules.rulebase import RuleBase
from store import people, sorting
from store.session import Database
from store.sorting import Waiting

WINDOWS = 3  # the next digests that something may stand in: the first may be on its way already


@dataclass(frozen=True, kw_only=True)
class Sorter:
    """Sorts at one moment."""

    db: Database
    base: RuleBase
    policy: Policy
    now: datetime

    @cached_property
    def people(self) -> People:
        """Read where something is due: most ticks find nothing."""
        return people.load(self.db)

    def run(self) -> None:
        """Sort everything that is due."""
        while sorting.sort(self.db, self.fates, now=self.now, day_of=self._day_of):
            pass

    def _day_of(self, person: str) -> datetime | None:
        """When the day of a person began who wants so many a day."""
        known = self.people.get(person)
        if known is None or known.wishes.daily_cap is None:
            return None
        zone = self._zone(known)
        return instant(datetime.combine(self.now.astimezone(zone).date(), time()), zone)

    def fates(self, waiting: Sequence[Waiting], heard: Mapping[str, int]) -> Iterator[Fate]:
        """What becomes of each. `heard`: how many reminders people with a daily cap have had today."""
        for person, theirs in groupby(sorted(waiting, key=_person), key=_person):
            known = self.people.get(person)
            if known is not None:
                yield from self._of(known, list(theirs), heard.get(person, 0))
            else:
                yield from map(_unknown, theirs)

    def _of(self, person: Person, waiting: Sequence[Waiting], heard: int) -> Iterator[Fate]:
        hears = hears_from(person, self.base, self.now)
        single: list[Waiting] = []
        windows = self._windows(person)
        for each in waiting:
            reason = self._unwanted(person, each)
            way = self._way(person, each)
            if reason or hears == NEVER:
                yield Drop(delivery=each.delivery.id, reason=reason or "paused for more than a year")
            elif way is Way.INBOX:
                yield Drop(delivery=each.delivery.id, reason="in the inbox alone, as asked for")
            elif way is Way.DIGEST:
                yield _gathered(each, person, windows, HeldBack.CHOSEN)
            elif hears > self.now:
                yield Wait(delivery=each.delivery.id, until=hears)
            else:
                single.append(each)
        single.sort(key=_value)
        cap = person.wishes.daily_cap
        room = len(single) if cap is None else max(cap - heard, 0)
        for each in single[room:]:
            yield _gathered(each, person, windows, HeldBack.CAP)
        yield from self._sent(person, single[:room])

    def _sent(self, person: Person, single: Sequence[Waiting]) -> Iterator[Fate]:
        """A message each, or one digest where they come in a crowd."""
        crowd = self.policy.at_once is not None and len(single) > self.policy.at_once
        for each in single:
            if crowd and self.policy.of(each.recommendation.rule).late is not Late.SEND:
                yield _gathered(each, person, (self.now, *self._windows(person)), HeldBack.FLOOD)
            else:
                channel, destination = self._address(person, each)
                yield Send(delivery=each.delivery.id, channel=channel, destination=destination)

    def _unwanted(self, person: Person, each: Waiting) -> str | None:
        """Why it is not to be sent at all."""
        rule = each.recommendation.rule
        if rule in person.wishes.muted:
            return f"{person.name} muted {rule}"
        policy = self.policy.of(rule)
        if policy.late is Late.EXPIRE and policy.after is not None:
            ends = self._office(person).shift(each.delivery.wanted_at, policy.after)
            if ends < self.now:
                return f"more than {policy.after} late, when {rule} lets it expire"
        return None

    def _way(self, person: Person, each: Waiting) -> Way:
        """The rule's first way by which the person can be reached, else the person's own choice, else mail."""
        rule = self.base.by_id.get(each.recommendation.rule)
        chosen = self._chosen(person, rule, each.recommendation.advice.due)
        ways = [Way(word) for word in rule.then.channels] if rule and rule.then.channels else [chosen or Way.EMAIL]
        if ways == [Way.INBOX]:
            return Way.INBOX
        usable = (way for way in ways if way in (Way.EMAIL, Way.DIGEST) or (way is Way.CHAT and person.chat_address))
        return next(usable, Way.EMAIL)

    def _chosen(self, person: Person, rule: Rule | None, due: date | None) -> Way | None:
        today = self.now.astimezone(self._zone(person)).date()
        return person.wishes.way(rule.tags if rule else (), urgent=due is not None and due <= today)

    def _address(self, person: Person, each: Waiting) -> tuple[Channel, str]:
        in_chat = person.chat_address if self._way(person, each) is Way.CHAT else None
        return in_chat or (Channel.EMAIL, person.email)

    def _windows(self, person: Person) -> tuple[datetime, ...]:
        return tuple(
            islice(
                person.wishes.digests_after(
                    self.now,
                    zone=self._zone(person),
                    default=self.policy.digest_at,
                    days_off=self._office(person).closed,
                ),
                WINDOWS,
            )
        )

    def _office(self, person: Person) -> Calendar:
        return office_of(person, self.base)

    def _zone(self, person: Person) -> ZoneInfo:
        return zone_of(person, self.base)


def hears_from(person: Person, base: RuleBase, now: datetime) -> datetime:
    """The first moment, from now on, at which a person may be disturbed."""
    return person.wishes.hears_from(now, zone=zone_of(person, base), days_off=office_of(person, base).closed)


def office_of(person: Person, base: RuleBase) -> Calendar:
    """The person's, else the company's."""
    return base.calendars.get(person.office or "", base.office)


def zone_of(person: Person, base: RuleBase) -> ZoneInfo:
    """A person's own clock, else that of the office, else the company's."""
    if person.timezone:
        return ZoneInfo(person.timezone)
    office = base.calendars.get(person.office or "")
    return office.zone if office else base.company.zone


def _unknown(each: Waiting) -> Fate:
    """A bare address has no wishes; of a person who is gone nobody knows the address."""
    delivery = each.delivery
    if "@" in delivery.person:
        return Send(delivery=delivery.id, channel=delivery.channel, destination=delivery.destination)
    return Drop(delivery=delivery.id, reason=f"{delivery.person} is not here any more")


def _gathered(each: Waiting, person: Person, windows: Iterable[datetime], why: HeldBack) -> Gather:
    return Gather(
        delivery=each.delivery.id,
        recommendation=each.recommendation.id,
        person=person.id,
        destination=person.email,
        windows=tuple(windows),
        why=why,
    )


def _person(waiting: Waiting) -> str:
    return waiting.delivery.person


def _value(waiting: Waiting) -> tuple[Decimal, datetime]:
    """The most valuable first; of equals, what was wanted first."""
    worth = waiting.recommendation.advice.worth
    return (Decimal("-Infinity") if worth is None else worth).copy_negate(), waiting.delivery.wanted_at.astimezone(UTC)
