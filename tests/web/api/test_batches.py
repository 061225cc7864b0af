"""Many records at once: the good ones in, the bad ones reported, however they come."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from store import dossiers
from store.session import Database
from tests.story.relance import contract
from tests.web.api.office import Api
from web.api import batches
from web.api.batches import Lines
from web.api.limits import LINE_BYTES, MIB, Limits

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
NDJSON = {"Content-Type": "application/x-ndjson"}


def upsert(id_: str, **more: Any) -> dict[str, Any]:
    return {"kind": "contract", "id": id_, "customer": "K1", "fields": {"status": "active"}, **more}


def lines(*operations: object) -> bytes:
    return b"".join(json.dumps(operation).encode() + b"\n" for operation in operations)


def answered(text: str) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """The outcome of each line, and the end."""
    *outcomes, end = map(json.loads, text.splitlines())
    return {outcome["line"]: outcome for outcome in outcomes}, end


def test_lines_come_in_pieces_of_any_size_and_one_that_is_too_long_is_not_held() -> None:
    text = b'{"a": 1}\n\n  \nlong' + b"g" * LINE_BYTES + b'\n{"b": 2}'
    wanted = [(1, b'{"a": 1}'), (4, None), (5, b'{"b": 2}')]
    for size in (1000, 7919, len(text)):
        reader = Lines()
        pieces = (text[start : start + size] for start in range(0, len(text), size))
        found = [line for piece in pieces for line in reader.feed(piece)]
        assert [*found, *reader.end()] == wanted
        assert len(reader.held) == 0


def test_a_body_is_read_no_further_than_its_limit() -> None:
    taken: list[int] = []

    async def endless() -> Message:
        taken.append(1)
        assert len(taken) < 100, "it reads on and on"
        return {"type": "http.request", "body": b" " * MIB, "more_body": True}

    async def reads(_scope: Scope, receive: Receive, _send: Send) -> None:
        while True:
            await receive()

    async def unheard(_: Message) -> None: ...

    for path, type_, limit in (("/people/x", "application/json", 1), ("/batches", "application/json", 8)):
        taken.clear()
        headers = [(b"content-type", type_.encode()), (b"content-length", b"1")]
        scope = {"type": "http", "path": f"/api/v1{path}", "root_path": "/api/v1", "headers": headers}
        with pytest.raises(HTTPException) as refusal:
            asyncio.run(Limits(reads)(scope, endless, unheard))
        assert (refusal.value.status_code, len(taken)) == (413, limit + 1)


def test_good_lines_are_written_and_bad_ones_reported_by_their_number(api: Api) -> None:
    tag = api.integrator.put("/records/contract/C1", json={"fields": {"status": "draft"}}).headers["ETag"]
    body = (
        lines(upsert("C2"), upsert("C2"), upsert("C1", if_match=tag), upsert("C1", if_match=tag))
        + b"{not json}\n"
        + b'{"kind": "contract", "id": "\xff"}\n'
        + b'{"kind": "contract", "id": "\\u0000"}\n'
        + b"\n"
        + lines(
            upsert("C3", kind="contrat"),
            upsert("C3", fields={"end_date": "soon"}),
            {"op": "patch", "kind": "contract", "id": "C9", "fields": {"line": "service"}},
            {"op": "patch", "kind": "contract", "id": "C2", "fields": {"line": "service"}},
            {"op": "delete", "kind": "contract", "id": "C1"},
            {"op": "delete", "kind": "contract", "id": "C1"},
            upsert("C" * 201),
            [1],
        )
        + json.dumps(upsert("C4", fields={"product": "x" * LINE_BYTES})).encode()
        + b"\n"
        + json.dumps(upsert("C5")).encode()  # without an end of line
    )
    streamed = api.integrator.post("/batches", content=body, headers=NDJSON)
    assert (streamed.status_code, streamed.headers["Content-Type"]) == (200, "application/x-ndjson")
    outcomes, end = answered(streamed.text)
    statuses = {number: outcome["status"] for number, outcome in outcomes.items()}
    assert statuses == {
        **{1: "new", 2: "unchanged", 3: "changed", 4: "conflict", 5: "rejected", 6: "rejected", 7: "rejected"},
        **{9: "rejected", 10: "rejected", 11: "rejected", 12: "changed", 13: "deleted", 14: "unchanged"},
        **{15: "rejected", 16: "rejected", 17: "rejected", 18: "new"},
    }
    counts = {"new": 2, "changed": 2, "unchanged": 2, "deleted": 1, "rejected": 9, "conflict": 1}
    assert end == {"counts": counts, "problem": None}
    assert outcomes[10]["problem"]["errors"][0]["pointer"] == "/fields/end_date"
    assert "contract" in outcomes[9]["problem"]["detail"]
    assert outcomes[4]["etag"] == outcomes[3]["etag"]
    assert api.admin.get("/records/contract/C2").headers["ETag"] == outcomes[12]["etag"]

    listed = api.integrator.post("/batches", json=[upsert("C5"), 7, upsert("C6")]).json()
    assert [o["status"] for o in listed["outcomes"]] == ["unchanged", "rejected", "new"]
    assert [o["line"] for o in listed["outcomes"]] == [1, 2, 3]
    assert listed["counts"]["new"] == 1


def test_what_is_no_batch_is_refused_whole_and_rubbish_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    post = api.integrator.post
    assert post("/batches", json={"kind": "contract"}).status_code == 422
    assert post("/batches", content=b"[", headers={"Content-Type": "application/json"}).status_code == 422
    assert post("/batches", json=[0] * 10_001).status_code == 422
    assert post("/batches", content=b"kind;id", headers={"Content-Type": "text/csv"}).status_code == 415
    assert post("/batches", content=b"x", headers=NDJSON | {"Content-Encoding": "gzip"}).status_code == 415
    keyed = post("/batches", content=b"", headers=NDJSON | {"Idempotency-Key": "k"})
    assert (keyed.status_code, "NDJSON" in keyed.json()["detail"]) == (422, True)
    large = post("/batches", content=b" " * (8 * 1024 * 1024 + 1), headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert api.sales.post("/batches", json=[]).status_code == 403
    assert post("/batches", content=b"", headers=NDJSON).json()["counts"]["new"] == 0

    first = post("/batches", json=[upsert("C1")], headers={"Idempotency-Key": "k"})
    again = post("/batches", json=[upsert("C1")], headers={"Idempotency-Key": "k"})
    assert (again.text, again.headers["Idempotent-Replayed"]) == (first.text, "true")

    monkeypatch.setattr(batches, "REJECTED", 600)
    streamed = post("/batches", content=b"1\n" * 3000, headers=NDJSON)
    outcomes, end = answered(streamed.text)
    assert (streamed.status_code, len(outcomes), end["counts"]["rejected"]) == (422, 1000, 1000)
    assert "600" in end["problem"]["detail"]


def goes_away(db: Database) -> None:
    """The database cannot be used any more once it has some 750 records more than now."""
    if db.engine.dialect.name == "postgresql":
        with db.begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE 'terminating connection' USING ERRCODE = '57P01'; END $$"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER go_away BEFORE INSERT ON records "
                "FOR EACH ROW WHEN (NEW.id = 'C750') EXECUTE FUNCTION go_away()"
            )
        return
    with db.read() as connection:
        pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    dossiers.upsert(db, [contract(f"A{n}", ends="2027-01-07") for n in range(500)], now=NOON, source="test")
    with db.read() as connection:
        grown: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    full = grown + (grown - pages) * 3 // 2
    db.engine.dispose()
    event.listen(db.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={full}"))


def test_what_was_written_before_the_database_went_away_stays_and_is_listed(api: Api) -> None:
    goes_away(api.company.db)
    operations = [upsert(f"C{n}", fields={"status": "active", "end_date": "2027-01-07"}) for n in range(1200)]

    streamed = api.integrator.post("/batches", content=lines(*operations), headers=NDJSON)
    outcomes, end = answered(streamed.text)
    assert streamed.status_code == 503
    assert outcomes.keys() == set(range(1, 501))
    assert (end["counts"]["new"], end["problem"]["type"]) == (500, "urn:relance:problem:unavailable")
    assert api.admin.get("/records/contract/C499").status_code == 200
    assert api.admin.get("/records/contract/C500").status_code == 404

    listed = api.integrator.post("/batches", json=operations)
    assert (listed.status_code, len(listed.json()["outcomes"])) == (503, 500)
    keyed = api.integrator.post("/batches", json=operations[500:], headers={"Idempotency-Key": "k"})
    assert (keyed.status_code, keyed.headers["Content-Type"]) == (503, "application/problem+json")
