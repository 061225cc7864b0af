"""Recommendations through the API: what is open and for whom, in which order, and what acting on one does."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

from domain.access import Permission, Role
from domain.delivery import DeliveryState
from domain.recommendation import State
from store import changes, followups, recommendations
from store.changes import Place
from tests.story.relance import contract, customer
from tests.web.api.office import Api, Caller
from tests.web.api.test_customers import all_pages

RULES = """
rule: fleet-renewal
tags: [renewal]
for each: contract
when: {status: active, product: fleet}
then:
  recommend: win
  say: "Renew {{ contract.product }}."
  do: webhook renewal.start
  to: [owner, owner.manager]
  due: 30 days before end_date
  worth: annual_value
  repeat: every 2 days
---
rule: old-debt
tags: [debt]
for each: customer
when: {city: Bern}
then: {recommend: let go, say: Stop here., holds back: {tags: [renewal], about: customer}}
"""
FLEET = "?rule=fleet-renewal"


def has_contracts(api: Api) -> None:
    company = api.company
    company.knows("fleet", RULES)
    company.has(
        customer("K1"),
        customer("K2", owner="mate"),
        customer("K3", owner="stranger"),
        customer("K4", city="Bern"),
        *(contract(f"A{n}", ends=f"2027-0{n}-01", product="fleet", annual_value=str(n * 9_000)) for n in range(1, 6)),
        contract("B1", customer="K2", ends="2027-01-15", product="fleet", annual_value="100000"),
        contract("B2", customer="K3", ends="2027-01-16", product="fleet"),
        contract("B3", customer="K4", ends="2027-01-17", product="fleet", annual_value="700.50"),
    )
    company.runs()


def subjects(caller: Caller, query: str) -> list[str]:
    answer = caller.get(f"/recommendations{query}")
    assert answer.status_code == 200, answer.text
    return [item["subject"]["id"] for item in answer.json()["items"]]


def test_everybody_lists_what_is_open_at_the_customers_they_see(api: Api) -> None:
    has_contracts(api)
    everything = ["A1", "A2", "A3", "A4", "A5", "B1", "B2", "B3"]
    assert subjects(api.admin, f"{FLEET}&sort=due") == ["A1", "B1", "B2", "B3", "A2", "A3", "A4", "A5"]
    assert sorted(subjects(api.sales, FLEET)) == [s for s in everything if s != "B2"]
    assert subjects(api.as_(Role.SALES, person="stranger"), "") == ["B2"]
    assert api.integrator.get("/recommendations").status_code == 403

    assert subjects(api.admin, f"{FLEET}&sort=-worth") == ["B1", "A5", "A4", "A3", "A2", "A1", "B3", "B2"]
    assert subjects(api.admin, f"{FLEET}&sort=worth&limit=2") == ["B2", "B3"]
    assert subjects(api.admin, "?tag=debt") == ["K4"]
    assert subjects(api.admin, "?tag=debt&rule=fleet-renewal") == []
    assert subjects(api.admin, "?team=bern") == ["B2"]
    assert subjects(api.admin, "?customer=K2") == ["B1"]
    assert subjects(api.admin, "?product=fleet&worth_min=45000&sort=worth") == ["A5", "B1"]
    assert subjects(api.admin, "?due_before=2026-12-16") == ["A1"]
    assert subjects(api.admin, "?held_back=true") == ["B3"]
    assert subjects(api.admin, "?state=done") == []
    assert sorted(subjects(api.admin, "?to=stranger")) == ["B2"]
    assert subjects(api.as_(Role.SALES, person="mate"), "?to=me") == ["B1"]
    assert sorted(subjects(api.as_(Role.SALES, person="boss"), "?to=me")) == ["A1", "A2", "A3", "A4", "A5", "B1", "B3"]

    (held,) = api.admin.get("/recommendations?held_back=true").json()["items"]
    assert (held["held_back_by"], held["worth"], held["due"]) == (["old-debt"], "700.50", "2026-12-18")
    known = api.sales.get(f"/recommendations/{held['id']}").json()
    assert known["reasons"][0] == {"text": "Status is active", "value": "active", "holds": True, "until": None}
    assert api.as_(Role.SALES, person="stranger").get(f"/recommendations/{held['id']}").status_code == 404
    assert api.sales.get("/recommendations/none").status_code == 404
    for wrong in ("?sort=name", "?worth_min=much", "?due_before=soon", "?cursor=x", "?to=%00", "?limit=0"):
        assert api.sales.get(f"/recommendations{wrong}").status_code == 422


def test_pages_in_any_order_show_everything_once_while_others_write(api: Api) -> None:
    has_contracts(api)
    orders = ("opened_at", "-opened_at", "due", "-due", "worth", "-worth")
    paths = {sort: f"/recommendations{FLEET}&sort={sort}" for sort in orders}
    before = {sort: [item["id"] for item in api.admin.get(path).json()["items"]] for sort, path in paths.items()}
    begun = {sort: api.admin.get(f"{path}&limit=3").json() for sort, path in paths.items()}

    api.company.at("2026-09-02").has(
        contract("A8", ends="2027-01-10", product="fleet", annual_value="30000"),
        contract("A1", ends="2027-01-01", product="fleet", annual_value="9000", status="cancelled"),
    )
    api.company.runs()

    for sort, path in paths.items():
        first = [item["id"] for item in begun[sort]["items"]]
        assert first == before[sort][:3]
        now = [item["id"] for item in api.admin.get(path).json()["items"]]
        rest = [item["id"] for item in all_pages(api.admin, f"{path}&cursor={begun[sort]['next']}", limit=2)]
        assert rest == [id_ for id_ in now if id_ not in first and (id_ in before[sort] or now.index(id_) > 2)]
        assert api.admin.get(f"{paths['due']}&cursor={begun['worth']['next']}").status_code == 422


def test_acting_is_told_to_everybody_and_doing_it_twice_is_harmless(api: Api) -> None:
    has_contracts(api)
    company, mate = api.company, api.as_(Role.SALES, person="mate")
    by_subject = {r.subject.id: r.id for r in company.recommendations()}

    def act(caller: Caller, subject: str, verb: str, **body: Any) -> Any:
        return caller.post(f"/recommendations/{by_subject[subject]}/{verb}", json=body or None)

    # done
    answer = act(api.sales, "A1", "done", note="signs next week")
    assert answer.status_code == 200
    assert answer.json()["changed"] is True
    done = answer.json()["recommendation"]
    assert (done["state"], done["closed_by"], done["note"]) == ("done", "seller", "signs next week")
    company.at("2026-09-01T09:00")
    again = act(api.sales, "A1", "done", note="really").json()
    assert again == {"changed": False, "recommendation": done}

    # somebody else was faster
    late = act(mate, "A1", "dismiss", reason="not-mine")
    assert late.status_code == 409
    assert late.headers["Content-Type"] == "application/problem+json"
    problem = late.json()
    assert problem["detail"] == "It is done by Seller, 2026-09-01T06:00:00+00:00."
    assert (problem["state"], problem["closed_by"], problem["ended_at"]) == ("done", "seller", None)

    # accept: other systems hear what is wanted, once
    for changed in (True, False):
        assert act(api.sales, "A2", "accept").json()["changed"] is changed
    types = [change.type for change in changes.between(company.db, Place(), Place(10**6, 0))]
    assert types.count("action.requested") == 1

    # dismiss wants a reason
    assert act(api.sales, "A3", "dismiss", reason="  ").status_code == 422
    assert act(api.sales, "A3", "dismiss").status_code == 422
    dismissed = act(api.sales, "A3", "dismiss", reason="not-mine: moved").json()["recommendation"]
    assert (dismissed["state"], dismissed["note"]) == ("dismissed", "not-mine: moved")

    # reopen: what is still to come is planned anew
    assert followups.of(company.db, by_subject["A3"]) == []
    assert act(mate, "A3", "reopen").json()["recommendation"]["state"] == "open"
    assert act(mate, "A3", "reopen").json()["changed"] is False
    (repeat,) = followups.of(company.db, by_subject["A3"])
    assert repeat.due_at == company.now + timedelta(days=2)

    # snooze
    first = act(api.sales, "A4", "snooze", **{"for": "3 days"}).json()
    assert first["recommendation"]["snoozed_until"] == "2026-09-04T07:00:00Z"
    company.at("2026-09-01T09:05")
    assert act(api.sales, "A4", "snooze", **{"for": "3 days"}).json() == {**first, "changed": False}
    assert subjects(api.sales, "?snoozed=true") == ["A4"]
    assert "A4" not in subjects(api.sales, "?snoozed=false")
    until = {"until": "2026-09-05T12:00:00+02:00"}
    assert act(api.sales, "A4", "snooze", **until).json()["changed"] is True
    assert act(api.sales, "A4", "snooze", **until).json()["changed"] is False
    queued = [d for d in company.deliveries(DeliveryState.QUEUED) if d.recommendation == by_subject["A4"]]
    assert [(d.person, d.due_at.isoformat()) for d in queued] == [("seller", "2026-09-05T10:00:00+00:00")]
    for wrong in ({}, {"for": "soon"}, {"until": "soon"}, {"for": "3 days", **until}, {"for": "0 days"}):
        assert act(api.sales, "A4", "snooze", **wrong).status_code == 422
    # who is none of the people acts under the user's own id, and those it speaks to are reminded
    forever = act(api.admin, "A5", "snooze", until="9999-12-31T23:59:59Z").json()["recommendation"]
    assert forever["snoozed_until"] > "2100"
    reminded = [d.person for d in company.deliveries(DeliveryState.QUEUED) if d.recommendation == by_subject["A5"]]
    assert sorted(reminded) == ["boss", "seller"]
    assert act(api.admin, "A5", "done").json()["recommendation"]["closed_by"].startswith("u_")

    # an episode that is over cannot be acted on
    company.at("2026-09-02").has(contract("A1", ends="2027-01-01", product="fleet", status="cancelled"))
    company.has(contract("B1", customer="K2", ends="2027-01-01", product="fleet", status="cancelled"))
    company.runs()
    over = act(api.sales, "A1", "reopen")
    assert over.status_code == 409
    assert over.json()["detail"].endswith("; its episode is over.")
    assert act(api.sales, "B1", "done").json()["state"] == "resolved"

    # nobody acts on what they do not see, or without the permission
    assert act(api.as_(Role.SALES, person="stranger"), "A4", "done").status_code == 404
    reads = api.as_(Role.SALES, scopes=frozenset({Permission.RECOMMENDATIONS_READ}))
    assert act(reads, "A4", "done").status_code == 403
    stored = recommendations.get(company.db, by_subject["A4"])
    assert stored is not None
    assert stored.state is State.OPEN

    # all of it is in the history, under the token's name
    history = api.sales.get("/customers/K1/history?limit=200").json()["items"]
    acts = [(i["what"], i["source"].split(":")[0]) for i in history if i["what"].split(".")[1] in {"done", "snooze"}]
    assert acts == [("recommendation.done", "token")] + [("recommendation.snooze", "token")] * 3 + [
        ("recommendation.done", "token")
    ]
    assert all(after["at"] >= before["at"] for after, before in pairwise(history))
