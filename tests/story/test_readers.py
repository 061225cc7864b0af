"""Who reads what, in which language, and by which clock."""

from __future__ import annotations

from datetime import date

from domain.record import Record
from tests.story.relance import Relance, contract, customer, person

SELLER, BOSS = "seller@example.com", "boss@example.com"


def test_german_and_english_readers_get_their_language(relance: Relance) -> None:
    relance.has(person("heidi", language="de"), customer("K2", owner="heidi"))
    relance.has(contract("C1", ends="2027-01-07"), contract("C2", ends="2027-01-07", customer="K2"))
    relance.at("2026-10-09").runs()
    (english,), (german,) = relance.mailbox(SELLER), relance.mailbox("heidi@example.com")
    assert "7 January 2027" in english.text
    assert "Done:" in english.text
    assert "7. Januar 2027" in german.text
    assert "Erledigt:" in german.text
    assert "Customer K2: Vertrag" in german.subject
    assert "Als erledigt markiert" in relance.clicks(german, "done")


def test_a_reader_of_a_language_we_do_not_speak_still_gets_the_mail(relance: Relance) -> None:
    relance.has(person("seller", language="rm"), contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    (mail,) = relance.mailbox(SELLER)
    assert "Done:" in mail.text
    assert relance.pages.get(relance.address(mail, "act")).status_code == 200


def test_an_owner_in_new_york_reads_in_the_day_of_her_office(relance: Relance) -> None:
    relance.has(person("nora", office="new-york", timezone="America/New_York"), customer("K2", owner="nora"))
    relance.has(contract("C1", ends="2027-01-07"), contract("C2", ends="2027-01-07", customer="K2"))
    relance.at("2026-10-09T00:00").runs()
    assert relance.open() == ["contract-expiring C1"]
    relance.at("2026-10-09T05:59").runs()
    assert relance.open() == ["contract-expiring C1"]
    relance.at("2026-10-09T06:00").runs()
    assert relance.open() == ["contract-expiring C1", "contract-expiring C2"]


def test_an_owner_who_moves_to_new_york_is_read_there_from_then_on(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07")).runs()
    relance.has(person("seller", office="new-york")).runs()
    relance.at("2026-10-09T05:59").runs()
    assert relance.open() == []
    relance.at("2026-10-09T06:00").runs()
    assert relance.open() == ["contract-expiring C1"]


def test_who_takes_a_customer_over_hears_of_what_is_open_and_nobody_hears_twice(relance: Relance) -> None:
    relance.has(person("heidi"), contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    relance.has(customer("K1", owner="heidi"))
    relance.at("2026-10-10").runs()
    assert [len(relance.mailbox(address)) for address in (SELLER, "heidi@example.com")] == [1, 1]

    relance.has(customer("K1", owner="seller"))
    relance.at("2026-10-11").runs()
    assert [len(relance.mailbox(address)) for address in (SELLER, "heidi@example.com")] == [1, 1]


def test_what_reached_nobody_reaches_its_owner_as_soon_as_there_is_one(relance: Relance) -> None:
    relance.has(customer("K2", owner=None), contract("C2", ends="2027-01-07", customer="K2"))
    relance.at("2026-10-09").runs()
    assert relance.post.mails == []

    relance.has(customer("K2", owner="seller"))
    relance.at("2026-10-10").runs()
    assert len(relance.mailbox(SELLER)) == 1


def test_a_recommendation_that_reaches_nobody_is_open_and_listed(relance: Relance) -> None:
    relance.has(customer("K2", owner=None), customer("K3", owner="left"))
    relance.has(contract("C2", ends="2027-01-07", customer="K2"), contract("C3", ends="2027-01-07", customer="K3"))
    ran = relance.at("2026-10-09").runs()
    assert relance.open() == ["contract-expiring C2", "contract-expiring C3"]
    assert sorted(ran.evaluated.unaddressed) == sorted(r.id for r in relance.recommendations())
    assert relance.post.mails == []


def test_a_recommendation_that_reaches_nobody_is_listed_once_though_it_had_to_be_decided_twice(
    relance: Relance,
) -> None:
    relance.has(customer("K1", owner=None)).at("2026-10-09").has(contract("C1", ends="2027-01-07"))
    ran = relance.runs(meanwhile=lambda: relance.has(contract("C1", ends="2027-01-06")))
    assert ran.evaluated.lost == 1
    assert len(ran.evaluated.unaddressed) == 1


def test_what_reaches_nobody_goes_to_whoever_the_settings_name_for_that(relance: Relance) -> None:
    relance.nobody = "boss"
    relance.restarts()
    relance.has(customer("K2", owner=None), customer("K3", owner="left"))
    relance.has(contract("C2", ends="2027-01-07", customer="K2"), contract("C3", ends="2027-01-07", customer="K3"))
    ran = relance.at("2026-10-09").runs()
    assert ran.evaluated.unaddressed == []
    assert len(relance.mailbox(BOSS)) == 2


def test_a_record_without_a_customer_is_decided_and_mailed_to_its_own_owner(relance: Relance) -> None:
    fields = {"status": "new", "created_at": "2026-10-09T09:00:00+02:00", "owner": "boss", "source": "fair"}
    relance.at("2026-10-09T09:00").has(Record(kind="lead", id="L1", customer=None, fields=fields))
    relance.at("2026-10-09T16:00").runs()
    assert relance.open() == ["lead-unworked L1"]
    (mail,) = relance.mailbox(BOSS)
    relance.clicks(mail, "done")
    assert relance.open() == []


def test_a_record_that_finds_its_customer_moves_and_is_not_mailed_as_if_it_were_lost(relance: Relance) -> None:
    relance.at("2026-10-09").has(contract("C1", ends="2027-01-07", customer=None, owner="seller"))
    relance.has(contract("C1", ends="2027-01-07", customer="K1")).runs()
    assert [episode.opened for episode in relance.chronicle()] == [date(2026, 10, 9)]
    assert len(relance.mailbox(SELLER)) == 1


def test_a_person_who_joins_while_the_service_runs_is_mailed_without_a_restart(relance: Relance) -> None:
    relance.has(person("nora"), customer("K2", owner="nora"), contract("C2", ends="2027-01-07", customer="K2"))
    relance.at("2026-10-09").runs()
    assert len(relance.mailbox("nora@example.com")) == 1
