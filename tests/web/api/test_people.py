"""People, teams and offices over the API."""

from __future__ import annotations

from domain.wishes import Wishes
from store import due, people
from tests.story.relance import customer
from tests.web.api.office import Api

LENA = {"name": "Lena Steiner", "email": "lena@example.com", "manager": "boss", "team": "zurich"}


def test_a_person_is_written_changed_and_leaves(api: Api) -> None:
    path, write = "/people/lena", api.integrator.put
    new = write(path, json=LENA)
    assert (new.status_code, new.json()) == (201, {"id": "lena", "outcome": "new", "warnings": []})
    assert write(path, json=LENA).json()["outcome"] == "unchanged"
    assert write(path, json=LENA, headers={"If-None-Match": "*"}).status_code == 412

    said = {"manager": "nobody", "office": "atlantis", "language": "tlh", "chat": "pigeon"}
    patched = api.integrator.patch(path, json=said, headers={"If-Match": new.headers["ETag"]})
    assert patched.json()["outcome"] == "changed"
    assert {warning["pointer"] for warning in patched.json()["warnings"]} == {f"/{name}" for name in said}
    assert api.integrator.patch(path, json={}, headers={"If-Match": new.headers["ETag"]}).status_code == 412
    shown = api.sales.get(path)
    assert shown.json() == {"id": "lena", "timezone": None, **LENA, **said}
    assert shown.headers["ETag"] == patched.headers["ETag"]

    for wrong in ({"email": "lena"}, {"email": "a@b@c"}, {"timezone": "Mars/Olympus"}, {"name": None}, {"x": 1}):
        refused = api.integrator.put(path, json=LENA | wrong)
        assert refused.status_code == 422, wrong
        assert refused.json()["errors"][0]["pointer"] == f"/{next(iter(wrong))}"

    api.company.has(customer("K1", owner="lena"), customer("K2", owner="seller")).wishes("lena", daily_cap=1)
    api.company.runs()
    assert api.integrator.delete(path).json()["outcome"] == "deleted"
    assert due.due_count(api.company.db, now=api.company.now) == 1
    assert api.integrator.delete(path).json()["outcome"] == "unchanged"
    assert api.integrator.patch(path, json={}).status_code == 404
    assert api.sales.get(path).status_code == 404
    write(path, json=LENA)
    assert people.load(api.company.db).by_id["lena"].wishes == Wishes()

    assert api.sales.put(path, json=LENA).status_code == 403
    assert api.integrator.get(path).status_code == 403


def test_everybody_is_listed_page_by_page(api: Api) -> None:
    first = api.sales.get("/people?limit=3").json()
    rest = api.sales.get("/people", params={"limit": 3, "cursor": first["next"]}).json()
    assert [p["id"] for p in first["items"] + rest["items"]] == ["boss", "mate", "seller", "stranger"]
    assert rest["next"] is None


def test_a_team_is_whoever_is_said_to_be_in_it(api: Api) -> None:
    teams = api.sales.get("/teams").json()["items"]
    assert {team["name"]: (team["lead"], team["members"]) for team in teams} == {
        "bern": (None, ["stranger"]),
        "zurich": ("boss", ["boss", "mate", "seller"]),
    }
    put = api.integrator.put("/teams/zurich", json={"members": ["seller", "stranger"]})
    assert put.json() == {"name": "zurich", "lead": "boss", "members": ["seller", "stranger"]}
    assert api.admin.get("/people/mate").json()["team"] is None
    assert [team["name"] for team in api.sales.get("/teams").json()["items"]] == ["zurich"]

    unknown = api.integrator.put("/teams/zurich", json={"members": ["seller", "ghost"]})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/members/1")
    assert api.sales.get("/teams").json()["items"][0]["members"] == ["seller", "stranger"]

    offices = {office["name"]: office for office in api.sales.get("/offices").json()["items"]}
    assert offices["new-york"]["timezone"] == "America/New_York"
    assert offices["zurich"]["hours"]["monday"] == [{"begin": "09:00", "end": "17:00"}]
    assert (offices["zurich"]["hours"]["sunday"], offices["zurich"]["holidays"]) == ([], False)
