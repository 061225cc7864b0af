from __future__ import annotations

import io
import mailbox
import re
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifiers.bounces import LIMIT_BYTES
from notifiers.mailbox import Mailbox, MailboxError, Piped, opened

FIRST = b"From: MAILER-DAEMON@example.net\nSubject: one\n\nFrom here on: \xff\n"
SECOND = b"From: MAILER-DAEMON@example.net\nStatus: O\nSubject: two\n\n" + b"x" * 50 + b"\n"
PASSWORD = "correct/horse@staple:"  # what a URL needs to quote
QUOTED = "correct%2Fhorse%40staple%3A"


# --- an IMAP server: LOGIN, SELECT, UID SEARCH UNSEEN, UID FETCH, UID STORE ---


@dataclass
class Post:
    mails: dict[int, bytes]
    seen: set[int] = field(default_factory=set[int])
    told: list[str] = field(default_factory=list[str])
    hangs_up_at: str = "nothing"
    refuses: str = "nothing"


class Conversation(socketserver.StreamRequestHandler):
    post: Post

    def handle(self) -> None:
        self.wfile.write(b"* OK hello\r\n")
        while line := self.rfile.readline().decode().rstrip():
            tag, command = line.split(" ", 1)
            self.post.told.append(command)
            if self.post.hangs_up_at in command:
                return
            verb = command.removeprefix("UID ").split()[0]
            answer = "NO not here" if self.post.refuses in command else getattr(self, f"_{verb.lower()}")(command)
            self.wfile.write(f"{tag} {answer} (that is all)\r\n".encode())

    def _capability(self, _command: str) -> str:
        self.wfile.write(b"* CAPABILITY IMAP4rev1\r\n")
        return "OK"

    def _login(self, command: str) -> str:
        return "OK" if command == f'LOGIN relance "{PASSWORD}"' else f"NO who is {command}"

    def _select(self, command: str) -> str:
        self.wfile.write(f"* {len(self.post.mails)} EXISTS\r\n".encode())
        return "OK" if command == 'SELECT "Returned mail"' else "NO no such folder"

    def _search(self, _command: str) -> str:
        unseen = " ".join(str(uid) for uid in self.post.mails if uid not in self.post.seen)
        self.wfile.write(f"* SEARCH {unseen}\r\n".encode())
        return "OK"

    def _fetch(self, command: str) -> str:
        match = re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", command)
        assert match
        uid = int(match[1])
        if uid in self.post.mails:
            raw = self.post.mails[uid][: int(match[2])]
            self.wfile.write(f"* {uid} FETCH (UID {uid} BODY[]<0> {{{len(raw)}}}\r\n".encode() + raw + b")\r\n")
        return "OK"

    def _store(self, command: str) -> str:
        match = re.fullmatch(r"UID STORE (\d+) \+FLAGS\.SILENT \(\\Seen\)", command)
        assert match
        self.post.seen.add(int(match[1]))
        return "OK"

    def _logout(self, _command: str) -> str:
        self.wfile.write(b"* BYE\r\n")
        return "OK"


class Server(socketserver.ThreadingTCPServer):
    context: ssl.SSLContext

    def finish_request(self, request: object, client_address: object) -> None:
        assert not isinstance(request, (tuple, ssl.SSLSocket))
        try:
            with self.context.wrap_socket(request, server_side=True) as encrypted:  # type: ignore[arg-type]
                super().finish_request(encrypted, client_address)
        except OSError:  # a client that does not trust us
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=imap"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made.split(), *names], check=True, capture_output=True)
    return cert, key


