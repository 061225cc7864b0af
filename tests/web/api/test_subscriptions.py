"""Subscriptions over the API: whoever integrates makes them, tries them, looks at what was sent and sends it again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from standardwebhooks import Webhook

from domain.access import Permission, Role
from domain.event import EventType, NewEvent
from scheduler.courier import Posted
from store import audit, events
from store.audit import Wanted
from tests.notifiers.subscriber import Subscriber
from tests.web.api.office import Api

NEVER = "2020-01-01T00:00:00+00:00"


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with Subscriber().listening() as subscriber:
        yield subscriber


@pytest.fixture
def reachable(api: Api) -> Api:
    """Networks are allowed that subscribers of these tests are in; the clock is the real one, which they look at."""
    api.company.now = datetime.now(UTC)
    api.company.sets(allowed_networks=["127.0.0.1/32"])
    return api


def happens(api: Api, *customers: str) -> list[str]:
    new = [
        NewEvent(key=f"{customer}{api.company.now}", type=EventType.RAISED, at=api.company.now, customer=customer)
        for customer in customers
    ]
    with api.company.db.begin() as connection:
        return [event.id for event in events.write(connection, new)]


def queued(api: Api, *customers: str) -> None:
    new = [
        NewEvent(key=f"q{customer}{api.company.now}", type=EventType.RAISED, at=api.company.now, customer=customer)
        for customer in customers
    ]
    with api.company.db.begin() as connection:
        events.emit(connection, new)


def runs(api: Api) -> Posted:
    assert api.company.worker.courier is not None
    return api.company.worker.courier.run(now=api.company.now)


def add(api: Api, url: str, **more: Any) -> dict[str, Any]:
    answer = api.integrator.post("/subscriptions", json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_subscription_from_its_secret_to_its_end(reachable: Api, subscriber: Subscriber) -> None:
    api, calls = reachable, reachable.integrator
    made = add(api, subscriber.url, description="our CRM", types=["recommendation.raised"], tags=["renewal"])
    secret = made.pop("secret")
    path = f"/subscriptions/{made['id']}"
    assert calls.get(path).json() == made
    assert calls.get("/subscriptions").json() == {"items": [made], "next": None}
    assert made["secrets"] == [{"public_key": None, "valid_until": None}]
    subscriber.secrets = [secret]

    changed = calls.patch(path, json={"tags": [], "description": "", "ordered": True, "envelope": None}).json()
    assert changed == made | {"tags": [], "description": "", "ordered": True}
    queued(api, "K1", "K2")
    assert runs(api) == Posted(delivered=2)
    latest, first = calls.get(f"{path}/deliveries").json()["items"]
    assert (latest["customer"], first["customer"]) == ("K2", "K1")
    assert (first["state"], first["last_status"]) == ("delivered", 200)
    page = calls.get(f"{path}/deliveries?limit=1").json()
    assert page["items"] == [latest]
    page = calls.get(f"{path}/deliveries?limit=1&cursor={page['next']}").json()
    assert (page["items"], page["next"]) == ([first], None)
    assert calls.get(f"{path}/deliveries?state=failed").json()["items"] == []
    (attempt,) = calls.get(f"{path}/deliveries/{first['id']}").json()["tried"]
    assert attempt["request_headers"]["webhook-id"] == first["event"]
    assert (attempt["status"], attempt["error"], attempt["url"]) == (200, None, subscriber.url)

    assert calls.delete(path).status_code == 204
    for gone in (calls.get(path), calls.delete(path), calls.get(f"{path}/deliveries")):
        assert gone.status_code == 404
    actions = [entry.action for entry in audit.listing(api.company.db, Wanted(kind="subscription"), limit=10)]
    assert actions == ["subscription.removed", "subscription.changed", "subscription.created"]


def test_a_test_is_sent_at_once_and_shows_exactly_what_came_back(reachable: Api, subscriber: Subscriber) -> None:
    made = add(reachable, subscriber.url)
    other = add(reachable, f"{subscriber.url}?another")
    subscriber.secrets = [made["secret"]]
    subscriber.will(200, (503, {"X-Reason": "napping"}, "come back later"))
    path = f"/subscriptions/{made['id']}"
    worked, failed = (reachable.integrator.post(f"{path}/test").json() for _ in range(2))

    assert (worked["status"], worked["error"], worked["answer_body"]) == (200, None, "")
    assert (failed["status"], failed["error"]) == (503, "it answered 503")
    assert (failed["answer_headers"]["X-Reason"], failed["answer_body"]) == ("napping", "come back later")
    assert subscriber.got[0].body.decode() == worked["request_body"]
    assert subscriber.got[0].json["type"] == "webhook.test"
    schema = reachable.nobody.get("/schemas/webhook.test/1").json()
    jsonschema.validate(subscriber.got[0].json["data"], schema, jsonschema.Draft202012Validator)
    assert len({got.id for got in subscriber.got}) == 2
    assert runs(reachable) == Posted()  # nobody else is told, and nothing is tried again
    since = reachable.integrator.post(f"/subscriptions/{other['id']}/replay", json={"since": NEVER})
    assert since.json() == {"queued": 0}
    states = [each["state"] for each in reachable.integrator.get(f"{path}/deliveries").json()["items"]]
    assert states == ["failed", "delivered"]
    assert reachable.integrator.post(f"{path}/disable").json()["disabled_reason"] == "by integrator"
    assert reachable.integrator.post(f"{path}/test").json()["status"] == 200


def test_a_new_secret_signs_beside_the_old_one_and_is_shown_once(reachable: Api, subscriber: Subscriber) -> None:
    made, now = add(reachable, subscriber.url), reachable.company.now
    path = f"/subscriptions/{made['id']}"
    rotated = reachable.integrator.post(f"{path}/rotate-secret").json()
    assert rotated["secret"] != made["secret"]
    until = rotated["secrets"][1]["valid_until"]
    assert datetime.fromisoformat(until) == now + timedelta(days=1)
    reachable.integrator.post(f"{path}/test")
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(subscriber.got[0].body, subscriber.got[0].headers)

    for _ in range(3):
        assert reachable.integrator.post(f"{path}/rotate-secret", json={"old_valid_for_s": 60}).status_code == 200
    refused = reachable.integrator.post(f"{path}/rotate-secret")
    assert (refused.status_code, refused.json()["detail"][:41]) == (409, "5 secrets are valid at once and no more: ")
    last = reachable.integrator.post(f"{path}/rotate-secret", json={"old_valid_for_s": 0}).json()
    assert len(last["secrets"]) == 1
    pair = add(reachable, subscriber.url, signing="v1a")
    known = reachable.integrator.get(f"/subscriptions/{pair['id']}").json()
    assert pair["secret"].startswith("whpk_")
    assert known["secrets"] == [{"public_key": pair["secret"], "valid_until": None}]

    everything = reachable.integrator.get(path).text + str(
        audit.listing(reachable.company.db, Wanted(kind="subscription"), limit=20)
    )
    for secret in (made["secret"], rotated["secret"], last["secret"]):
        assert secret.removeprefix("whsec_") not in everything


def test_events_are_sent_again_one_by_one_since_a_moment_or_all_that_failed(
    reachable: Api, subscriber: Subscriber
) -> None:
    (missed,) = happens(reachable, "K0")
    path = f"/subscriptions/{add(reachable, subscriber.url)['id']}"

    def replay(what: object) -> Any:
        return reachable.integrator.post(f"{path}/replay", json=what)

    assert replay({"since": reachable.company.now.isoformat()}).json() == {"queued": 1}
    assert replay({"since": NEVER}).json() == {"queued": 0}  # it waits already
    assert runs(reachable) == Posted(delivered=1)
    assert replay({"event": missed}).json() == {"queued": 1}
    assert replay({"failed": True}).json() == {"queued": 0}
    assert runs(reachable) == Posted(delivered=1)
    assert subscriber.ids == [missed, missed]
    assert replay({"event": "evt_none"}).status_code == 404
    for wrong in ({}, {"failed": False}, {"since": "2026-01-01"}, {"since": 7}, {"since": NEVER, "failed": True}, []):
        assert replay(wrong).status_code == 422
    reachable.integrator.post(f"{path}/disable")
    assert replay({"failed": True}).status_code == 409
    assert reachable.integrator.post(f"{path}/enable").json()["disabled_at"] is None
    assert replay({"failed": True}).status_code == 200


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"url": "https://user:pass@example.com/"}, "/url"),
    ({"url": "https://example.com:22/"}, "/url"),
    ({"url": "http://example.com/"}, "/url"),
    ({"url": "ftp://example.com/"}, "/url"),
    ({"url": "https://exa mple.com/"}, "/url"),
    ({"url": ""}, "/url"),
    ({"url": None}, "/url"),
    ({"types": ["recommendation.read"]}, "/types/0"),
    ({"tags": [""]}, "/tags/0"),
    ({"tags": ["a\nb"]}, "/tags/0"),
    ({"ordered": "yes"}, "/ordered"),
    ({"signing": "v2"}, "/signing"),
    ({"owner": "u1"}, "/owner"),
)


def test_what_cannot_be_subscribed_to_is_said_where(api: Api) -> None:
    for body, pointer in WRONG:
        answer = api.integrator.post("/subscriptions", json={"url": "https://example.com/"} | body)
        assert answer.status_code == 422, body
        assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]
    assert api.integrator.get("/subscriptions").json()["items"] == []
    assert (
        api.integrator.post("/subscriptions", content=b'{"url": "https://x/", "tags": ["\\ud800"]}').status_code == 422
    )


def test_one_sees_ones_own_an_admin_all_everybody_else_none_and_anybody_what_events_are_like(api: Api) -> None:
    mine = add(api, "https://example.com/")
    path = f"/subscriptions/{mine['id']}"
    other = api.as_(Role.INTEGRATOR, scopes=frozenset({Permission.SUBSCRIPTIONS_MANAGE}))
    assert other.get("/subscriptions").json()["items"] == []
    answers = [
        other.get(path),
        other.patch(path, json={}),
        other.delete(path),
        *(other.post(f"{path}/{verb}") for verb in ("enable", "disable", "rotate-secret", "test")),
        other.post(f"{path}/replay", json={"failed": True}),
        other.get(f"{path}/deliveries"),
        other.get(f"{path}/deliveries/1"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["detail"] for answer in answers} == {
        f"There is no subscription {mine['id']}, or you may not see it."
    }
    for no in (api.sales, api.as_(Role.MANAGER), api.as_(Role.PRODUCT_MANAGER)):
        assert no.get(path).status_code == 403
        assert no.post("/subscriptions", json={"url": "https://example.com/"}).status_code == 403
    assert api.admin.get("/subscriptions").json()["items"] == api.integrator.get("/subscriptions").json()["items"]
    assert api.admin.patch(path, json={"description": "of IT"}).json()["owner"] == mine["owner"]
    assert api.admin.get(f"{path}/deliveries/1").status_code == 404

    listed = api.nobody.get("/schemas").json()["schemas"]
    assert {each["type"] for each in listed} == set(EventType)
    for each in listed:
        answer = api.nobody.get(each["path"].removeprefix("/api/v1"))
        assert answer.headers["Content-Type"] == "application/schema+json"
        assert answer.json()["title"] == each["title"]
    assert api.nobody.get("/schemas/recommendation.raised/2").status_code == 404
    assert api.nobody.get("/schemas/recommendation.read/1").status_code == 404
