"""Passwords: what is accepted, and what is kept of them. Only their Argon2id hashes are stored."""

from __future__ import annotations

import unicodedata
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 1000
PART = 3  # shorter parts of a name are in many words
AT_ONCE = BoundedSemaphore(4)  # each takes 64 MiB


class Weak(Exception):
    """The password is too easy to guess; the text says why."""


def accept(password: str, *, email: str, name: str) -> str:
    """The hash to keep. Raises `Weak`."""
    typed = _normal(password)
    if not SHORTEST <= len(typed) <= LONGEST:
        raise Weak(f"A password has {SHORTEST} to {LONGEST} characters; spaces around it do not count.")
    parts = {email, email.partition("@")[0], name, *name.split()}
    if any(len(part) >= PART and part.casefold() in typed.casefold() for part in parts):
        raise Weak("The name or the address must not be part of the password.")
    with AT_ONCE:
        return _hasher().hash(typed)


def matches(kept: str | None, password: str) -> bool:
    """Whether it is this one. Where none is kept it takes as long: the time must not tell who is known."""
    with AT_ONCE:
        try:
            return _hasher().verify(kept or _nobodys(), _normal(password)) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def renewed(kept: str, password: str) -> str | None:
    """The hash of a right password as one is made today; None: it is made so already."""
    if not _hasher().check_needs_rehash(kept):
        return None
    with AT_ONCE:
        return _hasher().hash(_normal(password))


def _normal(password: str) -> str:
    """As forms send it: nothing unprintable, no spaces around it, and the same however it was composed."""
    return unicodedata.normalize("NFC", "".join(c for c in password if c.isprintable())).strip()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys() -> str:
    return _hasher().hash("of nobody")
