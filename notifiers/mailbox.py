"""Where reports arrive: an IMAP mailbox, a folder of mail files, or one mail on standard input.

A mail comes again each time the mailbox is opened, until it was marked as handled. So record first, then mark.
"""

from __future__ import annotations

import imaplib
import mailbox
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

from notifiers.bounces import LIMIT_BYTES
from notifiers.smtp.failures import in_short

IMAPS_PORT = 993
TIMEOUT_S = 30.0  # for each step
FORMS = "imaps://user:password@host/INBOX, maildir:/path or mbox:/path"


class MailboxError(Exception):
    """The mailbox cannot be read. Says where and what to do, and never a password."""


class Mailbox(Protocol):
    def waiting(self) -> Iterator[tuple[str, bytes]]:
        """(id, mail) of what nobody has handled yet. A mail is cut at `LIMIT_BYTES`. Raises `MailboxError`.

        An id names its mail as long as the mailbox is open.
        """
        ...

    def handled(self, mail: str) -> None:
        """Mark a mail, by its id: it does not come again. Raises `MailboxError`."""
        ...


@contextmanager
def opened(url: str) -> Generator[Mailbox]:
    """The mailbox at a URL: `FORMS` says how they are written. Raises `MailboxError`, also while it is in use."""
    scheme, _, rest = url.partition(":")
    if scheme not in OPENERS or not rest:
        # Not a word of what follows: it may hold a password.
        raise MailboxError(f"{in_short(scheme)!r} is no kind of mailbox; write {FORMS}")
    with OPENERS[scheme](url) as box:
        yield box


# --- IMAP ---


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapAccount:
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    folder: str

    def __str__(self) -> str:
        return f"the mailbox {self.folder} of {self.user} at {self.host}:{self.port}"


class ImapMailbox:
    """Handled is what has been seen: a person may look in and mark mails by hand."""

    def __init__(self, account: ImapAccount, client: imaplib.IMAP4) -> None:
        self._account, self._client = account, client

    def waiting(self) -> Iterator[tuple[str, bytes]]:
        found = self._ask("SEARCH", "UNSEEN")
        for uid in b" ".join(each for each in found if isinstance(each, bytes)).decode("ascii", "replace").split():
            for answer in self._ask("FETCH", uid, f"(BODY.PEEK[]<0.{LIMIT_BYTES}>)"):
                if isinstance(answer, tuple):  # else it was deleted in the meantime, or is the rest of an answer
                    yield uid, answer[1]

    def handled(self, mail: str) -> None:
        self._ask("STORE", mail, "+FLAGS.SILENT", r"(\Seen)")

    def _ask(self, command: str, *arguments: str) -> list[Any]:
        with _imap_errors(self._account):
            kind, answer = self._client.uid(command, *arguments)
        if kind != "OK":
            raise MailboxError(f"{self._account}: {command} was refused: {_words(answer)}")
        return answer


@contextmanager
def _imap(url: str) -> Generator[Mailbox]:
    account = _account(url)
    with _imap_errors(account):
        client = imaplib.IMAP4_SSL(
            account.host, account.port, ssl_context=ssl.create_default_context(), timeout=TIMEOUT_S
        )
    try:
        _log_in(client, account)
        yield ImapMailbox(account, client)
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            client.logout()
        with suppress(OSError):  # closed already, where the goodbye was answered
            client.shutdown()


def _account(url: str) -> ImapAccount:
    with suppress(ValueError):  # no port, no host: told below, and not in words that hold the URL
        parts = urlsplit(url)
        if parts.hostname and parts.username and parts.password:
            return ImapAccount(
                host=parts.hostname,
                port=parts.port or IMAPS_PORT,
                user=unquote(parts.username),
                password=unquote(parts.password),
                folder=unquote(parts.path.strip("/")) or "INBOX",
            )
    raise MailboxError(
        "the IMAP mailbox lacks a host, a user or a password; write imaps://user:password@host/INBOX, "
        "with %3A, %2F and %40 for : / and @ in user and password"
    )


def _log_in(client: imaplib.IMAP4, account: ImapAccount) -> None:
    # Not in the server's words: it may repeat what it was sent, and that is the password here.
    try:
        client.login(account.user, account.password)
    except (imaplib.IMAP4.abort, OSError):
        raise MailboxError(f"{account}: the connection was lost during the login; try again later") from None
    except (imaplib.IMAP4.error, UnicodeError):
        raise MailboxError(f"{account}: the login was refused; check user and password") from None
    with _imap_errors(account):
        quoted = account.folder.replace("\\", "\\\\").replace('"', '\\"')
        kind, answer = client.select(f'"{quoted}"')
    if kind != "OK":
        raise MailboxError(f"{account}: there is no such folder: {_words(answer)}")


