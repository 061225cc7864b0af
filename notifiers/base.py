"""What every notifier is: a line that is opened once and then takes one message after the other."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from domain.delivery import Message, Receipt


class Line(Protocol):
    """An open way to the other side. One message at a time; after a failure the next one may be sent."""

    async def send(self, message: Message) -> Receipt:
        """Raises `SendError`, which says what to do next."""
        ...


class Notifier(Protocol):
    def open(self) -> AbstractAsyncContextManager[Line]:
        """`async with notifier.open() as line`. Opening never fails: what is wrong shows at the first `send`."""
        ...
