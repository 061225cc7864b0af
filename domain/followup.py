"""What is still to come of an open recommendation: further reminders, and the steps of its escalation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FollowUpKind(StrEnum):
    REPEAT = "repeat"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFollowUp:
    """`step` counts from 1: the second reminder is the first repeat."""

    recommendation: str
    kind: FollowUpKind
    step: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp(NewFollowUp):
    """One that is stored."""

    id: int
