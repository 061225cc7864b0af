"""Who calls, and whether they may: every route of the API states the permission it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import Request

from domain.access import Actor, Permission, Sight
from domain.person import People
from store import people, users
from store.session import Database
from web.api.problems import Kind, Problem
from web.services import Services, services_of

BEARER = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Someone who may use the route. `trace` names this request in logs, and what comes of it."""

    actor: Actor
    services: Services
    now: datetime
    trace: str

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
    """The dependency of a route: whoever has the permission may use it. Raises `Problem`: 401 or 403."""

    permission: Permission

    def __call__(self, request: Request) -> Caller:
        services = services_of(request)
        now = services.clock()
        actor = _known(request, services, now=now)
        if self.permission not in actor.permissions:
            raise Problem(kind=Kind.FORBIDDEN, detail=f"This needs the permission {self.permission}.")
        return Caller(actor=actor, services=services, now=now, trace=request.state.trace)


def _known(request: Request, services: Services, *, now: datetime) -> Actor:
    header = request.headers.get("Authorization", "")
    actor = None
    if header[: len(BEARER)].lower() == BEARER:
        actor = users.by_token(services.db, header[len(BEARER) :].strip(), now=now)
    if actor is None:
        raise Problem(
            kind=Kind.UNAUTHENTICATED,
            detail="Send a valid API token as `Authorization: Bearer rel_...`, or sign in.",
            headers={"WWW-Authenticate": 'Bearer realm="relance"'},
        )
    return actor