def _words(answer: list[Any]) -> str:
    return in_short(" ".join(each.decode("utf-8", "replace") for each in answer if isinstance(each, bytes)))


@contextmanager
def _imap_errors(account: ImapAccount) -> Generator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as failure:
        raise MailboxError(
            f"{account}: its certificate is not trusted: {failure.verify_message}; "
            "SSL_CERT_FILE can name a file with your own authority's certificate"
        ) from None
    except (imaplib.IMAP4.error, OSError, UnicodeError) as failure:
        raise MailboxError(f"{account}: {in_short(str(failure))}") from None


# --- files ---


class Maildir:
    """Handled is what carries the flag S, as mail programs set it. Others may move files at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def waiting(self) -> Iterator[tuple[str, bytes]]:
        with _file_errors(self._folder):
            for file in self._files():
                name, _, flags = file.name.partition(":2,")
                if "S" in flags:
                    continue
                try:
                    with file.open("rb") as mail:
                        raw = mail.read(LIMIT_BYTES)
                except FileNotFoundError:  # deleted, or renamed, and then it comes again
                    continue
                yield name, raw

    def handled(self, mail: str) -> None:
        with _file_errors(self._folder), suppress(FileNotFoundError):
            for file in self._files():
                name, _, flags = file.name.partition(":2,")
                if name == mail:
                    file.rename(self._folder / "cur" / f"{name}:2,{''.join(sorted({*flags, 'S'}))}")

    def _files(self) -> list[Path]:
        files = [file for part in ("new", "cur") for file in (self._folder / part).iterdir()]
        return sorted((file for file in files if not file.name.startswith(".")), key=lambda file: file.name)


class Mbox:
    """Handled is what has the status R, as mail programs set it. Locked as long as it is open; written when closed."""

    def __init__(self, file: Path, box: mailbox.mbox) -> None:
        self._file, self._box = file, box

    def waiting(self) -> Iterator[tuple[str, bytes]]:
        with _file_errors(self._file):
            for key in list(self._box.iterkeys()):
                raw = self._box.get_bytes(key)
                if "R" not in str(BytesHeaderParser().parsebytes(raw)["Status"]):
                    yield str(key), raw[:LIMIT_BYTES]

    def handled(self, mail: str) -> None:
        with _file_errors(self._file):
            key = cast(str, int(mail))  # as typed; in an mbox they are numbers
            envelope, _, raw = self._box.get_bytes(key, from_=True).partition(b"\n")
            self._box[key] = envelope + b"\nStatus: RO\n" + raw


@contextmanager
def _maildir(url: str) -> Generator[Mailbox]:
    folder = _path(url)
    if not all((folder / part).is_dir() for part in ("new", "cur", "tmp")):
        raise MailboxError(f"{folder} is no Maildir: it needs the folders new, cur and tmp")
    yield Maildir(folder)


@contextmanager
def _mbox(url: str) -> Generator[Mailbox]:
    file = _path(url)
    with _file_errors(file):
        box = mailbox.mbox(file, create=False)
    try:
        with _file_errors(file):
            box.lock()
        yield Mbox(file, box)
    finally:
        with _file_errors(file):
            box.close()  # writes what was marked and unlocks


def _path(url: str) -> Path:
    return Path(unquote(url.partition(":")[2]))


@contextmanager
def _file_errors(path: Path) -> Generator[None]:
    try:
        yield
    except mailbox.NoSuchMailboxError:
        raise MailboxError(f"{path} does not exist") from None
    except mailbox.ExternalClashError:
        raise MailboxError(f"{path} is in use by another program; try again later") from None
    except OSError as failure:
        raise MailboxError(
            f"{path} cannot be used: {failure.strerror or failure}; check its owner and permissions"
        ) from None


# --- standard input ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Piped:
    """One mail, handed over by a mail server. That it comes again is up to the server: fail, and it keeps it."""

    stream: BinaryIO

    def waiting(self) -> Iterator[tuple[str, bytes]]:
        yield "standard input", self.stream.read(LIMIT_BYTES)

    def handled(self, mail: str) -> None:
        """Nothing to do: the server forgets the mail when the program ends well."""


OPENERS: Mapping[str, Callable[[str], AbstractContextManager[Mailbox]]] = {
    "imaps": _imap,
    "maildir": _maildir,
    "mbox": _mbox,
}
