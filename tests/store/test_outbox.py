from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain.delivery import Delivery, DeliveryState, Receipt, SendError
from domain.recommendation import Recommendation
from store import outbox
from store.outbox import RESEND_AFTER
from store.session import Database
from tests.store.make import DAY, MINUTE, T0, act, claimed, leased, raised, recommendation, reminder

QUEUED, READY, LEASED, SENDING, SENT, UNKNOWN, FAILED, DEAD, CANCELLED, GATHERED = DeliveryState
OK = Receipt(code=250, text="queued as 42")
REFUSED = SendError("no such user", permanent=True, code=550, phase="rcpt")
BUSY = SendError("try later", code=451, phase="data")
SILENCE = SendError("no answer after the final dot", uncertain=True, phase="dot")


@pytest.fixture
def open_(db: Database) -> Recommendation:
    """One open recommendation with one reminder due."""
    open_ = recommendation()
    raised(db, open_, deliveries=(reminder(open_),))
    return open_


def begin(db: Database, delivery: Delivery, *, now=T0) -> bool:
    return outbox.sending(db, delivery, message_id="<1@example.com>", body=b"Hallo\xff", now=now)


def only(db: Database) -> Delivery:
    (delivery,) = outbox.listing(db)
    return delivery


def test_a_delivery_goes_from_queued_to_sent(db: Database, open_: Recommendation) -> None:
    queued = only(db)
    assert (queued.state, queued.due_at, queued.recommendation, queued.destination) == (
        QUEUED,
        T0,
        open_.id,
        "u1@example.com",
    )

    delivery = leased(db)
    assert (delivery.state, delivery.fence, delivery.lease_until) == (LEASED, 1, T0 + MINUTE)
    assert begin(db, delivery)
    sending = only(db)
    assert (sending.state, sending.attempts, sending.message_id, sending.body) == (
        SENDING,
        1,
        "<1@example.com>",
        b"Hallo\xff",
    )

    assert outbox.sent(db, delivery, OK, now=T0 + MINUTE)
    sent = outbox.get(db, delivery.id)
    assert sent is not None
    assert (sent.state, sent.sent_at, sent.last_code, sent.lease_until) == (SENT, T0 + MINUTE, 250, None)
    assert outbox.counts(db) == {SENT: 1}
    assert outbox.next_due(db) is None


def test_workers_claiming_at_once_never_get_the_same_delivery(db: Database) -> None:
    about = recommendation()
    raised(db, about, deliveries=tuple(reminder(about, person=f"u{n}") for n in range(200)))

    def worker(name: str) -> list[str]:
        mine: list[str] = []
        while got := claimed(db, now=T0, limit=7, owner=name, lease_s=60):
            mine += [delivery.person for delivery in got]
        return mine

    with ThreadPoolExecutor(4) as pool:
        everyone = [person for mine in pool.map(worker, "abcd") for person in mine]

    assert Counter(everyone) == Counter(f"u{n}" for n in range(200))


def test_the_earliest_due_are_sent_first_and_not_before_their_time(db: Database) -> None:
    about = recommendation()
    times = {"u1": 2, "u2": 0, "u3": 1, "u4": 60}
    raised(db, about, deliveries=tuple(reminder(about, person=p, due_at=T0 + m * MINUTE) for p, m in times.items()))
    got = claimed(db, now=T0 + 2 * MINUTE, owner="w1", lease_s=60)
    assert [delivery.person for delivery in got] == ["u2", "u3", "u1"]


def test_what_is_snoozed_or_closed_is_not_claimed(db: Database, open_: Recommendation) -> None:
    snoozed = open_.snooze(until=T0 + DAY, at=T0)
    act(db, open_, snoozed, deliveries=[reminder(open_, occurrence=2, due_at=T0)], now=T0)
    assert claimed(db, now=T0, owner="w1", lease_s=60) == []
    assert outbox.next_due(db) == T0 + DAY
    act(db, snoozed, snoozed.done(by="u1", at=T0), now=T0)
    assert claimed(db, now=T0 + DAY, owner="w1", lease_s=60) == []
    assert outbox.next_due(db) is None


