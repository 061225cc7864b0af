"""A customer through the API: all that is known, what happened, and why a rule speaks or does not."""

from __future__ import annotations

from typing import Any

from domain.access import Role
from domain.record import Record
from tests.story.relance import contract, customer
from tests.web.api.office import Api, Caller

QUIET = """
rule: quiet-contract
title: {en: Quiet contract, de: Stiller Vertrag}
tags: [quiet]
for each: contract
when: {status: active}
then: {recommend: hold, say: "Ask about {{ contract.product }}.", do: call, holds back: {tags: [renewal]}}
rollout: shadow
"""


def lead(id_: str, **fields: str) -> Record:
    return Record(kind="lead", id=id_, customer=None, fields={"status": "new", **fields})


def ids(caller: Caller, path: str) -> list[str]:
    answer = caller.get(path)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def all_pages(caller: Caller, path: str, *, limit: int) -> list[dict[str, Any]]:
    items, cursor = list[dict[str, Any]](), ""
    while True:
        page = caller.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor and f'&cursor={cursor}'}").json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = page["next"]


def test_everybody_finds_the_customers_they_see_and_no_others(api: Api) -> None:
    company, stranger = api.company, api.as_(Role.SALES, person="stranger")
    company.has(
        customer("K1", name="Émile Müller AG"),
        customer("K2", name="Muster & Söhne", owner="mate"),
        customer("K3", name="emilia gmbh", owner="stranger"),
        customer("K30", name="Nobody's", owner=None),
        contract("C3", customer="K3", ends="2026-10-01"),
        contract("C9", customer="K9", ends="2026-10-01"),
        lead("L/1", name="Émilie", owner="seller"),
    )
    company.runs()

    everyone = ["K1", "K2", "K3", "K30", "K9", "lead/L/1"]
    assert ids(api.admin, "/customers") == everyone
    assert ids(api.sales, "/customers") == ["K1", "K2", "lead/L/1"]
    assert ids(stranger, "/customers") == ["K3"]
    assert ids(api.as_(Role.SALES, person="boss"), "/customers") == ["K1", "K2", "lead/L/1"]
    assert [each["id"] for each in all_pages(api.admin, "/customers", limit=2)] == everyone

    assert ids(api.admin, "/customers?search=ÉMIL") == ["K1", "lead/L/1"]
    assert ids(api.admin, "/customers?search=muster%20%26") == ["K2"]
    assert ids(api.admin, "/customers?search=K3") == ["K3", "K30"]
    assert ids(api.admin, "/customers?search=%25") == []
    assert ids(api.admin, "/customers?owner=mate") == ["K2"]
    assert ids(api.admin, "/customers?team=zurich") == ["K1", "K2", "lead/L/1"]
    assert ids(api.admin, "/customers?team=zurich&owner=stranger") == []
    assert ids(api.sales, "/customers?owner=stranger") == []

    (first, *_) = api.admin.get("/customers?search=K3").json()["items"]
    assert first == {"id": "K3", "name": "emilia gmbh", "owner": "stranger", "team": "bern", "open": 1}

    none, refused = api.sales.get("/customers/K4"), api.sales.get("/customers/K3")
    assert none.status_code == refused.status_code == 404
    assert none.json() == {**refused.json(), "detail": refused.json()["detail"].replace("K3", "K4")}
    for path in ("/history", "/why/contract-expiring"):
        assert api.sales.get(f"/customers/K3{path}").status_code == 404
        assert api.admin.get(f"/customers/K3{path}").status_code == 200
    assert api.integrator.get("/customers").status_code == 403
    assert api.as_(Role.PRODUCT_MANAGER).get("/customers/K1").status_code == 403

    for path in ("lead/L/1", "lead%2FL%2F1"):
        assert api.sales.get(f"/customers/{path}").json()["name"] == "Émilie"
        assert api.sales.get(f"/customers/{path}/history").status_code == 200
    company.loses("lead", "L/1")
    assert api.sales.get("/customers/lead/L/1").status_code == 404
    assert ids(api.sales, "/customers") == ["K1", "K2"]


