"""A real SMTP server that misbehaves as it is told: at a step of the conversation, once or as often as listed."""

from __future__ import annotations

import asyncio
import base64
import itertools
import socket
import ssl
import struct
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeAlias


class Fault(Enum):
    """What a server can do instead of answering."""

    STALL = "stall"
    CLOSE = "close"
    RESET = "reset"
    TARPIT = "tarpit"  # an answer without an end, a line at a time
    HOLD_BACK = "hold back"  # its answer only together with the next one
    CLOSE_AFTER = "close after"  # hang up after the answer

    def __repr__(self) -> str:
        return self.value


Act: TypeAlias = Fault | bytes | tuple[bytes, ...]
"""bytes: to be sent instead of the answer. Several: in packets of their own."""

POLITE: Mapping[str, bytes] = {
    "connect": b"220 hello\r\n",
    "starttls": b"220 go on\r\n",
    "auth": b"235 welcome\r\n",
    "data": b"354 go ahead\r\n",
    "quit": b"221 bye\r\n",
}
OUT_OF_ORDER = b"503 not now\r\n"
TARPIT_PAUSE_S = 0.02


class HungUp(Exception):
    """The server has."""


@dataclass(frozen=True, kw_only=True)
class Mail:
    sender: str  # the whole argument of MAIL
    recipient: str
    content: bytes


@dataclass(kw_only=True)
class FaultyServer:
    """`script`: step -> what happens the first time it is reached, the second and so on; then it behaves.

    Steps: connect, ehlo, starttls, auth, rset, mail, rcpt, data, body (its first line came), dot, quit.
    `told`: for each connection the lines that arrived outside of bodies. `mails`: those that it said yes to.
    """

    script: Mapping[str, Iterable[Act]] = field(default_factory=dict[str, Iterable[Act]])
    offers: tuple[str, ...] = ("PIPELINING",)
    connections_at_most: int = 1_000  # more get a 421
    starttls: ssl.SSLContext | None = None
    implicit_tls: ssl.SSLContext | None = None
    told: list[list[str]] = field(default_factory=list[list[str]])
    mails: list[Mail] = field(default_factory=list[Mail])
    reached: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    open_now: int = 0

    def __post_init__(self) -> None:
        self._acts = {step: deque(acts) for step, acts in self.script.items()}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[int]:
        """Its port."""
        conversations: set[asyncio.Task[None]] = set()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            conversations.add(task)
            with suppress(asyncio.CancelledError):
                await Conversation(self, reader, writer).run()

        server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=self.implicit_tls)
        async with server:
            yield server.sockets[0].getsockname()[1]
            for conversation in conversations:
                conversation.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)

    async def reaches(self, step: str) -> None:
        await self.reached.setdefault(step, asyncio.Event()).wait()

    def act(self, step: str) -> Act | None:
        self.reached.setdefault(step, asyncio.Event()).set()
        acts = self._acts.get(step)
        return acts.popleft() if acts else None


