"""Who calls, and whether they may: every route of the API states the permission it asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request

from domain.access import Actor, Permission, Sight
from domain.person import People
from store import people, throttle, users
from store.session import Database
from web.api.problems import Kind, Problem
from web.services import Services, services_of
from web.signed_in import SignedIn, address_of, signed_in

BEARER = "bearer "
CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Someone who may use the route. `trace` names this request in logs, and what comes of it.

    `csrf`: what a session's writes have to bring along; None: they came with a token.
    """

    actor: Actor
    services: Services
    now: datetime
    trace: str
    csrf: str | None = None

    @property
    def db(self) -> Database:
        return self.services.db

    def owners(self, known: People | None = None) -> frozenset[str] | None:
        """Whose customers the caller sees, by the ids of people; None: all."""
        if self.actor.sight is Sight.ALL:
            return None
        if self.actor.sight is Sight.NONE or self.actor.person is None:
            return frozenset()
        known = known or people.load(self.db)
        person = known.get(self.actor.person)
        team = known.team(person.team) if person and person.team else ()
        return frozenset({self.actor.person, *(mate.id for mate in team)})


@dataclass(frozen=True, slots=True)
class Requires:
    """The dependency of a route: whoever has the permission may use it; without one, whoever is known.

    Raises `Problem`: 401 or 403, and 429 where too many bad tokens come from one address.
    """

    permission: Permission | None = None

    def __call__(self, request: Request) -> Caller:
        services = services_of(request)
        now = services.clock()
        visit = None
        if "Authorization" in request.headers:  # then a cookie beside it counts for nothing
            actor = _by_token(request, services, now=now)
        else:
            visit = _by_session(request)
            actor = visit.actor
        request.state.source = actor.source
        if self.permission is not None and self.permission not in actor.permissions:
            raise Problem(kind=Kind.FORBIDDEN, detail=f"This needs the permission {self.permission}.")
        return Caller(
            actor=actor, services=services, now=now, trace=request.state.trace, csrf=visit.csrf if visit else None
        )


def _by_token(request: Request, services: Services, *, now: datetime) -> Actor:
    """A good token is let through however many bad ones came from its address: nobody guesses one, and a broken
    program must not shut out all that share its way out."""
    header = request.headers["Authorization"]
    if header[: len(BEARER)].lower() != BEARER:
        raise _unknown()
    actor = users.by_token(services.db, header[len(BEARER) :].strip(), now=now)
    if actor is None:
        until = throttle.bad_token(services.db, address=address_of(request), now=now)
        raise _too_many(until - now) if until else _unknown()
    return actor


def _by_session(request: Request) -> SignedIn:
    visit = signed_in(request)
    if visit is None:
        raise _unknown()
    if request.method not in SAFE and not visit.meant(request, request.headers.get(CSRF_HEADER, "")):
        detail = f"Send the session's CSRF token, which `GET /me` gives, as `{CSRF_HEADER}`."
        raise Problem(kind=Kind.FORBIDDEN, detail=detail)
    return visit


def _unknown() -> Problem:
    return Problem(
        kind=Kind.UNAUTHENTICATED,
        detail="Send a valid API token as `Authorization: Bearer rel_...`, or sign in.",
        headers={"WWW-Authenticate": 'Bearer realm="relance"'},
    )


def _too_many(wait: timedelta) -> Problem:
    return Problem(
        kind=Kind.TOO_MANY,
        detail="Too many bad tokens came from this address.",
        headers={"Retry-After": str(math.ceil(wait.total_seconds()))},
    )
