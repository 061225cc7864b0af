"""JSON as it was sent: numbers exact, and no text that the database cannot hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parsed(body: bytes) -> Any:
    """Raises ValueError with the rest of a sentence that begins with what was sent."""
    try:
        document = json.loads(body.decode(), parse_float=Decimal, parse_constant=_refuse)
        if any(UNSTORABLE.search(text) for text in _texts(document)):
            raise ValueError("holds a character that cannot be stored")
    except UnicodeDecodeError as trouble:
        raise ValueError(f"is not UTF-8: byte {trouble.start} is 0x{trouble.object[trouble.start]:02x}") from None
    except json.JSONDecodeError as trouble:
        raise ValueError(f"is not JSON: {trouble.msg} at character {trouble.pos}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return document


def _refuse(constant: str) -> object:
    raise ValueError(f"is not JSON: {constant} is no number there")


def _texts(document: Any) -> Iterator[str]:
    match document:
        case str():
            yield document
        case list():
            for item in document:
                yield from _texts(item)
        case dict():
            for key, item in document.items():
                yield key
                yield from _texts(item)
        case _:
            pass


class ExactRequest(Request):
    async def json(self) -> Any:
        try:
            return parsed(await self.body())
        except ValueError as refusal:
            raise HTTPException(422, f"The body {refusal}.") from None


class ExactRoute(APIRoute):
    """A route whose JSON is read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            return await handle(ExactRequest(request.scope, request.receive))

        return exactly
