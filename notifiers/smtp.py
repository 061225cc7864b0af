"""SMTP: many messages over one connection, one recipient each, and every failure known by its phase.

What a failure means depends on where it happened. Up to DATA nothing was handed over. Once the body has left, only an
answer tells: without one the message may have been taken.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPServerDisconnected

from domain.delivery import Message, Receipt, SendError
from notifiers.addresses import Address, Refusal, checked, deliverable

START_BODY = 354
OF_THE_SERVER = frozenset({421, 530})  # it is hanging up; it wants a login first: no message would fare better
GOODBYE_TIMEOUT_S = 5.0  # everything is sent by then; a slow goodbye is not worth waiting for
ANSWER_LIMIT = 200  # characters of a server's words that are kept


class Tls(StrEnum):
    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class Phase(StrEnum):
    CONNECT = "connect"
    STARTTLS = "starttls"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"


# A refusal here is about this message; in an earlier phase it would meet every message alike.
OF_THE_MESSAGE = frozenset({Phase.RCPT, Phase.DATA, Phase.BODY})


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over. `sender` is the bare address on the envelope; `timeout_s` bounds each step."""

    host: str
    port: int
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = Tls.STARTTLS
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        verdict = deliverable(self.sender)
        if isinstance(verdict, Refusal):
            raise ValueError(f"the sender of mails: {verdict.reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpNotifier:
    server: SmtpServer

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[SmtpLine]:
        """A line that connects at its first message, and again after its connection was dropped."""
        line = SmtpLine(self.server)
        try:
            yield line
        finally:
            await line.close()


class SmtpLine:
    """One conversation. After each message the connection is ready for the next one, or dropped."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._client = SMTP(
            hostname=server.host,
            port=server.port,
            timeout=server.timeout_s,
            use_tls=server.tls is Tls.IMPLICIT,
            start_tls=False,  # a phase of its own
        )
        self._phase = Phase.CONNECT

    async def send(self, message: Message) -> Receipt:
        """Hand over one message. Raises `SendError`."""
        recipient = checked(message.destination)
        in_step = False  # whether both sides agree on what comes next; a cancellation leaves that open
        try:
            receipt = await self._transact(recipient, message.body)
            in_step = True
            return receipt
        except SMTPResponseException as answer:
            error = self._refusal(answer)
            in_step = not error.server_down and await self._reset()
            raise error from None
        except (SMTPException, OSError, UnicodeError) as loss:  # UnicodeError: the host cannot be a name
            raise self._loss(loss) from None
        finally:
            if not in_step:
                self._client.close()

    async def check(self) -> None:
        """Connect and log in, and hand over nothing. Raises `SendError`."""
        try:
            await self._connect()
        except SMTPResponseException as answer:
            raise self._refusal(answer) from None
        except (SMTPException, OSError, UnicodeError) as loss:
            raise self._loss(loss) from None

    async def close(self) -> None:
        with suppress(SMTPException, OSError):
            if self._client.is_connected:
                await self._client.quit(timeout=min(GOODBYE_TIMEOUT_S, self._server.timeout_s))
        self._client.close()

    async def _transact(self, recipient: Address, body: bytes) -> Receipt:
        client = self._client
        if not client.is_connected:
            await self._connect()
        self._phase = Phase.MAIL
        await client.mail(self._server.sender)
        self._phase = Phase.RCPT
        await client.rcpt(recipient)
        self._phase = Phase.DATA
        answer = await client.execute_command(b"DATA")
        if answer.code != START_BODY:
            raise SMTPResponseException(*answer)
        if client.protocol is None:
            raise SMTPServerDisconnected("connection lost")
        # Not client.data(): that fails in the same way before the body and after it.
        protocol = client.protocol
        protocol.write(_on_the_wire(body))  # fails before a byte has left if the connection is gone
        self._phase = Phase.BODY
        answer = await protocol.read_response(timeout=self._server.timeout_s)
        if not 200 <= answer.code < 300:
            raise SMTPResponseException(*answer)
        return Receipt(code=answer.code, text=_in_short(answer.message))

    async def _connect(self) -> None:
        client, server = self._client, self._server
        self._phase = Phase.CONNECT
        await client.connect()
        if server.tls is Tls.STARTTLS:
            self._phase = Phase.STARTTLS
            await client.starttls()
        self._phase = Phase.EHLO
        await client.ehlo()
        if server.username is not None:
            self._phase = Phase.AUTH
            await client.login(server.username, server.password or "")

    async def _reset(self) -> bool:
        """Forget the refused message on the server's side. False if the server will not have it."""
        try:
            await self._client.rset()
        except (SMTPException, OSError):
            return False
        return True

    def _refusal(self, answer: SMTPResponseException) -> SendError:
        """The server answered, and it was not yes."""
        understood = 400 <= answer.code < 600
        about_the_message = understood and self._phase in OF_THE_MESSAGE and answer.code not in OF_THE_SERVER
        # A server may repeat what it was sent, and that is the password here.
        words = "" if self._phase is Phase.AUTH else f" {_in_short(answer.message)}"
        return SendError(
            f"{self._server.host}:{self._server.port} refused ({self._phase}): {answer.code}{words}",
            permanent=about_the_message and answer.code >= 500,
            uncertain=self._phase is Phase.BODY and not understood,
            server_down=not about_the_message,
            code=answer.code,
            phase=self._phase,
        )

    def _loss(self, loss: Exception) -> SendError:
        """There was no answer."""
        return SendError(
            f"{self._server.host}:{self._server.port} failed ({self._phase}): {_in_short(str(loss))}",
            uncertain=self._phase is Phase.BODY,
            server_down=True,
            phase=self._phase,
        )


def _on_the_wire(body: bytes) -> bytes:
    """Dots doubled, the end marked. A bare CR or LF would let a body end early and go on as another mail."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", body).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n.\r\n"


def _in_short(words: str) -> str:
    return " ".join(words.split())[:ANSWER_LIMIT]
