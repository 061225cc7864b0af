"""Tests beside a rule: they hold where the rule does what it promises, and say what differs where it does not."""

# ruff: noqa: E501 - tests stand here as their authors write them

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rules.loader import check, load
from rules.stories import run_test

MODEL = """
company: Muster AG
timezone: Europe/Zurich
---
model:
  contract:
    status: {enum: [draft, active, cancelled, expired]}
    end_date: date
    signed_at: datetime
    annual_value: money
    auto_renews: yesno
  opportunity:
    contract: ref contract
    type: {enum: [new, renewal]}
    stage: {enum: [new, qualified, proposal, won, lost], groups: {open: [new, qualified, proposal]}}
---
"""
CONTRACT_EXPIRING = """
rule: contract-expiring
for each: contract
when:
  status: active
  end_date: in the next 90 days
  auto_renews: no
unless:
  - opportunity: {contract: this, type: renewal, stage: open}
  - opportunity: {contract: this, type: renewal, stage: won}
then:
  recommend: win
  say: "Contract ends on {{ contract.end_date|day }}, no renewal is open"
  due: in 4 business days
  worth: contract.annual_value
tests:
"""
ONE_DAY_45_BEFORE = """
  - name: raises 45 days before the end
    today: 2026-11-23
    given: {contract: {id: C1, customer: K1, status: active, auto_renews: no, end_date: 2027-01-07, annual_value: 48200}}
    expect: {raised: C1, worth: 48200, due: 2026-11-27}
"""
RENEWAL_OPEN = """
  - name: stays quiet once a renewal is open
    today: 2026-11-23
    given:
      contract: {id: C1, customer: K1, status: active, auto_renews: no, end_date: 2027-01-07}
      opportunity: {id: O1, customer: K1, contract: C1, type: renewal, stage: proposal}
    expect: nothing
"""
WHOLE_YEAR = """
  - name: over a whole year
    given: {contract: {id: C1, customer: K1, status: active, auto_renews: no, end_date: 2027-01-07}}
    story:
      - {on: 2026-10-01, expect: nothing}
      - {on: 2026-10-09, expect: {raised: C1}}
      - {on: 2026-12-01, change: {contract: {id: C1, end_date: 2028-01-07}}, expect: {resolved: C1}}
      - {on: 2027-10-09, expect: {raised: C1}}
"""
GIVEN = "{contract: {id: C1, status: active, auto_renews: no, end_date: 2027-01-07, annual_value: 100}}"

Told = Callable[[str], list[str]]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """What the tests beside the contract-expiring rule have to say."""

    def told(tests: str) -> list[str]:
        file = tmp_path / "rules.yaml"
        file.write_text(MODEL + CONTRACT_EXPIRING + tests, encoding="utf-8")
        rulebase = load([file])
        rule = rulebase.by_id["contract-expiring"]
        outcomes = [run_test(rulebase, rule, test) for test in rule.tests]
        return [f"{f.place.line}: {f.test}: {f.message}" for outcome in outcomes for f in outcome.failures]

    return told


@pytest.mark.parametrize("tests", [ONE_DAY_45_BEFORE, RENEWAL_OPEN, WHOLE_YEAR])
def test_the_tests_of_the_language_page_hold(tests: str, told: Told) -> None:
    assert told(tests) == []


@pytest.mark.parametrize(
    ("tests", "was", "instead", "says"),
    [
        (ONE_DAY_45_BEFORE, "raised: C1", "raised: C2", "on 2026-11-23 expected C2, open is C1"),
        (ONE_DAY_45_BEFORE, "raised: C1", "raised: [C1, C2]", "on 2026-11-23 expected C1, C2, open is C1"),
        (ONE_DAY_45_BEFORE, "worth: 48200", "worth: 48201", "C1: expected worth 48201, it is 48200"),
        (ONE_DAY_45_BEFORE, "due: 2026-11-27", "due: 2026-11-26", "C1: expected due 2026-11-26, it is 2026-11-27"),
        (ONE_DAY_45_BEFORE, "today: 2026-11-23", "today: 2026-10-08", "on 2026-10-08 expected C1, open is nothing"),
        (RENEWAL_OPEN, "stage: proposal", "stage: lost", "on 2026-11-23 expected nothing, open is C1"),
        (RENEWAL_OPEN, "expect: nothing", "expect: {worth: 5}", "on 2026-11-23 expected something worth or due, open is"),
        (WHOLE_YEAR, "on: 2026-10-09", "on: 2026-10-08", "on 2026-10-08 expected C1, open is nothing"),
        (WHOLE_YEAR, "end_date: 2028-01-07", "end_date: 2027-02-07", "on 2026-12-01 expected C1 to be resolved; open is C1"),
        (WHOLE_YEAR, "on: 2027-10-09", "on: 2027-10-08", "on 2027-10-08 expected C1, open is nothing"),
    ],
)  # fmt: skip
def test_a_test_that_fails_says_what_differs(tests: str, was: str, instead: str, says: str, told: Told) -> None:
    assert tests.count(was) >= 1

    assert says in told(tests.replace(was, instead))[0]


