"""The audit through the API: who did what, when, from where, page by page; for admins alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.access import Role
from store import chain
from tests.story.relance import contract, customer
from tests.web.api.office import Api


def subjects(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["subject"] for entry in answer.json()["items"]]


def test_each_write_stands_there_with_who_and_what(api: Api) -> None:
    company, about = api.company, {"kind": "contract"}
    company.has(customer("K1"), contract("C1", ends="2027-01-07"), contract("C2", ends="2028-01-07", customer="K2"))
    company.now += timedelta(days=1)
    company.has(contract("C1", ends="2028-01-07"))
    (changed,) = api.admin.get("/audit", params=about | {"action": "record.changed"}).json()["items"]
    assert changed.pop("seq") > 0
    assert changed == {
        "at": company.now.isoformat().replace("+00:00", "Z"),
        "action": "record.changed",
        "source": "story",
        "kind": "contract",
        "subject": "C1",
        "customer": "K1",
        "before": {"end_date": "2027-01-07"},
        "after": {"end_date": "2028-01-07"},
        "trace": None,
        "sealed": False,
        "erased_at": None,
    }
    chain.seal(company.db)
    page = api.admin.get("/audit", params=about | {"limit": 2}).json()
    assert [(entry["subject"], entry["sealed"]) for entry in page["items"]] == [("C1", True), ("C2", True)]
    assert subjects(api.admin.get("/audit", params=about | {"limit": 2, "cursor": page["next"]})) == ["C1"]
    assert subjects(api.admin.get("/audit", params={"customer": "K2"})) == ["C2"]
    assert subjects(api.admin.get("/audit", params=about | {"since": "2026-09-02T06:00:00Z"})) == ["C1"]
    assert subjects(api.admin.get("/audit", params=about | {"until": "2026-09-02T08:00:00+02:00"})) == ["C2", "C1"]
    assert subjects(api.admin.get("/audit", params=about | {"source": "nobody"})) == []
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00+23:59"):
        assert api.admin.get("/audit", params={"since": moment, "until": moment}).json()["items"] == []


@pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)
def test_what_is_asked_wrongly_is_refused_and_only_admins_may_ask(api: Api) -> None:
    for wrong in ({"since": "1700000000"}, {"since": "2026-09-02"}, {"kind": "\x00"}, {"subject": ""}, {"cursor": "x"}):
        assert api.admin.get("/audit", params=wrong).status_code == 422, wrong
    for role in set(Role) - {Role.ADMIN}:
        assert api.as_(role).get("/audit").status_code == 403
