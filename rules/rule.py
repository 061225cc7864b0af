"""A rule as it was read: the condition tree, and what to say when it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from domain.calendar import Span
from domain.recommendation import Verdict
from rules.model import Fact, Facts, FieldKey, FieldType, Value
from rules.operators import Test
from rules.problems import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How a field is reached: the refs to follow from the record, then the field."""

    refs: tuple[tuple[str, str], ...]  # (ref field, kind it names), in order
    kind: str  # that has the field
    field: str

    @property
    def key(self) -> FieldKey:
        return self.kind, self.field

    def read(self, fact: Fact, facts: Facts) -> Value | None:
        current: Fact | None = fact
        for ref, kind in self.refs:
            current = facts.find(kind, current.get(ref))
            if current is None:
                return None
        return current.get(self.field)

    def __str__(self) -> str:
        return ".".join((*(ref for ref, _ in self.refs), self.field))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One line of `when`: a field and what must hold of it."""

    link: Link
    type: FieldType
    test: Test
    words: str  # as written: "in the next 90 days"

    def __str__(self) -> str:
        return f"{self.link}: {self.words}"


class Tie(StrEnum):
    THIS = "this"  # the field names the subject
    SAME = "same"  # the field has the subject's value of the same field


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Other records of the same customer, tied to the subject."""

    kind: str
    ties: tuple[tuple[str, Tie], ...]
    conditions: tuple[Condition, ...]
    count: Test | None = None
    words: str

    def reads(self, *, subject: str) -> Iterator[FieldKey]:
        """The fields that decide which records it finds for a subject of a kind."""
        yield from (c.link.key for c in self.conditions)
        for name, tie in self.ties:
            yield self.kind, name
            if tie is Tie.SAME:
                yield subject, name

    def tied(self, other: Fact, this: Fact) -> bool:
        """Whether the other record hangs on the subject; the subject never counts as its own relation."""
        if other is this:
            return False
        for name, tie in self.ties:
            wanted = this["id"] if tie is Tie.THIS else this.get(name)
            if wanted is None or other.get(name) != wanted:
                return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A derived field over the records that `over` relates to: their sum, count, min, max or latest."""

    way: str
    field: str | None  # of those records; None: they are counted
    over: Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """A derived field over fields and numbers, from left to right: add, subtract, multiply, divide."""

    way: str
    operands: tuple[Link | Decimal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A field that is worked out instead of recorded."""

    kind: str
    field: str
    how: Aggregate | Arithmetic
    words: str
    place: Place

    @property
    def key(self) -> FieldKey:
        return self.kind, self.field

    def reads(self) -> Iterator[FieldKey]:
        """The fields it rests on."""
        if isinstance(self.how, Arithmetic):
            yield from (o.key for o in self.how.operands if isinstance(o, Link))
            return
        yield from self.how.over.reads(subject=self.kind)
        if self.how.field is not None:
            yield self.how.over.kind, self.how.field


class Who(StrEnum):
    OWNER = "owner"
    MANAGER = "owner.manager"
    LEAD = "team lead"
    TEAM = "team"
    USER = "user"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One recipient as a rule names it; `otherwise` where that is nobody."""

    who: Who
    name: str = ""
    otherwise: Target | None = None


class DueKind(StrEnum):
    TODAY = "today"  # `now` and `today`
    TOMORROW = "tomorrow"
    IN = "in"
    ON_THE_DAY = "on the day"
    BEFORE = "before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    kind: DueKind
    span: Span | None = None
    link: Link | None = None  # BEFORE: the field; ON_THE_DAY: the field whose day it is
    yearly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    every: Span
    at_most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    after: Span
    to: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsBack:
    tags: tuple[str, ...]
    about_customer: bool = True


class Stage(StrEnum):
    DRAFT = "draft"
    SHADOW = "shadow"
    PERCENT = "percent"
    TEAM = "team"
    LIVE = "live"


class Reach(StrEnum):
    """How far a rule gets with one customer, and why no further. Only `live` reminds anyone."""

    LIVE = "live"
    SHADOW = "shadow"  # recorded and charted, sent to nobody
    DRAFT = "draft"
    OTHER_CUSTOMERS = "other customers"  # outside the percentage
    OTHER_TEAM = "other team"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a rule reaches. A percentage takes the same customers on every machine."""

    stage: Stage = Stage.LIVE
    percent: int = 100
    team: str | None = None

    def reach(self, *, rule: str, customer: str, team: str | None) -> Reach:
        """How far it gets with one customer, who is looked after by somebody of a team."""
        match self.stage:
            case Stage.DRAFT:
                return Reach.DRAFT
            case Stage.SHADOW:
                return Reach.SHADOW
            case Stage.PERCENT:
                digest = hashlib.sha256(f"{customer}\x1f{rule}".encode()).digest()
                within = int.from_bytes(digest[:8], "big") % 10_000 < self.percent * 100
                return Reach.LIVE if within else Reach.OTHER_CUSTOMERS
            case Stage.TEAM:
                return Reach.LIVE if team == self.team else Reach.OTHER_TEAM
            case Stage.LIVE:
                return Reach.LIVE


