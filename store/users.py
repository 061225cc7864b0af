"""Who may sign in, and the tokens that act for them.

Of a token only a hash is kept: it is 32 random bytes, which nobody guesses, so that a fast hash is enough.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from domain.access import Actor, Permission, Role, granted
from store import audit, passwords
from store.audit import NewEntry, differing
from store.dialects import insert
from store.session import Database
from store.tables import AnyRow, sessions, tokens, users

PREFIX = "rel_"  # so that secret scanners recognise a token
USED_EVERY = timedelta(minutes=1)  # how exactly the last use of a token is known
TOKEN_DAYS_MAX = 365  # nobody remembers an older one


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

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Taken(Exception):
    """There is a user with this address, or for this subject, already."""


class LastAdmin(Exception):
    """Nobody could manage users any more."""

    def __init__(self) -> None:
        super().__init__("This is the last admin: make somebody else one first.")


# --- users ---


def add(
    db: Database,
    *,
    email: str,
    name: str,
    role: Role,
    person: str | None = None,
    password: str | None = None,
    subject: str | None = None,
    source: str,
    now: datetime,
    trace: str | None = None,
) -> User:
    """A new user; without a password or a subject one who cannot sign in yet. Raises `Taken`, `Weak`."""
    user = User(
        id=f"u_{secrets.token_hex(6)}",
        email=email.lower(),
        name=name,
        role=role,
        person=person,
        subject=subject,
        created_at=now,
    )
    kept = None if password is None else passwords.accept(password, email=user.email, name=name)
    with db.begin() as connection:
        written = insert(connection, users).values(**asdict(user), password=kept).on_conflict_do_nothing()
        if connection.scalar(written.returning(users.c.id)) is None:
            raise Taken(user.email)
        entry = NewEntry(action="user.created", kind="user", subject=user.id, after=_said(user))
        audit.note(connection, [entry], source=source, at=now, trace=trace)
    return user


def get(db: Database, user: str) -> User | None:
    with db.read() as connection:
        return _found(connection.execute(select(users).where(users.c.id == user)).one_or_none())


def by_email(db: Database, email: str) -> User | None:
    with db.read() as connection:
        return _found(connection.execute(select(users).where(users.c.email == email.lower())).one_or_none())


def by_subject(db: Database, subject: str) -> User | None:
    with db.read() as connection:
        return _found(connection.execute(select(users).where(users.c.subject == subject)).one_or_none())


def by_password(db: Database, email: str, password: str) -> User | None:
    """Whose address and password these are, also where they are disabled; None where they are nobody's."""
    with db.read() as connection:
        row = connection.execute(select(users).where(users.c.email == email.lower())).one_or_none()
    kept = row.password if row else None
    if not passwords.matches(kept, password) or row is None or kept is None:
        return None
    if renewed := passwords.renewed(kept, password):
        with db.begin() as connection:
            same = (users.c.id == row.id) & (users.c.password == kept)
            connection.execute(update(users).where(same).values(password=renewed))
    return _user(row)


def listing(db: Database, *, after: str = "", limit: int) -> list[User]:
    """By address. `after`: only addresses after this one."""
    query = select(users).where(users.c.email > after).order_by(users.c.email).limit(limit)
    with db.read() as connection:
        return [_user(row) for row in connection.execute(query)]


def change(
    db: Database, user: str, changes: Mapping[str, Any], *, source: str, now: datetime, trace: str | None = None
) -> User | None:
    """Change `name`, `role`, `person`, `subject` or `disabled_at`; None: there is no such user. Raises `LastAdmin`.

    Whoever is disabled or may do less than before loses sessions and tokens at once.
    """
    with db.begin() as connection:
        # Whoever else takes an admin away waits here, and then sees this one gone.
        admins = select(users.c.id).where(users.c.role == Role.ADMIN, users.c.disabled_at.is_(None))
        left = set(connection.scalars(admins.order_by(users.c.id).with_for_update())) - {user}
        before = _found(connection.execute(select(users).where(users.c.id == user).with_for_update()).one_or_none())
        if before is None:
            return None
        after = replace(before, **changes)
        if not left and _manages(before) and not _manages(after):
            raise LastAdmin
        if after == before:
            return before
        connection.execute(update(users).where(users.c.id == user).values(changes))
        was, is_ = differing(_said(before), _said(after))
        entries = [NewEntry(action="user.changed", kind="user", subject=user, before=was, after=is_)]
        if after.disabled_at is not None or granted(before.role) - granted(after.role):
            connection.execute(delete(sessions).where(sessions.c.user == user))
            entries += _revoked(connection, now, user=user)
        audit.note(connection, entries, source=source, at=now, trace=trace)
    return after


