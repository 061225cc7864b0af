"""What every notifier promises, tried on all of them. A new one joins with an entry in `PEERS`."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from domain.delivery import Message, Receipt, Reminder, SendError
from notifiers import apprise, mattermost, slack, teams
from notifiers.apprise import AppriseNotifier
from notifiers.base import Notifier
from notifiers.chat import Service, WebhookNotifier
from notifiers.memory import MemoryNotifier
from notifiers.slack import SlackNotifier
from notifiers.smtp import SmtpNotifier, SmtpServer, Tls
from tests.notifiers.chat_servers import (
    CLOSE,
    IMPATIENT,
    LOOPBACK,
    SECRET,
    STALL,
    MattermostServer,
    Server,
    SlackServer,
    TeamsServer,
    answer,
    serving,
)

REFUSED, BUSY, SILENT, GONE = "refused", "busy", "silent", "gone"
MEANINGS = {REFUSED: {"permanent"}, BUSY: set[str](), SILENT: {"uncertain"}, GONE: {"uncertain"}}

# Apprise's e-mail module still imports it, for a kind of attachment that is never made.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),  # loopback only
]


@dataclass
class Peer:
    """A notifier and who it talks to. `will`: what the next message meets; `taken`: the bodies that came, in order.

    `hold`: answer none before so many have come; `at_once`: how many it can be seen to have under way.
    """

    notifier: Notifier
    write: Callable[[Reminder], bytes]
    destinations: Callable[[int], str]
    will: Callable[[str], None]
    taken: Callable[[], list[bytes]]
    hold: Callable[[int], None]
    at_once: int = 8

    def message(self, reminder: Reminder, *, number: int = 0) -> Message:
        return Message(
            destination=self.destinations(number),
            message_id=f"<k{number}@example.com>",
            body=self.write(replace(reminder, title=f"Reminder {number}")),
        )


def chat_peer(server: Server, notifier: Notifier, write: Callable[[Reminder], bytes], **more: Any) -> Peer:
    faults = {REFUSED: answer(404), BUSY: answer(503), SILENT: STALL, GONE: CLOSE}

    def hold(count: int) -> None:
        server.gate = asyncio.Barrier(count)

    return Peer(
        notifier=notifier,
        write=write,
        destinations=lambda number: f"place{number}",
        will=lambda fault: server.will(faults[fault]),
        taken=lambda: server.bodies,
        hold=hold,
        **more,
    )


def webhooks(server: Server, service: Service, *, outgoing: Any) -> WebhookNotifier:
    urls = {f"place{number}": server.url(f"/hooks/{number}/{SECRET}") for number in range(20)}
    return WebhookNotifier(service=replace(service, pause_s=0), webhooks=urls, outgoing=outgoing)


@asynccontextmanager
async def slack_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    server = SlackServer()
    async with serving(server):
        notifier = SlackNotifier(
            token=server.token, api=server.url("/api"), pause_s=0, outgoing=LOOPBACK if patient else IMPATIENT
        )
        yield chat_peer(server, notifier, lambda r: slack.compose(r, channel=r.title.replace("Reminder ", "C")))


@asynccontextmanager
async def slack_webhook_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    server = SlackServer()
    async with serving(server):
        notifier = webhooks(server, slack.WEBHOOKS, outgoing=LOOPBACK if patient else IMPATIENT)
        yield chat_peer(server, notifier, slack.compose_for_webhook)


@asynccontextmanager
async def teams_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    server = TeamsServer()
    async with serving(server):
        notifier = webhooks(server, teams.WEBHOOKS, outgoing=LOOPBACK if patient else IMPATIENT)
        yield chat_peer(server, notifier, teams.compose)


@asynccontextmanager
async def mattermost_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    server = MattermostServer()
    async with serving(server):
        notifier = webhooks(server, mattermost.WEBHOOKS, outgoing=LOOPBACK if patient else IMPATIENT)
        yield chat_peer(
            server,
            notifier,
            lambda r: mattermost.compose(r, press_url="https://remind.example.com/chat/mattermost", keys=["a key"]),
        )


@asynccontextmanager
async def apprise_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    server = Server()
    async with serving(server):
        timeout = "" if patient else "?rto=0.3"
        urls = {f"place{n}": f"json://127.0.0.1:{server.port}/{n}/{SECRET}{timeout}" for n in range(20)}
        yield chat_peer(server, AppriseNotifier(urls=urls), apprise.compose, at_once=4)


@dataclass
class Mailroom:
    """An aiosmtpd handler that does what the script says, and then takes everything."""

    mails: list[bytes] = field(default_factory=list)
    script: deque[str] = field(default_factory=deque)
    gate: asyncio.Barrier | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        if self.gate:
            await self.gate.wait()
        fault = self.script.popleft() if self.script else None
        if fault == SILENT:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        if fault == GONE:
            assert server.transport is not None
            server.transport.close()
        return {REFUSED: "554 no", BUSY: "451 later"}.get(fault or "", "250 OK")


@asynccontextmanager
async def smtp_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    room = Mailroom()

    def knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword) -> AuthResult:
        return AuthResult(success=given.password == SECRET.encode(), handled=False)

    def hold(count: int) -> None:
        room.gate = asyncio.Barrier(count)

    loop = asyncio.get_running_loop()
    options = {"authenticator": knows, "auth_required": True, "auth_require_tls": False}
    async with await loop.create_server(lambda: SMTP(room, **options), "127.0.0.1", 0) as listening:
        server = SmtpServer(
            host="127.0.0.1",
            port=listening.sockets[0].getsockname()[1],
            sender="relance@example.com",
            username="relance",
            password=SECRET,
            tls=Tls.NONE,
            timeout_s=10.0 if patient else 0.3,
        )
        yield Peer(
            notifier=SmtpNotifier(server=server),
            write=lambda reminder: f"Subject: {reminder.title}\r\n\r\nx\r\n".encode(),
            destinations=lambda number: f"p{number}@example.com",
            will=room.script.append,
            taken=lambda: room.mails,
            hold=hold,
            at_once=server.connections,
        )


@asynccontextmanager
async def memory_peer(*, patient: bool) -> AsyncGenerator[Peer]:
    notifier = MemoryNotifier(width=8)

    def will(fault: str) -> None:
        notifier.fail(SendError(fault, phase="memory", **dict.fromkeys(MEANINGS[fault], True)))

    yield Peer(
        notifier=notifier,
        write=lambda reminder: reminder.title.encode(),
        destinations=lambda number: f"p{number}@example.com",
        will=will,
        taken=lambda: [message.body for message in notifier.sent],
        hold=lambda count: None,
    )


PEERS: dict[str, Callable[..., AbstractAsyncContextManager[Peer]]] = {
    "memory": memory_peer,
    "smtp": smtp_peer,
    "slack": slack_peer,
    "slack webhook": slack_webhook_peer,
    "teams": teams_peer,
    "mattermost": mattermost_peer,
    "apprise": apprise_peer,
}
ALL = pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
ON_A_WIRE = pytest.mark.parametrize(
    "peer", [peer for name, peer in PEERS.items() if name != "memory"], ids=[name for name in PEERS if name != "memory"]
)


def says_of(error: SendError) -> set[str]:
    return {name for name in ("permanent", "uncertain") if getattr(error, name)}


@ALL
def test_a_message_that_was_taken_has_a_receipt(peer: Any, english: Reminder):
    async def scenario() -> None:
        async with peer(patient=True) as other, other.notifier.open() as line:
            receipt = await line.send(other.message(english))
            assert isinstance(receipt, Receipt)
            assert 200 <= receipt.code < 300
            assert len(other.taken()) == 1

    asyncio.run(scenario())


@ON_A_WIRE
def test_opening_never_fails_and_what_is_wrong_shows_at_the_first_message(peer: Any, english: Reminder):
    async def scenario() -> None:
        async with peer(patient=True) as other:
            pass  # nobody listens there any more
        async with other.notifier.open() as line:
            with pytest.raises(SendError) as failure:
                await line.send(other.message(english))
        assert says_of(failure.value) == set()  # it never left: it can be tried again
        assert failure.value.phase == "connect"

    asyncio.run(scenario())


@ALL
@pytest.mark.parametrize("fault", MEANINGS)
def test_every_failure_says_what_to_do_next_and_the_next_message_may_be_sent(peer: Any, english: Reminder, fault: str):
    async def scenario() -> None:
        async with peer(patient=fault != SILENT) as other, other.notifier.open() as line:
            await line.send(other.message(english, number=0))
            other.will(fault)
            with pytest.raises(SendError) as failure:
                await line.send(other.message(english, number=1))
            await line.send(other.message(english, number=2))
            assert b"Reminder 2" in other.taken()[-1]
        assert says_of(failure.value) == MEANINGS[fault]
        assert str(failure.value)
        assert failure.value.phase

    asyncio.run(scenario())


@ALL
def test_a_resend_has_the_same_bytes(peer: Any, english: Reminder):
    async def scenario() -> None:
        async with peer(patient=True) as other:
            for _ in range(2):  # in another process it would be another line
                async with other.notifier.open() as line:
                    await line.send(other.message(english))
            first, second = other.taken()
            assert first == second
            assert other.write(english) == other.write(replace(english))

    asyncio.run(scenario())


@ALL
def test_several_messages_at_once_arrive_once_each(peer: Any, english: Reminder):
    async def scenario() -> None:
        async with peer(patient=True) as other, other.notifier.open() as line:
            assert line.width >= other.at_once
            other.hold(other.at_once)  # none is answered before so many have come
            messages = [other.message(english, number=number) for number in range(2 * other.at_once)]
            await asyncio.gather(*map(line.send, messages))
            arrived = other.taken()
            assert len(arrived) == len(set(arrived)) == len(messages)

    asyncio.run(scenario())


@ALL
def test_one_failure_among_messages_sent_at_once_is_that_ones_alone(peer: Any, english: Reminder):
    async def scenario() -> None:
        async with peer(patient=True) as other, other.notifier.open() as line:
            other.will(REFUSED)
            messages = [other.message(english, number=number) for number in range(6)]
            outcomes = await asyncio.gather(*map(line.send, messages), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Receipt"] * 5 + ["SendError"]

    asyncio.run(scenario())


@ON_A_WIRE
def test_a_cancelled_message_does_not_confuse_the_next_one(peer: Any, english: Reminder):
    async def scenario() -> None:
        async with peer(patient=False) as other, other.notifier.open() as line:
            other.will(SILENT)
            with suppress(TimeoutError, SendError):
                async with asyncio.timeout(0.1):
                    await line.send(other.message(english, number=1))
            assert (await line.send(other.message(english, number=2))).code // 100 == 2
            assert b"Reminder 2" in other.taken()[-1]

    asyncio.run(scenario())


@ON_A_WIRE
@pytest.mark.parametrize("fault", [None, *MEANINGS])
def test_nothing_secret_is_said_or_logged(
    peer: Any, english: Reminder, fault: str | None, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, "mail.log")  # the other side's own log, in which it keeps what it hears

    async def scenario() -> None:
        async with peer(patient=fault != SILENT) as other, other.notifier.open() as line:
            if fault:
                other.will(fault)
            outcome = (await asyncio.gather(line.send(other.message(english)), return_exceptions=True))[0]
            said = repr(outcome) + repr(other.notifier) + repr(line)
            if isinstance(outcome, BaseException):
                said += "".join(traceback.format_exception(outcome))
        assert SECRET not in said + caplog.text

    asyncio.run(scenario())
