"""Housekeeping: the audit is sealed as it is written, and what was kept long enough goes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.retention import Keep
from store import chain, retention
from store.session import Database

log = logging.getLogger("relance.ledger")

SEAL_EVERY_S = 1.0
SWEEP, SWEEP_EVERY = "retention", timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`keep`: for how long what is kept."""

    db: Database
    keep: Keep = field(default_factory=Keep)

    def seal(self, _now: datetime | None = None, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Everything that was written since. Any number of workers may do it at once."""
        while chain.seal(self.db) and not stop():
            pass

    def sweep(self, now: datetime, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Once a day: what was kept long enough goes, and the chain's head is noted where nobody rewrites it."""
        while chain.seal(self.db, recent=None) and not stop():
            pass
        gone = retention.sweep(self.db, self.keep, now=now, stop=stop)
        log.info("removed: %s", ", ".join(f"{name} {count:,}" for name, count in gone.items()) or "nothing")
        log.info("the last seal of the audit: %s", chain.last(self.db))
