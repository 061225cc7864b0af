"""Every row of every table of docs/rule-language.md has a case here; a row that is added without one fails.

What is shown here once is tried at its bounds elsewhere: values in `test_values`, time in `test_time`, what authors
type and what the checker prints in `test_checker`, figures in `test_derived`, `set` in `test_classification`, packs
in `test_packs_stack`, random rule bases in `test_equivalence`.
"""

# ruff: noqa: E501 - rules and tables stand here as their authors write them

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from domain.calendar import Unit
from domain.person import People, Person
from domain.recommendation import Match
from domain.record import Dossier, Record, RecordRef, Scalar
from rules import mapping
from rules.layout import formatted
from rules.loader import check, load
from rules.problems import Problems
from rules.review import Looked, review
from rules.rule import Reach, Rollout, Stage, in_language
from rules.rulebase import RuleBase
from rules.stories import run_test

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)  # a Monday, 10:00 in Zurich
DOCS = Path(__file__).parents[2] / "docs" / "rule-language.md"
SHOWN: dict[str, set[str]] = defaultdict(set)  # table -> the words of it that a case below shows
Fields: TypeAlias = Mapping[str, Scalar]
Load: TypeAlias = Callable[[str], RuleBase]


def shows(table: str, *words: str) -> None:
    SHOWN[table].update(words)


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Load]:
    loaded: list[RuleBase] = []

    def rules(text: str) -> RuleBase:
        file = tmp_path / "rules.yaml"
        file.write_text(text, encoding="utf-8")
        loaded.append(load([file]))
        return loaded[-1]

    yield rules
    for rulebase in loaded:
        rulebase.engine.close()


def record(kind: str, id_: str, customer: str = "K1", /, **fields: Scalar) -> Record:
    return Record(kind=kind, id=id_, customer=None if kind == "customer" else customer, fields=fields)


def dossier(*records: Record) -> Dossier:
    return Dossier(id="K1", records=records)


def holds(rulebase: RuleBase, known: Dossier, subject: str = "C1") -> set[str]:
    """The rules that hold for one subject, and the explanation agrees."""
    decision = rulebase.decide(known, now=NOW)
    found = {m.rule for m in decision.matches if m.subject.id == subject}
    for rule in rulebase.rules:
        match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=subject))
        assert all(reason.holds for reason in rulebase.trace(match, decision.facts)) is (rule.id in found), rule.id
    return found


# --- ## Derived fields ---

FIGURES = {
    "sum": ("{sum: invoice.amount, where: {status: open}}", "30"),
    "count": ("{count: invoice, where: {status: open}}", "2"),
    "min": ("{min: invoice.amount}", "10"),
    "max": ("{max: invoice.amount}", "40"),
    "latest": ("{latest: invoice.on}", "2026-11-02"),
    "add": ("{add: [base, 2]}", "10"),
    "subtract": ("{subtract: [base, 2]}", "6"),
    "multiply": ("{multiply: [base, 2]}", "16"),
    "divide": ("{divide: [base, 2]}", "4"),
}
shows("Derived fields: written", *FIGURES)


@pytest.mark.parametrize("way", FIGURES)
def test_each_way_to_work_out_a_field(way: str, rules: Load) -> None:
    how, figure = FIGURES[way]
    rulebase = rules(
        "model:\n  invoice: {amount: money, status: {enum: [open, paid]}, on: date}\n"
        f"  customer: {{base: number, figure: {how}}}\n---\n"
        f"rule: right\nfor each: customer\nwhen: {{figure: {figure}}}\nthen: {{recommend: win, say: Call}}\n---\n"
        f"rule: other\nfor each: customer\nwhen: {{figure: not {figure}}}\nthen: {{recommend: win, say: Call}}\n"
    )
    known = dossier(
        record("customer", "K1", base="8"),
        record("invoice", "I1", amount="10", status="open", on="2026-11-02"),
        record("invoice", "I2", amount="20", status="open", on="2026-11-01"),
        record("invoice", "I3", amount="40", status="paid"),
    )

    assert holds(rulebase, known, "K1") == {"right"}


# --- ## Rule: what each key does ---

MODEL = """
company: Muster AG
timezone: Europe/Zurich
currency: CHF
calendar: zurich
---
calendar: zurich
timezone: Europe/Zurich
hours: {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}
---
model:
  customer: {segment: {enum: [sme, corporate]}, revenue: money, since: date, standing: text, total: {sum: contract.value}}
  contract:
    status: {enum: [draft, active]}
    value: money
    ends: date
    signed_at: datetime
    began: date
    size: number
    share: {divide: [value, customer.revenue]}
  complaint: {contract: ref contract, status: {enum: [open, closed]}}
---
"""
RULE = """rule: r
for each: contract
when: {status: active}
then: {recommend: win, say: Call}
"""
HOLDER = """---
rule: holder
for each: complaint
then: {recommend: hold, say: Wait, holds back: {tags: [sales]}}
"""
CUSTOMER = (
    record("customer", "K1", segment="sme", owner="ann"),
    record("contract", "C1", status="active", size="5"),
    record("contract", "C2", status="draft", size="5"),
    record("contract", "C3", status="active", size="50"),
    record("complaint", "B1", status="open", contract="C1"),
)
PEOPLE = People.of(
    [
        Person(id="ann", name="Ann", email="ann@example.com", team="north", manager="eva"),
        Person(id="bob", name="Bob", email="bob@example.com", team="south", manager="dan"),
        Person(id="cem", name="Cem", email="cem@example.com", team="north", manager="dan"),
        Person(id="dan", name="Dan", email="dan@example.com", team="north"),
        Person(id="eva", name="Eva", email="eva@example.com"),
    ]
)
TESTS = """tests:
  - {name: raises, today: 2026-11-23, given: {contract: {id: C1, status: active}}, expect: nothing}
"""
Aspects: TypeAlias = dict[str, tuple[object, object] | None]
"""what a key changes -> (without it, with it); None: not even the hash"""
R_HOLDS = ["r C1", "r C3"]
LIVE = {"r C1": "live", "r C3": "live"}


def aspects(rulebase: RuleBase) -> dict[str, object]:
    """What there is to see of the rules but for the holder."""
    decision = rulebase.decide(dossier(*CUSTOMER), now=NOW, people=PEOPLE)
    held = rulebase.held_back(decision.matches, decision.limited)
    rule = next(rule for rule in rulebase.rules if rule.id != "holder")
    matches = [m for m in decision.matches if m.rule == rule.id]
    return {
        "holds": [f"{m.rule} {m.subject.id}" for m in matches],
        "reach": {f"{m.rule} {m.subject.id}": str(decision.limited.get(m, "live")) for m in matches},
        "held back": [by for m, by in held.items() if m in matches],
        "title": in_language(rule.title, "de", "en"),
        "recommends": {rulebase.advise(m, decision.facts, opened_at=NOW).recommend for m in matches},
        "tests that fail": [f.message for test in rule.tests for f in run_test(rulebase, rule, test).failures],
        "hash": rulebase.hash,
    }


def matching(*subjects: str) -> Aspects:
    return {"holds": (R_HOLDS, [f"r {s}" for s in subjects]), "reach": (LIVE, {f"r {s}": "live" for s in subjects})}


def reaching(reach: str) -> Aspects:
    return {"reach": (LIVE, {"r C1": reach, "r C3": reach})}


