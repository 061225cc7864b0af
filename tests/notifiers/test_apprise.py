from __future__ import annotations

import asyncio
import logging
import traceback

import pytest

from domain.delivery import Message, Receipt, Reminder, SendError
from notifiers.apprise import AppriseNotifier, compose
from notifiers.render import render
from tests.notifiers.chat_servers import CLOSE, SECRET, STALL, Server, answer, serving

# One of Apprise's many modules still imports it, for a kind of attachment that is never made.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def notifier(server: Server, more: str = "", **urls: str) -> AppriseNotifier:
    return AppriseNotifier(urls={"sales": f"json://127.0.0.1:{server.port}/{SECRET}{more}", **urls})


def message(body: bytes, to: str = "sales") -> Message:
    return Message(destination=to, message_id="<k1@example.com>", body=body)


async def failing(sending: AppriseNotifier, sent: Message) -> SendError:
    async with sending.open() as line:
        with pytest.raises(SendError) as failure:
            await line.send(sent)
    return failure.value


def says_of(error: SendError) -> set[str]:
    return {name for name in ("permanent", "uncertain", "server_down") if getattr(error, name)}


def test_a_reminder_arrives_as_plain_text(german: Reminder):
    async def scenario() -> None:
        server = Server()
        async with serving(server), notifier(server).open() as line:
            assert await line.send(message(compose(german))) == Receipt(code=200, text="taken")
        (told,) = server.told
        assert told.json["title"] == german.subject
        assert told.json["message"].strip() == render(german).text.strip()

    asyncio.run(scenario())


def test_the_same_reminder_has_the_same_bytes(english: Reminder):
    assert compose(english) == compose(english)


def test_each_address_has_an_outcome_of_its_own(english: Reminder):
    async def scenario() -> None:
        server = Server()
        async with serving(server):
            both = notifier(server, gone=f"json://127.0.0.1:{server.port}/gone")
            server.will(answer(404))
            async with both.open() as line:
                with pytest.raises(SendError) as failure:
                    await line.send(message(compose(english), "gone"))
                assert (await line.send(message(compose(english)))).code == 200
        assert says_of(failure.value) == {"permanent"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        f"mailto://me:{SECRET}@example.com?to=lara@example.com,tim@example.com",
        f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}abcdef/#sales/#service",
        f"json://127.0.0.1/{SECRET}?retry=2",
    ],
)
def test_an_address_of_several_recipients_is_refused_because_one_answer_could_not_tell_who_got_it(url: str):
    error = asyncio.run(failing(AppriseNotifier(urls={"all": url}), message(b'{"title": "", "body": "x"}', "all")))

    assert says_of(error) == {"permanent"}
    assert "give each recipient an address" in str(error)


@pytest.mark.parametrize("url", ["", "nonsense", f"nonsense://{SECRET}", "json://", "tgram://x"])
def test_an_address_that_apprise_does_not_understand_says_so(url: str):
    error = asyncio.run(failing(AppriseNotifier(urls={"all": url}), message(b'{"title": "", "body": "x"}', "all")))

    assert says_of(error) == {"permanent"}
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, {"permanent"}),
        (401, {"permanent"}),
        (404, {"permanent"}),
        (410, {"permanent"}),
        (429, set[str]()),
        (500, set[str]()),
        (503, set[str]()),
    ],
)
def test_what_a_refusal_means(english: Reminder, status: int, meaning: set[str]):
    async def scenario() -> None:
        server = Server()
        async with serving(server):
            server.will(answer(status, SECRET))
            error = await failing(notifier(server), message(compose(english)))
        assert (error.code, says_of(error)) == (status, meaning)
        assert (error.retry_after_s is not None) == (status == 429)

    asyncio.run(scenario())


def test_a_message_that_never_left_is_worth_another_try(english: Reminder):
    async def scenario() -> None:
        server = Server()
        async with serving(server):
            pass  # nobody listens there any more
        error = await failing(notifier(server), message(compose(english)))
        assert (error.phase, says_of(error)) == ("connect", set())

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", [STALL, CLOSE])
def test_without_an_answer_a_message_may_have_been_taken(english: Reminder, fault: str):
    async def scenario() -> None:
        server = Server()
        async with serving(server):
            server.will(fault)
            error = await failing(notifier(server, "?rto=0.2"), message(compose(english)))
        assert says_of(error) == {"uncertain"}

    asyncio.run(scenario())


def test_a_service_that_takes_too_long_is_given_up(english: Reminder):
    async def scenario() -> None:
        server = Server()
        async with serving(server):
            server.will(STALL)
            hasty = AppriseNotifier(urls=notifier(server, "?rto=0.5").urls, timeout_s=0.1)
            error = await failing(hasty, message(compose(english)))
        assert says_of(error) == {"uncertain"}

    asyncio.run(scenario())


def test_a_name_without_an_address_says_where_to_add_it():
    error = asyncio.run(failing(AppriseNotifier(urls={}), message(b"{}", "sales")))

    assert says_of(error) == {"permanent"}
    assert "no address named 'sales'" in str(error)


@pytest.mark.parametrize("fault", [answer(403, SECRET), CLOSE, None])
def test_no_secret_of_an_address_is_said_or_logged(
    english: Reminder, fault: str | None, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        server = Server()
        async with serving(server):
            sending = notifier(server)
            if fault is None:
                async with sending.open() as line:
                    await line.send(message(compose(english)))
            else:
                server.will(fault)
                error = await failing(sending, message(compose(english)))
                assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)
        assert len(server.told) == 1
        assert SECRET not in caplog.text + repr(sending)

    asyncio.run(scenario())
