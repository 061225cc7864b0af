"""Several mails at once: how many connections, what is announced when, and what a cancellation leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from domain.delivery import Message, SendError
from notifiers.smtp import SmtpLine, SmtpNotifier, SmtpServer, Tls
from tests.notifiers.faulty_server import Fault, FaultyServer

BIG = b"Subject: Call\r\n\r\n" + (b"Now, please. " * 70 + b"\r\n") * 10_000  # more than a socket takes at once


def message(to: str = "lara", body: bytes = b"Subject: Call\r\n\r\nNow.\r\n", sender: str | None = None) -> Message:
    return Message(destination=f"{to}@example.com", message_id=f"<{to}@example.com>", body=body, sender=sender)


def notifier(port: int, **more: Any) -> SmtpNotifier:
    settings = {"host": "127.0.0.1", "tls": Tls.NONE, "timeout_s": 5.0, "sender": "relance@example.com"}
    return SmtpNotifier(server=SmtpServer(port=port, **{**settings, **more}))


async def send_all(line: SmtpLine, count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(line.send(message(f"p{number}")))


def recipients(server: FaultyServer) -> list[str]:
    return sorted(mail.recipient for mail in server.mails)


def everybody(count: int) -> list[str]:
    return sorted(f"p{number}@example.com" for number in range(count))


@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelined", "one at a time"])
def test_mails_at_once_share_a_few_connections_and_each_arrives_once(offers: tuple[str, ...]):
    async def scenario() -> None:
        server = FaultyServer(offers=offers)
        async with server.running() as port, notifier(port, connections=3).open() as line:
            assert line.width == 6
            await send_all(line, 40)
        assert recipients(server) == everybody(40)
        assert len(server.told) == 3

    asyncio.run(scenario())


def test_one_mail_after_the_other_needs_one_connection_and_no_reset():
    async def scenario() -> None:
        server = FaultyServer()
        async with server.running() as port, notifier(port).open() as line:
            for number in range(3):
                await line.send(message(f"p{number}"))
        (told,) = server.told
        assert [said.split()[0] for said in told] == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "QUIT"]

    asyncio.run(scenario())


def test_a_refused_mail_is_forgotten_before_the_next_one():
    async def scenario() -> None:
        server = FaultyServer(script={"rcpt": [b"550 nobody here\r\n"]})
        async with server.running() as port, notifier(port).open() as line:
            with pytest.raises(SendError):
                await line.send(message("gone"))
            await line.send(message("here"))
            await line.send(message("too"))
        (told,) = server.told
        assert [said.split()[0] for said in told[4:]] == ["RSET", *["MAIL", "RCPT", "DATA"] * 2, "QUIT"]

    asyncio.run(scenario())


def test_a_server_that_offers_pipelining_is_told_all_at_once():
    async def scenario() -> None:
        server = FaultyServer(script={"mail": [Fault.HOLD_BACK], "rcpt": [Fault.HOLD_BACK]})
        async with server.running() as port, notifier(port).open() as line:
            await line.send(message())  # would wait for ever if it waited for an answer
        assert len(server.mails) == 1

    asyncio.run(scenario())


def test_a_server_that_does_not_offer_it_is_told_one_thing_at_a_time():
    async def scenario() -> None:
        server = FaultyServer(script={"mail": [Fault.HOLD_BACK]}, offers=())
        async with server.running() as port, notifier(port, timeout_s=0.3).open() as line:
            with pytest.raises(SendError, match="no answer"):
                await line.send(message())
        assert [said.split()[0] for said in server.told[0]] == ["EHLO", "MAIL"]

    asyncio.run(scenario())


def test_the_next_mail_is_announced_while_the_last_one_waits_for_its_receipt():
    async def scenario() -> None:
        server = FaultyServer(script={"dot": [Fault.HOLD_BACK]})  # until it hears more
        async with server.running() as port, notifier(port, connections=1).open() as line:
            await send_all(line, 2)
        assert recipients(server) == everybody(2)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("offers", "mails_per_connection"),
    [((), 100), (("PIPELINING",), 1)],
    ids=["a server that wants one thing at a time", "the last mail of a connection"],
)
def test_nothing_is_said_before_the_receipt_to(offers: tuple[str, ...], mails_per_connection: int):
    async def scenario() -> None:
        server = FaultyServer(script={"dot": [Fault.HOLD_BACK]}, offers=offers)  # until it hears more
        settings = {"connections": 1, "timeout_s": 0.3, "mails_per_connection": mails_per_connection}
        async with server.running() as port, notifier(port, **settings).open() as line:
            first, second = await asyncio.gather(*(line.send(message()) for _ in range(2)), return_exceptions=True)
        assert isinstance(first, SendError)
        assert first.uncertain
        assert not isinstance(second, BaseException)
        assert [said.split()[0] for said in server.told[0]] == ["EHLO", "MAIL", "RCPT", "DATA"]

    asyncio.run(scenario())


def test_a_connection_is_replaced_after_as_many_mails_as_a_server_may_want_on_one():
    async def scenario() -> None:
        server = FaultyServer()
        async with server.running() as port, notifier(port, connections=1, mails_per_connection=3).open() as line:
            await send_all(line, 8)
        assert recipients(server) == everybody(8)
        assert [sum(said.startswith("MAIL") for said in told) for told in server.told] == [3, 3, 2]
        assert [told[-1] for told in server.told] == ["QUIT"] * 3

    asyncio.run(scenario())


@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelined", "one at a time"])
def test_a_server_that_hangs_up_after_each_mail_gets_all_of_them(offers: tuple[str, ...]):
    async def scenario() -> None:
        server = FaultyServer(script={"dot": [Fault.CLOSE_AFTER] * 20}, offers=offers)
        async with server.running() as port, notifier(port, connections=2).open() as line:
            await send_all(line, 20)
        assert recipients(server) == everybody(20)

    asyncio.run(scenario())


def test_a_server_that_says_goodbye_to_an_idle_connection_gets_the_next_mail_on_a_new_one(
    caplog: pytest.LogCaptureFixture,
):
    async def scenario() -> None:
        server = FaultyServer(script={"dot": [(b"250 kept\r\n421 idle for too long\r\n",)]})
        async with server.running() as port, notifier(port).open() as line:
            await line.send(message("p0"))
            await line.send(message("p1"))
        assert recipients(server) == everybody(2)
        assert len(server.told) == 2

    asyncio.run(scenario())
    assert caplog.records == []


def test_a_server_with_too_many_connections_gets_fewer():
    async def scenario() -> None:
        server = FaultyServer(connections_at_most=2)
        async with server.running() as port, notifier(port, connections=4).open() as line:
            await send_all(line, 20)
            assert line.width == 4
            await send_all(line, 20)
        assert len(server.told) == 4  # two of them were turned away, once
        assert recipients(server) == sorted(everybody(20) * 2)

    asyncio.run(scenario())


def test_a_server_without_any_connection_to_spare_is_down():
    async def scenario() -> None:
        server = FaultyServer(connections_at_most=0)
        async with server.running() as port, notifier(port).open() as line:
            results = await asyncio.gather(*(line.send(message()) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(each, SendError) and each.server_down and each.code == 421 for each in results)

    asyncio.run(scenario())


def test_a_server_that_does_not_answer_is_waited_for_once_by_all_who_wait():
    async def scenario() -> None:
        server = FaultyServer(script={"connect": [Fault.STALL] * 8})
        async with server.running() as port, notifier(port, connections=2, timeout_s=0.3).open() as line:
            results = await asyncio.gather(*(line.send(message()) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(each, SendError) and each.server_down for each in results)
        assert len(server.told) == 2

    asyncio.run(scenario())


def test_one_failure_at_the_dot_leaves_the_mails_beside_it_alone():
    async def scenario() -> None:
        server = FaultyServer(script={"dot": [b"554 spam\r\n", b"250 kept\r\n", Fault.RESET]})
        async with server.running() as port, notifier(port, connections=1).open() as line:
            results = await asyncio.gather(*(line.send(message(f"p{n}")) for n in range(5)), return_exceptions=True)
        spam, kept, lost, *others = results
        assert isinstance(spam, SendError)
        assert spam.permanent
        assert isinstance(lost, SendError)
        assert lost.uncertain
        assert not any(isinstance(each, BaseException) for each in (kept, *others))
        assert recipients(server) == ["p1@example.com", "p3@example.com", "p4@example.com"]

    asyncio.run(scenario())


@pytest.mark.parametrize("step", ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"])
def test_a_cancelled_mail_is_never_followed_by_another_on_its_connection(step: str):
    async def scenario() -> None:
        server = FaultyServer(script={step: [Fault.STALL]})
        async with server.running() as port, notifier(port, connections=1, timeout_s=600).open() as line:
            sending = asyncio.create_task(line.send(message("cancelled", BIG)))
            await server.reaches(step)
            for _ in range(10):  # Python 3.11 overlooks a cancellation at the very moment of connecting
                await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            async with asyncio.timeout(10):
                await line.send(message("next"))
        assert recipients(server) == ["next@example.com"]
        assert len(server.told) == 2

    asyncio.run(scenario())


def test_a_mail_cancelled_while_announced_lets_the_one_before_it_have_its_receipt():
    async def scenario() -> None:
        server = FaultyServer(script={"dot": [Fault.HOLD_BACK], "mail": [b"250 ok\r\n", Fault.HOLD_BACK]})
        async with server.running() as port, notifier(port, connections=1).open() as line:
            before = asyncio.create_task(line.send(message("before")))
            await server.reaches("dot")
            cancelled = asyncio.create_task(line.send(message("cancelled")))
            await asyncio.sleep(0)  # it begins
            await asyncio.sleep(0)
            cancelled.cancel()
            assert (await before).code == 250
            await line.send(message("next"))
        assert recipients(server) == ["before@example.com", "next@example.com"]

    asyncio.run(scenario())


def test_a_bounce_goes_where_the_message_says():
    async def scenario() -> None:
        server = FaultyServer()
        async with server.running() as port, notifier(port).open() as line:
            await line.send(message("p0", sender="bounce+k1=7@example.com"))
            await line.send(message("p1"))
            with pytest.raises(SendError, match="no @") as failure:
                await line.send(message("p2", sender="nobody"))
        assert failure.value.permanent
        assert [mail.sender for mail in server.mails] == ["<bounce+k1=7@example.com>", "<relance@example.com>"]

    asyncio.run(scenario())


BODY = b"Subject: x\r\n\r\n.dot\r\n"
EIGHT_BIT = "Subject: x\r\n\r\ngrüezi\r\n".encode()
UTF8 = "Subject: grüezi\r\n\r\nx\r\n".encode()


@pytest.mark.parametrize(
    ("offer", "body", "says"),
    [
        ("SIZE 20", BODY, " SIZE=20"),
        ("SIZE 0", BODY, " SIZE=20"),
        ("SIZE", BODY, " SIZE=20"),
        ("SIZE " + "9" * 5000, BODY, " SIZE=20"),
        ("SIZE", b"Subject: x\n\nx", " SIZE=17"),
        ("8BITMIME", BODY, ""),
        ("8BITMIME", EIGHT_BIT, " BODY=8BITMIME"),
    ],
)
def test_what_a_server_wants_to_know_of_a_mail_it_is_told(offer: str, body: bytes, says: str):
    async def scenario() -> None:
        server = FaultyServer(offers=("PIPELINING", offer))
        async with server.running() as port, notifier(port).open() as line:
            await line.send(message(body=body))
        assert [mail.sender for mail in server.mails] == [f"<relance@example.com>{says}"]

    asyncio.run(scenario())


def test_a_mail_with_letters_beyond_ascii_in_its_head_says_so():
    async def scenario() -> None:
        server = FaultyServer(offers=("8BITMIME", "SMTPUTF8"))
        async with server.running() as port, notifier(port).open() as line:
            await line.send(message(body=UTF8))
        assert [mail.sender for mail in server.mails] == ["<relance@example.com> BODY=8BITMIME SMTPUTF8"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("offers", "body", "phase"),
    [
        (("SIZE 25",), BODY * 2, "size"),
        ((), EIGHT_BIT, "8bitmime"),
        (("8BITMIME",), UTF8, "smtputf8"),
    ],
)
def test_a_mail_that_the_server_does_not_take_is_not_offered_to_it(offers: tuple[str, ...], body: bytes, phase: str):
    async def scenario() -> None:
        server = FaultyServer(offers=offers)
        async with server.running() as port, notifier(port).open() as line:
            for _ in range(2):
                with pytest.raises(SendError) as failure:
                    await line.send(replace(message("unfit"), body=body))
                assert (failure.value.permanent, failure.value.server_down) == (True, False)
                assert failure.value.phase == phase
            await line.send(message("p0"))
        assert recipients(server) == everybody(1)
        assert len(server.told) == 1
        assert sum(said.startswith("MAIL") for said in server.told[0]) == 1

    asyncio.run(scenario())