# words of the table, what is written, what that changes beside the hash
KEYS: list[tuple[tuple[str, ...], str, Aspects]] = [
    (("rule",), "rule: other", {
        "holds": (R_HOLDS, ["other C1", "other C3"]), "reach": (LIVE, {"other C1": "live", "other C3": "live"}),
        "title": ("r", "other")}),
    (("title", "{en: ..., de: ...}"), "title: {en: Ends, de: Endet}", {"title": ("r", "Endet")}),
    (("title",), "title: Ends", {"title": ("r", "Ends")}),
    (("tags",), "tags: [sales, other]", {"held back": ([], [("holder",), ("holder",)])}),
    (("tags",), "tags: [other]", {}),
    (("notes",), "notes: for people", {"hash": None}),
    (("for each",), "for each: complaint\nwhen: {status: open}", matching("B1")),
    (("when",), "when: {status: draft}", matching("C2")),
    (("when",), "when: {status: active, size: above 5}", matching("C3")),
    (("when", "customer.segment"), "when: {customer.segment: sme}", matching("C1", "C2", "C3")),
    (("customer.segment",), "when: {customer.segment: corporate}", matching() | {"recommends": ({"win"}, set[str]())}),
    (("any of",), "any of: [{size: above 5}, {size: 7}]", matching("C3")),
    (("any of",), "any of: [{size: above 5}, {size: 5}]", {}),
    (("with",), "with: [complaint: {contract: this}]", matching("C1")),
    (("unless",), "unless: [complaint: {contract: this}]", matching("C3")),
    (("then",), "then: {recommend: let go, say: Call}", {"recommends": ({"win"}, {"let go"})}),
    (("rollout", "draft"), "rollout: draft", reaching("draft")),
    (("rollout", "shadow"), "rollout: shadow", reaching("shadow")),
    (("rollout", "20% of customers"), "rollout: 0% of customers", reaching("other customers")),
    (("20% of customers",), "rollout: 100% of customers", {}),
    (("rollout", "team NAME"), "rollout: team south", reaching("other team")),
    (("team NAME",), "rollout: team north", {}),
    (("rollout", "live"), "rollout: live", {}),
    (("tests",), TESTS, {
        "tests that fail": ([], ["on 2026-11-23 expected nothing, open is C1"]), "hash": None}),
]  # fmt: skip
for words, _, _ in KEYS:
    shows("Rule: key", *words)


@pytest.mark.parametrize(("written", "changed"), [(w, c) for _, w, c in KEYS], ids=[w for _, w, _ in KEYS])
def test_each_key_of_a_rule_has_its_effect_and_no_other(written: str, changed: Aspects, rules: Load) -> None:
    keys = {line.split(":")[0] for line in written.splitlines()}
    rest = "".join(f"{line}\n" for line in RULE.splitlines() if line.split(":")[0] not in keys)
    first = f"{written}\n" if written.startswith("rule:") else ""
    text = first + rest + (f"{written}\n" if not first else "")

    before, after = aspects(rules(MODEL + RULE + HOLDER)), aspects(rules(MODEL + text + HOLDER))

    expected: Aspects = {"hash": (before["hash"], after["hash"])} | changed
    differs = {k: (before[k], after[k]) for k in before if before[k] != after[k]}
    assert differs == {k: v for k, v in expected.items() if v is not None}


# --- ## Rule: the tests on values ---

KINDS = """
company: Muster AG
timezone: Europe/Zurich
---
model:
  contract:
    label: text
    flag: yesno
    size: number
    value: money
    day: date
    at: datetime
    stage: {enum: [new, open, won, lost], groups: {done: [won, lost], any day: [new]}}
    other: ref contract
    parent: ref contract
"""
TYPES = {
    "text": "label", "yesno": "flag", "number": "size", "money": "value", "date": "day", "datetime": "at",
    "enum": "stage", "ref": "other",
}  # fmt: skip
THEN = "then: {recommend: win, say: Call}\n"
Sample: TypeAlias = tuple[str, Scalar | None, Scalar | None]
"""(what is written, a value for which it holds, one for which it does not); None: the value is missing"""


def numeric(words: str, holds: str, fails: str) -> dict[str, Sample]:
    return dict.fromkeys(("number", "money"), (words, holds, fails))


def dated(words: str, day: tuple[str, str], moment: tuple[str, str]) -> dict[str, Sample]:
    return {"date": (words, *day), "datetime": (words, *moment)}


JUST_NOW, A_TICK_AGO = "2026-11-23T10:00:00+01:00", "2026-11-23T09:59:59.999999+01:00"
SAMPLES: dict[str, dict[str, Sample]] = {
    "a value": {
        "text": ("fibre", "fibre", "Fibre"), "yesno": ("yes", True, False), "number": ("5", "5.0", "5.01"),
        "money": ("5", "5.00", "-5"), "date": ("2027-01-07", "2027-01-07", "2027-01-08"),
        "datetime": ("2027-01-07", "2027-01-06T23:00Z", "2027-01-07T23:00Z"), "enum": ("new", "new", "won"),
        "ref": ("C7", "C7", "C8"),
    },
    "a list of values": {
        "text": ("[fibre, copper]", "copper", "radio"), "yesno": ("[no]", False, True), "number": ("[5, 7]", "7", "6"),
        "money": ("[5, 7]", "7", "6"), "date": ("[2027-01-07, 2027-01-09]", "2027-01-09", "2027-01-08"),
        "datetime": ("[2027-01-07, 2027-01-09]", "2027-01-09T12:00", "2027-01-08T12:00"),
        "enum": ("[new, done]", "lost", "open"), "ref": ("[C7, C8]", "C8", "C9"),
    },
    "not X": {
        "text": ("not fibre", "Fibre", "fibre"), "yesno": ("not yes", False, True), "number": ("not 5", "6", "5.0"),
        "money": ("not 5", "6", "5"), "date": ("not 2027-01-07", "2027-01-08", "2027-01-07"),
        "datetime": ("not 2027-01-07", "2027-01-07T23:00Z", "2027-01-06T23:00Z"), "enum": ("not done", "open", "won"),
        "ref": ("not C7", "C8", "C7"),
    },
    "none of X, Y": {
        "text": ("none of fibre, copper", "radio", "copper"), "yesno": ("none of yes, yes", False, True),
        "number": ("none of 5, 7", "6", "7"), "money": ("none of 5, 7", "6", "5"),
        "date": ("none of 2027-01-07, 2027-01-09", "2027-01-08", "2027-01-09"),
        "datetime": ("none of 2027-01-07, 2027-01-09", "2027-01-08T12:00", "2027-01-09T12:00"),
        "enum": ("none of new, done", "open", "won"), "ref": ("none of C7, C8", "C9", "C8"),
    },
    "missing": {
        "text": ("missing", None, "missing"), "yesno": ("missing", None, False), "number": ("missing", None, "0"),
        "money": ("missing", None, "0"), "date": ("missing", None, "2027-01-07"),
        "datetime": ("missing", None, "2027-01-07T12:00"), "enum": ("missing", None, "new"),
        "ref": ("missing", None, "C9"),
    },
    "present": {
        "text": ("present", "missing", None), "yesno": ("present", False, None), "number": ("present", "0", None),
        "money": ("present", "0", None), "date": ("present", "9999-12-31", None),
        "datetime": ("present", "2027-01-07T12:00", None), "enum": ("present", "new", None),
        "ref": ("present", "C9", None),  # nobody knows C9, but it is named
    },
    "missing or <test>": {
        "text": ("missing or contains x", None, "a"), "yesno": ("missing or no", None, True),
        "number": ("missing or above 5", None, "5"), "money": ("missing or between 1 and 2", None, "3"),
        "date": ("missing or passed", None, "2026-11-23"), "datetime": ("missing or today", None, "2026-11-22T12:00"),
        "enum": ("missing or not done", None, "won"), "ref": ("missing or C7", None, "C8"),
    },
    "a value or a group": {"enum": ("done", "won", "open")},
    "above N": numeric("above 5", "5.01", "5"),
    "below N": numeric("below 5", "4.99", "5"),
    "at least N": numeric("at least 5", "5", "4.99"),
    "at most N": numeric("at most 5", "5", "5.01"),
    "between A and B": numeric("between 5 and 7", "7", "7.01"),
    "starts with X": {"text": ("starts with fib", "FIBRE", "a fibre")},
    "contains X": {"text": ("contains IBR", "fibre", "fiber")},
    "in the next D": dated("in the next 2 days", ("2026-11-25", "2026-11-26"),
                           ("2026-11-25T10:00+01:00", "2026-11-25T10:00:00.000001+01:00")),
    "in the last D": dated("in the last 2 days", ("2026-11-21", "2026-11-20"),
                           ("2026-11-21T10:00+01:00", "2026-11-21T09:59:59.999999+01:00")),
    "more than D ago": dated("more than 2 days ago", ("2026-11-20", "2026-11-21"),
                             ("2026-11-21T09:59:59.999999+01:00", "2026-11-21T10:00+01:00")),
    "more than D away": dated("more than 2 days away", ("2026-11-26", "2026-11-25"),
                              ("2026-11-25T10:00:00.000001+01:00", "2026-11-25T10:00+01:00")),
    "passed": dated("passed", ("2026-11-22", "2026-11-23"), (A_TICK_AGO, JUST_NOW)),
    "today": dated("today", ("2026-11-23", "2026-11-24"), ("2026-11-22T23:00Z", "2026-11-23T23:00Z")),
    "before DAY": dated("before 2027-01-07", ("2027-01-06", "2027-01-07"), ("2027-01-06T22:59Z", "2027-01-06T23:00Z")),
    "after DAY": dated("after 2027-01-07", ("2027-01-08", "2027-01-07"), ("2027-01-07T23:00Z", "2027-01-07T22:59Z")),
    "anniversary in the next D": dated("anniversary in the next 2 days", ("2020-11-25", "2026-11-25"),
                                       ("2020-11-25T10:00+01:00", "2020-11-25T10:00:00.000001+01:00")),
}  # fmt: skip
ANY_TYPE = ("a value", "a list of values", "not X", "none of X, Y", "missing", "present", "missing or <test>")
shows("Rule: for", *SAMPLES)


