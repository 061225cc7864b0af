"""Signed links: who may do what about which recommendation or their own wishes, until when. Opening changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from itsdangerous import BadData, URLSafeSerializer

from domain.delivery import Link, PersonalLink

LIFETIME = timedelta(days=30)
PERSONAL_LIFETIMES: Mapping[PersonalLink, timedelta] = {
    PersonalLink.SETTINGS: LIFETIME,
    PersonalLink.PAUSE: LIFETIME,
    PersonalLink.UNSUBSCRIBE: timedelta(days=180),  # mails are kept long, and whoever wants no more must not be stuck
}

# A signature made for anything else with the same key is not one of ours.
SALT = "relance.link"
PERSONAL_SALT = "relance.personal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a link stands for."""

    recommendation: str
    person: str
    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPersonal:
    """What a link about a person's own wishes stands for. `address`: where the mail went that it stood in."""

    person: str
    address: str
    link: PersonalLink


AnyOpened = TypeVar("AnyOpened", Opened, OpenedPersonal)


class Forged(Exception):
    """The link was not signed with any of our keys, or was altered on its way."""


class Expired(Exception):
    """The link was ours and is too old; `opened` is what it stood for."""

    def __init__(self, opened: Opened | OpenedPersonal, expired_at: datetime) -> None:
        super().__init__(f"the link expired on {expired_at:%Y-%m-%d}")
        self.opened = opened
        self.expired_at = expired_at


class Links:
    """Makes links and reads them.

    `keys`: the first signs, all are accepted. To rotate, put a new key in front and drop the old one when all links
    that it signed are too old: 180 days later. After `LIFETIME` only those to unsubscribe are lost.
    `base_url`: where readers reach us, e.g. "https://relance.example.com".
    """

    def __init__(self, keys: Sequence[str], base_url: str) -> None:
        if not keys or not all(keys):
            raise ValueError("signed links need at least one key, and none may be empty")
        self._base_url = base_url.rstrip("/")
        self._signed = serializer(keys, SALT)
        self._personal = serializer(keys, PERSONAL_SALT)

    def for_person(self, recommendation_id: str, person_id: str, *, now: datetime) -> Mapping[Link, str]:
        """One URL for each thing the reader can open about a recommendation."""
        expires_s = _seconds(now + LIFETIME)
        tokens = {link: self._signed.dumps([recommendation_id, person_id, link, expires_s]) for link in Link}
        return {link: f"{self._base_url}/r/{token}" for link, token in tokens.items()}

    def personal(self, person_id: str, *, address: str, now: datetime) -> Mapping[PersonalLink, str]:
        """One URL for each thing the reader can open about their own wishes. `address`: where the mail goes."""
        tokens = {
            link: self._personal.dumps([person_id, address, link, _seconds(now + lifetime)])
            for link, lifetime in PERSONAL_LIFETIMES.items()
        }
        return {link: f"{self._base_url}/me/{token}" for link, token in tokens.items()}

    def read(self, token: str, *, now: datetime) -> Opened:
        """What a token stands for. Raises `Forged` or `Expired`."""
        return _read(self._signed, token, _opened, now=now)

    def read_personal(self, token: str, *, now: datetime) -> OpenedPersonal:
        """What the token of a personal link stands for. Raises `Forged` or `Expired`."""
        return _read(self._personal, token, _opened_personal, now=now)


def serializer(keys: Sequence[str], salt: str) -> URLSafeSerializer:
    """Signs with the first key and accepts them all. `salt`: what for, so that nothing signed passes for another."""
    return URLSafeSerializer(
        list(reversed(keys)),  # itsdangerous signs with the last
        salt=salt,
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )


def _opened(recommendation: str, person: str, link: str) -> Opened:
    return Opened(recommendation=recommendation, person=person, link=Link(link))


def _opened_personal(person: str, address: str, link: str) -> OpenedPersonal:
    return OpenedPersonal(person=person, address=address, link=PersonalLink(link))


def _read(
    signed: URLSafeSerializer, token: str, means: Callable[[str, str, str], AnyOpened], *, now: datetime
) -> AnyOpened:
    try:
        *named, expires_s = signed.loads(token)
        opened = means(*named)
    except (BadData, TypeError, ValueError):  # the last two: signed, but not what this version knows how to open
        raise Forged("this link is not one of ours, or was cut off") from None
    expires_at = datetime.fromtimestamp(expires_s, UTC)
    if now >= expires_at:
        raise Expired(opened, expires_at)
    return opened


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
