"""What people do with recommendations, however they come: through the API, on a page, from a chat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.delivery import NewDelivery
from domain.followup import NewFollowUp
from domain.recommendation import Act, Recommendation
from store import recommendations
from web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Doer:
    """Somebody who acts. `by`: under which id that is written down; `source`: how they came, as the audit names it.

    Each act says False, and changes nothing, where somebody else was faster. It raises ValueError or `NotOpen` where
    the recommendation, as it was given, does not allow it.
    """

    services: Services
    by: str
    source: str
    now: datetime
    trace: str | None = None

    def done(self, current: Recommendation, *, note: str | None = None) -> bool:
        return self._act(Act.DONE, current, current.done(by=self.by, at=self.now, note=note or None))

    def accept(self, current: Recommendation, *, note: str | None = None) -> bool:
        """Done, by taking the next best action: other systems hear that it is wanted."""
        return self._act(Act.ACCEPT, current, current.done(by=self.by, at=self.now, note=note or None))

    def dismiss(self, current: Recommendation, *, reason: str) -> bool:
        return self._act(Act.DISMISS, current, current.dismiss(by=self.by, at=self.now, reason=reason))

    def snooze(self, current: Recommendation, *, until: datetime, remind: Iterable[tuple[str, str]]) -> bool:
        """`remind`: who hears of it again at the end, as (id, address)."""
        reminders = [
            NewDelivery(
                recommendation=current.id,
                person=person,
                destination=address,
                # Minutes since 1970: one message for one end of a snooze, apart from the first reminders 1, 2, 3.
                occurrence=int(until.timestamp()) // 60,
                due_at=until,
            )
            for person, address in remind
        ]
        return self._act(Act.SNOOZE, current, current.snooze(until=until, at=self.now), deliveries=reminders)

    def reopen(self, current: Recommendation) -> bool:
        """Take back what closed it, with all that is still to come."""
        reopened = current.reopen()
        return self._act(Act.REOPEN, current, reopened, followups=self.services.followups(reopened, self.now))

    def _act(
        self,
        act: Act,
        before: Recommendation,
        after: Recommendation,
        *,
        deliveries: Iterable[NewDelivery] = (),
        followups: Iterable[NewFollowUp] = (),
    ) -> bool:
        changed = recommendations.act(
            self.services.db,
            before,
            after,
            act=act,
            by=self.by,
            source=self.source,
            deliveries=list(deliveries),
            followups=list(followups),
            now=self.now,
            trace=self.trace,
        )
        if changed:
            self.services.wrote()
        return changed