def asking(condition: str) -> str:
    """Rules that ask the same of a contract itself, of the one it names as its parent, and of another one."""
    own, parent = f"when: {{{condition}}}", f"when: {{parent.{condition}}}"
    related = f"with: [contract: {{customer: same, {condition}}}]"
    named = {"own": own, "parent's": parent, "related": related, "not related": related.replace("with:", "unless:")}
    return KINDS + "".join(
        f"---\nrule: {name.replace(' ', '-').replace(chr(39), '')}\nfor each: contract\n{conditions}\n{THEN}"
        for name, conditions in named.items()
    )


def quoted(words: str) -> str:
    return words if words.startswith("[") else f'"{words}"'


def with_value(field: str, value: Scalar | None) -> Dossier:
    """C1, and C2 which it names as its parent, have the value."""
    own: dict[str, Scalar] = {} if value is None else {field: value}
    return dossier(record("contract", "C1", **own, parent="C2"), record("contract", "C2", **own))


EACH = [(phrase, type_) for phrase, of_type in SAMPLES.items() for type_ in of_type]


@pytest.mark.parametrize(("phrase", "type_"), EACH)
def test_each_test_is_true_and_false_of_each_type_that_takes_it(phrase: str, type_: str, rules: Load) -> None:
    words, true_for, false_for = SAMPLES[phrase][type_]
    field = TYPES[type_]
    rulebase = rules(asking(f"{field}: {quoted(words)}"))

    assert holds(rulebase, with_value(field, true_for)) == {"own", "parents", "related"}
    assert holds(rulebase, with_value(field, false_for)) == {"not-related"}


@pytest.mark.parametrize(("phrase", "type_"), EACH)
def test_of_a_missing_value_nothing_is_true_but_that_it_is_missing(phrase: str, type_: str, rules: Load) -> None:
    words, _, _ = SAMPLES[phrase][type_]
    field = TYPES[type_]
    unknown_parent = dossier(record("contract", "C1", parent="C9"), record("contract", "C2"))
    rulebase = rules(asking(f"{field}: {quoted(words)}"))
    expected = {"own", "parents", "related"} if phrase in ("missing", "missing or <test>") else {"not-related"}

    assert holds(rulebase, with_value(field, None)) == expected
    assert holds(rulebase, unknown_parent) == expected
    assert holds(rulebase, with_value(field, "")) == expected  # an empty value is none


@pytest.mark.parametrize(("phrase", "type_"), [e for e in EACH if "missing" not in e[0] and e[0] != "present"])
def test_missing_or_adds_the_missing_value_to_each_test(phrase: str, type_: str, rules: Load) -> None:
    words, true_for, false_for = SAMPLES[phrase][type_]
    field = TYPES[type_]
    test = f"{{missing or: {words}}}" if words.startswith("[") else f'"missing or {words}"'
    rulebase = rules(asking(f"{field}: {test}"))

    assert holds(rulebase, with_value(field, true_for)) == {"own", "parents", "related"}
    assert holds(rulebase, with_value(field, false_for)) == {"not-related"}
    assert holds(rulebase, with_value(field, None)) == {"own", "parents", "related"}


OTHER_TYPES = [
    (phrase, type_)
    for phrase, of_type in SAMPLES.items()
    if phrase not in (*ANY_TYPE, "a value or a group")
    for type_ in TYPES
    if type_ not in of_type
]


@pytest.mark.parametrize(("phrase", "type_"), OTHER_TYPES)
@pytest.mark.parametrize("opening", ["", "missing or "])
def test_each_test_is_refused_for_each_type_that_does_not_take_it(
    phrase: str, type_: str, opening: str, tmp_path: Path
) -> None:
    words = next(iter(SAMPLES[phrase].values()))[0]
    text = f"{KINDS}---\nrule: r\nfor each: contract\nwhen:\n  {TYPES[type_]}: {opening}⟦{words}⟧\n{THEN}"

    (problem,) = reported(tmp_path, text)

    assert problem.startswith(f'R203 "{words}" tests ')


def reported(tmp_path: Path, text: str) -> list[str]:
    """Code and message of each problem; the first stands where the text marks it, and all name a way out."""
    plain = text.replace("⟦", "").replace("⟧", "")
    file = tmp_path / "rules.yaml"
    file.write_text(plain, encoding="utf-8")
    problems = check([file]).problems
    expect_place(problems, text)
    return [f"{p.code} {p.message}" for p in problems]


def expect_place(problems: Problems, text: str) -> None:
    before, _, rest = text.partition("⟦")
    marked, _, _ = rest.partition("⟧")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    place = problems[0].place
    assert (place.line, place.column, place.text[column - 1 : column - 1 + place.length]) == (line, column, marked)
    assert all(p.help for p in problems)


