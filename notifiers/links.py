"""Signed links: who may do what about which recommendation, until when. Opening one changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

from domain.delivery import Link

LIFETIME = timedelta(days=30)
SALT = "relance.link"  # a signature made for anything else with the same key is not one of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a link stands for."""

    recommendation: str
    person: str
    link: Link


class Forged(Exception):
    """The link was not signed with any of our keys, or was altered on its way."""


class Expired(Exception):
    """The link was ours and is too old; `opened` is what it stood for."""

    def __init__(self, opened: Opened, expired_at: datetime) -> None:
        super().__init__(f"the link expired on {expired_at:%Y-%m-%d}")
        self.opened = opened
        self.expired_at = expired_at


class Links:
    """Makes links and reads them.

    `keys`: the first signs, all are accepted. To rotate, put a new key in front and drop the old one `LIFETIME` later.
    `base_url`: where readers reach us, e.g. "https://relance.example.com".
    """

    def __init__(self, keys: Sequence[str], base_url: str) -> None:
        if not keys or not all(keys):
            raise ValueError("signed links need at least one key, and none may be empty")
        self._base_url = base_url.rstrip("/")
        self._signed = URLSafeSerializer(
            list(reversed(keys)),  # itsdangerous signs with the last
            salt=SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def for_person(self, recommendation_id: str, person_id: str, *, now: datetime) -> Mapping[Link, str]:
        """One URL for each thing the reader can open."""
        expires_s = int((now + LIFETIME).timestamp())
        return {link: self._url([recommendation_id, person_id, link, expires_s]) for link in Link}

    def read(self, token: str, *, now: datetime) -> Opened:
        """What a token stands for. Raises `Forged` or `Expired`."""
        try:
            recommendation, person, link, expires_s = self._signed.loads(token)
            opened = Opened(recommendation=recommendation, person=person, link=Link(link))
        except (BadData, ValueError):  # ValueError: signed, but not what this version knows how to open
            raise Forged("this link is not one of ours, or was cut off") from None
        expires_at = datetime.fromtimestamp(expires_s, UTC)
        if now >= expires_at:
            raise Expired(opened, expires_at)
        return opened

    def _url(self, payload: list[str | int]) -> str:
        return f"{self._base_url}/r/{self._signed.dumps(payload)}"
