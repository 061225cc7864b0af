"""The client's end of an open SMTP connection: requests go out, several at once, and answers come back in their order.

It knows nothing of mail. Whatever is no answer, or was not asked for, ends the connection: both sides would go on at
different places.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

ANSWER_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?\r?")
ANSWER_LIMIT_BYTES = 64 * 1024  # nobody has that much to say; it bounds what a hostile server can make us keep


QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


class Lost(Exception):
    """There will be no answer, and the connection is of no use any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    code: int
    text: str  # as the server wrote it, its lines joined by spaces


class Wire(asyncio.Protocol):
    """Takes over a transport on which nothing is being waited for."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._rest = b""  # of a line
        self._text = b""  # of an answer
        transport.set_protocol(self)

    @property
    def open(self) -> bool:
        return not self._transport.is_closing()

    def ask(self, requests: bytes, *, answers: int = 1) -> list[asyncio.Future[Answer]]:
        """Send what will be answered so many times. Raises `Lost`, and then not a byte has left."""
        if not self.open:
            raise Lost("the connection is gone")
        loop = asyncio.get_running_loop()
        asked = [loop.create_future() for _ in range(answers)]
        self._waiting.extend(asked)
        self._transport.write(requests)
        self._acknowledge_at_once()
        return asked

    def _acknowledge_at_once(self) -> None:
        """A server that answers one by one waits for our word on each: up to 40 ms, where nobody asks for less."""
        socket_ = self._transport.get_extra_info("socket")
        if QUICKACK is not None and socket_ is not None:
            socket_.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)  # lasts until the next pause

    async def answer(self, asked: asyncio.Future[Answer], *, timeout_s: float) -> Answer:
        """Raises `Lost`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asked
        except TimeoutError:
            self.drop(f"no answer within {timeout_s:g} s")
            raise Lost(f"no answer within {timeout_s:g} s") from None

    async def silence(self) -> None:
        """Until everything that was asked has been answered, or will not be."""
        if self._waiting:
            await asyncio.wait([self._waiting[-1]])

    def drop(self, why: str) -> None:
        """Give the connection up at once: what has not left yet never will."""
        self._transport.abort()
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.done():
                asked.set_exception(Lost(why))
                asked.exception()  # nobody may be there to retrieve it, and nobody has to

    def abandon(self, asked: Sequence[asyncio.Future[Answer]]) -> None:
        """Give the connection up, but not before what was asked earlier is answered."""
        earlier = [each for each in self._waiting if each not in asked]
        if earlier:
            earlier[-1].add_done_callback(lambda _: self.drop("the connection was given up"))
        else:
            self.drop("the connection was given up")

    async def goodbye(self, *, timeout_s: float) -> None:
        try:
            with suppress(Lost):
                (asked,) = self.ask(b"QUIT\r\n")
                await self.answer(asked, timeout_s=timeout_s)
        finally:
            self.drop("the connection was closed")

    # --- as asyncio calls them ---

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self.open:
                self._take(line)
        if self.open and len(self._rest) + len(self._text) > ANSWER_LIMIT_BYTES:
            self.drop("an answer without an end")

    def eof_received(self) -> None:
        self.drop("the server hung up")

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(f"connection lost: {exc}" if exc else "connection lost")

    def _take(self, line: bytes) -> None:
        match = ANSWER_LINE.fullmatch(line)
        if match is None or not self._waiting:
            self.drop(f"not an answer to anything: {line[:100].decode('ascii', 'replace')}")
            return
        code, separator, text = match.groups()
        self._text += b" " + (text or b"")
        if separator == b"-":
            return
        asked = self._waiting.popleft()
        if not asked.done():  # else whoever asked was cancelled
            asked.set_result(Answer(code=int(code), text=self._text.decode("utf-8", "replace")))
        self._text = b""
