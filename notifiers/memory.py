"""A notifier that keeps what it is given: for tests, and for trying rules without a mail server."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from domain.delivery import Message, Receipt, SendError
from notifiers.addresses import checked


@dataclass(slots=True)
class MemoryNotifier:
    """`sent` holds what was taken, in order. It is its own line, as wide as one says."""

    sent: list[Message] = field(default_factory=list[Message])
    width: int = 1
    _failures: deque[SendError] = field(default_factory=deque[SendError])

    def fail(self, error: SendError, *, times: int = 1) -> None:
        """The next `times` messages meet this error instead of being taken."""
        self._failures.extend([error] * times)

    def sent_to(self, destination: str) -> list[Message]:
        return [message for message in self.sent if message.destination == destination]

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[MemoryNotifier]:
        yield self

    async def send(self, message: Message) -> Receipt:
        checked(message.destination)
        if self._failures:
            raise self._failures.popleft()
        self.sent.append(message)
        return Receipt(code=250, text="kept in memory")
