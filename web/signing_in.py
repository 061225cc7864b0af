"""The pages /login, /logout and /account: signing in with a password, and one's own tokens."""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.access import Permission
from store import throttle, users
from web.forms import Fields, first, read_fields
from web.pages import page
from web.security import public
from web.services import services_of
from web.signed_in import (
    HOME,
    Session,
    SessionForm,
    SignedIn,
    address_of,
    enter,
    from_elsewhere,
    leave,
    local,
    signed_in,
)
from web.trouble import Trouble, TroubleKind, visitor

NAME_LIMIT = 200
DAYS = (30, 90, users.TOKEN_DAYS_MAX)
TOKENS_SHOWN = 200  # live ones and others; whoever has more lists them through the API

log = logging.getLogger("relance.web")

router = APIRouter()


# --- signing in and out ---


@router.api_route("/login", methods=["GET", "HEAD"], dependencies=[Depends(public)])
def sign_in_form(request: Request, then: Annotated[str, Query(alias="next")] = HOME) -> Response:
    return RedirectResponse(local(then), status_code=303) if signed_in(request) else _login(request, then=then)


@router.post("/login", dependencies=[Depends(public)])
def sign_in(request: Request, fields: Annotated[Fields, Depends(read_fields)]) -> Response:
    """The same words and the same time whether the address or the password is wrong."""
    if from_elsewhere(request):
        raise Trouble(TroubleKind.STALE)
    services, now = services_of(request), services_of(request).clock()
    email, then, address = first(fields, "email").lower(), first(fields, "next"), address_of(request)
    until = throttle.attempt(services.db, account=email, address=address, now=now)
    if until is not None:
        return _login(request, then=then, email=email, wrong="locked", status=429, wait=until - now)
    user = users.by_password(services.db, email, first(fields, "password"))
    if user is None:
        log.warning("signing in from %s failed", address)
        return _login(request, then=then, email=email, wrong="wrong", status=403)
    throttle.succeeded(services.db, account=email, address=address)
    if user.disabled_at is not None:
        return _login(request, then=then, email=email, wrong="disabled", status=403)
    return enter(request, user, then=then)


@router.post("/logout")
def sign_out(visit: Session, _: SessionForm) -> Response:
    return leave(visit)


def _login(
    request: Request,
    *,
    then: str,
    email: str = "",
    wrong: str | None = None,
    status: int = 200,
    wait: timedelta = timedelta(0),
) -> HTMLResponse:
    answer = page(
        "login",
        visitor(request),
        status=status,
        then=local(then),
        email=email,
        wrong=wrong,
        minutes=math.ceil(wait / timedelta(minutes=1)),
        provider=services_of(request).provider is not None,
    )
    if wait:
        answer.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    return answer


# --- one's account ---


@router.api_route(HOME, methods=["GET", "HEAD"])
def account(request: Request, visit: Session) -> HTMLResponse:
    return _account(request, visit)


@router.post(HOME)
def press(request: Request, visit: Session, fields: SessionForm) -> Response:
    """Make a token or revoke one. A new one is the answer itself: it is nowhere to be read a second time."""
    if Permission.TOKENS_MANAGE not in visit.actor.permissions:
        raise Trouble(TroubleKind.LOST)
    if token := first(fields, "revoke"):
        users.revoke(visit.services.db, token, user=visit.actor.user, source=visit.actor.source, now=visit.now)
        return RedirectResponse(HOME, status_code=303)
    name, days = first(fields, "name"), first(fields, "days")
    scopes = {*fields.get("scopes", ())}
    if days not in map(str, DAYS) or not scopes <= visit.actor.permissions:
        raise Trouble(TroubleKind.LOST)
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable():
        return _account(request, visit, typed=name, status=422)
    _, made = users.issue(
        visit.services.db,
        user=visit.actor.user,
        name=name,
        scopes=[Permission(scope) for scope in scopes] or None,
        expires_at=visit.now + timedelta(days=int(days)),
        source=visit.actor.source,
        now=visit.now,
    )
    return _account(request, visit, made=made)


def _account(
    request: Request, visit: SignedIn, *, made: str | None = None, typed: str = "", status: int = 200
) -> HTMLResponse:
    listed = users.token_listing(visit.services.db, user=visit.actor.user, limit=TOKENS_SHOWN)
    return page(
        "account",
        visitor(request),
        status=status,
        visit=visit,
        now=visit.now,
        tokens=[token for token in listed if token.is_live(visit.now)],
        makes=Permission.TOKENS_MANAGE in visit.actor.permissions,
        scopes=sorted(visit.actor.permissions),
        days=DAYS,
        made=made,
        typed=typed,
        wrong=status != 200,
    )
