"""What rests on what: derived fields and classifications in the order in which they can be worked out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from domain.record import CUSTOMER
from rules.model import FieldKey
from rules.problems import Place, Problems
from rules.rule import Aggregate, Condition, Derived, Relation, Rule, Tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """A field of the customer that rules set: the rules that do, the one that wins first."""

    field: str
    rules: tuple[Rule, ...]

    @property
    def key(self) -> FieldKey:
        return CUSTOMER, self.field

    @property
    def place(self) -> Place:
        return self.rules[0].place

    def reads(self) -> Iterator[FieldKey]:
        for rule in self.rules:
            yield from rule.fields()


Step: TypeAlias = Derived | Classified
Tested: TypeAlias = tuple[str, Condition]
"""(kind of the record, a condition on it)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """Every derived and classified field, each after what it rests on.

    `clocked`: the fields that time alone may change, each with every condition whose flip may do so.
    """

    steps: tuple[Step, ...] = ()
    clocked: Mapping[FieldKey, tuple[Tested, ...]]

    def moves(self, condition: Condition) -> bool:
        """Whether time alone may change what a condition says of a record."""
        return condition.test.temporal or condition.link.key in self.clocked

    def moves_relation(self, relation: Relation) -> bool:
        return any(map(self.moves, relation.conditions))

    def moves_rule(self, rule: Rule) -> bool:
        return any(map(self.moves, rule.conditions())) or any(map(self.moves_relation, rule.relations()))

    def behind(self, read: Iterable[FieldKey]) -> Strata:
        """Only the steps that fields rest on."""
        needed = set(read)
        for step in reversed(self.steps):  # whoever reads a step comes after it
            if step.key in needed:
                needed.update(step.reads())
        return replace(self, steps=tuple(step for step in self.steps if step.key in needed))

    def without(self, fields: Set[FieldKey]) -> Strata:
        """All but the steps that work these fields out."""
        return replace(
            self,
            steps=tuple(step for step in self.steps if step.key not in fields),
            clocked={key: tested for key, tested in self.clocked.items() if key not in fields},
        )

    def kinds(self) -> Set[str]:
        """The kinds of records that the steps look at."""
        return {kind for step in self.steps for kind in _kinds(step)}


def stratify(derived: Sequence[Derived], rules: Sequence[Rule], problems: Problems) -> Strata:
    """Steps that read each other in a circle are reported (R302) and left out."""
    _check_ties(derived, rules, problems)
    steps: dict[FieldKey, Step] = {step.key: step for step in (*derived, *_classified(rules))}
    reads = {key: [read for read in step.reads() if read in steps] for key, step in steps.items()}
    while True:
        try:
            order = list(TopologicalSorter(reads).static_order())
            break
        except CycleError as failure:
            circle: list[FieldKey] = failure.args[1][::-1]  # each reads the next
            named = " -> ".join(f"{kind}.{field}" for kind, field in circle)
            problems.error(
                "R302", steps[circle[0]].place, f"{named} goes round in a circle: each is worked out from the next",
                "let one of them rest on something that is recorded",
            )  # fmt: skip
            for key in circle:
                steps.pop(key, None)
            reads = {key: [read for read in read_ if read in steps] for key, read_ in reads.items() if key in steps}
    return Strata(steps=tuple(steps[key] for key in order), clocked=_clocked([steps[key] for key in order]))


def _check_ties(derived: Sequence[Derived], rules: Sequence[Rule], problems: Problems) -> None:
    """`same` compares what is recorded: a classification may differ from moment to moment."""
    sets = {(CUSTOMER, field) for rule in rules for field in rule.then.sets}
    relations = [(rule.subject, r, rule.place) for rule in rules for r in rule.relations()]
    relations += [(d.kind, d.how.over, d.place) for d in derived if isinstance(d.how, Aggregate)]
    for subject, relation, place in relations:
        for name, tie in relation.ties:
            if tie is Tie.SAME and {(subject, name), (relation.kind, name)} & sets:
                problems.error("R301", place, f"{name} is set by rules", "tie by a field that is recorded")


def _classified(rules: Sequence[Rule]) -> Iterator[Classified]:
    fields = dict.fromkeys(field for rule in rules for field in rule.then.sets)
    for field in fields:
        setters = [rule for rule in rules if field in rule.then.sets]
        setters.sort(key=lambda rule: (-rule.then.weight, rule.id))
        yield Classified(field=field, rules=tuple(setters))


def _clocked(steps: Iterable[Step]) -> Mapping[FieldKey, tuple[Tested, ...]]:
    found: dict[FieldKey, tuple[Tested, ...]] = {}
    for step in steps:
        own = [tested for tested in _tested(step) if tested[1].test.temporal]
        own += (tested for read in step.reads() for tested in found.get(read, ()))
        if own:
            found[step.key] = tuple({id(condition): (kind, condition) for kind, condition in own}.values())
    return found


def _tested(step: Step) -> Iterator[Tested]:
    match step:
        case Classified(rules=rules):
            for rule in rules:
                yield from ((rule.subject, c) for c in rule.conditions())
                yield from ((r.kind, c) for r in rule.relations() for c in r.conditions)
        case Derived(how=Aggregate(over=over)):
            yield from ((over.kind, c) for c in over.conditions)
        case Derived():
            return


def _kinds(step: Step) -> Iterator[str]:
    """The kinds of records that a step itself looks at."""
    yield step.key[0]
    if isinstance(step, Classified):
        for rule in step.rules:
            yield from rule.reads()
    elif isinstance(step.how, Aggregate):
        yield step.how.over.kind
