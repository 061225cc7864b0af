"""The outbox to the wire: claim, still wanted?, render, send, receipt. Nothing lost, the uncertain listed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.delivery import Delivery, Message, SendError
from domain.person import People, Person
from domain.recommendation import Recommendation
from domain.record import Dossier
from notifiers import email
from notifiers.base import Line, Notifier
from notifiers.render import Rendered, render
from rules.model import Unreadable
from scheduler.reminders import ReminderWriter
from scheduler.retry import next_attempt
from store import dossiers, outbox, people, recommendations
from store.session import Database

log = logging.getLogger("relance.dispatch")

RETRY_AFTER_LIMIT_S = 86_400.0  # a server that asks for longer is asked again tomorrow
LEASE_S = 600.0  # for a batch; whoever takes longer finds its fence gone and sends no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Postman:
    """Turns deliveries into mails. `sender`: the bare address they come from; `name`: what stands beside it."""

    writer: ReminderWriter
    sender: str
    name: str

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]

    def message_id(self, delivery: Delivery) -> str:
        return delivery.message_id or email.message_id(delivery.key, domain=self.domain)

    def compose(
        self, delivery: Delivery, recommendation: Recommendation, dossier: Dossier, *, people: People, now: datetime
    ) -> bytes:
        """The mail's bytes. A delivery that was rendered before has them already: a resend is byte-identical.

        Raises as `ReminderWriter.write` does.
        """
        if delivery.body is not None:
            return delivery.body
        reminder = self.writer.write(recommendation, dossier, person=delivery.person, people=people, now=now)
        return self.mail(delivery, recommendation, render(reminder), reader=people.get(delivery.person), now=now)

    def mail(
        self,
        delivery: Delivery,
        recommendation: Recommendation,
        rendered: Rendered,
        *,
        reader: Person | None,
        now: datetime,
    ) -> bytes:
        """A rendered reminder as the bytes of one mail."""
        return email.compose(
            rendered,
            sender=self.sender,
            sender_name=self.name,
            to=delivery.destination,
            recipient_name=reader.name if reader else None,
            message_id=self.message_id(delivery),
            thread_root=email.thread_root(recommendation.id, domain=self.domain),
            date=now,
        )


@dataclass(slots=True, kw_only=True)
class Dispatched:
    """What a dispatch did, in numbers. `claimed` is 0 when nothing was due.

    `server_down`: it ended early, and what is left is still due.
    """

    claimed: int = 0
    sent: int = 0
    retried: int = 0
    failed: int = 0
    unknown: int = 0
    server_down: bool = False

    def add(self, other: Dispatched) -> None:
        self.claimed += other.claimed
        self.sent += other.sent
        self.retried += other.retried
        self.failed += other.failed
        self.unknown += other.unknown
        self.server_down |= other.server_down


async def dispatch_due(
    db: Database,
    postman: Postman,
    notifier: Notifier,
    *,
    now: datetime,
    owner: str,
    limit: int = outbox.CLAIM_LIMIT,
    stop: Callable[[], bool] = lambda: False,
) -> Dispatched:
    """Send up to `limit` deliveries that are due. Running it twice, or on two machines, sends each once.

    Once `stop` says so it ends after the message in flight; what it had leased stays so, for its owner to release.
    """
    outbox.recover(db, now=now)
    claimed = outbox.claim(db, now=now, owner=owner, lease_s=LEASE_S, limit=limit)
    outcome = Dispatched(claimed=len(claimed))
    if not claimed:
        return outcome
    known = people.load(db)
    waiting = deque(claimed)

    async def work(line: Line) -> None:
        while waiting and not stop() and not outcome.server_down:
            delivery = waiting.popleft()
            try:
                await _deliver(db, postman, line, delivery, known, outcome, now=now)
            except SendError as failure:
                if outcome.server_down and failure.server_down and not failure.uncertain:
                    waiting.append(delivery)  # somebody met the closed door before: one attempt is enough to know
                    continue
                _record(db, delivery, failure, outcome, now=now)
                outcome.server_down |= failure.server_down

    async with notifier.open() as line:
        await _all(work(line) for _ in range(min(line.width, len(claimed))))
    if outcome.server_down:
        # The others would meet the same closed door: they stay due, with no attempt counted.
        _give_back(db, waiting)
    return outcome


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Each to its end; where one fails, none of the others is left behind."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _deliver(
    db: Database, postman: Postman, line: Line, delivery: Delivery, known: People, outcome: Dispatched, *, now: datetime
) -> None:
    recommendation = recommendations.get(db, delivery.recommendation)
    dossier = dossiers.load(db, recommendation.dossier) if recommendation else None
    if recommendation is None or dossier is None:
        outbox.cancelled(db, delivery, reason="the customer is gone")
        return
    try:
        body = postman.compose(delivery, recommendation, dossier, people=known, now=now)
    except KeyError:
        outbox.cancelled(db, delivery, reason="the rule or its subject is gone")
        return
    except Unreadable as failure:
        raise SendError(f"the customer's data cannot be read: {failure}", permanent=True, phase="render") from None
    message_id = postman.message_id(delivery)
    if not outbox.sending(db, delivery, message_id=message_id, body=body, now=now):
        return  # another worker holds it by now
    receipt = await line.send(Message(destination=delivery.destination, message_id=message_id, body=body))
    outbox.sent(db, delivery, receipt, now=now)
    outcome.sent += 1


def _record(db: Database, delivery: Delivery, failure: SendError, outcome: Dispatched, *, now: datetime) -> None:
    """What a failure means for its delivery, by what it says to do next."""
    log.warning("delivery %d: %s", delivery.id, failure)
    if failure.uncertain:
        outbox.unknown(db, delivery, failure, now=now)
        outcome.unknown += 1
        return
    again = None if failure.permanent else next_attempt(delivery.attempts + 1, now=now)
    if again is not None and failure.retry_after_s is not None:
        again = max(again, now + timedelta(seconds=min(failure.retry_after_s, RETRY_AFTER_LIMIT_S)))
    if again is not None:
        outbox.retry(db, delivery, due_at=again, error=failure)
        outcome.retried += 1
        return
    settle = outbox.failed if failure.permanent else outbox.dead
    settle(db, delivery, failure)
    outcome.failed += 1


def _give_back(db: Database, deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        outbox.retry(db, delivery, due_at=delivery.due_at)
