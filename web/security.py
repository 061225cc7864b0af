"""Who may use a route.

The token in a link is the credential: signed for one recommendation or one's own wishes, one person and one action. It
stands in the form's address, so another site cannot forge a request without knowing it: no cookie, no CSRF field. What
a chat posts is signed by that chat, or by us for that chat alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias
from zoneinfo import ZoneInfo

from fastapi import Depends, Query, Request

from domain.delivery import Link, PersonalLink
from domain.person import People, Person
from domain.recommendation import Recommendation
from notifiers import mattermost, slack
from notifiers.chat import Press
from notifiers.links import Expired, Forged, Opened, OpenedPersonal
from store import people, recommendations
from web.forms import read_body
from web.services import Services, services_of
from web.trouble import Trouble, TroubleKind, visitor
from web.words import Reader, known_language

# What each signed link opens. The trace belongs to all: it shows little more than the mail did.
OPENS: Mapping[Link, frozenset[Link]] = {
    **{link: frozenset({link, Link.WHY}) for link in Link},
    Link.ACT: frozenset(Link),
}
# Whoever may change all their wishes may stop all mails too; the link that lives longest does nothing else.
OPENS_PERSONAL: Mapping[PersonalLink, frozenset[PersonalLink]] = {
    PersonalLink.SETTINGS: frozenset(PersonalLink),
    PersonalLink.PAUSE: frozenset(PersonalLink),
    PersonalLink.UNSUBSCRIBE: frozenset({PersonalLink.UNSUBSCRIBE}),
}

PRESS_LIMIT_BYTES = 262_144  # Slack sends the whole message along


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

    @property
    def source(self) -> str:
        """Who writes, as history and audit name it."""
        return f"link:{self.person.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalVisit:
    """Someone came with a good link about their own wishes. `address`: where the mail went that the link stood in."""

    services: Services
    token: str
    link: PersonalLink
    person: Person
    address: str
    reader: Reader
    now: datetime

    @property
    def source(self) -> str:
        """Who writes, as history and audit name it."""
        return f"link:{self.person.id}"


def public() -> None:
    """Anyone may use the route: it says nothing about customers or people."""


def demo() -> None:
    """Anyone who reaches the server may use the route: only the demo serves it, and only on loopback."""


def signed_link(request: Request, token: str, wanted: Annotated[Link | None, Query(alias="as")] = None) -> Visit:
    """Whoever holds a link signed for this page may use the route. Raises `Trouble`."""
    services = services_of(request)
    now = services.clock()
    opened = open_link(services, token, now=now)
    request.state.source = f"link:{opened.person}"
    link = wanted or opened.link
    if link not in OPENS[opened.link]:
        raise Trouble(TroubleKind.LOST)
    everyone = people.load(services.db)
    return visit_of(
        services, opened, token=token, link=link, person=everyone.get(opened.person), everyone=everyone, now=now
    )


def personal_link(
    request: Request, token: str, wanted: Annotated[PersonalLink | None, Query(alias="as")] = None
) -> PersonalVisit:
    """Whoever holds a link signed for their own wishes may use the route. Raises `Trouble`.

    To stop mails nobody has to be known to us: the address is enough.
    """
    services = services_of(request)
    now = services.clock()
    try:
        opened = services.links.read_personal(token, now=now)
    except Forged:
        raise Trouble(TroubleKind.LOST) from None
    except Expired as expired:
        raise _expired(services, expired) from None
    request.state.source = f"link:{opened.person}"
    link = wanted or opened.link
    if link not in OPENS_PERSONAL[opened.link]:
        raise Trouble(TroubleKind.LOST)
    person = people.load(services.db).get(opened.person)
    if person is None and link is not PersonalLink.UNSUBSCRIBE:
        raise Trouble(TroubleKind.STRANGER)
    return PersonalVisit(
        services=services,
        token=token,
        link=link,
        person=person or _stranger(opened),
        address=opened.address,
        reader=_reader(services, person) if person else visitor(request),
        now=now,
    )


async def slack_signed(request: Request) -> bytes:
    """Slack may use the route: it signs what it sends. Gives the body. Raises `Unverified`."""
    services = services_of(request)
    body = await read_body(request, limit_bytes=PRESS_LIMIT_BYTES)
    slack.verify(
        body,
        timestamp=request.headers.get("X-Slack-Request-Timestamp", ""),
        signature=request.headers.get("X-Slack-Signature", ""),
        secret=services.slack_signing_secret or "",
        now=services.clock(),
    )
    return body


async def mattermost_signed(request: Request) -> Press:
    """Whoever knows what stands behind a button of ours may use the route: Mattermost does. Raises `Unverified`."""
    body = await read_body(request, limit_bytes=PRESS_LIMIT_BYTES)
    return mattermost.read_press(body, keys=services_of(request).mattermost_keys)


def open_link(services: Services, token: str, *, now: datetime) -> Opened:
    """What a link about a recommendation stands for. Raises `Trouble`."""
    try:
        return services.links.read(token, now=now)
    except Forged:
        raise Trouble(TroubleKind.LOST) from None
    except Expired as expired:
        raise _expired(services, expired) from None


def visit_of(
    services: Services,
    opened: Opened,
    *,
    token: str,
    link: Link,
    person: Person | None,
    everyone: People,
    now: datetime,
) -> Visit:
    """A person's visit to what a link is about. Raises `Trouble` where one or the other is no longer there."""
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


def _expired(services: Services, expired: Expired) -> Trouble:
    person = people.load(services.db).get(expired.opened.person)
    return Trouble(TroubleKind.EXPIRED, _reader(services, person) if person else None)


def _stranger(opened: OpenedPersonal) -> Person:
    return Person(id=opened.person, name=opened.address, email=opened.address)


def _reader(services: Services, person: Person) -> Reader:
    return Reader(
        language=known_language(person.language) or services.language,
        zone=ZoneInfo(person.timezone) if person.timezone else services.zone,
    )


SignedLink: TypeAlias = Annotated[Visit, Depends(signed_link)]
OwnLink: TypeAlias = Annotated[PersonalVisit, Depends(personal_link)]
SlackBody: TypeAlias = Annotated[bytes, Depends(slack_signed)]
MattermostPress: TypeAlias = Annotated[Press, Depends(mattermost_signed)]
