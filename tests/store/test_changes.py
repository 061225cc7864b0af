from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, insert

from store.changes import Window
from store.session import Database
from store.tables import record_history

T0 = datetime(2026, 11, 23, 9, tzinfo=UTC)


def write(connection: Connection, id_: str) -> None:
    row = {"dossier": "K1", "kind": "contract", "id": id_, "fields": "{}", "recorded_at": T0, "source": "test"}
    connection.execute(insert(record_history).values(row))


def test_what_is_numbered_before_and_shown_after_is_told_all_the_same(postgresql_url: str) -> None:
    with Database.connect(postgresql_url) as db:
        window = Window.begin(db)
        with db.begin() as slow:
            write(slow, "C1")
            with db.begin() as quick:
                write(quick, "C2")
            assert [change.id for change in window.read(db)] == ["C2"]
        assert [change.id for change in window.read(db)] == ["C1"]
        assert window.read(db) == []