def test_a_value_of_an_enum_may_read_like_a_phrase(rules: Load) -> None:
    rulebase = rules(
        "model:\n  contract: {stage: {enum: [passed, above 5, new], groups: {today: [new]}}, parent: ref contract}\n---\n"
        + "---\n".join(
            f"rule: {id_}\nfor each: contract\nwhen: {{stage: {test}}}\n{THEN}"
            for id_, test in {"a": "passed", "b": "above 5", "c": "today", "d": "not above 5"}.items()
        )
    )

    assert holds(rulebase, dossier(record("contract", "C1", stage="passed"))) == {"a", "d"}
    assert holds(rulebase, dossier(record("contract", "C1", stage="above 5"))) == {"b"}
    assert holds(rulebase, dossier(record("contract", "C1", stage="new"))) == {"c", "d"}


# --- lengths of time ---

LATER = {  # what is 1 and 2 units after now
    Unit.MINUTES: ("2026-11-23T10:01+01:00", "2026-11-23T10:02+01:00"),
    Unit.HOURS: ("2026-11-23T11:00+01:00", "2026-11-23T12:00+01:00"),
    Unit.DAYS: ("2026-11-24T10:00+01:00", "2026-11-25T10:00+01:00"),
    Unit.WEEKS: ("2026-11-30T10:00+01:00", "2026-12-07T10:00+01:00"),
    Unit.MONTHS: ("2026-12-23T10:00+01:00", "2027-01-23T10:00+01:00"),
    Unit.YEARS: ("2027-11-23T10:00+01:00", "2028-11-23T10:00+01:00"),
    Unit.BUSINESS_HOURS: ("2026-11-23T11:00+01:00", "2026-11-23T12:00+01:00"),
    Unit.BUSINESS_DAYS: ("2026-11-24T10:00+01:00", "2026-11-25T10:00+01:00"),
}
BY_THE_HOUR = (Unit.MINUTES, Unit.HOURS, Unit.BUSINESS_HOURS)
shows("Rule: for", "a number and", *LATER)


def spelled(unit: Unit) -> list[tuple[int, str]]:
    singular = unit.removesuffix("s")
    return [(n, f"{n} {word}") for n in (1, 2) for word in (singular, unit.value, unit.replace(" ", "   "))]


@pytest.mark.parametrize(("unit", "count", "span"), [(u, n, s) for u in LATER for n, s in spelled(u)])
def test_lengths_of_time_are_read_in_singular_and_plural(unit: Unit, count: int, span: str, rules: Load) -> None:
    rulebase = rules(f"{KINDS}---\nrule: r\nfor each: contract\nwhen: {{at: in the next {span}}}\n{THEN}")
    edge = datetime.fromisoformat(LATER[unit][count - 1])

    assert holds(rulebase, dossier(record("contract", "C1", at=edge.isoformat()))) == {"r"}
    later = (edge + timedelta(microseconds=1)).isoformat()
    assert holds(rulebase, dossier(record("contract", "C1", at=later))) == set()


@pytest.mark.parametrize("unit", [unit for unit in LATER if unit not in BY_THE_HOUR])
def test_days_and_longer_are_counted_from_a_date_too(unit: Unit, rules: Load) -> None:
    rulebase = rules(f"{KINDS}---\nrule: r\nfor each: contract\nwhen: {{day: in the next 1 {unit}}}\n{THEN}")
    edge = datetime.fromisoformat(LATER[unit][0])

    assert holds(rulebase, dossier(record("contract", "C1", day=f"{edge:%Y-%m-%d}"))) == {"r"}
    assert holds(rulebase, dossier(record("contract", "C1", day=f"{edge + timedelta(days=1):%Y-%m-%d}"))) == set()


@pytest.mark.parametrize("unit", BY_THE_HOUR)
@pytest.mark.parametrize("phrase", [phrase for phrase in SAMPLES if "D" in phrase.split()])
def test_minutes_and_hours_need_a_time_of_day(phrase: str, unit: Unit, tmp_path: Path) -> None:
    words = phrase.replace("D", f"⟦2 {unit}⟧")

    found = reported(tmp_path, f"{KINDS}---\nrule: r\nfor each: contract\nwhen: {{day: {words}}}\n{THEN}")

    assert found == [f'R203 "2 {unit}" needs a time of day, but day is a date']


@pytest.mark.parametrize("span", ["2 fortnights", "two days", "2", "1.5 days", "-1 days", "2days", "business 2 days"])
def test_other_lengths_of_time_are_refused(span: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(f"{KINDS}---\nrule: r\nfor each: contract\nwhen: {{day: in the next {span}}}\n{THEN}")

    assert [p.code for p in check([file]).problems] == ["R201"]


# --- literals: what `test_checker` does not show of them ---

WORDS = "[yes, no, on, off, 4:30, 007, 1e3, missing, 2027-01-07]"


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "true", "4:30", "007", "1e3", "0o17", "1_000", ".5", "=", "2027-01-07"]
)
def test_text_is_what_stands_there_and_nothing_else(word: str, rules: Load) -> None:
    rulebase = rules(
        f"{KINDS}---\nrule: is\nfor each: contract\nwhen: {{label: {word}}}\n{THEN}"
        f"---\nrule: listed\nfor each: contract\nwhen: {{label: [{word}, x]}}\n{THEN}"
        f"---\nrule: is-not\nfor each: contract\nwhen: {{label: not {word}}}\n{THEN}"
    )

    assert holds(rulebase, dossier(record("contract", "C1", label=word))) == {"is", "listed"}
    for other in (word.upper() if word.islower() else f"0{word}", f"{word} ", "7", "1000", "270"):
        assert holds(rulebase, dossier(record("contract", "C1", label=other))) == {"is-not"}


@pytest.mark.parametrize("word", WORDS.strip("[]").split(", "))
def test_values_of_an_enum_may_be_any_words(word: str, rules: Load) -> None:
    test = "{is: missing}" if word == "missing" else word
    rulebase = rules(
        f"model:\n  contract: {{stage: {{enum: {WORDS}}}}}\n---\n"
        f"rule: r\nfor each: contract\nwhen: {{stage: {test}}}\n{THEN}"
    )

    for value in WORDS.strip("[]").split(", "):
        assert holds(rulebase, dossier(record("contract", "C1", stage=value))) == ({"r"} if value == word else set())