def test_what_is_closed_between_claim_and_sending_is_not_sent(db: Database, open_: Recommendation) -> None:
    delivery = leased(db)
    act(db, open_, open_.done(by="u1", at=T0), now=T0)
    assert not begin(db, delivery)
    assert only(db).state is CANCELLED


@pytest.mark.parametrize("recovered", [False, True])
def test_a_lease_that_ran_out_allows_no_sending(db: Database, open_: Recommendation, recovered: bool) -> None:
    delivery = leased(db, lease_s=60)
    if recovered:
        outbox.recover(db, now=T0 + MINUTE)
        assert only(db).state is READY
    assert not begin(db, delivery, now=T0 + MINUTE)


def test_q18_who_lost_the_lease_can_settle_nothing(db: Database, open_: Recommendation) -> None:
    slow = leased(db, owner="slow")
    outbox.recover(db, now=T0 + MINUTE)
    fast = leased(db, owner="fast", now=T0 + MINUTE)
    assert fast.fence == slow.fence + 1

    assert not begin(db, slow)
    assert not outbox.sent(db, slow, OK, now=T0)
    assert not outbox.retry(db, slow, due_at=T0 + DAY, error=BUSY)
    assert not outbox.failed(db, slow, REFUSED, now=T0)
    assert not outbox.dead(db, slow, BUSY, now=T0)
    assert not outbox.unknown(db, slow, SILENCE, now=T0)
    assert not outbox.cancelled(db, slow, reason="opted out")

    assert only(db) == fast
    assert begin(db, fast, now=T0 + MINUTE)
    assert outbox.sent(db, fast, OK, now=T0)


def test_a_refusal_for_now_is_tried_again_with_its_reason_kept(db: Database, open_: Recommendation) -> None:
    delivery = leased(db)
    begin(db, delivery)
    assert outbox.retry(db, delivery, due_at=T0 + 5 * MINUTE, error=BUSY)
    assert (only(db).state, only(db).due_at, only(db).last_code, only(db).last_phase, only(db).last_error) == (
        READY,
        T0 + 5 * MINUTE,
        451,
        "data",
        "try later",
    )
    assert outbox.next_due(db) == T0 + 5 * MINUTE
    assert leased(db, now=T0 + 5 * MINUTE).attempts == 1


def test_a_postponed_delivery_has_not_been_attempted(db: Database, open_: Recommendation) -> None:
    assert outbox.retry(db, leased(db), due_at=T0 + DAY)
    assert (only(db).state, only(db).attempts, only(db).last_error) == (READY, 0, None)


def test_a_crash_before_sending_costs_nothing(db: Database, open_: Recommendation) -> None:
    leased(db)
    assert outbox.next_due(db) == T0 + MINUTE
    outbox.recover(db, now=T0 + MINUTE / 2)
    assert only(db).state is LEASED
    outbox.recover(db, now=T0 + MINUTE)
    assert only(db).state is READY


def test_a_crash_while_sending_is_unknown_resent_once_byte_for_byte_and_then_left(
    db: Database, open_: Recommendation
) -> None:
    begin(db, leased(db))
    stopped = T0 + MINUTE
    outbox.recover(db, now=stopped)
    assert (only(db).state, only(db).due_at) == (UNKNOWN, stopped + RESEND_AFTER)
    assert outbox.next_due(db) == stopped + RESEND_AFTER
    outbox.recover(db, now=stopped + RESEND_AFTER - MINUTE)
    assert only(db).state is UNKNOWN

    again = stopped + RESEND_AFTER
    outbox.recover(db, now=again)
    resend = leased(db, now=again)
    assert (resend.message_id, resend.body) == ("<1@example.com>", b"Hallo\xff")
    begin(db, resend, now=again)

    outbox.recover(db, now=again + DAY)
    outbox.recover(db, now=again + 2 * DAY)
    assert only(db).state is UNKNOWN
    assert outbox.next_due(db) is None
    assert claimed(db, now=again + 3 * DAY, owner="w1", lease_s=60) == []


