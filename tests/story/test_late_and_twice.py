"""Running late, twice, or on several machines comes to what an uninterrupted run would have come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.recommendation import State
from tests.story.relance import Episode, Relance, contract, customer

SELLER = "seller@example.com"


def test_the_same_run_twice_changes_nothing(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    before = relance.recommendations()
    again = relance.runs()
    assert (again.evaluated.customers, again.dispatched.claimed) == (0, 0)
    assert relance.recommendations() == before
    assert len(relance.mailbox(SELLER)) == 1


def test_a_run_that_is_a_week_late_opens_on_the_day_it_was_due(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07")).runs()
    relance.at("2026-10-16").runs()
    assert [episode.opened for episode in relance.chronicle()] == [date(2026, 10, 9)]
    assert len(relance.mailbox(SELLER)) == 1


def test_q6_two_workers_at_once_share_the_work_and_mail_each_thing_once(relance: Relance) -> None:
    # More than one claim holds, so that both have something to do.
    ids = [f"K{number}" for number in range(1, 231)]
    relance.has(*(customer(id_) for id_ in ids))
    relance.has(*(contract(f"C-{id_}", ends="2027-01-07", customer=id_) for id_ in ids))
    first, second = relance.at("2026-10-09").runs_in_two_workers_at_once()
    assert first.evaluated.customers + second.evaluated.customers == len(ids)
    assert first.dispatched.sent + second.dispatched.sent + relance.runs().dispatched.sent == len(ids)
    assert relance.open() == sorted(f"contract-expiring C-{id_}" for id_ in ids)
    assert sorted(mail.subject for mail in relance.mailbox(SELLER)) == sorted(
        f"Customer {id_}: Contract expiring without a renewal" for id_ in ids
    )


CAME_AND_WENT = [("C1", date(2026, 10, 9), date(2026, 12, 1)), ("C2", date(2026, 11, 3), date(2027, 2, 2))]
STILL_OPEN = ("C1", date(2027, 10, 9))


@pytest.mark.parametrize("step", [1, 7, 549], ids=["day by day", "week by week", "in one jump"])
def test_eighteen_months_come_to_the_same_however_often_it_ran(relance: Relance, step: int) -> None:
    relance.at("2026-06-01").has(contract("C1", ends="2027-01-07"), contract("C2", ends="2027-02-01"))
    writes = {date(2026, 12, 1): contract("C1", ends="2028-01-07")}
    for day in (date(2026, 6, 1) + timedelta(days=n) for n in range(550)):
        relance.at(day.isoformat())
        if day in writes:
            relance.at(f"{day}T00:00").has(writes[day]).at(day.isoformat())
        if (day - date(2026, 6, 1)).days % step == 0:
            relance.runs()
    assert [(e.about, e.opened, e.ended) for e in relance.chronicle()] == [
        (f"contract-expiring {id_}", opened, ended) for id_, opened, ended in (*CAME_AND_WENT, (*STILL_OPEN, None))
    ]


def test_what_came_and_went_while_nobody_looked_is_recorded_as_missed_and_mailed_to_nobody(relance: Relance) -> None:
    relance.at("2026-06-01").has(contract("C2", ends="2027-02-01")).runs()
    relance.at("2027-12-01").runs()
    assert relance.chronicle() == [
        Episode(
            about="contract-expiring C2",
            state=State.RESOLVED,
            opened=date(2026, 11, 3),
            ended=date(2027, 2, 2),
            missed=True,
        )
    ]
    assert (relance.deliveries(), relance.mailbox(SELLER)) == ([], [])


def test_what_was_written_before_the_first_run_is_not_lost(relance: Relance) -> None:
    relance.at("2026-10-09").has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-20").has(contract("C1", ends="2028-01-07")).runs()
    assert [(e.opened, e.ended, e.missed) for e in relance.chronicle()] == [
        (date(2026, 10, 9), date(2026, 10, 20), True)
    ]


def test_a_late_import_that_lands_inside_a_window_is_seen(relance: Relance) -> None:
    relance.at("2026-12-01").runs()
    relance.at("2026-12-02").has(contract("C1", ends="2027-01-07")).runs()
    assert [episode.opened for episode in relance.chronicle()] == [date(2026, 12, 2)]
    assert len(relance.mailbox(SELLER)) == 1


def test_a_record_edited_at_the_very_moment_of_a_run_is_seen_by_the_next(relance: Relance) -> None:
    relance.has(contract("C1", ends="2028-01-07"))
    relance.at("2026-12-01").runs()
    relance.has(contract("C1", ends="2027-01-07")).runs()
    assert relance.open() == ["contract-expiring C1"]
    assert len(relance.mailbox(SELLER)) == 1


def test_a_write_between_claim_and_commit_is_never_overlooked(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07")).at("2026-10-09")
    ran = relance.runs(meanwhile=lambda: relance.has(contract("C1", ends="2028-01-07")))
    assert ran.evaluated.lost == 1
    assert relance.open() == []
    assert relance.mailbox(SELLER) == []


def test_a_press_between_claim_and_commit_is_never_written_over(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07")).at("2026-10-09").runs()
    (mail,) = relance.mailbox(SELLER)
    relance.at("2026-10-10").has(contract("C1", ends="2027-01-07", product="Fleet"))
    relance.runs(meanwhile=lambda: relance.clicks(mail, "done"))
    assert relance.recommendation().state is State.DONE


def test_a_write_from_a_machine_whose_clock_is_behind_is_seen(relance: Relance) -> None:
    relance.has(contract("C1", ends="2028-01-07")).at("2026-12-01T08:00:05").runs()
    relance.at("2026-12-01T08:00:00").has(contract("C1", ends="2027-01-07")).runs()
    assert relance.open() == ["contract-expiring C1"]
    relance.at("2026-12-01T08:00:10").runs()
    assert len(relance.mailbox(SELLER)) == 1


def test_a_write_from_a_machine_whose_clock_is_ahead_waits_for_its_moment(relance: Relance) -> None:
    relance.at("2026-12-01T08:00:05").has(contract("C1", ends="2027-01-07"))
    relance.at("2026-12-01T08:00:00").runs()
    assert relance.open() == []
    relance.at("2026-12-01T08:00:05").runs()
    assert relance.open() == ["contract-expiring C1"]


def test_a_customer_whose_worker_died_is_taken_over(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07")).at("2026-10-09T08:00")
    with pytest.raises(KeyboardInterrupt):
        relance.runs(meanwhile=_dies)
    relance.worker = replace(relance.worker, owner="another machine")
    assert relance.at("2026-10-09T08:01").runs().evaluated.customers == 0
    relance.at("2026-10-09T08:02").runs()
    assert relance.open() == ["contract-expiring C1"]
    assert len(relance.mailbox(SELLER)) == 1


def _dies() -> None:
    raise KeyboardInterrupt