class Conversation:
    def __init__(self, server: FaultyServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._encrypted = server.implicit_tls is not None
        self._told: list[str] = []
        self._held_back = b""
        self._hangs_up_next = False
        self._sender: str | None = None
        self._recipient: str | None = None

    async def run(self) -> None:
        server = self._server
        server.told.append(self._told)
        server.open_now += 1
        try:
            if server.open_now > server.connections_at_most:
                self._writer.write(b"421 too many connections\r\n")
            else:
                await self._greet_and_obey()
        except (HungUp, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            server.open_now -= 1
            self._writer.close()
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await self._writer.wait_closed()

    async def _greet_and_obey(self) -> None:
        await self._answer("connect")
        while not self._hangs_up_next and (line := (await self._reader.readline()).decode()):
            self._told.append(line.rstrip())
            verb, _, argument = line.rstrip().partition(" ")
            await getattr(self, f"_{verb.lower()}")(argument)

    async def _answer(self, step: str, answer: bytes | None = None) -> bool:
        """Whether it was a yes: only then did the server note what it was told."""
        act = self._server.act(step)
        said = answer or POLITE.get(step, b"250 OK\r\n")
        if isinstance(act, Fault):
            await self._misbehave(act, said)
            return True
        packets = (said,) if act is None else (act,) if isinstance(act, bytes) else act
        for packet in packets:
            await self._say(packet)
        if packets[0].startswith(b"421"):
            raise HungUp
        return packets[0][:1] in b"23"

    async def _misbehave(self, fault: Fault, answer: bytes) -> None:
        match fault:
            case Fault.STALL:
                await self._reader.read()  # until the other side gives up
            case Fault.CLOSE:
                pass
            case Fault.RESET:
                linger = struct.pack("ii", 1, 0)
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._writer.transport.abort()
            case Fault.TARPIT:
                for character in itertools.cycle(answer[:3].decode() + "-slowly\r\n"):
                    await self._say(character.encode())
                    await asyncio.sleep(TARPIT_PAUSE_S)
            case Fault.HOLD_BACK:
                self._held_back += answer
                return
            case Fault.CLOSE_AFTER:
                await self._say(answer)
                self._hangs_up_next = True
                return
        raise HungUp

    async def _say(self, packet: bytes) -> None:
        self._writer.write(self._held_back + packet)
        self._held_back = b""
        await self._writer.drain()
        await asyncio.sleep(0)  # so that the next one is a packet of its own

    # --- one for each verb ---

    async def _ehlo(self, _argument: str) -> None:
        offers = ["faulty", *self._server.offers, "AUTH PLAIN"]
        if self._server.starttls and not self._encrypted:
            offers.append("STARTTLS")
        *lines, last = offers
        await self._answer("ehlo", "".join(f"250-{line}\r\n" for line in lines).encode() + f"250 {last}\r\n".encode())

    async def _starttls(self, _argument: str) -> None:
        assert self._server.starttls is not None
        if await self._answer("starttls"):
            await self._writer.start_tls(self._server.starttls)
            self._encrypted = True

    async def _auth(self, argument: str) -> None:
        self._told[-1] = f"AUTH {base64.b64decode(argument.split()[1]).decode()}"
        await self._answer("auth")

    async def _rset(self, _argument: str) -> None:
        if await self._answer("rset"):
            self._sender = self._recipient = None

    async def _mail(self, argument: str) -> None:
        if self._sender is not None:
            await self._say(OUT_OF_ORDER)
        elif await self._answer("mail"):
            self._sender = argument.removeprefix("FROM:")

    async def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            await self._say(OUT_OF_ORDER)
        elif await self._answer("rcpt"):
            self._recipient = argument.removeprefix("TO:<").removesuffix(">")

    async def _data(self, _argument: str) -> None:
        if self._recipient is None and "data" not in self._server.script:
            await self._say(OUT_OF_ORDER)
        elif await self._answer("data"):
            await self._body()

    async def _body(self) -> None:
        lines = [await self._reader.readuntil(b"\n")]
        if isinstance(act := self._server.act("body"), Fault):
            await self._misbehave(act, b"")
        while lines[-1] != b".\r\n":
            lines.append(await self._reader.readuntil(b"\n"))
        mail = Mail(
            sender=self._sender or "",
            recipient=self._recipient or "",
            content=b"".join(line.removeprefix(b".") for line in lines[:-1]),
        )
        self._sender = self._recipient = None
        if await self._answer("dot"):
            self._server.mails.append(mail)

    async def _quit(self, _argument: str) -> None:
        await self._answer("quit")
        raise HungUp


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def certificate(folder: Path, *, name: str = "IP:127.0.0.1", days: int = 2) -> Certificate:
    """A self-signed one. `days`: how long it is valid; -1: it is no longer."""
    request, made = folder / "request.pem", Certificate(file=folder / "cert.pem", key=folder / "key.pem")
    new = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=relance", "-addext", f"subjectAltName={name}"]
    subprocess.run([*new, *names, "-keyout", made.key, "-out", request], check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-in", request, "-signkey", made.key, "-days", str(days)]
    subprocess.run([*sign, "-copy_extensions", "copy", "-out", made.file], check=True, capture_output=True)
    return made
