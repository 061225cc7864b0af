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
from rules.model import Fact, Facts, FieldType, Value
from rules.operators import Test
from rules.problems import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How a field is reached: the refs to follow from the record, then the field."""

    refs: tuple[tuple[str, str], ...]  # (ref field, kind it names), in order
    field: str

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

    @property
    def temporal(self) -> bool:
        return any(c.test.temporal for c in self.conditions)

    def tied(self, other: Fact, this: Fact) -> bool:
        """Whether the other record hangs on the subject; the subject never counts as its own relation."""
        if other is this:
            return False
        for name, tie in self.ties:
            wanted = this["id"] if tie is Tie.THIS else this.get(name)
            if wanted is None or other.get(name) != wanted:
                return False
        return True


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a rule reaches. A percentage takes the same customers on every machine."""

    stage: Stage = Stage.LIVE
    percent: int = 100
    team: str | None = None

    @property
    def silent(self) -> bool:
        """Recorded and charted, sent to nobody."""
        return self.stage in (Stage.SHADOW, Stage.DRAFT)

    def reaches(self, *, rule: str, customer: str, team: str | None) -> bool:
        match self.stage:
            case Stage.DRAFT:
                return False
            case Stage.PERCENT:
                digest = hashlib.sha256(f"{customer}\x1f{rule}".encode()).digest()
                return int.from_bytes(digest[:8], "big") % 10_000 < self.percent * 100
            case Stage.TEAM:
                return team == self.team
            case _:
                return True


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

    @property
    def temporal(self) -> bool:
        return any(c.test.temporal for c in self.conditions()) or any(r.temporal for r in (*self.with_, *self.unless))

    def reads(self) -> frozenset[str]:
        """The kinds of records this rule looks at."""
        linked = {kind for c in self.conditions() for _, kind in c.link.refs}
        return frozenset({self.subject, *linked, *(r.kind for r in (*self.with_, *self.unless))})
