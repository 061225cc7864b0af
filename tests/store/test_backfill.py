"""What was written by an earlier version is found like what is written now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from domain.recommendation import State
from store import customers, migrations, recommendations
from store.recommendations import Sort, Wanted
from store.session import Database
from store.tables import Instant
from tests.databases import PostgreSQL

T0 = datetime(2026, 11, 23, 9, tzinfo=UTC)
EARLIER = "0002"
ADVICE = {
    "recommend": "win",
    "say": "",
    "do": "call",
    "instead": [],
    "worth": "48200.50",
    "due": "2026-11-27",
    "to": ["lena", "petra", "lena"],
    "held_back_by": ["old-debt"],
}


@pytest.fixture
def empty_sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'earlier.db'}"


@pytest.fixture
def empty_postgresql(postgres: PostgreSQL) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.mark.parametrize("empty", ["empty_sqlite", "empty_postgresql"])
def test_what_an_earlier_version_wrote_is_listed_sorted_and_found(empty: str, request: pytest.FixtureRequest) -> None:
    with Database.connect(request.getfixturevalue(empty)) as db:
        config = migrations._config()
        with db.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, EARLIER)
            now = Instant().process_bind_param(T0, connection.dialect)
            moment = {"now": now}
            connection.execute(text("INSERT INTO customers (id, version, check_at) VALUES ('K1', 1, NULL)"))
            for kind, id_, customer, fields in (
                ("customer", "K1", None, {"name": "ÉMILE AG", "owner": "lena"}),
                ("contract", "C1", "K1", {"name": "Fleet"}),
            ):
                row = {"kind": kind, "id": id_, "customer": customer, "fields": json.dumps(fields)} | moment
                names = "kind, id, dossier, customer, fields, updated_at"
                connection.execute(
                    text(f"INSERT INTO records ({names}) VALUES (:kind, :id, 'K1', :customer, :fields, :now)"), row
                )
            for id_, advice in (("R1", ADVICE), ("R2", ADVICE | {"worth": None, "due": None, "held_back_by": []})):
                names = "id, dossier, rule, rule_version, subject_kind, subject_id, opened_at, advice, state, missed"
                values = ":id, 'K1', 'r', 1, 'contract', :id, :now, :advice, 'open', :missed"
                row = {"id": id_, "advice": json.dumps(advice), "missed": False} | moment
                connection.execute(text(f"INSERT INTO recommendations ({names}) VALUES ({values})"), row)

        migrations.upgrade(db)

        def found(sort: Sort = Sort.DUE, **wanted: object) -> list[str]:
            asked = Wanted(state=State.OPEN, **wanted)
            page = recommendations.page(db, asked, sort=sort, descending=False, limit=9, now=T0)
            return [each.id for each in page]

        assert found() == ["R1", "R2"]
        assert found(Sort.WORTH) == ["R2", "R1"]
        assert found(to="petra", owners=["lena"]) == ["R1", "R2"]
        assert found(held_back=True, due_before=date(2026, 11, 28), worth_min=Decimal(48200)) == ["R1"]
        assert [each.id for each in customers.listing(db, owners=None, search="émil", limit=9)] == ["K1"]
        assert customers.listing(db, owners=None, search="fleet", limit=9) == []
