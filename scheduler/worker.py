"""One worker: evaluates what is due, sends what is ready, until there is nothing left for now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from notifiers.base import Notifier
from scheduler.dispatch import Dispatched, Postman, dispatch_due
from scheduler.evaluate import Outcome, Rules, evaluate_due
from store import due, outbox
from store.session import Database

log = logging.getLogger("relance.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`owner` names this process in leases. Any number of workers may share a store."""

    db: Database
    rules: Rules
    postman: Postman
    notifier: Notifier
    owner: str

    def evaluate(self, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Everything that is due at `now`, batch by batch."""
        total = Outcome()
        while not stop():
            outcome = evaluate_due(self.db, self.rules, now=now, owner=self.owner)
            total.add(outcome)
            for customer, reason in outcome.failed:
                log.error("customer %s could not be evaluated: %s", customer, reason)
            if outcome.customers + outcome.lost + len(outcome.failed) == 0:
                return total
        return total

    def dispatch(self, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Dispatched:
        """Everything that is ready at `now`, batch by batch. `stop` is asked before each message."""
        total = Dispatched()
        while not stop():
            outcome = asyncio.run(
                dispatch_due(self.db, self.postman, self.notifier, now=now, owner=self.owner, stop=stop)
            )
            total.claimed += outcome.claimed
            total.sent += outcome.sent
            total.retried += outcome.retried
            total.failed += outcome.failed
            total.unknown += outcome.unknown
            if outcome.claimed == 0 or outcome.server_down:
                return total
        return total

    def release(self) -> None:
        """Give back what is leased and not begun, so that nobody has to wait for the lease to end."""
        due.release(self.db, owner=self.owner)
        outbox.release(self.db, owner=self.owner)
