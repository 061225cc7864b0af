"""What other systems post by themselves, signed or with a token, in their own JSON."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

from httpx import Response
from standardwebhooks import Webhook

from tests.web.api.office import Api

SECRET = "whsec_" + b64encode(b"a secret of thirty-two bytes, ok").decode()
KEY = "what only the shop knows"
CONTRACTS = """
map: Contracts of the shop
records:
  - kind: contract
    id: number
    customer: buyer.id
    fields: {status: {column: state, required: true}, end_date: until}
"""
DEAL = {
    "id": "7001",
    "properties": {
        "dealstage": "contractsent",
        "amount": "48200.50",
        "hs_primary_associated_company": "K1",
        "createdate": "2026-08-01T09:30:00.123Z",
        "closedate": "2026-12-01T00:00:00Z",
        "hs_is_closed": "false",
        "hubspot_owner_id": "seller",
        "dealtype": "newbusiness",
    },
}


def set_up(api: Api, tmp_path: Path) -> None:
    map_ = tmp_path / "contracts.yaml"
    map_.write_text(CONTRACTS, encoding="utf-8")
    api.company.sets(
        inbound={
            "crm": {"map": "hubspot-deals", "secret": SECRET, "rows": "data.results"},
            "shop": {"map": str(map_), "secret": KEY, "header": "X-Shop-Signature"},
            "tokens-only": {"map": str(map_)},
        }
    )


def post(api: Api, path: str, document: object, **headers: str) -> Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return api.nobody.post(path, content=body, headers={"Content-Type": "application/json", **headers})


def standard(api: Api, document: object, *, age: timedelta = timedelta(0), secret: str = SECRET) -> dict[str, str]:
    at = api.company.now - age
    signature = Webhook(secret).sign("msg_1", at, json.dumps(document))
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": f"v1,bm9uZSBvZiBvdXJz {signature}",
    }


def test_what_is_posted_goes_through_the_map_into_the_store(api: Api, tmp_path: Path) -> None:
    set_up(api, tmp_path)
    rows: list[dict[str, Any]] = [
        DEAL,
        {"id": "7002", "properties": {"dealstage": "on the moon"}},
        {"id": "7003", "properties": {"dealstage": "closedwon", "hs_is_closed": True, "closedate": "2026-08-30"}},
    ]
    posted = {"data": {"results": [*rows, 4]}}
    answer = post(api, "/inbound/crm", posted, **standard(api, posted))
    assert answer.status_code == 200
    assert answer.json() | {"findings": ...} == {
        "rows": 4,
        "rejected": 2,
        "written": {"opportunity": {"new": 2, "changed": 0, "unchanged": 0}},
        "findings": ...,
    }
    found = {(f["row"], f["field"]): f["reason"] for f in answer.json()["findings"]}
    assert found.keys() == {(2, "stage"), (4, "")}
    assert "on the moon" in found[2, "stage"]
    deal = api.admin.get("/records/opportunity/7001").json()
    assert deal == {
        "kind": "opportunity",
        "id": "7001",
        "customer": "K1",
        "fields": {
            "owner": "seller",
            "stage": "negotiation",
            "type": "new",
            "amount": "48200.5",
            "opened_on": "2026-08-01",
        },
    }
    assert api.admin.get("/records/opportunity/7003").json()["fields"] == {"stage": "won", "closed_on": "2026-08-30"}

    one = {"number": "C1", "buyer": {"id": "K1"}, "state": "active", "until": "2027-01-07"}
    assert api.integrator.post("/inbound/tokens-only", json=one).json()["written"]["contract"]["new"] == 1
    again = api.integrator.post("/inbound/tokens-only", json=[one, one]).json()
    assert again["written"]["contract"] == {"new": 0, "changed": 0, "unchanged": 2}
    hostile = post(api, "/inbound/tokens-only", b"[]")
    assert hostile.status_code == 401
    for body in (b'{"number": "\\u0000"}', b'{"number": "\\ud800"}', b"\xff", b"[" * 5000, b"", b"{"):
        headers = {"Content-Type": "application/json"}
        assert api.integrator.post("/inbound/tokens-only", content=body, headers=headers).status_code == 422
    assert api.integrator.post("/inbound/crm", json={"data": 1}).status_code == 422
    long = api.integrator.post("/inbound/tokens-only", json=one | {"number": "x" * 5000})
    assert (long.status_code, long.json()["rejected"]) == (200, 1)


def test_only_a_token_or_a_fresh_signature_opens_and_strangers_learn_nothing(api: Api, tmp_path: Path) -> None:
    set_up(api, tmp_path)
    row = {"number": "C1", "state": "active"}
    body = json.dumps(row).encode()
    digest = hmac.digest(KEY.encode(), body, hashlib.sha256)
    for given in (digest.hex(), digest.hex().upper(), f"sha256={digest.hex()}", b64encode(digest).decode()):
        assert post(api, "/inbound/shop", body, **{"x-shop-signature": given}).status_code == 200, given
    for given in ("", "sha256=", digest.hex()[:-1], hmac.digest(b"guess", body, hashlib.sha256).hex(), "\xe9"):
        header = {"x-shop-signature": given.encode("latin-1")}
        assert api.nobody.post("/inbound/shop", content=body, headers=header).status_code == 401, given
    changed = post(api, "/inbound/shop", body + b" ", **{"x-shop-signature": digest.hex()})
    unknown = post(api, "/inbound/nowhere", body, **{"x-shop-signature": digest.hex()})
    assert changed.status_code == unknown.status_code == 401
    assert changed.text == unknown.text

    posted = {"data": {"results": [DEAL]}}
    minutes = timedelta(minutes=1)
    other = "whsec_" + b64encode(b"another secret of thirty-two byt").decode()
    for age, secret, status in (
        (4 * minutes, SECRET, 200),
        (-4 * minutes, SECRET, 200),
        (6 * minutes, SECRET, 401),
        (-6 * minutes, SECRET, 401),
        (0 * minutes, other, 401),
    ):
        answer = post(api, "/inbound/crm", posted, **standard(api, posted, age=age, secret=secret))
        assert answer.status_code == status, age
    broken = standard(api, posted) | {"webhook-timestamp": "9" * 400}
    assert post(api, "/inbound/crm", posted, **broken).status_code == 401

    assert api.integrator.post("/inbound/nowhere", json=row).status_code == 404
    assert api.sales.post("/inbound/shop", json=row).status_code == 403
    keyed = [api.integrator.post("/inbound/shop", json=row, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert keyed[1].headers["Idempotent-Replayed"] == "true"
