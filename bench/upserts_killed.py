"""What is lost and what comes twice when the server is killed while others write: a real server, `kill -9`.

A client puts customers, so many at once, and repeats each request with the same idempotency key until it is answered.
Another system subscribes to what is raised. Again and again, after a time nobody chose, the server is killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from bench.databases import databases
from bench.service import Service, customer, service
from bench.sink import HOST, sink
from bench.table import show

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from store.session import Database

UPSERTS, AT_ONCE = int(os.environ.get("RELANCE_UPSERTS", "10000")), 16
KILLS = int(os.environ.get("RELANCE_KILLS", "20"))
LIVES_S = (2.0, 5.0)  # from the start of the server to its end; it takes a second to be at work
PATIENCE_S = 900.0  # for what is left when all is written: leases of the killed end after ten minutes
SEED = 7
COMMAND = "python -m bench upserts-killed"


@dataclass(slots=True)
class Subscriber:
    """Verifies everything with the reference library, and counts by id."""

    secret: str = ""
    received: Counter[str] = field(default_factory=Counter[str])
    has_all: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        Webhook(self.secret).verify(await request.read(), dict(request.headers))
        self.received[request.headers["webhook-id"]] += 1
        if len(self.received) == UPSERTS:
            self.has_all.set()
        return web.Response(status=204)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[int]:
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


def main() -> None:
    rows = [(name, *map(str, _tried(db))) for name, db in databases()]
    head = ("", "upserts", "kills", "repeated", "not once", "events", "lost", "twice", "ids reused", "seconds")
    show(f"{UPSERTS:,} upserts, {KILLS} times kill -9", head, rows, command=COMMAND)


def _tried(db: Database) -> Iterator[int]:
    begun = time.monotonic()
    with (
        TemporaryDirectory(prefix="relance-bench-") as folder,
        sink() as (_, mail_port),
        service(db, Path(folder), mail_port=mail_port) as running,
    ):
        figures = asyncio.run(_written_and_killed(running, db))
    return iter((*figures, round(time.monotonic() - begun)))


async def _written_and_killed(running: Service, db: Database) -> tuple[int, ...]:
    subscriber, repeated = Subscriber(), Counter[int]()
    async with subscriber.listening() as port, aiohttp.ClientSession(headers=running.headers) as session:
        asked = {"url": f"http://{HOST}:{port}/hook", "types": ["recommendation.raised"]}
        async with session.post(f"{running.url}/subscriptions", json=asked) as answer:
            assert answer.status == 201, await answer.text()
            subscriber.secret = (await answer.json())["secret"]
        numbers = iter(range(UPSERTS))
        writers = asyncio.gather(*(_write(session, running, numbers, repeated) for _ in range(AT_ONCE)))
        kills = await _kill(running, writers)
        await writers
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await subscriber.has_all.wait()
    return (UPSERTS, kills, repeated.total(), *_figures(db, subscriber))


async def _write(
    session: aiohttp.ClientSession, running: Service, numbers: Iterator[int], repeated: Counter[int]
) -> None:
    for number in numbers:
        written = customer(number)
        while True:
            try:
                async with session.put(
                    f"{running.url}/records/customer/{written['id']}",
                    json={"fields": written["fields"]},
                    headers={"Idempotency-Key": f"put-{number}"},
                ) as answer:
                    if answer.status == 201:
                        assert (await answer.json())["outcome"] == "new"
                        break
                    assert answer.status == 503, await answer.text()
            except aiohttp.ClientError:
                pass
            repeated[number] += 1
            await asyncio.sleep(0.1)


async def _kill(running: Service, writers: asyncio.Future[list[None]]) -> int:
    """The server ends every now and then, as long as somebody writes."""
    chance = random.Random(SEED)
    for kills in range(KILLS):
        await asyncio.wait([writers], timeout=chance.uniform(*LIVES_S))
        if writers.done():
            return kills
        await asyncio.to_thread(running.kill)
        await asyncio.to_thread(running.start)
    return KILLS


def _figures(db: Database, subscriber: Subscriber) -> Iterator[int]:
    with db.read() as connection:
        written = Counter(connection.exec_driver_sql("SELECT id FROM record_history WHERE kind = 'customer'").scalars())
        audited = Counter(connection.exec_driver_sql("SELECT subject FROM audit WHERE kind = 'customer'").scalars())
        raised = connection.exec_driver_sql(
            "SELECT id, recommendation FROM events WHERE type = 'recommendation.raised'"
        ).all()
    everyone = {f"K{number}" for number in range(UPSERTS)}
    once = {id_ for id_ in everyone if written[id_] == 1 == audited[id_]}
    yield len(everyone - once)
    yield len(raised)
    yield len({id_ for id_, _ in raised} - subscriber.received.keys()) + UPSERTS - len(raised)
    yield sum(count > 1 for count in subscriber.received.values())
    yield len(raised) - len({id_ for id_, _ in raised}) + len(raised) - len({about for _, about in raised})
