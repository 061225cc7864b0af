"""What happened, as other systems are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.delivery import Delivery, DeliveryState
from domain.recommendation import Act, Recommendation


class EventType(StrEnum):
    """The types that can be subscribed to. Each has a schema, `notifiers/schemas/TYPE.VERSION.json`."""

    RAISED = "recommendation.raised"
    RESOLVED = "recommendation.resolved"  # its episode ended by itself
    ACTED = "recommendation.acted"
    ESCALATED = "recommendation.escalated"
    ACTION_REQUESTED = "action.requested"  # somebody took the next best action
    DELIVERY_FAILED = "delivery.failed"
    TEST = "webhook.test"  # sent on request, to one endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happened. `rule`, `tags`, `team` and `product` are what subscriptions filter by.

    `data` is JSON, as its type's schema says.
    """

    type: EventType
    at: datetime
    customer: str | None
    recommendation: str | None = None
    rule: str | None = None
    tags: tuple[str, ...] = ()
    team: str | None = None
    product: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent(Happening):
    """To be written down. `key`: the same occasion has the same key, so it is told once."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Happening):
    """`id` is the same for every subscriber and at every attempt, and never used again. `seq` rises."""

    id: str
    seq: int


def about(type_: EventType, recommendation: Recommendation, *, at: datetime, **more: Any) -> NewEvent:
    """An event about a recommendation; `more` stands beside it in the data."""
    advice = recommendation.advice
    return NewEvent(
        key=f"{type_}/{recommendation.id}/{at.isoformat()}",
        type=type_,
        at=at,
        customer=recommendation.dossier,
        recommendation=recommendation.id,
        rule=recommendation.rule,
        tags=advice.tags,
        team=advice.team,
        product=advice.product,
        data={"recommendation": described(recommendation)} | more,
    )


def acted(recommendation: Recommendation, act: Act, *, by: str, at: datetime) -> list[NewEvent]:
    """What is told when a person did something: that it was done, and that its action is wanted."""
    events = [about(EventType.ACTED, recommendation, at=at, act=act.value, by=by, note=recommendation.note)]
    if act is Act.ACCEPT:
        verb, _, argument = (recommendation.advice.do or "").partition(" ")
        wanted = {"do": verb or None, "argument": argument or None}
        events.append(about(EventType.ACTION_REQUESTED, recommendation, at=at, action=wanted, by=by))
    return events


def delivery_failed(delivery: Delivery, said: str, *, state: DeliveryState, at: datetime) -> NewEvent:
    """A message that did not arrive. `said`: why, in the other side's words."""
    return NewEvent(
        key=f"{EventType.DELIVERY_FAILED}/{delivery.id}/{at.isoformat()}",
        type=EventType.DELIVERY_FAILED,
        at=at,
        customer=None,
        recommendation=delivery.recommendation,
        data={
            "delivery": {
                "id": delivery.id,
                "channel": delivery.channel.value,
                "purpose": delivery.purpose.value,
                "recommendation": delivery.recommendation,
                "person": delivery.person if "@" not in delivery.person else None,
                "state": state.value,
                "error": said,
            }
        },
    )


def described(recommendation: Recommendation) -> dict[str, Any]:
    """A recommendation as JSON: what is said of it to other systems."""
    advice = recommendation.advice
    return {
        "id": recommendation.id,
        "rule": recommendation.rule,
        "rule_version": recommendation.rule_version,
        "customer": recommendation.dossier,
        "subject": {"kind": recommendation.subject.kind, "id": recommendation.subject.id},
        "state": recommendation.state.value,
        "opened_at": recommendation.opened_at.isoformat(),
        "snoozed_until": _moment(recommendation.snoozed_until),
        "closed_at": _moment(recommendation.closed_at),
        "closed_by": recommendation.closed_by,
        "ended_at": _moment(recommendation.ended_at),
        "recommend": advice.recommend.value,
        "say": advice.say,
        "do": advice.do,
        "worth": None if advice.worth is None else str(advice.worth),
        "due": advice.due.isoformat() if advice.due else None,
        "to": list(advice.to),
        "held_back_by": list(advice.held_back_by),
        "tags": list(advice.tags),
        "team": advice.team,
        "product": advice.product,
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