@pytest.mark.parametrize(
    ("condition", "true_for", "false_for"),
    [
        ("size: 007", ["7", "7.0", "007"], ["70"]),
        ("size: 1e3", ["1000", "1E+3"], ["1"]),
        ("size: -0.50", ["-0.5"], ["0.5"]),
        ("flag: true", [True, "yes", "YES"], [False, "no"]),
        ("flag: No", [False, "no", "False"], [True]),
        # the long form: words as they are
        ("label: {is: missing}", ["missing"], [None, "x"]),
        ("label: {is: [missing, above 5]}", ["missing", "above 5"], [None, "6"]),
        ("label: {not: missing}", ["present", "x"], [None, "missing"]),
        ("label: {none of: [missing, present]}", ["x"], [None, "missing", "present"]),
        ("label: {missing or: {is: present}}", [None, "present"], ["x"]),
        ("label: {starts with: missing or}", ["missing or not"], ["missing", None]),
        ("label: {missing: yes}", [None], ["missing"]),
        ("label: {present: }", ["x"], [None]),
        ("day: {in the next: 2 days}", ["2026-11-25"], ["2026-11-26", None]),
        ("day: {more than away: 2 days}", ["2026-11-26"], ["2026-11-25", None]),
        ("size: {between: [5, 7]}", ["5", "7"], ["4.9", "7.1", None]),
    ],
)
def test_literals_and_long_forms(
    condition: str, true_for: list[Scalar | None], false_for: list[Scalar | None], rules: Load
) -> None:
    rulebase = rules(f"{KINDS}---\nrule: r\nfor each: contract\nwhen: {{{condition}}}\n{THEN}")
    field = condition.split(":")[0]

    for values, expected in ((true_for, {"r"}), (false_for, set[str]())):
        for value in values:
            own = {} if value is None else {field: value}
            assert holds(rulebase, dossier(record("contract", "C1", **own))) == expected, value


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("flag: ⟦on⟧", 'R201 "on" is neither yes nor no'),
        ("flag: ⟦off⟧", 'R201 "off" is neither yes nor no'),
        ("flag: ⟦1⟧", 'R201 "1" is neither yes nor no'),
        ("size: ⟦1,000⟧", 'R201 "1,000" is not a number'),
        ("size: above ⟦1'000⟧", 'R201 "1\'000" is not a number'),
        ("day: ⟦2027-1-7⟧", 'R201 "2027-1-7" is not a date like 2027-01-07'),
        ("day: before ⟦07.01.2027⟧", 'R201 "07.01.2027" is not a date like 2027-01-07'),
        ("day: ⟦2027-02-29⟧", 'R201 "2027-02-29" is not a date like 2027-01-07'),
        ("at: ⟦4:30⟧", 'R201 "4:30" is not a moment like 2027-01-07T14:30:00+01:00'),
        ("stage: ⟦New⟧", 'R202 "New" is not a value of stage'),
    ],
)
def test_literals_of_another_form_are_refused(condition: str, problem: str, tmp_path: Path) -> None:
    assert reported(tmp_path, f"{KINDS}---\nrule: r\nfor each: contract\nwhen:\n  {condition}\n{THEN}") == [problem]


# --- ### then: what `relance evaluate --json` shows of each key ---

USUAL: dict[str, Any] = {
    "recommend": "win", "say": "Call", "do": None, "worth": None, "due": None, "to": ["ann"], "held_back_by": [],
}  # fmt: skip
Shown: TypeAlias = dict[str, Any]
NEAR, YEARLY = "ends: in the next 90 days", "began: anniversary in the next 30 days"
# words of the table, what is written in `then`, what differs from the usual; and `when`, where it matters
ADVICE: list[tuple[tuple[str, ...], str, Shown, str]] = [
    (("recommend", "win"), "recommend: win", {}, ""),
    (("recommend", "hold"), "recommend: hold", {"recommend": "hold"}, ""),
    (("recommend", "let go"), "recommend: let go", {"recommend": "let go"}, ""),
    # say
    (("say", "{{ }}"), 'say: "{{ contract.ends }} of {{ customer.name }}, {{ contract.customer.segment }}"',
     {"say": "7 January 2027 of Muster, SME"}, ""),
    (("money",), 'say: "{{ contract.value|money }}"', {"say": "CHF 48,200.50"}, ""),
    (("day",), 'say: "{{ contract.signed_at|day }}"', {"say": "11 January 2027"}, ""),
    (("month",), 'say: "{{ contract.ends|month }}"', {"say": "January 2027"}, ""),
    (("ago",), 'say: "{{ contract.began|ago }}"', {"say": "6 years ago"}, ""),
    (("percent",), 'say: "{{ contract.size|percent }}"', {"say": "25%"}, ""),
    (("number",), 'say: "{{ contract.value|number }}"', {"say": "48,200.5"}, ""),
    (("years",), 'say: "{{ contract.began|years }}"', {"say": "6"}, ""),
    (("next_anniversary",), 'say: "{{ contract.began|next_anniversary }}"', {"say": "10 December 2026"}, ""),
    (("say",), 'say: {en: "In English", de: "Auf Deutsch"}', {"say": "In English"}, ""),
    # do; the alternatives stand in the advice, and are not shown
    (("do", "dialog NAME"), "do: dialog renewal-call", {"do": "dialog renewal-call"}, ""),
    (("do", "webhook EVENT"), "do: webhook order.created", {"do": "webhook order.created"}, ""),
    (("do", "open URL"), "do: open https://example.com/a?b=1#c", {"do": "open https://example.com/a?b=1#c"}, ""),
    (("do", "call"), "do: call", {"do": "call"}, ""),
    (("do", "handover TEAM"), "do: handover inside sales", {"do": "handover inside sales"}, ""),
    (("or",), "or: [call, handover inside sales]", {}, ""),
    # to, where nobody else is known
    (("to", "owner"), "to: owner", {}, ""),
    (("to", "owner.manager"), "to: owner.manager", {"to": []}, ""),
    (("to", "team lead"), "to: team lead", {"to": []}, ""),
    (("to", "team NAME"), "to: team inside sales", {"to": ["team inside sales"]}, ""),
    (("to", "user ID"), "to: user bob", {"to": ["bob"]}, ""),
    (("to",), "to: sales@example.com", {"to": ["sales@example.com"]}, ""),
    (("to", "owner, otherwise team lead"), "to: 'owner, otherwise team lead'", {}, ""),
    (("to",), "to: 'owner.manager, otherwise user bob'", {"to": ["bob"]}, ""),
    (("to",), "to: [owner, user bob, user ann]", {"to": ["ann", "bob"]}, ""),
    # due, on Monday, 23 November
    (("due", "now"), "due: now", {"due": "2026-11-23"}, ""),
    (("due", "today"), "due: today", {"due": "2026-11-23"}, ""),
    (("due", "tomorrow"), "due: tomorrow", {"due": "2026-11-24"}, ""),
    (("due", "in D"), "due: in 4 days", {"due": "2026-11-27"}, ""),
    (("in D",), "due: in 2 weeks", {"due": "2026-12-07"}, ""),
    (("in D",), "due: in 3 months", {"due": "2027-02-23"}, ""),
    (("in D",), "due: in 1 year", {"due": "2027-11-23"}, ""),
    (("in D",), "due: in 5 business days", {"due": "2026-11-30"}, ""),
    (("in D",), "due: in 13 hours", {"due": "2026-11-23"}, ""),  # at 23:00
    (("in D",), "due: in 840 minutes", {"due": "2026-11-24"}, ""),  # at midnight
    (("in D",), "due: in 6 business hours", {"due": "2026-11-23"}, ""),  # until 17:00
    (("in D",), "due: in 7 business hours", {"due": "2026-11-24"}, ""),
    (("due", "on the day"), "due: on the day", {"due": "2027-01-07"}, NEAR),
    (("on the day",), "due: on the day", {"due": "2026-12-10"}, YEARLY),
    (("on the day",), "due: on the day", {"due": "2027-01-11"}, "signed_at: more than 1 hour away"),
    (("due", "D before FIELD"), "due: 10 days before ends", {"due": "2026-12-28"}, ""),
    (("D before FIELD",), "due: 1 month before contract.ends", {"due": "2026-12-07"}, ""),
    (("D before FIELD",), "due: 2 business days before ends", {"due": "2027-01-05"}, ""),
    (("D before FIELD",), "due: 4 business hours before ends", {"due": "2027-01-06"}, ""),
    (("D before FIELD",), "due: 3 days before signed_at", {"due": "2027-01-08"}, ""),  # on the 11th in Zurich
    (("D before FIELD",), "due: 1 week before customer.since", {"due": "2019-12-25"}, ""),
    (("D before FIELD",), "due: 1 week before checked", {}, ""),  # which is missing
    # worth
    (("worth",), "worth: 5", {"worth": 5}, ""),
    (("worth",), "worth: -48200.25", {"worth": -48200.25}, ""),
    (("worth",), "worth: value", {"worth": 48200.5}, ""),
    (("worth",), "worth: contract.value", {"worth": 48200.5}, ""),
    (("worth",), "worth: customer.revenue", {"worth": 192802}, ""),
    (("worth",), "worth: customer.total", {"worth": 48200.5}, ""),
    (("worth",), "worth: share", {"worth": 0.25}, ""),
    (("worth",), "worth: paid", {}, ""),  # which is missing
    # read and checked, and without another effect yet
    (("channel",), "channel: [chat, inbox]", {}, ""),
    (("weight",), "weight: 300", {}, ""),
    (("repeat",), "repeat: 'every 14 days, at most 3 times'", {}, ""),
    (("escalate",), "escalate: [{after: 5 days, to: owner.manager}, {after: 2 weeks, to: [team lead, user bob]}]", {}, ""),
]  # fmt: skip
for words, _, _, _ in ADVICE:
    shows("then: key", *words)
