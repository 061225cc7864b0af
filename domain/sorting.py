"""What becomes of a delivery when its time has come: the fates that wishes and policies choose from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from domain.delivery import Channel, HeldBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Now, on this way."""

    delivery: int
    channel: Channel
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Asked again then: the person is not to be disturbed before."""

    delivery: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Named in the person's digest, a mail, of the first of these moments whose digest has not gone out yet."""

    delivery: int
    recommendation: str
    person: str
    destination: str  # the person's e-mail address
    windows: tuple[datetime, ...]
    why: HeldBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Not at all; the reason stays with the delivery."""

    delivery: int
    reason: str


Fate: TypeAlias = Send | Wait | Gather | Drop
