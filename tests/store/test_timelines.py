"""A dossier's past, as the replay of an evaluation is given it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain.record import CUSTOMER, Dossier, Record, Timeline
from store import dossiers
from store.session import Database

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)
TUESDAY, WEDNESDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)


def customer(name: str) -> Record:
    return Record(kind=CUSTOMER, id="K1", customer=None, fields={"name": name})


def dossier(*records: Record) -> Dossier:
    return Dossier(id="K1", records=records)


def test_a_customer_that_was_never_evaluated_begins_empty_and_its_first_write_is_a_change(db: Database) -> None:
    dossiers.upsert(db, [customer("Muster")], now=MONDAY, source="test")
    dossiers.upsert(db, [customer("Muster AG")], now=TUESDAY, source="test")
    assert dossiers.timelines(db, {"K1": None})["K1"] == Timeline(
        dossier=dossier(),
        changes=((MONDAY, dossier(customer("Muster"))), (TUESDAY, dossier(customer("Muster AG")))),
    )


def test_a_customer_that_was_evaluated_begins_as_it_was_then(db: Database) -> None:
    for day, name in ((MONDAY, "Muster"), (TUESDAY, "Muster AG"), (WEDNESDAY, "Muster Logistik AG")):
        dossiers.upsert(db, [customer(name)], now=day, source="test")
    assert dossiers.timelines(db, {"K1": TUESDAY})["K1"] == Timeline(
        dossier=dossier(customer("Muster AG")), changes=((WEDNESDAY, dossier(customer("Muster Logistik AG"))),)
    )


def test_what_is_written_at_one_moment_is_one_change(db: Database) -> None:
    contract = Record(kind="contract", id="C1", customer="K1", fields={"status": "active"})
    dossiers.upsert(db, [customer("Muster")], now=MONDAY, source="test")
    dossiers.upsert(db, [contract], now=MONDAY, source="test")
    assert dossiers.timelines(db, {"K1": None})["K1"].changes == ((MONDAY, dossier(contract, customer("Muster"))),)


def test_a_customer_whose_records_are_all_gone_has_an_empty_present(db: Database) -> None:
    dossiers.upsert(db, [customer("Muster")], now=MONDAY, source="test")
    dossiers.delete(db, [customer("Muster").ref], now=WEDNESDAY, source="test")
    assert dossiers.timelines(db, {"K1": TUESDAY})["K1"] == Timeline(
        dossier=dossier(customer("Muster")), changes=((WEDNESDAY, dossier()),)
    )