ADVISED = """
company: Muster AG
timezone: Europe/Zurich
currency: CHF
language: en
calendar: zurich
---
calendar: zurich
timezone: Europe/Zurich
hours: {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}
---
model:
  customer: {segment: {enum: [sme, corporate]}, revenue: money, since: date, standing: text, total: {sum: contract.value}}
  contract:
    value: money
    paid: money
    ends: date
    checked: date
    signed_at: datetime
    began: date
    size: number
    share: {divide: [value, customer.revenue]}
"""
CONTRACT = {
    "id": "C1", "value": "48200.50", "ends": "2027-01-07", "signed_at": "2027-01-10T23:30:00Z", "began": "2020-12-10",
    "size": "0.25",
}  # fmt: skip
LINE = {
    "customer": {"id": "K1", "name": "Muster", "owner": "ann", "segment": "sme", "revenue": "192802", "since": "2020-01-01"},
    "records": {"contract": [CONTRACT]},
}  # fmt: skip


def advising(id_: str, then: str, when: str = "") -> str:
    keys = {key: f"{key}: {word}" for key, word in (("recommend", "win"), ("say", "Call"))}
    keys.pop(then.split(":")[0], None)
    when = f"when:\n  {when}\n" if when else ""
    return f"---\nrule: {id_}\nfor each: contract\n{when}then:\n" + "".join(
        f"  {line}\n" for line in (*keys.values(), then)
    )


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Shown]:
    """What the command prints of each rule, by its id."""
    folder = tmp_path_factory.mktemp("evaluated")
    text = ADVISED + "".join(advising(f"case-{n}", then, when) for n, (_, then, _, when) in enumerate(ADVICE))
    (folder / "rules.yaml").write_text(text, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("relance")), "evaluate", "--rules", "rules.yaml", "--dossiers", "-"]
    done = subprocess.run(
        [*command, "--now", NOW.isoformat(), "--json"],
        cwd=folder, input=json.dumps(LINE).encode(), capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    found = {r.pop("rule"): r for r in json.loads(done.stdout)["recommendations"]}
    assert len(found) == len(ADVICE)
    return found


@pytest.mark.parametrize(
    ("number", "differs"),
    [pytest.param(n, differs, id=f"{then} {when}") for n, (_, then, differs, when) in enumerate(ADVICE)],
)
def test_each_key_of_then_is_shown_by_evaluate(number: int, differs: Shown, evaluated: Mapping[str, Shown]) -> None:
    shown = {k: v for k, v in evaluated[f"case-{number}"].items() if k not in ("customer", "subject", "because")}

    assert shown == USUAL | differs


def test_the_alternatives_are_part_of_the_advice(rules: Load) -> None:
    rulebase = rules(ADVISED + advising("r", "or: [call, handover inside sales]"))
    decision = rulebase.decide(dossier(record("contract", "C1")), now=NOW)

    advice = rulebase.advise(decision.matches[0], decision.facts, opened_at=NOW)

    assert advice.instead == ("call", "handover inside sales")


@pytest.mark.parametrize(
    ("to", "of_ann", "of_bob", "of_nobody"),
    [
        ("owner", ["ann"], ["bob"], []),
        ("owner.manager", ["eva"], ["dan"], []),
        ("team lead", ["dan"], ["dan"], []),  # one of the north reports to Eva and one to Dan: the first by id
        ("team north", ["ann", "cem", "dan"], ["ann", "cem", "dan"], ["ann", "cem", "dan"]),
        ("team west", ["team west"], ["team west"], ["team west"]),
        ("user bob", ["bob"], ["bob"], ["bob"]),
        ("user zoe", ["zoe"], ["zoe"], ["zoe"]),
        ("Bob@Example.com", ["bob"], ["bob"], ["bob"]),
        ("sales@example.com", ["sales@example.com"], ["sales@example.com"], ["sales@example.com"]),
        ("'owner, otherwise team north'", ["ann"], ["bob"], ["ann", "cem", "dan"]),
        ("'team lead, otherwise user eva'", ["dan"], ["dan"], ["eva"]),
        ("[owner, owner.manager, user ann]", ["ann", "eva"], ["bob", "dan", "ann"], ["ann"]),
        ("[]", [], [], []),
    ],
)
def test_whom_a_rule_speaks_to(
    to: str, of_ann: list[str], of_bob: list[str], of_nobody: list[str], rules: Load
) -> None:
    rulebase = rules(ADVISED + advising("r", f"to: {to}"))

    for owner, expected in (("ann", of_ann), ("bob", of_bob), (None, of_nobody)):
        own: dict[str, Scalar] = {"owner": owner} if owner else {}
        decision = rulebase.decide(
            dossier(record("customer", "K1", **own), record("contract", "C1")), now=NOW, people=PEOPLE
        )
        advice = rulebase.advise(decision.matches[0], decision.facts, opened_at=NOW)
        assert list(advice.to) == expected


shows("then: key", "holds back", "{tags: [...], about: customer}")


@pytest.mark.parametrize(
    ("holds_back", "held"),
    [
        ("{tags: [sales], about: customer}", ["C1", "C2"]),
        ("{tags: [sales]}", ["C1", "C2"]),
        ("{tags: [sales], about: this}", ["C1"]),
        ("{tags: [sales], until: resolved}", ["C1", "C2"]),
        ("{tags: [pitch, sales]}", ["C1", "C2"]),
        ("{tags: [pitch]}", []),
    ],
)
def test_holds_back_keeps_others_of_these_tags_from_reminding(holds_back: str, held: list[str], rules: Load) -> None:
    """It holds for C1; what is held back is recorded all the same. It never holds back itself."""
    text = (
        f"{ADVISED}---\nrule: sells\ntags: [sales]\nfor each: contract\n{THEN}"
        "---\nrule: holds\ntags: [sales, pitch]\nfor each: contract\nwhen: {size: 1}\n"
        f"then: {{recommend: hold, say: Wait, holds back: {holds_back}}}\nrollout: ROLLOUT\n"
    )
    known = dossier(record("contract", "C1", size="1"), record("contract", "C2", size="2"))
    for rollout, expected in (("live", held), ("shadow", []), ("draft", [])):
        rulebase = rules(text.replace("ROLLOUT", rollout))
        decision = rulebase.decide(known, now=NOW)
        found = rulebase.held_back(decision.matches, decision.limited)

        assert [(m.rule, m.subject.id) for m in decision.matches] == [("holds", "C1"), ("sells", "C1"), ("sells", "C2")]
        assert {(m.rule, m.subject.id): by for m, by in found.items()} == {("sells", c): ("holds",) for c in expected}


shows("then: key", "set", "{field: value}", "weight")


def test_set_classifies_the_customer_for_other_rules_and_weight_ranks_who_does(rules: Load) -> None:
    def sets(id_: str, weight: int) -> str:
        return f"---\nrule: {id_}\nfor each: contract\nthen: {{recommend: win, say: Call, weight: {weight}, set: {{standing: {id_}}}}}\n"

    reads = "".join(f"---\nrule: reads-{id_}\nfor each: customer\nwhen: {{standing: {id_}}}\n{THEN}" for id_ in "ab")
    known = dossier(record("customer", "K1", standing="c"), record("contract", "C1"))

    for weight, expected in ((99, "reads-a"), (100, "reads-a"), (101, "reads-b")):
        decision = rules(ADVISED + sets("a", 100) + sets("b", weight) + reads).decide(known, now=NOW)
        assert [m.rule for m in decision.matches] == ["a", "b", expected]


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        ("recommend: ⟦lose⟧", 'R201 "lose" is not a recommendation'),
        ("do: ⟦dialogue renewal⟧", 'R201 "dialogue renewal" is not an action'),
        ("do: ⟦open ftp://example.com⟧", 'R201 "open ftp://example.com" is not an action'),
        ("or: [call, ⟦cal⟧]", 'R201 "cal" is not an action'),
        ("to: ⟦the boss⟧", 'R201 "the boss" names nobody'),
        ("to: ⟦owner, otherwise nobody⟧", 'R201 "nobody" names nobody'),
        ("due: ⟦soon⟧", 'R201 "soon" is not a due date'),
        ("due: ⟦in a while⟧", 'R201 "a while" is not a length of time'),
        ("due: ⟦on the day⟧", "R201 no condition of `when` names a day"),
        ("due: ⟦2 days before size⟧", "R203 size is a number"),
        ("due: 2 days before ⟦end⟧", 'R101 contract has no field "end"'),
        ("worth: ⟦ends⟧", "R203 worth is a number, but ends is a date"),
        ("worth: ⟦valeu⟧", 'R101 contract has no field "valeu"'),
        ("weight: ⟦heavy⟧", 'R201 "heavy" is not a percentage'),
        ("channel: [email, ⟦fax⟧]", 'R201 "fax" is not a channel'),
        ("repeat: ⟦often⟧", 'R201 "often" is not a repetition'),
        ("repeat: ⟦every 0 days⟧", "R201 repeats without pause"),
        ("escalate: ⟦{after: 5 days}⟧", 'R002 key "to" is missing'),
        ("escalate: ⟦owner.manager⟧", "R201 is not an escalation"),
        ("holds back: ⟦[sales]⟧", "R201 holds back what?"),
        ("holds back: {tags: [sales], about: ⟦everyone⟧}", 'R201 "everyone" is not a scope'),
        ("holds back: {tags: [sales], until: ⟦friday⟧}", 'R201 "friday" is not an end'),
        ("set: ⟦standing⟧", "R201 sets nothing"),
        ("set: {⟦standin⟧: x}", 'R101 customer has no field "standin"'),
    ],
)  # fmt: skip
def test_each_key_of_then_is_checked(then: str, problem: str, tmp_path: Path) -> None:
    assert reported(tmp_path, ADVISED + advising("r", then)) == [problem]


