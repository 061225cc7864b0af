"""Changes of what is stored, decided from what was, under its lock, and only if their condition holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeAlias, TypeVar

TAG_CHARACTERS = 32

Name = TypeVar("Name")
State = TypeVar("State")
Done = TypeVar("Done")

Condition: TypeAlias = Callable[[str | None], bool]
"""Whether a change may be made, by the tag of what is stored; None: nothing is."""


def always(_tag: str | None) -> bool:
    return True


class Outcome(StrEnum):
    """What a write did."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    CONFLICT = "conflict"  # its condition did not hold: nothing was written

    @classmethod
    def of(cls, before: object | None, after: object | None) -> Outcome:
        if before == after:
            return cls.UNCHANGED
        if before is None:
            return cls.NEW
        return cls.DELETED if after is None else cls.CHANGED


class Result(NamedTuple, Generic[State]):
    """What a change did, and what is stored now."""

    outcome: Outcome
    stored: State | None


@dataclass(frozen=True, kw_only=True)  # without slots, which a generic class of Python 3.11 cannot have when frozen
class Change(Generic[Name, State]):
    """What becomes of what has a name. `after` gives what is stored then, from what was; None: nothing.

    `needs_one`: where nothing is stored, it is a conflict.
    """

    name: Name
    after: Callable[[State | None], State | None]
    condition: Condition = always
    needs_one: bool = False

    def made(self, states: dict[Name, State | None], tag: Callable[[State], str]) -> Result[State]:
        """Make it among these states. `tag` names exactly what is stored."""
        before = states[self.name]
        missing = self.needs_one and before is None
        # A tag is worked out only where it is asked for: imports change records by the thousand.
        if missing or (self.condition is not always and not self.condition(None if before is None else tag(before))):
            return Result(Outcome.CONFLICT, before)
        after = states[self.name] = self.after(before)
        return Result(Outcome.of(before, after), after)


class Overtaken(Exception):
    """Another writer created just now what was to be created: look again."""


def unless_overtaken(attempt: Callable[[], Done]) -> Done:
    """What comes of an attempt in a transaction of its own; it is made again as often as it is overtaken."""
    while True:
        try:
            return attempt()
        except Overtaken:
            continue
