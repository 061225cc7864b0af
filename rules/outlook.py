"""What an outlook comes to, as tables: for each day, rule and person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from domain.person import People
from rules.simulate import Figures, Outlook, Reminders, reminders, summed

COUNTED = ("raised", "resolved", "reminders", "held_back", "unaddressed")
BUSIEST = ("busiest_day", "busiest_day_reminders")

Row: TypeAlias = dict[str, Any]
Key = TypeVar("Key", bound=tuple[object, ...])


def per_day(outlook: Outlook) -> Iterator[Row]:
    rows = summed(outlook.events, lambda cell: (cell.day, cell.reach))
    for (day, reach), figures in _in_order(rows):
        if day is not None:
            yield {"day": day, "reach": reach, **_counted(figures)}


def per_rule(outlook: Outlook) -> Iterator[Row]:
    rows = summed(outlook.events, lambda cell: (cell.rule, cell.reach))
    sent = reminders(outlook.shares, lambda cell: (cell.rule, cell.reach))
    for row, figures in _in_order(rows):
        rule, reach = row
        counts = {"open": figures["open"], **_counted(figures), "people": sent[row].people}
        yield {"rule": rule, "reach": reach, **counts, **_busiest(sent[row])}


def per_person(outlook: Outlook, people: People) -> Iterator[Row]:
    rows = summed(outlook.shares, lambda cell: (cell.person, cell.reach))
    sent = reminders(outlook.shares, lambda cell: (cell.person, cell.reach))
    for row, figures in _in_order(rows):
        id_, reach = row
        person = people.get(id_)
        counts = {"open": figures["open"], **_counted(figures)}
        named = {"person": id_, "name": person.name if person else None}
        yield {**named, "reach": reach, **counts, **_busiest(sent[row])}


def per_day_rule_and_person(outlook: Outlook) -> Iterator[Row]:
    for cell, figures in _in_order(outlook.shares):
        if cell.day is not None:
            yield {**cell._asdict(), **_counted(figures)}


def _in_order(rows: Mapping[Key, Figures]) -> list[tuple[Key, Figures]]:
    return sorted(rows.items(), key=lambda row: [str(part or "") for part in row[0]])


def _counted(figures: Figures) -> Row:
    return {name: figures[name] for name in COUNTED}


def _busiest(sent: Reminders) -> Row:
    return {"busiest_day": sent.busiest, "busiest_day_reminders": sent.on_busiest.count if sent.on_busiest else 0}
