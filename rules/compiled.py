"""Rules as the Python that `writer` writes, compiled: which of them hold for a customer, and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias, cast

from domain.calendar import LAST_DAY, NEVER, At
from rules.course import Course
from rules.model import Fact, Facts, Value
from rules.operators import FOREVER
from rules.rule import Derived, Rule
from rules.strata import Classified, Strata
from rules.writer import Writer, kind_name, rule_name, step_name

Hit: TypeAlias = tuple[int, Fact]
"""(index of the rule, the subject)"""
Select: TypeAlias = Callable[[Facts, At, list[Hit], list[Hit], int, datetime], tuple[int, datetime]]
"""Adds to the lists, and gives the ordinal of the first day, and the first moment, at which a rule flips."""
Holds: TypeAlias = Callable[[Fact, Facts, At], bool]
WorkOut: TypeAlias = Callable[[Fact, Facts, At], Value | Course | None]
Worked: TypeAlias = tuple[str, str, WorkOut]
"""(kind, field, what works it out for a record of that kind)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Rules as functions.

    `lasting` and `clocked` work out derived and classified fields in order: those that stay as long as nobody writes,
    then those that time alone may change.
    """

    source: str
    selects: dict[str, Select]
    holds: tuple[Holds, ...]
    lasting: tuple[Worked, ...]
    clocked: tuple[Worked, ...]

    def select(self, facts: Facts, at: At) -> tuple[list[Hit], list[Hit], datetime | None]:
        """(what holds now, what the horizon must look at, when time alone changes the former; None: never)

        Only rules on kinds that this customer has are read.
        """
        hits: list[Hit] = []
        live: list[Hit] = []
        next_day, next_moment = FOREVER, NEVER
        for kind in facts.of:
            select = self.selects.get(kind)
            if select is not None:
                next_day, next_moment = select(facts, at, hits, live, next_day, next_moment)
        if next_day < LAST_DAY.toordinal():
            next_moment = min(next_moment, at.calendar.midnight(date.fromordinal(next_day)))
        return hits, live, next_moment if next_moment < NEVER else None


def work_out(steps: Sequence[Worked], facts: Facts) -> None:
    """Fill in fields, for each record that has them."""
    for kind, name, value_of in steps:
        for place, fact in enumerate(facts.of.get(kind, ())):
            known = facts.courses.get((kind, name, place))
            value = known or value_of(fact, facts, facts.at)
            if isinstance(value, Course):
                facts.courses[kind, name, place] = value
                value = value.at(facts.at.now)
            if value is not None:
                fact[name] = value


def compile_rules(rules: Sequence[Rule], strata: Strata) -> Compiled:
    writer = Writer(strata=strata)
    indexes = {rule.id: index for index, rule in enumerate(rules)}
    for index, rule in enumerate(rules):
        writer.rule(index, rule)
    for kind in dict.fromkeys(rule.subject for rule in rules):
        writer.kind(kind, [(i, r) for i, r in enumerate(rules) if r.subject == kind])
    for step in strata.steps:
        match step:
            case Derived():
                writer.derived(step)
            case Classified():
                writer.classified(step, [rule_name(indexes[rule.id], rule) for rule in step.rules])
    source = "\n".join(writer.lines) + "\n"
    namespace: dict[str, object] = dict(writer.constants)
    exec(compile(source, "<rule base>", "exec"), namespace)  # noqa: S102 - our own text; every author's word is a repr or a constant

    def worked(*, clocked: bool) -> tuple[Worked, ...]:
        return tuple(
            (*step.key, cast(WorkOut, namespace[step_name(step)]))
            for step in strata.steps
            if (step.key in strata.clocked) is clocked
        )

    return Compiled(
        source=source,
        selects={kind: cast(Select, namespace[kind_name(kind)]) for kind in dict.fromkeys(r.subject for r in rules)},
        holds=tuple(cast(Holds, namespace[rule_name(i, r)]) for i, r in enumerate(rules)),
        lasting=worked(clocked=False),
        clocked=worked(clocked=True),
    )
