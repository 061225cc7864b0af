"""A rendered message as the bytes of one mail to one person.

Built by hand: the standard library's composer takes ten times as long and gives the same. Its parser reads it back in
the tests. Every header's text loses its line breaks on the way in, so no text can add a header or end them.

A calendar entry comes twice, as Google Calendar sends its own: beside the text and the HTML, where Outlook and Gmail
look for what they offer to accept or take back, and as a file, which is all that Apple Mail and others look at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from notifiers.addresses import checked
from notifiers.render import Rendered

# Quoted-printable never contains "=_", so no body can contain the boundary, and a resend has the same bytes.
# Neither of the two begins with the other. Nor does base64 contain one.
BOUNDARY = "=_relance"
OUTER_BOUNDARY = "=_mixed"

# Both keep a header's lines within the 76 characters of RFC 2047.
PLAIN_LIMIT = 66  # characters after the header's name
ENCODED_LIMIT_BYTES = 39  # of UTF-8 in one encoded word: 64 characters with its frame

URL_CHARACTERS = "%:/?#[]@!$&'()*+;=~"  # a comma would begin a second one, and ">" end it
CALENDAR_METHOD = re.compile(rb"^METHOD:([A-Z]+)\r$", re.MULTILINE)

HEADER_BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def compose(
    rendered: Rendered,
    *,
    sender: str,
    to: str,
    message_id: str,
    date: datetime,
    thread_root: str | None = None,
    sender_name: str | None = None,
    recipient_name: str | None = None,
    reply_to: str | None = None,
    unsubscribe: str | None = None,
    calendar: bytes | None = None,
) -> bytes:
    """The mail, with CRLF line ends and ASCII throughout; the same arguments give the same bytes.

    `sender`, `to` and `reply_to` are bare addresses; `message_id` and `thread_root` come from the functions below, and
    a mail without a root begins a thread of its own. `unsubscribe`: a URL that takes a POST without asking back.
    `calendar`: what `notifiers.calendar` made.
    Raises a permanent `SendError` where an address cannot be written to.
    """
    headers = (
        ("From", _mailbox(sender, sender_name)),
        ("To", _mailbox(to, recipient_name)),
        ("Reply-To", _mailbox(reply_to, None) if reply_to else None),
        ("Subject", _text(rendered.subject)),
        ("Date", format_datetime(date)),
        ("Message-ID", _one_line(message_id)),
        ("In-Reply-To", _one_line(thread_root) if thread_root else None),
        ("References", _one_line(thread_root) if thread_root else None),
        ("List-Unsubscribe", f"<{quote(unsubscribe, safe=URL_CHARACTERS)}>" if unsubscribe else None),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click" if unsubscribe else None),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("MIME-Version", "1.0"),
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers if value is not None)
    parts = _text_part("plain", rendered.text) + _text_part("html", rendered.html)
    if calendar is None:
        return head.encode("ascii") + _multipart("alternative", parts, boundary=BOUNDARY)
    invitation, file = _calendar_parts(calendar)
    shown = f"--{OUTER_BOUNDARY}\r\n".encode("ascii") + _multipart("alternative", parts + invitation, boundary=BOUNDARY)
    return head.encode("ascii") + _multipart("mixed", shown + file, boundary=OUTER_BOUNDARY)


def message_id(delivery_key: str, *, domain: str) -> str:
    """The Message-ID of a delivery. Its key holds the occurrence: a resend has the same, a second reminder another."""
    return f"<{delivery_key}@{domain}>"


def thread_root(recommendation_id: str, *, domain: str) -> str:
    """What all mails about a recommendation refer to, so that mail programs show them as one thread."""
    return f"<{recommendation_id}.thread@{domain}>"


def _multipart(subtype: str, parts: bytes, *, boundary: str) -> bytes:
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'
    return head.encode("ascii") + parts + f"--{boundary}--\r\n".encode("ascii")


def _part(content_type: str, *, encoding: str, body: bytes, boundary: str, disposition: str = "") -> bytes:
    """`body` is encoded and ends its last line, whose end belongs to the boundary that follows."""
    head = f"--{boundary}\r\nContent-Type: {content_type}\r\n{disposition}Content-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + body


def _text_part(subtype: str, text: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n") + "\r\n"
    body = binascii.b2a_qp(lines.encode(), istext=True)
    return _part(f"text/{subtype}; charset=utf-8", encoding="quoted-printable", body=body, boundary=BOUNDARY)


def _calendar_parts(calendar: bytes) -> tuple[bytes, bytes]:
    """The entry as one of the alternatives, and as a file."""
    method = CALENDAR_METHOD.search(calendar)
    if method is None:
        raise ValueError("a calendar entry that comes by mail needs a METHOD")
    body = base64.encodebytes(calendar).replace(b"\n", b"\r\n")
    # The type must name the same method as the entry does.
    shown = f"text/calendar; charset=utf-8; method={method[1].decode('ascii')}"
    return (
        _part(shown, encoding="base64", body=body, boundary=BOUNDARY),
        _part(
            'application/ics; name="invite.ics"',
            disposition='Content-Disposition: attachment; filename="invite.ics"\r\n',
            encoding="base64",
            body=body,
            boundary=OUTER_BOUNDARY,
        ),
    )


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
