"""One worker: evaluates what is due, sends what is ready, until there is nothing left for now."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from domain.policy import Policy
from domain.watch import Watch
from notifiers.mailbox import MailboxError
from scheduler.audit import Auditor
from scheduler.clock import Clock, Job
from scheduler.courier import Courier
from scheduler.dispatch import Dispatched, dispatch_due
from scheduler.evaluate import Outcome, Rules, evaluate_due
from scheduler.ledger import SEAL_EVERY_S, SWEEP, SWEEP_EVERY, Ledger
from scheduler.plans import Planner
from scheduler.postman import Postman
from scheduler.processes import Processes
from scheduler.returns import Returns
from scheduler.sorting import Sorter
from store import due, outbox, rulebases, webhooks
from store.session import Database

log = logging.getLogger("relance.worker")

EVALUATE, DISPATCH = "evaluate", "dispatch"
AUDIT_EVERY = timedelta(minutes=5)
STUCK_EVERY = timedelta(hours=1)
RETURNS_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`owner` names this process in leases. Any number of workers may share a store.

    `processes` decide by the same rules; None: this process does. `jobs`: what else is to be done here. `watch` is told
    what happens.
    """

    db: Database
    rules: Rules
    postman: Postman
    owner: str
    auditor: Auditor
    policy: Policy = field(default_factory=Policy)
    returns: Returns | None = None
    processes: Processes | None = None
    jobs: Sequence[Job] = ()
    courier: Courier | None = None
    ledger: Ledger | None = None
    watch: Watch = field(default_factory=Watch)

    def evaluate(self, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Everything that is due at `now`, batch by batch."""
        total = Outcome()
        while not stop():
            if rulebases.live_hash(self.db) != self.rules.published.hash:
                log.error("another rule base went live: this worker evaluates nothing until it is restarted")
                return total
            self.watch.ticked()
            outcome = evaluate_due(
                self.db, self.rules, now=now, owner=self.owner, processes=self.processes, watch=self.watch
            )
            total.add(outcome)
            if outcome.customers + outcome.lost + len(outcome.failed) == 0:
                return total
        return total

    def dispatch(self, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Dispatched:
        """Everything that is due at `now`: planned, sorted by people's wishes, and sent, batch by batch.

        `stop` is asked before each message.
        """
        total = Dispatched()
        base = self.rules.base
        Planner(db=self.db, base=base, nobody=self.rules.nobody, now=now).run()
        Sorter(db=self.db, base=base, policy=self.policy, now=now).run()
        while not stop():
            outcome = asyncio.run(
                dispatch_due(self.db, self.postman, now=now, owner=self.owner, stop=stop, watch=self.watch)
            )
            total.add(outcome)
            if outcome.claimed == 0 or outcome.server_down:
                return total
        return total

    @contextmanager
    def at_work(self, clock: Clock, *, tick_s: float) -> Generator[None]:
        """At work for the length of the block. At its end what is in flight is finished, and the rest given back."""
        ending = threading.Event()

        def evaluate(now: datetime) -> None:
            if self.evaluate(now=now, stop=ending.is_set).queued:
                clock.soon(DISPATCH)  # nobody waits for a tick of its own

        clock.every(tick_s, EVALUATE, evaluate)
        clock.every(tick_s, DISPATCH, lambda now: self.dispatch(now=now, stop=ending.is_set))
        clock.once_per(AUDIT_EVERY, "audit", self.db, self.auditor.audit)
        clock.once_per(STUCK_EVERY, "stuck deliveries", self.db, self.auditor.stuck)
        if self.ledger is not None:
            clock.every(SEAL_EVERY_S, "seals", partial(self.ledger.seal, stop=ending.is_set))
            clock.once_per(SWEEP_EVERY, SWEEP, self.db, partial(self.ledger.sweep, stop=ending.is_set))
        for job in self.jobs:
            clock.once_per(job.every, job.name, self.db, job.run)
        if self.returns is not None:
            clock.once_per(RETURNS_EVERY, "returns", self.db, self.collect)
        clock.start()
        try:
            with self.courier.at_work(tick_s=tick_s) if self.courier else nullcontext():
                try:
                    yield
                finally:
                    ending.set()
        finally:
            clock.stop()
            self.release()
            if self.processes is not None:
                self.processes.close()

    def collect(self, now: datetime) -> None:
        """Read the bounces that have come."""
        assert self.returns is not None
        try:
            self.returns.collect(self.db, now=now)
        except MailboxError as failure:
            log.error("%s", failure)

    def release(self) -> None:
        """Give back what is leased and not begun, so that nobody has to wait for the lease to end."""
        due.release(self.db, owner=self.owner)
        outbox.release(self.db, owner=self.owner)
        webhooks.release(self.db, owner=self.owner)
