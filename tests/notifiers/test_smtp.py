from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from domain.delivery import Message, Receipt, SendError
from notifiers.smtp import SmtpLine, SmtpNotifier, SmtpServer, Tls

BODY = b"Subject: Call\r\n\r\n.a line that begins with a dot\r\n.\r\n..two\r\nend\r\n"
PASSWORD = "correct horse"

HANG_UP, SILENCE = "hang up", "silence"
POLITE = {"CONNECT": "220 hello", "DATA": "354 go ahead", "QUIT": "221 bye"}


def message(to: str = "lara@example.com", body: bytes = BODY) -> Message:
    return Message(destination=to, message_id="<k1@example.com>", body=body)


def notifier(port: int, **more: Any) -> SmtpNotifier:
    settings = {"host": "127.0.0.1", "tls": Tls.NONE, "timeout_s": 5.0, "sender": "relance@example.com"}
    return SmtpNotifier(server=SmtpServer(port=port, **{**settings, **more}))


@dataclass
class Mailroom:
    """An aiosmtpd handler: keeps mails, counts connections, refuses the recipients it is told to."""

    refuse: dict[str, str] = field(default_factory=dict)
    mails: list[Envelope] = field(default_factory=list)
    sessions: set[Session] = field(default_factory=set)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.sessions.add(session)
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        return f"250 kept as {len(self.mails)}"


