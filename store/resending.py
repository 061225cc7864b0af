"""Sending again what could not be sent, because a person asks for it; or why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.delivery import STUCK, Channel, Delivery
from domain.recommendation import Recommendation, State
from store import outbox, recommendations, suppressions
from store.session import Database
from store.suppressions import Suppression


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a delivery is not sent again: the rest of a sentence about it. `suppressed`: the address that keeps it."""

    says: str
    suppressed: str | None = None


def retry(db: Database, delivery: Delivery, *, source: str, now: datetime, trace: str | None = None) -> Refusal | None:
    """Queue it again, with the same bytes. None: it is queued."""
    suppression = suppressions.of(db, [delivery.destination]).get(delivery.destination.casefold())
    if suppression and delivery.channel is Channel.EMAIL and delivery.state in STUCK:
        said = f"stays {delivery.state}: nothing is sent to {delivery.destination}, {why_suppressed(suppression)}"
        return Refusal(says=said, suppressed=delivery.destination)
    if outbox.retry_now(db, delivery, source=source, now=now, trace=trace):
        return None
    if delivery.state not in STUCK:
        return Refusal(says=f"is {delivery.state}; only failed, dead or unknown ones are sent again")
    about = recommendations.get(db, delivery.recommendation or "")
    return Refusal(says=f"stays {delivery.state}: {why_closed(about) if about else 'its recommendation is gone'}")


def why_closed(about: Recommendation) -> str:
    """Why a recommendation causes no message now."""
    if about.state is State.RESOLVED:
        return "the rule does not hold any more"
    if about.state is State.OPEN:
        return f"snoozed until {about.snoozed_until.isoformat()}" if about.snoozed_until else "not wanted any more"
    return f"{about.state} by {about.closed_by}"


def why_suppressed(suppression: Suppression) -> str:
    detail = f": {suppression.detail}" if suppression.detail else ""
    return f"{suppression.reason} on {suppression.since:%Y-%m-%d}{detail}"
