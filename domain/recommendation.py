"""A recommendation, its episode, and the pure transitions between its states.

An episode begins when a rule becomes true for a subject and ends when it stops being true. While it lasts
there is one recommendation, whatever people do with it: done and dismissed keep the same episode quiet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from domain.record import RecordRef

Key: TypeAlias = tuple[str, RecordRef]
"""(rule id, subject): at most one episode of it is running at a time."""


class Verdict(StrEnum):
    """What a recommendation says of the customer's standing."""

    WIN = "win"
    HOLD = "hold"
    LET_GO = "let go"


class State(StrEnum):
    OPEN = "open"
    DONE = "done"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"  # the episode ended by itself


class Act(StrEnum):
    """What a person does with a recommendation."""

    DONE = "done"
    ACCEPT = "accept"  # take the next best action
    DISMISS = "dismiss"
    SNOOZE = "snooze"
    REOPEN = "reopen"


class NotOpen(Exception):
    """The recommendation is no longer open: a person or the end of its episode closed it."""

    def __init__(self, recommendation: Recommendation) -> None:
        super().__init__(f"recommendation {recommendation.id} is {recommendation.state}")
        self.recommendation = recommendation


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a rule says about one subject at one moment, and to whom."""

    recommend: Verdict
    say: str
    do: str | None
    instead: tuple[str, ...] = ()
    worth: Decimal | None
    due: date | None
    to: tuple[str, ...]
    """Ids of people; an e-mail address or `team NAME` where no such person is known."""
    held_back_by: tuple[str, ...] = ()
    """Ids of the rules that hold this back: it is open, but nobody is reminded."""
    tags: tuple[str, ...] = ()
    """The rule's."""
    team: str | None = None
    """The team of whoever looks after the subject."""
    product: str | None = None
    """What the subject is about: its product, or itself where it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A rule is true for a subject."""

    rule: str
    subject: RecordRef

    @property
    def key(self) -> Key:
        return (self.rule, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One rule about one subject, for as long as one episode lasts."""

    id: str
    dossier: str
    rule: str
    rule_version: int
    subject: RecordRef
    opened_at: datetime
    advice: Advice
    state: State = State.OPEN
    snoozed_until: datetime | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    note: str | None = None
    ended_at: datetime | None = None
    """When the rule stopped being true; None while the episode runs."""
    missed: bool = False
    """The episode came and went between two evaluations: recorded, but nobody was told."""

    @property
    def key(self) -> Key:
        return (self.rule, self.subject)

    def done(self, *, by: str, at: datetime, note: str | None = None) -> Recommendation:
        return self._close(State.DONE, by=by, at=at, note=note)

    def dismiss(self, *, by: str, at: datetime, reason: str) -> Recommendation:
        """Not relevant, and why. Raises ValueError without a reason."""
        if not reason.strip():
            raise ValueError("a dismissal needs a reason")
        return self._close(State.DISMISSED, by=by, at=at, note=reason.strip())

    def is_snoozed(self, now: datetime) -> bool:
        """Somebody hid it until later."""
        return self.snoozed_until is not None and self.snoozed_until > now

    def snooze(self, *, until: datetime, at: datetime) -> Recommendation:
        """Hide until a moment. Raises `NotOpen` once the episode or a person has ended it."""
        self._require_open()
        return replace(self, snoozed_until=max(until, at))

    def reopen(self) -> Recommendation:
        """Take back what a person did. Raises ValueError where nobody did anything, or the episode is over."""
        if self.state not in (State.DONE, State.DISMISSED) or self.ended_at is not None:
            raise ValueError(f"recommendation {self.id} is {self.state} and cannot be opened again")
        return replace(self, state=State.OPEN, closed_at=None, closed_by=None, note=None)

    def end(self, *, at: datetime) -> Recommendation:
        """The rule is no longer true: the episode is over, and an open recommendation with it."""
        if self.state is State.OPEN:
            return replace(self, state=State.RESOLVED, closed_at=at, ended_at=at)
        return replace(self, ended_at=at)

    def _close(self, state: State, *, by: str, at: datetime, note: str | None) -> Recommendation:
        self._require_open()
        return replace(self, state=state, closed_at=at, closed_by=by, note=note, snoozed_until=None)

    def _require_open(self) -> None:
        if self.state is not State.OPEN:
            raise NotOpen(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What must change so that exactly the wanted recommendations have a running episode."""

    raised: Sequence[Match] = field(default_factory=list[Match])
    kept: Sequence[Recommendation] = field(default_factory=list[Recommendation])
    ended: Sequence[Recommendation] = field(default_factory=list[Recommendation])


def reconcile(*, wanted: Collection[Match], running: Collection[Recommendation]) -> Changes:
    """Wanted matches against running episodes. Pure and idempotent: late, twice or on two machines, same outcome."""
    by_key = {r.key: r for r in running}
    wanted_by_key = {m.key: m for m in wanted}
    return Changes(
        raised=[m for key, m in wanted_by_key.items() if key not in by_key],
        kept=[r for key, r in by_key.items() if key in wanted_by_key],
        ended=[r for key, r in by_key.items() if key not in wanted_by_key],
    )


def recommendation_id(*, dossier: str, match: Match, opened_at: datetime) -> str:
    """The same episode has the same id on every machine and in every replay."""
    parts = (dossier, match.rule, match.subject.kind, match.subject.id, opened_at.isoformat())
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]
