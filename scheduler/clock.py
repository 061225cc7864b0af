"""APScheduler as the clock, and only the clock: it wakes the jobs, the store decides whose turn it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from store import ticks
from store.session import Database, StoreUnavailable

log = logging.getLogger("relance.clock")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JOBS_AT_ONCE = 32  # a foreign database that takes its time must not keep mails waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that is to be done once in each period, on whichever machine gets there first."""

    name: str
    every: timedelta
    run: Callable[[datetime], object]


def slot_of(now: datetime, period: timedelta) -> datetime:
    """The beginning of the period that a moment lies in: the same on every machine."""
    return EPOCH + (now - EPOCH) // period * period


class Clock:
    """Runs job bodies with the time they were woken at.

    A job never overlaps itself; wake-ups that were missed are made up by one; a failing job runs again next time.
    """

    def __init__(self, time: Callable[[], datetime]) -> None:
        self._time = time
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a wake-up that comes during another is no news
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(JOBS_AT_ONCE)},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )

    def every(self, seconds: float, name: str, body: Callable[[datetime], object]) -> None:
        """On every machine: for bodies that claim their own work."""
        self._scheduler.add_job(
            self._run, "interval", seconds=seconds, id=name, args=(name, body), next_run_time=datetime.now(UTC)
        )

    def soon(self, name: str) -> None:
        """Wake a job now instead of at its next tick; where it runs already, nothing."""
        self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    def once_per(self, period: timedelta, name: str, db: Database, body: Callable[[datetime], object]) -> None:
        """Once in each period, on whichever machine gets there first."""

        def ours(now: datetime) -> None:
            if ticks.claim_slot(db, name, slot_of(now, period), now=now):
                body(now)

        self.every(min(period.total_seconds(), 60.0), name, ours)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Waits for the jobs that are running."""
        self._scheduler.shutdown(wait=True)

    def _run(self, name: str, body: Callable[[datetime], object]) -> None:
        try:
            body(self._time())
        except StoreUnavailable as failure:
            log.error("%s: %s", name, failure)
        except Exception:
            log.exception("%s failed; it runs again at the next tick", name)
