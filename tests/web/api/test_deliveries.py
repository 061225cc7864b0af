"""Messages through the API: what was sent, what could not be, and sending it again; and everything in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domain.access import Permission, Role
from store import outbox, suppressions
from store.suppressions import Suppression, Why
from tests.story.relance import contract, customer
from tests.web.api.office import Api
from tests.web.api.test_customers import all_pages

PERSONAL = ("K1", "K2", "Customer", "seller", "mate", "boss", "stranger", "@", "C1")


def test_what_could_not_be_sent_is_seen_and_sent_again(api: Api) -> None:
    company, admin = api.company, api.admin
    company.has(
        customer("K1"),
        customer("K2", owner="mate"),
        contract("C1", ends="2026-11-15", annual_value="48200.50"),
        contract("C2", customer="K2", ends="2026-08-31", annual_value="100"),
        contract("C3", customer="K2", ends="2026-10-15", annual_value="99.50"),
    )
    company.runs()
    sent = admin.get("/deliveries").json()["items"]
    assert [(d["state"], d["person"]) for d in sent] == [("sent", "mate"), ("sent", "seller")]
    assert [d["id"] for d in all_pages(admin, "/deliveries", limit=1)] == [d["id"] for d in sent]
    assert admin.get("/deliveries/counts").json() == {"sent": 2}
    number = sent[1]["id"]

    whole = admin.get(f"/deliveries/{number}").json()
    assert whole["about"] == [
        {"recommendation": whole["about"][0]["recommendation"], "rule": "contract-expiring", "customer": "K1"}
    ]
    assert 'To: "Seller" <seller@example.com>' in whole["body"]
    assert (whole["attempts"], whole["last_error"]) == (1, None)
    for query, found in {
        "customer=K1": 1,
        "customer=K3": 0,
        "rule=contract-expiring": 2,
        "to=mate": 1,
        "to=mate@example.com": 1,
        "state=failed&state=dead": 0,
        "state=sent&channel=email": 2,
        "channel=slack": 0,
        "since=2026-09-01T06:00:00Z": 2,
        "since=2026-09-01T06:00:01Z": 0,
    }.items():
        assert len(admin.get(f"/deliveries?{query}").json()["items"]) == found, query

    # what was taken is not sent again; what came back is
    refused = admin.post(f"/deliveries/{number}/retry")
    assert refused.status_code == 409
    assert refused.json()["detail"] == f"Delivery {number} is sent; only failed, dead or unknown ones are sent again."
    outbox.returned(company.db, number, said="550 no such user", now=company.now)
    assert admin.get(f"/deliveries/{number}").json()["last_error"] == "550 no such user"
    assert admin.get("/deliveries/counts").json() == {"sent": 1, "failed": 1}
    address = Suppression(address="seller@example.com", reason=Why.BOUNCED, since=company.now)
    suppressions.add(company.db, address, source="test")
    assert "nothing is sent to seller@example.com" in admin.post(f"/deliveries/{number}/retry").json()["detail"]
    suppressions.lift(company.db, "seller@example.com", source="test", now=company.now)
    assert admin.post(f"/deliveries/{number}/retry").json()["state"] == "ready"
    assert admin.post(f"/deliveries/{number}/retry").status_code == 409
    assert [i["what"] for i in admin.get("/customers/K1/history").json()["items"]][:2] == [
        "delivery.ready",
        "recommendation.raised",
    ]
    company.runs()
    assert admin.get(f"/deliveries/{number}").json()["state"] == "sent"
    assert len(company.mailbox("seller@example.com")) == 2

    # who may not, does not
    manager = api.as_(Role.MANAGER)
    assert manager.get(f"/deliveries/{number}").status_code == 200
    assert manager.post(f"/deliveries/{number}/retry").status_code == 403
    assert api.sales.get("/deliveries").status_code == 403
    for unknown in (number + 100, 2**63 - 1):
        assert admin.get(f"/deliveries/{unknown}").status_code == 404
    for wrong in (0, 2**63, "x"):
        assert admin.get(f"/deliveries/{wrong}").status_code == 422
    narrow = api.as_(Role.ADMIN, scopes=frozenset({Permission.DELIVERIES_READ}))
    assert narrow.get("/deliveries?state=sent").status_code == 200

    # in numbers, without a word about anybody
    figures = api.as_(Role.PRODUCT_MANAGER).get("/figures")
    assert figures.status_code == 200, figures.text
    assert api.sales.get("/figures").status_code == 403
    numbers = figures.json()
    assert numbers["open"] == {"of": None, "open": 2, "overdue": 0, "worth": "48300.00"}
    assert numbers["by_product"] == [{"of": "Fleet policy", "open": 2, "overdue": 0, "worth": "48300.00"}]
    assert [(row["of"], row["open"]) for row in numbers["by_team"]] == [("zurich", 2)]
    assert [(row["of"], row["open"]) for row in numbers["by_verdict"]] == [("win", 2)]
    assert (numbers["currency"], numbers["deliveries"]) == ("CHF", {"sent": 2})
    told = list(texts(numbers))
    assert not [said for said in told if any(word in said for word in PERSONAL)]
    company.at("2026-09-15")
    assert api.as_(Role.MANAGER).get("/figures").json()["open"]["overdue"] == 2


def texts(document: Any) -> Iterator[str]:
    match document:
        case dict():
            for name, value in document.items():
                yield name
                yield from texts(value)
        case list():
            for value in document:
                yield from texts(value)
        case str():
            yield document
        case _:
            pass
