"""Foreign databases: their rows as they stream in, and how far each was read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from store import sources
from store.session import Database
from store.sources import SourceUnavailable, cell, reading
from tests.databases import PostgreSQL

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
SINCE = "SELECT * FROM deals WHERE changed >= :watermark OR :watermark IS NULL ORDER BY changed"
DEALS = [(1, "2026-08-01"), (2, "2026-08-02"), (3, "2026-08-02")]


@pytest.fixture(params=["sqlite", "postgresql"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgreSQL) -> Iterator[str]:
    """A database of somebody else's with a table of deals."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'crm.db'}"
        make_deals(url)
        yield url
        return
    with postgres.database() as url:
        make_deals(url)
        yield url


def make_deals(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE deals (id INTEGER PRIMARY KEY, changed TIMESTAMP, worth NUMERIC(9, 2))"))
        for id_, changed in DEALS:
            insert = "INSERT INTO deals VALUES (:id, :changed, 1.50)"
            connection.execute(text(insert), {"id": id_, "changed": f"{changed} 09:30:00"})
    engine.dispose()


def read(url: str, query: str = SINCE, *, watermark: str | None = "changed", since: str | None = None):
    with reading(url, query, watermark=watermark, since=since) as rows:
        return [row["id"] for row in rows], rows.watermark


def test_a_watermark_is_where_the_next_reading_begins_and_ties_are_read_again(foreign: str) -> None:
    found, mark = read(foreign)
    assert found == [1, 2, 3]
    assert read(foreign, since=mark) == ([2, 3], mark)
    by_number = "SELECT * FROM deals WHERE id >= :watermark OR :watermark IS NULL"
    found, mark = read(foreign, by_number, watermark="id")
    assert read(foreign, by_number, watermark="id", since=mark) == ([3], mark)
    assert read(foreign, "SELECT * FROM deals ORDER BY id", watermark=None) == ([1, 2, 3], None)
    assert read(foreign, "SELECT * FROM deals WHERE id > 9 AND (changed >= :watermark OR :watermark IS NULL)") == (
        [],
        None,
    )


def test_what_is_wrong_is_said_without_a_secret(foreign: str) -> None:
    wrong = {
        "SELECT nonsense FROM deals": "nonsense",
        "SELECT id FROM deals": 'no column "changed"',
        "SELECT * FROM nowhere": "nowhere",
    }
    for query, says in wrong.items():
        with pytest.raises(SourceUnavailable, match=says):
            read(foreign, query)
    if "@" in foreign:
        with pytest.raises(SourceUnavailable, match=r"\*\*\*") as failure:
            read(foreign.replace("@", ":hunter2@"), "SELECT hunter2 FROM deals")
        assert "hunter2" not in str(failure.value)
    unreachable = {
        "postgresql+psycopg://crm:hunter2@127.0.0.1:1/crm": "127.0.0.1",
        "nonsense://crm:hunter2@host/crm": "nonsense",
        "mssql+pyodbc://crm:hunter2@host/crm": "pyodbc",
        "hunter2": "cannot be read",
        "postgresql://crm:hunter2@host:port/crm": "cannot be read",
    }
    for url, says in unreachable.items():
        with pytest.raises(SourceUnavailable, match=says) as failure:
            read(url)
        assert "hunter2" not in str(failure.value)


def test_values_are_as_a_mapping_reads_them() -> None:
    moment = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
    assert cell(moment) == "2026-08-01T09:30:00+00:00"
    assert cell(date(2026, 8, 1)) == "2026-08-01"
    assert (cell(0.1), cell(Decimal("1.50")), cell(7)) == (Decimal("0.1"), Decimal("1.50"), 7)
    assert [cell(True), cell(None), cell("x"), cell({"a": 1})] == [True, None, "x", {"a": 1}]


def test_how_far_a_source_was_read_is_kept_also_when_it_fails(db: Database) -> None:
    sources.ran(db, "crm", watermark='{"int": "7"}', rows=5, rejected=1, now=NOON)
    sources.failed(db, "crm", error="the server is away", now=NOON)
    last = sources.progress(db)["crm"]
    assert (last.watermark, last.error, last.ran_at) == ('{"int": "7"}', "the server is away", NOON)
    sources.ran(db, "crm", watermark=None, rows=0, rejected=0, now=NOON)
    last = sources.progress(db)["crm"]
    assert (last.watermark, last.error, last.rows) == ('{"int": "7"}', None, 0)
