"""What other systems post, through a map into the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from app.importing import Intake, StoreSink
from rules.mapping import Finding, ImportMap, Rows
from rules.problems import Severity
from store.session import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of some rows. `written`: for each kind, how many were new, changed, unchanged."""

    rejected: int
    written: dict[str, dict[str, int]]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Take:
    """Takes rows through a map. One that is at fault is left out."""

    map_: ImportMap

    def __call__(self, db: Database, rows: Sequence[object], /, *, source: str, now: datetime, trace: str) -> Taken:
        found: list[Finding] = []
        sink = StoreSink(db=db, now=now, source=source, trace=trace)
        intake = Intake(rows=Rows(self.map_), sink=sink, note=found.append)
        for number, row in enumerate(rows, 1):
            intake.take(_named(row, number), line=number)
        report = intake.end()
        return Taken(rejected=report.rejected, written=report.counted(), findings=found)


def _named(row: object, number: int) -> Mapping[str, object] | Finding:
    if isinstance(row, dict):
        return cast("Mapping[str, object]", row)
    return Finding(line=number, severity=Severity.ERROR, reason="is not a JSON object")
