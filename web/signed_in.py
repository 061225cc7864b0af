"""Who is signed in: the cookie, and what keeps other sites from using it.

A browser sends the cookie along whoever wrote the page, so that each write also needs the session's CSRF token, which
only our own pages know.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response
from itsdangerous import BadData
from starlette.exceptions import HTTPException

from domain.access import Actor
from notifiers.links import serializer
from store import sessions
from store.users import User
from web.forms import Fields, first, read_fields
from web.services import Services, services_of
from web.trouble import Trouble, TroubleKind

COOKIE = "relance_session"
SALT = "relance.session"
HOME = "/account"
LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")  # a path of ours: browsers read "//" and "/\" as another host


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Somebody with a good cookie."""

    services: Services
    actor: Actor
    secret: str = field(repr=False)
    now: datetime

    @property
    def csrf(self) -> str:
        """What a write has to bring along: of this session alone, and it tells nothing of its secret."""
        return hmac.new(self.secret.encode(), b"csrf", hashlib.sha256).hexdigest()

    def meant(self, request: Request, csrf: str) -> bool:
        """Whether they meant to write this: it comes from a page of ours that was shown to them."""
        same = hmac.compare_digest(csrf.encode(), self.csrf.encode())
        return same and not from_elsewhere(request)


def signed_in(request: Request) -> SignedIn | None:
    services = services_of(request)
    secret = _secret(request, services)
    now = services.clock()
    actor = sessions.whose(services.db, secret, now=now) if secret else None
    return SignedIn(services=services, actor=actor, secret=secret, now=now) if actor and secret else None


def from_elsewhere(request: Request) -> bool:
    """Whether another site's page sent this, as far as the browser says; what is no browser says nothing."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    here = (request.headers.get("Host"), urlsplit(services_of(request).base_url).netloc)
    return origin is not None and urlsplit(origin).netloc not in here


def enter(request: Request, user: User, *, then: str) -> Response:
    """Sign a user in and lead them on. Whatever session their browser had before is over."""
    services = services_of(request)
    before = _secret(request, services)
    secret = sessions.begin(services.db, user.id, instead_of=before, now=services.clock())
    answer = RedirectResponse(local(then), status_code=303)
    set_cookie(answer, services, COOKIE, serializer(services.keys, SALT).dumps(secret), lasting=sessions.LONGEST)
    return answer


def leave(visit: SignedIn) -> Response:
    sessions.end(visit.services.db, visit.secret, by=visit.actor, now=visit.now)
    answer = RedirectResponse("/login", status_code=303)
    set_cookie(answer, visit.services, COOKIE, "", lasting=timedelta(0))
    return answer


def local(path: str) -> str:
    """The path if it is one of ours, else where everybody may go: nobody is led to another site."""
    return path if LOCAL.fullmatch(path) else HOME


def address_of(request: Request) -> str:
    """Where the request comes from: the other end of the socket, or whom a trusted proxy names."""
    return request.client.host if request.client else ""


# --- cookies ---


def set_cookie(answer: Response, services: Services, name: str, value: str, *, lasting: timedelta) -> None:
    """For this host alone, out of reach of scripts, and sent along when a link from a mail is followed."""
    answer.set_cookie(
        cookie_name(services, name),
        value,
        max_age=int(lasting.total_seconds()),
        secure=_secure(services),
        httponly=True,
        samesite="lax",
    )


def cookie_name(services: Services, name: str) -> str:
    """Over https with a prefix, for which browsers take the cookie from nobody but us."""
    return f"__Host-{name}" if _secure(services) else name


def _secure(services: Services) -> bool:
    return services.base_url.startswith("https://")


def _secret(request: Request, services: Services) -> str | None:
    cookie = request.cookies.get(cookie_name(services, COOKIE))
    if not cookie:
        return None
    try:
        return str(serializer(services.keys, SALT).loads(cookie))
    except BadData:
        return None


# --- the dependencies of pages ---


def session(request: Request) -> SignedIn:
    """Whoever is signed in may use the route; others are asked to sign in, and led back."""
    visit = signed_in(request)
    if visit is None:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        after = f"?next={quote(path)}" if request.method in ("GET", "HEAD") else ""
        raise HTTPException(303, headers={"Location": f"/login{after}"})
    return visit


Session: TypeAlias = Annotated[SignedIn, Depends(session)]


def session_form(request: Request, visit: Session, fields: Annotated[Fields, Depends(read_fields)]) -> Fields:
    """The fields of a form of ours, in which the hidden one is the session's. Raises `Trouble`."""
    if not visit.meant(request, first(fields, "csrf")):
        raise Trouble(TroubleKind.STALE)
    return fields


SessionForm: TypeAlias = Annotated[Fields, Depends(session_form)]
