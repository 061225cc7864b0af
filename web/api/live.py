"""Server-sent events: that something changed, and about whom. What is in it is read elsewhere.

However many listen, one task reads what was written, and only while somebody does. Whoever is too slow, or comes back
after too much has happened, is told to read everything again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from domain.access import Permission
from store import changes
from store.changes import Change, Place, TooMany, Window
from store.session import Database, StoreUnavailable
from store.visibility import owners_of
from web.api.access import Caller, Requires
from web.services import Services

POLL_S = 0.5
HEARTBEAT_S = 15.0  # proxies close what stays silent for a minute
LASTS_S = 600.0  # then one comes back and is looked at again: what one may see may be less by now
QUEUED_MAX = 1_000  # messages that wait for one listener
RETRY_MS = 2_000  # how soon a browser comes back

log = logging.getLogger("relance.live")

router = APIRouter(tags=["live"])

Listening: TypeAlias = Annotated[Caller, Depends(Requires(Permission.EVENTS_LISTEN))]
Owners: TypeAlias = Mapping[str, frozenset[str]]


@dataclass(slots=True, kw_only=True, eq=False)
class Listener:
    """`owners`: whose customers it sees; None: all. None in its queue: that was all."""

    owners: frozenset[str] | None
    queue: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue[str | None])
    ended: bool = False

    def sees(self, change: Change, owners: Owners) -> bool:
        return self.owners is None or not self.owners.isdisjoint(owners.get(change.customer or "", ()))

    def tell(self, message: str) -> None:
        if self.ended:
            return
        if self.queue.qsize() >= QUEUED_MAX:
            self.end(RELOAD)
        else:
            self.queue.put_nowait(message)

    def end(self, *last: str) -> None:
        """After these nothing more; what still waited, nobody needs then."""
        self.ended = True
        while last and not self.queue.empty():
            self.queue.get_nowait()
        for message in (*last, None):
            self.queue.put_nowait(message)


@dataclass(slots=True, eq=False)
class Feed:
    """Everybody who listens in this process, and the task that reads for them. `at`: how far it has come."""

    services: Services
    listeners: list[Listener] = field(default_factory=list[Listener])
    task: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    at: Place = field(default_factory=Place)

    @asynccontextmanager
    async def heard_by(self, listener: Listener) -> AsyncGenerator[Place]:
        """Gives the place from which on the listener is told."""
        self.listeners.append(listener)
        try:
            if self.task is None or self.task.done():
                self.ready = asyncio.Event()
                self.task = asyncio.create_task(self._read(self.ready))
            await self.ready.wait()
            yield self.at
        finally:
            self.listeners.remove(listener)

    async def _read(self, ready: asyncio.Event) -> None:
        """Until nobody listens or the server ends."""
        db = self.services.db
        try:
            window = await run_in_threadpool(Window.begin, db)
            while self.listeners and not self.services.stopping.is_set():
                self.at = window.at
                ready.set()
                await asyncio.sleep(POLL_S)
                told = await run_in_threadpool(_told, db, window)
                for listener in self.listeners:
                    for message in told.to(listener, window.at):
                        listener.tell(message)
        except StoreUnavailable as failure:
            log.error("%s", failure)  # whoever listens comes back
        finally:
            ready.set()
            for listener in self.listeners:
                listener.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What there is to tell; None: so much that everything may have changed."""

    found: Sequence[Change] | None
    owners: Owners

    def to(self, listener: Listener, at: Place) -> Iterable[str]:
        """The last message carries the place: whoever gets no further than the others is told them again."""
        if self.found is None:
            return [_message({"type": "reload"}, at)]
        seen = [change for change in self.found if listener.sees(change, self.owners)]
        return [_message(asdict(each), at if each is seen[-1] else None) for each in seen]


def _told(db: Database, window: Window) -> Told:
    try:
        return _with_owners(db, window.read(db))
    except TooMany:
        return Told(found=None, owners={})


def _missed(db: Database, after: Place, until: Place) -> Told:
    try:
        return _with_owners(db, changes.between(db, after, until))
    except TooMany:
        return Told(found=None, owners={})


def _with_owners(db: Database, found: Sequence[Change]) -> Told:
    concerned = {change.customer for change in found if change.customer is not None}
    return Told(found=found, owners=owners_of(db, concerned) if concerned else {})


def _message(document: Mapping[str, str | None], at: Place | None) -> str:
    said = {name: value for name, value in document.items() if value is not None}
    return (f"id: {at}\n" if at else "") + f"data: {json.dumps(said, ensure_ascii=False)}\n\n"


RELOAD = _message({"type": "reload"}, None)


async def stream(feed: Feed, listener: Listener, after: Place | None) -> AsyncGenerator[str]:
    async with feed.heard_by(listener) as at:
        yield f"retry: {RETRY_MS}\n\n"
        if after is not None:
            missed = await run_in_threadpool(_missed, feed.services.db, after, at)
            for message in missed.to(listener, at):
                yield message
        ends_at = asyncio.get_running_loop().time() + LASTS_S
        while asyncio.get_running_loop().time() < ends_at:
            try:
                message = await asyncio.wait_for(listener.queue.get(), HEARTBEAT_S)
            except TimeoutError:
                message = ":\n\n"
            if message is None:
                return
            yield message


EXAMPLE = """id: 120-4512
data: {"type": "recommendation.acted", "customer": "K1", "recommendation": "4f0c9ab21d7e55e0c1a2b3d4"}

data: {"type": "record.changed", "customer": "K1", "kind": "contract", "id": "C-1007"}

"""


@router.get(
    "/live",
    response_class=StreamingResponse,
    operation_id="listen",
    summary="Hear of what changes",
    responses={
        200: {
            "description": "Events until one side ends.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
        }
    },
)
def listen(
    caller: Listening,
    request: Request,
    last_event_id: Annotated[
        str | None,
        Header(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$", description="Go on after this one; a browser sends it itself."),
    ] = None,
) -> StreamingResponse:
    """Server-sent events that say that something changed at a customer whom the caller sees, and not what.

    `type` is an event's type, `record.changed`, or `reload`: too much happened, read everything again. A stream ends
    after ten minutes; come back with `Last-Event-ID`. Something may be told twice.
    """
    listener = Listener(owners=caller.owners())
    after = None if last_event_id is None else Place.read(last_event_id)
    return StreamingResponse(
        stream(request.app.state.feed, listener, after),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )
