"""Whether everything happens when it should: what is overdue is reported, and a heartbeat says that nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.delivery import STUCK, SendError
from store import due, followups, outbox
from store.session import Database

log = logging.getLogger("relance.audit")

LATE = timedelta(minutes=15)  # what has been due for longer is overdue


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """`heartbeat`: called when nothing is overdue; raises `SendError` where nobody hears it."""

    db: Database
    heartbeat: Callable[[], None] | None = None

    def audit(self, now: datetime) -> None:
        """Says what is overdue, or beats."""
        late = list(self.overdue(now))
        if late:
            log.error("overdue: %s; relance doctor says more", ", ".join(late))
        elif self.heartbeat is not None:
            try:
                self.heartbeat()
            except SendError as failure:
                log.error("%s", failure)

    def overdue(self, now: datetime) -> Iterator[str]:
        """What should have happened by now, in words; nothing when nothing is late."""
        before = now - LATE
        counts = {
            "customers to be evaluated": due.due_count(self.db, now=before),
            "repeats and escalations": followups.overdue(self.db, before=before),
            "deliveries": outbox.overdue(self.db, before=before, now=now),
        }
        yield from (f"{count:,} {what}" for what, count in counts.items() if count)

    def stuck(self, _now: datetime) -> None:
        """Says which deliveries need a person."""
        counts = outbox.counts(self.db)
        found = [f"{counts[state]:,} {state}" for state in STUCK if counts.get(state)]
        if found:
            log.error("deliveries that need a person: %s; relance deliveries list shows them", ", ".join(found))
