"""A subscriber as another company would write it: aiohttp to listen, `standardwebhooks` to verify, nothing of ours."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

STALL, DRIP, CUT = "stall", "drip", "cut"  # says nothing; says a little for ever; hangs up in the middle


@dataclass(frozen=True)
class Got:
    """A request that was verified."""

    id: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Subscriber:
    """Listens at `url`. `secrets`: one of them must have signed; without any, nothing is verified.

    `looks_at_the_clock`: what is older than five minutes, by the real clock, is refused, as receivers should.
    `script`: what the next requests are answered with instead of 200. `gate`: nothing is answered before it is set.
    """

    secrets: list[str] = field(default_factory=list[str])
    looks_at_the_clock: bool = True
    script: deque[Any] = field(default_factory=deque[Any])
    got: list[Got] = field(default_factory=list[Got])
    most_at_once: int = 0
    connections: set[Any] = field(default_factory=set[Any])
    gate: threading.Event | None = None
    url: str = ""
    _at_once: int = 0

    @property
    def ids(self) -> list[str]:
        return [got.id for got in self.got]

    def will(self, *answers: Any) -> None:
        """An answer is a status, (status, headers, body), STALL, DRIP or CUT."""
        self.script.extend(answers)

    @contextmanager
    def listening(self, tls: ssl.SSLContext | None = None) -> Generator[Subscriber]:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            started, ending = threading.Event(), asyncio.Event()
            thread = threading.Thread(target=runner.run, args=(self._listen(tls, started, ending),))
            thread.start()
            try:
                assert started.wait(10)
                yield self
            finally:
                if self.gate:
                    self.gate.set()
                runner.get_loop().call_soon_threadsafe(ending.set)
                thread.join()

    async def _listen(self, tls: ssl.SSLContext | None, started: threading.Event, ending: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/hook"
        started.set()
        await ending.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body, headers = await request.read(), dict(request.headers)
        if self.secrets:
            verified = [self._verified(secret, body, headers) for secret in self.secrets]
            assert any(verified), "nobody whom we know signed this"
        self.connections.add(request.transport)
        self.got.append(Got(id=request.headers["webhook-id"], headers=headers, body=body))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.gate:
                await asyncio.to_thread(self.gate.wait, 20)
            return await self._answered(request, self.script.popleft() if self.script else 200)
        finally:
            self._at_once -= 1

    async def _answered(self, request: web.Request, answer: Any) -> web.StreamResponse:
        match answer:
            case int():
                return web.Response(status=answer)
            case (status, headers, body):
                return web.Response(status=status, headers=headers, body=body)
            case "stall":
                await asyncio.Event().wait()
            case "drip":
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(b".")
                    await asyncio.sleep(0.05)
            case _:
                assert request.transport is not None
                request.transport.close()
        return web.Response()

    def _verified(self, secret: str, body: bytes, headers: dict[str, str]) -> bool:
        if not self.looks_at_the_clock:
            at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=UTC)
            signature = Webhook(secret).sign(headers["webhook-id"], at, body.decode())
            return signature in headers["webhook-signature"].split(" ")
        try:
            Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True
