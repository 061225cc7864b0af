"""What every notifier is: a line that is opened once and then takes messages, several at once."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from domain.delivery import Message, Receipt


class Line(Protocol):
    """An open way to the other side. After a failure the next message may be sent."""

    @property
    def width(self) -> int:
        """How many messages at once make sense. More wait for their turn."""
        ...

    async def send(self, message: Message) -> Receipt:
        """Raises `SendError`, which says what to do next."""
        ...


@runtime_checkable
class Updating(Line, Protocol):
    """A line that can change what it has sent."""

    async def update(self, message: Message) -> Receipt:
        """Raises `SendError`."""
        ...


class Notifier(Protocol):
    def open(self) -> AbstractAsyncContextManager[Line]:
        """`async with notifier.open() as line`. Opening never fails: what is wrong shows at the first `send`."""
        ...
