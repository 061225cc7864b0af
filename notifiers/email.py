"""A rendered reminder as the bytes of one mail to one person.

Built by hand: the standard library's composer takes ten times as long and gives the same. Its parser reads it back in
the tests. Every header's text loses its line breaks on the way in, so no text can add a header or end them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime

from notifiers.addresses import checked
from notifiers.render import Rendered

# Quoted-printable never contains "=_", so no body can contain the boundary, and a resend has the same bytes.
BOUNDARY = "=_relance"

# Both keep a header's lines within the 76 characters of RFC 2047.
PLAIN_LIMIT = 66  # characters after the header's name
ENCODED_LIMIT_BYTES = 39  # of UTF-8 in one encoded word: 64 characters with its frame

HEADER_BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def compose(
    rendered: Rendered,
    *,
    sender: str,
    to: str,
    message_id: str,
    thread_root: str,
    date: datetime,
    sender_name: str | None = None,
    recipient_name: str | None = None,
    reply_to: str | None = None,
) -> bytes:
    """The mail, with CRLF line ends and ASCII throughout; the same arguments give the same bytes.

    `sender`, `to` and `reply_to` are bare addresses; `message_id` and `thread_root` come from the functions below.
    Raises a permanent `SendError` where an address cannot be written to.
    """
    headers = (
        ("From", _mailbox(sender, sender_name)),
        ("To", _mailbox(to, recipient_name)),
        ("Reply-To", _mailbox(reply_to, None) if reply_to else None),
        ("Subject", _text(rendered.subject)),
        ("Date", format_datetime(date)),
        ("Message-ID", _one_line(message_id)),
        ("In-Reply-To", _one_line(thread_root)),
        ("References", _one_line(thread_root)),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative; boundary="{BOUNDARY}"'),
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers if value is not None)
    parts = _part("plain", rendered.text) + _part("html", rendered.html)
    return f"{head}\r\n".encode("ascii") + parts + f"--{BOUNDARY}--\r\n".encode("ascii")


def message_id(delivery_key: str, *, domain: str) -> str:
    """The Message-ID of a delivery. Its key holds the occurrence: a resend has the same, a second reminder another."""
    return f"<{delivery_key}@{domain}>"


def thread_root(recommendation_id: str, *, domain: str) -> str:
    """What all mails about a recommendation refer to, so that mail programs show them as one thread."""
    return f"<{recommendation_id}.thread@{domain}>"


def _part(subtype: str, text: str) -> bytes:
    head = (
        f"--{BOUNDARY}\r\n"
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    # The last line end belongs to the boundary after it.
    body = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n") + "\r\n"
    return head.encode("ascii") + binascii.b2a_qp(body.encode(), istext=True)


def _mailbox(address: str, name: str | None) -> str:
    phrase = _one_line(name or "")
    if not phrase:
        return checked(address)
    if _is_plain(phrase):
        quoted = re.sub(r'(["\\])', r"\\\1", phrase)
        return f'"{quoted}" <{checked(address)}>'
    return f"{_encoded(phrase)}\r\n <{checked(address)}>"


def _text(text: str) -> str:
    line = _one_line(text)
    return line if _is_plain(line) else _encoded(line)


def _one_line(text: str) -> str:
    return HEADER_BREAKS.sub(" ", text).strip()


def _is_plain(line: str) -> bool:
    return line.isascii() and len(line) <= PLAIN_LIMIT and "=?" not in line


def _encoded(text: str) -> str:
    """RFC 2047: encoded words, one a line."""
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(piece).decode()}?=" for piece in _pieces(text))


def _pieces(text: str) -> Iterator[bytes]:
    """UTF-8 cut between characters, as each encoded word must stand alone."""
    piece = b""
    for character in text:
        encoded = character.encode()
        if len(piece) + len(encoded) > ENCODED_LIMIT_BYTES:
            yield piece
            piece = b""
        piece += encoded
    yield piece
