from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from store import ticks
from store.session import Database
from tests.store.make import DAY, T0


def test_of_many_machines_one_gets_the_slot(db: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda _: ticks.claim_slot(db, "digest", T0, now=T0), range(8)))
    assert won.count(True) == 1


def test_the_last_slot_says_where_to_catch_up_from(db: Database) -> None:
    assert ticks.last_slot(db, "digest") is None
    for day in (0, 2, 1):
        assert ticks.claim_slot(db, "digest", T0 + day * DAY, now=T0 + 9 * DAY)
    assert ticks.claim_slot(db, "audit", T0 + 5 * DAY, now=T0 + 9 * DAY)
    assert ticks.last_slot(db, "digest") == T0 + 2 * DAY


def test_slots_long_past_are_forgotten_and_the_last_never(db: Database) -> None:
    ticks.claim_slot(db, "digest", T0, now=T0)
    ticks.claim_slot(db, "audit", T0, now=T0)
    ticks.claim_slot(db, "digest", T0 + 60 * DAY, now=T0)
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT job FROM ticks ORDER BY job").scalars().all() == ["audit", "digest"]