Texts: TypeAlias = Mapping[str, str]
"""The same sentence by language; the key "" holds one that was written without a language."""


def in_language(texts: Texts, language: str, fallback: str) -> str:
    """The sentence in a language, else in the company's, else in any."""
    for key in (language, "", fallback, "en"):
        if key in texts:
            return texts[key]
    return next(iter(texts.values()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    recommend: Verdict
    say: Texts
    do: str | None = None
    instead: tuple[str, ...] = ()
    to: tuple[Target, ...] = (Target(who=Who.OWNER),)
    channels: tuple[str, ...] = ()
    due: Due | None = None
    worth: Link | Decimal | None = None
    weight: int = 100
    repeat: Repeat | None = None
    escalate: tuple[Escalation, ...] = ()
    holds_back: HoldsBack | None = None
    sets: Mapping[str, Value] = field(default_factory=dict[str, Value])  # field of the customer -> value


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a test beside a rule expects. `open_` None: only `resolved` is asked."""

    open_: frozenset[str] | None
    resolved: frozenset[str] = frozenset()
    worth: Decimal | None = None
    due: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A moment of a story: what was written, then what is expected."""

    at: datetime
    change: Mapping[str, tuple[Mapping[str, object], ...]] = field(
        default_factory=dict[str, tuple[Mapping[str, object], ...]]
    )
    expect: Expectation | None
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    """A test beside a rule. One without a story is a story of one step."""

    name: str
    given: Mapping[str, tuple[Mapping[str, object], ...]]
    steps: tuple[Step, ...]
    place: Place

    def fields(self) -> frozenset[FieldKey]:
        """Every field that it gives to a record, at the beginning or later."""
        given = (self.given, *(step.change for step in self.steps))
        return frozenset(
            (kind, name) for of in given for kind, records in of.items() for record in records for name in record
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    id: str
    title: Texts
    tags: tuple[str, ...]
    subject: str  # the kind of `for each`
    when: tuple[Condition, ...]
    any_of: tuple[tuple[Condition, ...], ...]
    with_: tuple[Relation, ...]
    unless: tuple[Relation, ...]
    then: Then
    rollout: Rollout
    tests: tuple[RuleTest, ...]
    hash: str
    """Of what the rule says, not of how it is laid out."""
    place: Place

    def conditions(self) -> Iterator[Condition]:
        """Those on the subject, alternatives included."""
        yield from self.when
        for alternative in self.any_of:
            yield from alternative

    def spelled_out(self) -> Iterator[str]:
        """Every condition and relation as it is named in explanations."""
        yield from (str(c) for c in self.conditions())
        yield from (f"with {r.words}" for r in self.with_)
        yield from (f"unless {r.words}" for r in self.unless)

    def reach(self, this: Fact, facts: Facts) -> Reach:
        """How far it gets with a subject's customer."""
        owner = facts.people.get(facts.owner(this))
        return self.rollout.reach(rule=self.id, customer=facts.dossier.id, team=owner.team if owner else None)

    def relations(self) -> Iterator[Relation]:
        yield from self.with_
        yield from self.unless

    def reads(self) -> frozenset[str]:
        """The kinds of records that this rule itself looks at."""
        linked = {kind for c in self.conditions() for _, kind in c.link.refs}
        return frozenset({self.subject, *linked, *(r.kind for r in self.relations())})

    def fields(self) -> Iterator[FieldKey]:
        """The fields that its conditions and relations test."""
        yield from (c.link.key for c in self.conditions())
        for relation in self.relations():
            yield from relation.reads(subject=self.subject)
