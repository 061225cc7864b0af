"""Ways to post a body many times, so many at once, to a server that says 204 to everything."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_network

import aiohttp
import httpx
import requests
from pydantic_core import to_json

from bench.sink import HOST, wait_for
from domain.event import Event, EventType
from domain.subscription import Signing
from notifiers.http import Outgoing
from notifiers.signing import Sealer
from notifiers.webhook import Endpoint

Poster = Callable[[str, int, int], None]
"""Called with the address, how often, and how many at once."""

BODY = b'{"type": "recommendation.raised", "timestamp": "2026-11-23T08:00:00+00:00", "data": {"text": "%s"}}' % (
    b"x" * 900
)
HEADERS = {"Content-Type": "application/json"}
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def serving() -> Generator[str]:
    """The address of a server in a process of its own."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    process.start()
    try:
        wait_for(port)
        yield f"http://{HOST}:{port}/hook"
    finally:
        process.terminate()
        process.join()


class _Says204(asyncio.Protocol):
    """Reads requests whose length is in their head, and keeps the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = bytes(received[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(received) < end + 4 + length:
                return
            del received[: end + 4 + length]
            self._transport.write(ANSWER)


def _serve(port: int) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Says204, HOST, port, backlog=100)
        await server.serve_forever()

    asyncio.run(forever())


def by_aiohttp(url: str, count: int, at_once: int) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            left = iter(range(count))

            async def work() -> None:
                for _ in left:
                    async with session.post(url, data=BODY) as answer:
                        await answer.read()

            await asyncio.gather(*(work() for _ in range(at_once)))

    asyncio.run(run())


def by_httpx(url: str, count: int, at_once: int) -> None:
    async def run() -> None:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        async with httpx.AsyncClient(headers=HEADERS, limits=limits) as client:
            left = iter(range(count))

            async def work() -> None:
                for _ in left:
                    await client.post(url, content=BODY)

            await asyncio.gather(*(work() for _ in range(at_once)))

    asyncio.run(run())


def by_requests(url: str, count: int, at_once: int) -> None:
    def work(times: int) -> None:
        with requests.Session() as session:
            for _ in range(times):
                session.post(url, data=BODY, headers=HEADERS, timeout=10)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, [count // at_once] * at_once))


def by_relance(url: str, count: int, at_once: int) -> None:
    """An event, wrapped and signed at each post; the answer judged and kept for the log."""
    now = datetime.now(UTC)
    sealer = Sealer(["a key for this bench only"])
    sign = sealer.opened(sealer.make(Signing.V1).secret)
    event = Event(id="evt_1", seq=1, type=EventType.RAISED, at=now, customer="K1", data={"text": "x" * 900})
    endpoint = Endpoint(
        url=url, signs=(sign,), content_type=HEADERS["Content-Type"], wrap=lambda e: to_json({"data": e.data})
    )

    async def run() -> None:
        async with Outgoing(allowed=(ip_network(f"{HOST}/32"),)).open() as http:
            left = iter(range(count))

            async def work() -> None:
                for _ in left:
                    attempt = await endpoint.post(http, event, now=now)
                    assert attempt.status == 204, attempt.error

            await asyncio.gather(*(work() for _ in range(at_once)))

    asyncio.run(run())


POSTERS: Mapping[str, Poster] = {
    "Relance": by_relance,
    "aiohttp, bare": by_aiohttp,
    "requests, in threads": by_requests,
    "httpx": by_httpx,
}
