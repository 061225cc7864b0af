"""A sales pipeline as it was exported: from four files to the sellers' mailboxes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from domain.record import Dossier
from store import dossiers, people
from tests.story.conftest import Company
from tests.story.real_data import EXAMPLES, data, rows_of
from tests.story.relance import Relance

MAPS = EXAMPLES / "maven"
PIPELINE, IN_US_DATES = "sales_pipeline", "sales_pipeline_us_dates"
START = datetime(2017, 2, 1, 5, tzinfo=UTC)
RULE = "stalled-deal"
COUNTS = {"2017-04-01": 53, "2017-06-01": 223, "2017-12-31": 1479}


@pytest.fixture
def deals() -> dict[str, dict[str, str]]:
    return {row["opportunity_id"]: row for _, row in rows_of(csv_file(PIPELINE))}


def csv_file(name: str) -> Path:
    return data(f"maven_crm/{name}.csv")


def started(company: Company, pipeline: str = PIPELINE) -> Relance:
    relance = company("maven", START)
    for file, map_ in (
        ("sales_teams", "people"),
        ("products", "products"),
        ("accounts", "accounts"),
        (pipeline, "pipeline"),
    ):
        report = relance.imports(csv_file(file), MAPS / f"{map_}.yaml")
        assert (report.rejected, report.warnings) == (0, 0)
    return relance


def stored(relance: Relance) -> dict[str, Dossier]:
    return dossiers.load_many(relance.db, dossiers.ids(relance.db, limit=100_000))


def stalled(deals: dict[str, dict[str, str]], today: date) -> set[str]:
    """The deals that have been engaging for more than 90 days."""
    return {
        id_
        for id_, deal in deals.items()
        if deal["deal_stage"] == "Engaging" and (today - date.fromisoformat(deal["engage_date"])).days > 90
    }


def test_everything_is_stored_whatever_the_layout_of_its_dates(
    company: Company, deals: dict[str, dict[str, str]]
) -> None:
    relance, other = started(company), started(company, IN_US_DATES)
    everything = stored(relance)
    assert everything == stored(other)
    assert dossiers.counts(relance.db) == {"customer": 85, "opportunity": 8800, "product": 7}
    products = Counter(r.fields["product"] for d in everything.values() for r in d.records if r.kind == "opportunity")
    assert products["GTX Pro"] == 1480
    assert "GTXPro" not in products

    staff = people.load(relance.db).by_id.values()
    sellers = [person for person in staff if person.manager]
    assert len(sellers) == 35
    assert {seller.manager for seller in sellers} == {person.id for person in staff} - {s.id for s in sellers}


def test_an_open_deal_without_an_account_is_a_dossier_of_its_own(
    company: Company, deals: dict[str, dict[str, str]]
) -> None:
    everything = stored(started(company))
    nameless = {id_ for id_, deal in deals.items() if not deal["account"]}
    assert len(nameless) == 1425
    for id_ in nameless:
        (record,) = everything[f"opportunity/{id_}"].records
        assert (record.id, record.customer) == (id_, None)


def test_exactly_the_deals_that_stalled_are_open_with_and_without_an_account(
    company: Company, deals: dict[str, dict[str, str]]
) -> None:
    relance = started(company)
    for day, count in COUNTS.items():
        expected = stalled(deals, date.fromisoformat(day))
        assert len(expected) == count
        ran = relance.at(day).worker.evaluate(now=relance.now)
        assert (ran.failed, ran.unaddressed) == ([], [])
        assert relance.open_subjects(RULE) == expected
    queued = Counter(delivery.person for delivery in relance.deliveries(limit=100_000))
    everyone = stalled(deals, date(2017, 12, 31))  # nobody who stalled before has moved since
    assert queued == Counter(deals[id_]["sales_agent"].lower().replace(" ", "-") for id_ in everyone)


def test_each_stalled_deal_is_one_mail_to_its_seller(company: Company, deals: dict[str, dict[str, str]]) -> None:
    relance = started(company)
    relance.at("2017-03-01").runs()
    expected = stalled(deals, date(2017, 3, 1))
    assert Counter(recipient for recipient, _ in relance.post.mails) == Counter(
        f"{deals[id_]['sales_agent'].lower().replace(' ', '.')}@example.com" for id_ in expected
    )
    relance.runs()
    assert len(relance.post.mails) == len(expected)
