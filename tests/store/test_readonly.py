"""A read-only connection: what is there can be read, and nothing can be changed through it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import InternalError

from domain.record import Record
from store import dossiers
from store.readonly import connect_read_only
from store.session import Database, StoreUnavailable

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
K1 = Record(kind="customer", id="K1", customer=None, fields={"name": "Muster AG"})
K2 = Record(kind="customer", id="K2", customer=None, fields={})


def test_it_reads_what_is_there_and_refuses_every_write(db: Database, database_url: str) -> None:
    dossiers.upsert(db, [K1], now=NOW, source="test")

    with connect_read_only(database_url) as read_only:
        assert [d.id for d in dossiers.stream(read_only)] == ["K1"]
        with pytest.raises((StoreUnavailable, InternalError), match="read-only"):
            dossiers.upsert(read_only, [K2], now=NOW, source="test")
        with pytest.raises((StoreUnavailable, InternalError), match="read-only"):
            dossiers.delete(read_only, [K1.ref], now=NOW, source="test")
    assert [d.id for d in dossiers.stream(db)] == ["K1"]


def test_it_sees_what_others_write_meanwhile(db: Database, database_url: str) -> None:
    with connect_read_only(database_url) as read_only:
        assert dossiers.total(read_only) == 0
        dossiers.upsert(db, [K1], now=NOW, source="test")
        assert dossiers.total(read_only) == 1


def test_a_file_with_signs_in_its_name_that_mean_something_in_a_url_is_found(sqlite_url: str, tmp_path: Path) -> None:
    file = (tmp_path / "relance.db").rename(tmp_path / "100% a?b #1.db")
    url = make_url(sqlite_url).set(database=str(file)).render_as_string()
    with connect_read_only(url) as read_only:
        assert dossiers.total(read_only) == 0


def test_a_file_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="There is no database"):
        connect_read_only(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
