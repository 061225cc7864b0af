"""Who may use a route.

The token in a link is the credential: signed for one recommendation, one person and one action. It stands in the
form's address, so another site cannot forge a request without knowing it: no cookie, no CSRF field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias
from zoneinfo import ZoneInfo

from fastapi import Depends, Query, Request

from domain.delivery import Link
from domain.person import People, Person
from domain.recommendation import Recommendation
from notifiers.links import Expired, Forged
from store import people, recommendations
from web.services import Services, services_of
from web.trouble import Trouble, TroubleKind
from web.words import Reader, known_language

# What each signed link opens. The trace belongs to all: it shows little more than the mail did.
OPENS: Mapping[Link, frozenset[Link]] = {
    **{link: frozenset({link, Link.WHY}) for link in Link},
    Link.ACT: frozenset(Link),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Someone came with a good link: who, about what, and for which page."""

    services: Services
    token: str
    link: Link
    person: Person
    people: People
    reader: Reader
    recommendation: Recommendation
    now: datetime


def public() -> None:
    """Anyone may use the route: it says nothing about customers or people."""


def demo() -> None:
    """Anyone who reaches the server may use the route: only the demo serves it, and only on loopback."""


def signed_link(request: Request, token: str, wanted: Annotated[Link | None, Query(alias="as")] = None) -> Visit:
    """Whoever holds a link signed for this page may use the route. Raises `Trouble`."""
    services = services_of(request)
    now = services.clock()
    try:
        opened = services.links.read(token, now=now)
    except Forged:
        raise Trouble(TroubleKind.LOST) from None
    except Expired as expired:
        person = people.load(services.db).get(expired.opened.person)
        raise Trouble(TroubleKind.EXPIRED, _reader(services, person) if person else None) from None
    link = wanted or opened.link
    if link not in OPENS[opened.link]:
        raise Trouble(TroubleKind.LOST)
    everyone = people.load(services.db)
    person = everyone.get(opened.person)
    if person is None:
        raise Trouble(TroubleKind.STRANGER)
    reader = _reader(services, person)
    recommendation = recommendations.get(services.db, opened.recommendation)
    if recommendation is None:
        raise Trouble(TroubleKind.GONE, reader)
    return Visit(
        services=services,
        token=token,
        link=link,
        person=person,
        people=everyone,
        reader=reader,
        recommendation=recommendation,
        now=now,
    )


def _reader(services: Services, person: Person) -> Reader:
    return Reader(
        language=known_language(person.language) or services.language,
        zone=ZoneInfo(person.timezone) if person.timezone else services.zone,
    )


SignedLink: TypeAlias = Annotated[Visit, Depends(signed_link)]
