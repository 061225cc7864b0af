"""Every action out: what happens here is heard elsewhere, signed, once by its id, and as its schema says."""

from __future__ import annotations

from typing import Any

import jsonschema

from domain.event import EventType
from domain.recommendation import Act
from domain.subscription import Envelope, Signing, Subscription
from notifiers import schemas
from notifiers.signing import Sealer
from store import recommendations, subscriptions
from tests.notifiers.subscriber import Subscriber
from tests.story.relance import Relance, contract, customer

RULE = """
rule: ending
title: Contract ending
tags: [sales, renewal]
for each: contract
when: {status: active, end_date: in the next 90 days}
then:
  recommend: win
  say: "It ends soon."
  do: dialog renewal-call
  worth: annual_value
  due: 10 days before end_date
  to: owner
  escalate:
    - {after: 5 business days, to: owner.manager}
"""
QUIET = "rule: contract-expiring\nrollout: draft\n"


def strict(schema: Any) -> Any:
    """The schema where nothing is allowed that it does not describe."""
    match schema:
        case dict():
            inner = {key: strict(value) for key, value in schema.items() if key != "examples"}
            return inner | ({"additionalProperties": False} if "properties" in inner else {})
        case list():
            return [strict(value) for value in schema]
        case _:
            return schema


def test_whatever_happens_is_told_signed_in_order_and_as_its_schema_says(relance: Relance) -> None:
    relance.at("2026-10-01").sets(allowed_networks=["127.0.0.1/32"])
    relance.knows("ending", RULE).knows("quiet", QUIET)
    secret = Sealer(relance.house.settings.keys()).make(Signing.V1)
    plain, cloud = (Subscriber(secrets=[secret.shown], looks_at_the_clock=False) for _ in range(2))
    with plain.listening(), cloud.listening():
        for envelope, listener in ((Envelope.STANDARD, plain), (Envelope.CLOUDEVENTS, cloud)):
            new = Subscription(
                id=f"sub_{envelope}",
                owner="u1",
                url=listener.url,
                envelope=envelope,
                ordered=True,
                secrets=(secret.secret,),
                created_at=relance.now,
            )
            subscriptions.add(relance.db, new, source="story", now=relance.now)
        live(relance)

    told = [got.json for got in plain.got]
    assert {each["type"] for each in told} == set(EventType) - {EventType.TEST}
    assert [each["type"] for each in told if each["data"]["customer"] == "K1"] == [
        "recommendation.raised",
        "recommendation.escalated",
        "recommendation.acted",
        "action.requested",
    ]
    for each in told:
        jsonschema.Draft202012Validator(strict(schemas.schema(each["type"], 1))).validate(each["data"])
    assert len(set(plain.ids)) == len(plain.ids)
    assert sorted(cloud.ids) == sorted(plain.ids)
    by_id = {got.id: got.json for got in plain.got}
    for got in cloud.got:
        assert (got.json["id"], got.json["data"]) == (got.id, by_id[got.id]["data"])
        assert got.json["type"] == f"relance.{by_id[got.id]['type']}"


def live(relance: Relance) -> None:
    """A contract that is about to end is escalated and taken up, another one is extended, and mails are refused."""
    relance.post.refuses["seller@example.com"] = "550 no such mailbox"
    relance.has(contract("C1", ends="2027-01-07", annual_value=48200), customer("K2"))
    relance.has(contract("C2", ends="2027-01-07", customer="K2"))
    runs(relance.at("2026-10-09"))
    relance.has(contract("C2", ends="2028-01-07", customer="K2"))
    runs(relance.at("2026-10-17"))
    (before,) = [r for r in relance.recommendations() if r.subject.id == "C1"]
    after = before.done(by="seller", at=relance.now)
    assert recommendations.act(
        relance.db, before, after, act=Act.ACCEPT, by="seller", source="link:seller", now=relance.now
    )
    runs(relance)


def runs(relance: Relance) -> None:
    relance.runs()
    assert relance.worker.courier is not None
    relance.worker.courier.run(now=relance.now)
