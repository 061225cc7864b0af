"""Tests beside a rule: what was given, what happened on the way, and what is expected to be open when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from domain.calendar import instant
from domain.recommendation import Match
from domain.record import CUSTOMER, Dossier, Record, RecordRef, Timeline
from rules.model import Date, DateTime, Enum, FieldType, Model, Number, Value
from rules.problems import Place, Problems, suggestion
from rules.rule import Expectation, Rule, RuleTest, Step
from rules.source import Mapping, Node, Scalar, Sequence, check_keys
from rules.vocabulary import Company

if TYPE_CHECKING:
    from rules.rulebase import Decision, RuleBase

NOON = time(12)  # `today: 2026-11-23` is read in the middle of that day
GIVEN_CUSTOMER = "K1"  # the customer of a test that names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A test that does not hold: which step, and the difference."""

    rule: str
    test: str
    message: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a test went. `made_false`: the conditions that failed at some moment of it."""

    failures: tuple[Failure, ...]
    made_false: frozenset[str]


# --- reading ---


def read_tests(
    node: Node | None, *, kind: str, model: Model, company: Company, problems: Problems
) -> Iterator[RuleTest]:
    if node is None:
        return
    if not isinstance(node, Sequence):
        problems.error("R201", node.at, "`tests` is a list", "as in - {name: ..., today: ..., given: ..., expect: ...}")
        return
    reader = _TestReader(model=model, company=company, problems=problems)
    for item in node:
        if isinstance(item, Mapping):
            yield reader.read(item)
        else:
            problems.error("R201", item.at, "is not a test", "as in - {name: ..., today: ..., given: ..., expect: ...}")


@dataclass(slots=True, kw_only=True)
class _TestReader:
    model: Model
    company: Company
    problems: Problems

    def read(self, node: Mapping) -> RuleTest:
        check_keys(node, ("name", "today", "now", "given", "expect", "story"), self.problems)
        name, story = node.get("name"), node.get("story")
        if name is None:
            self.problems.error("R002", node.at, 'key "name" is missing', "say in a few words what the test shows")
        steps: list[Step] = []
        if story is not None:
            items = story.items if isinstance(story, Sequence) else (story,)
            steps = [s for item in items if (s := self._step(item, "on"))]
            for before, after in pairwise(steps):
                if after.at < before.at:
                    self.problems.error("R201", after.place, "goes back in time", "put the steps in order of time")
        elif node.get("today") is None and node.get("now") is None:
            self.problems.error("R002", node.at, 'key "today" is missing', "give the day on which the rule is read")
        elif node.get("expect") is None:
            self.problems.error("R002", node.at, 'key "expect" is missing', "as in expect: {raised: C1}, or nothing")
        else:
            steps = [s] if (s := self._step(node, "today")) else []
        return RuleTest(name=str(name), given=self._records(node.get("given")), steps=tuple(steps), place=node.at)

    def _step(self, node: Node, key: str) -> Step | None:
        if not isinstance(node, Mapping):
            self.problems.error("R201", node.at, f'"{node}" is not a step', "as in - {on: 2026-10-09, expect: nothing}")
            return None
        if key == "on":
            check_keys(node, ("on", "now", "change", "expect"), self.problems)
        expect, when = node.get("expect"), node.get(key) or node.get("now")
        if when is None:
            self.problems.error("R002", node.at, f'key "{key}" is missing', "give the day on which the rule is read")
            return None
        at = self._moment(when)
        if at is None:
            return None
        return Step(
            at=at,
            change=self._records(node.get("change")) if key == "on" else {},
            expect=self._expectation(expect) if expect is not None else None,
            place=(expect or node).at,
        )

    def _moment(self, node: Node) -> datetime | None:
        """`2026-11-23` is read at noon of the company's day, `2026-11-23T09:00` as it stands."""
        text = str(node)
        zone = self.company.zone
        try:
            if len(text) == 10:
                return instant(datetime.combine(date.fromisoformat(text), NOON), zone)
            moment = DateTime().read(text, zone)
            assert isinstance(moment, datetime)
            return moment
        except ValueError:
            self.problems.error("R201", node.at, f'"{text}" is not a date', "as in 2026-11-23")
            return None

    def _records(self, node: Node | None) -> Map[str, tuple[Map[str, object], ...]]:
        """`{contract: {...}}` or `{contract: [{...}, {...}]}`."""
        found: dict[str, tuple[Map[str, object], ...]] = {}
        if node is not None and not isinstance(node, Mapping):
            self._not_a_record(node)
        for kind, records in node if isinstance(node, Mapping) else ():
            if kind.text not in self.model.kinds:
                self.problems.error("R100", kind.at, f'no kind "{kind}"', suggestion(kind.text, self.model.kinds))
                continue
            items = records.items if isinstance(records, Sequence) else (records,)
            for item in items:
                if not isinstance(item, Mapping):
                    self._not_a_record(item)
            found[kind.text] = tuple(self._record(kind.text, item) for item in items if isinstance(item, Mapping))
        return found

    def _not_a_record(self, node: Node) -> None:
        self.problems.error(
            "R201", node.at, f'"{node}" is not a record', "as in contract: {id: C1, end_date: 2027-01-07}"
        )

    def _record(self, kind: str, node: Mapping) -> Map[str, object]:
        fields = self.model.kinds[kind].fields
        raw: dict[str, object] = {}
        for key, value in node:
            type_ = fields.get(key.text)
            if type_ is None:
                self.problems.error("R101", key.at, f'{kind} has no field "{key}"', suggestion(key.text, fields))
            elif not isinstance(value, Scalar):
                self.problems.error("R201", value.at, f"{value} is not a value", f"this field is {type_.says}")
            elif value.is_null:
                raw[key.text] = None
            else:
                try:
                    type_.read(value.text, self.company.zone)
                    raw[key.text] = value.text
                except ValueError as refusal:
                    if isinstance(type_, Enum):
                        help_ = suggestion(value.text, type_.values)
                        self.problems.error("R202", value.at, f'"{value}" is not a value of {key}', help_)
                    else:
                        self.problems.error("R201", value.at, f'"{value}" {refusal}', f"{key} is {type_.says}")
        if raw.get("id") is None:
            raw["id"] = f"{kind}-1" if kind != CUSTOMER else GIVEN_CUSTOMER
        return raw

    def _expectation(self, node: Node) -> Expectation:
        if isinstance(node, Scalar) and node.text == "nothing":
            return Expectation(open_=frozenset())
        if not isinstance(node, Mapping):
            self.problems.error("R201", node.at, f'"{node}" expects nothing readable', "as in {raised: C1}, or nothing")
            return Expectation(open_=frozenset())
        check_keys(node, ("raised", "resolved", "worth", "due"), self.problems)
        raised, resolved = node.get("raised"), node.get("resolved")
        worth, due = node.get("worth"), node.get("due")
        return Expectation(
            open_=None if raised is None else _ids(raised),
            resolved=frozenset() if resolved is None else _ids(resolved),
            worth=self._number(worth),
            due=self._day(due),
        )

    def _number(self, node: Node | None) -> Decimal | None:
        value = self._value(node, Number())
        return value if isinstance(value, Decimal) else None

    def _day(self, node: Node | None) -> date | None:
        value = self._value(node, Date())
        return value if isinstance(value, date) else None

    def _value(self, node: Node | None, type_: FieldType) -> Value | None:
        if node is None:
            return None
        try:
            return type_.read(str(node), self.company.zone)
        except ValueError as refusal:
            self.problems.error("R201", node.at, f'"{node}" {refusal}', f"write {type_.says}")
            return None


