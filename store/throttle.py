"""Guessing is slowed down: passwords for an account and from an address, and tokens from an address.

Keys are hashes, so that the table tells nobody who was tried and from where. All processes share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import case, delete, literal, select, update

from store.dialects import insert
from store.session import Database
from store.tables import Instant, throttle

FORGOTTEN_AFTER = timedelta(days=1)
IPV6_NETWORK_BITS = 64  # whoever has one such address has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """After `free` failures each further attempt waits, longer each time."""

    free: int
    waits: tuple[timedelta, ...]

    def open_at(self, failures: int, last_at: datetime) -> datetime:
        if failures < self.free:
            return last_at
        return last_at + self.waits[min(failures - self.free, len(self.waits) - 1)]


WAITS = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 120, 300, 900))
ACCOUNT = Limit(free=5, waits=WAITS)
ADDRESS = Limit(free=20, waits=WAITS)  # a whole office may stand behind one address

BAD_TOKENS = 20  # from one address, within the window
WINDOW = timedelta(minutes=1)  # also for how long it is refused then


def attempt(db: Database, *, account: str, address: str, now: datetime) -> datetime | None:
    """Somebody is about to try a password. A moment: they may not before then, and this did not count as a try.

    It counts as failed until `succeeded` says otherwise: a hundred tries at the same time are a hundred tries.
    """
    limits = _limits(account, address)
    with db.begin() as connection:
        old = select(throttle.c.key).where(throttle.c.last_at <= now - FORGOTTEN_AFTER)
        connection.execute(delete(throttle).where(throttle.c.key.in_(old.with_for_update(skip_locked=True))))
    with db.begin() as connection:
        new = [{"key": key, "failures": 0, "last_at": now} for key in sorted(limits)]
        connection.execute(insert(connection, throttle).on_conflict_do_nothing(), new)
        query = select(throttle).where(throttle.c.key.in_(limits)).order_by(throttle.c.key).with_for_update()
        opens = [limits[row.key].open_at(row.failures, row.last_at) for row in connection.execute(query)]
        if max(opens) > now:
            return max(opens)
        counted = update(throttle).where(throttle.c.key.in_(limits))
        connection.execute(counted.values(failures=throttle.c.failures + 1, last_at=now))
    return None


def succeeded(db: Database, *, account: str, address: str) -> None:
    """The attempt was right: the account starts afresh, and the address has one failure less."""
    with db.begin() as connection:
        connection.execute(delete(throttle).where(throttle.c.key == _key("account", account)))
        counted = update(throttle).where(throttle.c.key == _key("address", _network(address)))
        connection.execute(counted.values(failures=throttle.c.failures - 1))


def bad_token(db: Database, *, address: str, now: datetime) -> datetime | None:
    """A token was none. A moment: there were too many from this address, and its bad tokens are refused until then.

    `last_at` is when the window began, or when it was full. A flood is only read, not written down.
    """
    key, over = _key("tokens", _network(address)), now - WINDOW
    with db.read() as connection:
        row = connection.execute(select(throttle).where(throttle.c.key == key)).one_or_none()
    if row is not None and row.failures >= BAD_TOKENS and row.last_at > over:
        return row.last_at + WINDOW
    is_over, is_full = throttle.c.last_at <= over, throttle.c.failures >= BAD_TOKENS - 1
    with db.begin() as connection:
        first = insert(connection, throttle).values(key=key, failures=1, last_at=now)
        again = {
            "failures": case((is_over, 1), else_=throttle.c.failures + 1),
            "last_at": case((is_over | is_full, literal(now, Instant())), else_=throttle.c.last_at),
        }
        connection.execute(first.on_conflict_do_update(index_elements=["key"], set_=again))
    return None


def _limits(account: str, address: str) -> Mapping[str, Limit]:
    return {_key("account", account): ACCOUNT, _key("address", _network(address)): ADDRESS}


def _key(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()


def _network(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((ip, IPV6_NETWORK_BITS), strict=False)) if isinstance(ip, IPv6Address) else address
