"""What should have happened and has not is reported; while nothing is overdue, somebody outside hears a heartbeat."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.wishes import ANYTHING, Way
from tests.notifiers.chat_servers import Server, answer
from tests.story.relance import Relance, contract, customer, person
from tests.story.test_chats import running

SELLER = "seller@example.com"


def beating(relance: Relance, server: Server) -> Relance:
    return relance.sets(heartbeat_url=server.url("/ping"), allowed_networks=["127.0.0.0/8"])


def test_q14_a_heartbeat_says_that_nothing_is_overdue(relance: Relance) -> None:
    server = Server()
    with running(server):
        beating(relance, server).has(customer("K1")).runs()
        relance.worker.auditor.audit(relance.now)
        assert [told.path for told in server.told] == ["/ping"]


def test_q14_what_is_overdue_is_reported_and_the_heartbeat_stops(
    relance: Relance, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    with running(server):
        beating(relance, server).at("2026-10-08").has(customer("K1"), contract("C1", ends="2027-01-07")).runs()
        relance.at("2026-10-09")  # nobody works
        relance.now += timedelta(minutes=16)
        relance.worker.auditor.audit(relance.now)
        assert server.told == []
        assert "overdue: 1 customers to be evaluated" in caplog.text
        relance.post.closes()
        relance.runs()
        relance.now += timedelta(hours=3)
        relance.worker.auditor.audit(relance.now)
        assert "1 deliveries" in caplog.text
        relance.post.opens()
        relance.runs()
        relance.worker.auditor.audit(relance.now)
        assert len(server.told) == 1


def test_q14_an_escalation_that_nobody_carried_out_is_overdue(
    relance: Relance, caplog: pytest.LogCaptureFixture
) -> None:
    relance.at("2026-10-08").has(customer("K1"), contract("C1", ends="2027-01-07")).at("2026-10-09").runs()
    relance.at("2026-10-17")
    relance.worker.evaluate(now=relance.now)
    relance.now += timedelta(minutes=16)
    relance.worker.auditor.audit(relance.now)
    assert "overdue: 1 repeats and escalations" in caplog.text


def test_what_waits_because_somebody_asked_for_quiet_is_not_overdue(
    relance: Relance, caplog: pytest.LogCaptureFixture
) -> None:
    relance.wishes("seller", channels={ANYTHING: Way.DIGEST})
    relance.at("2026-10-08").has(customer("K1"), contract("C1", ends="2027-01-07")).at("2026-10-09").runs()
    relance.now += timedelta(hours=5)
    relance.worker.auditor.audit(relance.now)
    assert caplog.text == ""


def test_a_heartbeat_that_nobody_hears_is_said_and_stops_nothing(
    relance: Relance, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    with running(server):
        beating(relance, server).runs()
        server.will(answer(500))
        relance.worker.auditor.audit(relance.now)
        assert "the heartbeat was answered 500" in caplog.text
        assert "/ping" not in caplog.text  # the address is a secret


def test_q14_a_snooze_ends_visibly(relance: Relance) -> None:
    relance.at("2026-10-08").has(customer("K1"), contract("C1", ends="2027-01-07")).at("2026-10-09").runs()
    relance.clicks(relance.mailbox(SELLER)[-1], "snooze-1d")
    relance.at("2026-10-10T07:00").runs()
    assert len(relance.mailbox(SELLER)) == 1
    relance.at("2026-10-10T08:00").runs()
    first, again = relance.mailbox(SELLER)
    assert first.id != again.id
    assert first.message["References"] == again.message["References"]


def test_q5_a_rule_of_many_actions_and_ways_is_one_message(relance: Relance) -> None:
    relance.knows(
        "many",
        "rule: many\ntitle: Many\nfor each: contract\nwhen: {product: fleet}\n"
        "then: {recommend: win, say: Do it., do: call, or: [handover sales, webhook order.start], to: [owner, owner], "
        "channel: [email, chat, inbox, digest]}\n",
    )
    relance.has(person("seller"), contract("C1", ends="2030-01-07", product="fleet")).runs()
    relance.runs()
    assert len(relance.mailbox(SELLER)) == 1
