"""The next moment at which time alone changes what a rule, or one of its conditions, says of a subject."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from domain.calendar import At, Span, Unit
from rules.compiled import Holds
from rules.model import Fact, Facts, FieldKey
from rules.rule import Condition, Relation, Rule
from rules.strata import Strata

FLIP_LIMIT = 2_000  # edges looked at before we settle for looking again at the last one: early is harmless, late is not
ALIKE = Span(count=40, unit=Unit.YEARS)  # leap days and weekdays come round: what yearly tests leave as it is, stays

Edge: TypeAlias = tuple[datetime, bool]
"""(a moment at which a test flips, whether it comes back every year)"""
Seen: TypeAlias = tuple[Fact, Facts]
"""(a record as it stands at a moment, its dossier then)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """Looks ahead in the dossiers of a rule base."""

    strata: Strata
    move: Callable[[Facts, At], Facts]

    def flip(
        self, rule: Rule, this: Fact, facts: Facts, *, holds: Holds, truth: bool, before: datetime | None = None
    ) -> datetime | None:
        """The first moment after that of the facts at which the rule's truth differs; None: never, or not before."""
        seen = self.course(rule.fields(), rule.subject, this, facts)

        def edges(at: At) -> Iterator[Edge]:
            fact, then = seen(at)
            for condition in rule.conditions():
                yield from self.condition_edges(condition, fact, then, at)
            for relation in rule.relations():
                yield from self.relation_edges(relation, fact, then, at)

        return next_change(lambda at: holds(*seen(at), at), edges, facts.at, truth=truth, before=before)

    def course(self, read: Iterable[FieldKey], kind: str, this: Fact, facts: Facts) -> Callable[[At], Seen]:
        """How a record stands at each moment: always the same, unless a field that is read moves with the clock."""
        if not any(key in self.strata.clocked for key in read):
            return lambda _: (this, facts)
        place = next(n for n, fact in enumerate(facts.of[kind]) if fact is this)

        def seen(at: At) -> Seen:
            then = self.move(facts, at)
            return then.of[kind][place], then

        return seen

    def condition_edges(self, condition: Condition, fact: Fact, facts: Facts, at: At) -> Iterator[Edge]:
        """The moments around `at` at which a condition on a record flips, or the field it tests may change."""
        yield from _own_edges(condition, fact, facts, at)
        for kind, tested in self.strata.clocked.get(condition.link.key, ()):
            if tested.test.yearly or tested.link.key in self.strata.clocked:
                for other in facts.of.get(kind, ()):
                    yield from _own_edges(tested, other, facts, at)
            else:
                fixed = _fixed_edges(kind, tested, facts, at)
                following = bisect_right(fixed, at.now)
                yield from ((edge, False) for edge in fixed[following : following + 1])

    def relation_edges(self, relation: Relation, this: Fact, facts: Facts, at: At) -> Iterator[Edge]:
        """The moments around `at` at which a condition flips for one of the records tied to a subject."""
        if self.strata.moves_relation(relation):
            for other in facts.of.get(relation.kind, ()):
                if relation.tied(other, this):
                    for condition in relation.conditions:
                        yield from self.condition_edges(condition, other, facts, at)


def _own_edges(condition: Condition, fact: Fact, facts: Facts, at: At) -> Iterator[Edge]:
    if condition.test.temporal:
        for edge in condition.test.edges(condition.link.read(fact, facts), at):
            yield edge, condition.test.yearly


def _fixed_edges(kind: str, condition: Condition, facts: Facts, at: At) -> Sequence[datetime]:
    """Every moment from the first one asked for on at which a condition flips for some record of a kind, in order."""
    known = facts.edges.get(id(condition))
    if known is None:
        found = (edge for fact in facts.of.get(kind, ()) for edge, _ in _own_edges(condition, fact, facts, at))
        known = facts.edges[id(condition)] = sorted(set(found))
    return known


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
