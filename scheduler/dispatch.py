"""The outbox to the wire: claim, still wanted?, render, send, receipt. Nothing lost, the uncertain listed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.delivery import Channel, Delivery, Purpose, SendError
from domain.person import People
from domain.watch import UNWATCHED, Watch
from notifiers.base import Line, Updating
from scheduler.postman import Postman, Unwanted
from scheduler.retry import next_attempt
from store import outbox, people, suppressions
from store.session import Database
from store.suppressions import Suppression

log = logging.getLogger("relance.dispatch")

RETRY_AFTER_LIMIT_S = 86_400.0  # a server that asks for longer is asked again tomorrow
LEASE_S = 600.0  # for a batch; whoever takes longer finds its fence gone and sends no more


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
    *,
    now: datetime,
    owner: str,
    limit: int = outbox.CLAIM_LIMIT,
    stop: Callable[[], bool] = lambda: False,
    watch: Watch = UNWATCHED,
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
    round_ = _Round(
        db=db,
        postman=postman,
        known=known,
        suppressed=suppressions.of(db, [d.destination for d in claimed if d.channel is Channel.EMAIL]),
        outcome=outcome,
        now=now,
        stop=stop,
        watch=watch,
    )
    by_channel: dict[Channel, deque[Delivery]] = {}
    for delivery in claimed:
        by_channel.setdefault(delivery.channel, deque()).append(delivery)
    await _all(round_.channel(channel, waiting) for channel, waiting in by_channel.items())
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One batch on its way. `suppressed`: what nothing is sent to, by address."""

    db: Database
    postman: Postman
    known: People
    suppressed: Mapping[str, Suppression]
    outcome: Dispatched
    now: datetime
    stop: Callable[[], bool]
    watch: Watch

    async def channel(self, channel: Channel, waiting: deque[Delivery]) -> None:
        """Everything that goes one way. Where its server is down the rest stays due, with no attempt counted."""
        try:
            notifier = self.postman.notifier(channel)
        except SendError as failure:
            for delivery in waiting:
                self._record(delivery, failure)
            return
        closed = _Door()
        async with notifier.open() as line:
            await _all(self._work(line, waiting, closed) for _ in range(min(line.width, len(waiting))))
        if closed.down:
            self.outcome.server_down = True
            _give_back(self.db, waiting)

    async def _work(self, line: Line, waiting: deque[Delivery], door: _Door) -> None:
        while waiting and not self.stop() and not door.down:
            delivery = waiting.popleft()
            try:
                await self._deliver(line, delivery)
            except SendError as failure:
                if door.down and failure.server_down and not failure.uncertain:
                    waiting.append(delivery)  # somebody met the closed door before: one attempt is enough to know
                    continue
                self._record(delivery, failure)
                door.down |= failure.server_down

    async def _deliver(self, line: Line, delivery: Delivery) -> None:
        if not self._may_be_sent(delivery):
            return
        try:
            letter = self.postman.letter(self.db, delivery, people=self.known, now=self.now)
        except Unwanted as reason:
            outbox.cancelled(self.db, delivery, reason=str(reason))
            return
        message = letter.message
        begun = outbox.sending(
            self.db, delivery, message_id=message.message_id, body=message.body, entry=letter.entry, now=self.now
        )
        if not begun:
            return  # another worker holds it by now
        with self.watch.span("send", traces=[delivery.trace] if delivery.trace else ()) as facts:
            facts |= {"delivery": delivery.id, "channel": delivery.channel.value}
            if delivery.purpose is Purpose.UPDATE and isinstance(line, Updating):
                receipt = await line.update(message)
            else:
                receipt = await line.send(message)
        outbox.sent(self.db, delivery, receipt, now=self.now)
        self.outcome.sent += 1
        self.watch.sent(delivery.channel, "sent")
        log.info("sent", extra=_ids(delivery))

    def _record(self, delivery: Delivery, failure: SendError) -> None:
        """What a failure means for its delivery, by what it says to do next."""
        log.warning("delivery %d: %s", delivery.id, failure, extra=_ids(delivery))
        again = None if failure.permanent else next_attempt(delivery.attempts + 1, now=self.now)
        if again is not None and failure.retry_after_s is not None:
            again = max(again, self.now + timedelta(seconds=min(failure.retry_after_s, RETRY_AFTER_LIMIT_S)))
        if failure.uncertain:
            outbox.unknown(self.db, delivery, failure, now=self.now)
            self.outcome.unknown += 1
            self.watch.sent(delivery.channel, "unknown")
        elif again is not None:
            outbox.retry(self.db, delivery, due_at=again, error=failure)
            self.outcome.retried += 1
            self.watch.sent(delivery.channel, "retried")
        else:
            settle = outbox.failed if failure.permanent else outbox.dead
            settle(self.db, delivery, failure, now=self.now)
            self.outcome.failed += 1
            self.watch.sent(delivery.channel, "failed")

    def _may_be_sent(self, delivery: Delivery) -> bool:
        """Asked again just before: is the person still here, awake, and to be reached? Raises `SendError`."""
        person = self.known.get(delivery.person)
        if person is None and "@" not in delivery.person:
            outbox.cancelled(self.db, delivery, reason=f"{delivery.person} is not here any more")
            return False
        if person is not None and delivery.purpose in (Purpose.REMINDER, Purpose.DIGEST):
            hears = self.postman.hears_from(person, self.now)
            if hears > self.now:
                outbox.postponed(self.db, delivery, until=hears)
                return False
        suppression = self.suppressed.get(delivery.destination.casefold())
        if suppression is not None and delivery.channel is Channel.EMAIL:
            said = f"nothing is sent to {delivery.destination}: {suppression.reason} on {suppression.since:%Y-%m-%d}"
            raise SendError(said, permanent=True, phase="suppressed")
        return True


@dataclass(slots=True)
class _Door:
    down: bool = False


def _ids(delivery: Delivery) -> dict[str, object]:
    return {
        "delivery": delivery.id,
        "recommendation": delivery.recommendation,
        "channel": delivery.channel.value,
        "trace": delivery.trace,
    }


def _give_back(db: Database, deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        outbox.retry(db, delivery, due_at=delivery.due_at)