def test_an_unknown_delivery_is_not_resent_once_the_recommendation_is_closed(
    db: Database, open_: Recommendation
) -> None:
    begin(db, leased(db))
    outbox.recover(db, now=T0 + MINUTE)
    act(db, open_, open_.done(by="u1", at=T0), now=T0)
    outbox.recover(db, now=T0 + DAY)
    assert only(db).state is UNKNOWN
    assert outbox.next_due(db) is None


def test_closing_does_not_call_a_pending_resend_unsent(db: Database, open_: Recommendation) -> None:
    begin(db, leased(db))
    outbox.recover(db, now=T0 + MINUTE)
    outbox.recover(db, now=T0 + DAY)
    assert only(db).state is READY
    act(db, open_, open_.done(by="u1", at=T0), now=T0)
    assert only(db).state is UNKNOWN


def test_an_answer_that_comes_late_ends_the_uncertainty(db: Database, open_: Recommendation) -> None:
    delivery = leased(db)
    begin(db, delivery)
    outbox.recover(db, now=T0 + MINUTE)
    assert outbox.sent(db, delivery, OK, now=T0 + 2 * MINUTE)
    outbox.recover(db, now=T0 + DAY)
    assert only(db).state is SENT


def test_silence_after_the_final_dot_is_unknown(db: Database, open_: Recommendation) -> None:
    delivery = leased(db)
    begin(db, delivery)
    assert outbox.unknown(db, delivery, SILENCE, now=T0)
    assert (only(db).state, only(db).due_at, only(db).last_phase) == (UNKNOWN, T0 + RESEND_AFTER, "dot")


@pytest.mark.parametrize(
    ("settle", "state"),
    [
        (lambda db, d: outbox.failed(db, d, REFUSED, now=T0), FAILED),
        (lambda db, d: outbox.dead(db, d, BUSY, now=T0), DEAD),
        (lambda db, d: outbox.unknown(db, d, SILENCE, now=T0), UNKNOWN),
    ],
)
def test_a_person_may_send_again_what_is_stuck(db: Database, open_: Recommendation, settle, state) -> None:
    delivery = leased(db)
    assert not outbox.retry_now(db, delivery, source="test", now=T0)
    begin(db, delivery)
    assert settle(db, delivery)
    assert only(db).state is state
    assert claimed(db, now=T0, owner="w1", lease_s=60) == []

    assert outbox.retry_now(db, delivery, source="test", now=T0)

    again = leased(db)
    assert (again.attempts, again.fence) == (0, 2)


def test_what_is_closed_cannot_be_sent_again(db: Database, open_: Recommendation) -> None:
    delivery = leased(db)
    outbox.failed(db, delivery, REFUSED, now=T0)
    act(db, open_, open_.done(by="u1", at=T0), now=T0)
    assert not outbox.retry_now(db, delivery, source="test", now=T0)


def test_a_worker_that_stops_gives_back_what_it_has_not_begun(db: Database) -> None:
    about = recommendation()
    raised(db, about, deliveries=tuple(reminder(about, person=f"u{n}") for n in range(3)))
    begun, _, others = (*claimed(db, now=T0, limit=2, owner="stops", lease_s=60), leased(db, owner="stays"))
    begin(db, begun)

    outbox.release(db, owner="stops")

    assert outbox.counts(db) == {SENDING: 1, READY: 1, LEASED: 1}
    assert outbox.get(db, others.id) == others


def test_the_listing_filters_by_state_reader_time_customer_and_rule(db: Database, open_: Recommendation) -> None:
    other = recommendation(dossier="K2")
    raised(db, other, deliveries=(reminder(other, due_at=T0 + MINUTE),))
    leased(db)
    assert [d.recommendation for d in outbox.listing(db)] == [other.id, open_.id]
    assert [d.recommendation for d in outbox.listing(db, states=[LEASED, SENT])] == [open_.id]
    assert [d.recommendation for d in outbox.listing(db, customer="K2")] == [other.id]
    assert [d.recommendation for d in outbox.listing(db, customer="K2", rule="no such rule")] == []
    assert [d.recommendation for d in outbox.listing(db, since=T0 + MINUTE)] == [other.id]
    assert len(outbox.listing(db, to="u1")) == len(outbox.listing(db, to="u1@example.com")) == 2
    assert outbox.listing(db, to="u2") == []
    assert outbox.get(db, 4711) is None
