"""Foreign databases: what is new there comes in by itself, through a map."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.importing import DryRun, ImportReport, Intake, StoreSink
from rules.mapping import BadMapping, Finding, ImportMap, Rows, check_columns
from store import sources
from store.session import Database
from store.sources import SourceUnavailable, reading

log = logging.getLogger("relance.sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A query over a foreign database, and the map that its rows go through.

    `watermark`: the column by which rows are known to be new; None: all are read each time.
    """

    name: str
    url: str = field(repr=False)
    query: str
    watermark: str | None
    every: timedelta
    map_: ImportMap


def pull(db: Database, source: Source, *, now: datetime, dry_run: bool = False) -> ImportReport:
    """Read what is new since the last time.

    The watermark is kept after the rows: whatever breaks off here is read again, which is harmless. Raises
    `SourceUnavailable` and `BadMapping`, and keeps what they say with the source.
    """
    try:
        report, watermark = _read(db, source, now=now, dry_run=dry_run)
    except (SourceUnavailable, BadMapping) as failure:
        if not dry_run:
            sources.failed(db, source.name, error=str(failure), now=now)
        raise
    if not dry_run:
        sources.ran(db, source.name, watermark=watermark, rows=report.rows, rejected=report.rejected, now=now)
    return report


def pull_quietly(db: Database, source: Source, *, now: datetime) -> None:
    """As a job: what goes wrong is logged, and tried again at the next time."""
    try:
        report = pull(db, source, now=now)
    except (SourceUnavailable, BadMapping) as failure:
        log.error("source %s: %s", source.name, failure)
        return
    for severity, findings in report.first.items():
        for finding in findings:
            log.warning("source %s, row %d: %s: %s", source.name, finding.line, severity, finding.reason)
    if report.rows:
        log.info("source %s: %d rows, %d rejected", source.name, report.rows, report.rejected)


def _read(db: Database, source: Source, *, now: datetime, dry_run: bool) -> tuple[ImportReport, str | None]:
    known = sources.progress(db).get(source.name)
    sink = DryRun(db=db) if dry_run else StoreSink(db=db, now=now, source=f"source:{source.name}")
    intake = Intake(rows=Rows(source.map_), sink=sink, note=_unheard)
    since = known.watermark if known else None
    with reading(source.url, source.query, watermark=source.watermark, since=since) as rows:
        check_columns(source.map_, rows.columns, file=f"the query of source {source.name}")
        for number, row in enumerate(rows, 1):
            intake.take(row, line=number)
    return intake.end(), rows.watermark


def _unheard(_: Finding) -> None:
    """The report keeps the first ones of each severity."""
