"""The next moment at which time alone changes what a rule says of a subject."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rules.compiled import Holds
from rules.model import Fact, Facts
from rules.operators import At
from rules.rule import Rule

FLIP_LIMIT = 500  # edges looked at before we settle for looking again at the last one: early is harmless, late is not


def edges(rule: Rule, this: Fact, facts: Facts, at: At) -> Iterator[datetime]:
    """The moments around `at` at which one of the rule's temporal tests flips for this subject or its relations."""
    for condition in rule.conditions():
        if condition.test.temporal:
            for interval in condition.test.during(condition.link.read(this, facts), at):
                yield from interval.edges()
    for relation in (*rule.with_, *rule.unless):
        if not relation.temporal:
            continue
        for other in facts.of.get(relation.kind, ()):
            if relation.tied(other, this):
                for condition in relation.conditions:
                    for interval in condition.test.during(condition.link.read(other, facts), at):
                        yield from interval.edges()


def next_flip(
    rule: Rule, this: Fact, facts: Facts, at: At, *, holds: Holds, before: datetime | None
) -> datetime | None:
    """The first moment after `at` at which the rule's truth differs; None: never, or not before `before`."""
    truth = holds(this, facts, at)
    moment = at
    for _ in range(FLIP_LIMIT):
        following = min((edge for edge in edges(rule, this, facts, moment) if edge > moment.now), default=None)
        if following is None or (before is not None and following >= before):
            return None
        moment = At.of(following, at.calendar)
        if holds(this, facts, moment) != truth:
            return following
    return moment.now
