"""Why, and why not: every condition of a rule with its value, whether it holds, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.calendar import At
from rules.horizon import Horizon, next_change
from rules.model import Fact, Facts, Value
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
            found = Decimal(sum(1 for _ in related(relation, *seen(at), at)))
            exists = found > 0 if relation.count is None else relation.count.holds(found, at)
            return exists is (part == "with")

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


def related(relation: Relation, this: Fact, facts: Facts, at: At) -> Iterator[Fact]:
    """The records that a relation finds for a subject."""
    for other in facts.of.get(relation.kind, ()):
        if relation.tied(other, this) and all(c.test.holds(c.link.read(other, facts), at) for c in relation.conditions):
            yield other
