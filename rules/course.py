"""What a derived field is at every moment, as long as nobody writes: worked out once instead of at each of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from heapq import heappop, heappush
from typing import TypeAlias

from rules.model import Value

EXACT = Context(prec=4096)  # more digits than sums and products of what can be recorded have
Spell: TypeAlias = tuple[datetime, datetime, Value]
"""(from when on, until just before when, the value that a record adds)"""


@dataclass(frozen=True, slots=True)
class Course:
    """`values[n]` from `turns[n - 1]` on, until `turns[n]`. None: missing."""

    turns: Sequence[datetime]
    values: Sequence[Value | None]

    def at(self, now: datetime) -> Value | None:
        return self.values[bisect_right(self.turns, now)]


def course(way: str, spells: Sequence[Spell]) -> Course:
    """The sum, count, min, max or latest of the values whose spells cover each moment."""
    spells = [spell for spell in spells if spell[0] < spell[1]]
    return _extremes(spells, least=way == "min") if way in ("min", "max", "latest") else _sums(spells)


def _sums(spells: Sequence[Spell]) -> Course:
    steps: dict[datetime, Decimal] = {}
    for start, end, value in spells:
        assert isinstance(value, Decimal)
        steps[start] = EXACT.add(steps.get(start, Decimal(0)), value)
        steps[end] = EXACT.subtract(steps.get(end, Decimal(0)), value)
    turns = sorted(steps)
    values = [Decimal(0)]
    for turn in turns:
        values.append(EXACT.add(values[-1], steps[turn]))
    return Course(turns, values)


def _extremes(spells: Sequence[Spell], *, least: bool) -> Course:
    """The best of the running spells lies on top of a heap; one that is over goes when it comes to lie there."""
    ranks = {value: rank for rank, value in enumerate(sorted({v for _, _, v in spells}, reverse=not least))}  # pyright: ignore[reportArgumentType]
    turns = sorted({edge for start, end, _ in spells for edge in (start, end)})
    waiting = sorted(spells, key=lambda spell: spell[0], reverse=True)
    running: list[tuple[int, datetime, Value]] = []
    values: list[Value | None] = [None]
    for turn in turns:
        while waiting and waiting[-1][0] <= turn:
            _, end, value = waiting.pop()
            heappush(running, (ranks[value], end, value))  # pyright: ignore[reportArgumentType]
        while running and running[0][1] <= turn:
            heappop(running)  # pyright: ignore[reportArgumentType]
        values.append(running[0][2] if running else None)
    return Course(turns, values)
