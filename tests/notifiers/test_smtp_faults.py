"""One table says what a fault means at each step; each row is met by a real server that has that fault once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, TypeAlias

import pytest

from domain.delivery import Message, SendError
from notifiers.smtp import SmtpLine, SmtpNotifier, SmtpServer, Tls
from tests.notifiers.faulty_server import Act, Certificate, Fault, FaultyServer, certificate

PASSWORD = "correct horse"
LOGIN = {"username": "relance", "password": PASSWORD}
STALL_LIMIT_S = 0.3


@dataclass(frozen=True)
class Outcome:
    """`others_too`: the messages after it would meet the same, so there is no use in going on."""

    word: str
    others_too: bool = False

    def __repr__(self) -> str:
        return self.word


SENT = Outcome("sent")
RETRY = Outcome("retry")
RETRY_ALL = Outcome("retry all", others_too=True)
FAILED = Outcome("failed")
UNKNOWN = Outcome("unknown", others_too=True)

HALF_AND_NO_MORE = b"25"
LOSSES: tuple[Act, ...] = (Fault.STALL, Fault.CLOSE, Fault.RESET)
NONSENSE: tuple[Act, ...] = (
    b"999 what\r\n",
    b"nonsense\r\n",
    b"\0\0\0\xff\xfe\r\n",
    b"\r\n",
    HALF_AND_NO_MORE,
    b"x" * 10_000_000,
    b"250-" + b"x" * 10_000_000,
    b"250-and\r\n" * 100_000,
)
OPENING = ("connect", "ehlo", "starttls", "auth")
ENVELOPE = ("mail", "rcpt", "data")


def says(*codes: int) -> tuple[Act, ...]:
    return tuple(f"{code} so be it\r\n".encode() for code in codes)


FORWARDED = says(251)
LATER = says(450, 451, 452)
NEVER = says(550, 554)
TOO_LARGE = says(552)
HANGING_UP = says(421)
LOG_IN_FIRST = says(530)
GO_AHEAD = says(354)
Row: TypeAlias = tuple[tuple[str, ...], tuple[Act, ...], Outcome]
TABLE: tuple[Row, ...] = (
    (OPENING, (*LOSSES, *NONSENSE, *HANGING_UP, *LATER, *NEVER, *TOO_LARGE, *FORWARDED), RETRY_ALL),
    (ENVELOPE, (*LOSSES, *NONSENSE, *HANGING_UP, *LOG_IN_FIRST), RETRY_ALL),
    (("mail",), (*LATER, *NEVER, *GO_AHEAD), RETRY_ALL),
    (("mail",), TOO_LARGE, FAILED),
    (("mail", "rcpt"), FORWARDED, SENT),
    (("rcpt", "data"), LATER, RETRY),
    (("rcpt", "data"), (*NEVER, *TOO_LARGE), FAILED),
    (("rcpt",), GO_AHEAD, RETRY_ALL),
    (("data",), FORWARDED, RETRY_ALL),
    (("body",), LOSSES, UNKNOWN),
    (("dot",), (*LOSSES, *NONSENSE, *GO_AHEAD), UNKNOWN),
    (("dot",), HANGING_UP, RETRY_ALL),
    (("dot",), LATER, RETRY),
    (("dot",), (*NEVER, *TOO_LARGE), FAILED),
    (("dot",), (*FORWARDED, Fault.CLOSE_AFTER), SENT),
)


def rows(*, steps: Iterable[str], faults: Iterable[Act] | None = None) -> list[Any]:
    """One for each step and fault."""
    return [
        pytest.param(step, act, outcome, id=f"{step} {repr(act)[:20]} -> {outcome!r}")
        for at, acts, outcome in TABLE
        for step in at
        for act in acts
        if step in steps and (faults is None or act in faults)
    ]


def message(to: str, body: bytes = b"Subject: Call\r\n\r\nNow.\r\n") -> Message:
    return Message(destination=f"{to}@example.com", message_id=f"<{to}@example.com>", body=body)


def notifier(port: int, **more: Any) -> SmtpNotifier:
    settings = {"host": "127.0.0.1", "tls": Tls.NONE, "timeout_s": 5.0, "sender": "relance@example.com"}
    return SmtpNotifier(server=SmtpServer(port=port, **{**settings, **more}))


def patience_s(act: Act) -> float:
    return STALL_LIMIT_S if act in (Fault.STALL, HALF_AND_NO_MORE) else 5.0


async def outcome(line: SmtpLine, to: str) -> tuple[Outcome, SendError | None]:
    try:
        await line.send(message(to))
    except SendError as error:
        word = "unknown" if error.uncertain else "failed" if error.permanent else "retry"
        return Outcome(f"{word} all" if error.server_down and word == "retry" else word, error.server_down), error
    return SENT, None


async def first_and_second(server: FaultyServer, act: Act, expected: Outcome, step: str, **settings: Any) -> None:
    """The first mail meets the fault; the second goes out as if nothing had been."""
    async with server.running() as port, notifier(port, timeout_s=patience_s(act), **settings).open() as line:
        met, error = await outcome(line, "first")
        assert met == expected
        if error is not None:
            assert error.phase == {"dot": "body"}.get(step, step)
            assert str(error).isprintable()
            assert PASSWORD not in str(error)
        assert (await outcome(line, "second"))[0] == SENT
    kept = [mail.recipient for mail in server.mails]
    # What is unknown may have arrived or not.
    assert kept[-1] == "second@example.com"
    if expected != UNKNOWN:
        assert kept[:-1] == (["first@example.com"] if expected == SENT else [])


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    if which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize(("step", "act", "expected"), rows(steps=("connect", "ehlo", *ENVELOPE, "body", "dot")))
def test_a_fault_means_what_the_table_says(step: str, act: Act, expected: Outcome):
    asyncio.run(first_and_second(FaultyServer(script={step: [act]}), act, expected, step))


@pytest.mark.parametrize(("step", "act", "expected"), rows(steps=("auth",)))
def test_a_fault_at_the_login_means_what_the_table_says(step: str, act: Act, expected: Outcome):
    asyncio.run(first_and_second(FaultyServer(script={step: [act]}), act, expected, step, **LOGIN))


@pytest.mark.parametrize(("step", "act", "expected"), rows(steps=(*ENVELOPE, "body", "dot")))
def test_a_server_that_is_asked_one_thing_at_a_time_has_the_same_table(step: str, act: Act, expected: Outcome):
    asyncio.run(first_and_second(FaultyServer(script={step: [act]}, offers=()), act, expected, step))


@pytest.mark.parametrize(
    ("step", "act", "expected"),
    [
        *rows(steps=("starttls",)),
        *rows(steps=("auth", *ENVELOPE, "body", "dot"), faults=(*LOSSES, *HANGING_UP, *FORWARDED)),
    ],
)
def test_the_table_holds_within_tls(
    step: str, act: Act, expected: Outcome, trusted: Certificate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
    server = FaultyServer(script={step: [act]}, starttls=trusted.server_context())
    asyncio.run(first_and_second(server, act, expected, step, tls=Tls.STARTTLS, **LOGIN))


@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelined", "one at a time"])
@pytest.mark.parametrize(("step", "act", "expected"), rows(steps=ENVELOPE))
def test_a_connection_that_has_served_before_is_replaced_and_the_mail_goes_out(
    step: str, act: Act, expected: Outcome, offers: tuple[str, ...]
):
    harmless = FORWARDED[0] if step != "data" else b"354 go ahead\r\n"

    async def scenario() -> None:
        server = FaultyServer(script={step: [harmless, act]}, offers=offers)
        async with server.running() as port, notifier(port, timeout_s=patience_s(act)).open() as line:
            assert (await outcome(line, "before"))[0] == SENT
            met, _ = await outcome(line, "first")
            assert met == (SENT if expected == RETRY_ALL else expected)
            assert (await outcome(line, "second"))[0] == SENT
        assert len(server.told) == (2 if expected == RETRY_ALL else 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("step", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("one_by_one", [False, True], ids=["lines", "bytes"])
def test_an_answer_of_many_lines_in_many_packets_is_one_answer(step: str, one_by_one: bool):
    code = {"connect": b"220", "data": b"354"}.get(step, b"250")
    lines = (*(code + b"-and\r\n" for _ in range(20)), code + b"\r\n")

    async def scenario() -> None:
        packets = tuple(bytes([byte]) for line in lines for byte in line) if one_by_one else lines
        await first_and_second(FaultyServer(script={step: [packets]}), packets, SENT, step)

    asyncio.run(scenario())


def test_answers_that_come_in_one_packet_are_told_apart():
    async def scenario() -> None:
        server = FaultyServer(script={"mail": [Fault.HOLD_BACK], "rcpt": [Fault.HOLD_BACK]})
        await first_and_second(server, Fault.HOLD_BACK, SENT, "mail")

    asyncio.run(scenario())


@pytest.mark.parametrize("step", ["connect", "ehlo", "mail", "dot"])
def test_a_tarpit_holds_nobody_longer_than_the_timeout(step: str):
    async def scenario() -> None:
        server = FaultyServer(script={step: [Fault.TARPIT]})
        async with server.running() as port, notifier(port, timeout_s=STALL_LIMIT_S).open() as line:
            assert (await outcome(line, "first"))[0] == (UNKNOWN if step == "dot" else RETRY_ALL)
            assert (await outcome(line, "second"))[0] == SENT

    asyncio.run(scenario())


def test_a_greylisted_mail_is_taken_when_it_comes_again():
    async def scenario() -> None:
        server = FaultyServer(script={"rcpt": [b"450 greylisted, come again\r\n"]})
        async with server.running() as port, notifier(port).open() as line:
            assert [(await outcome(line, to))[0] for to in ("new", "known", "new")] == [RETRY, SENT, SENT]
        assert len(server.told) == 1
        assert [mail.recipient for mail in server.mails] == ["known@example.com", "new@example.com"]

    asyncio.run(scenario())


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ({"days": -1}, "certificate has expired"),
        ({"name": "DNS:another.example.com"}, "IP address mismatch"),
        (None, "self-signed certificate"),
    ],
    ids=["expired", "wrong name", "nobody vouches for it"],
)
def test_a_server_with_a_bad_certificate_gets_neither_password_nor_mail(
    kind: dict[str, Any] | None, reason: str, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    made = certificate(tmp_path, **(kind or {}))
    if kind is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.file))

    async def scenario() -> None:
        context = made.server_context()
        server = FaultyServer(**{"starttls" if tls is Tls.STARTTLS else "implicit_tls": context})
        async with server.running() as port, notifier(port, tls=tls, **LOGIN).open() as line:
            met, error = await outcome(line, "first")
        assert met == RETRY_ALL
        assert reason in str(error)
        verbs = [said.split()[0] for told in server.told for said in told]
        assert verbs == (["EHLO", "STARTTLS"] if tls is Tls.STARTTLS else [])
        assert server.mails == []

    asyncio.run(scenario())


def test_a_server_that_wants_a_mail_it_has_refused_gets_none():
    async def scenario() -> None:
        server = FaultyServer(script={"rcpt": [b"550 nobody here\r\n"], "data": [b"354 go ahead\r\n"]})
        async with server.running() as port, notifier(port, timeout_s=600).open() as line, asyncio.timeout(10):
            assert (await outcome(line, "first"))[0] == FAILED
            assert (await outcome(line, "second"))[0] == SENT
        assert [mail.recipient for mail in server.mails] == ["second@example.com"]
        assert len(server.told) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("act", [Fault.STALL, Fault.CLOSE, Fault.RESET, b"nonsense\r\n"])
def test_a_goodbye_that_goes_wrong_changes_nothing(act: Act):
    async def scenario() -> None:
        server = FaultyServer(script={"quit": [act]})
        async with server.running() as port, notifier(port, timeout_s=patience_s(act)).open() as line:
            assert (await outcome(line, "first"))[0] == SENT
        assert len(server.mails) == 1

    asyncio.run(scenario())


def test_what_a_server_says_is_kept_without_what_a_database_would_refuse():
    async def scenario() -> None:
        server = FaultyServer(script={"rcpt": [b"550-no \0 \x1b[31m \xff\xfe\r\n550 such user\r\n"]})
        async with server.running() as port, notifier(port).open() as line:
            met, error = await outcome(line, "first")
        assert met == FAILED
        assert str(error).isprintable()
        assert str(error).endswith("such user")

    asyncio.run(scenario())
