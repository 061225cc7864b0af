"""Who is signed in, in which browser. Of a session's secret only a hash is kept, as of a token."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from domain.access import Actor
from store import audit, users
from store.audit import NewEntry
from store.session import Database
from store.tables import sessions
from store.tables import users as users_table

IDLE = timedelta(hours=12)  # unused for so long, it is over
LONGEST = timedelta(days=7)  # however much it is used
SLIDES_EVERY = timedelta(minutes=15)  # how exactly its end is known, so that not every request is a write


def begin(db: Database, user: str, *, instead_of: str | None = None, now: datetime) -> str:
    """A new session; its secret, for the browser alone. `instead_of`: the secret that the browser had before."""
    secret = secrets.token_urlsafe(32)
    with db.begin() as connection:
        over = select(sessions.c.id).where((sessions.c.expires_at <= now) | (sessions.c.id == _hash(instead_of or "")))
        connection.execute(delete(sessions).where(sessions.c.id.in_(over.with_for_update(skip_locked=True))))
        row = {"id": _hash(secret), "user": user, "created_at": now, "expires_at": now + IDLE}
        connection.execute(insert(sessions).values(row))
        entry = NewEntry(action="session.begun", kind="user", subject=user)
        audit.note(connection, [entry], source=f"user:{user}", at=now)
    return secret


def whose(db: Database, secret: str, *, now: datetime) -> Actor | None:
    """Who is signed in by it; None where it is over, or its user may no longer sign in. It is longer valid now."""
    query = (
        select(users_table, sessions.c.created_at.label("begun_at"), sessions.c.expires_at)
        .join_from(sessions, users_table, users_table.c.id == sessions.c.user)
        .where(sessions.c.id == _hash(secret), sessions.c.expires_at > now, users_table.c.disabled_at.is_(None))
    )
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    end = min(now + IDLE, row.begun_at + LONGEST)
    if end - row.expires_at >= SLIDES_EVERY:
        with db.begin() as connection:
            connection.execute(update(sessions).where(sessions.c.id == _hash(secret)).values(expires_at=end))
    return users.actor(row)


def end(db: Database, secret: str, *, by: Actor, now: datetime) -> None:
    """Sign out: the secret opens nothing any more."""
    with db.begin() as connection:
        connection.execute(delete(sessions).where(sessions.c.id == _hash(secret)))
        entry = NewEntry(action="session.ended", kind="user", subject=by.user)
        audit.note(connection, [entry], source=by.source, at=now)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
