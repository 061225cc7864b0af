"""How long what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how many days; None: for ever. `records` by their kind, from when they were last written."""

    webhook_attempts: int | None = 30
    events: int | None = 90
    bodies: int | None = 90
    history: int | None = None
    recommendations: int | None = None
    records: Mapping[str, int] = field(default_factory=dict[str, int])
