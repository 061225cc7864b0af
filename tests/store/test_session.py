from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from store import dossiers, ticks
from store.session import BUSY_TIMEOUT_MS, Database, StoreUnavailable
from store.tables import ticks as ticks_table
from tests.databases import PostgreSQL
from tests.store.make import T0, contract, write


def test_a_locked_database_is_named_with_the_reason_and_nothing_is_written(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.session.BUSY_TIMEOUT_MS", 10)
    with Database.connect(sqlite_url) as db:
        blocker = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"relance.db cannot be used: another program has kept it locked"):
            write(db, contract("C1"))
        assert dossiers.load(db, "K1") is None  # readers are never locked out
        blocker.close()
        write(db, contract("C1"))
        assert dossiers.load(db, "K1") is not None


@pytest.mark.parametrize("durable", [False, True])
def test_writes_survive_a_crash_and_the_outbox_a_power_cut(sqlite_url: str, durable: bool) -> None:
    with Database.connect(sqlite_url) as db:
        for wanted in (durable, not durable):  # one transaction leaves nothing to the next
            with db.begin(durable=wanted) as connection:
                pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                values = [connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() for pragma in pragmas]
            assert values == ["wal", 2 if wanted else 1, 1, BUSY_TIMEOUT_MS]


def test_a_failed_transaction_leaves_nothing(db: Database) -> None:
    row = {"job": "daily", "slot": T0, "done_at": T0}
    with pytest.raises(IntegrityError), db.begin() as connection:
        connection.execute(ticks_table.insert(), [row, row])
    assert ticks.last_slot(db, "daily") is None


def test_a_read_sees_one_moment_while_others_write(db: Database) -> None:
    write(db, contract("C1"))
    with db.read() as connection:
        first = connection.execute(select(ticks_table)).all()
        ticks.claim_slot(db, "daily", T0, now=T0)
        assert connection.execute(select(ticks_table)).all() == first


def test_a_missing_folder_is_said_in_words(tmp_path: Path) -> None:
    with (
        Database.connect(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}") as db,
        pytest.raises(StoreUnavailable, match="does its folder exist"),
    ):
        dossiers.counts(db)


def test_a_file_that_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Sehr geehrte Damen und Herren, " * 100)
    with (
        Database.connect(f"sqlite:///{tmp_path / 'letter.txt'}") as db,
        pytest.raises(StoreUnavailable, match="the file is not a database"),
    ):
        dossiers.counts(db)


@pytest.mark.parametrize("where", ["before the host", "in the query"])
def test_an_unreachable_server_is_named_without_the_password(postgres: PostgreSQL, where: str) -> None:
    url = postgres.url.set(database="nowhere")
    url = url.update_query_dict({"password": "geheim"}) if where == "in the query" else url.set(password="geheim")
    secret = url.render_as_string(hide_password=False)
    with Database.connect(secret) as db, pytest.raises(StoreUnavailable) as told:
        dossiers.counts(db)
    assert "nowhere" in str(told.value)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize("url", ["mysql://root:geheim@host/x", "geheim", "postgres://u:geheim@host/x"])
def test_an_unsupported_database_is_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match="expected sqlite:///FILE or postgresql") as told:
        Database.connect(url)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    "moment",
    [
        T0,
        datetime(1, 1, 3, tzinfo=UTC),
        datetime(9999, 12, 28, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_moment_comes_back_exactly_and_in_utc(db: Database, moment: datetime) -> None:
    with db.begin() as connection:
        connection.execute(ticks_table.insert().values(job="daily", slot=moment, done_at=T0))
    found = ticks.last_slot(db, "daily")
    assert found == moment
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused(db: Database) -> None:
    with pytest.raises(Exception, match="has no time zone"):
        ticks.claim_slot(db, "daily", datetime(2026, 1, 1), now=T0)  # noqa: DTZ001
