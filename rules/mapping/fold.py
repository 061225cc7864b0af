"""Many rows into one record: what is held of each field, and what the rows contradict each other in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rules.model import Value

CONFLICT_VALUES_LIMIT = 10  # distinct values shown of one conflict; keeps a record in the making small


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """`keep(held, new)` gives the value to hold. `adds`: rows add up, so they cannot contradict each other."""

    keep: Callable[[Any, Any], Any]
    adds: bool = False


FOLDS: Mapping[str, Fold] = {
    "first": Fold(keep=lambda held, _: held),
    "last": Fold(keep=lambda _, new: new),
    "min": Fold(keep=min),
    "max": Fold(keep=max),
    "sum": Fold(keep=Decimal.__add__, adds=True),
    "count": Fold(keep=Decimal.__add__, adds=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Rows that say different things of one field. `lines`: the first line of each value, in order."""

    field: str
    lines: Mapping[Value, int]
    kept: Value
    how: str


@dataclass(slots=True, kw_only=True)
class Making:
    """One record in the making: its values so far, not its rows."""

    values: dict[str, Value] = field(default_factory=dict[str, Value])
    lines: dict[str, int] = field(default_factory=dict[str, int])
    contradicted: dict[str, dict[Value, int]] = field(default_factory=dict[str, dict[Value, int]])

    def add(
        self, values: Mapping[str, Value], *, line: int, how: Mapping[str, str], may_differ: Collection[str]
    ) -> None:
        for name, new in values.items():
            if name not in self.values:
                self.values[name], self.lines[name] = new, line
                continue
            held = self.values[name]
            fold = FOLDS[how.get(name, "first")]
            self.values[name] = fold.keep(held, new)
            if not fold.adds and name not in may_differ and (name in self.contradicted or new != held):
                seen = self.contradicted.setdefault(name, {held: self.lines[name]})
                if len(seen) < CONFLICT_VALUES_LIMIT:
                    seen.setdefault(new, line)

    def conflicts(self, how: Mapping[str, str]) -> list[Conflict]:
        return [
            Conflict(field=name, lines=lines, kept=self.values[name], how=how.get(name, "first"))
            for name, lines in self.contradicted.items()
        ]
