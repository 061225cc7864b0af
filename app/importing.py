"""Foreign files into the store: a CSV or JSONL file, a mapping file, and a report of what became of each row.

A file is read as it streams in, plain or gzip, and written in batches; one bad row never stops the others. What
has been written stays when a file turns out damaged: importing it again, whole, is always safe.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from app.tables import BadFile, opened
from domain.person import Person
from domain.record import Record, dossier_id
from rules.mapping import PERSON, Entity, Finding, ImportMap, Rows, Taken
from rules.problems import Severity
from store import dossiers, people
from store.changing import Outcome
from store.session import Database

BATCH = 1000  # entities in a transaction: keeps it short
WRITTEN = (Outcome.NEW, Outcome.CHANGED, Outcome.UNCHANGED)
SHOWN = 5  # findings kept for display, of each severity

Counts: TypeAlias = Counter[tuple[str, Outcome]]
"""How many of each kind were new, changed, unchanged."""

Progress: TypeAlias = Callable[[int], None]
"""Told the bytes of the file that have been read, packed ones where it is packed."""


class Sink(Protocol):
    """Where records and people go."""

    def write(self, records: Sequence[Record], persons: Sequence[Person]) -> Counts: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSink:
    """Writes to the database, a transaction for each batch."""

    db: Database
    now: datetime
    source: str
    trace: str | None = None

    def write(self, records: Sequence[Record], persons: Sequence[Person]) -> Counts:
        by: Mapping[str, Any] = {"now": self.now, "source": self.source, "trace": self.trace}
        saved = people.save(self.db, persons, **by) if persons else []
        written = dossiers.upsert(self.db, records, **by) if records else []
        counts = Counter((PERSON, outcome) for outcome in saved)
        counts.update((record.kind, outcome) for record, outcome in zip(records, written, strict=True))
        return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """Writes nothing: compares with what the database holds."""

    db: Database

    def write(self, records: Sequence[Record], persons: Sequence[Person]) -> Counts:
        known = dossiers.load_many(self.db, {dossier_id(record) for record in records})
        before = {record.ref: record for dossier in known.values() for record in dossier.records}
        staff = people.load(self.db)
        return Counter(
            [(PERSON, Outcome.of(staff.get(person.id), person)) for person in persons]
            + [(record.kind, Outcome.of(before.get(record.ref), record)) for record in records]
        )


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What became of some rows. `rejected` counts rows, `warnings` single findings."""

    rows: int = 0
    rejected: int = 0
    warnings: int = 0
    written: Counts = field(default_factory=Counter[tuple[str, Outcome]])
    first: dict[Severity, list[Finding]] = field(default_factory=lambda: {severity: [] for severity in Severity})

    def add(self, taken: Taken) -> None:
        self.rejected += taken.rejected
        for finding in taken.findings:
            self.warnings += finding.severity is Severity.WARNING
            if len(self.first[finding.severity]) < SHOWN:
                self.first[finding.severity].append(finding)

    def counted(self) -> dict[str, dict[str, int]]:
        """For each kind how many records are new, changed, unchanged."""
        kinds = sorted({kind for kind, _ in self.written})
        return {kind: {outcome.value: self.written[kind, outcome] for outcome in WRITTEN} for kind in kinds}


def import_file(
    source: Path | IO[bytes],
    *,
    name: str,
    map_: ImportMap,
    sink: Sink,
    report_to: Path | None = None,
    progress: Progress = lambda _: None,
) -> ImportReport:
    """Read a file, or what standard input brings, through a map into a sink.

    `name` is what messages call the file. Raises `BadFile`, and `BadMapping` when the file lacks a column.
    """
    with opened(source, name=name, map_=map_) as table, _findings_file(report_to) as note:
        intake = Intake(rows=Rows(map_), sink=sink, note=note)
        for line, row in table:
            intake.take(row, line=line)
            if intake.report.rows % BATCH == 0:
                progress(table.bytes_read)
        report = intake.end(table.unfilled())
        progress(table.bytes_read)
    return report


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes rows, wherever they come from, through a map into a sink. `note` is told each finding."""

    rows: Rows
    sink: Sink
    note: Callable[[Finding], object]
    report: ImportReport = field(default_factory=ImportReport)
    entities: list[Entity] = field(default_factory=list[Entity])

    def take(self, row: Mapping[str, object] | Finding, *, line: int) -> None:
        """A row, or why it is none."""
        self.report.rows += 1
        self._add(Taken(findings=[row]) if isinstance(row, Finding) else self.rows.take(row, line=line))

    def end(self, findings: Sequence[Finding] = ()) -> ImportReport:
        """Write what is left. `findings`: what is known only now."""
        for taken in self.rows.finish():
            self._add(taken)
        self._add(Taken(findings=list(findings)))
        self._flush()
        return self.report

    def _add(self, taken: Taken) -> None:
        self.report.add(taken)
        for finding in taken.findings:
            self.note(finding)
        self.entities.extend(taken.entities)
        if len(self.entities) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self.entities:
            return
        records = [entity for entity in self.entities if isinstance(entity, Record)]
        persons = [entity for entity in self.entities if isinstance(entity, Person)]
        self.report.written += self.sink.write(records, persons)
        self.entities.clear()


# --- the report file ---


@contextmanager
def _findings_file(path: Path | None) -> Generator[Callable[[Finding], None]]:
    """Takes findings into a CSV file, or nowhere."""
    if path is None:
        yield lambda _: None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as failure:
        raise BadFile(f"{path}: the report cannot be written: {failure.strerror}") from failure
    with file:
        writer = csv.writer(file)
        writer.writerow(column.name for column in fields(Finding))
        yield lambda finding: writer.writerow(_inert(cell) for cell in asdict(finding).values())


def _inert(cell: object) -> object:
    """Spreadsheets run a text that begins like a formula; the files imported are not to be trusted that far."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
