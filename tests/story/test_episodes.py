"""One recommendation per episode, whatever people do with it."""

from __future__ import annotations

from datetime import date

import pytest

from domain.delivery import DeliveryState
from domain.recommendation import State
from tests.story.relance import Episode, Relance, contract

SELLER = "seller@example.com"


def test_a_contract_that_nears_its_end_is_one_mail_to_its_owner(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-08").runs()
    assert relance.open() == []

    relance.at("2026-10-09").runs()
    assert relance.open() == ["contract-expiring C1"]
    (mail,) = relance.mailbox(SELLER)
    assert mail.subject == "Customer K1: Contract expiring without a renewal"
    assert "ends on 7 January 2027" in mail.text


def test_an_extended_contract_withdraws_the_unsent_reminder(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.post.closes()
    relance.at("2026-10-09").runs()
    assert relance.open() == ["contract-expiring C1"]

    relance.has(contract("C1", ends="2028-01-07"))
    relance.post.opens()
    relance.at("2026-10-10").runs()

    assert relance.open() == []
    assert relance.mailbox(SELLER) == []
    assert [d.state for d in relance.deliveries()] == [DeliveryState.CANCELLED]


def test_a_renewed_contract_reminds_again_next_year(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    relance.at("2026-12-01").has(contract("C1", ends="2028-01-07")).runs()
    relance.at("2027-10-08").runs()
    assert len(relance.mailbox(SELLER)) == 1

    relance.at("2027-10-09").runs()
    first, second = relance.mailbox(SELLER)
    assert first.id != second.id
    assert relance.chronicle() == [
        Episode(about="contract-expiring C1", state=State.RESOLVED, opened=date(2026, 10, 9), ended=date(2026, 12, 1)),
        Episode(about="contract-expiring C1", state=State.OPEN, opened=date(2027, 10, 9), ended=None),
    ]


def test_running_every_day_of_an_episode_mails_once_until_the_rule_repeats(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    for day in range(9, 23):
        relance.at(f"2026-10-{day:02}").runs()
    assert len(relance.mailbox(SELLER)) == 1


def test_an_edit_that_changes_nothing_for_the_rule_keeps_the_episode(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07", annual_value="48200"))
    relance.at("2026-10-09").runs()
    relance.at("2026-10-12").has(contract("C1", ends="2027-01-07", annual_value="50000"))
    relance.at("2026-10-13").has(contract("C1", ends="2027-01-07", annual_value="51000")).runs()
    assert relance.chronicle() == [
        Episode(about="contract-expiring C1", state=State.OPEN, opened=date(2026, 10, 9), ended=None)
    ]
    assert len(relance.mailbox(SELLER)) == 1


@pytest.mark.parametrize(
    ("button", "form", "state"),
    [("done", {"note": "Anna signs"}, State.DONE), ("dismiss", {"reason": "not-mine"}, State.DISMISSED)],
)
def test_what_was_done_or_dismissed_stays_quiet_until_newly_true(
    relance: Relance, button: str, form: dict[str, str], state: State
) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    relance.clicks(relance.mailbox(SELLER)[0], button, **form)
    for day in ("2026-10-10", "2026-12-31"):
        relance.at(day).runs()
    assert relance.open() == []
    assert relance.recommendation().state is state
    assert relance.recommendation().ended_at is None  # still true, and nobody is bothered

    relance.at("2027-01-05").has(contract("C1", ends="2028-01-07")).runs()
    relance.at("2027-10-09").runs()
    assert relance.open() == ["contract-expiring C1"]
    assert [(e.state, e.ended) for e in relance.chronicle()] == [(state, date(2027, 1, 5)), (State.OPEN, None)]
    assert len(relance.mailbox(SELLER)) == 2


def test_a_dismissal_needs_a_reason(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    assert "Choose a reason or write one." in relance.clicks(relance.mailbox(SELLER)[0], "dismiss")
    assert relance.open() == ["contract-expiring C1"]

    relance.clicks(relance.mailbox(SELLER)[0], "dismiss", text="they moved away")
    assert relance.recommendation().note == "they moved away"


def test_a_snooze_hides_for_three_days_and_reminds_once_then(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09T08:00").runs()
    relance.at("2026-10-09T10:02").clicks(relance.mailbox(SELLER)[0], "snooze-3d")
    for moment in ("2026-10-09T10:03", "2026-10-10T08:00", "2026-10-12T10:01"):
        relance.at(moment).runs()
    assert len(relance.mailbox(SELLER)) == 1

    for moment in ("2026-10-12T10:02", "2026-10-12T10:03", "2026-10-20T08:00"):
        relance.at(moment).runs()
    first, again = relance.mailbox(SELLER)
    assert again.subject == first.subject
    assert again.id != first.id  # a mail server that drops doubles lets it through
    assert again.message["References"] == first.message["References"]  # and mail programs show one thread
    assert relance.open() == ["contract-expiring C1"]


def test_what_resolves_itself_while_snoozed_sends_nothing(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    relance.clicks(relance.mailbox(SELLER)[0], "snooze-3d")
    relance.at("2026-10-10").has(contract("C1", ends="2028-01-07")).runs()
    relance.at("2026-10-13").runs()
    assert len(relance.mailbox(SELLER)) == 1
    assert relance.recommendation().state is State.RESOLVED


def test_what_resolves_itself_just_as_a_snooze_ends_sends_nothing(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    relance.clicks(relance.mailbox(SELLER)[0], "snooze-3d")
    relance.at("2026-10-13").has(contract("C1", ends="2028-01-07")).runs()
    assert len(relance.mailbox(SELLER)) == 1
