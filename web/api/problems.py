"""What went wrong, as RFC 9457 says it: a kind that programs can tell by `type`, and what to do in words."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from store.session import StoreUnavailable
from web.headers import HEADERS

log = logging.getLogger("relance.api")

MEDIA_TYPE = "application/problem+json"


class Kind(StrEnum):
    """The last part of a problem's `type`, `urn:relance:problem:KIND`."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD = "method-not-allowed"
    CONFLICT = "conflict"
    CHANGED = "precondition-failed"
    TOO_LARGE = "too-large"
    MEDIA = "unsupported-media-type"
    INVALID = "invalid"
    REUSED = "idempotency-key-reused"
    TOO_MANY = "too-many-requests"
    BUSY = "unavailable"
    FAILED = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    status: int
    title: str


ABOUT: Mapping[Kind, _About] = {
    Kind.UNAUTHENTICATED: _About(status=401, title="Who are you?"),
    Kind.FORBIDDEN: _About(status=403, title="Not allowed"),
    Kind.NOT_FOUND: _About(status=404, title="Not found"),
    Kind.METHOD: _About(status=405, title="Method not allowed"),
    Kind.CONFLICT: _About(status=409, title="Not possible in this state"),
    Kind.CHANGED: _About(status=412, title="Changed meanwhile"),
    Kind.TOO_LARGE: _About(status=413, title="Too large"),
    Kind.MEDIA: _About(status=415, title="Unsupported media type"),
    Kind.INVALID: _About(status=422, title="Invalid"),
    Kind.REUSED: _About(status=422, title="Idempotency key used for something else"),
    Kind.TOO_MANY: _About(status=429, title="Too many requests"),
    Kind.BUSY: _About(status=503, title="Unavailable"),
    Kind.FAILED: _About(status=500, title="Our fault"),
}
BY_STATUS: Mapping[int, Kind] = {about.status: kind for kind, about in reversed(ABOUT.items())}


class Fault(BaseModel):
    """One thing that is wrong with the input. `pointer`: where, as RFC 6901 writes it; "" is all of it."""

    pointer: str
    detail: str


class ProblemBody(BaseModel):
    """RFC 9457. `type` is `urn:relance:problem:` and a kind; `errors` says what is wrong with the input, and where."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "type": "urn:relance:problem:invalid",
                    "title": "Invalid",
                    "status": 422,
                    "detail": "1 field cannot be recorded.",
                    "errors": [{"pointer": "/fields/end_date", "detail": 'end_date: "soon" is not a date'}],
                }
            ]
        }
    }


@dataclass(slots=True, kw_only=True)
class Problem(Exception):
    """The request cannot be answered. `detail` is a whole sentence that says what to do."""

    kind: Kind
    detail: str
    errors: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def body(self) -> dict[str, Any]:
        about = ABOUT[self.kind]
        body = ProblemBody(
            type=f"urn:relance:problem:{self.kind}",
            title=about.title,
            status=about.status,
            detail=self.detail,
            errors=list(self.errors),
        )
        return body.model_dump(exclude={"errors"} if not self.errors else None)

    def response(self) -> JSONResponse:
        return JSONResponse(
            self.body(), status_code=ABOUT[self.kind].status, headers=dict(self.headers), media_type=MEDIA_TYPE
        )


def not_found(what: str) -> Problem:
    """The same whether it does not exist or is none of the caller's business."""
    return Problem(kind=Kind.NOT_FOUND, detail=f"There is no {what}, or you may not see it.")


def answers(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: problems it has beyond those that every route has."""
    return {
        ABOUT[kind].status: {
            "description": ABOUT[kind].title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }
        for kind in kinds
    }


# --- what the framework and the store raise ---


def install(app: FastAPI) -> None:
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(StoreUnavailable, _on_unavailable)
    app.add_exception_handler(Exception, _on_failure)


async def on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        Fault(pointer=_pointer(e["loc"]), detail=str(e["msg"]).removeprefix("Value error, ")) for e in error.errors()
    ]
    return Problem(kind=Kind.INVALID, detail="The request is not as its description says.", errors=faults).response()


def _pointer(place: Sequence[str | int]) -> str:
    """Of the body, a JSON pointer; of anything else where it stands: "?limit"."""
    source, *path = place
    if source == "body":
        return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
    return {"query": "?", "path": ":", "header": "header ", "cookie": "cookie "}.get(str(source), "") + ".".join(
        map(str, path)
    )


async def on_http_error(_: Request, error: Exception) -> Response:
    """The framework's own refusals: no such path, no such method, a body that is not JSON."""
    assert isinstance(error, HTTPException)
    kind = BY_STATUS.get(error.status_code, Kind.INVALID)
    return Problem(kind=kind, detail=str(error.detail), headers=error.headers or {}).response()


async def _on_unavailable(_: Request, error: Exception) -> Response:
    log.error("%s", error)
    detail = "The database cannot be used just now; nothing was written. Try again."
    return Problem(kind=Kind.BUSY, detail=detail, headers={"Retry-After": "5"}).response()


async def _on_failure(_: Request, error: Exception) -> Response:
    """The server logs the error; this answer bypasses every middleware and so brings its own headers."""
    detail = "Something went wrong here; the log says what. Nothing of this request was written."
    answer = Problem(kind=Kind.FAILED, detail=detail).response()
    answer.headers.update(HEADERS)
    return answer
