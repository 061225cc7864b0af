"""From a rule to a message in a chat, a press on its button, and the word on it that all is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from domain.delivery import Channel, DeliveryState
from domain.recommendation import State
from domain.wishes import ANYTHING, Way
from tests.notifiers.chat_servers import MattermostServer, Server, SlackServer, TeamsServer, answer, serving
from tests.story.relance import Relance, contract, customer, person

SELLER = "seller@example.com"
IN_CHAT = {"channels": {ANYTHING: Way.CHAT}}


@contextmanager
def running(*servers: Server) -> Generator[None]:
    """The servers, in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> None:
        async with serving(*servers):
            up.set()
            await down.wait()

    up, down = threading.Event(), asyncio.Event()
    served = asyncio.run_coroutine_threadsafe(serve(), loop)
    assert up.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(down.set)
        served.result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def slack(relance: Relance) -> Iterator[SlackServer]:
    """The seller hears in Slack."""
    server = SlackServer()
    with running(server):
        relance.sets(
            slack={"token": server.token, "signing_secret": server.signing_secret, "api": server.url("/api")},
            allowed_networks=["127.0.0.0/8"],
        )
        relance.has(person("seller", chat="slack:U0LARA", manager="boss")).wishes("seller", **IN_CHAT)
        yield server


def raised(relance: Relance) -> Relance:
    relance.at("2026-10-08").has(customer("K1"), contract("C1", ends="2027-01-07", annual_value="48200"))
    relance.at("2026-10-09").runs()
    return relance


def test_a_person_hears_in_slack_and_acts_there_and_the_message_says_so(relance: Relance, slack: SlackServer) -> None:
    raised(relance)
    ((place, message),) = slack.posted.items()
    assert "Contract expiring" in str(message)
    assert relance.mailbox(SELLER) == []

    body, headers = slack.press("done", at=int(relance.now.timestamp()))
    answered = relance.pages.post(
        "/chat/slack",
        content=body,
        headers={
            "X-Slack-Request-Timestamp": headers["timestamp"],
            "X-Slack-Signature": headers["signature"],
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    assert answered.status_code == 200
    done = relance.recommendation()
    assert (done.state, done.closed_by) == (State.DONE, "seller")

    relance.runs()
    assert "Done by Seller." in str(slack.posted[place])
    assert not any(block["type"] == "actions" for block in slack.posted[place]["blocks"])


def test_what_is_done_elsewhere_is_said_on_the_message_in_slack_too(relance: Relance, slack: SlackServer) -> None:
    raised(relance)
    relance.at("2026-10-10").has(contract("C1", ends="2029-01-07")).runs()
    (message,) = slack.posted.values()
    assert "No longer needed" in str(message)


def test_q17_a_channel_that_asks_for_time_delays_only_itself_and_loses_nothing(relance: Relance) -> None:
    server = MattermostServer()
    with running(server):
        relance.sets(
            mattermost={"webhooks": {"north": server.url("/hooks/north"), "south": server.url("/hooks/south")}},
            allowed_networks=["127.0.0.0/8"],
        )
        for who in ("north", "south"):
            relance.has(person(who, chat=f"mattermost:{who}"), customer(f"K-{who}", owner=who)).wishes(who, **IN_CHAT)
            relance.has(contract(f"C-{who}", ends="2027-01-07", customer=f"K-{who}"))
        server.will(answer(429, Retry_After="600"))
        ran = relance.at("2026-10-09").runs()
        assert (ran.dispatched.sent, ran.dispatched.retried) == (1, 1)
        (late,) = relance.deliveries(DeliveryState.READY)
        assert (late.due_at - relance.now).total_seconds() >= 600
        relance.now = late.due_at
        relance.runs()
        assert sorted(told.path for told in server.told[1:]) == ["/hooks/north", "/hooks/south"]


def test_teams_and_an_incoming_webhook_of_slack_are_reached_by_the_names_in_the_settings(relance: Relance) -> None:
    teams, slack = TeamsServer(), SlackServer()
    with running(teams, slack):
        relance.sets(
            teams={"webhooks": {"sales": teams.url()}},
            slack={"webhooks": {"desk": slack.url()}},
            allowed_networks=["127.0.0.0/8"],
        )
        for who, chat in (("ann", "teams:sales"), ("bob", "slack-webhook:desk")):
            relance.has(person(who, chat=chat), customer(f"K-{who}", owner=who)).wishes(who, **IN_CHAT)
            relance.has(contract(f"C-{who}", ends="2027-01-07", customer=f"K-{who}"))
        relance.at("2026-10-09").runs()
        assert (len(teams.told), len(slack.told)) == (1, 1)
        assert {d.channel for d in relance.deliveries(DeliveryState.SENT)} == {Channel.TEAMS, Channel.SLACK_WEBHOOK}


def test_q19_a_chat_that_is_not_set_up_fails_by_itself_and_says_why(relance: Relance) -> None:
    relance.has(person("seller", chat="teams:nowhere")).wishes("seller", **IN_CHAT)
    relance.has(person("other"), customer("K2", owner="other"), contract("C2", ends="2027-01-07", customer="K2"))
    raised(relance)
    (failed,) = relance.deliveries(DeliveryState.FAILED)
    assert failed.last_error == "teams is not set up: it has no settings"
    assert len(relance.mailbox("other@example.com")) == 1


def test_a_chat_address_that_nobody_can_read_falls_back_to_mail(relance: Relance) -> None:
    relance.has(person("seller", chat="carrier pigeon")).wishes("seller", **IN_CHAT)
    raised(relance)
    assert len(relance.mailbox(SELLER)) == 1
