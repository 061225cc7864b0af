"""The audit: every write, by whom, when, and what was before and after.

An entry is written in the transaction of the write it tells of, and never changed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.dialects import insert_many
from store.tables import audit

SALT_BYTES = 12
COLUMNS = ("action", "kind", "subject", "dossier", "before", "after", "salt")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """What was done to what: `action` is "record.changed", say, `kind` and `subject` name what it was done to.

    `before` and `after` hold what differs, as JSON; None: it was not there, or is no longer. `dossier`: the customer
    whose data this is.
    """

    action: str
    kind: str
    subject: str
    dossier: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def note(
    connection: Connection, entries: Collection[NewEntry], *, source: str, at: datetime, trace: str | None = None
) -> None:
    """Write down what this transaction does. `source`: who does it, as "user:u1", "token:t7" or "import:FILE"."""
    rows = [
        (
            entry.action,
            entry.kind,
            entry.subject,
            entry.dossier,
            _json(entry.before),
            _json(entry.after),
            secrets.token_hex(SALT_BYTES),
        )
        for entry in entries
    ]
    if rows:
        insert_many(connection, audit, COLUMNS, rows, same={"source": source, "at": at, "trace": trace})


def differing(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """What differs between two states, on each side. A state that is None stays so: the other is given whole."""
    if before is None or after is None:
        return before, after
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {n: before[n] for n in names if n in before}, {n: after[n] for n in names if n in after}


def _json(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else json.dumps(state, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
