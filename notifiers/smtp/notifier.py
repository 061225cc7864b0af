"""The SMTP notifier: mails over a few lanes at once, one recipient each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from domain.delivery import Message, Receipt, SendError
from notifiers.addresses import checked
from notifiers.mail_server import SmtpServer, Tls
from notifiers.smtp.failures import HANGS_UP, OPENING
from notifiers.smtp.lane import Lane, Letter

DEPTH = 2  # mails on one connection: one waits for its receipt while the next is being announced


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpNotifier:
    server: SmtpServer

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[SmtpLine]:
        """A line that connects at its first message, and again after a connection was dropped."""
        # One for all connections: reading the machine's certificates takes longer than many a mail.
        trust = None if self.server.tls is Tls.NONE else await asyncio.to_thread(ssl.create_default_context)
        line = SmtpLine(self.server, trust)
        try:
            yield line
        finally:
            await line.close()


class SmtpLine:
    """A few lanes to one server. A message takes the one with the fewest; among equals, one that is connected."""

    def __init__(self, server: SmtpServer, trust: ssl.SSLContext | None) -> None:
        self._server = server
        self._all = [Lane(server, trust) for _ in range(server.connections)]
        self._lanes = self._all  # those that the server puts up with

    @property
    def width(self) -> int:
        return DEPTH * len(self._lanes)

    async def send(self, message: Message) -> Receipt:
        """Hand over one message, beside others. Raises `SendError`."""
        letter = Letter(
            sender=checked(message.sender or self._server.sender),
            recipient=checked(message.destination),
            content=_with_line_ends(message.body),
        )
        while True:
            lane = min(self._lanes, key=Lane.rank)
            try:
                return await lane.send(letter)
            except SendError as failure:
                others = [other for other in self._lanes if other is not lane]
                too_many = failure.code == HANGS_UP and failure.phase in OPENING and any(o.in_use for o in others)
                if not too_many:
                    raise
                self._lanes = others

    async def check(self) -> None:
        """Connect and log in, and hand over nothing. Raises `SendError`."""
        await self._all[0].check()

    async def close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self._all))


def _with_line_ends(body: bytes) -> bytes:
    """CRLF throughout and at the end. A bare CR or LF would let a body end early and go on as another mail."""
    return b"\r\n".join((*body.splitlines(), b""))