# --- rollout ---

# Of the customers K1 to K30, those whom the rule `renewal` takes at 20 % and at 50 %.
AT_20 = [f"K{n}" for n in (1, 10, 11, 18, 23, 28)]
AT_50 = [f"K{n}" for n in (1, 2, 4, 5, 7, 10, 11, 13, 14, 15, 16, 18, 19, 21, 23, 26, 27, 28)]
IDS = [f"K{n}" for n in range(1, 31)]


def within(percent: int, *, rule: str = "renewal", ids: Sequence[str] = IDS) -> list[str]:
    rollout = Rollout(stage=Stage.PERCENT, percent=percent)
    return [id_ for id_ in ids if rollout.reach(rule=rule, customer=id_, team=None) is Reach.LIVE]


def test_a_percentage_takes_the_same_customers_on_every_machine_and_in_any_order() -> None:
    """Another choice would move customers of every company in and out of rules."""
    assert within(20) == AT_20
    assert within(50) == AT_50
    assert within(20, ids=IDS[::-1]) == AT_20[::-1]


def test_who_is_in_at_a_percentage_is_in_at_every_greater_one() -> None:
    ids = [f"customer {n}" for n in range(2_000)]
    steps = [set(within(percent, ids=ids)) for percent in range(101)]

    assert (steps[0], steps[100]) == (set(), set(ids))
    assert all(fewer <= more for fewer, more in pairwise(steps))
    assert 340 < len(steps[20]) < 460


def test_each_rule_takes_customers_of_its_own() -> None:
    assert within(50, rule="other") != AT_50


def test_a_rule_for_a_percentage_is_decided_for_all_and_live_for_some(rules: Load) -> None:
    rulebase = rules(
        f"model:\n  contract: {{size: number}}\n---\nrule: renewal\nfor each: contract\n{THEN}rollout: 20% of customers\n"
    )
    live: list[str] = []
    for id_ in IDS:
        known = Dossier(id=id_, records=(record("contract", "C1", id_), record("contract", "C2", id_)))
        decision = rulebase.decide(known, now=NOW)
        assert len(decision.matches) == 2
        assert set(decision.limited.values()) <= {Reach.OTHER_CUSTOMERS}
        assert len(decision.limited) in (0, 2)  # a customer is in or out, with all there is
        live += [id_] * (not decision.limited)

    assert live == AT_20


@pytest.mark.parametrize(
    ("owner", "of_contract", "reach"),
    [
        ("ann", None, "live"),
        ("bob", None, "other team"),
        ("eva", None, "other team"),  # who is in no team
        ("zoe", None, "other team"),  # whom nobody knows
        (None, None, "other team"),
        ("bob", "ann", "live"),  # a record's own owner looks after it
        ("ann", "bob", "other team"),
    ],
)
def test_a_rule_of_a_team_is_live_for_what_its_people_look_after(
    owner: str | None, of_contract: str | None, reach: str, rules: Load
) -> None:
    rulebase = rules(
        f"model:\n  contract: {{owner: ref user}}\n---\nrule: r\nfor each: contract\n{THEN}rollout: team north\n"
    )
    customer = record("customer", "K1", **({"owner": owner} if owner else {}))
    contract = record("contract", "C1", **({"owner": of_contract} if of_contract else {}))

    decision = rulebase.decide(dossier(customer, contract), now=NOW, people=PEOPLE)

    assert [str(decision.limited.get(m, "live")) for m in decision.matches] == [reach]


# --- ## Codes, ### Warnings: a sample of each, marked where it is found ---

