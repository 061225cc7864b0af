"""Random rule bases about random customers decide as the oracle says, at every moment, however time is cut."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.recommendation import Match
from domain.record import RecordRef, Timeline
from rules.loader import load
from rules.rulebase import Decision, RuleBase
from tests.rules import oracle
from tests.rules.strategies import TICK, Case, Company, cases, companies, starts

EXAMPLES = int(os.environ.get("RELANCE_EQUIVALENCE_EXAMPLES", "130"))  # rule bases in each of four tests
CUSTOMERS, MOMENTS = 4, 3  # of each rule base
FAR = timedelta(days=3 * 365)
LAST_MONTH = datetime(9999, 12, 1, tzinfo=UTC)  # of the calendar: at its very end business time cannot be counted

Found: TypeAlias = frozenset[tuple[str, str]]

random_companies = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@contextmanager
def rule_base(company: Company) -> Generator[RuleBase]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(company.text, encoding="utf-8")
        rulebase = load([file])
    try:
        yield rulebase
    finally:
        rulebase.engine.close()


def found(decision: Decision) -> Found:
    return frozenset((m.rule, m.subject.id) for m in decision.matches)


def customers(data: st.DataObject, company: Company) -> Iterator[tuple[datetime, Case]]:
    for _ in range(CUSTOMERS):
        start = data.draw(starts(company.offices["u1"]))
        yield start, data.draw(cases(company, start))


@random_companies
@given(data=st.data())
def test_a_rule_base_decides_as_the_oracle(data: st.DataObject) -> None:
    company = data.draw(companies())
    with rule_base(company) as rulebase:
        for start, case in customers(data, company):
            for now in [start, *(data.draw(starts(case.office)) for _ in range(MOMENTS - 1))]:
                decision = rulebase.decide(case.dossier, now=now, people=company.people)
                assert found(decision) == oracle.decide(company.rules, case.records, now, case.office)


@random_companies
@given(data=st.data())
def test_the_next_check_is_the_first_moment_at_which_something_changes(data: st.DataObject) -> None:
    company = data.draw(companies())
    with rule_base(company) as rulebase:
        for now, case in customers(data, company):
            decision = rulebase.decide(case.dossier, now=now, people=company.people)
            end = min(decision.next_check or now + FAR, now + FAR)
            between = [now + (end - now) * data.draw(st.floats(0, 1, exclude_max=True)) ** 3 for _ in range(3)]
            for quiet in (min(moment, end - TICK) for moment in [*between, end]):
                assert oracle.decide(company.rules, case.records, quiet, case.office) == found(decision)
            if case.unique:
                walk = oracle.changes(company.rules, case.records, since=now, until=now + FAR, office=case.office)
                next(walk)
                first = next((moment for moment, _ in walk), None)
                assert first == near(decision.next_check, now)
                if decision.next_check is not None and decision.next_check < LAST_MONTH:
                    later = oracle.decide(company.rules, case.records, decision.next_check, case.office)
                    assert later != found(decision)


def near(moment: datetime | None, now: datetime) -> datetime | None:
    """A moment that the oracle looks as far ahead as."""
    return moment if moment is not None and moment <= now + FAR else None


def changes(decisions: Iterator[Decision] | Sequence[Decision]) -> list[tuple[datetime, Found]]:
    """Where a run of decisions differs from the one before."""
    kept: list[tuple[datetime, Found]] = []
    for decision in decisions:
        if not kept or found(decision) != kept[-1][1]:
            kept.append((decision.now, found(decision)))
    return kept


@random_companies
@given(data=st.data())
def test_catching_up_passes_the_same_changes_as_an_uninterrupted_run(data: st.DataObject) -> None:
    """With writes in between, in one go, cut at random moments, and as the oracle walks."""
    company = data.draw(companies())
    since = data.draw(starts(company.offices["u1"]))
    until = since + timedelta(days=data.draw(st.integers(0, 400)))
    versions = [data.draw(cases(company, since)) for _ in range(data.draw(st.integers(1, 3)))]
    writes = sorted(since + (until - since) * data.draw(st.floats(0, 1)) for _ in versions[1:])
    cuts = sorted(since + (until - since) * data.draw(st.floats(0, 1)) for _ in range(data.draw(st.integers(0, 3))))
    timeline = Timeline(
        dossier=versions[0].dossier,
        changes=tuple((at, case.dossier) for at, case in zip(writes, versions[1:], strict=True)),
    )

    def parts(rulebase: RuleBase) -> Iterator[Decision]:
        for begin, end in zip([since, *cuts], [*cuts, until], strict=True):
            for decision in rulebase.replay(timeline, since=begin, until=end, people=company.people):
                assert begin <= decision.now <= end
                yield decision

    with rule_base(company) as rulebase:
        in_one_go = changes(rulebase.replay(timeline, since=since, until=until, people=company.people))
        assert changes(parts(rulebase)) == in_one_go

    expected: list[tuple[datetime, Found]] = []
    for case, begin, end in zip(versions, [since, *writes], [*(w - TICK for w in writes), until], strict=True):
        for at, holding in oracle.changes(company.rules, case.records, since=begin, until=end, office=case.office):
            if at <= end and (not expected or holding != expected[-1][1]):
                expected.append((at, holding))
    assert in_one_go == expected


@random_companies
@given(data=st.data())
def test_the_reasons_given_are_the_reasons_and_say_until_when(data: st.DataObject) -> None:
    company = data.draw(companies())
    with rule_base(company) as rulebase:
        for now, case in customers(data, company):
            subjects = [(r, s) for r in company.rules for s in case.records if s.kind == r.kind and case.unique]
            for rule, this in subjects:
                check_reasons(rulebase, company, case, rule, this, now)


def check_reasons(
    rulebase: RuleBase, company: Company, case: Case, rule: oracle.Rule, this: oracle.Record, now: datetime
) -> None:
    match = Match(rule=rule.id, subject=RecordRef(kind=this.kind, id=this.id))
    given = rulebase.trace(match, rulebase.facts(case.dossier), now=now, people=company.people)
    own = [*rule.when, *(c for alternative in rule.any_of for c in alternative)]
    about = [*own, *rule.with_, *rule.unless]
    parts = ["when"] * len(rule.when) + ["any of"] * (len(own) - len(rule.when))
    parts += ["with"] * len(rule.with_) + ["unless"] * len(rule.unless)
    assert [r.part for r in given] == parts

    alternatives = {r.alternative: True for r in given if r.part == "any of"}
    for reason in given:
        if reason.part == "any of":
            alternatives[reason.alternative] &= reason.holds
    conclusion = all(r.holds for r in given if r.part != "any of") and (not alternatives or any(alternatives.values()))
    assert conclusion == oracle.rule_holds(rule, this, case.records, oracle.micros(now), case.office)

    for reason, part in zip(given, about, strict=True):

        def holds(
            at: int, part: oracle.Condition | oracle.Relation = part, unless: bool = reason.part == "unless"
        ) -> bool:
            if isinstance(part, oracle.Condition):
                return oracle.all_hold([part], this, case.records, at, case.office)
            return oracle.exists(part, this, case.records, at, case.office) != unless

        start, far = oracle.micros(now), oracle.micros(now + FAR)
        assert reason.holds == holds(start)
        single = (
            oracle.Rule("", this.kind, (part,))
            if isinstance(part, oracle.Condition)
            else oracle.Rule("", this.kind, with_=(part,))
        )
        walk = sorted(e for e in oracle.rule_edges(single, case.records, start, case.office) if start < e <= far)
        first = next((oracle.moment(e) for e in walk if holds(e) != reason.holds), None)
        assert first == near(reason.until, now)
        if reason.until is not None and reason.until < LAST_MONTH:
            assert holds(oracle.micros(reason.until)) != reason.holds