def set_password(
    db: Database, user: User, password: str, *, source: str, now: datetime, trace: str | None = None
) -> None:
    """A new password, which ends all sessions. Raises `Weak`."""
    kept = passwords.accept(password, email=user.email, name=user.name)
    with db.begin() as connection:
        connection.execute(update(users).where(users.c.id == user.id).values(password=kept))
        connection.execute(delete(sessions).where(sessions.c.user == user.id))
        entry = NewEntry(action="user.password-set", kind="user", subject=user.id)
        audit.note(connection, [entry], source=source, at=now, trace=trace)


def _manages(user: User) -> bool:
    return user.role is Role.ADMIN and user.disabled_at is None


# --- tokens ---


def issue(
    db: Database,
    *,
    user: str,
    name: str,
    scopes: Collection[Permission] | None = None,
    expires_at: datetime | None = None,
    source: str,
    now: datetime,
    trace: str | None = None,
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
    row = asdict(token) | {"scopes": None if named is None else json.dumps(named), "hash": _hash(text)}
    with db.begin() as connection:
        connection.execute(insert(connection, tokens).values(row))
        after = {"user": user, "name": name, "scopes": named, "expires_at": expires_at and expires_at.isoformat()}
        entry = NewEntry(action="token.issued", kind="token", subject=token.id, after=after)
        audit.note(connection, [entry], source=source, at=now, trace=trace)
    return token, text


def token_listing(db: Database, *, user: str | None = None, after: str = "", limit: int) -> list[Token]:
    """A user's tokens, or everybody's, by id. `after`: only ids after this one."""
    query = select(tokens).where(tokens.c.id > after).order_by(tokens.c.id).limit(limit)
    if user is not None:
        query = query.where(tokens.c.user == user)
    with db.read() as connection:
        return [_token(row) for row in connection.execute(query)]


def revoke(
    db: Database, token: str, *, user: str | None = None, source: str, now: datetime, trace: str | None = None
) -> bool:
    """End a token, for good; False: there is none, or not of this user. Again changes nothing."""
    with db.begin() as connection:
        owner = connection.scalar(select(tokens.c.user).where(tokens.c.id == token))
        if owner is None or user not in (None, owner):
            return False
        audit.note(connection, _revoked(connection, now, id=token), source=source, at=now, trace=trace)
    return True


def _revoked(connection: Connection, now: datetime, **which: str) -> list[NewEntry]:
    """End the tokens with these values, as far as they are not yet; what the audit says of it."""
    live = update(tokens).filter_by(**which).where(tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    after = {"revoked_at": now.isoformat()}
    return [
        NewEntry(action="token.revoked", kind="token", subject=id_, after=after)
        for id_ in connection.scalars(live.returning(tokens.c.id))
    ]


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
    return actor(row, scopes=_scopes(row), token=row.token)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- rows ---


def actor(row: AnyRow, *, scopes: frozenset[Permission] | None = None, token: str | None = None) -> Actor:
    """Who acts, from a row that has a user's columns."""
    role = Role(row.role)
    return Actor(
        user=row.id, name=row.name, role=role, permissions=granted(role, scopes), person=row.person, token=token
    )


def _found(row: AnyRow | None) -> User | None:
    return None if row is None else _user(row)


def _user(row: AnyRow) -> User:
    known: dict[str, Any] = {field.name: getattr(row, field.name) for field in fields(User)}
    known["role"] = Role(row.role)
    return User(**known)


def _token(row: AnyRow) -> Token:
    known: dict[str, Any] = {field.name: getattr(row, field.name) for field in fields(Token)}
    known["scopes"] = _scopes(row)
    return Token(**known)


def _scopes(row: AnyRow) -> frozenset[Permission] | None:
    return None if row.scopes is None else frozenset(map(Permission, json.loads(row.scopes)))


def _said(user: User) -> dict[str, Any]:
    """A user as the audit tells of them."""
    said = asdict(user) | {"role": user.role.value, "disabled_at": user.disabled_at and user.disabled_at.isoformat()}
    del said["created_at"]
    return said
