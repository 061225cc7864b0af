"""The next moment at which time alone changes what a rule, or one of its conditions, says of a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeAlias

from domain.calendar import Span, Unit
from rules.compiled import Holds
from rules.model import Fact, Facts
from rules.operators import At
from rules.rule import Condition, Relation, Rule

FLIP_LIMIT = 500  # edges looked at before we settle for looking again at the last one: early is harmless, late is not
ALIKE = Span(count=40, unit=Unit.YEARS)  # leap days and weekdays come round: what yearly tests leave as it is, stays

Edge: TypeAlias = tuple[datetime, bool]
"""(a moment at which a test flips, whether it comes back every year)"""


def condition_edges(condition: Condition, fact: Fact, facts: Facts, at: At) -> Iterator[Edge]:
    """The moments around `at` at which a condition on a record flips."""
    if condition.test.temporal:
        for edge in condition.test.edges(condition.link.read(fact, facts), at):
            yield edge, condition.test.yearly


def relation_edges(relation: Relation, this: Fact, facts: Facts, at: At) -> Iterator[Edge]:
    """The moments around `at` at which a condition flips for one of the records tied to a subject."""
    if relation.temporal:
        for other in facts.of.get(relation.kind, ()):
            if relation.tied(other, this):
                for condition in relation.conditions:
                    yield from condition_edges(condition, other, facts, at)


def next_change(
    holds: Callable[[At], bool],
    edges: Callable[[At], Iterable[Edge]],
    at: At,
    *,
    truth: bool,
    before: datetime | None = None,
) -> datetime | None:
    """The first moment after `at` at which `holds` is no longer `truth`; None: never, or not before `before`.

    `edges` gives all moments after the one it is asked for, and near it, at which it may differ.
    """
    moment, alike_since = at, at.now

    def counts(edge: datetime, yearly: bool) -> bool:
        return edge > moment.now and not (yearly and edge > at.calendar.shift(alike_since, ALIKE))

    for _ in range(FLIP_LIMIT):
        later = (edge for edge in edges(moment) if counts(*edge))
        following, yearly = min(later, default=(None, False))
        if following is None or (before is not None and following >= before):
            return None
        moment = At.of(following, at.calendar)
        if holds(moment) != truth:
            return following
        if not yearly:
            alike_since = following
    return moment.now


def next_flip(
    rule: Rule, this: Fact, facts: Facts, at: At, *, holds: Holds, truth: bool, before: datetime | None
) -> datetime | None:
    """The first moment after `at` at which the rule's truth differs; None: never, or not before `before`."""

    def edges(moment: At) -> Iterator[Edge]:
        for condition in rule.conditions():
            yield from condition_edges(condition, this, facts, moment)
        for relation in (*rule.with_, *rule.unless):
            yield from relation_edges(relation, this, facts, moment)

    return next_change(lambda moment: holds(this, facts, moment), edges, at, truth=truth, before=before)
