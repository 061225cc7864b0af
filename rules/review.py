"""What is wrong with rules that can all be read: the findings that need the whole rule base, its tests, or the data.

None of them keeps a rule base from deciding: `load` does not ask for them, `relance rules check` does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from domain.calendar import At, Calendar, Span, Unit
from domain.person import People
from domain.record import CUSTOMER, Record
from rules.advice import Adviser
from rules.alone import Alone, endlessly
from rules.loader import Checked
from rules.model import Date, DateTime, Enum, Fact, Facts, FieldKey, FieldType, Number, Value, YesNo
from rules.operators import (
    Before,
    Between,
    Compare,
    Contains,
    Equals,
    Missing,
    MissingOr,
    NoneOf,
    OnDay,
    Present,
    StartsWith,
    Temporal,
    Test,
)
from rules.problems import Place, Problems, suggestion
from rules.rule import Condition, Link, Relation, Rule, Stage, Target, Who
from rules.rulebase import RuleBase
from rules.say import Voice
from rules.source import Mapping, Node, listed
from rules.stories import run_test
from rules.strata import Classified

ENOUGH = 100  # records of a kind; fewer say little about those that nobody looked at
DIALOG = re.compile(r"dialog ([\w-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Records that were looked at. `at_all`: there are no others."""

    records: Collection[Record]
    at_all: bool


def review(
    checked: Checked,
    *,
    people: People | None = None,
    looked: Looked | None = None,
    patient: Callable[[], bool] = endlessly,
) -> Problems:
    """All that is to be said of a rule base, in the order of its places: what reading it found, and what this adds.

    `people`, `looked`: None where nobody knows them; what needs them is left out. Raises `OutOfPatience`, where the
    tests beside the rules take longer than anybody is `patient`.
    """
    found = Problems(checked.problems)
    rules = [_AsWritten.of(rule, checked) for rule in checked.rulebase.rules]
    if checked.written.whole:
        _check_dialogs(rules, checked, found)
    if people is not None:
        _check_people(rules, people, found)
    _check_tests(checked, found, patient)
    for rule in rules:
        _check_possible(rule, found)
    _check_twins(checked.rulebase.rules, found)
    _check_tested(checked.rulebase.rules, found)
    if looked is not None:
        _check_data(rules, checked.rulebase, looked, found)
    found.sort(key=lambda p: (p.place.file, p.place.line, p.place.column))
    return found


