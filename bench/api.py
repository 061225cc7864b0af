"""What the API takes and how soon a mail follows; and what a webhook costs, beside other ways to post.

A real `relance serve` on its database, a client in this process, a mail server in another one.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

import aiohttp
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench.databases import databases
from bench.peers.posters import POSTERS, serving
from bench.service import Service, customer, service
from bench.sink import HOST
from bench.table import show
from store.session import Database

SINGLE, BATCH, AT_ONCE = 2_000, 20_000, 32
PACE_PER_S, PACED_S = 100, 15.0
EVENTS = 500
POSTS, ROUNDS = 4_000, 3  # the fastest counts: whatever else the machine does only ever adds
COMMAND = "python -m bench api"


def main() -> None:
    upserts()
    webhooks()
    ten_endpoints()


# --- upserts, and the mails that follow ---


def upserts() -> None:
    rows = [(name, *measured) for name, db in databases() for measured in [_measured(db)]]
    head = ("", "single/s", "NDJSON/s", "mails", "p50 ms", "p99 ms", "worst ms")
    title = f"Upserts: {AT_ONCE} at once; one NDJSON batch; from upsert to mail at {PACE_PER_S} upserts/s"
    show(title, head, rows, command=COMMAND)


def _measured(db: Database) -> tuple[str, ...]:
    with (
        TemporaryDirectory(prefix="relance-bench-") as folder,
        mailbox() as box,
        service(db, Path(folder), mail_port=box.port) as running,
    ):
        lags = asyncio.run(_paced(running, box))
        single = asyncio.run(_single(running))
        batch = asyncio.run(_batch(running))
    cuts = quantiles(lags, n=100)
    return (
        f"{single:,.0f}",
        f"{batch:,.0f}",
        f"{len(lags):,}",
        f"{cuts[49] * 1000:,.0f}",
        f"{cuts[98] * 1000:,.0f}",
        f"{max(lags) * 1000:,.0f}",
    )


async def _put(session: aiohttp.ClientSession, running: Service, number: int) -> None:
    written = customer(number)
    url = f"{running.url}/records/customer/{written['id']}"
    async with session.put(url, json={"fields": written["fields"]}) as answer:
        assert answer.status == 201, await answer.text()


async def _paced(running: Service, box: Mailbox) -> list[float]:
    """Seconds from the answer to each upsert to its mail."""
    answered: dict[str, float] = {}
    count = int(PACE_PER_S * PACED_S)
    async with aiohttp.ClientSession(headers=running.headers) as session:
        begun = perf_counter()

        async def one(number: int) -> None:
            await asyncio.sleep(begun + number / PACE_PER_S - perf_counter())
            await _put(session, running, number)
            answered[f"Customer {number}"] = perf_counter()

        await asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.to_thread(box.wait_for, count)
    return [max(0.0, box.arrived[name] - at) for name, at in answered.items()]


async def _single(running: Service) -> float:
    numbers = iter(range(100_000, 100_000 + SINGLE))
    async with aiohttp.ClientSession(headers=running.headers) as session:

        async def work() -> None:
            for number in numbers:
                await _put(session, running, number)

        begun = perf_counter()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return SINGLE / (perf_counter() - begun)


async def _batch(running: Service) -> float:
    lines = (json.dumps(customer(number)) for number in range(200_000, 200_000 + BATCH))
    body = "\n".join(lines).encode()
    headers = running.headers | {"Content-Type": "application/x-ndjson"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=600)) as session:
        begun = perf_counter()
        async with session.post(f"{running.url}/batches", data=body) as answer:
            assert answer.status == 200, await answer.text()
            outcomes = (await answer.read()).splitlines()
        taken = perf_counter() - begun
    assert sum(json.loads(line).get("status") == "new" for line in outcomes) == BATCH
    return BATCH / taken


@dataclass(kw_only=True)
class Mailbox:
    """Takes every mail, and remembers when the first about each customer came."""

    port: int = 0
    arrived: dict[str, float] = field(default_factory=dict[str, float])
    _more: threading.Condition = field(default_factory=threading.Condition)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        name = re.search(rb"Customer \d+", content)
        assert name is not None
        with self._more:
            self.arrived.setdefault(name[0].decode(), perf_counter())
            self._more.notify_all()
        return "250 OK"

    def wait_for(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.arrived) >= count, timeout=120), len(self.arrived)


@contextmanager
def mailbox() -> Generator[Mailbox]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        box = Mailbox(port=probe.getsockname()[1])
    server = Controller(box, hostname=HOST, port=box.port)
    server.start()
    try:
        yield box
    finally:
        server.stop()


# --- webhooks ---


def webhooks() -> None:
    """Signing, posting and reading the answer, 32 at once, to a server that says 204."""
    best: dict[str, float] = {}
    with serving() as url:
        for name, post in [*POSTERS.items()] * ROUNDS:
            count = POSTS // 10 if name.startswith("httpx") else POSTS
            begun = perf_counter()
            post(url, count, AT_ONCE)
            best[name] = max(best.get(name, 0.0), count / (perf_counter() - begun))
    rows = [(name, f"{rate:,.0f}", f"{best['Relance'] / rate:.2f}") for name, rate in best.items()]
    show(f"Webhook POSTs/s, {AT_ONCE} at once", ("", "POST/s", "Relance is"), rows, command=COMMAND)


# --- ten endpoints, one of them dead ---


def ten_endpoints() -> None:
    """From the first upsert until nine endpoints have everything: all ten answer, or the tenth never does."""
    seconds = {dead: min(_nine_served(dead=dead) for _ in range(ROUNDS)) for dead in (False, True)}
    rows = [
        (name, f"{seconds[dead]:.2f}", f"{EVENTS * 9 / seconds[dead]:,.0f}", f"{seconds[dead] / seconds[False]:.2f}")
        for name, dead in (("ten answer", False), ("one never answers", True))
    ]
    title = f"{EVENTS} events to ten endpoints, from the upserts until nine have them all"
    show(title, ("", "seconds", "POST/s", "ratio"), rows, command=COMMAND)


def _nine_served(*, dead: bool) -> float:
    name, db = next(found := databases())
    assert name == "SQLite"
    try:
        with (
            TemporaryDirectory(prefix="relance-bench-") as folder,
            mailbox() as box,
            service(db, Path(folder), mail_port=box.port) as running,
        ):
            return asyncio.run(_served(running, dead=dead))
    finally:
        found.close()


async def _served(running: Service, *, dead: bool) -> float:
    received, all_there = Counter[int](), asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        place = int(request.match_info["place"])
        if dead and place == 9:
            await asyncio.sleep(3600)
        await request.read()
        received[place] += 1
        if all(received[live] >= EVENTS for live in range(9)):
            all_there.set()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{place}", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(headers=running.headers) as session:
        for place in range(10):
            asked = {"url": f"http://{HOST}:{port}/{place}", "types": ["recommendation.raised"]}
            async with session.post(f"{running.url}/subscriptions", json=asked) as answer:
                assert answer.status == 201, await answer.text()
        lines = "\n".join(json.dumps(customer(number)) for number in range(EVENTS)).encode()
        begun = perf_counter()
        async with session.post(
            f"{running.url}/batches", data=lines, headers={"Content-Type": "application/x-ndjson"}
        ) as answer:
            assert answer.status == 200, await answer.text()
        await asyncio.wait_for(all_there.wait(), 300)
        taken = perf_counter() - begun
    await runner.cleanup()
    return taken
