"""What an evaluation decided, written in one transaction, or not at all where someone wrote meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, update

from domain.delivery import NewDelivery
from domain.event import EventType, NewEvent
from domain.followup import NewFollowUp
from domain.recommendation import Recommendation, State
from store import events, followups, outbox
from store.dialects import insert
from store.due import Claim, settle
from store.recommendations import address, to_row
from store.session import Database
from store.tables import customers, recommendations


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The decision about one claimed customer. `next_check` is None where nothing changes unless someone writes."""

    claim: Claim
    raised: Sequence[Recommendation] = ()
    updated: Sequence[Recommendation] = ()
    deliveries: Sequence[NewDelivery] = ()
    followups: Sequence[NewFollowUp] = ()
    events: Sequence[NewEvent] = ()
    next_check: datetime | None
    evaluated_at: datetime
    rulebase: str


def commit_many(db: Database, results: Sequence[Evaluated]) -> set[str]:
    """Write decisions. Returns the dossiers that lost: written or claimed by others meanwhile, they are still due.

    Idempotent: what was raised or queued before is not raised or queued again.
    """
    with db.begin() as connection:
        stand = settle(connection, [result.claim for result in results])
        decided = [result for result in results if result.claim.dossier in stand]
        if decided:
            connection.execute(
                update(customers).where(customers.c.id == bindparam("_id")),
                [
                    {
                        "_id": result.claim.dossier,
                        "check_at": result.next_check,
                        "evaluated_at": result.evaluated_at,
                        "rulebase": result.rulebase,
                        "failed_reason": None,
                        "failed_at": None,
                        "trace": None,
                    }
                    for result in decided
                ],
            )
        updated = [recommendation for result in decided for recommendation in result.updated]
        if updated:
            connection.execute(
                update(recommendations).where(recommendations.c.id == bindparam("_id")),
                [{"_id": recommendation.id} | to_row(recommendation) for recommendation in updated],
            )
        if quiet := [r.id for r in updated if r.state is not State.OPEN or r.advice.held_back_by]:
            outbox.cancel(connection, quiet)
        if closed := [r.id for r in updated if r.state is not State.OPEN]:
            followups.withdraw(connection, closed)
            outbox.follow_closing(connection, closed, now=decided[0].evaluated_at)
        # After the updates: an episode that just ended makes room for the next one about the same subject.
        raised: set[str] = set()
        if rows := [to_row(new) for result in decided for new in result.raised]:
            into = insert(connection, recommendations).on_conflict_do_nothing().returning(recommendations.c.id)
            raised.update(connection.scalars(into, rows))
        new = [recommendation for result in decided for recommendation in result.raised if recommendation.id in raised]
        if speaking := [*updated, *new]:
            address(connection, speaking)
        told = [event for result in decided for event in result.events]
        # Else the episode runs under another id, and others have heard of it.
        events.emit(connection, [e for e in told if e.type is not EventType.RAISED or e.recommendation in raised])
        if deliveries := [delivery for result in decided for delivery in result.deliveries]:
            outbox.queue(connection, deliveries)
        if planned := [followup for result in decided for followup in result.followups]:
            followups.plan(connection, planned)
    return {result.claim.dossier for result in results} - stand