# --- rules beside the documents they were read from ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A condition, where its field stands, and where its test does."""

    about: Condition
    key: Place
    value: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class _Related:
    """A relation, where it begins, and what it says."""

    about: Relation
    key: Place
    node: Mapping

    @property
    def lines(self) -> tuple[_Line, ...]:
        return _lines(self.node, self.about.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AsWritten:
    """A rule, the document it was read from, and where its reach was written last."""

    rule: Rule
    document: Mapping
    rollout: Node | None

    @classmethod
    def of(cls, rule: Rule, checked: Checked) -> _AsWritten:
        return cls(rule=rule, document=checked.written.rules[rule.id], rollout=checked.written.rollouts[rule.id])

    @property
    def when(self) -> tuple[_Line, ...]:
        return _lines(self.document.get("when"), self.rule.when)

    @property
    def any_of(self) -> tuple[tuple[_Line, ...], ...]:
        return tuple(map(_lines, listed(self.document.get("any of")), self.rule.any_of))

    def related(self, part: str) -> Iterator[_Related]:
        """The relations of `with` or `unless`."""
        relations = iter(self.rule.with_ if part == "with" else self.rule.unless)
        for item in listed(self.document.get(part)):
            for key, node in item if isinstance(item, Mapping) else ():
                assert isinstance(node, Mapping)
                yield _Related(about=next(relations), key=key.at, node=node)

    def then(self, *path: str) -> tuple[Node, ...]:
        """What stands under a key of `then`, or under a key of everything there."""
        nodes: tuple[Node, ...] = (self.document.by_key["then"],)
        for key in path:
            nodes = tuple(item for n in nodes if isinstance(n, Mapping) for item in listed(n.get(key)))
        return nodes


def _lines(node: Node | None, conditions: Iterable[Condition]) -> tuple[_Line, ...]:
    if not isinstance(node, Mapping):
        return ()
    named = ((c, str(c.link)) for c in conditions)
    return tuple(_Line(about=c, key=node.key(name).at, value=node.by_key[name].at) for c, name in named)


# --- R401, R403: names of what others describe ---


def _check_dialogs(rules: Sequence[_AsWritten], checked: Checked, found: Problems) -> None:
    """A stack that describes no dialog at all keeps them elsewhere."""
    known = checked.written.dialogs
    named = [node for rule in rules for key in ("do", "or") for node in rule.then(key)]
    stages = (stage for process in checked.written.processes for stage in listed(process.get("stages")))
    named += (node for stage in stages if isinstance(stage, Mapping) for node in listed(stage.get("ask")))
    for node in named if known else ():
        match = DIALOG.fullmatch(" ".join(str(node).split()))
        if match and match[1] not in known:
            found.error("R401", node.at.within(match[1]), f'no dialog "{match[1]}"', suggestion(match[1], known))


def _check_people(rules: Sequence[_AsWritten], people: People, found: Problems) -> None:
    teams = {person.team for person in people.by_id.values() if person.team}

    def check(name: str, known: Collection[str], what: str, at: Place) -> None:
        if name not in known:
            help_ = suggestion(name, known) or f"import the people of the {what}"
            found.error("R403", at.within(name), f'no {what} "{name}"', help_)

    def check_target(target: Target, at: Place) -> None:
        if target.who is Who.TEAM:
            check(target.name, teams, "team", at)
        if target.who is Who.USER:
            check(target.name, people.by_id, "user", at)
        if target.otherwise is not None:
            check_target(target.otherwise, at)

    for written in rules:
        then = written.rule.then
        escalated = (target for escalation in then.escalate for target in escalation.to)
        for targets, nodes in ((then.to, written.then("to")), (escalated, written.then("escalate", "to"))):
            for target, node in zip(targets, nodes, strict=False):  # without `to` it is the owner
                check_target(target, node.at)
        if written.rollout is not None and written.rule.rollout.team is not None:
            check(written.rule.rollout.team, teams, "team", written.rollout.at)


# --- R404: tests beside the rules ---


class _Silent(Adviser):
    """Finds no words: no test asks for them, and each sentence would be compiled."""

    def say(self, rule: Rule, this: Fact, facts: Facts, *, voice: Voice) -> str:
        return ""


class _Single(Alone):
    """Decides without finding words."""

    @cached_property
    def adviser(self) -> Adviser:
        return _Silent(model=self.model, company=self.company)


def single(base: RuleBase, rule: Rule, *, patient: Callable[[], bool] = endlessly) -> RuleBase:
    """A rule with nothing but what it rests on, decided without the engine: for the tests beside it."""
    said = (rule.then.worth, rule.then.due.link if rule.then.due else None)
    strata = base.strata.behind([*rule.fields(), *(link.key for link in said if isinstance(link, Link))])
    setters = [setter for step in strata.steps if isinstance(step, Classified) for setter in step.rules]
    return _Single(
        rules=tuple({each.id: each for each in (rule, *setters)}.values()),
        model=base.model,
        strata=strata,
        company=base.company,
        office=base.office,
        calendars=base.calendars,
        hash=base.hash,
        patient=patient,
    )


def _check_tests(checked: Checked, found: Problems, patient: Callable[[], bool]) -> None:
    base = checked.rulebase
    for rule in base.rules:
        if rule.tests and _is_whole(rule, checked):
            small = single(base, rule, patient=patient)
            for failure in (failure for test in rule.tests for failure in run_test(small, rule, test).failures):
                way_out = "change the rule, or what the test expects of it"
                found.error("R404", failure.place, f"{failure.test}: {failure.message}", way_out)


def _is_whole(rule: Rule, checked: Checked) -> bool:
    """Whether nothing is missing that a rule rests on: one that was left out may set fields of the customer."""
    if not checked.problems.errors:
        return True
    kinds = checked.rulebase.model.kinds
    recorded = all(kind != CUSTOMER and name not in kinds[kind].derived for kind, name in rule.fields())
    return checked.written.whole and recorded


# --- W501: what can never be ---


def _check_possible(written: _AsWritten, found: Problems) -> None:
    id_ = written.rule.id
    conflicts = [_conflict((*written.when, *alternative)) for alternative in written.any_of or ((),)]
    if all(conflicts):
        way_out = "change one of them" if not written.any_of else "no alternative of `any of` can be true: change them"
        found.warning("W501", conflicts[0][-1].value, f"{id_} can never be true: {_clash(conflicts[0])}", way_out)
    for part in ("with", "unless"):
        for related in written.related(part):
            _check_relation(id_, part, related, found)


def _check_relation(id_: str, part: str, related: _Related, found: Problems) -> None:
    """Whether it comes out the same whatever records there are."""
    conflict, count = _conflict(related.lines), related.node.get("count")
    existing = _existing(related.about, impossible=bool(conflict))
    if existing == {part == "unless"}:
        message = f"{id_} can never be true, for its `{part}`"
    elif part == "unless" and existing == {False}:
        message = "this `unless` holds back nothing"
    else:
        return
    at = conflict[-1].value if conflict else (count or related.node).at
    why = _clash(conflict) if conflict else f'{"any" if True in existing else "no"} number is "{count}"'
    found.warning("W501", at, f"{message}: {why}", "change it, or delete it")


def _clash(lines: Sequence[_Line]) -> str:
    tests = " and ".join(f'"{line.about.words}"' for line in lines)
    link = lines[0].about.link
    return f"{link} is never {tests} at once" if len(lines) > 1 else f"{link} is never {tests}"


def _conflict(lines: Iterable[_Line]) -> tuple[_Line, ...]:
    """Conditions on one field that no value passes; empty where there are none for certain."""
    by_link: dict[Link, list[_Line]] = {}
    for line in lines:
        by_link.setdefault(line.about.link, []).append(line)
    for of_one in by_link.values():
        together = (tuple(of_one),) if len(of_one) > 1 else ()
        for group in (*((line,) for line in of_one), *together):
            if _never([line.about.test for line in group], group[0].about.type):
                return group
    return ()


def _existing(relation: Relation, *, impossible: bool) -> set[bool]:
    """What can come out when it is asked whether the related records exist."""
    if relation.count is None:
        return {False} if impossible else {False, True}
    near = {int(bound) + step for bound in _bounds([relation.count]) for step in (-1, 0, 1, 2)}
    counts = {0} if impossible else {0, *(number for number in near if number > 0)}
    return {relation.count.holds(Decimal(number), SOMEWHEN) for number in counts}


SOMEWHEN = At.of(datetime(2000, 1, 1, tzinfo=UTC), Calendar())  # for tests that no clock moves
EXACT = Context(prec=4096)  # more digits than what stands between two numbers can have


def _never(tests: Sequence[Test], type_: FieldType) -> bool:
    """Whether no value of a field, and no missing one, ever passes all tests. False where that is not certain."""
    if all(isinstance(test, Missing | MissingOr) for test in tests):
        return False
    if any(isinstance(test, Missing) for test in tests):
        return True
    present = [t.test if isinstance(t, MissingOr) else t for t in tests if not isinstance(t, Present)]
    clocked = [test for test in present if isinstance(test, Temporal)]
    still = [test for test in present if not isinstance(test, Temporal)]
    return _never_still(still, type_) or _never_in_time(clocked, type_)


def _never_still(tests: Sequence[Test], type_: FieldType) -> bool:
    """Tries one value of each sort that the tests can tell apart."""

    def passes(values: Iterable[Value], tests: Sequence[Test]) -> bool:
        return any(all(test.holds(value, SOMEWHEN) for test in tests) for value in values)

    match type_:
        case YesNo():
            return not passes((True, False), tests)
        case Enum(values=values):
            return not passes(values, tests)
        case Number():
            return not passes(_numbers(tests), tests)
        case Date():
            return not passes(_days(tests), tests)
        case DateTime():  # whether a moment is on a day depends on the office: the two are not compared
            by_day = [test for test in tests if isinstance(test, Before | OnDay)]
            days = (datetime.combine(day, time(12), UTC) for day in _days(by_day))
            moments = [test for test in tests if isinstance(test, Equals)]
            others = [test for test in tests if isinstance(test, Equals | NoneOf)]
            return not passes(days, by_day) or (
                bool(moments) and not passes((v for test in moments for v in test.values), others)
            )
        case _:
            return not passes(_texts(tests), tests)


def _bounds(tests: Iterable[Test]) -> list[Decimal]:
    """The numbers that tests name, in order."""
    named: set[Value] = set()
    for test in tests:
        match test:
            case Compare(bound=bound):
                named.add(bound)
            case Between(low=low, high=high):
                named |= {low, high}
            case Equals(values=values) | NoneOf(values=values):
                named.update(values)
            case MissingOr(test=inner):
                named.update(_bounds([inner]))
            case _:
                pass
    return sorted(value for value in named if isinstance(value, Decimal))


def _numbers(tests: Iterable[Test]) -> Iterator[Decimal]:
    bounds = _bounds(tests) or [Decimal(0)]
    yield from bounds
    yield from (EXACT.divide(EXACT.add(low, high), Decimal(2)) for low, high in pairwise(bounds))
    yield EXACT.subtract(bounds[0], Decimal(1))
    yield EXACT.add(bounds[-1], Decimal(1))


def _days(tests: Iterable[Test]) -> Iterator[date]:
    yield SOMEWHEN.today
    for test in tests:
        match test:
            case Before(day=day):
                named: tuple[Value, ...] = (day,)
            case OnDay(days=days):
                named = days
            case Equals(values=values) | NoneOf(values=values):
                named = values
            case _:
                named = ()
        for day in named:
            assert isinstance(day, date)
            near = (day.toordinal() + step for step in (-1, 0, 1))
            yield from (date.fromordinal(n) for n in near if 0 < n <= date.max.toordinal())


def _texts(tests: Sequence[Test]) -> Iterator[str]:
    """The words that are named; and what begins with the longest beginning and holds all else, as often as needed."""
    named = [str(v) for test in tests if isinstance(test, Equals | NoneOf) for v in test.values]
    yield from named
    beginnings = [test.text for test in tests if isinstance(test, StartsWith)]
    inside = [test.text for test in tests if isinstance(test, Contains)]
    longest = max(beginnings, key=lambda text: len(text.casefold()), default="")
    for more in range(1, len(named) + 2):
        yield longest + "".join(inside) + "~" * more


# On the axis of now, with v at zero: the earliest and the latest moment at which a phrase holds.
Edge: TypeAlias = tuple[int, Span | None, bool]
"""(before v -1, at v 0, after v 1; how far, None for the phrase's own span; whether the moment itself is left out)"""
NONE = Span(count=0, unit=Unit.DAYS)
AT_V: Edge = (0, NONE, False)
PHRASES: dict[str, tuple[Edge | None, Edge | None]] = {
    "in the next": ((-1, None, False), AT_V),
    "in the last": (AT_V, (1, None, False)),
    "more than ago": ((1, None, True), None),
    "more than away": (None, (-1, None, True)),
    "passed": ((0, NONE, True), None),
    "today": (AT_V, AT_V),
}
LENGTHS: dict[Unit, tuple[str, int, int]] = {  # in what it is measured, the shortest and the longest it can be
    Unit.MINUTES: ("minutes", 1, 1),
    Unit.HOURS: ("minutes", 60, 60),
    Unit.DAYS: ("days", 1, 1),
    Unit.WEEKS: ("days", 7, 7),
    Unit.MONTHS: ("days", 28, 31),
    Unit.YEARS: ("days", 365, 366),
}


def _never_in_time(tests: Sequence[Temporal], type_: FieldType) -> bool:
    """Whether there is no moment at which all hold, whatever the office's hours and the length of months."""
    earliest: list[Edge] = []
    latest: list[Edge] = []
    for test in tests:
        first, last = PHRASES.get(test.phrase, (None, None))  # what comes back every year is left open
        if isinstance(type_, DateTime) and (
            test.phrase == "today" or (test.phrase != "passed" and test.span.count == 0)
        ):
            continue  # a whole local day; and 0 days from the second 02:30 is the first one
        if first is not None:
            earliest.append(_filled(first, test))
        if last is not None:
            latest.append(_filled(last, test))
    return any(_no_later(last, first) and (last[2] or first[2]) for last in latest for first in earliest)


def _filled(edge: Edge, test: Temporal) -> Edge:
    side, span, left_out = edge
    return side, span or test.span, left_out


def _no_later(one: Edge, other: Edge) -> bool:
    """Whether an edge is never later than another, for certain."""
    (side, span, _), (other_side, other_span, _) = one, other
    assert span is not None
    assert other_span is not None
    if side * other_side <= 0:
        return side <= other_side
    return _no_longer(span, other_span) if side > 0 else _no_longer(other_span, span)


def _no_longer(span: Span, other: Span) -> bool:
    if span.unit == other.unit:
        return span.count <= other.count
    measure, _, most = LENGTHS.get(span.unit, ("", 0, 0))
    other_measure, least, _ = LENGTHS.get(other.unit, ("", 0, 0))
    return bool(measure) and measure == other_measure and span.count * most <= other.count * least


# --- W502, W503: rules beside rules, and beside their tests ---


def _check_twins(rules: Iterable[Rule], found: Problems) -> None:
    first: dict[Hashable, Rule] = {}
    for rule in rules:
        if rule.rollout.stage is Stage.LIVE:
            other = first.setdefault(_meaning(rule), rule)
            if other is not rule:
                message = f"{rule.id} has the same conditions as {other.id} in {other.place.file}:{other.place.line}"
                found.warning("W502", rule.place, message, "delete one of the two, or say what tells them apart")


def _meaning(rule: Rule) -> Hashable:
    """The same for rules that say the same of the same records, however it is written."""

    def all_of(conditions: Iterable[Condition]) -> Hashable:
        return frozenset((c.link, _sense(c.test)) for c in conditions)

    def related(relations: Iterable[Relation]) -> Hashable:
        return frozenset(
            (r.kind, frozenset(r.ties), all_of(r.conditions), r.count and _sense(r.count)) for r in relations
        )

    alternatives = frozenset(all_of((*rule.when, *alternative)) for alternative in rule.any_of or ((),))
    return rule.subject, alternatives, related(rule.with_), related(rule.unless)


def _sense(test: Test) -> Hashable:
    match test:
        case Equals(values=values) | NoneOf(values=values):
            return type(test), frozenset(values)
        case OnDay(days=days, wanted=wanted):
            return wanted, frozenset(days)
        case MissingOr(test=inner):
            return MissingOr, _sense(inner)
        case _:
            return test


def _check_tested(rules: Iterable[Rule], found: Problems) -> None:
    for rule in rules:
        if rule.rollout.stage is not Stage.LIVE:
            continue
        expected = [step.expect for test in rule.tests for step in test.steps if step.expect is not None]
        raises = any(e.open_ or e.resolved or e.worth is not None or e.due is not None for e in expected)
        stays_quiet = any(e.open_ is not None and not e.open_ for e in expected)
        lacking = [what for what, there in (("raises", raises), ("stays quiet", stays_quiet)) if not there]
        if lacking:
            message = f"{rule.id} is live without a test that {', and without one that '.join(lacking)}"
            way_out = "add one to `tests`, as in - {name: ..., today: ..., given: ..., expect: ...}"
            found.warning("W503", rule.place, message, way_out)


# --- W504, W505: rules beside the data ---


@dataclass(slots=True)
class _Seen:
    """What there is in the records of one kind."""

    records: int = 0
    values: dict[str, set[object]] = field(default_factory=lambda: defaultdict[str, set[object]](set))

    def add(self, record: Record) -> None:
        self.records += 1
        for name, value in (("id", record.id), ("customer", record.customer), *record.fields.items()):
            if value is not None and value != "":
                self.values[name].add(value)


def _check_data(rules: Iterable[_AsWritten], base: RuleBase, looked: Looked, found: Problems) -> None:
    seen = defaultdict[str, _Seen](_Seen)
    for record in looked.records:
        seen[record.kind].add(record)
    worked_out = {step.key for step in base.strata.steps}
    for written in rules:
        told = set[FieldKey]()
        for key, at, condition in _tested(written):
            kind, name = key
            of_kind = seen[kind]
            if key in told | worked_out or of_kind.records < (1 if looked.at_all else ENOUGH):
                continue
            these = f"{of_kind.records:,} of {kind} were looked at"
            if not of_kind.values.get(name):
                told.add(key)
                message = f"{name} is filled in none of the records: {these}"
                found.warning("W504", at, message, "import it, or test another field")
            elif condition is not None and of_kind.records >= ENOUGH:
                for words in _unseen(condition, of_kind.values[name]):
                    message = f"{name} is {words} in none of the records: {these}"
                    found.warning("W505", at, message, "test a value that the data has")


def _tested(written: _AsWritten) -> Iterator[tuple[FieldKey, Place, Condition | None]]:
    """Every field that is tested or ties, where, and its condition if it has one."""
    related = [*written.related("with"), *written.related("unless")]
    lines = [*written.when, *(line for alternative in written.any_of for line in alternative)]
    lines += (line for each in related for line in each.lines)
    yield from ((line.about.link.key, line.key, line.about) for line in lines)
    for each in related:
        for name, _ in each.about.ties:
            yield (each.about.kind, name), each.node.key(name).at, None


def _unseen(condition: Condition, seen: Collection[object]) -> Iterator[str]:
    """The values and groups that a test names and nothing has."""
    test = condition.test.test if isinstance(condition.test, MissingOr) else condition.test
    if not isinstance(condition.type, Enum) or not isinstance(test, Equals | NoneOf):
        return
    left = dict.fromkeys(test.values)
    for name, members in condition.type.groups.items():
        if set(members) <= left.keys() and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", condition.words):
            if members and not set(members) & set(seen):
                yield name
            left = {value: None for value in left if value not in members}
    yield from (str(value) for value in left if value not in seen)
