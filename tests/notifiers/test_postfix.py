"""From our notifier through a real mail server and back."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from domain.delivery import Message, Receipt, SendError
from notifiers.bounces import Reason, Report, read, return_path
from tests.postfix import KEYS, MAILBOX, Postfix, running

BODY = b"Subject: Call\r\nMessage-ID: <k1@relance.example>\r\n\r\nToday.\r\n"


@pytest.fixture(scope="module")
def postfix() -> Generator[Postfix]:
    with running() as server:
        yield server


def send(postfix: Postfix, to: str, *, delivery: int = 4711) -> Receipt:
    async def scenario() -> Receipt:
        async with postfix.notifier().open() as line:
            sender = return_path(MAILBOX, delivery, keys=KEYS)
            return await line.send(Message(destination=to, message_id="<k1@relance.example>", body=BODY, sender=sender))

    return asyncio.run(scenario())


def test_a_mail_is_taken_and_arrives_with_its_return_path(postfix: Postfix):
    receipt = send(postfix, "lara@example.com")

    assert receipt.code == 250
    raw = postfix.arrived("lara")
    assert f"Return-Path: <{return_path(MAILBOX, 4711, keys=KEYS)}>".encode() in raw
    assert raw.endswith(b"\n\nToday.\n")


def test_a_greylisted_recipient_is_refused_for_now_and_taken_later(postfix: Postfix):
    with pytest.raises(SendError) as refusal:
        send(postfix, "slow@example.com")
    error = refusal.value
    assert (error.code, error.phase) == (450, "rcpt")
    assert not any((error.permanent, error.uncertain, error.server_down))

    assert send(postfix, "slow@example.com").code == 250
    assert b"Today." in postfix.arrived("slow")


@pytest.mark.parametrize(
    ("recipient", "said"),
    [("ghost@example.com", "unknown user"), ("ghost@far.example", "550 5.1.1")],
    ids=["unknown here", "refused by the next server"],
)
def test_a_mail_to_nobody_comes_back_and_names_its_delivery(postfix: Postfix, recipient: str, said: str):
    assert send(postfix, recipient, delivery=815).code == 250

    report = read(postfix.arrived("bounces"))

    assert isinstance(report, Report)
    assert report.delivery(mailbox=MAILBOX, keys=KEYS) == 815
    assert report.reason is Reason.PERMANENT
    assert report.message_id == "<k1@relance.example>"
    (fate,) = report.fates
    assert (fate.recipient, fate.action, fate.status) == (recipient, "failed", "5.1.1")
    assert said in fate.said
