"""One worker: evaluates what is due, sends what is ready, until there is nothing left for now."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.delivery import DeliveryState
from notifiers.base import Notifier
from scheduler.clock import Clock
from scheduler.dispatch import Dispatched, Postman, dispatch_due
from scheduler.evaluate import Outcome, Rules, evaluate_due
from scheduler.processes import Processes
from store import due, outbox, rulebases
from store.session import Database

log = logging.getLogger("relance.worker")

AUDIT_EVERY = timedelta(hours=1)
NEEDS_A_PERSON = (DeliveryState.FAILED, DeliveryState.DEAD, DeliveryState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`owner` names this process in leases. Any number of workers may share a store.

    `processes` decide by the same rules; None: this process does.
    """

    db: Database
    rules: Rules
    postman: Postman
    notifier: Notifier
    owner: str
    processes: Processes | None = None

    def evaluate(self, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Everything that is due at `now`, batch by batch."""
        total = Outcome()
        while not stop():
            if rulebases.live_hash(self.db) != self.rules.published.hash:
                log.error("another rule base went live: this worker evaluates nothing until it is restarted")
                return total
            outcome = evaluate_due(self.db, self.rules, now=now, owner=self.owner, processes=self.processes)
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
            total.add(outcome)
            if outcome.claimed == 0 or outcome.server_down:
                return total
        return total

    @contextmanager
    def at_work(self, clock: Clock, *, tick_s: float) -> Generator[None]:
        """At work for the length of the block. At its end what is in flight is finished, and the rest given back."""
        ending = threading.Event()
        clock.every(tick_s, "evaluate", lambda now: self.evaluate(now=now, stop=ending.is_set))
        clock.every(tick_s, "dispatch", lambda now: self.dispatch(now=now, stop=ending.is_set))
        clock.once_per(AUDIT_EVERY, "audit", self.db, self.audit)
        clock.start()
        try:
            yield
        finally:
            ending.set()
            clock.stop()
            self.release()
            if self.processes is not None:
                self.processes.close()

    def audit(self, now: datetime) -> None:
        """Says what is stuck and needs a person; nothing when nothing is."""
        counts = outbox.counts(self.db)
        stuck = {f"{s} deliveries": counts[s] for s in NEEDS_A_PERSON if counts.get(s)}
        late = due.due_count(self.db, now=now - AUDIT_EVERY)
        stuck |= {"customers overdue": late} if late else {}
        if stuck:
            said = ", ".join(f"{count:,} {what}" for what, count in stuck.items())
            log.error("needs a person: %s; relance doctor says more", said)

    def release(self) -> None:
        """Give back what is leased and not begun, so that nobody has to wait for the lease to end."""
        due.release(self.db, owner=self.owner)
        outbox.release(self.db, owner=self.owner)
