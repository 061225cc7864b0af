"""Rules through the API: those that are live, in plain words, and those that somebody tries."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import Role
from tests.story.relance import contract, customer
from tests.web.api.office import Api
from tests.web.api.test_customers import all_pages

QUIET = """rule: quiet-contract
title: {en: Quiet contract, de: Stiller Vertrag}
for each: contract
when: {status: active, end_date: in the next 400 days}
then: {recommend: hold, say: Call them., do: call, to: owner}
tests:
  - {name: raises, today: 2026-11-23, given: {contract: {id: C1, status: active, end_date: 2027-01-07}},
     expect: {raised: C1}}
  - {name: stays quiet, today: 2026-11-23, given: {contract: {id: C1, status: cancelled}}, expect: {raised: C1}}
"""

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NONSENSE = {
    "aliases of aliases": BOMB,
    "deep": "[" * 100_000,
    "deep blocks": "".join(f"{' ' * n}a{n}:\n" for n in range(900)),
    "one long line": "x" * 1_000_000,
    "many keys": "".join(f"k{n}: {n}\n" for n in range(5_000)),
    "many documents": "---\nrule: x\n" * 5_000,
    "many rules": "".join(
        f"---\nrule: r{n}\nfor each: contract\nthen: {{recommend: win, say: x}}\n" for n in range(300)
    ),
    "long words": f"rule: {'x' * 300_000}\nfor each: {'y' * 300_000}\nwhen: {{{'z' * 300_000}: yes}}\nthen: 5\n",
    "long number": QUIET.replace("400", "9" * 10_000),
    "far away": QUIET.replace("2026-11-23", "9999-12-31").replace("2027-01-07", "0001-01-01"),
    "many spans": QUIET.replace("400 days", "999999999 business hours"),
    "binary": "\x01\x02\x7f\ufeff\u2028\U0001f600: \x85",
    "tags": "rule: !!python/object/apply:os.system [id]\n",
    "code": 'model:\n  contract:\n    "x)\\nimport os\\nos.abort()\\n(": {count: "contract"}\n',
    "template": QUIET.replace("Call them.", "'{% for a in range(10**9) %}{{ a ** a }}{% endfor %}'"),
    "nothing": "",
}

HARMLESS = ("nothing",)


def posted(text: str, **more: Any) -> dict[str, Any]:
    return {"files": {"mine.yaml": text}, **more}


def test_the_live_rules_are_told_in_plain_words(api: Api) -> None:
    company = api.company
    company.knows("quiet", QUIET.partition("tests:")[0] + "rollout: 50% of customers\n")
    company.has(customer("K1"), contract("C1", ends="2026-11-15"))
    company.runs()

    rules = {rule["id"]: rule for rule in all_pages(api.integrator, "/rules?language=de", limit=4)}
    assert list(rules) == sorted(rule.id for rule in company.house.base.rules)
    expiring = rules["contract-expiring"]
    assert (expiring["title"], expiring["pack"], expiring["stage"]) == (
        "Vertrag läuft ohne Verlängerung aus",
        "base",
        "live",
    )
    assert (expiring["version"], expiring["open"], expiring["tags"]) == (1, 1, ["sales", "renewal"])
    assert expiring["sentence"].startswith("Für jeden Vertrag, dessen Status aktiv ist")
    assert (rules["quiet-contract"]["stage"], rules["quiet-contract"]["pack"]) == ("percent", "rules")

    whole = api.sales.get("/rules/quiet-contract").json()
    assert whole["source"] == QUIET.partition("tests:")[0] + "rollout: 50% of customers\n"
    assert whole["sentence"].startswith("For each contract")
    assert api.sales.get("/rules/quite-contract").json()["detail"].startswith('There is no rule "quite-contract"; did')
    assert api.sales.post("/rules/check", json=posted(QUIET)).status_code == 403
    assert api.as_(Role.PRODUCT_MANAGER).get("/rules").status_code == 200


def test_posted_rules_are_checked_tested_and_simulated_and_nothing_is_written(api: Api) -> None:
    company, manager = api.company, api.as_(Role.MANAGER)
    company.has(customer("K1"), customer("K2", owner="mate"), customer("K3", owner=None))
    company.has(contract("C1", ends="2026-11-15"), contract("C2", customer="K2", ends="2027-09-03"))
    company.runs()
    history = [manager.get(f"/customers/{k}/history").json() for k in ("K1", "K2")]

    wrong = QUIET.replace("end_date", "end_dat").replace("recommend: hold, ", "")
    found = manager.post("/rules/check", json=posted(wrong)).json()
    assert (found["errors"], found["rules"]) == (3, 0)
    first = found["findings"][0]
    assert (first["code"], first["file"], first["line"], first["column"]) == ("R101", "mine.yaml", 4, 24)
    assert first["help"] == 'did you mean "end_date"?'

    played = manager.post("/rules/test", json=posted(QUIET)).json()
    assert (played["tests"], played["failed"]) == (2, 1)
    assert played["failures"] == [
        {
            "rule": "quiet-contract",
            "test": "stays quiet",
            "file": "mine.yaml",
            "line": 9,
            "message": "on 2026-11-23 expected C1, open is nothing",
        }
    ]
    for path in ("test", "simulate"):
        refused = manager.post(f"/rules/{path}", json=posted(wrong)).json()
        assert [f["code"] for f in refused["findings"]] == [f["code"] for f in found["findings"]]
        assert refused.get("tests", refused.get("customers")) == 0

    ahead = manager.post("/rules/simulate", json=posted(QUIET, days=30)).json()
    assert (ahead["customers"], ahead["cut_short"], ahead["failed"]) == (3, False, [])
    by_rule = {row["rule"]: row for row in ahead["per_rule"]}
    assert (by_rule["quiet-contract"]["open"], by_rule["quiet-contract"]["raised"]) == (2, 0)
    live = manager.post("/rules/simulate", json={"days": 300, "customers": 2}).json()
    assert (live["customers"], live["cut_short"]) == (2, True)
    (expiring,) = [row for row in live["per_rule"] if row["rule"] == "contract-expiring"]
    assert (expiring["open"], expiring["raised"]) == (1, 1)
    assert [(row["person"], row["reminders"]) for row in live["per_person"]] == [("mate", 1), ("seller", 0)]
    assert manager.post("/rules/simulate", json={"days": 367}).status_code == 422
    assert manager.post("/rules/simulate", json={"customers": 1001}).status_code == 422

    assert [manager.get(f"/customers/{k}/history").json() for k in ("K1", "K2")] == history
    assert [rule.id for rule in company.house.base.rules if rule.id == "quiet-contract"] == []


@pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)
def test_nonsense_is_answered_with_findings_and_never_takes_the_service_down(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = api.as_(Role.MANAGER)
    for name, text in NONSENSE.items():
        answer = manager.post("/rules/check", json=posted(text))
        assert answer.status_code == (413 if name == "many rules" else 200), (name, answer.text[:300])
        if answer.status_code == 200 and name not in HARMLESS:
            assert answer.json()["findings"], name
        assert len(answer.content) < 200_000, name
    for path in ("test", "simulate"):
        for name in ("long number", "far away", "code", "nothing"):
            answer = manager.post(f"/rules/{path}", json=posted(NONSENSE[name]))
            assert answer.status_code in (200, 413, 422), (name, path, answer.text[:300])
    assert manager.post("/rules/check", json=posted("x" * 1_000_001)).status_code == 422
    halves = {"files": dict.fromkeys("ab", "#" * 500001)}
    assert manager.post("/rules/check", json=halves).status_code == 413

    monkeypatch.setattr("web.api.rules.TAKES_MAX_S", 0.0)
    for path in ("check", "test"):
        late = manager.post(f"/rules/{path}", json=posted(QUIET))
        assert late.status_code == 413
        assert late.json()["detail"].startswith("This takes longer than 0 s: try fewer rules")