@asynccontextmanager
async def serving(mailroom: Mailroom, *, implicit: ssl.SSLContext | None = None, **options: Any) -> AsyncGenerator[int]:
    """A real SMTP server on a free port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailroom, **options), "127.0.0.1", 0, ssl=implicit)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def answering(connections: list[list[str]], **answers: str) -> AsyncGenerator[int]:
    """A server that gives each verb its answer, and keeps what it was told. BODY stands for the final dot."""
    script = POLITE | answers

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told: list[str] = []
        connections.append(told)
        verb = "CONNECT"
        try:
            while (answer := script.get(verb, "250 OK")) != HANG_UP:
                if answer is not SILENCE:
                    writer.write(f"{answer}\r\n".encode())
                if answer.startswith("354"):
                    told.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                    verb = "BODY"
                elif not (line := (await reader.readline()).decode()):
                    return
                else:
                    told.append(line.rstrip())
                    verb = line.split()[0].upper()
        finally:
            writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def failing(line: SmtpLine, sent: Message) -> SendError:
    with pytest.raises(SendError) as failure:
        await line.send(sent)
    return failure.value


def says_of(error: SendError) -> set[str]:
    return {name for name in ("permanent", "uncertain", "server_down") if getattr(error, name)}


def test_a_mail_arrives_byte_for_byte_at_its_one_recipient():
    async def scenario() -> None:
        mailroom = Mailroom()
        async with serving(mailroom) as port, notifier(port).open() as line:
            assert await line.send(message()) == Receipt(code=250, text="kept as 1")

        assert [(m.mail_from, m.rcpt_tos, m.content) for m in mailroom.mails] == [
            ("relance@example.com", ["lara@example.com"], BODY)
        ]

    asyncio.run(scenario())


def test_many_mails_share_one_connection():
    async def scenario() -> None:
        mailroom = Mailroom()
        async with serving(mailroom) as port, notifier(port).open() as line:
            for number in range(5):
                await line.send(message(f"p{number}@example.com"))

        assert [m.rcpt_tos for m in mailroom.mails] == [[f"p{number}@example.com"] for number in range(5)]
        assert len(mailroom.sessions) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "meaning"), [("550 no such user", {"permanent"}), ("451 greylisted, try later", set[str]())]
)
def test_a_refused_recipient_does_not_stop_the_mails_after_it(answer: str, meaning: set[str]):
    async def scenario() -> None:
        mailroom = Mailroom(refuse={"gone@example.com": answer})
        async with serving(mailroom) as port, notifier(port).open() as line:
            await line.send(message("before@example.com"))
            refusal = await failing(line, message("gone@example.com"))
            await line.send(message("after@example.com"))

        assert says_of(refusal) == meaning
        assert (refusal.code, refusal.phase) == (int(answer[:3]), "rcpt")
        assert answer in str(refusal)
        assert [m.rcpt_tos for m in mailroom.mails] == [["before@example.com"], ["after@example.com"]]
        assert len(mailroom.sessions) == 1

    asyncio.run(scenario())


def test_a_server_that_hangs_up_is_down_and_the_next_mail_connects_anew():
    async def scenario() -> None:
        mailroom = Mailroom(refuse={"busy@example.com": "421 too busy"})
        async with serving(mailroom) as port, notifier(port).open() as line:
            refusal = await failing(line, message("busy@example.com"))
            await line.send(message())

        assert says_of(refusal) == {"server_down"}
        assert (refusal.code, refusal.phase) == (421, "rcpt")
        assert len(mailroom.mails) == 1
        assert len(mailroom.sessions) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answers", "phase", "meaning"),
    [
        ({"CONNECT": HANG_UP}, "connect", {"server_down"}),
        ({"CONNECT": SILENCE}, "connect", {"server_down"}),
        ({"CONNECT": "554 go away"}, "connect", {"server_down"}),
        ({"CONNECT": "421 busy"}, "connect", {"server_down"}),
        ({"EHLO": "550 no"}, "ehlo", {"server_down"}),
        ({"MAIL": "553 not your address"}, "mail", {"server_down"}),
        ({"MAIL": "451 later"}, "mail", {"server_down"}),
        ({"MAIL": HANG_UP}, "mail", {"server_down"}),
        ({"RCPT": SILENCE}, "rcpt", {"server_down"}),
        ({"RCPT": "530 log in first"}, "rcpt", {"server_down"}),
        ({"DATA": HANG_UP}, "data", {"server_down"}),
        ({"DATA": SILENCE}, "data", {"server_down"}),
        ({"DATA": "554 no"}, "data", {"permanent"}),
        ({"DATA": "452 disk full"}, "data", set[str]()),
        ({"BODY": "554 spam"}, "body", {"permanent"}),
        ({"BODY": "451 later"}, "body", set[str]()),
        ({"BODY": "421 shutting down"}, "body", {"server_down"}),
        ({"BODY": HANG_UP}, "body", {"server_down", "uncertain"}),
        ({"BODY": SILENCE}, "body", {"server_down", "uncertain"}),
        ({"BODY": "nonsense"}, "body", {"server_down", "uncertain"}),
    ],
    ids=lambda part: " ".join(sorted(part)) if isinstance(part, set) else str(part),
)
def test_what_a_failure_means_follows_from_where_it_happened(answers: dict[str, str], phase: str, meaning: set[str]):
    async def scenario() -> None:
        timeout_s = 0.2 if SILENCE in answers.values() else 5.0
        async with answering([], **answers) as port, notifier(port, timeout_s=timeout_s).open() as line:
            for _ in range(2):  # the second time shows that the line can still be used
                error = await failing(line, message())
                assert (error.phase, says_of(error)) == (phase, meaning)

    asyncio.run(scenario())


def test_any_yes_after_the_final_dot_is_a_receipt():
    async def scenario() -> None:
        async with answering([], BODY="252 queued") as port, notifier(port).open() as line:
            assert await line.send(message()) == Receipt(code=252, text="queued")

    asyncio.run(scenario())


def test_a_connection_lost_between_two_mails_is_made_again():
    async def scenario() -> None:
        connections: list[list[str]] = []
        async with answering(connections, RSET=HANG_UP, DATA="554 no") as port, notifier(port).open() as line:
            assert says_of(await failing(line, message())) == {"permanent"}
            assert says_of(await failing(line, message())) == {"permanent"}
        assert len(connections) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "not..a.host"])
def test_a_server_that_cannot_be_reached_is_down(host: str):
    async def scenario() -> None:
        async with serving(Mailroom()) as port:
            pass  # nobody listens there any more
        async with notifier(port, host=host).open() as line:
            error = await failing(line, message())
        assert says_of(error) == {"server_down"}
        assert error.phase == "connect"
        assert f"{host}:{port}" in str(error)

    asyncio.run(scenario())


def test_a_cancelled_mail_does_not_confuse_the_next_one():
    async def scenario() -> None:
        connections: list[list[str]] = []
        async with answering(connections, RCPT=SILENCE) as port, notifier(port).open() as line:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await line.send(message())
        assert [told[-1] for told in connections] == ["RCPT TO:<lara@example.com>"] * 2

    asyncio.run(scenario())


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_a_body_cannot_end_early_and_go_on_as_another_mail(line_end: bytes):
    body = line_end.join([b"Subject: x", b"", b".", b"MAIL FROM:<evil@example.com>", b"."])

    async def scenario() -> None:
        mailroom = Mailroom()
        async with serving(mailroom) as port, notifier(port).open() as line:
            await line.send(message(body=body))
        assert [m.content for m in mailroom.mails] == [body.replace(line_end, b"\r\n") + b"\r\n"]

    asyncio.run(scenario())


def test_a_destination_that_is_not_one_address_never_reaches_the_server():
    async def scenario() -> None:
        connections: list[list[str]] = []
        async with answering(connections) as port, notifier(port).open() as line:
            error = await failing(line, message("lara@example.com>\r\nDATA"))
        assert says_of(error) == {"permanent"}
        assert error.phase == "address"
        assert connections == []

    asyncio.run(scenario())


def test_a_sender_that_is_not_an_address_is_refused_with_the_settings():
    with pytest.raises(ValueError, match=r"sender of mails.*no @"):
        notifier(25, sender="relance")


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # loopback only
def test_a_login_opens_the_server_and_a_wrong_one_says_so_without_the_password():
    def knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword) -> AuthResult:
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)

    async def scenario() -> None:
        mailroom = Mailroom()
        server = serving(mailroom, authenticator=knows, auth_required=True, auth_require_tls=False)
        async with server as port:
            async with notifier(port, username="relance", password=PASSWORD).open() as line:
                await line.send(message())
            async with notifier(port, username="relance", password="wrong").open() as line:
                error = await failing(line, message())
        assert len(mailroom.mails) == 1
        assert (error.code, error.phase, says_of(error)) == (535, "auth", {"server_down"})

    asyncio.run(scenario())


@pytest.mark.parametrize("auth", ["535 {}", "no answer: {}"])
def test_the_password_stays_secret_even_when_the_server_repeats_it(auth: str):
    async def scenario() -> None:
        server = answering([], EHLO="250-hi\r\n250 AUTH PLAIN", AUTH=auth.format(PASSWORD))
        async with server as port:
            notifying = notifier(port, username="relance", password=PASSWORD)
            async with notifying.open() as line:
                error = await failing(line, message())
        assert error.phase == "auth"
        for shown in (str(error), repr(error), repr(notifying), repr(line), repr(error.__cause__)):
            assert PASSWORD not in shown

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    if which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = (folder / "cert.pem", folder / "key.pem")
    ask = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made[0]), "-keyout", str(made[1]))
    subprocess.run([*ask.split(), *names], check=True, capture_output=True)
    return made


def test_mail_to_a_server_without_starttls_is_not_sent_in_the_clear():
    async def scenario() -> None:
        mailroom = Mailroom()
        async with serving(mailroom) as port, notifier(port, tls=Tls.STARTTLS).open() as line:
            error = await failing(line, message())
        assert (error.phase, says_of(error)) == ("starttls", {"server_down"})
        assert "STARTTLS" in str(error)
        assert mailroom.mails == []

    asyncio.run(scenario())


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
def test_only_a_server_whose_certificate_is_trusted_gets_the_mail(
    tls: Tls, trusted: bool, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def scenario() -> None:
        mailroom = Mailroom()
        at = {"implicit": context} if tls is Tls.IMPLICIT else {"tls_context": context, "require_starttls": True}
        async with serving(mailroom, **at) as port, notifier(port, tls=tls).open() as line:
            if trusted:
                await line.send(message())
            else:
                error = await failing(line, message())
                assert says_of(error) == {"server_down"}
                assert "certificate verify failed" in str(error)
        assert len(mailroom.mails) == int(trusted)

    asyncio.run(scenario())
