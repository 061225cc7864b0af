"""What a simulation came to: in words, as tables, and as a document."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import date, datetime

import typer

from app.cli.output import counted, say
from app.cli.simulating import By, Simulation
from domain.person import People
from rules.outlook import BUSIEST, COUNTED, Row, per_day, per_day_rule_and_person, per_person, per_rule
from rules.plain import plain
from rules.rule import Reach
from rules.simulate import Figures, Outlook, Reminders, reminders, summed

BAR = 24  # characters of the longest

# --- tables ---

COLUMNS: Mapping[By | None, tuple[str, ...]] = {
    By.DAY: ("day", "reach", *COUNTED),
    By.PERSON: ("person", "name", "reach", "open", *COUNTED, *BUSIEST),
    By.RULE: ("rule", "reach", "open", *COUNTED, "people", *BUSIEST),
    By.EVENT: ("at", "event", "rule", "reach", "customer", "subject", "to", "held_back_by"),
    None: ("day", "rule", "reach", "person", *COUNTED),
}


def _table(simulation: Simulation, by: By | None) -> Iterator[Row]:
    """The rows of a table, with the values of its COLUMNS. None: the one with every day, rule and person."""
    match by:
        case By.DAY:
            yield from per_day(simulation.outlook)
        case By.PERSON:
            yield from per_person(simulation.outlook, simulation.people)
        case By.RULE:
            yield from per_rule(simulation.outlook)
        case By.EVENT:
            for event in map(json.loads, simulation.events()):
                subject = event["subject"]
                yield {**event, "subject": f"{subject['kind']} {subject['id']}"}
        case None:
            yield from per_day_rule_and_person(simulation.outlook)


# --- printing ---


def print_csv(simulation: Simulation, by: By | None) -> None:
    """As RFC 4180 has it."""
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS[by])
    writer.writerows(_rows(simulation, by))


def print_table(simulation: Simulation, by: By) -> None:
    lines = [[name.replace("_", " ") for name in COLUMNS[by]], *_rows(simulation, by)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        fitted = (c.rjust(w) if c.isdecimal() else c.ljust(w) for c, w in zip(line, widths, strict=True))
        say("  ".join(fitted).rstrip())


def _rows(simulation: Simulation, by: By | None) -> Iterator[list[str]]:
    for row in _table(simulation, by):
        yield [_cell(row[name]) for name in COLUMNS[by]]


def _cell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def print_document(simulation: Simulation) -> None:
    """One JSON document. Its events are written one by one, however many there are."""
    outlook = simulation.outlook
    head = {
        "schema": 1,
        "from": plain(simulation.since),
        "until": plain(simulation.until),
        "rulebase": simulation.rulebase.hash,
        "customers": simulation.customers,
        "interrupted": simulation.interrupted,
    }
    tables = {
        "per_day": list(per_day(outlook)),
        "per_person": list(per_person(outlook, simulation.people)),
        "per_rule": list(per_rule(outlook)),
        "failed": simulation.failed,
    }
    say(f'{json.dumps(head)[:-1]}, "events": [')
    separator = ""
    for event in simulation.events():
        typer.echo(separator + event, nl=False)
        separator = ",\n"
    say(f"\n], {json.dumps(tables, ensure_ascii=False, default=plain)[1:]}")


def print_summary(simulation: Simulation) -> None:
    outlook = simulation.outlook
    span = " to ".join(_when(simulation.rulebase.office.local(at)) for at in (simulation.since, simulation.until))
    customers = f"{'the first ' if simulation.cut_short else ''}{counted(simulation.customers, 'customer')}"
    say(f"{span}, if nobody writes or acts ({customers}):")
    totals = summed(outlook.events, lambda cell: cell.reach)
    sent = reminders(outlook.shares, lambda cell: cell.reach)
    if Reach.LIVE in totals:
        say(f"  {_sent(sent[Reach.LIVE])}")
        say(f"  {_happens(totals[Reach.LIVE])}")
    if not totals:
        say("  nothing is open, and time alone brings nothing")
    _print_rules(outlook)
    _print_people(outlook, simulation.people)


def _print_rules(outlook: Outlook) -> None:
    """The rules, the one with most reminders first."""
    rows = summed(outlook.events, lambda cell: (cell.rule, cell.reach))
    sent = reminders(outlook.shares, lambda cell: (cell.rule, cell.reach))
    for row in sorted(rows, key=lambda row: (-sent[row].count, row)):
        rule, reach = row
        say(f"\n{rule} would send {_sent(sent[row])}{NOT_LIVE[reach]}")
        say(f"  {_happens(rows[row])}")


def _print_people(outlook: Outlook, people: People) -> None:
    """Whoever is reminded, who is most first; with bars on a terminal."""
    sent = reminders(outlook.shares, lambda cell: (cell.reach, cell.person))
    told = {who: found for (reach, who), found in sent.items() if reach is Reach.LIVE and who and found.count}
    if told:
        say()
    most = max((found.count for found in told.values()), default=0)
    for who, found in sorted(told.items(), key=lambda row: (-row[1].count, row[0])):
        person = people.get(who)
        bar = f"{'█' * max(1, round(BAR * found.count / most)):{BAR}}  " if sys.stdout.isatty() else ""
        say(f"{bar}{who}{f' ({person.name})' if person else ''}: {_sent(found, to_whom=False)}")


# What is said of a rule that reminds nobody.
NOT_LIVE: Mapping[Reach, str] = {
    Reach.LIVE: "",
    Reach.SHADOW: ", if it were live; it is a shadow, and nobody hears of it",
    Reach.DRAFT: ", if it were live; it is a draft, and nobody hears of it",
    Reach.OTHER_CUSTOMERS: ", for customers outside its percentage, if it were live for them",
    Reach.OTHER_TEAM: ", for customers outside its team, if it were live for them",
}


def _sent(sent: Reminders, *, to_whom: bool = True) -> str:
    """ "412 reminders to 9 people, most on Monday 7 December 2026: 41 reminders to 6 people" """

    def said(some: Reminders) -> str:
        people = "1 person" if some.people == 1 else f"{some.people:,} people"
        return counted(some.count, "reminder") + (f" to {people}" if to_whom else "")

    if sent.busiest is None or sent.on_busiest is None:
        return "no reminders"
    if sent.on_busiest.count == sent.count:
        return f"{said(sent)} on {_day(sent.busiest)}"
    return f"{said(sent)}, most on {_day(sent.busiest)}: {said(sent.on_busiest)}"


def _happens(figures: Figures) -> str:
    unheard = [
        f"{figures[name]:,} {said}"
        for name, said in (
            ("held_back", "held back by other rules at first"),
            ("unaddressed", "with nobody to write to"),
        )
        if figures[name]
    ]
    raised = f"{figures['raised']:,} raised later" + (f" ({', '.join(unheard)})" if unheard else "")
    return f"{figures['open']:,} open at the beginning, {raised}, {figures['resolved']:,} resolved"


def _day(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B %Y}"


def _when(moment: datetime) -> str:
    return f"{_day(moment)}, {moment:%H:%M %Z}"
