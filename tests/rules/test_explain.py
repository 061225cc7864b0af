"""Why, why not, and until when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.recommendation import Match
from domain.record import Dossier, Record, RecordRef
from rules.explain import Reason
from rules.loader import load
from rules.rulebase import RuleBase

NOW = datetime(2026, 5, 1, 9, tzinfo=UTC)
MODEL = """
model:
  customer: {since: date, segment: text, ends: date, met: datetime}
  contract: {signed: date, ends: date}
---
rule: r
for each: customer
"""
Rule = Callable[[str], RuleBase]


@pytest.fixture
def rule(tmp_path: Path) -> Rule:
    def rule(conditions: str) -> RuleBase:
        file = tmp_path / "rules.yaml"
        file.write_text(f"{MODEL}{conditions}\nthen: {{recommend: win, say: Call}}\n", encoding="utf-8")
        return load([file])

    return rule


def dossier(*contracts: dict[str, str], **customer: str) -> Dossier:
    records = [Record(kind="customer", id="K1", customer=None, fields=customer)]
    records += [Record(kind="contract", id=f"C{n}", customer="K1", fields=f) for n, f in enumerate(contracts, start=1)]
    return Dossier(id="K1", records=tuple(records))


def reasons(rulebase: RuleBase, known: Dossier, *, all_of_them: bool = True) -> list[Reason]:
    match = Match(rule="r", subject=RecordRef(kind="customer", id="K1"))
    ask = rulebase.trace if all_of_them else rulebase.why
    return list(ask(match, rulebase.facts(known, now=NOW)))


def test_every_condition_is_named_with_its_value_and_what_comes_of_it(rule: Rule) -> None:
    rulebase = rule(
        "when:\n  since: more than 3 years ago\nany of:\n  - {segment: sme}\n  - {ends: missing, segment: present}\n"
        "with:\n  - contract: {customer: this, ends: in the next 90 days}\n"
        "unless:\n  - contract: {customer: this, count: at least 3}"
    )
    known = dossier({"ends": "2026-06-01"}, {"ends": "2027-06-01"}, since="2020-01-01", segment="corporate")

    told = [(r.part, r.alternative, r.condition, r.value, r.holds) for r in reasons(rulebase, known)]

    assert [(*t[:3], str(t[3]), t[4]) for t in told] == [
        ("when", None, "since: more than 3 years ago", "2020-01-01", True),
        ("any of", 0, "segment: sme", "corporate", False),
        ("any of", 1, "ends: missing", "None", True),
        ("any of", 1, "segment: present", "corporate", True),
        ("with", None, "with contract: {customer: this, ends: in the next 90 days}", "('C1',)", True),
        ("unless", None, "unless contract: {customer: this, count: at least 3}", "('C1', 'C2')", True),
    ]
    assert [r.alternative for r in reasons(rulebase, known, all_of_them=False) if r.part == "any of"] == [1, 1]


@pytest.mark.parametrize(
    ("conditions", "known", "until"),
    [
        ("when:\n  ends: in the next 90 days", dossier(ends="2026-06-01"), "2026-06-02"),
        ("when:\n  ends: passed", dossier(ends="2026-06-01"), "2026-06-02"),
        ("when:\n  ends: passed", dossier(ends="2026-04-01"), None),
        ("when:\n  ends: in the next 90 days", dossier(), None),
        ("when:\n  ends: missing or passed", dossier(), None),
        ("when:\n  since: anniversary in the next 5 days", dossier(since="2020-06-10"), "2026-06-05"),
        (
            "when:\n  met: more than 2 weeks away",
            dossier(met="9999-12-31T23:59:59.999999Z"),
            "9999-12-17T23:59:59.999999",
        ),
        # on the day itself, an hour later
        ("when:\n  met: anniversary in the next 5 days", dossier(met="2020-05-01T08:00Z"), "2027-04-26T08:00"),
        # from one anniversary to the next it is always less than two years
        ("when:\n  since: anniversary in the next 2 years", dossier(since="2020-06-10"), None),
        (
            "with:\n  - contract: {customer: this, ends: in the next 90 days}",
            dossier({"ends": "2026-06-01"}, {"ends": "2026-07-01"}),
            "2026-07-02",
        ),
        (
            "unless:\n  - contract: {customer: this, ends: in the next 90 days, count: at least 2}",
            dossier({"ends": "2026-06-01"}, {"ends": "2026-07-01"}),
            "2026-06-02",
        ),
        # years ahead, when the contract has ended and its anniversary comes round again
        (
            "with:\n  - contract: {customer: this, signed: anniversary in the next 5 days, ends: passed}",
            dossier({"signed": "2020-06-10", "ends": "2033-01-01"}),
            "2033-06-05",
        ),
    ],
)
def test_a_reason_says_when_time_alone_will_change_it(
    conditions: str, known: Dossier, until: str | None, rule: Rule
) -> None:
    rulebase = rule(conditions)
    (reason,) = reasons(rulebase, known)

    assert reason.until == (datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None)
    assert reason.until == rulebase.decide(known, now=NOW).next_check


def test_a_rule_that_no_anniversary_can_bring_back_is_never_looked_at_again(rule: Rule) -> None:
    rulebase = rule("when:\n  since: anniversary in the next 5 days\n  ends: in the next 90 days")

    assert rulebase.decide(dossier(since="2020-06-10", ends="2020-01-01"), now=NOW).next_check is None
    # ... unless something else is still to come, however late
    late = rulebase.decide(dossier(since="2020-06-10", ends="2099-08-01"), now=NOW).next_check
    assert late == datetime(2099, 6, 5, tzinfo=UTC)
