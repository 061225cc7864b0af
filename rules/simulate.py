"""What an uninterrupted run would do if nobody wrote or acted, jumping from flip to flip, and whom it would reach."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from domain.person import People
from domain.recommendation import Match
from domain.record import Dossier, Timeline
from rules.rule import Reach
from rules.rulebase import NOBODY, Decision, RuleBase

Row = TypeVar("Row", bound=Hashable)


class Happening(StrEnum):
    OPEN = "open"  # at the beginning
    RAISED = "raised"
    RESOLVED = "resolved"
    REMINDED = "reminded"  # it was open, and somebody hears of it only now: what held it back has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happens to a recommendation. `reach`: if it is not live, what would happen if it were.

    `to`: whom it speaks to, ids of people and bare addresses; of `REMINDED` those who had not heard of it.
    """

    at: datetime
    day: date  # in the office that reads the customer's rules
    event: Happening
    dossier: str
    match: Match
    reach: Reach
    to: tuple[str, ...]
    held_back_by: tuple[str, ...] = ()

    @property
    def reminds(self) -> tuple[str, ...]:
        """Who is sent a reminder at this moment. What is open at the beginning was sent before."""
        heard = self.event in (Happening.RAISED, Happening.REMINDED) and not self.held_back_by
        return self.to if heard else ()


def simulate(
    rulebase: RuleBase, dossier: Dossier, *, since: datetime, until: datetime, people: People = NOBODY
) -> Iterator[Event]:
    """What is raised and resolved in order of time; what is open at `since` comes first, as raised then.

    Raises `Undecidable`.
    """
    for event in foresee(rulebase, dossier, since=since, until=until, people=people):
        if event.event is not Happening.REMINDED:
            yield replace(event, event=Happening.RAISED) if event.event is Happening.OPEN else event


def foresee(
    rulebase: RuleBase,
    dossier: Dossier,
    *,
    since: datetime,
    until: datetime,
    people: People = NOBODY,
    nobody: str | None = None,
) -> Iterator[Event]:
    """Events in order of time, `until` included. `nobody`: who gets what belongs to nobody. Raises `Undecidable`."""
    running: dict[Match, tuple[Event, set[str]]] = {}  # how it began, and who has heard of it
    for decision in rulebase.replay(Timeline(dossier=dossier), since=since, until=until, people=people):
        day = decision.facts.at.today
        for match in sorted(running.keys() - set(decision.matches), key=lambda m: m.key):
            began, _ = running.pop(match)
            yield replace(began, at=decision.now, day=day, event=Happening.RESOLVED, held_back_by=())
        for wanted in _wanted(rulebase, decision, nobody):
            began, heard = running.setdefault(wanted.match, (wanted, set[str]()))
            late = tuple(who for who in wanted.to if who not in heard)
            if began is wanted:
                yield replace(wanted, event=Happening.OPEN) if decision.now == since else wanted
            elif late and not wanted.held_back_by:
                yield replace(wanted, event=Happening.REMINDED, to=late)
            if not wanted.held_back_by:
                heard.update(late)


def _wanted(rulebase: RuleBase, decision: Decision, nobody: str | None) -> Iterator[Event]:
    """What holds at one moment, as if it were raised then."""
    held = rulebase.held_back(decision.matches, decision.limited)
    for match in decision.matches:
        named = rulebase.recipients(match, decision.facts)
        addressees = decision.facts.people.addressees(named, nobody=nobody)
        yield Event(
            at=decision.now,
            day=decision.facts.at.today,
            event=Happening.RAISED,
            dossier=decision.dossier,
            match=match,
            reach=decision.limited.get(match, Reach.LIVE),
            to=tuple(who for who, _ in addressees),
            held_back_by=held.get(match, ()),
        )


# --- many customers ---


class Cell(NamedTuple):
    """What figures are kept for. `day` is None for what is open at the beginning."""

    day: date | None
    rule: str
    reach: Reach
    person: str | None


Figures = Counter[str]
"""How many were `open` at the beginning, `raised`, `resolved`; how many `reminders` are sent; of what was raised, how
much is `held_back` from its people, and how much is `unaddressed`: has nobody to be sent to."""


@dataclass(slots=True, kw_only=True)
class Outlook:
    """What many customers' events add up to; its size is that of days, rules and people, not of customers.

    A recommendation that speaks to two people counts once in `events`, and for each of them in `shares`.
    """

    events: dict[Cell, Figures] = field(default_factory=lambda: defaultdict[Cell, Figures](Counter))
    shares: dict[Cell, Figures] = field(default_factory=lambda: defaultdict[Cell, Figures](Counter))

    def add(self, event: Event) -> None:
        day = None if event.event is Happening.OPEN else event.day
        cell = Cell(day=day, rule=event.match.rule, reach=event.reach, person=None)
        figures = _figures(event)
        self.events[cell].update(figures, reminders=len(event.reminds))
        for person in event.to or (None,):
            self.shares[cell._replace(person=person)].update(figures, reminders=int(person in event.reminds))


def _figures(event: Event) -> Mapping[str, int]:
    match event.event:
        case Happening.RAISED:
            held = bool(event.held_back_by)
            return {"raised": 1, "held_back": int(held), "unaddressed": int(not held and not event.to)}
        case Happening.REMINDED:
            return {}
        case other:
            return {other.value: 1}


def summed(cells: Mapping[Cell, Figures], row: Callable[[Cell], Row]) -> dict[Row, Figures]:
    """The figures of all cells that belong into the same row."""
    rows: dict[Row, Figures] = {}
    for cell, figures in cells.items():
        rows.setdefault(row(cell), Figures()).update(figures)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminders:
    """How many reminders are sent to how many people, in all and on the day with the most (the first of several)."""

    count: int
    people: int
    busiest: date | None = None
    on_busiest: Reminders | None = None


def reminders(shares: Mapping[Cell, Figures], row: Callable[[Cell], Row]) -> dict[Row, Reminders]:
    """The reminders of each row, from an outlook's `shares`. A row without any has a count of 0."""
    of_row: dict[Row, dict[Cell, Figures]] = {}
    for cell, figures in shares.items():
        of_row.setdefault(row(cell), {})[cell] = figures
    return {key: _reminders(cells) for key, cells in of_row.items()}


def _reminders(cells: Mapping[Cell, Figures]) -> Reminders:
    sent = {cell: figures["reminders"] for cell, figures in cells.items() if figures["reminders"]}
    per_day = Counter[date]()
    for cell, count in sent.items():
        per_day[cell.day or date.min] += count  # none is sent at the beginning
    if not per_day:
        return Reminders(count=0, people=0)
    busiest = min(per_day, key=lambda day: (-per_day[day], day))
    then = {cell.person for cell in sent if cell.day == busiest}
    return Reminders(
        count=per_day.total(),
        people=len({cell.person for cell in sent}),
        busiest=busiest,
        on_busiest=Reminders(count=per_day[busiest], people=len(then)),
    )
