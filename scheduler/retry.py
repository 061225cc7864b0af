"""When a failed delivery is tried again. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

# Growing delays: short outages cost minutes, and a server that is away over a long weekend loses nothing.
DELAYS = tuple(
    timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 2 * 60, 4 * 60, 8 * 60, 12 * 60, 12 * 60, 24 * 60, 24 * 60)
)


def next_attempt(attempts: int, *, now: datetime) -> datetime | None:
    """The moment of the next try after `attempts` (from 1) have failed; None: every retry is used up."""
    return now + DELAYS[attempts - 1] if 0 < attempts <= len(DELAYS) else None
