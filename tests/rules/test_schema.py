"""The schema knows the language as the checker does: it refuses what is misspelt and never what is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from rules.loader import builtin_packs, check
from rules.operators import PHRASES
from rules.problems import Problems
from rules.schema import PHRASE_HELP, RULE_KEYS, THEN_KEYS, schema
from rules.source import Mapping, Node, Scalar, Sequence, read_file, read_text, rule_files
from tests.rules.strategies import Company, companies

ROOT = Path(__file__).parents[2]
PACKS = [[pack] if pack == "base" else ["base", pack] for pack in builtin_packs()]
PACKS += [["base", str(path)] for path in sorted(ROOT.glob("examples/*/rules"))]
MODEL = """\
model:
  customer:
    segment: {enum: [private, sme, corporate]}
    since: date
    revenue: {sum: contract.value, where: {status: open}}
    standing: {enum: [fine, at-risk]}
  contract:
    status: {enum: [draft, active, "no", "1", ended], groups: {open: [draft, active]}}
    end_date: date
    signed_at: datetime
    value: money
    notice_days: number
    auto_renews: yesno
    line: text
    previous: ref contract
  visit:
    contract: ref contract
    at: datetime
    line: text
"""
# The core schema of YAML 1.2: how an editor reads an unquoted word.
CORE = (
    (r"true|True|TRUE", lambda text: True),
    (r"false|False|FALSE", lambda text: False),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+|0x[0-9a-fA-F]+", lambda text: int(text, 0)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
)


def seen(node: Node) -> Any:
    """A document as an editor sees it."""
    match node:
        case Mapping():
            return {key.text: seen(value) for key, value in node}
        case Sequence():
            return [seen(item) for item in node]
        case Scalar():
            if node.is_null:
                return None
            reads = (read for pattern, read in CORE if not node.quoted and re.fullmatch(pattern, node.text))
            return next(reads, str)(node.text)


def documents(text: str) -> list[Any]:
    problems = Problems()
    found = [seen(document) for document in read_text(text, file="a.yaml", problems=problems)]
    assert not problems
    return found


def objections(validator: Draft202012Validator, text: str) -> list[str]:
    found = [best_match(validator.iter_errors(document)) for document in documents(text)]
    return [f"{error.json_path}: {error.message}" for error in found if error]


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Draft202012Validator:
    file = tmp_path_factory.mktemp("model") / "model.yaml"
    file.write_text(MODEL, encoding="utf-8")
    return Draft202012Validator(schema(check([file]).rulebase.model))


def accepts(validator: Draft202012Validator, tmp_path: Path, text: str) -> tuple[bool, bool]:
    """(whether the schema accepts it, whether the checker does)"""
    file = tmp_path / "rules.yaml"
    file.write_text(f"{MODEL}---\n{text}", encoding="utf-8")
    return not objections(validator, text), not check([file]).problems.errors


# --- the whole ---


def test_it_is_a_schema(validator: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(validator.schema)


@pytest.mark.parametrize("packs", PACKS, ids=lambda packs: Path(packs[-1]).parent.name + Path(packs[-1]).name)
def test_every_document_of_a_shipped_pack_is_accepted_by_the_schema_of_its_stack(packs: list[str]) -> None:
    validator = Draft202012Validator(schema(check(packs).rulebase.model))
    for pack in packs:
        for file in rule_files(builtin_packs().get(pack, Path(pack))):
            for node in read_file(file, Problems()):
                error = best_match(validator.iter_errors(seen(node)))
                assert error is None, f"{file}: {error.json_path}: {error.message}"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=100)
@given(company=companies())
def test_whatever_the_checker_reads_the_schema_accepts(
    tmp_path_factory: pytest.TempPathFactory, company: Company
) -> None:
    file = tmp_path_factory.mktemp("company") / "rules.yaml"
    file.write_text(company.text, encoding="utf-8")
    checked = check([file])
    assume(not checked.problems.errors)
    assert objections(Draft202012Validator(schema(checked.rulebase.model)), company.text) == []


# --- what is right, and what is not ---

RULE = "rule: r\nfor each: contract\n{when}then: {{recommend: win, say: Hello{then}}}\n{more}"


def rule(*, when: str = "", then: str = "", more: str = "") -> str:
    return RULE.format(when=f"when: {{{when}}}\n" if when else "", then=f", {then}" if then else "", more=more)


RIGHT_TESTS = [
    "status: active", "status: open", "status: no", "status: 1", 'status: "1"', "status: [draft, 1]",
    "status: not open",
    "status: {not: [draft]}", 'status: "none of draft, open"', "status: missing or open",
    "status: {missing or: {is: draft}}",
    "status: {is: [draft, no]}", "status: {missing: yes}", "status: {present: true}",
    "end_date: 2027-01-07", "end_date: [2027-01-07, 2027-01-08]", "end_date: {in the next: 90 days}",
    "end_date: passed",
    "end_date: missing or more than 60 days away", "end_date: not 2027-01-07", "end_date: {passed: yes}",
    "signed_at: in the last 4 business hours", "signed_at: 2027-01-07T14:30:00+01:00",
    "signed_at: {before: 2027-01-07}",
    "value: 500", "value: 499.95", 'value: "500"', "value: 1e3", "value: at least 500", "value: between 1 and 2.5",
    "value: {between: [1, 2.5]}", "value: [1, 2]", "value: {at least: 500}", "notice_days: missing", "value: not 0",
    "auto_renews: no", "auto_renews: yes", "auto_renews: true", "auto_renews: No", "auto_renews: not yes",
    "line: fibre", "line: 500", "line: true", "line: starts with CH", "line: {contains: 5}", "line: {is: missing}",
    "line: [a, 1]", "previous: C1", "previous: present", "previous.status: open", "customer.segment: [sme, corporate]",
    "customer.revenue: above 5", "previous.previous.customer.since: in the last 2 years",
    "previous.previous.previous.previous.status: open",
]  # fmt: skip
WRONG_TESTS = [
    "statuss: active", "status: actve", "status: above 5", "status: [draft, actve]", "status: not actve", "status: []",
    "status: none of draft, actve", "status: {isnt: draft}", "status: {is: draft, not: ended}", "status: ",
    "status: missing or missing", "end_date: in the next 90 dayz", "end_date: in the next 4 hours", "end_date: soon",
    "end_date: 7.1.2027", "end_date: {in the next: soon}", "end_date: {passed: no}", "signed_at: above 5",
    "value: a lot", "value: above a lot", "value: {between: [1]}", "value: in the next 5 days", "value: true",
    "auto_renews: maybe", "auto_renews: 1", "previous: {contains: a}", "customer.segmnt: sme", "custmer.segment: sme",
    "customer.segment: large", "previous.previous.status: actve", "previous.previous.customer.segment: large",
    "count: 3",
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT_TESTS)
def test_a_test_that_the_checker_reads_is_accepted(validator: Draft202012Validator, tmp_path: Path, text: str) -> None:
    assert accepts(validator, tmp_path, rule(when=text)) == (True, True)


@pytest.mark.parametrize("text", WRONG_TESTS)
def test_a_test_that_the_checker_refuses_is_underlined(
    validator: Draft202012Validator, tmp_path: Path, text: str
) -> None:
    assert accepts(validator, tmp_path, rule(when=text)) == (False, False)


def test_every_phrase_has_an_example_and_a_meaning() -> None:
    assert set(PHRASE_HELP) == {phrase.words for phrase in PHRASES}


@pytest.mark.parametrize("example", [example for example, _ in PHRASE_HELP.values()])
def test_the_example_of_a_phrase_is_one(validator: Draft202012Validator, tmp_path: Path, example: str) -> None:
    read = [accepts(validator, tmp_path, rule(when=f"{field}: {example}")) for field in ("value", "end_date", "line")]
    assert (True, True) in read


RIGHT = {
    "any of": rule(more="any of: [{status: open}, {value: above 5, customer.segment: sme}]"),
    "relations": rule(more="unless: [{contract: {previous: this, status: open}}, {visit: {line: same, at: passed}}]"),
    "a relation without a list": rule(more="with: {visit: {contract: this, contract.status: open, count: at least 3}}"),
    "several relations in one map": rule(
        more="with: {visit: {contract: this}, contract: {customer: same, value: same}}"
    ),
    "about a customer": "rule: a\nfor each: customer\nwith: {visit: {customer: this}}\nthen: {recommend: hold, say: A}",
    "per language": "rule: r\ntitle: {en: A, de: B}\nfor each: visit\nthen: {recommend: let go, say: {en: A, de: B}}",
    "all of then": rule(
        then="do: handover inside sales, or: [call, dialog renewal-call, webhook a.b, 'open https://example.com/x'], "
        'to: ["owner, otherwise team lead", user u1, a@example.com], channel: [chat, email], '
        "due: 10 days before end_date, worth: contract.value, weight: 150, repeat: 'every 14 days, at most 3 times', "
        "escalate: [{after: 5 business days, to: owner.manager}, {after: 3 weeks, to: [team zurich]}], "
        "holds back: {tags: pitch, about: this, until: resolved}, set: {standing: at-risk}"
    ),
    "a due date over a link": rule(then="due: 1 week before previous.end_date, worth: previous.previous.value"),
    "worth a number": rule(then="worth: 18000, or: call, due: in 1 business day"),
    "on the day": rule(when="end_date: today", then="due: on the day, worth: customer.revenue"),
    "rollout": rule(more="rollout: 20% of customers\ntags: pitch\nnotes: why\n"),
    "a team": rule(more="rollout: team zurich"),
    "tests": rule(
        more="""tests:
  - name: raises
    today: 2026-11-23
    given: {contract: {id: C1, status: 1, auto_renews: no, end_date: 2027-01-07, value: 500, line: 7, previous: null}}
    expect: {raised: C1}
  - {name: at a moment, now: 2026-11-23T09:00, given: {}, expect: {resolved: [C1, 2], worth: 5, due: 2026-12-01}}
  - name: over a year
    given: {contract: [{id: C1}, {id: 2}], customer: {id: K1, segment: sme}}
    story:
      - {on: 2026-10-01, expect: nothing}
      - {now: 2026-10-09T14:00, change: {visit: {id: V1, at: 2026-10-09T13:00}}, expect: {raised: [C1, 2]}}
      - {on: 2026-10-10, change: {visit: {id: V1, at: 2026-10-10}}}