def test_a_failure_stands_at_the_step_that_failed(told: Told) -> None:
    first_line = (MODEL + CONTRACT_EXPIRING + WHOLE_YEAR).splitlines().index(
        "      - {on: 2026-10-01, expect: nothing}"
    ) + 1

    failures = told(WHOLE_YEAR.replace("expect: nothing", "expect: {raised: C1}").replace("{resolved: C1}", "nothing"))

    assert [int(f.split(":")[0]) - first_line for f in failures] == [0]


def test_an_episode_between_two_steps_is_known_to_have_been_resolved(told: Told) -> None:
    """It began and ended while nobody looked."""
    tests = f"""
  - name: came and went
    given: {GIVEN}
    story:
      - {{on: 2026-10-01, expect: nothing}}
      - {{on: 2027-02-01, expect: {{raised: [], resolved: C1}}}}
"""
    assert told(tests) == []


def test_what_is_due_counts_from_the_day_the_episode_began(told: Told) -> None:
    tests = f"""
  - name: due
    given: {GIVEN}
    story:
      - {{on: 2026-10-01, expect: nothing}}
      - {{on: 2026-10-20, expect: {{raised: C1}}}}
      - {{on: 2026-10-30, expect: {{raised: C1, worth: 100, due: 2026-10-15}}}}
"""
    assert told(tests) == []  # since Friday, 9 October


def test_a_value_can_go_missing_and_a_record_be_added_on_the_way(told: Told) -> None:
    tests = f"""
  - name: changes
    given: {GIVEN}
    story:
      - {{on: 2026-11-01, expect: {{raised: C1}}}}
      - {{on: 2026-11-02, change: {{contract: {{id: C1, end_date: }}}}, expect: {{resolved: C1}}}}
      - {{on: 2026-11-03, change: {{contract: {{id: C1, end_date: 2027-01-07}}}}, expect: {{raised: C1}}}}
      - on: 2026-11-04
        change: {{opportunity: [{{contract: C1, type: renewal, stage: new}}]}}
        expect: {{raised: [], resolved: C1}}
      - {{on: 2026-11-05, expect: nothing}}
"""
    assert told(tests) == []


def test_a_moment_may_be_given_to_the_minute(told: Told) -> None:
    tests = f"""
  - {{name: before midnight, now: 2026-10-08T23:59, given: {GIVEN}, expect: nothing}}
  - {{name: at midnight, now: 2026-10-09T00:00, given: {GIVEN}, expect: {{raised: C1}}}}
  - {{name: elsewhere, now: "2026-10-08T22:00Z", given: {GIVEN}, expect: {{raised: C1}}}}
"""
    assert told(tests) == []


@pytest.mark.parametrize(
    ("step", "code", "message"),
    [
        ("{on: 2026-09-30, expect: nothing}", "R201", "goes back in time"),
        ("{expect: nothing}", "R002", 'key "on" is missing'),
        ("{on: soon, expect: nothing}", "R201", '"soon" is not a date'),
        ("{on: 2026-12-01, expect: nothing, chance: {}}", "R001", 'unknown key "chance"'),
        ("{on: 2026-12-01, change: {contrat: {id: C1}}}", "R100", 'no kind "contrat"'),
        ("{on: 2026-12-01, expect: {raised: C1, worth: much}}", "R201", '"much" is not a number'),
        ("{on: 2026-12-01, expect: quiet}", "R201", '"quiet" expects nothing readable'),
    ],
)
def test_a_story_that_cannot_be_read_is_a_problem_with_a_place(
    step: str, code: str, message: str, tmp_path: Path
) -> None:
    story = f"  - {{name: a, given: {GIVEN}, story: [{{on: 2026-10-01, expect: nothing}}, {step}]}}\n"
    file = tmp_path / "rules.yaml"
    file.write_text(MODEL + CONTRACT_EXPIRING + story, encoding="utf-8")

    (problem,) = check([file]).problems

    assert (problem.code, problem.message) == (code, message)
    assert problem.help
    assert problem.place.text == story.strip("\n")
