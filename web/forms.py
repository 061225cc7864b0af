"""What a form sent: its fields, whoever posts it, and no more of them than anybody fills in."""

from __future__ import annotations

from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TypeAlias
from urllib.parse import parse_qsl

from fastapi import Request

from web.trouble import Trouble, TroubleKind

FORM_LIMIT_BYTES = 16_384  # a note of several pages, or some hundred rules ticked
BY_PARTS = "multipart/form-data"

Fields: TypeAlias = Mapping[str, tuple[str, ...]]
"""What was given, by the field's name; a box that is ticked twice is two values."""


async def read_body(request: Request, *, limit_bytes: int = FORM_LIMIT_BYTES) -> bytes:
    """Raises `Trouble` where it is longer."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise Trouble(TroubleKind.TOO_LONG)
    return bytes(body)


async def read_fields(request: Request) -> Fields:
    body = await read_body(request)
    content_type = request.headers.get("Content-Type", "")
    named: dict[str, tuple[str, ...]] = {}
    for name, text in _by_parts(content_type, body) if content_type.startswith(BY_PARTS) else _by_pairs(body):
        named[name] = (*named.get(name, ()), _printable(text))
    return named


def first(fields: Fields, name: str) -> str:
    """The one value of a field; empty where it was left out."""
    return fields.get(name, ("",))[0]


def _by_pairs(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body.decode("utf-8", "replace"))


def _by_parts(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """As mail providers send one-click unsubscriptions; no form of ours does."""
    header = f"Content-Type: {content_type}\r\n\r\n".encode("ascii", "replace")
    whole = message_from_bytes(header + body, EmailMessage, policy=policy.default)
    return [
        (str(part.get_param("name", "", header="Content-Disposition")), str(part.get_payload()))
        for part in whole.iter_parts()
    ]


def _printable(text: str) -> str:
    """Without control characters: PostgreSQL refuses some, and nobody typed them."""
    return "".join(c for c in text.replace("\r\n", "\n") if c.isprintable() or c in "\n\t").strip()
