"""Random rule bases about random customers decide as the oracle says, at every moment, however time is cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.loader import load
from rules.rulebase import Decision, RuleBase
from tests.rules import oracle
from tests.rules.strategies import Case, Company, cases, companies, starts

EXAMPLES = int(os.environ.get("RELANCE_EQUIVALENCE_EXAMPLES", "250"))
CUSTOMERS, MOMENTS = 3, 3  # of each rule base; an example is CUSTOMERS * MOMENTS cases
FAR = timedelta(days=3 * 365)

random_companies = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@contextmanager
def rule_base(company: Company) -> Iterator[RuleBase]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(company.text, encoding="utf-8")
        rulebase = load([file])
    try:
        yield rulebase
    finally:
        rulebase.engine.close()


def found(decision: Decision) -> frozenset[tuple[str, str]]:
    return frozenset((m.rule, m.subject.id) for m in decision.matches)


@random_companies
@given(data=st.data())
def test_a_rule_base_decides_as_the_oracle(data: st.DataObject) -> None:
    company = data.draw(companies())
    with rule_base(company) as rulebase:
        for _ in range(CUSTOMERS):
            start = data.draw(starts(company.offices["u1"]))
            case = data.draw(cases(company, start))
            for now in [start, *(data.draw(starts(case.office)) for _ in range(MOMENTS - 1))]:
                decision = rulebase.decide(case.dossier, now=now, people=company.people)
                assert found(decision) == oracle.decide(company.rules, case.records, now, case.office)