@contextmanager
def serving(post: Post, certificate: tuple[Path, Path]) -> Generator[int]:
    server = Server(("127.0.0.1", 0), type("Serving", (Conversation,), {"post": post}))
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(*certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


def imap(port: int, *, password: str = QUOTED, folder: str = "Returned%20mail") -> str:
    return f"imaps://relance:{password}@localhost:{port}/{folder}"


# --- every kind of mailbox ---


@contextmanager
def an_imap_mailbox(folder: Path, certificate: tuple[Path, Path]) -> Generator[str]:
    with serving(Post(mails={7: FIRST, 9: SECOND}), certificate) as port:
        yield imap(port)


@contextmanager
def a_maildir(folder: Path, certificate: tuple[Path, Path]) -> Generator[str]:
    box = mailbox.Maildir(folder / "reports")
    for raw in (FIRST, SECOND):
        box.add(raw)
    yield f"maildir:{folder}/reports"


@contextmanager
def an_mbox(folder: Path, certificate: tuple[Path, Path]) -> Generator[str]:
    with closing(mailbox.mbox(folder / "reports.mbox")) as box:
        for raw in (FIRST, SECOND):
            box.add(raw)
    yield f"mbox:{folder}/reports.mbox"


KINDS = [an_imap_mailbox, a_maildir, an_mbox]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def url(
    request: pytest.FixtureRequest, tmp_path: Path, certificate: tuple[Path, Path], trusted: None
) -> Generator[str]:
    with request.param(tmp_path, certificate) as url:
        yield url


def subjects(box: Mailbox) -> list[bytes]:
    return [raw.split(b"Subject: ")[1].split(b"\n")[0] for _, raw in box.waiting()]


def handle_all(url: str, record: Callable[[bytes], object] = bytes) -> None:
    """As a caller does: record, then mark."""
    with opened(url) as box:
        for mail, raw in box.waiting():
            record(raw)
            box.handled(mail)


def test_what_was_not_handled_comes_again_and_what_was_does_not(url: str):
    with opened(url) as box:
        assert sorted(subjects(box)) == [b"one", b"two"]
    with opened(url) as box:
        for mail, raw in box.waiting():
            if b"two" in raw:
                box.handled(mail)
    for _ in range(2):
        with opened(url) as box:
            assert subjects(box) == [b"one"]


def test_a_mail_is_read_as_it_is(url: str):
    with opened(url) as box:
        assert FIRST in [raw.replace(b">From here", b"From here") for _, raw in box.waiting()]


def test_a_failure_while_recording_leaves_the_mail_where_it_was(url: str):
    recorded: list[bytes] = []

    def record(raw: bytes) -> None:
        if recorded:
            raise ZeroDivisionError
        recorded.append(raw)

    with pytest.raises(ZeroDivisionError):
        handle_all(url, record)
    with opened(url) as box:
        (left,) = (raw for _, raw in box.waiting())
    assert left not in recorded


# --- IMAP ---


def test_looking_marks_nothing_as_seen(certificate: tuple[Path, Path], trusted: None):
    post = Post(mails={7: FIRST, 9: SECOND})
    with serving(post, certificate) as port, opened(imap(port)) as box:
        mails = list(box.waiting())
        assert post.seen == set()
        box.handled(mails[0][0])
        assert post.seen == {7}
    assert post.told[-1] == "LOGOUT"


def test_a_mail_deleted_in_the_meantime_is_passed_over(certificate: tuple[Path, Path], trusted: None):
    post = Post(mails={7: FIRST, 9: SECOND})
    with serving(post, certificate) as port, opened(imap(port)) as box:
        waiting = box.waiting()
        next(waiting)
        del post.mails[9]
        assert list(waiting) == []


def test_no_more_of_a_mail_is_fetched_than_is_looked_at(certificate: tuple[Path, Path], trusted: None):
    post = Post(mails={7: FIRST + b"x" * LIMIT_BYTES})
    with serving(post, certificate) as port, opened(imap(port)) as box:
        assert [len(raw) for _, raw in box.waiting()] == [LIMIT_BYTES]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda post, url: url.replace(QUOTED, "wrong-secret"), "login was refused; check user and password"),
        (lambda post, url: url.replace(QUOTED, "w%C3%A4r"), "login was refused"),
        (lambda post, url: url.replace("Returned%20mail", "Elsewhere"), "no such folder"),
        (lambda post, url: url.replace("localhost", "127.0.0.1"), "certificate is not trusted"),
        (lambda post, url: url.replace("localhost", "nowhere.invalid"), "nowhere.invalid"),
        (lambda post, url: setattr(post, "hangs_up_at", "LOGIN") or url, "connection was lost during the login"),
        (lambda post, url: setattr(post, "hangs_up_at", "SEARCH") or url, "Returned mail of relance at localhost"),
        (lambda post, url: setattr(post, "hangs_up_at", "STORE") or url, "Returned mail of relance at localhost"),
        (lambda post, url: setattr(post, "refuses", "STORE") or url, "STORE was refused.*not here"),
        (lambda post, url: url.replace("imaps:", "imap:"), "'imap' is no kind of mailbox; write imaps://"),
        (lambda post, url: url.replace("localhost:", "localhost:x"), "lacks a host, a user or a password"),
        (lambda post, url: url.replace(f":{QUOTED}", ""), "lacks a host, a user or a password"),
        (lambda post, url: url.replace("@localhost", "@[::"), "lacks a host, a user or a password"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(
    change: Callable[[Post, str], str], complaint: str, certificate: tuple[Path, Path], trusted: None
):
    post = Post(mails={7: FIRST})
    with serving(post, certificate) as port:
        url = change(post, imap(port))
        with pytest.raises(MailboxError, match=complaint) as failure:
            handle_all(url)
    said = [str(failure.value), repr(failure.value.__cause__), repr(vars(failure.value))]
    assert not any(secret in text for text in said for secret in (PASSWORD, QUOTED, "wrong-secret", "wär", "w%C3"))


def test_a_server_that_nobody_vouches_for_gets_no_password(certificate: tuple[Path, Path]):
    post = Post(mails={})
    with serving(post, certificate) as port, pytest.raises(MailboxError, match=r"not trusted.*SSL_CERT_FILE"):
        handle_all(imap(port))
    assert post.told == []


def test_the_password_is_never_shown(certificate: tuple[Path, Path], trusted: None):
    with serving(Post(mails={}), certificate) as port, opened(imap(port)) as box:
        assert PASSWORD not in repr(vars(box))


# --- files ---


def test_a_mail_read_by_a_person_is_handled_too(tmp_path: Path, certificate: tuple[Path, Path]):
    with a_maildir(tmp_path, certificate) as url:
        box = mailbox.Maildir(tmp_path / "reports", create=False)
        for key in box.keys():  # noqa: SIM118
            read = box.get_message(key)
            read.set_subdir("cur")
            read.set_flags("RS")
            box[key] = read
        with opened(url) as ours:
            assert list(ours.waiting()) == []


def test_a_handled_mail_keeps_its_flags_and_other_programs_still_read_it(
    tmp_path: Path, certificate: tuple[Path, Path]
):
    with a_maildir(tmp_path, certificate) as url:
        box = mailbox.Maildir(tmp_path / "reports", create=False)
        (key, *_) = box.keys()
        flagged = box.get_message(key)
        flagged.set_flags("F")
        box[key] = flagged
        handle_all(url)
        after = mailbox.Maildir(tmp_path / "reports", create=False)
        assert sorted(message.get_flags() for message in after) == ["FS", "S"]


def test_a_mail_that_another_program_moves_is_found_all_the_same(tmp_path: Path, certificate: tuple[Path, Path]):
    with a_maildir(tmp_path, certificate) as url, opened(url) as ours:
        mails = [mail for mail, _ in ours.waiting()]
        for file in (tmp_path / "reports" / "new").iterdir():
            file.rename(tmp_path / "reports" / "cur" / f"{file.name}:2,F")
        ours.handled(mails[0])
        (tmp_path / "reports" / "cur" / f"{mails[1]}:2,F").unlink()
        ours.handled(mails[1])
        assert list(ours.waiting()) == []


def test_a_locked_mbox_is_left_alone(tmp_path: Path, certificate: tuple[Path, Path]):
    with an_mbox(tmp_path, certificate) as url:
        lock = f"import fcntl, sys; f = open({str(tmp_path / 'reports.mbox')!r}, 'rb+'); fcntl.lockf(f, fcntl.LOCK_EX)"
        other = subprocess.Popen(
            [sys.executable, "-c", f"{lock}; print('locked', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(MailboxError, match=r"in use by another program; try again later"):
                handle_all(url)
            other.communicate()
        with opened(url) as box:
            assert len(subjects(box)) == 2


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mails=st.lists(st.binary(max_size=200), max_size=4))
def test_an_mbox_of_junk_is_read_and_marked(mails: list[bytes], tmp_path: Path):
    (tmp_path / "junk.mbox").write_bytes(
        b"".join(b"From x@y Mon Nov 23 08:00:00 2026\n" + raw + b"\n\n" for raw in mails)
    )
    handle_all(f"mbox:{tmp_path}/junk.mbox")
    with opened(f"mbox:{tmp_path}/junk.mbox") as box:
        assert list(box.waiting()) == []


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", r"'' is no kind of mailbox; write imaps://.*maildir:/path or mbox:/path"),
        ("/var/mail/bounces", "is no kind of mailbox"),
        ("maildir:", "'maildir' is no kind of mailbox"),
        ("maildir:/nowhere/at/all", "/nowhere/at/all is no Maildir: it needs the folders new, cur and tmp"),
        ("mbox:/nowhere/at/all", "/nowhere/at/all does not exist"),
        ("mbox:/", "/ cannot be used: Is a directory"),
    ],
)
def test_a_mailbox_that_is_not_there_is_named(url: str, complaint: str):
    with pytest.raises(MailboxError, match=complaint):
        handle_all(url)


# --- standard input ---


def test_one_mail_can_be_piped_in():
    box = Piped(stream=io.BytesIO(FIRST + b"x" * LIMIT_BYTES))
    ((mail, raw),) = box.waiting()
    box.handled(mail)
    assert raw == (FIRST + b"x" * LIMIT_BYTES)[:LIMIT_BYTES]
