from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from domain.delivery import DeliveryState
from domain.recommendation import State
from store import due, outbox, recommendations
from store.session import Database
from tests.store.make import (
    DAY,
    MINUTE,
    T0,
    act,
    claim_one,
    claimed,
    commit,
    customer,
    leased,
    raised,
    recommendation,
    reminder,
    write,
)

QUEUED, CANCELLED = DeliveryState.QUEUED, DeliveryState.CANCELLED


def deliveries(db: Database) -> dict[int, DeliveryState]:
    return {d.occurrence: d.state for d in outbox.listing(db)}


def test_done_is_kept_withdraws_what_is_unsent_and_wakes_the_customer(db: Database) -> None:
    before = recommendation()
    raised(db, before, deliveries=(reminder(before), reminder(before, occurrence=2, due_at=T0 + DAY)))
    after = before.done(by="u1", at=T0 + MINUTE, note="angerufen")

    assert act(db, before, after, now=T0 + MINUTE)

    assert recommendations.get(db, before.id) == after
    assert deliveries(db) == {1: CANCELLED, 2: CANCELLED}
    assert due.next_due(db) == T0 + MINUTE
    assert recommendations.running(db, ["K1"]) == {"K1": [after]}  # the episode goes on, quietly


def test_of_two_people_acting_at_once_one_wins(db: Database) -> None:
    before = recommendation()
    raised(db, before)
    acts = [before.done(by="u1", at=T0), before.dismiss(by="u2", at=T0, reason="falsch")]

    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(lambda after: act(db, before, after, now=T0), acts))

    assert sorted(won) == [False, True]
    assert recommendations.get(db, before.id) == acts[won.index(True)]


def test_losing_changes_nothing_at_all(db: Database) -> None:
    before = recommendation()
    raised(db, before)
    act(db, before, before.done(by="u1", at=T0), now=T0)
    commit(db, claim_one(db))

    late = before.snooze(until=T0 + DAY, at=T0)
    assert not act(db, before, late, deliveries=[reminder(before, occurrence=2)], now=T0)

    assert outbox.listing(db) == []
    assert due.next_due(db) is None


def test_acting_during_an_evaluation_is_not_overwritten_by_it(db: Database) -> None:
    before = recommendation()
    raised(db, before)
    write(db, customer("K1", name="Muster"))
    claim = claim_one(db)
    act(db, before, before.done(by="u1", at=T0), now=T0)

    assert not commit(db, claim, updated=[before])

    found = recommendations.get(db, before.id)
    assert found is not None
    assert found.state is State.DONE


def test_a_snooze_replaces_what_is_unsent_by_one_reminder_at_its_end(db: Database) -> None:
    before = recommendation()
    raised(db, before, deliveries=(reminder(before),))
    once = before.snooze(until=T0 + DAY, at=T0)
    assert act(db, before, once, deliveries=[reminder(before, occurrence=2, due_at=T0 + DAY)], now=T0)
    assert deliveries(db) == {1: CANCELLED, 2: QUEUED}

    twice = once.snooze(until=T0 + 2 * DAY, at=T0)
    later = reminder(before, occurrence=2, due_at=T0 + 2 * DAY)
    assert act(db, once, twice, deliveries=[later], now=T0)

    assert deliveries(db) == {1: CANCELLED, 2: QUEUED}
    assert outbox.next_due(db) == T0 + 2 * DAY
    assert claimed(db, now=T0 + DAY, owner="w", lease_s=60) == []
    assert leased(db, now=T0 + 2 * DAY).occurrence == 2


def test_the_listing_shows_the_latest_first_and_filters(db: Database) -> None:
    first = recommendation(dossier="K1", at=T0)
    second = recommendation(dossier="K2", at=T0 + MINUTE)
    third = recommendation(dossier="K2", subject="C2", at=T0 + DAY)
    raised(db, first, second, third)
    act(db, second, done := second.done(by="u1", at=T0), now=T0)

    assert recommendations.listing(db) == [third, done, first]
    assert recommendations.listing(db, state=State.OPEN) == [third, first]
    assert recommendations.listing(db, dossier="K2", state=State.OPEN) == [third]
    assert recommendations.listing(db, limit=1) == [third]
    assert recommendations.get(db, "nobody") is None
