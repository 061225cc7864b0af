"""What an uninterrupted run would do if nobody wrote or acted, jumping from flip to flip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain.person import People
from domain.recommendation import Match
from domain.record import Dossier, Timeline
from rules.rulebase import NOBODY, RuleBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A recommendation begins or ends."""

    at: datetime
    event: Literal["raised", "resolved"]
    dossier: str
    match: Match


def simulate(
    rulebase: RuleBase, dossier: Dossier, *, since: datetime, until: datetime, people: People = NOBODY
) -> Iterator[Event]:
    """Events in order of time, `until` included; what is open at `since` comes first, as raised then.

    Raises `Undecidable`.
    """
    open_: set[Match] = set()
    for decision in rulebase.replay(Timeline(dossier=dossier), since=since, until=until, people=people):
        wanted = set(decision.matches)
        for match in sorted(open_ - wanted, key=lambda m: m.key):
            yield Event(at=decision.now, event="resolved", dossier=dossier.id, match=match)
        for match in sorted(wanted - open_, key=lambda m: m.key):
            yield Event(at=decision.now, event="raised", dossier=dossier.id, match=match)
        open_ = wanted
