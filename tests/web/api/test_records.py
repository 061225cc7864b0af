"""Records in: whole, in part, on condition, once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from store import dossiers, idempotency
from store.idempotency import KEPT, Answer
from store.session import Database
from store.tables import audit
from tests.story.relance import customer
from tests.web.api.office import Api

CONTRACT = {"customer": "K1", "fields": {"status": "active", "end_date": "2026-10-09", "annual_value": "48200.50"}}


def test_a_record_is_written_changed_and_deleted_and_says_what_became_of_it(api: Api) -> None:
    path, write = "/records/contract/C1", api.integrator.put
    new = write(path, json=CONTRACT)
    assert (new.status_code, new.json()) == (201, {"kind": "contract", "id": "C1", "outcome": "new"})
    again = write(path, json=CONTRACT | {"fields": {**CONTRACT["fields"], "annual_value": 48200.5, "line": ""}})
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    assert again.headers["ETag"] == new.headers["ETag"]

    shown = api.admin.get(path)
    assert shown.json() == {
        "kind": "contract",
        "id": "C1",
        "customer": "K1",
        "fields": {"status": "active", "end_date": "2026-10-09", "annual_value": "48200.5"},
    }
    assert shown.headers["ETag"] == new.headers["ETag"]

    merge = {"Content-Type": "application/merge-patch+json"}
    patched = api.integrator.patch(path, content='{"fields": {"line": "service", "end_date": null}}', headers=merge)
    assert (patched.status_code, patched.json()["outcome"]) == (200, "changed")
    known = api.admin.get(path).json()
    assert known["fields"] == {"status": "active", "line": "service", "annual_value": "48200.5"}
    assert known["customer"] == "K1"
    api.integrator.patch(path, json={"customer": None})
    assert api.admin.get(path).json()["customer"] is None

    assert api.integrator.delete(path).json()["outcome"] == "deleted"
    assert api.integrator.delete(path).json()["outcome"] == "unchanged"
    assert api.admin.get(path).status_code == 404
    assert api.integrator.patch(path, json={"fields": {"line": "service"}}).status_code == 404


def test_a_written_contract_reminds_its_seller_and_the_audit_names_the_token_and_the_request(api: Api) -> None:
    ends = {"status": "active", "end_date": "2027-01-07", "auto_renews": False}
    api.company.at("2026-10-09")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    api.integrator.put("/records/contract/C1", json={"customer": "K1", "fields": ends}, headers=headers)
    api.integrator.put("/records/customer/K1", json={"fields": {"name": "Muster", "owner": "seller"}})
    api.company.runs()
    assert api.company.open() == ["contract-expiring C1"]
    (mail,) = api.company.mailbox("seller@example.com")
    assert "Muster" in mail.subject
    with api.company.db.read() as connection:
        entry = connection.execute(select(audit).where(audit.c.subject == "C1", audit.c.kind == "contract")).one()
    assert entry.source.startswith("token:t_")
    assert (entry.action, entry.trace) == ("record.created", trace)
    assert json.loads(entry.after)["end_date"] == "2027-01-07"


def test_what_cannot_be_recorded_is_refused_field_by_field_and_what_can_is_recorded_to_the_last_digit(api: Api) -> None:
    fields = {"end_date": "soon", "stattus": "active", "id": "C2", "customer": "K2", "annual_value": 1}
    answer = api.integrator.put("/records/contract/C1", json={"fields": fields})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:relance:problem:invalid"
    faults = {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}
    assert faults.keys() == {"/fields/end_date", "/fields/stattus", "/fields/id", "/fields/customer"}
    assert "status" in faults["/fields/stattus"]
    assert api.admin.get("/records/contract/C1").status_code == 404

    unknown = api.integrator.put("/records/contrat/C1", json={})
    assert (unknown.status_code, "contract" in unknown.json()["detail"]) == (404, True)
    belongs = api.integrator.put("/records/customer/K1", json={"customer": "K2"})
    assert belongs.json()["errors"][0]["pointer"] == "/customer"

    body, json_ = '{"fields": {"annual_value": 123456789012345678.123456789}}', {"Content-Type": "application/json"}
    assert api.integrator.put("/records/contract/C1", content=body, headers=json_).status_code == 201
    exact = api.admin.get("/records/contract/C1").json()["fields"]
    assert exact == {"annual_value": "123456789012345678.123456789"}


HOSTILE = [
    ("/records/contract/C1", b'{"fields": {"product": "\\u0000"}}'),
    ("/records/contract/C1", b'{"fields": {"product": "\\ud800"}}'),
    ("/records/contract/C1", b'{"fields": {"\\udfff": "x"}}'),
    ("/records/contract/C1", b'{"\\ud800": 1}'),
    ("/records/contract/C1", b'{"fields": {"product": "\xff"}}'),
    ("/records/contract/C1", b'{"fields": {"product": ["nested"]}}'),
    ("/records/contract/C1", b'{"fields": {"annual_value": 1e400}}'),
    ("/records/contract/C1", b'{"fields": {"annual_value": NaN}}'),
    ("/records/contract/C1", b'{"fields": {"annual_value": ' + b"9" * 5000 + b"}}"),
    ("/records/contract/C1", b'{"fields": {"end_date": "99999-99-99"}}'),
    ("/records/contract/C1", b'{"fields": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("/records/contract/C1", b"{"),
    ("/records/contract/C1", b"[]"),
    ("/records/contract/C1", b""),
    ("/records/contract/%00", b"{}"),
    ("/records/contract/" + "x" * 201, b"{}"),
    ("/records/contract/a%01b", b"{}"),
]


def test_hostile_input_is_refused_and_never_our_fault(api: Api) -> None:
    for path, body in HOSTILE:
        for method in ("PUT", "PATCH"):
            headers = {"Content-Type": "application/json"}
            answer = api.integrator(method, path, content=body, headers=headers)
            assert answer.status_code == 422, (path, body[:60])
            assert answer.headers["Content-Type"] == "application/problem+json"
    path = "/records/contract/2026/0815 Zürich %F0%9F%90%8C"
    assert api.integrator.put(path, json={"fields": {"product": "x" * 100_000}}).status_code == 201
    assert api.admin.get(path).json()["id"] == "2026/0815 Zürich 🐌"
    long = {"fields": {"name": "n" * 100_000, "owner": "o" * 100_000}}
    assert api.integrator.put("/records/customer/K9", json=long).status_code == 201
    too_large = api.integrator.put("/records/contract/C1", json={"fields": {"product": "x" * 1024 * 1024}})
    assert (too_large.status_code, too_large.json()["type"]) == (413, "urn:relance:problem:too-large")
    packed = api.integrator.put("/records/contract/C1", content=b"x", headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    assert api.admin.get("/records/contract/C1").status_code == 404


def test_a_condition_is_checked_where_the_record_is_locked(api: Api) -> None:
    path, write = "/records/contract/C1", api.integrator.put
    assert write(path, json=CONTRACT, headers={"If-Match": "*"}).status_code == 412
    first = write(path, json=CONTRACT, headers={"If-None-Match": "*"}).headers["ETag"]
    taken = write(path, json=CONTRACT, headers={"If-None-Match": "*"})
    assert (taken.status_code, taken.headers["ETag"]) == (412, first)

    one, two = ({"fields": {"line": line}} for line in ("service", "licence"))
    changed = api.integrator.patch(path, json=one, headers={"If-Match": f'"other", {first}'})
    late = api.integrator.patch(path, json=two, headers={"If-Match": first})
    assert (changed.status_code, late.status_code) == (200, 412)
    assert late.headers["ETag"] == changed.headers["ETag"]
    assert api.integrator.delete(path, headers={"If-Match": first}).status_code == 412
    assert api.admin.get(path).json()["fields"]["line"] == "service"
    assert api.integrator.delete(path, headers={"If-Match": changed.headers["ETag"]}).status_code == 200


def test_of_many_who_create_a_record_at_once_one_does(api: Api) -> None:
    def create(n: int) -> int:
        body = {"fields": {"product": f"P{n}"}}
        return api.integrator.put("/records/contract/C1", json=body, headers={"If-None-Match": "*"}).status_code

    api.integrator.get("/records/contract/C1")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(create, range(8)))
    assert sorted(answers) == [201] + [412] * 7


def test_one_sees_the_records_of_ones_own_and_ones_teams_customers_only(api: Api) -> None:
    api.company.has(customer("K1", owner="mate"), customer("K2", owner="stranger"))
    for id_ in ("K1", "K2"):
        api.integrator.put(f"/records/contract/of-{id_}", json=CONTRACT | {"customer": id_})
    assert api.sales.get("/records/contract/of-K1").status_code == 200
    hidden, missing = api.sales.get("/records/contract/of-K2"), api.sales.get("/records/contract/of-K3")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("K2", "K3") == missing.text
    assert api.admin.get("/records/contract/of-K2").status_code == 200
    assert api.sales.put("/records/contract/of-K1", json=CONTRACT).status_code == 403
    assert api.integrator.get("/records/contract/of-K1").status_code == 403
    assert api.nobody.put("/records/contract/of-K1", json=CONTRACT).status_code == 401


def test_the_same_request_with_the_same_key_is_done_once(api: Api) -> None:
    path, key = "/records/contract/C1", {"Idempotency-Key": "order-4711"}
    first = api.integrator.put(path, json=CONTRACT, headers=key)
    api.integrator.delete(path)
    again = api.integrator.put(path, json=CONTRACT, headers=key)
    assert (again.status_code, again.text, again.headers["ETag"]) == (201, first.text, first.headers["ETag"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert api.admin.get(path).status_code == 404

    other = api.integrator.put(path, json={}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:relance:problem:idempotency-key-reused")
    elsewhere = api.integrator.put("/records/contract/C2", json=CONTRACT, headers=key)
    assert elsewhere.status_code == 422
    assert api.admin.put(path, json={"fields": {}}, headers=key).status_code == 201  # whose key it is counts
    assert api.integrator.put(path, json=CONTRACT, headers={"Idempotency-Key": "x" * 201}).status_code == 422

    idempotency.forget(api.company.db, before=api.company.now - KEPT)
    assert api.integrator.put(path, json=CONTRACT, headers=key).headers["Idempotent-Replayed"] == "true"
    idempotency.forget(api.company.db, before=api.company.now + KEPT)
    assert "Idempotent-Replayed" not in api.integrator.put(path, json=CONTRACT, headers=key).headers

    refused = {"Idempotency-Key": "too-early"}  # which leaves the key free
    assert api.integrator.patch("/records/contract/C3", json={"fields": {}}, headers=refused).status_code == 404
    api.integrator.put("/records/contract/C3", json=CONTRACT)
    assert api.integrator.patch("/records/contract/C3", json={"fields": {}}, headers=refused).status_code == 200


def test_of_many_who_send_the_same_key_at_once_one_writes_and_all_are_told_the_same(api: Api) -> None:
    api.integrator.get("/records/contract/C1")

    def create(_: int) -> tuple[int, str, bool]:
        answer = api.integrator.put("/records/contract/C1", json=CONTRACT, headers={"Idempotency-Key": "once"})
        return answer.status_code, answer.text, "Idempotent-Replayed" in answer.headers

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(create, range(8)))
    assert len({(status, text) for status, text, _ in answers}) == 1
    assert sorted(replayed for _, _, replayed in answers) == [False] + [True] * 7


def test_the_write_and_its_stored_answer_are_there_both_or_neither(api: Api) -> None:
    db, now = api.company.db, api.company.now
    request = idempotency.Request(source="u1", key="k", fingerprint="f")

    def breaks_off(within: Database) -> Answer:
        dossiers.upsert(within, [customer("K7")], now=now, source="test")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        idempotency.once(db, request, breaks_off, now=now)
    assert api.admin.get("/records/customer/K7").status_code == 404
    done = Answer(status=200, headers={}, body="done")
    assert idempotency.once(db, request, lambda _: done, now=now) == done
    assert idempotency.once(db, request, breaks_off, now=now).replayed