"""
    ).replace("raised: [C1, 2]", "resolved: [C1]"),
    "a model": """\
model:
  claim:
    customer: ref customer
    owner: ref user
    amount: money
    fee: {money: CHF}
    stage: {enum: [new, 1, no], groups: {open: [new]}}
  contract:
    claims: {count: claim, where: {stage: open, customer: same}}
    paid: {sum: claim.amount, where: {stage: [new, no]}}
    first: {min: claim.amount}
    highest: {max: contract.end_date}
    last: {latest: visit.at, where: {contract: this}}
    share: {divide: [paid, value]}
    double: {multiply: [paid, 2]}
    rest: {subtract: [value, paid, contract.paid]}
    both: {add: [value, customer.revenue]}
  empty:
""",
    "a company": "company: Muster AG\ntimezone: Europe/Zurich\ncurrency: CHF\nlanguage: de\ncalendar: zurich\n"
    "---\ncalendar: zurich\ntimezone: Europe/Zurich\nhours: {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}\n"
    "holidays: {country: CH, region: ZH}\nclosed: [2026-12-24, 2026-12-31]\n",
    "other documents": "process: renewal\nstages: [{stage: a}]\n---\ndialog: call\nfields: [{a: b}]\n---\n",
}
WRONG = {
    "an unknown document": "rules: r\n",
    "no kind": "rule: r\nthen: {recommend: win, say: Hello}",
    "an unknown kind": rule().replace("contract", "contrat"),
    "nothing to recommend": "rule: r\nfor each: contract",
    "no verdict": rule().replace("recommend: win, ", ""),
    "another verdict": rule().replace("win", "sell"),
    "nothing to say": rule().replace(", say: Hello", ""),
    "an unknown language": rule().replace("say: Hello", "say: {xx: Hello}"),
    "an id with spaces": rule().replace("rule: r", "rule: My rule"),
    "a key that is misspelt": rule(more="unles: []"),
    "a key of `then` that is misspelt": rule(then="chanel: chat"),
    "any of in a map": rule(more="any of: {status: open}"),
    "any of an unknown field": rule(more="any of: [{statuss: open}]"),
    "a relation to an unknown kind": rule(more="unless: [{visits: {contract: this}}]"),
    "a relation that is not tied": rule(more="unless: [{visit: {line: fibre}}]"),
    "a relation that is tied to another kind": rule(more="unless: [{visit: {customer: this}}]"),
    "a relation over what the subject does not have": rule(more="unless: [{visit: {at: same}}]"),
    "a relation over what is derived": rule(more="unless: [{customer: {revenue: same}}]"),
    "a relation with an unknown field": rule(more="unless: [{visit: {contract: this, statuss: open}}]"),
    "a relation with another value": rule(more="unless: [{contract: {previous: this, status: actve}}]"),
    "a relation with another count": rule(more="with: [{visit: {contract: this, count: many}}]"),
    "another action": rule(then="do: telephone"),
    "another channel": rule(then="channel: fax"),
    "another due date": rule(then="due: soon"),
    "a due date before what is none": rule(then="due: 5 days before status"),
    "worth something unknown": rule(then="worth: contract.valu"),
    "worth a word": rule(then="worth: status"),
    "a weight in words": rule(then="weight: heavy"),
    "another repetition": rule(then="repeat: daily"),
    "an escalation to nobody": rule(then="escalate: {after: 5 days}"),
    "holding back nothing": rule(then="holds back: {about: customer}"),
    "setting what is not there": rule(then="set: {standng: at-risk}"),
    "setting another value": rule(then="set: {standing: bad}"),
    "setting what is derived": rule(then="set: {revenue: 5}"),
    "another rollout": rule(more="rollout: half of them"),
    "a test without a name": rule(more="tests: [{today: 2026-11-23, expect: nothing}]"),
    "a test without a day": rule(more="tests: [{name: a, expect: nothing}]"),
    "a test that expects nothing readable": rule(more="tests: [{name: a, today: 2026-11-23, expect: something}]"),
    "a test of an unknown field": rule(
        more="tests: [{name: a, today: 2026-11-23, given: {contract: {statuss: draft}}, expect: nothing}]"
    ),
    "a test of an unknown value": rule(
        more="tests: [{name: a, today: 2026-11-23, given: {contract: {status: open}}, expect: nothing}]"
    ),
    "a test of another type": rule(
        more="tests: [{name: a, today: 2026-11-23, given: {contract: {end_date: soon}}, expect: nothing}]"
    ),
    "a step without a day": rule(more="tests: [{name: a, story: [{expect: nothing}]}]"),
    "a type that is none": "model:\n  claim: {amount: euro}",
    "a field that is called count": "model:\n  claim: {count: number}",
    "a kind in capitals": "model:\n  Claim: {amount: number}",
    "a currency in words": "model:\n  claim: {amount: {money: francs}}",
    "a derived field of two kinds": "model:\n  claim: {amount: {sum: contract.value, count: contract}}",
    "one field added to nothing": "model:\n  claim: {a: number, b: {add: [a]}}",
    "an unknown key of a company": "company: A\nzone: Europe/Zurich",
    "a currency of a company": "company: A\ncurrency: francs",
    "days that are none": "calendar: a\nhours: {monday: 08:00-12:00}",
    "hours that are none": "calendar: a\nhours: {mon: all day}",
    "holidays of nowhere": "calendar: a\nholidays: {region: ZH}",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_right_is_accepted(validator: Draft202012Validator, tmp_path: Path, text: str) -> None:
    assert objections(validator, text) == []
    assert accepts(validator, tmp_path, text)[1]


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_underlined(validator: Draft202012Validator, tmp_path: Path, text: str) -> None:
    assert accepts(validator, tmp_path, text)[0] is False


def test_only_how_far_a_rule_reaches_may_be_said_of_a_rule_of_another_pack(validator: Draft202012Validator) -> None:
    assert objections(validator, "rule: r\nrollout: draft\n") == []
    assert objections(validator, "rule: r\nrollout: draft\ntags: [a]\n") != []


# --- what an editor shows ---


def test_fields_are_completed_over_up_to_three_links(validator: Draft202012Validator) -> None:
    defs = validator.schema["$defs"]
    assert set(defs["when.visit"]["properties"]) == {"id", "customer", "contract", "at", "line"}
    assert {"contract.status", "contract.previous.value", "contract.previous.customer.since"} <= set(
        defs["links.visit"]["properties"]
    )
    assert not any(path.count(".") > 3 for path in defs["links.visit"]["properties"])


def test_values_groups_and_phrases_are_offered(validator: Draft202012Validator) -> None:
    defs = validator.schema["$defs"]
    assert {"draft", "open", "missing"} <= set(offered(defs["test.contract.status"]))
    assert {"in the next 90 days", "passed", "present", "missing or in the next 90 days"} <= set(
        offered(defs["test.date"])
    )
    assert (
        defs["test.contract.status"]["description"]
        == "one of: draft, active, no, 1, ended; groups: open: draft, active"
    )


def offered(schema_: dict[str, Any]) -> Iterator[Any]:
    for choice in schema_["anyOf"]:
        yield from choice.get("enum", ())
        yield from choice.get("examples", ())


def test_keys_mean_what_the_documentation_says() -> None:
    text = (ROOT / "docs" / "rule-language.md").read_text("utf-8")
    rows = [line.strip("| \n").split(" | ", 1) for line in text.splitlines() if line.startswith("| `")]
    said = {key: meaning for keys, meaning in rows for key in re.findall(r"`([^`]+)`", keys)}
    alone = {re.findall(r"`([^`]+)`", keys)[0] for keys, _ in rows if keys.count("`") == 2}
    keys = {**RULE_KEYS, **THEN_KEYS}
    assert set(keys) <= set(said)
    for key in alone & set(keys):
        assert said[key].removesuffix(", below") == keys[key], key
