"""The demo's company: the same for a seed, whole along the chain, and with work for every rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from app.demo_data import DemoCompany, company
from domain.person import People
from domain.recommendation import Match
from domain.record import CUSTOMER, Dossier, Record, RecordRef, dossier_id
from rules.loader import check, load
from rules.model import USER, Ref
from rules.rulebase import RuleBase

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MOMENTS = {
    "a Monday morning": NOW,
    "a Sunday night": datetime(2027, 3, 28, 23, 30, tzinfo=UTC),
    "the second of January": datetime(2028, 1, 2, 7, tzinfo=UTC),
    "a leap day": datetime(2028, 2, 29, 12, tzinfo=UTC),
}
# What of a record must have come from what, if it has come this far.
CHAIN = {
    "quote": "opportunity",
    "order": "quote",
    "delivery": "order",
    "contract": "order",
    "holding": "order",
}


@pytest.fixture(scope="module")
def demo() -> DemoCompany:
    return company(seed=1, now=NOW)


@pytest.fixture(scope="module")
def rulebase(demo: DemoCompany, tmp_path_factory: pytest.TempPathFactory) -> RuleBase:
    folder = tmp_path_factory.mktemp("rules")
    for name, text in demo.rules.items():
        (folder / name).write_text(text, encoding="utf-8")
    checked = check(["base", folder])
    assert [str(problem) for problem in checked.problems] == []
    return checked.rulebase


def dossiers(demo: DemoCompany) -> list[Dossier]:
    records: dict[str, list[Record]] = defaultdict(list)
    for record in demo.records:
        records[dossier_id(record)].append(record)
    return [Dossier(id=id_, records=tuple(found)) for id_, found in records.items()]


def matches(demo: DemoCompany, rulebase: RuleBase, *, now: datetime) -> set[Match]:
    people = People.of(demo.people)
    return {m for d in dossiers(demo) for m in rulebase.decide(d, now=now, people=people).matches}


def per_rule(rulebase: RuleBase, found: set[Match]) -> Mapping[str, int]:
    counts = Counter(match.rule for match in found)
    return {rule.id: counts[rule.id] for rule in rulebase.rules}


def test_the_same_seed_gives_the_same_company_and_another_seed_another(demo: DemoCompany) -> None:
    assert company(seed=1, now=NOW) == demo
    assert company(seed=2, now=NOW).records != demo.records


def test_there_are_as_many_customers_as_asked_for(demo: DemoCompany) -> None:
    assert sum(record.kind == CUSTOMER for record in demo.records) == 500
    assert sum(record.kind == CUSTOMER for record in company(seed=1, customers=3, now=NOW).records) == 3


def test_every_kind_of_record_is_there(demo: DemoCompany, rulebase: RuleBase) -> None:
    assert {record.kind for record in demo.records} == set(rulebase.model.kinds)


def test_every_field_is_recorded_in_the_form_the_model_gives_it(demo: DemoCompany, rulebase: RuleBase) -> None:
    for record in demo.records:
        assert rulebase.model.canonical(record.kind, record.fields) == (record.fields, [])
        assert {type(value) for value in record.fields.values()} <= {str, bool}


def test_ids_are_unique_within_a_kind(demo: DemoCompany) -> None:
    assert len({record.ref for record in demo.records}) == len(demo.records)


def test_refs_lead_to_records_of_the_same_customer_and_to_people_who_work_there(
    demo: DemoCompany, rulebase: RuleBase
) -> None:
    by_ref = {record.ref: record for record in demo.records}
    people = {person.id for person in demo.people}
    for record in demo.records:
        for name, type_ in rulebase.model.kinds[record.kind].fields.items():
            if isinstance(type_, Ref) and name in record.fields:
                named = str(record.fields[name])
                if type_.kind == USER:
                    assert named in people
                else:
                    assert by_ref[RecordRef(kind=type_.kind, id=named)].customer == record.customer


def test_the_chain_has_no_gaps(demo: DemoCompany) -> None:
    for record in demo.records:
        if record.kind in CHAIN:
            assert CHAIN[record.kind] in record.fields, record
        if record.kind == "opportunity":
            assert ("lead" in record.fields) is (record.fields["type"] != "renewal")
        if record.kind == "invoice":
            assert ("order" in record.fields) is not ("contract" in record.fields)


@pytest.mark.parametrize("now", MOMENTS.values(), ids=list(MOMENTS))
def test_nothing_has_happened_yet_that_lies_ahead(now: datetime) -> None:
    ahead = {"end_date", "start_date", "promised_date", "valid_until", "due_date"}
    for record in company(seed=3, customers=100, now=now).records:
        for name, value in record.fields.items():
            if name in ahead or not isinstance(value, str):
                continue
            if name in ("at", "since") or name.endswith(("_at", "_on")):
                moment = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
                assert moment <= (now if isinstance(moment, datetime) else now.date()), (record, name)


@pytest.mark.parametrize("now", MOMENTS.values(), ids=list(MOMENTS))
def test_every_rule_has_work_now_for_some_customers_but_not_for_most(rulebase: RuleBase, now: datetime) -> None:
    demo = company(seed=4, now=now)
    found = matches(demo, rulebase, now=now)
    counts = per_rule(rulebase, found)
    assert min(counts.values()) >= 3, counts
    assert len(found) < 150


def test_every_rule_with_a_clock_finds_more_in_the_coming_weeks(demo: DemoCompany, rulebase: RuleBase) -> None:
    today = matches(demo, rulebase, now=NOW)
    later = {match for weeks in (2, 4, 6) for match in matches(demo, rulebase, now=NOW + timedelta(weeks=weeks))}
    counts = per_rule(rulebase, later - today)
    clocked = {rule.id for rule in rulebase.rules if rulebase.strata.moves_rule(rule)}
    in_years = {"negative-margin"}  # whose clock asks how long somebody has been a customer
    assert min(counts[rule] for rule in clocked - in_years) >= 3, counts


def test_what_a_rule_says_can_be_said_of_everyone_it_finds(demo: DemoCompany, rulebase: RuleBase) -> None:
    people = People.of(demo.people)
    for dossier in dossiers(demo):
        facts = rulebase.facts(dossier, now=NOW, people=people)
        for match in rulebase.decide(dossier, now=NOW, people=people).matches:
            for language in ("en", "de"):
                advice = rulebase.advise(match, facts, opened_at=NOW, language=language)
                assert "–" not in advice.say
                assert advice.to
                assert set(advice.to) <= set(people.by_id)


def test_eight_salespeople_and_three_managers_work_in_three_offices_and_four_languages(
    demo: DemoCompany, rulebase: RuleBase
) -> None:
    people = People.of(demo.people)
    leads = set(people.leads.values())
    assert len(demo.people) == 11
    assert len(leads) == 3
    assert {person.language for person in demo.people} == {"en", "de", "fr", "it"}
    assert {person.office for person in demo.people} == set(rulebase.calendars)
    for person in demo.people:
        assert person.email.endswith("@example.com")
        assert person.office
        assert person.timezone == rulebase.calendars[person.office].zone.key
    owners = {record.fields["owner"] for record in demo.records if record.kind == CUSTOMER}
    assert owners == {person.id for person in demo.people} - leads


def test_the_offices_keep_their_holidays_in_the_year_of_the_demo(tmp_path: Path) -> None:
    for name, text in company(seed=1, customers=0, now=datetime(2031, 6, 1, tzinfo=UTC)).rules.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    calendars = load(["base", tmp_path]).calendars
    assert not calendars["zurich"].is_business_day(date(2031, 8, 1))
    assert not calendars["new-york"].is_business_day(date(2031, 7, 4))
    assert not calendars["sydney"].is_business_day(date(2032, 1, 26))
    assert calendars["sydney"].is_business_day(date(2031, 8, 1))


def test_some_names_are_as_awkward_as_in_real_data(demo: DemoCompany) -> None:
    names = [str(record.fields["name"]) for record in demo.records if record.kind == CUSTOMER]
    for what in ("ü", '"', "'", "<b>", "{{", "ש", "ش", "東", "🚀"):
        assert any(what in name for name in names), what
    assert max(map(len, names)) > 150
