"""Who is told what happens as it happens: figures and traces are made of it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

Facts: TypeAlias = dict[str, str | int]
"""What is said of something that takes its time, by name. More may be said until it ends."""


class Watch:
    """Everything that works tells one of these. This one forgets it at once."""

    def ticked(self) -> None:
        """A worker looks for customers that are due."""

    def evaluated(self, *, decided: int, failed: int) -> None:
        """So many customers were decided about, and so many could not be."""

    def sent(self, channel: str, outcome: str) -> None:
        """One attempt to send: `sent`, `retried`, `failed` or `unknown`."""

    def posted(self, outcome: str) -> None:
        """One attempt to post to a subscriber, by what came of it."""

    def answered(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """A request was answered. `route`: its path with names instead of values, as "/r/{token}"."""

    def span(self, name: str, *, traces: Collection[str] = ()) -> AbstractContextManager[Facts]:
        """Something that takes its time, for the length of the block. `traces`: the ids of what it belongs to."""
        return nullcontext({})


UNWATCHED = Watch()
