"""How large a request may be: what really arrives is counted, whatever its headers say."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.api.problems import Kind, Problem

MIB = 1024 * 1024
BODY_BYTES = MIB
ARRAY_BYTES = 8 * MIB
STREAM_BYTES = 1024 * MIB
LINE_BYTES = MIB

JSON, NDJSON = "application/json", "application/x-ndjson"

# The paths that may be sent more, by the media type of what is sent.
LARGER: Mapping[tuple[str, str], int] = {("/batches", JSON): ARRAY_BYTES, ("/batches", NDJSON): STREAM_BYTES}


def media_type(headers: Headers) -> str:
    """Without parameters, in lower case."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Limits:
    """Ends the reading of a body that is too large, and refuses those that are packed: they unpack to anything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            detail = "Send the body as it is, without a Content-Encoding."
            await Problem(kind=Kind.MEDIA, detail=detail).response()(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        limit = LARGER.get((path, media_type(headers)), BODY_BYTES)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"The body is larger than {limit // MIB} MiB.")
            return message

        await self.app(scope, counted, send)
