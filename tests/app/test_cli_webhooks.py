"""`relance webhooks`, on a real database and over real sockets."""

from __future__ import annotations

import re

import pytest
from standardwebhooks import Webhook

from domain.access import Role
from domain.event import EventType, NewEvent
from store import events, users
from tests.notifiers.subscriber import Subscriber


@pytest.fixture
def subscriber():
    with Subscriber().listening() as subscriber:
        yield subscriber


@pytest.fixture
def relance(company_today):
    """The command where networks are allowed that the subscriber is in, and there is a user for whom to subscribe."""
    now = company_today.now
    users.add(company_today.db, email="it@example.com", name="IT", role=Role.INTEGRATOR, source="test", now=now)
    return company_today.relance.having(ALLOWED_NETWORKS='["127.0.0.1/32"]')


def happens(company, *customers):
    new = [NewEvent(key=c, type=EventType.RAISED, at=company.now, customer=c) for c in customers]
    with company.db.begin() as connection:
        events.emit(connection, new)


def test_subscribing_trying_sending_again_and_leaving(relance, company_today, subscriber):
    assert relance("webhooks", "list").out == "nobody subscribes: relance webhooks add URL --owner EMAIL\n"
    said = relance("webhooks", "add", subscriber.url, "--owner", "IT@example.com", "--type", "recommendation.raised")
    assert re.fullmatch(r"whsec_\S{44}\n", said.out)
    secret, id_ = said.out.strip(), said.err.split()[0]
    assert said.err == f"{id_} to {subscriber.url}; its secret, which is not shown again:\n"
    subscriber.secrets = [secret]
    assert relance("webhooks", "list").out == f"{id_}  ok  {subscriber.url}  recommendation.raised\n"
    shown = relance("webhooks", "show", id_, "--json").document
    assert (shown["types"], shown["signing"], shown["secrets"], shown["public_keys"]) == (
        ["recommendation.raised"],
        "v1",
        1,
        [],
    )
    assert "whsec" not in relance("webhooks", "show", id_).out

    tested = relance("webhooks", "test", id_)
    assert (tested.code, tested.err) == (0, "")
    assert tested.out.startswith(f"POST {subscriber.url}  ")
    assert f"webhook-id: {subscriber.ids[0]}\n" in tested.out
    assert f"\n\n{subscriber.got[0].body.decode()}\n\nanswered 200 after " in tested.out
    subscriber.will(500)
    failed = relance("webhooks", "test", id_, "--json")
    assert (failed.code, failed.document["status"], failed.document["error"]) == (1, 500, "it answered 500")

    happens(company_today, "K7", "K8")
    assert relance("worker", "--once").err == ""
    of_customer = {got.id for got in subscriber.got if got.json["data"]["customer"] in ("K7", "K8")}
    assert len(of_customer) == 2
    again = relance("webhooks", "replay", id_, "--event", min(of_customer))
    assert again.out == "1 event queued again\n"
    log = relance("webhooks", "log", id_, "--json").document["deliveries"]
    (waits,) = [each for each in log if each["state"] == "ready"]
    assert waits["event"] == min(of_customer)
    assert "1 attempt  it answered 500" in relance("webhooks", "log", id_, "--state", "failed").out
    one = relance("webhooks", "log", id_, "--delivery", str(log[-1]["id"]))
    assert one.out.endswith("answered 200 after " + one.out.rpartition("answered 200 after ")[2])

    new = relance("webhooks", "rotate-secret", id_).out.strip()
    relance("webhooks", "test", id_)
    for known in (secret, new):
        Webhook(known).verify(subscriber.got[-1].body, subscriber.got[-1].headers)
    assert relance("webhooks", "disable", id_).out == f"{id_} is disabled\n"
    relance("webhooks", "replay", id_, "--failed").refuses(
        f"error: {id_} is disabled; first: relance webhooks enable {id_}"
    )
    assert relance("webhooks", "enable", id_).out == f"{id_} is enabled\n"
    relance("webhooks", "remove", id_).refuses(
        f"error: {id_} to {subscriber.url} would be removed, with its log; add --yes", code=4
    )
    assert relance("webhooks", "remove", id_, "--yes").out == f"{id_} is removed\n"
    assert relance("webhooks", "list", "--json").document == {"subscriptions": []}


def test_of_a_key_pair_the_public_key_is_shown_whenever_it_is_asked_for(relance, subscriber):
    made = relance(
        "webhooks", "add", subscriber.url, "--owner", "it@example.com", "--signing", "v1a", "--json"
    ).document
    assert made["secret"].startswith("whpk_")
    assert relance("webhooks", "show", made["id"], "--json").document["public_keys"] == [made["secret"]]


def test_an_endpoint_that_is_not_there_is_said_with_a_code_of_its_own(relance, subscriber):
    made = relance("webhooks", "add", "https://127.0.0.1:65535/", "--owner", "it@example.com", "--json").document
    said = relance("webhooks", "test", made["id"])
    assert (said.code, said.out.splitlines()[-1]) == (3, "127.0.0.1: no connection could be made (connect)")


REFUSED = {
    "add https://example.com/ --owner nobody@example.com": (
        "there is no user nobody@example.com; `relance users list` shows all"
    ),
    "add https://u:p@example.com/ --owner it@example.com": "the address holds a user or a password",
    "add https://example.com/ --owner it@example.com --signing v3": "--signing is one of: v1, v1a",
    "show sub_0": "there is no subscription sub_0; `relance webhooks list` shows all",
    "enable sub_0": "there is no subscription sub_0; `relance webhooks list` shows all",
    "replay sub_0": "say what to send again: one of --event ID, --since MOMENT, --failed",
    "replay sub_0 --failed --event e": "say what to send again: one of --event ID, --since MOMENT, --failed",
    "replay sub_0 --since soon": '--since "soon" is not a moment; write one like 2026-11-23T09:00:00+01:00',
    "log sub_0 --state gone": "--state is one of: ready, leased, delivered, failed, cancelled",
}


def test_what_cannot_be_done_is_refused_with_the_way_out(relance):
    for command, said in REFUSED.items():
        relance("webhooks", *command.split()).refuses(f"error: {said}")
