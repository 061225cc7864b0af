"""Why, and why not: every condition of a rule with its value, whether it holds, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rules.horizon import condition_edges, next_change, relation_edges
from rules.model import Fact, Facts, Value
from rules.operators import At
from rules.rule import Condition, Relation, Rule


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


def reasons(rule: Rule, this: Fact, facts: Facts, at: At) -> tuple[Reason, ...]:
    """Every condition of the rule, in the order in which it was written."""
    return tuple(_reasons(rule, this, facts, at))


def _reasons(rule: Rule, this: Fact, facts: Facts, at: At) -> Iterator[Reason]:
    for condition in rule.when:
        yield _condition(condition, this, facts, at, part="when")
    for number, alternative in enumerate(rule.any_of):
        for condition in alternative:
            yield _condition(condition, this, facts, at, part="any of", alternative=number)
    for part, relations in (("with", rule.with_), ("unless", rule.unless)):
        for relation in relations:
            yield _relation(relation, this, facts, at, part=part)


def why(rule: Rule, this: Fact, facts: Facts, at: At) -> tuple[Reason, ...]:
    """The conditions that make a rule hold: of `any of`, only the alternatives that do."""
    found = reasons(rule, this, facts, at)
    failing = {r.alternative for r in found if r.alternative is not None and not r.holds}
    return tuple(r for r in found if r.alternative not in failing)


def _condition(
    condition: Condition, this: Fact, facts: Facts, at: At, *, part: str, alternative: int | None = None
) -> Reason:
    value = condition.link.read(this, facts)
    holds = condition.test.holds(value, at)
    return Reason(
        condition=str(condition),
        value=value,
        holds=holds,
        until=next_change(
            lambda moment: condition.test.holds(value, moment),
            lambda moment: condition_edges(condition, this, facts, moment),
            at,
            truth=holds,
        ),
        part=part,
        alternative=alternative,
        about=condition,
    )


def _relation(relation: Relation, this: Fact, facts: Facts, at: At, *, part: str) -> Reason:
    def holds(moment: At) -> bool:
        found = Decimal(sum(1 for _ in related(relation, this, facts, moment)))
        exists = found > 0 if relation.count is None else relation.count.holds(found, moment)
        return exists is (part == "with")

    truth = holds(at)
    return Reason(
        condition=f"{part} {relation.words}",
        value=tuple(str(other["id"]) for other in related(relation, this, facts, at)),
        holds=truth,
        until=next_change(holds, lambda moment: relation_edges(relation, this, facts, moment), at, truth=truth),
        part=part,
        about=relation,
    )


def related(relation: Relation, this: Fact, facts: Facts, at: At) -> Iterator[Fact]:
    """The records that a relation finds for a subject."""
    for other in facts.of.get(relation.kind, ()):
        if relation.tied(other, this) and all(c.test.holds(c.link.read(other, facts), at) for c in relation.conditions):
            yield other
