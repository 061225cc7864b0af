"""What comes back: bounces and complaints are read, and the address they are about is written to no more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from notifiers import bounces
from notifiers.bounces import Ignored, Reason, Report
from notifiers.mailbox import Mailbox
from store import outbox, suppressions
from store.session import Database
from store.suppressions import Suppression, Why

log = logging.getLogger("relance.returns")

SUPPRESSES: Mapping[Reason, Why] = {Reason.PERMANENT: Why.BOUNCED, Reason.COMPLAINT: Why.COMPLAINT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """Where bounces arrive. `mailbox`: the address; `keys`: what the numbers in it are signed with."""

    mailbox: str
    keys: Sequence[str]
    open: Callable[[], AbstractContextManager[Mailbox]]

    def collect(self, db: Database, *, now: datetime) -> int:
        """Read everything that waits; how many addresses are suppressed by it. Raises `MailboxError`."""
        with self.open() as box:
            suppressed = 0
            for id_, raw in box.waiting():
                suppressed += self.record(db, raw, now=now)
                box.handled(id_)  # after it is recorded: what a crash leaves is read again
            return suppressed

    def record(self, db: Database, raw: bytes, *, now: datetime) -> bool:
        """What one mail means. True: nothing is sent to an address any more.

        Only a report about a delivery of ours, by its signed number, suppresses anything: the rest can be forged.
        """
        report = bounces.read(raw)
        if isinstance(report, Ignored):
            return False
        number = report.delivery(mailbox=self.mailbox, keys=self.keys)
        delivery = outbox.get(db, number) if number is not None else None
        said = _said(report)
        if delivery is None:
            log.warning("a report about a mail that is none of ours: %s", said)
            return False
        why = SUPPRESSES.get(report.reason)
        if why is None:
            log.warning("delivery %d to %s: %s: %s", delivery.id, delivery.destination, report.reason, said)
            return False
        log.error("delivery %d: nothing is sent to %s any more: %s", delivery.id, delivery.destination, said)
        outbox.returned(db, delivery.id, said=said, now=now)
        suppression = Suppression(
            address=delivery.destination, reason=why, detail=said, since=now, delivery=delivery.id
        )
        return suppressions.add(db, suppression, source="bounce")


def _said(report: Report) -> str:
    fate = report.fates[0]
    return " ".join(part for part in (fate.status, fate.said) if part)