def test_a_customer_is_shown_whole_with_what_is_open_and_why(api: Api) -> None:
    company = api.company
    company.knows("quiet", QUIET)
    company.has(customer("K1"), contract("C1", ends="2026-11-15", annual_value="48200.50"))
    fresh = api.sales.get("/customers/K1").json()
    assert (fresh["evaluated_at"], fresh["recommendations"], fresh["standing"]) == (None, [], None)
    company.runs()

    whole = api.sales.get("/customers/K1?language=de").json()
    assert (whole["owner"], whole["team"], whole["open"]) == ("seller", "zurich", 1)
    assert whole["records"]["contract"][0]["fields"]["annual_value"] == "48200.50"
    tag = api.sales.get("/records/contract/C1").headers["ETag"]
    assert whole["records"]["contract"][0]["etag"] == tag
    assert whole["evaluated_at"] == "2026-09-01T06:00:00Z"
    assert whole["next_check"] == "2026-11-15T23:00:00Z"
    assert whole["failure"] is None

    (open_,) = whole["recommendations"]  # a shadow is nobody's business
    assert (open_["rule"], open_["worth"], open_["customer_name"]) == ("contract-expiring", "48200.50", "Customer K1")
    assert open_["say"].startswith("Der Vertrag endet am")
    reasons = {reason["text"]: reason for reason in open_["reasons"]}
    ends = reasons["Ende liegt in den nächsten 90 Tagen"]
    assert (ends["value"], ends["holds"]) == ("15. November 2026", True)
    assert ends["until"] == "2026-11-15T23:00:00Z"
    assert all(reason["holds"] for reason in open_["reasons"])

    company.has(Record(kind="contract", id="C1", customer="K1", fields={"status": "active", "end_date": "soon"}))
    company.runs()
    failed = api.sales.get("/customers/K1").json()
    assert 'end_date "soon" is not a date' in failed["failure"]["reason"]
    assert failed["recommendations"][0]["reasons"] == []
    assert api.sales.get("/customers/K1/why/contract-expiring").status_code == 409


def test_why_a_rule_speaks_or_does_not_is_told_to_the_moment_it_changes(api: Api) -> None:
    api.company.has(
        customer("K1"),
        contract("C1", ends="2027-01-07", annual_value="48200.50"),
        Record(
            kind="opportunity", id="O1", customer="K1", fields={"contract": "C2", "type": "renewal", "stage": "won"}
        ),
    )

    def why(query: str = "") -> dict[str, Any]:
        answer = api.sales.get(f"/customers/K1/why/contract-expiring{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    (subject,) = why()["subjects"]
    assert (subject["holds"], subject["flips_at"]) == (False, "2026-10-09T00:00:00+02:00")
    assert (subject["reach"], subject["to"]) == ("live", ["seller"])
    by_text = {condition["condition"]: condition for condition in subject["conditions"]}
    failing = by_text["end_date: in the next 90 days"]
    assert (failing["value"], failing["holds"], failing["part"]) == ("2027-01-07", False, "when")

    (later,) = why("?at=2026-11-23T09:00:00%2B01:00&language=de&subject=C1")["subjects"]
    assert (later["holds"], later["flips_at"]) == (True, "2027-01-08T00:00:00+01:00")
    assert later["conditions"][1]["condition"] == "Ende liegt in den nächsten 90 Tagen"
    assert [c["nearest"] for c in later["conditions"] if c["part"] == "unless"] == [None, None]
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        assert why(f"?at={moment}")["subjects"][0]["holds"] is False

    assert (
        api.sales.get("/customers/K1/why/contract-expirin")
        .json()["detail"]
        .startswith('There is no rule "contract-expirin"; did you mean "contract-expiring"?')
    )
    assert "it has C1" in api.sales.get("/customers/K1/why/contract-expiring?subject=C7").json()["detail"]
    assert api.sales.get("/customers/K1/why/contract-expiring?at=yesterday").status_code == 422


def test_the_history_of_a_customer_tells_everything_once_and_the_latest_first(api: Api) -> None:
    company = api.company
    company.has(customer("K1"), contract("C1", ends="2026-11-15"))
    company.runs()
    (open_,) = api.sales.get("/recommendations").json()["items"]
    company.at("2026-09-02")
    company.has(contract("C1", ends="2026-11-15", status="cancelled"))
    assert api.sales.post(f"/recommendations/{open_['id']}/done", json={"note": "called"}).status_code == 200
    company.at("2026-09-03").runs()
    company.has(contract("C1", customer="K2", ends="2026-11-15"))

    history = api.sales.get("/customers/K1/history?limit=200").json()
    assert history["next"] is None
    told = [item["what"] for item in history["items"]]
    assert told == [
        "record.left",
        "recommendation.ended",
        "recommendation.done",
        "record.changed",
        "delivery.sent",
        "recommendation.raised",
        "record.created",
        "record.created",
    ]
    done, changed = history["items"][2:4]
    assert (done["source"].split(":")[0], done["after"]["note"]) == ("token", "called")
    assert (changed["record"], changed["before"], changed["after"]) == (
        {"kind": "contract", "id": "C1"},
        {"status": "active"},
        {"status": "cancelled"},
    )
    sent = history["items"][4]
    assert (sent["delivery"]["person"], sent["recommendation"]) == ("seller", open_["id"])
    assert all_pages(api.sales, "/customers/K1/history", limit=3) == history["items"]
    assert [item["what"] for item in api.admin.get("/customers/K2/history").json()["items"]] == ["record.changed"]
