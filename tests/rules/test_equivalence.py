"""Random rule bases about random customers decide as the oracle says, at every moment, however time is cut."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.recommendation import Match
from domain.record import RecordRef, Timeline
from rules.explain import Reason
from rules.loader import load
from rules.rulebase import Decision, RuleBase
from tests.rules import oracle
from tests.rules.strategies import TICK, Case, Company, cases, companies, starts

EXAMPLES = int(os.environ.get("RELANCE_EQUIVALENCE_EXAMPLES", "130"))  # rule bases in each of four tests
CUSTOMERS, MOMENTS = 6, 3  # of each rule base
FAR = timedelta(days=3 * 365)
LAST_MONTH = datetime(9999, 12, 1, tzinfo=UTC)  # of the calendar: at its very end business time cannot be counted

Found: TypeAlias = frozenset[tuple[str, str]]
Part: TypeAlias = oracle.Condition | oracle.Relation

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
def test_a_rule_base_decides_and_works_fields_out_as_the_oracle(data: st.DataObject) -> None:
    company = data.draw(companies())
    with rule_base(company) as rulebase:
        for start, case in customers(data, company):
            for now in [start, *(data.draw(starts(case.world.office)) for _ in range(MOMENTS - 1))]:
                decision = rulebase.decide(case.dossier, now=now, people=company.people)
                world = case.at(now)
                assert found(decision) == oracle.decide(world)
                facts = rulebase.facts(case.dossier, now=now, people=company.people)
                for kind, names in company.kinds.items():
                    read = [{n: v for n, v in fact.items() if n in names} for fact in facts.of.get(kind, [])]
                    assert read == [known(world, this, names) for this in world.of(kind)]


def known(world: oracle.World, this: oracle.Record, names: Iterable[str]) -> dict[str, object]:
    """A record's values: recorded, worked out or set."""
    return {name: v for name in names if (v := oracle.value(world, this, name)) is not None}


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
                assert oracle.decide(case.at(quiet)) == found(decision)
            if case.unique:
                walk = oracle.changes(case.at(now), until=oracle.micros(now + FAR))
                next(walk)
                first = next((oracle.moment(edge) for edge, _ in walk), None)
                assert first == near(decision.next_check, now)
                if decision.next_check is not None and decision.next_check < LAST_MONTH:
                    assert oracle.decide(case.at(decision.next_check)) != found(decision)


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
        for at, holding in oracle.changes(case.at(begin), until=oracle.micros(end)):
            if begin <= end and (not expected or holding != expected[-1][1]):
                expected.append((oracle.moment(at), holding))
    assert in_one_go == expected


@random_companies
@given(data=st.data())
def test_the_reasons_given_are_the_reasons_and_say_until_when(data: st.DataObject) -> None:
    company = data.draw(companies())
    with rule_base(company) as rulebase:
        for now, case in customers(data, company):
            if case.unique:
                check_reasons(rulebase, company, case, now)


def check_reasons(rulebase: RuleBase, company: Company, case: Case, now: datetime) -> None:
    facts = rulebase.facts(case.dossier, now=now, people=company.people)
    here = case.at(now)
    later = [here.at(edge) for edge in oracle.turning_points(here, oracle.micros(now + FAR))]
    for rule in company.book.rules:
        for this in here.of(rule.kind):
            match = Match(rule=rule.id, subject=RecordRef(kind=this.kind, id=this.id))
            reasons = rulebase.trace(match, facts)
            parts = about(rule)
            assert [r.part for r in reasons] == [part for part, _ in parts]
            assert conclusion(reasons) == oracle.rule_holds(here, rule, this)
            for reason, (part, what) in zip(reasons, parts, strict=True):
                assert reason.holds == holds(here, part, what, this)
                first = next((w for w in later if holds(w, part, what, this) != reason.holds), None)
                assert near(reason.until, now) == (first and oracle.moment(first.now))
                if reason.until is not None and reason.until < LAST_MONTH:
                    assert holds(case.at(reason.until), part, what, this) != reason.holds


def about(rule: oracle.Rule) -> list[tuple[str, Part]]:
    """What a rule asks for, in the order in which reasons are given."""
    return [
        *(("when", c) for c in rule.when),
        *(("any of", c) for alternative in rule.any_of for c in alternative),
        *(("with", r) for r in rule.with_),
        *(("unless", r) for r in rule.unless),
    ]


def holds(world: oracle.World, part: str, what: Part, this: oracle.Record) -> bool:
    if isinstance(what, oracle.Condition):
        return oracle.all_hold(world, [what], this)
    return oracle.exists(world, what, this) != (part == "unless")


def conclusion(reasons: Sequence[Reason]) -> bool:
    alternatives = {r.alternative: True for r in reasons if r.part == "any of"}
    for reason in reasons:
        if reason.part == "any of":
            alternatives[reason.alternative] &= reason.holds
    others = all(r.holds for r in reasons if r.part != "any of")
    return others and (not alternatives or any(alternatives.values()))