def _ids(node: Node) -> frozenset[str]:
    return frozenset(str(item) for item in (node.items if isinstance(node, Sequence) else (node,)))


# --- running ---


def run_test(rulebase: RuleBase, rule: Rule, test: RuleTest) -> Outcome:
    """Plays a test against its rule. A derived field that the test gives is what it gives, not worked out."""
    rulebase = rulebase.given(test.fields())
    records = {(kind, str(raw["id"])): raw for kind, raws in test.given.items() for raw in raws}
    before = _dossier(records)
    since: datetime | None = None
    open_: dict[str, datetime] = {}
    failures: list[Failure] = []
    made_false: set[str] = set()
    for step in test.steps:
        for kind, raws in step.change.items():
            for raw in raws:
                key = (kind, str(raw["id"]))
                records[key] = {**records.get(key, {}), **raw}
        after = _dossier(records)
        was_open, ended = set(open_), set[str]()
        timeline = Timeline(dossier=before, changes=((step.at, after),) if step.change else ())
        for decision in rulebase.replay(timeline, since=since or step.at, until=step.at):
            wanted = {m.subject.id for m in decision.matches if m.rule == rule.id}
            ended |= set(open_) - wanted
            open_ = {id_: open_.get(id_, decision.now) for id_ in wanted}
            made_false.update(_failing(rulebase, rule, decision))
        before, since = after, step.at
        message = _difference(rulebase, rule, after, step, open_, (was_open | ended) - set(open_))
        if message:
            failures.append(Failure(rule=rule.id, test=test.name, message=message, place=step.place))
    return Outcome(failures=tuple(failures), made_false=frozenset(made_false))


def _failing(rulebase: RuleBase, rule: Rule, decision: Decision) -> Iterator[str]:
    for fact in decision.facts.of.get(rule.subject, ()):
        match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=str(fact["id"])))
        for reason in rulebase.trace(match, decision.facts):
            if not reason.holds:
                yield reason.condition


def _dossier(records: Map[tuple[str, str], Map[str, object]]) -> Dossier:
    customers = [str(raw["customer"]) for (kind, _), raw in records.items() if kind != CUSTOMER and raw.get("customer")]
    id_ = next((id_ for kind, id_ in records if kind == CUSTOMER), customers[0] if customers else GIVEN_CUSTOMER)
    return Dossier(
        id=id_,
        records=tuple(
            Record(
                kind=kind,
                id=record_id,
                customer=None if kind == CUSTOMER else id_,
                fields={name: str(v) for name, v in raw.items() if v is not None and name not in ("id", "customer")},
            )
            for (kind, record_id), raw in records.items()
        ),
    )


def _difference(
    rulebase: RuleBase, rule: Rule, dossier: Dossier, step: Step, open_: Map[str, datetime], ended: set[str]
) -> str | None:
    """What is not as expected, in words."""
    expect = step.expect
    if expect is None:
        return None
    when = step.at.astimezone(rulebase.company.zone).date()
    if expect.open_ is not None and expect.open_ != frozenset(open_):
        return f"on {when} expected {_named(expect.open_)}, open is {_named(open_)}"
    if missing := expect.resolved - ended:
        return f"on {when} expected {_named(missing)} to be resolved; open is {_named(open_)}"
    if not open_ and (expect.worth is not None or expect.due is not None):
        return f"on {when} expected something worth or due, open is nothing"
    for id_, opened_at in open_.items():
        match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=id_))
        advice = rulebase.advise(match, rulebase.facts(dossier, now=step.at), opened_at=opened_at)
        for what, wanted, got in (("worth", expect.worth, advice.worth), ("due", expect.due, advice.due)):
            if wanted is not None and wanted != got:
                return f"{id_}: expected {what} {wanted}, it is {got}"
    return None


def _named(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids)) or "nothing"
