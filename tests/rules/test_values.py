"""Every test that no clock is in, at its bounds: decided by both readers, and explained the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.recommendation import Match
from domain.record import Dossier, Record, RecordRef, Scalar
from rules.loader import load

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MODEL = """
company: Muster AG
timezone: Europe/Zurich
---
model:
  contract:
    label: text
    size: number
    value: money
    renews: yesno
    stage: {enum: [new, open, won, lost], groups: {done: [won, lost]}}
    ends: date
    signed: datetime
    parent: ref contract
---
rule: r
for each: contract
when:
"""
BEFORE_MIDNIGHT, AT_MIDNIGHT = "2027-01-06T22:59:59.999999+00:00", "2027-01-06T23:00:00+00:00"  # in Zurich


@pytest.mark.parametrize(
    ("condition", "true_for", "false_for"),
    [
        ("size: 5", ["5", "5.0", "05"], ["4.999", "-5", None]),
        ("size: [5, 7.5]", ["5", "7.50"], ["6", None]),
        ("size: not 5", ["5.001", "0"], ["5", None]),
        ("size: none of 5, 7", ["6"], ["5", "7.0", None]),
        ("size: above 5", ["5.000000000000000001", "6"], ["5", "4", None]),
        ("size: below 5", ["4.999999999999999999", "-6"], ["5", "5.1", None]),
        ("size: at least 5", ["5", "5.1"], ["4.9", None]),
        ("size: at most 5", ["5", "-1"], ["5.1", None]),
        ("size: between 5 and 7.5", ["5", "6", "7.5"], ["4.99", "7.51", None]),
        ("size: between -1 and -1", ["-1"], ["-1.1", "-0.9", None]),
        ("size: missing or above 5", [None, "6"], ["5"]),
        ("value: at least 0.1", ["0.1", "0.10"], ["0.0999999999999999999", None]),
        ("size: above 999999999999999999", ["999999999999999999.5"], ["999999999999999999", "-1", None]),
        ("label: fibre", ["fibre"], ["Fibre", "fibre ", "fibr", None]),
        ("label: not fibre", ["Fibre", " "], ["fibre", None]),
        ("label: starts with fib", ["FIBRE", "fib"], ["a fibre", "fi", None]),
        ("label: contains STRASSE", ["Bahnhofstraße", "strasse 1"], ["Bahnhofstr.", None]),
        ("label: present", ["x", "missing"], [None]),
        ("label: missing", [None], ["x", "missing"]),
        ("renews: yes", [True, "yes", "TRUE"], [False, None]),
        ("renews: no", [False, "no"], [True, None]),
        ("renews: not yes", [False], [True, None]),
        ("renews: missing or no", [None, False], [True]),
        ("renews: [yes, no]", [True, False], [None]),
        ("stage: done", ["won", "lost"], ["new", "open", None]),
        ("stage: not done", ["new", "open"], ["won", "lost", None]),
        ("stage: [new, done]", ["new", "won", "lost"], ["open", None]),
        ("stage: none of new, done", ["open"], ["new", "won", None]),
        ("stage: missing or done", [None, "won"], ["new"]),
        ("ends: 2027-01-07", ["2027-01-07"], ["2027-01-06", "2028-01-07", None]),
        ("ends: not 2027-01-07", ["2027-01-08"], ["2027-01-07", None]),
        ("ends: before 2027-01-07", ["2027-01-06", "0001-01-01"], ["2027-01-07", "9999-12-31", None]),
        ("ends: after 2027-01-07", ["2027-01-08", "9999-12-31"], ["2027-01-07", "0001-01-01", None]),
        ("signed: 2027-01-07", [AT_MIDNIGHT, "2027-01-07T12:00"], [BEFORE_MIDNIGHT, "2027-01-08T00:00", None]),
        ("signed: not 2027-01-07", [BEFORE_MIDNIGHT], [AT_MIDNIGHT, None]),
        ("signed: before 2027-01-07", [BEFORE_MIDNIGHT], [AT_MIDNIGHT, None]),
        ("signed: after 2027-01-06", [AT_MIDNIGHT], [BEFORE_MIDNIGHT, None]),
        ("signed: 2027-01-07T00:00+01:00", [AT_MIDNIGHT], [BEFORE_MIDNIGHT, None]),
        ("signed: 9999-12-31", ["9999-12-31T23:59:59.999999Z"], ["9999-12-30T12:00Z", None]),
        ("parent: C1", ["C1"], ["c1", "C9", None]),
        ("parent: present", ["C1", "C9"], [None]),
        ("parent.size: missing", [None, "C9", "C1"], ["C2"]),  # nobody knows C9; C1 is itself, and has no size
        ("parent.size: above 5", ["C2"], ["C1", "C9", None]),
        ("parent.size: missing or above 7", [None, "C1", "C9"], ["C2"]),
    ],
)
def test_a_test_is_true_for_these_values_and_false_for_those(
    condition: str, true_for: list[Scalar | None], false_for: list[Scalar | None], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(f"{MODEL}  {condition}\nthen: {{recommend: win, say: Call}}\n", encoding="utf-8")
    rulebase = load([file])
    field = condition.split(":")[0].split(".")[0]
    subject = RecordRef(kind="contract", id="C1")

    for values, truth in ((true_for, True), (false_for, False)):
        for value in values:
            own = {} if value is None else {field: value}
            records = (
                Record(kind="contract", id="C1", customer="K1", fields=own),
                Record(kind="contract", id="C2", customer="K1", fields={"size": "7"}),
            )
            decision = rulebase.decide(Dossier(id="K1", records=records), now=NOW)
            (reason,) = rulebase.trace(Match(rule="r", subject=subject), decision.facts)

            assert (Match(rule="r", subject=subject) in decision.matches) is truth, value
            assert reason.holds is truth, value
    rulebase.engine.close()