BEGIN = "rule: r\nfor each: contract\n"
SHADOW = "rollout: shadow\n"  # no test is missed of it
SAMPLE_MODEL = """model:
  customer: {standing: text}
  contract: {status: {enum: [draft, active]}, ends: date, size: number, label: text, nobody_has_it: text}
  quote: {contract: ref contract, size: number}
---
"""
RAISES = "  - {name: raises, today: 2026-11-23, given: {contract: {size: 1}}, expect: {raised: contract-1}}\n"
QUIET = "  - {name: quiet, today: 2026-11-23, given: {contract: {size: 2}}, expect: nothing}\n"
MANY = "with: [{}]\n".format(", ".join(["quote: {contract: this}"] * 16))
CODES: dict[str, str] = {
    "Y001": "rule: r\nwhen: {label: a⟦:⟧ b: c}\n",
    "Y002": f"{BEGIN}when: {{size: 1, ⟦size⟧: 2}}\n{THEN}",
    "R001": f"{BEGIN}⟦wehn⟧: {{size: 1}}\n{THEN}",
    "R002": f"⟦rule⟧: r\n{THEN}",
    "R100": f"rule: r\nfor each: ⟦contrct⟧\n{THEN}",
    "R101": f"{BEGIN}when: {{⟦seize⟧: 1}}\n{THEN}",
    "R102": f"{BEGIN}when: {{⟦status.size⟧: 1}}\n{THEN}",
    "R103": "model:\n  claim: {closed: ⟦dat⟧}\n",
    "R104": "model:\n  contract: {ends: ⟦text⟧}\n",
    "R105": "company: Muster AG\ncalendar: ⟦zurich⟧\n",
    "R106": f"{BEGIN}{THEN}---\nrule: ⟦r⟧\nfor each: quote\n{THEN}",
    "R107": f"{BEGIN}⟦with⟧{MANY.removeprefix('with')}{THEN}",
    "R201": f"{BEGIN}when: {{size: above ⟦five⟧}}\n{THEN}",
    "R202": f"{BEGIN}when: {{status: ⟦actve⟧}}\n{THEN}",
    "R203": f"{BEGIN}when: {{size: ⟦today⟧}}\n{THEN}",
    "R301": f"{BEGIN}unless: [⟦quote⟧: {{size: 5}}]\n{THEN}",
    "R302": "⟦rule⟧: r\nfor each: customer\nwhen: {standing: a}\nthen: {recommend: win, say: Call, set: {standing: a}}\n",
    "R401": f"dialog: renewal\n---\n{BEGIN}{SHADOW}then: {{recommend: win, say: Call, do: dialog ⟦renwal⟧}}\n",
    "R402": f"{BEGIN}then: {{recommend: win, say: 'Of {{{{ ⟦contract.seize⟧ }}}}'}}\n",
    "R403": f"{BEGIN}{SHADOW}then: {{recommend: win, say: Call, to: team ⟦noth⟧}}\n",
    "R404": f"{BEGIN}{SHADOW}when: {{size: 1}}\n{THEN}tests:\n{RAISES.replace('size: 1', 'size: 2').replace('{raised: contract-1}', '⟦{raised: contract-1}⟧')}",
    "W501": f"{BEGIN}{SHADOW}when: {{size: ⟦between 9 and 3⟧}}\n{THEN}",
    "W502": f"{BEGIN}when: {{size: 1}}\n{THEN}tests:\n{RAISES}{QUIET}---\n⟦rule⟧: s\nfor each: contract\nwhen: {{size: 1}}\n{THEN}tests:\n{RAISES}{QUIET}",
    "W503": f"⟦rule⟧: r\nfor each: contract\nwhen: {{size: 1}}\n{THEN}tests:\n{RAISES}",
    "W504": f"{BEGIN}{SHADOW}when: {{⟦nobody_has_it⟧: present}}\n{THEN}",
    "W505": f"{BEGIN}{SHADOW}when: {{⟦status⟧: draft}}\n{THEN}",
}
LOOKED = Looked(
    records=[record("contract", f"C{n}", status="active", ends="2027-01-07", size="1", label="a") for n in range(100)]
    + [record("quote", "Q1", contract="C1", size="1")],
    at_all=True,
)
shows("Codes: code", *CODES, "Y003", "M101", "M102")
shows("Warnings: warning", *(code for code in CODES if code.startswith("W")))


@pytest.mark.parametrize("code", CODES)
def test_of_each_code_there_is_a_sample_that_gives_it_and_no_other(code: str, tmp_path: Path) -> None:
    text = SAMPLE_MODEL + CODES[code]
    file = tmp_path / "rules.yaml"
    file.write_text(text.replace("⟦", "").replace("⟧", ""), encoding="utf-8")

    problems = review(check([file]), people=PEOPLE, looked=LOOKED)

    if not code.startswith(("W", "R40")):  # the others show what is missing beside them as well
        problems = Problems(problems.errors)
    assert [p.code for p in problems] == [code]
    expect_place(problems, text)


def test_what_cannot_be_laid_out_without_a_change_is_y003() -> None:
    problems = Problems()

    assert formatted("rule: r\nthen: &a {recommend: win}\nwhen: *a\n", file="rules.yaml", problems=problems) is None
    assert [(p.code, p.place.line, p.place.column) for p in problems] == [("Y003", 1, 1)]


def test_columns_that_a_file_lacks_or_has_twice_are_m101_and_m102(tmp_path: Path, rules: Load) -> None:
    file = tmp_path / "map.yaml"
    file.write_text("map: test\nrecords:\n  - kind: quote\n    id: no\n    fields: {size: Size, contract: Contract}\n")
    map_ = mapping.load(file, rules(SAMPLE_MODEL.removesuffix("---\n")).model)

    with pytest.raises(mapping.BadMapping) as refused:
        mapping.check_columns(map_, ["no", "Size", "Size"], file="data.csv")

    places = {p.code: (p.place.line, p.place.column) for p in refused.value.problems}
    assert places == {"M102": (5, 20), "M101": (5, 36)}


# --- nothing is left out ---


def tables() -> dict[str, list[list[str]]]:
    """The rows of every table, by the heading above it and the first word of its head."""
    found: dict[str, list[list[str]]] = {}
    heading, name, before = "", "", ""
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not before.startswith("|"):
                name = f"{heading}: {cells[0]}"
                assert name not in found
                found[name] = []
            elif not line.startswith("|---"):
                found[name].append(cells)
        before = line
    return found


def coded(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def in_words(cell: str) -> list[str]:
    """What a list names, in `code` and in plain words."""
    plain = re.sub(r"`[^`]+`|\([^)]*\)", "", cell)
    return [*coded(cell), *(word for part in plain.split(",") if (word := part.strip()))]


# What the rows of each table name that needs a case.
NAMED: dict[str, Callable[[list[str]], list[str]]] = {
    "Derived fields: written": lambda row: [re.findall(r"\w+", words)[0] for words in coded(row[0])],
    "Rule: key": lambda row: [*coded(row[0]), *coded(row[1])],
    "Rule: for": lambda row: in_words(row[1]),
    "then: key": lambda row: [*coded(row[0]), *coded(row[1])],
    "Warnings: warning": lambda row: [row[0].split(" ")[0]],
    "Codes: code": lambda row: row[0].split(", "),
}


def test_the_tables_of_the_reference_are_these() -> None:
    assert tables().keys() == NAMED.keys()


@pytest.mark.parametrize("table", NAMED)
def test_every_row_of_a_table_has_a_case_and_every_case_a_row(table: str) -> None:
    named = {words for row in tables()[table] for words in NAMED[table](row)}

    assert sorted(named - SHOWN[table]) == []
    assert sorted(SHOWN[table] - named) == []
