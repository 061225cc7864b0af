from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.clock import Clock, slot_of
from scheduler.retry import DELAYS, next_attempt
from store.session import Database, StoreUnavailable

NOW = datetime(2026, 10, 25, 0, 59, 59, 999_999, tzinfo=UTC)  # the clocks of Zurich are about to go back
HOUR = timedelta(hours=1)
WAIT_S = 20.0  # gives up, where a job never runs


def test_a_slot_is_the_same_on_every_machine_and_never_moves_with_the_clocks() -> None:
    assert slot_of(NOW, HOUR) == datetime(2026, 10, 25, 0, tzinfo=UTC)
    assert slot_of(NOW + timedelta(microseconds=1), HOUR) == datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert slot_of(NOW, timedelta(days=1)) == datetime(2026, 10, 25, tzinfo=UTC)


def test_a_job_of_the_hour_runs_once_however_many_machines_wake_for_it(db: Database) -> None:
    ran: list[datetime] = []
    woken = threading.Semaphore(0)

    def machine() -> Clock:
        clock = Clock(time=lambda: NOW)
        clock.once_per(HOUR, "audit", db, ran.append)
        clock.every(3600, "witness", lambda _: woken.release())
        return clock

    clocks = [machine(), machine(), machine()]
    for clock in clocks:
        clock.start()
    for _ in clocks:
        assert woken.acquire(timeout=WAIT_S)
    for clock in clocks:
        clock.stop()
    assert ran == [NOW]


def test_a_job_that_fails_runs_again_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    tries = threading.Semaphore(0)
    other = threading.Event()

    def fails(now: datetime) -> None:
        tries.release()
        raise StoreUnavailable("the database is locked")

    clock = Clock(time=lambda: NOW)
    clock.every(0.01, "fails", fails)
    clock.every(0.01, "other", lambda _: other.set())
    clock.start()
    assert tries.acquire(timeout=WAIT_S)
    assert tries.acquire(timeout=WAIT_S)
    assert other.wait(timeout=WAIT_S)
    clock.stop()
    assert "fails: the database is locked" in caplog.text


def test_retries_grow_apart_and_come_to_an_end() -> None:
    moments = [next_attempt(attempts, now=NOW) for attempts in range(1, len(DELAYS) + 1)]
    delays = [moment - NOW for moment in moments if moment is not None]
    assert delays == sorted(delays)
    assert sum(delays, timedelta()) > timedelta(days=3)
    assert next_attempt(len(DELAYS) + 1, now=NOW) is None
