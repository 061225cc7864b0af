"""Whoever asks what is kept about them gets all of it, and whoever asks to be forgotten is."""

from __future__ import annotations

import pytest

from domain.access import Role
from tests.story.relance import contract, customer
from tests.web.api.office import Api

EXPORT, ERASE = "/privacy/export", "/privacy/erase"


def test_a_customer_is_handed_out_and_erased(api: Api) -> None:
    company = api.company.at("2026-10-09")
    company.has(customer("K1", name="Muster AG"), contract("C1", ends="2027-01-07")).runs()
    assert len(company.mailbox("seller@example.com")) == 1
    asked = {"of": "customer", "id": "K1"}

    kept = api.admin.post(EXPORT, json=asked).json()
    assert (kept["of"], kept["id"], kept["erased_at"]) == ("customer", "K1", [])
    assert [record["fields"]["name"] for record in kept["parts"]["records"] if record["kind"] == "customer"] == [
        "Muster AG"
    ]
    (delivery,) = kept["parts"]["deliveries"]
    assert "Muster AG" in delivery["body"]
    (event,) = kept["parts"]["events"]
    assert event["data"]["recommendation"]["customer"] == "K1"

    gone = api.admin.post(ERASE, json=asked | {"reason": "ticket 4711"})
    assert gone.status_code == 200
    assert gone.json()["erased"]["records"] == 2
    assert company.recommendations() == []
    assert company.runs().evaluated.customers == 0
    assert api.admin.get("/customers/K1").status_code == 404
    (tombstone,) = api.admin.get("/audit", params={"action": "customer.erased"}).json()["items"]
    assert tombstone["after"]["reason"] == "ticket 4711"
    assert "K1" not in str(tombstone)
    again = api.admin.post(EXPORT, json=asked).json()
    assert len(again["erased_at"]) == 1
    assert not any(again["parts"].values())
    assert api.admin.post(ERASE, json=asked | {"reason": "x"}).status_code == 404


def test_a_person_is_handed_out_and_erased_and_reminded_no_more(api: Api) -> None:
    company = api.company.at("2026-10-08")
    company.has(customer("K1"), contract("C1", ends="2027-01-07")).runs()
    asked = {"of": "person", "id": "seller"}
    assert api.admin.post(EXPORT, json=asked).json()["parts"]["person"][0]["email"] == "seller@example.com"
    assert api.admin.post(ERASE, json=asked | {"reason": "left"}).status_code == 200
    company.at("2026-10-09").runs()
    assert company.open() == ["contract-expiring C1"]
    assert company.mailbox("seller@example.com") == []
    assert api.admin.get("/people/seller").status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)
def test_only_an_admin_may_and_nobody_is_made_up(api: Api) -> None:
    asked = {"of": "customer", "id": "K1"}
    assert api.admin.post(EXPORT, json=asked).status_code == 404
    assert api.admin.post(ERASE, json=asked | {"reason": "x"}).status_code == 404
    for wrong in ({}, asked | {"id": ""}, asked | {"id": "a\x00"}, asked | {"of": "dog"}, asked | {"more": 1}):
        assert api.admin.post(EXPORT, json=wrong).status_code == 422
    assert api.admin.post(ERASE, json=asked).status_code == 422, "there is a reason for everything"
    for role in set(Role) - {Role.ADMIN}:
        assert api.as_(role).post(EXPORT, json=asked).status_code == 403
        assert api.as_(role).post(ERASE, json=asked | {"reason": "x"}).status_code == 403
