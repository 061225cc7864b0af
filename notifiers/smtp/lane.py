"""A lane to a server: one connection after the other, and letters that take turns on it.

aiosmtplib opens a connection: TLS and its certificate, login. What follows is a conversation of our own, as aiosmtplib
waits for each answer, and fails in the same way before the body and after it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPServerDisconnected

from domain.delivery import Receipt, SendError
from notifiers.addresses import Address
from notifiers.mail_server import SmtpServer, Tls
from notifiers.smtp.failures import Phase, in_short, is_yes, refused, unanswered, unfit
from notifiers.smtp.wire import Answer, Lost, Wire

GOODBYE_TIMEOUT_S = 5.0  # everything is sent by then; a slow goodbye is not worth waiting for

Step: TypeAlias = tuple[Phase, bytes]  # a request, and what it is called if it fails


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as SMTP knows it. `content` has CRLF line ends, with one at the end."""

    sender: Address
    recipient: Address
    content: bytes


class Lane:
    """One connection after the other. After each message it is ready for the next one, or dropped.

    Letters take turns. A turn ends with the body, not with its answer, where the server takes several requests at once.
    """

    def __init__(self, server: SmtpServer, trust: ssl.SSLContext | None) -> None:
        self._server = server
        self._client = SMTP(
            hostname=server.host,
            port=server.port,
            timeout=server.timeout_s,
            use_tls=server.tls is Tls.IMPLICIT,
            start_tls=False,  # a phase of its own
            tls_context=trust,
        )
        self._turn = asyncio.Lock()
        self._load = 0  # letters here, waiting ones included
        self._wire: Wire | None = None
        self._announced: Mapping[str, str] = {}  # what the server says it can do
        self._taken = 0  # letters handed over on this connection
        self._tidy = True  # whether the server has nothing to forget
        self._closed_door: SendError | None = None  # the last failure to connect

    @property
    def connected(self) -> bool:
        return self._wire is not None and self._wire.open

    @property
    def in_use(self) -> bool:
        return self._load > 0 or self.connected

    def rank(self) -> tuple[int, bool]:
        return self._load, not self.connected

    async def send(self, letter: Letter) -> Receipt:
        """Raises `SendError`."""
        self._load += 1
        closed_door = self._closed_door
        try:
            async with self._turn:
                if self._closed_door is not None and self._closed_door is not closed_door:
                    raise self._closed_door  # found while this one waited: no need to knock again
                wire, asked = await self._hand_over(letter)
            return await self._receipt(wire, asked)
        finally:
            self._load -= 1

    async def check(self) -> None:
        """Connect and log in. Raises `SendError`."""
        async with self._turn:
            await self._ready()

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.goodbye(timeout_s=min(GOODBYE_TIMEOUT_S, self._server.timeout_s))
        self._client.close()

    async def _hand_over(self, letter: Letter) -> tuple[Wire, asyncio.Future[Answer]]:
        """Send a letter; what is left to do is to wait for its receipt."""
        if await self._ready():
            try:
                return await self._announce(letter)
            except SendError as failure:
                if not failure.server_down:
                    raise
            # The server was tired of that connection. Nothing has left on it, so a new one loses and doubles nothing.
            await self._connect()
        return await self._announce(letter)

    async def _ready(self) -> bool:
        """Be connected. True if that was so before, and the connection may have grown stale."""
        if (wire := self._wire) is not None:
            used_up = self._taken >= self._server.mails_per_connection
            if used_up or not self._at_once:
                await wire.silence()
            if used_up:
                await self.close()
            if wire.open:
                return True
        await self._connect()
        return False

    async def _connect(self) -> None:
        client, server = self._client, self._server
        self._wire, self._taken, self._tidy = None, 0, True
        client.close()
        phase = Phase.CONNECT
        try:
            await client.connect()
            phase = Phase.EHLO
            await client.ehlo()
            if server.tls is Tls.STARTTLS:
                phase = Phase.STARTTLS
                await client.starttls()
                phase = Phase.EHLO
                await client.ehlo()
            if server.username is not None:
                phase = Phase.AUTH
                await client.login(server.username, server.password or "")
            if client.transport is None:
                raise SMTPServerDisconnected("connection lost")
            self._announced = client.esmtp_extensions
            self._wire = Wire(cast(asyncio.Transport, client.transport))
        except SMTPResponseException as answer:
            self._closed_door = refused(server, answer.code, answer.message, phase)
            raise self._closed_door from None
        except (SMTPException, OSError, UnicodeError) as lost:  # UnicodeError: the host cannot be a name
            self._closed_door = unanswered(server, lost, phase)
            raise self._closed_door from None
        finally:
            if self._wire is None:
                client.close()

    @property
    def _at_once(self) -> bool:
        """Whether the server takes requests before it has answered the last."""
        return "pipelining" in self._announced

    async def _announce(self, letter: Letter) -> tuple[Wire, asyncio.Future[Answer]]:
        """Say what comes and, with nothing against it, send the body."""
        wire, steps = self._wire, self._steps(letter)
        assert wire is not None
        asked: list[asyncio.Future[Answer]] = []
        in_step = False  # whether both sides agree on what comes next; a cancellation leaves that open
        try:
            for group in [steps] if self._at_once else [[step] for step in steps]:
                asked = self._ask(wire, group)
                if refusal := await self._first_no(wire, group, asked):
                    in_step, self._tidy = not refusal.server_down and wire.open, False
                    raise refusal
            asked = self._ask(wire, [(Phase.DATA, _on_the_wire(letter.content))])
            self._taken, self._tidy, in_step = self._taken + 1, True, True
            return wire, asked[0]
        finally:
            if not in_step:
                self._wire = None
                wire.abandon(asked)

    def _steps(self, letter: Letter) -> list[Step]:
        """Raises a permanent `SendError` where the server has said that it takes no such letter."""
        parameters = self._parameters(letter.content)
        steps = [
            (Phase.MAIL, f"MAIL FROM:<{letter.sender}>{parameters}\r\n".encode("ascii")),
            (Phase.RCPT, f"RCPT TO:<{letter.recipient}>\r\n".encode("ascii")),
            (Phase.DATA, b"DATA\r\n"),
        ]
        return steps if self._tidy else [(Phase.RSET, b"RSET\r\n"), *steps]

    def _parameters(self, content: bytes) -> str:
        parameters = ""
        if (limit := self._announced.get("size")) is not None:
            most = int(limit[:18]) if limit.isdecimal() else 0  # 0: any size
            if 0 < most < len(content):
                raise unfit(self._server, f"a mail may have {most:,} bytes, this has {len(content):,}", Phase.SIZE)
            parameters += f" SIZE={len(content)}"
        head = content.partition(b"\r\n\r\n")[0]
        for phase, part, parameter in ((Phase.EIGHT_BIT, content, "BODY=8BITMIME"), (Phase.UTF8, head, "SMTPUTF8")):
            if part.isascii():
                continue
            if phase not in self._announced:
                raise unfit(self._server, f"it has letters beyond ASCII, and {phase.upper()} is not offered", phase)
            parameters += f" {parameter}"
        return parameters

    def _ask(self, wire: Wire, steps: Sequence[Step]) -> list[asyncio.Future[Answer]]:
        try:
            return wire.ask(b"".join(request for _, request in steps), answers=len(steps))
        except Lost as lost:
            raise unanswered(self._server, lost, steps[0][0]) from None

    async def _first_no(
        self, wire: Wire, steps: Sequence[Step], asked: Sequence[asyncio.Future[Answer]]
    ) -> SendError | None:
        """The first answer that is a no. All are read, unless the server hangs up."""
        refusal = None
        for (phase, _), each in zip(steps, asked, strict=True):
            try:
                answer = await wire.answer(each, timeout_s=self._server.timeout_s)
            except Lost as lost:
                return refusal or unanswered(self._server, lost, phase)
            if refusal and phase is Phase.DATA and is_yes(answer.code, phase):
                wire.drop("the server wants a mail that it has refused")  # even an empty one would be a mail
            elif refusal is None and not is_yes(answer.code, phase):
                refusal = refused(self._server, answer.code, answer.text, phase)
                if refusal.server_down:
                    break
        return refusal

    async def _receipt(self, wire: Wire, asked: asyncio.Future[Answer]) -> Receipt:
        try:
            answer = await wire.answer(asked, timeout_s=self._server.timeout_s)
        except Lost as lost:
            raise unanswered(self._server, lost, Phase.BODY) from None
        except asyncio.CancelledError:
            wire.drop("cancelled")
            raise
        if is_yes(answer.code, Phase.BODY):
            return Receipt(code=answer.code, text=in_short(answer.text))
        refusal = refused(self._server, answer.code, answer.text, Phase.BODY)
        if refusal.server_down:
            wire.drop("the server is hanging up, or out of step")
        raise refusal


def _on_the_wire(content: bytes) -> bytes:
    """Dots doubled, the end marked."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
