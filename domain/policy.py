"""What the company lays down for everyone's reminders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum

from domain.calendar import Span


class Late(StrEnum):
    """What a rule does with reminders that come in a crowd, as after a time without a worker."""

    SEND = "send"
    COLLAPSE = "collapse"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """`after`: with EXPIRE, how late is too late. Whatever is not too late collapses."""

    late: Late = Late.COLLAPSE
    after: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for everyone. `at_once`: more reminders than that for one person at one time become a digest.

    `catch_up`: by rule; `digest_at`: when digests come, by each person's clock, unless they chose otherwise.
    """

    at_once: int | None = 3
    digest_at: time = time(8)
    catch_up: Mapping[str, CatchUp] = field(default_factory=dict[str, CatchUp])
    otherwise: CatchUp = field(default_factory=CatchUp)

    def of(self, rule: str) -> CatchUp:
        return self.catch_up.get(rule, self.otherwise)
