"""What comes back is read: a dead address is written to no more, and nobody answers a machine."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from domain.delivery import DeliveryState
from store import suppressions
from store.suppressions import Why
from tests import postfix
from tests.story.relance import Relance, contract, customer, person

SELLER = "seller@example.com"


@pytest.fixture
def bounces(relance: Relance, tmp_path: Path) -> mailbox.Maildir:
    folder = tmp_path / "bounces"
    box = mailbox.Maildir(folder)
    relance.sets(
        mail={
            "host": "127.0.0.1",
            "port": relance.post.port,
            "sender": "relance@example.com",
            "bounces": "bounces@example.com",
            "bounce_mailbox": f"maildir:{folder}",
        }
    )
    relance.at("2026-10-08").has(customer("K1"), contract("C1", ends="2027-01-07")).at("2026-10-09").runs()
    return box


def collect(relance: Relance) -> int:
    assert relance.worker.returns is not None
    return relance.worker.returns.collect(relance.db, now=relance.now)


def report(relance: Relance, *, to: str, status: str = "5.1.1", action: str = "failed") -> bytes:
    """RFC 3464, as a mail server would write it to our return path."""
    return (
        f"From: MAILER-DAEMON@mx.example.com\r\nTo: {to}\r\nSubject: Undelivered\r\nAuto-Submitted: auto-replied\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n"
        f"Final-Recipient: rfc822; {SELLER}\r\nAction: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b--\r\n"
    ).encode()


def test_a_bounce_fails_its_delivery_and_its_address_is_written_to_no_more(
    relance: Relance, bounces: mailbox.Maildir
) -> None:
    (return_path,) = relance.post.senders
    bounces.add(report(relance, to=return_path))
    assert collect(relance) == 1
    (failed,) = relance.deliveries(DeliveryState.FAILED)
    assert (failed.last_phase, "no such user" in (failed.last_error or "")) == ("bounce", True)
    assert suppressions.of(relance.db, [SELLER])[SELLER].reason is Why.BOUNCED

    relance.has(contract("C2", ends="2027-01-07")).runs()
    assert len(relance.mailbox(SELLER)) == 1
    (unsent,) = [d for d in relance.deliveries(DeliveryState.FAILED) if d.id != failed.id]
    assert "nothing is sent to seller@example.com: bounced on 2026-10-09" in (unsent.last_error or "")
    assert collect(relance) == 0  # it was handled


def test_a_bounce_that_names_no_delivery_of_ours_suppresses_nobody(relance: Relance, bounces: mailbox.Maildir) -> None:
    bounces.add(report(relance, to="bounces@example.com"))
    bounces.add(report(relance, to="bounces+1-aaaaaaaaaaaa@example.com"))
    assert collect(relance) == 0
    assert suppressions.listing(relance.db) == []


def test_a_full_mailbox_is_no_dead_address(relance: Relance, bounces: mailbox.Maildir) -> None:
    (return_path,) = relance.post.senders
    bounces.add(report(relance, to=return_path, status="4.2.2", action="delayed"))
    assert collect(relance) == 0
    assert relance.deliveries(DeliveryState.FAILED) == []


def test_q20_machines_do_not_answer_each_other(relance: Relance, bounces: mailbox.Maildir) -> None:
    (mail,) = relance.mailbox(SELLER)
    assert (mail.message["Auto-Submitted"], mail.message["X-Auto-Response-Suppress"]) == ("auto-generated", "All")

    reply = EmailMessage()
    reply["From"], reply["To"] = SELLER, relance.post.senders[0]
    reply["Subject"], reply["Auto-Submitted"] = "Out of office", "auto-replied"
    reply.set_content("I am away until Monday.")
    bounces.add(reply.as_bytes())
    assert collect(relance) == 0
    relance.runs()
    assert len(relance.post.mails) == 1
    assert [d.state for d in relance.deliveries()] == [DeliveryState.SENT]


def test_one_click_unsubscribes_and_nothing_more_is_sent(relance: Relance, bounces: mailbox.Maildir) -> None:
    (mail,) = relance.mailbox(SELLER)
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = mail.message["List-Unsubscribe"].strip("<>").removeprefix("http://testserver")
    for _ in range(3):
        relance.pages.get(url)
    assert suppressions.listing(relance.db) == []
    assert relance.pages.post(url, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert suppressions.of(relance.db, [SELLER])[SELLER].reason is Why.UNSUBSCRIBED
    relance.has(contract("C2", ends="2027-01-07")).runs()
    assert len(relance.mailbox(SELLER)) == 1


def test_an_address_that_a_real_mail_server_does_not_know_is_written_to_no_more(relance: Relance) -> None:
    with postfix.running() as server:
        relance.sets(
            mail={
                "host": "127.0.0.1",
                "port": server.port,
                "sender": "relance@relance.example",
                "bounces": postfix.MAILBOX,
                "bounce_mailbox": server.maildir("bounces"),
            }
        )
        relance.has(person("seller", email="ghost@example.com"), person("lara"))
        relance.has(customer("K1"), customer("K2", owner="lara"))
        relance.has(*(contract(f"C{n}", ends="2027-01-07", customer=f"K{n}") for n in (1, 2)))
        assert relance.at("2026-10-09").runs().dispatched.sent == 2
        server.waits_for("bounces")
        assert collect(relance) == 1
        assert suppressions.of(relance.db, ["ghost@example.com"])["ghost@example.com"].reason is Why.BOUNCED
        relance.has(contract("C3", ends="2027-01-07"), contract("C4", ends="2027-01-07", customer="K2"))
        ran = relance.runs()
        assert (ran.dispatched.sent, ran.dispatched.failed) == (1, 1)
