"""Events to subscribers: claim, sign, post, settle. An endpoint waits for nothing but itself.

All endpoints share one event loop, which never waits for the database or for a name server: those have threads.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from domain.delivery import Message, SendError
from domain.subscription import Result, Subscription, WebhookDelivery, WebhookState
from domain.watch import UNWATCHED, Watch
from notifiers import email
from notifiers.addresses import Refusal
from notifiers.render import Rendered
from scheduler.postman import Postman
from store import users, webhooks
from store.session import Database, StoreUnavailable
from store.webhooks import AT_ONCE

if TYPE_CHECKING:
    # Whoever has no subscribers need not wait for HTTP to load.
    from notifiers.http import Http
    from notifiers.webhook import Endpoint, Webhooks

log = logging.getLogger("relance.courier")

HOUR = timedelta(hours=1)
# Three days in all: an endpoint that is away over a weekend loses nothing.
DELAYS = (timedelta(seconds=5), timedelta(minutes=5), HOUR / 2, 2 * HOUR, 5 * HOUR, *[10 * HOUR] * 6, 4 * HOUR)
JITTER = 0.2  # so that what failed together does not come back together
LEASE_S = 120.0  # longer than an attempt and its settling take
HELD_FOR = timedelta(minutes=10)  # when nothing can be sent as the settings are
DATABASE_THREADS, LOOK_UPS = 4, 32

P = ParamSpec("P")
T = TypeVar("T")


def next_attempt(attempts: int, *, at: datetime, wait: timedelta, random: float) -> datetime | None:
    """The moment of the next attempt after `attempts` (from 1) have failed, the last of them at `at`; None: no more.

    `wait`: at least so long. `random`: from 0 to 1.
    """
    if attempts > len(DELAYS):
        return None
    return at + max(DELAYS[attempts - 1] * (1 - JITTER + 2 * JITTER * random), wait)


@dataclass(slots=True, kw_only=True)
class Posted:
    """What was posted, in numbers. `disabled`: the subscriptions that were given up."""

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    disabled: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """`owner` names this process in leases; any number of couriers may share a store.

    `webhooks`: what signs and posts, made when there is something to post. `postman`: writes to whoever's endpoint was
    given up. `random` spreads retries.
    """

    db: Database
    webhooks: Callable[[], Webhooks]
    postman: Postman
    owner: str
    clock: Callable[[], datetime]
    random: Callable[[], float] = random.random
    at_once: int = AT_ONCE
    watch: Watch = UNWATCHED

    def run(self, *, now: datetime) -> Posted:
        """Everything that is due at `now`, once."""
        webhooks.recover(self.db, now=now)
        due = webhooks.due(self.db, now=now)
        return asyncio.run(self._run(due, now)) if due else Posted()

    async def _run(self, due: list[str], now: datetime) -> Posted:
        async with self._opened(now=lambda: now, stop=lambda: False) as tour:
            await asyncio.gather(*map(tour.serve, due))
        return tour.posted

    @contextmanager
    def at_work(self, *, tick_s: float) -> Generator[None]:
        """At work in a thread for the length of the block. At its end what is under way is finished."""
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            ending = asyncio.Event()
            thread = threading.Thread(target=runner.run, args=(self._work(ending, tick_s),), name="courier")
            thread.start()
            try:
                yield
            finally:
                runner.get_loop().call_soon_threadsafe(ending.set)
                thread.join()

    async def _work(self, ending: asyncio.Event, tick_s: float) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOK_UPS, "courier look-up"))
        under_way: dict[str, asyncio.Task[None]] = {}
        async with AsyncExitStack() as stack:
            tour = None
            while not ending.is_set():
                try:
                    for subscription in await asyncio.to_thread(self._due):
                        tour = tour or await stack.enter_async_context(self._opened(now=self.clock, stop=ending.is_set))
                        if subscription not in under_way or under_way[subscription].done():
                            under_way[subscription] = asyncio.create_task(tour.serve(subscription))
                except StoreUnavailable as failure:
                    log.error("%s", failure)
                except Exception:
                    log.exception("nothing was posted; it goes on at the next tick")
                with suppress(TimeoutError):
                    await asyncio.wait_for(ending.wait(), tick_s)
            await asyncio.gather(*under_way.values())

    def _due(self) -> list[str]:
        now = self.clock()
        webhooks.recover(self.db, now=now)
        return webhooks.due(self.db, now=now)

    @asynccontextmanager
    async def _opened(self, *, now: Callable[[], datetime], stop: Callable[[], bool]) -> AsyncGenerator[_Tour]:
        made = self.webhooks()
        with ThreadPoolExecutor(DATABASE_THREADS, "courier database") as threads:
            async with made.outgoing.open() as http:
                yield _Tour(courier=self, webhooks=made, http=http, threads=threads, now=now, stop=stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tour:
    """Open connections, and what goes over them."""

    courier: Courier
    webhooks: Webhooks
    http: Http
    threads: ThreadPoolExecutor
    now: Callable[[], datetime]
    stop: Callable[[], bool]
    posted: Posted = field(default_factory=Posted)

    async def serve(self, subscription: str) -> None:
        """Post to one endpoint until nothing is due there. What comes back together is settled together."""
        flying: set[asyncio.Task[Result]] = set()
        try:
            while departing := flying | await self._depart(subscription):
                landed, flying = await asyncio.wait(departing, return_when=asyncio.FIRST_COMPLETED)
                await self._land(subscription, [task.result() for task in landed])
        except StoreUnavailable as failure:  # what is not settled is sent again when its lease is over
            log.error("%s", failure)
        except Exception:
            log.exception("subscription %s: posting failed; it goes on at the next tick", subscription)
        finally:
            for task in flying:
                task.cancel()

    async def _depart(self, subscription: str) -> set[asyncio.Task[Result]]:
        """What the endpoint has room for, on its way."""
        if self.stop():
            return set()
        now, courier = self.now(), self.courier
        claimed = await self._in_thread(
            webhooks.claim,
            courier.db,
            subscription,
            now=now,
            owner=courier.owner,
            lease_s=LEASE_S,
            at_once=courier.at_once,
        )
        if claimed is None:
            return set()
        endpoint = self.webhooks.endpoint(claimed.subscription, now=now)
        if isinstance(endpoint, Refusal):
            log.error("%s", endpoint.reason)
            await self._in_thread(
                webhooks.hold, courier.db, claimed, reason=endpoint.reason, until=now + HELD_FOR, now=now
            )
            return set()
        return {asyncio.create_task(self._post(endpoint, each, claimed.probe)) for each in claimed.deliveries}

    async def _post(self, endpoint: Endpoint, delivery: WebhookDelivery, probe: bool) -> Result:
        attempt = await endpoint.post(self.http, delivery.event, now=self.now())
        again = next_attempt(delivery.attempts + 1, at=self.now(), wait=attempt.wait, random=self.courier.random())
        return Result(delivery=delivery, attempt=attempt, again=None if attempt.gone else again, probe=probe)

    async def _land(self, subscription: str, results: list[Result]) -> None:
        disabled = await self._in_thread(webhooks.record, self.courier.db, subscription, results)
        states = [result.state for result in results]
        for result in results:
            self.courier.watch.posted(result.state.value)
            ids = {"subscription": subscription, "delivery": result.delivery.id, "event": result.delivery.event.id}
            log.info("posted: %s", result.state.value, extra=ids)
        self.posted.delivered += states.count(WebhookState.DELIVERED)
        self.posted.retried += states.count(WebhookState.READY)
        self.posted.failed += states.count(WebhookState.FAILED)
        if disabled is not None:
            self.posted.disabled.append(subscription)
            log.error("subscription %s is disabled: %s", subscription, disabled.disabled_reason)
            await self._tell_owner(disabled)

    async def _tell_owner(self, subscription: Subscription) -> None:
        """By mail, once; it stands in the audit too, and in the subscription."""
        owner = await self._in_thread(users.get, self.courier.db, subscription.owner)
        if owner is None:
            return
        postman, now = self.courier.postman, self.now()
        number = email.message_id(f"{subscription.id}.{now.timestamp():.0f}", domain=postman.domain)
        try:
            body = email.compose(
                _notice(subscription),
                sender=postman.sender,
                sender_name=postman.name,
                to=owner.email,
                recipient_name=owner.name,
                message_id=number,
                date=now,
            )
            async with postman.mail.open() as line:
                await line.send(Message(destination=owner.email, message_id=number, body=body))
        except SendError as failure:
            log.error("%s cannot be told about subscription %s: %s", owner.email, subscription.id, failure)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, lambda: work(*args, **more))


def _notice(subscription: Subscription) -> Rendered:
    host = subscription.url.split("/")[2]  # the rest of the address may be a secret
    named = f"{subscription.id} ({subscription.description or host})"
    text = (
        f"Nothing is sent to the webhook subscription {named} any more: {subscription.disabled_reason}.\n\n"
        "What waited for it is cancelled. Once the endpoint works again, enable the subscription and replay what it "
        f"missed:\n\n    relance webhooks enable {subscription.id}\n"
        f"    relance webhooks replay {subscription.id} --since {subscription.disabled_at:%Y-%m-%dT%H:%M:%SZ}\n"
    )
    return Rendered(
        subject=f"Webhook subscription {subscription.id} is disabled", text=text, html=f"<pre>{escape(text)}</pre>"
    )
