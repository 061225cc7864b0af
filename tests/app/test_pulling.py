"""Foreign databases come in by themselves: nothing is left out, nothing stops the rest."""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.pulling import Source, pull, pull_quietly
from app.settings import Settings, SettingsError, load_settings
from app.wiring import House, open_store
from domain.record import RecordRef
from rules import loader, mapping
from store import dossiers, sources
from store.session import Database
from store.sources import SourceUnavailable
from tests.app.conftest import Terminal

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
MAP = """
map: contracts
records:
  - kind: contract
    id: no
    customer: who
    fields: {product: product, end_date: {column: until}, annual_value: worth}
"""
QUERY = "SELECT * FROM contracts WHERE changed >= :watermark OR :watermark IS NULL ORDER BY changed"


class Crm:
    """Somebody else's database."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.url = f"sqlite:///{file}"
        self.runs("CREATE TABLE contracts (no TEXT, who TEXT, product TEXT, until TEXT, worth REAL, changed TEXT)")

    def runs(self, statement: str, *values: object) -> None:
        connection = sqlite3.connect(self.file)
        with connection:
            connection.execute(statement, values)
        connection.close()

    def has(self, no: str, *, changed: str, until: str = "2027-01-07", product: str = "Fleet") -> None:
        self.runs("INSERT INTO contracts VALUES (?, 'K1', ?, ?, 48200.5, ?)", no, product, until, changed)


@pytest.fixture
def crm(tmp_path: Path) -> Crm:
    return Crm(tmp_path / "crm.db")


@pytest.fixture
def source(crm: Crm, tmp_path: Path) -> Source:
    file = tmp_path / "map.yaml"
    file.write_text(MAP, encoding="utf-8")
    return Source(
        name="crm",
        url=crm.url,
        query=QUERY,
        watermark="changed",
        every=timedelta(minutes=5),
        map_=mapping.load(file, loader.load(["base"]).model),
    )


def known(db: Database, no: str) -> dict[str, object] | None:
    found = dossiers.record(db, RecordRef(kind="contract", id=no))
    return dict(found[0].fields) if found else None


def test_what_is_new_comes_in_and_what_shares_the_watermark_is_never_left_out(
    db: Database, crm: Crm, source: Source
) -> None:
    crm.has("C1", changed="2026-08-01")
    crm.has("C2", changed="2026-08-02")
    crm.has("C3", changed="2026-08-02", until="soon")
    dry = pull(db, source, now=NOON, dry_run=True)
    assert (dry.rows, dry.rejected, dry.counted()["contract"]["new"]) == (3, 1, 2)
    assert sources.progress(db) == {}
    assert known(db, "C1") is None

    report = pull(db, source, now=NOON)
    assert (report.rows, report.rejected, report.counted()["contract"]["new"]) == (3, 1, 2)
    assert known(db, "C1") == {"product": "Fleet", "end_date": "2027-01-07", "annual_value": "48200.5"}
    crm.has("C4", changed="2026-08-02")  # in the second in which the last reading ended
    report = pull(db, source, now=NOON + source.every)
    assert report.counted()["contract"] == {"new": 1, "changed": 0, "unchanged": 1}
    last = sources.progress(db)["crm"]
    assert (last.rows, last.rejected, last.error, last.watermark) == (3, 1, None, '{"text": "2026-08-02"}')

    crm.runs("DELETE FROM contracts")
    assert pull(db, source, now=NOON).rows == 0
    assert sources.progress(db)["crm"].watermark == '{"text": "2026-08-02"}'


def test_a_failure_is_kept_and_logged_and_the_next_time_begins_where_it_did(
    db: Database, crm: Crm, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    crm.has("C1", changed="2026-08-01")
    pull(db, source, now=NOON)
    before = sources.progress(db)["crm"].watermark
    away = replace(source, url="postgresql+psycopg://crm:hunter2@127.0.0.1:1/crm")
    with caplog.at_level(logging.ERROR):
        pull_quietly(db, away, now=NOON)
    last = sources.progress(db)["crm"]
    assert last.error
    assert last.error in caplog.text
    assert "hunter2" not in caplog.text
    assert (last.watermark, last.ran_at) == (before, NOON)
    renamed = replace(source, query="SELECT no AS number, changed FROM contracts WHERE :watermark IS NOT NULL")
    pull_quietly(db, renamed, now=NOON)
    assert 'no column "no"' in (sources.progress(db)["crm"].error or "")
    with pytest.raises(SourceUnavailable):
        pull(db, away, now=NOON)
    assert pull(db, source, now=NOON).counted()["contract"]["unchanged"] == 1
    assert sources.progress(db)["crm"].error is None


FOLDED = MAP + "    fold: {annual_value: sum}\n"
WRONG = {
    'every = "now and then"': "every",
    'every = "3 months"': "every",
    'query = "SELECT * FROM c WHERE changed > :watermark"\nwatermark = "changed"': ">= :watermark",
    'query = "SELECT * FROM c"\nwatermark = "changed"': "one needs the other",
    'query = "SELECT * FROM c WHERE changed >= :watermark"': "one needs the other",
    "quary = 1": "query",
}


@pytest.mark.parametrize("toml", WRONG)
def test_a_source_that_would_leave_something_out_is_refused(
    toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = {"url": '"sqlite://"', "map": '"hubspot-deals"', "query": '"SELECT 1"'}
    given = "\n".join(f"{name} = {value}" for name, value in base.items() if f"{name} =" not in toml)
    (tmp_path / "relance.toml").write_text(f"[sources.crm]\n{given}\n{toml}\n")
    with pytest.raises(SettingsError, match=r"sources\.crm") as refusal:
        load_settings()
    assert WRONG[toml] in str(refusal.value)


def test_a_map_that_cannot_be_used_is_named_with_its_setting(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "folded.yaml").write_text(FOLDED, encoding="utf-8")
    said = {"url": "sqlite://", "query": QUERY, "watermark": "changed"}
    keys = ["a key for tests only"]
    for map_, says in {
        "hubspot-daels": "sources.crm.map: there is no file .* hubspot-companies, hubspot-deals",
        str(tmp_path / "folded.yaml"): "sources.crm.map: .* it needs them all",
    }.items():
        settings = Settings(database=sqlite_url, sources={"crm": {**said, "map": map_}}, secret_keys=keys)  # type: ignore[arg-type]
        with open_store(settings) as db, pytest.raises(SettingsError, match=says):
            House.build(settings, db).sources()
    settings = Settings(
        database=sqlite_url,
        inbound={"crm": {"map": "hubspot-deals", "secret": "no base64"}},  # type: ignore[dict-item]
        secret_keys=keys,  # type: ignore[arg-type]
    )
    with open_store(settings) as db, pytest.raises(SettingsError, match=r"inbound\.crm\.secret"):
        House.build(settings, db).services()


def test_a_source_can_be_read_by_hand(relance: Terminal, crm: Crm, tmp_path: Path) -> None:
    crm.has("C1", changed="2026-08-01")
    relance.writes("map.yaml", MAP)
    toml = f'map = "map.yaml"\nurl = "{crm.url}"\nquery = "{QUERY}"\nwatermark = "changed"\nevery = "2 hours"\n'
    relance.writes("relance.toml", f"[sources.crm]\n{toml}")
    relance("db", "upgrade")
    assert "never read" in relance("sources", "list").out
    assert "1 new" in relance("sources", "pull", "crm", "--dry-run").out
    assert "1 new" in relance("sources", "pull", "crm").out
    listed = json.loads(relance("sources", "list", "--json").out)["sources"]
    assert (listed[0]["rows"], listed[0]["every"], listed[0]["error"]) == (1, "2 hours", None)
    unknown = relance("sources", "pull", "cmr")
    assert (unknown.code, "there are: crm" in unknown.err) == (2, True)
    crm.runs("DROP TABLE contracts")
    gone = relance("sources", "pull", "crm")
    assert (gone.code, "contracts" in gone.err) == (3, True)


def test_each_source_is_a_job_of_the_worker_that_runs_at_its_own_interval(sqlite_url: str, crm: Crm) -> None:
    crm.has("C1", changed="2026-08-01")
    said = {"url": crm.url, "query": "SELECT no AS Id, changed AS EndDate FROM contracts", "every": "1 day"}
    (crm.file.parent / "map.yaml").write_text(
        "map: m\nrecords: [{kind: contract, id: Id, fields: {end_date: EndDate}}]\n"
    )
    settings = Settings(
        database=sqlite_url,
        processes=0,
        sources={"crm": {**said, "map": str(crm.file.parent / "map.yaml")}},  # type: ignore[dict-item]
        secret_keys=["a key for tests only"],  # type: ignore[list-item]
    )
    with open_store(settings) as db:
        (job,) = House.build(settings, db).worker(now=NOON).jobs
        assert (job.name, job.every) == ("source crm", timedelta(days=1))
        job.run(NOON)
        assert known(db, "C1") == {"end_date": "2026-08-01"}
        assert sources.progress(db)["crm"].ran_at == NOON
