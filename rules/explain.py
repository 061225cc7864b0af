"""Why, and why not: every condition of a rule with its value, whether it holds, and until when.

Beyond that, for whoever looks closer: the records behind a relation, and where a value that nobody recorded comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.calendar import At
from domain.record import RecordRef
from rules.horizon import Horizon, next_change
from rules.model import Fact, Facts, FieldKey, Value
from rules.rule import Aggregate, Arithmetic, Condition, Derived, Link, Reach, Relation, Rule, Tie
from rules.strata import Classified

EXTREMES = ("min", "max", "latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One condition, read for one subject at one moment.

    `value`: the field's; for a relation the ids of the records that are related. `until`: the next moment at which
    time alone changes `holds`; None where it never does.
    """

    condition: str
    value: Value | tuple[str, ...] | None
    holds: bool
    until: datetime | None
    part: str  # "when", "any of", "with", "unless"
    alternative: int | None = None
    about: Condition | Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Tied:
    """A field that ties records of a kind to the subject."""

    kind: str
    field: str
    tie: Tie

    def holds(self, other: Fact, this: Fact) -> bool:
        wanted = this["id"] if self.tie is Tie.THIS else this.get(self.field)
        return wanted is not None and other.get(self.field) == wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the value of a field comes from that was not recorded.

    `by`: how it is derived, or the rule that sets it. `parts`: the records that count, those that decide an extreme
    first; the operands; or the subject for which the rule holds.
    """

    field: FieldKey
    by: Derived | Rule
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A record with the value that it adds (None where records are only counted), a field of the record, a number."""

    of: RecordRef | Link | Decimal
    value: Value | None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition or tie of a relation, read for one record."""

    about: Condition | Tied
    value: Value | None
    holds: bool
    origin: Origin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A record that a relation looks at."""

    ref: RecordRef
    checks: tuple[Check, ...]

    @property
    def fulfilled(self) -> tuple[int, int]:
        """How much of the relation it fulfils, and how much of that are ties."""
        held = [check for check in self.checks if check.holds]
        return len(held), sum(isinstance(check.about, Tied) for check in held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Explains a rule for the subject `this`, at the moment of the facts."""

    rule: Rule
    this: Fact
    facts: Facts
    horizon: Horizon

    def reasons(self) -> Iterator[Reason]:
        """Every condition of the rule, in the order in which it was written."""
        for condition in self.rule.when:
            yield self._condition(condition, part="when")
        for number, alternative in enumerate(self.rule.any_of):
            for condition in alternative:
                yield self._condition(condition, part="any of", alternative=number)
        for part, relations in (("with", self.rule.with_), ("unless", self.rule.unless)):
            for relation in relations:
                yield self._relation(relation, part=part)

    def why(self) -> Iterator[Reason]:
        """The conditions that make a rule hold: of `any of`, only the alternatives that do."""
        found = tuple(self.reasons())
        failing = {r.alternative for r in found if r.alternative is not None and not r.holds}
        yield from (r for r in found if r.alternative not in failing)

    # --- looking closer ---

    def origin(self, condition: Condition) -> Origin | None:
        """Where the tested value comes from; None where it was recorded, or is missing with its record."""
        return _origin(condition.link, self.this, self.facts, self.horizon)

    def found(self, relation: Relation) -> tuple[Related, ...]:
        """The records that are related, each with what was tested."""
        at = self.facts.at
        return tuple(self._related(relation, other) for other in related(relation, self.this, self.facts, at))

    def nearest(self, reason: Reason) -> Related | None:
        """Where a relation fails for want of records: the one that fulfils most of it, ties before others."""
        relation = reason.about
        if reason.holds or not isinstance(relation, Relation):
            return None
        others = [other for other in self.facts.of.get(relation.kind, ()) if other is not self.this]
        taken = {id(other) for other in related(relation, self.this, self.facts, self.facts.at)}
        missed = [other for other in others if id(other) not in taken]
        more = range(len(taken) + 1, len(others) + 1)
        if not any(_exist(relation, number, self.facts.at) is (reason.part == "with") for number in more):
            return None
        return max((self._related(relation, other) for other in missed), key=lambda other: other.fulfilled)

    def _related(self, relation: Relation, other: Fact) -> Related:
        ties = (Tied(kind=relation.kind, field=name, tie=tie) for name, tie in relation.ties)
        checks = [
            Check(about=tied, value=other.get(tied.field), holds=tied.holds(other, self.this), origin=None)
            for tied in ties
        ]
        for condition in relation.conditions:
            value = condition.link.read(other, self.facts)
            holds = condition.test.holds(value, self.facts.at)
            origin = _origin(condition.link, other, self.facts, self.horizon)
            checks.append(Check(about=condition, value=value, holds=holds, origin=origin))
        return Related(ref=RecordRef(kind=relation.kind, id=str(other["id"])), checks=tuple(checks))

    # --- conditions and relations at a moment ---

    def _condition(self, condition: Condition, *, part: str, alternative: int | None = None) -> Reason:
        seen = self.horizon.course([condition.link.key], self.rule.subject, self.this, self.facts)

        def holds(at: At) -> bool:
            return condition.test.holds(condition.link.read(*seen(at)), at)

        at = self.facts.at
        truth = holds(at)
        return Reason(
            condition=str(condition),
            value=condition.link.read(self.this, self.facts),
            holds=truth,
            until=next_change(
                holds, lambda moment: self.horizon.condition_edges(condition, *seen(moment), moment), at, truth=truth
            ),
            part=part,
            alternative=alternative,
            about=condition,
        )

    def _relation(self, relation: Relation, *, part: str) -> Reason:
        read = relation.reads(subject=self.rule.subject)
        seen = self.horizon.course(read, self.rule.subject, self.this, self.facts)

        def holds(at: At) -> bool:
            found = sum(1 for _ in related(relation, *seen(at), at))
            return _exist(relation, found, at) is (part == "with")

        at = self.facts.at
        truth = holds(at)
        return Reason(
            condition=f"{part} {relation.words}",
            value=tuple(str(other["id"]) for other in related(relation, self.this, self.facts, at)),
            holds=truth,
            until=next_change(
                holds, lambda moment: self.horizon.relation_edges(relation, *seen(moment), moment), at, truth=truth
            ),
            part=part,
            about=relation,
        )


def first_failing(reasons: Sequence[Reason]) -> Reason | None:
    """What keeps a rule from holding: the first of it. Where one alternative of `any of` holds, the others do not."""
    failing = {r.alternative for r in reasons if not r.holds}
    satisfied = {r.alternative for r in reasons if r.alternative is not None} - failing
    return next((r for r in reasons if not r.holds and not (satisfied and r.alternative is not None)), None)


def related(relation: Relation, this: Fact, facts: Facts, at: At) -> Iterator[Fact]:
    """The records that a relation finds for a subject."""
    for other in facts.of.get(relation.kind, ()):
        if relation.tied(other, this) and all(c.test.holds(c.link.read(other, facts), at) for c in relation.conditions):
            yield other


def _exist(relation: Relation, found: int, at: At) -> bool:
    """Whether so many records are what a relation asks for."""
    return found > 0 if relation.count is None else relation.count.holds(Decimal(found), at)


def _holds(rule: Rule, this: Fact, facts: Facts) -> bool:
    """Whether a rule is true for a subject, read from its conditions."""

    def all_hold(conditions: Iterable[Condition]) -> bool:
        return all(c.test.holds(c.link.read(this, facts), facts.at) for c in conditions)

    def exists(relation: Relation) -> bool:
        return _exist(relation, sum(1 for _ in related(relation, this, facts, facts.at)), facts.at)

    return (
        all_hold(rule.when)
        and (not rule.any_of or any(map(all_hold, rule.any_of)))
        and all(map(exists, rule.with_))
        and not any(map(exists, rule.unless))
    )


def _origin(link: Link, fact: Fact, facts: Facts, horizon: Horizon) -> Origin | None:
    """Where the value comes from that a link leads to from a record."""
    owner: Fact | None = fact
    for ref, kind in link.refs:
        owner = facts.find(kind, owner.get(ref)) if owner else None
    step = next((step for step in horizon.strata.steps if step.key == link.key), None)
    match step:
        case Classified() if owner is not None:
            return _set(step, facts)
        case Derived(how=Arithmetic(operands=operands)) if owner is not None:
            parts = [_operand(operand, owner, facts, horizon) for operand in operands]
            return Origin(field=step.key, by=step, parts=tuple(parts))
        case Derived(how=Aggregate() as aggregate) if owner is not None:
            return Origin(field=step.key, by=step, parts=tuple(_counted(aggregate, owner, facts)))
        case _:
            return None


def _set(step: Classified, facts: Facts) -> Origin | None:
    """The rule that sets a field: the first that is live and holds for one of its subjects."""
    for rule in step.rules:
        for this in facts.of.get(rule.subject, ()):
            if _holds(rule, this, facts) and rule.reach(this, facts) is Reach.LIVE:
                part = Part(of=RecordRef(kind=rule.subject, id=str(this["id"])), value=None)
                return Origin(field=step.key, by=rule, parts=(part,))
    return None


def _operand(operand: Link | Decimal, fact: Fact, facts: Facts, horizon: Horizon) -> Part:
    if isinstance(operand, Decimal):
        return Part(of=operand, value=operand)
    return Part(of=operand, value=operand.read(fact, facts), origin=_origin(operand, fact, facts, horizon))


def _counted(aggregate: Aggregate, this: Fact, facts: Facts) -> list[Part]:
    """The records that a derived field was worked out from, the record itself included where it counts."""
    over = aggregate.over
    ties = [Tied(kind=over.kind, field=name, tie=tie) for name, tie in over.ties]
    parts: list[Part] = []
    for other in facts.of.get(over.kind, ()):
        value = other.get(aggregate.field) if aggregate.field else None
        matches = all(c.test.holds(c.link.read(other, facts), facts.at) for c in over.conditions)
        if matches and all(tied.holds(other, this) for tied in ties) and (value is not None or not aggregate.field):
            parts.append(Part(of=RecordRef(kind=over.kind, id=str(other["id"])), value=value))
    if aggregate.way in EXTREMES:
        parts.sort(key=lambda part: part.value, reverse=aggregate.way != "min")  # pyright: ignore[reportArgumentType]
    return parts
