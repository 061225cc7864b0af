"""What a rule says once it holds: to whom, by when, what is at stake, in which words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from domain.calendar import ONE_DAY, SHORTER_THAN_A_DAY, At
from domain.person import People, Person
from domain.recommendation import Advice
from domain.record import CUSTOMER
from rules.model import Fact, Facts, Model, Value
from rules.operators import local_day, recurrences
from rules.rule import Due, DueKind, Link, Rule, Target, Who, in_language
from rules.say import Said, SaidRecord, Voice, render
from rules.vocabulary import Company


@dataclass(frozen=True, slots=True, kw_only=True)
class Adviser:
    """Puts advice into words for one company."""

    model: Model
    company: Company

    def advise(
        self, rule: Rule, this: Fact, facts: Facts, *, opened_at: datetime, language: str | None = None
    ) -> Advice:
        """What is due counts from `opened_at`, when the episode began."""
        then = rule.then
        return Advice(
            recommend=then.recommend,
            say=self.say(rule, this, facts, voice=self.voice(facts.at, language)),
            do=then.do,
            instead=then.instead,
            worth=_worth(then.worth, this, facts),
            due=_due(then.due, this, facts, at=At.of(opened_at, facts.at.calendar)),
            to=self.reached(then.to, this, facts),
            tags=rule.tags,
            team=team(this, facts),
            product=_product(rule.subject, this),
        )

    def voice(self, at: At, language: str | None = None) -> Voice:
        return Voice(at=at, language=language or self.company.language, currency=self.company.currency)

    def say(self, rule: Rule, this: Fact, facts: Facts, *, voice: Voice) -> str:
        def record(kind: str, fact: Fact | None) -> SaidRecord:
            return SaidRecord(
                kind=self.model.kinds[kind], fact=fact or {"id": ""}, facts=facts, model=self.model, voice=voice
            )

        owner = facts.people.get(facts.owner(this))
        names: dict[str, object] = {
            "owner": _SaidPerson(person=owner, voice=voice),
            CUSTOMER: record(CUSTOMER, facts.customer),
            rule.subject: record(rule.subject, this),
        }
        return render(in_language(rule.then.say, voice.language, self.company.language), names)

    def reached(self, targets: Iterable[Target], this: Fact, facts: Facts) -> tuple[str, ...]:
        """Everyone these speak to, each once."""
        owner = facts.owner(this)
        return tuple(dict.fromkeys(who for target in targets for who in recipients(target, owner, facts.people)))


def team(this: Fact, facts: Facts) -> str | None:
    """The team of whoever looks after a record."""
    owner = facts.people.get(facts.owner(this))
    return owner.team if owner else None


def _product(kind: str, this: Fact) -> str | None:
    product = this.get("id" if kind == "product" else "product")
    return str(product) if product is not None else None


def recipients(target: Target, owner: str | None, people: People) -> tuple[str, ...]:
    """Ids of people; what cannot be resolved for want of people stays as the rule names it."""
    found = tuple(_recipients(target, owner, people))
    if not found and target.otherwise is not None:
        return recipients(target.otherwise, owner, people)
    return found


def _recipients(target: Target, owner: str | None, people: People) -> Iterator[str]:
    match target.who:
        case Who.OWNER:
            if owner is not None:
                yield owner
        case Who.MANAGER:
            yield from _ids(people.manager_of(owner))
        case Who.LEAD:
            yield from _ids(people.lead_of(owner))
        case Who.TEAM:
            yield from [p.id for p in people.team(target.name)] or [f"team {target.name}"]
        case Who.USER:
            yield target.name
        case Who.ADDRESS:
            person = people.by_email(target.name)
            yield person.id if person else target.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _SaidPerson:
    person: Person | None
    voice: Voice

    def __getitem__(self, name: str) -> Said:
        value: Value | None = getattr(self.person, name, None)
        return Said(value=value, voice=self.voice)

    def __str__(self) -> str:
        return str(self["name"])


def _ids(person: Person | None) -> Iterator[str]:
    if person is not None:
        yield person.id


def _worth(worth: Link | Decimal | None, this: Fact, facts: Facts) -> Decimal | None:
    if isinstance(worth, Link):
        value = worth.read(this, facts)
        return value if isinstance(value, Decimal) else None
    return worth


def _due(due: Due | None, this: Fact, facts: Facts, *, at: At) -> date | None:
    """The local day by which to act; None where the rule or the data names none."""
    match due:
        case None:
            return None
        case Due(kind=DueKind.TODAY):
            return at.today
        case Due(kind=DueKind.TOMORROW):
            return at.today + ONE_DAY
        case Due(kind=DueKind.IN, span=span) if span is not None:
            if span.unit in SHORTER_THAN_A_DAY:
                return at.calendar.today(at.calendar.shift(at.now, span))
            return at.calendar.shift_day(at.today, span)
        case Due(link=link) if link is not None:
            value = link.read(this, facts)
            if not isinstance(value, date):
                return None
            day = local_day(value, at.calendar)
            if due.yearly:
                day = next(recurrences(day, at.today), day)
            if due.kind is DueKind.BEFORE and due.span is not None:
                if due.span.unit in SHORTER_THAN_A_DAY:
                    return at.calendar.today(at.calendar.shift(at.calendar.midnight(day), due.span, sign=-1))
                return at.calendar.shift_day(day, due.span, sign=-1)
            return day
        case _:
            return None
