"""When a page cannot be shown: a plain page with the right status that says what to do next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from notifiers.chat import Unverified
from store.session import StoreUnavailable
from web.api import problems
from web.headers import HEADERS
from web.pages import page
from web.services import services_of
from web.words import Reader, accepted_language

log = logging.getLogger("relance.web")


class TroubleKind(StrEnum):
    """Its words are `KIND.title`, `KIND.text` and `KIND.next`."""

    LOST = "lost"  # no such page; a forged link looks the same, so that nobody learns what exists
    EXPIRED = "expired"
    GONE = "gone"
    STRANGER = "stranger"
    STALE = "stale"  # a form that was not filled in here, or by somebody who is no longer signed in so
    NO_ACCOUNT = "no-account"
    SIGN_IN_FAILED = "sign-in-failed"
    TOO_LONG = "too-long"
    BUSY = "busy"
    FAILED = "failed"


STATUS: Mapping[TroubleKind, int] = {
    TroubleKind.LOST: 404,
    TroubleKind.EXPIRED: 410,
    TroubleKind.GONE: 410,
    TroubleKind.STRANGER: 403,
    TroubleKind.STALE: 403,
    TroubleKind.NO_ACCOUNT: 403,
    TroubleKind.SIGN_IN_FAILED: 403,
    TroubleKind.TOO_LONG: 413,
    TroubleKind.BUSY: 503,
    TroubleKind.FAILED: 500,
}


class Trouble(Exception):
    """The page cannot be shown. `reader`: whoever asked, where we know them."""

    def __init__(self, kind: TroubleKind, reader: Reader | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.reader = reader


def visitor(request: Request) -> Reader:
    """Someone of whom we only know what their browser says."""
    services = services_of(request)
    accepted = accepted_language(request.headers.get("Accept-Language", ""))
    return Reader(language=accepted or services.language, zone=services.zone)


def show_trouble(
    request: Request, kind: TroubleKind, *, reader: Reader | None = None, status: int | None = None
) -> HTMLResponse:
    return page("trouble", reader or visitor(request), status=status or STATUS[kind], kind=kind)


async def on_trouble(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, Trouble)
    return show_trouble(request, error.kind, reader=error.reader)


async def on_http_error(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such path, no such method. Programs are answered as the API does."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):  # a path that not even the API's mount matches: a line break in it
        return await problems.on_http_error(request, error)
    answer = show_trouble(request, TroubleKind.LOST, status=error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def on_unreadable(request: Request, _: Exception) -> HTMLResponse:
    return show_trouble(request, TroubleKind.LOST)


async def on_unverified(request: Request, error: Exception) -> HTMLResponse:
    """Whoever set up a chat reads in the log what is wrong; a stranger learns nothing."""
    log.warning("%s: refused: %s", request.url.path, error)
    return show_trouble(request, TroubleKind.LOST, status=401)


async def on_unavailable(request: Request, _: Exception) -> HTMLResponse:
    return show_trouble(request, TroubleKind.BUSY)


async def on_failure(request: Request, _: Exception) -> HTMLResponse:
    """The server logs the error; this answer bypasses every middleware and so brings its own headers."""
    answer = show_trouble(request, TroubleKind.FAILED)
    answer.headers.update(HEADERS)
    return answer


def install(app: FastAPI) -> None:
    app.add_exception_handler(Trouble, on_trouble)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_unreadable)
    app.add_exception_handler(Unverified, on_unverified)
    app.add_exception_handler(StoreUnavailable, on_unavailable)
    app.add_exception_handler(Exception, on_failure)
