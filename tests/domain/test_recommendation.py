from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.recommendation import (
    Advice,
    Match,
    NotOpen,
    Recommendation,
    State,
    Verdict,
    recommendation_id,
    reconcile,
)
from domain.record import RecordRef

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LATER = NOW + timedelta(days=3)


def match(subject: str = "C1", rule: str = "contract-expiring") -> Match:
    return Match(rule=rule, subject=RecordRef(kind="contract", id=subject))


def open_about(subject: str = "C1") -> Recommendation:
    return Recommendation(
        id=recommendation_id(dossier="K1", match=match(subject), opened_at=NOW),
        dossier="K1",
        rule="contract-expiring",
        rule_version=1,
        subject=RecordRef(kind="contract", id=subject),
        opened_at=NOW,
        advice=Advice(recommend=Verdict.WIN, say="", do=None, worth=Decimal(1), due=None, to=("u1",)),
    )


def test_what_becomes_true_is_raised_what_stays_true_is_kept_and_what_no_longer_is_ends() -> None:
    stays, goes = open_about("C1"), open_about("C2")
    changes = reconcile(wanted=[match("C1"), match("C3")], running=[stays, goes])
    assert changes.raised == [match("C3")]
    assert changes.kept == [stays]
    assert changes.ended == [goes]


def test_reconciling_twice_changes_nothing_more() -> None:
    running = [open_about("C1")]
    again = reconcile(wanted=[match("C1")], running=running)
    assert not again.raised
    assert not again.ended


def test_an_episode_that_ends_by_itself_resolves_what_is_open() -> None:
    over = open_about().end(at=LATER)
    assert (over.state, over.closed_at, over.ended_at) == (State.RESOLVED, LATER, LATER)


def test_what_a_person_closed_stays_closed_as_they_closed_it_when_its_episode_ends() -> None:
    over = open_about().done(by="u1", at=NOW, note="called").end(at=LATER)
    assert (over.state, over.closed_by, over.closed_at, over.ended_at) == (State.DONE, "u1", NOW, LATER)


def test_a_dismissal_needs_a_reason_and_keeps_it() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        open_about().dismiss(by="u1", at=NOW, reason="  ")
    assert open_about().dismiss(by="u1", at=NOW, reason=" not mine ").note == "not mine"


def test_a_snooze_never_ends_before_it_began() -> None:
    assert open_about().snooze(until=NOW - timedelta(days=1), at=NOW).snoozed_until == NOW
    assert open_about().snooze(until=LATER, at=NOW).snoozed_until == LATER


def test_only_what_is_open_can_be_acted_on() -> None:
    for closed in (open_about().done(by="u1", at=NOW), open_about().end(at=NOW)):
        with pytest.raises(NotOpen):
            closed.done(by="u2", at=LATER)
        with pytest.raises(NotOpen):
            closed.dismiss(by="u2", at=LATER, reason="late")
        with pytest.raises(NotOpen):
            closed.snooze(until=LATER, at=NOW)


def test_what_a_person_closed_can_be_opened_again_until_its_episode_ends() -> None:
    done = open_about().done(by="u1", at=NOW, note="oops")
    assert done.reopen() == open_about()
    for final in (open_about(), done.end(at=LATER), open_about().end(at=LATER)):
        with pytest.raises(ValueError, match="cannot be opened again"):
            final.reopen()


def test_the_same_episode_has_the_same_id_on_every_machine_and_the_next_one_another() -> None:
    first = recommendation_id(dossier="K1", match=match(), opened_at=NOW)
    assert first == recommendation_id(dossier="K1", match=match(), opened_at=NOW)
    others = {
        recommendation_id(dossier="K1", match=match(), opened_at=LATER),
        recommendation_id(dossier="K2", match=match(), opened_at=NOW),
        recommendation_id(dossier="K1", match=match("C2"), opened_at=NOW),
        recommendation_id(dossier="K1", match=match(rule="other"), opened_at=NOW),
    }
    assert len(others | {first}) == 5
