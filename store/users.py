"""Who may sign in, and the tokens that act for them.

Of a token only a hash is kept: it is 32 random bytes, which nobody guesses, so that a fast hash is enough.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, or_, select, update

from domain.access import Actor, Permission, Role, granted
from store import audit
from store.audit import NewEntry
from store.session import Database
from store.tables import AnyRow, tokens, users

PREFIX = "rel_"  # so that secret scanners recognise a token
USED_EVERY = timedelta(minutes=1)  # how exactly the last use of a token is known


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`person`: whose reminders these are, where the user is one of the people. `subject`: issuer and subject."""

    id: str
    email: str
    name: str
    role: Role
    person: str | None = None
    subject: str | None = None
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; never the token itself. `scopes`: None is all that the user's role brings."""

    id: str
    user: str
    name: str
    scopes: frozenset[Permission] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None = None
    revoked_at: datetime | None = None


class Taken(Exception):
    """There is a user with this address already."""


def add(
    db: Database, *, email: str, name: str, role: Role, person: str | None = None, source: str, now: datetime
) -> User:
    """A new user, who cannot sign in yet. Raises `Taken`."""
    user = User(
        id=f"u_{secrets.token_hex(6)}", email=email.lower(), name=name, role=role, person=person, created_at=now
    )
    with db.begin() as connection:
        if connection.execute(select(users.c.id).where(users.c.email == user.email)).first():
            raise Taken(user.email)
        row = {"id": user.id, "email": user.email, "name": name, "role": role, "person": person}
        connection.execute(insert(users).values(**row, created_at=now))
        entry = NewEntry(action="user.created", kind="user", subject=user.id, after=row | {"role": role.value})
        audit.note(connection, [entry], source=source, at=now)
    return user


def issue(
    db: Database,
    *,
    user: str,
    name: str,
    scopes: Collection[Permission] | None = None,
    expires_at: datetime | None = None,
    source: str,
    now: datetime,
) -> tuple[Token, str]:
    """A new token, and the text to be shown once."""
    text = PREFIX + secrets.token_urlsafe(32)
    token = Token(
        id=f"t_{secrets.token_hex(6)}",
        user=user,
        name=name,
        scopes=None if scopes is None else frozenset(scopes),
        created_at=now,
        expires_at=expires_at,
    )
    named = None if token.scopes is None else sorted(token.scopes)
    with db.begin() as connection:
        connection.execute(
            insert(tokens).values(
                id=token.id,
                hash=_hash(text),
                user=user,
                name=name,
                scopes=None if named is None else json.dumps(named),
                created_at=now,
                expires_at=expires_at,
            )
        )
        after = {"user": user, "name": name, "scopes": named, "expires_at": expires_at and expires_at.isoformat()}
        entry = NewEntry(action="token.issued", kind="token", subject=token.id, after=after)
        audit.note(connection, [entry], source=source, at=now)
    return token, text


def by_token(db: Database, text: str, *, now: datetime) -> Actor | None:
    """Whom a token acts for; None where it is none, or is over, or its user may no longer sign in."""
    query = (
        select(users, tokens.c.id.label("token"), tokens.c.scopes, tokens.c.used_at)
        .join_from(tokens, users, users.c.id == tokens.c.user)
        .where(
            tokens.c.hash == _hash(text),
            tokens.c.revoked_at.is_(None),
            or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
            users.c.disabled_at.is_(None),
        )
    )
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.used_at is None or row.used_at <= now - USED_EVERY:
        with db.begin() as connection:
            connection.execute(update(tokens).where(tokens.c.id == row.token).values(used_at=now))
    scopes = None if row.scopes is None else frozenset(map(Permission, json.loads(row.scopes)))
    return _actor(row, scopes=scopes, token=row.token)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- rows ---


def _actor(row: AnyRow, *, scopes: frozenset[Permission] | None = None, token: str | None = None) -> Actor:
    role = Role(row.role)
    return Actor(
        user=row.id, name=row.name, role=role, permissions=granted(role, scopes), person=row.person, token=token
    )
