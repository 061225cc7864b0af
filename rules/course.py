"""What rules and derived fields say at every moment, as long as nobody writes: worked out once for all moments."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from heapq import heappop, heappush
from typing import TypeAlias, TypeVar

from rules.model import Value

EXACT = Context(prec=4096)  # more digits than sums and products of what can be recorded have
QUOTIENT = Context(prec=28, rounding=ROUND_HALF_EVEN)
T = TypeVar("T", int, datetime)
Related: TypeAlias = tuple[Sequence[tuple[T, T]], Callable[[int], bool]]
"""(for each related record from when up to when it counts, whether so many are as a rule wants it)"""
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


def meet(now: T, start: T, end: T, related: Sequence[Related[T]]) -> tuple[bool, T | None]:
    """(whether a rule holds now, when time alone changes that; None: never)

    It holds from `start` up to `end`, wherever the records of each relation that count are as many as it wants.
    """
    lasting = [([span for span in spans if now < span[1]], fits) for spans, fits in related]
    if not any(spans for spans, _ in lasting):
        if not all(fits(0) for _, fits in lasting):
            return False, None
        return start <= now, end if start <= now else start

    def holds(at: T) -> bool:
        return start <= at < end and all(fits(sum(s <= at < e for s, e in spans)) for spans, fits in lasting)

    truth = holds(now)
    edges = {start, end, *(edge for spans, _ in lasting for span in spans for edge in span)}
    return truth, next((edge for edge in sorted(edges) if now < edge and holds(edge) is not truth), None)
