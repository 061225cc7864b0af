"""A real SMTP server in a thread, with the moods that real ones have."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


@dataclass(kw_only=True)
class PostOffice:
    """Keeps what arrives, as (recipient, bytes). `refuses`: what some recipients are answered instead of 250."""

    port: int = field(default_factory=free_port)
    mails: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    senders: list[str] = field(default_factory=list[str])  # of the envelopes
    refuses: dict[str, str] = field(default_factory=dict[str, str])
    hangs_up_after_the_dot: bool = False
    _server: Controller | None = None

    @contextmanager
    def open(self) -> Generator[None]:
        self.opens()
        try:
            yield
        finally:
            self.closes()

    def opens(self) -> None:
        self._server = Controller(self, hostname=LOOPBACK, port=self.port)
        self._server.start()

    def closes(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    # --- named as aiosmtpd calls them ---

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append((envelope.rcpt_tos[0], content))
        self.senders.append(envelope.mail_from or "")
        if self.hangs_up_after_the_dot:
            assert server.transport is not None
            server.transport.close()
        return "250 OK"
