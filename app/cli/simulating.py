"""`relance rules simulate`: what the rules will do over the database if nobody writes or acts.

Nothing is written and nothing is sent: the connection refuses writes, and nothing that sends is within reach.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from threading import Event as Flag
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from app.cli.output import CommandError, Exit, counted, moment, note, stop

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterable, Iterator

    from app.settings import Settings
    from domain.person import People
    from domain.record import Dossier
    from rules.rulebase import RuleBase
    from rules.simulate import Event, Outlook
    from store.session import Database

INTERRUPTED = 130
FAILED_SHOWN = 10

Row: TypeAlias = dict[str, Any]


class By(StrEnum):
    DAY = "day"
    PERSON = "person"
    RULE = "rule"
    EVENT = "event"


class Format(StrEnum):
    TEXT = "text"
    CSV = "csv"
    JSON = "json"


def simulate(
    rule: Annotated[str | None, typer.Argument(help="Only this rule, by its id.", show_default=False)] = None,
    days: Annotated[int, typer.Option(min=0, max=36_500, help="How many days forward.")] = 90,
    since: Annotated[str | None, typer.Option("--from", help="Where it begins; now unless given.")] = None,
    by: Annotated[By | None, typer.Option(help="One table instead of the summary.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TEXT,
    customers: Annotated[int | None, typer.Option(min=1, help="Only the first so many: a quick look.")] = None,
) -> None:
    """What the rules will raise and resolve, whom it will reach, and when.

    Over the database as it is, if nobody writes or acts. Nothing is written, and nobody is sent anything. What is open
    at the beginning is counted apart; of a rule that is not live it says what would happen if it were. CSV without
    --by has a row for each day, rule and person.
    """
    from app.cli.outlook import print_csv, print_document, print_summary, print_table
    from app.settings import load_settings
    from rules.loader import load
    from rules.problems import unknown

    if by is not None and format_ is Format.JSON:
        raise CommandError("--by goes with --format text and csv: the JSON document holds every table")
    begin = moment(since, "--from") if since else datetime.now(UTC)
    try:
        until = begin + timedelta(days=days)
    except OverflowError:
        raise CommandError(f"--days {days} goes beyond the year 9999") from None
    settings = load_settings()
    rulebase = load(settings.rules)
    if rule is not None and rule not in rulebase.by_id:
        raise CommandError(unknown("rule", rule, rulebase.by_id))
    events = by is By.EVENT or format_ is Format.JSON
    with Simulation.over(rulebase, only=rule, since=begin, until=until, keep_events=events) as simulation:
        with _store(settings) as store:
            simulation.run(store, nobody=settings.nobody, limit=customers)
        if format_ is Format.JSON:
            print_document(simulation)
        elif format_ is Format.CSV:
            print_csv(simulation, by)
        elif by is not None:
            print_table(simulation, by)
        else:
            print_summary(simulation)
    _end(simulation, in_words=format_ is not Format.JSON)


def _store(settings: Settings) -> Database:
    """The settings' database, through connections that cannot write."""
    from app.settings import SettingsError
    from store.readonly import open_read_only

    try:
        return open_read_only(settings.database)
    except ValueError as refusal:
        raise SettingsError(f"setting database: {refusal}") from None


# --- running ---


@dataclass(slots=True, kw_only=True)
class Simulation:
    """A simulation and what has come of it so far."""

    rulebase: RuleBase
    only: str | None
    since: datetime
    until: datetime
    keep_events: bool  # for `events`
    outlook: Outlook
    chronicle: sqlite3.Connection
    people: People
    failed: list[Row] = field(default_factory=list[Row])
    customers: int = 0  # simulated
    of: int = 0  # in the database, those without any record included
    cut_short: bool = False  # there are more: they were not asked for, or Ctrl-C came first
    interrupted: bool = False

    @classmethod
    @contextmanager
    def over(
        cls, rulebase: RuleBase, *, only: str | None, since: datetime, until: datetime, keep_events: bool
    ) -> Generator[Simulation]:
        import sqlite3

        from rules.rulebase import NOBODY
        from rules.simulate import Outlook

        # SQLite's own temporary file, gone at the end: it puts any number of events in order of time.
        chronicle = sqlite3.connect("")
        try:
            chronicle.execute("CREATE TABLE events (at TEXT, event TEXT)")
            yield cls(
                rulebase=rulebase,
                only=only,
                since=since,
                until=until,
                keep_events=keep_events,
                outlook=Outlook(),
                chronicle=chronicle,
                people=NOBODY,
            )
        finally:
            chronicle.close()

    def run(self, store: Database, *, nobody: str | None, limit: int | None) -> None:
        """Every customer, or the first ones; Ctrl-C ends it after the one at hand."""
        from rules.rulebase import Undecidable
        from store import dossiers, people

        self.people = people.load(store)
        self.of = dossiers.total(store)
        self.cut_short = limit is not None and limit < self.of
        chosen = islice(dossiers.stream(store), limit)
        with _interruptible() as stopped, _progress(min(self.of, limit or self.of)) as done:
            for dossier in chosen:
                done()
                if stopped.is_set():
                    self.interrupted = self.cut_short = True
                    break
                try:
                    self._add(list(self._foreseen(dossier, nobody)))
                except Undecidable as failure:
                    self.failed.append({"customer": dossier.id, "reason": str(failure)})

    def _foreseen(self, dossier: Dossier, nobody: str | None) -> Iterator[Event]:
        from rules.simulate import foresee

        return foresee(self.rulebase, dossier, since=self.since, until=self.until, people=self.people, nobody=nobody)

    def _add(self, events: Iterable[Event]) -> None:
        self.customers += 1
        for event in events:
            if self.only in (None, event.match.rule):
                self.outlook.add(event)
                if self.keep_events:
                    row = (event.at.astimezone(UTC).isoformat(), json.dumps(self._row(event), ensure_ascii=False))
                    self.chronicle.execute("INSERT INTO events VALUES (?, ?)", row)

    def _row(self, event: Event) -> Row:
        subject = event.match.subject
        return {
            "at": self.rulebase.office.local(event.at).isoformat(),
            "event": event.event,
            "rule": event.match.rule,
            "reach": event.reach,
            "customer": event.dossier,
            "subject": {"kind": subject.kind, "id": subject.id},
            "to": event.to,
            "held_back_by": event.held_back_by,
        }

    def events(self) -> Iterator[str]:
        """Every event as JSON, in order of time; those of one moment by customer."""
        for (event,) in self.chronicle.execute("SELECT event FROM events ORDER BY at, rowid"):
            yield event


@contextmanager
def _interruptible() -> Generator[Flag]:
    """Set by the first Ctrl-C; a second one ends the program."""
    stopped = Flag()
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: object) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(total: int) -> Generator[Callable[[], object]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulating", total=total)
        yield lambda: bar.advance(task)


def _end(simulation: Simulation, *, in_words: bool) -> None:
    """What has to be known of the result, on stderr, and the exit code."""
    failed = simulation.failed
    if in_words:
        for failure in failed[:FAILED_SHOWN]:
            note(f"customer {failure['customer']} could not be simulated: {failure['reason']}")
        if len(failed) > FAILED_SHOWN:
            note(f"so could {len(failed) - FAILED_SHOWN:,} others not; --format json lists them")
    if simulation.interrupted:
        done = f"{simulation.customers + len(failed):,} of {counted(simulation.of, 'customer')}"
        note(f"interrupted: this is what {done} come to")
        raise typer.Exit(INTERRUPTED)
    if failed:
        stop(Exit.FINDINGS)
