"""Deliveries: the messages that went out, that wait, and that could not be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self, TypeAlias

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from domain.access import Permission
from domain.delivery import Channel, Delivery, DeliveryState, Purpose
from domain.recommendation import Recommendation
from store import outbox, recommendations, resending
from store.visibility import sees
from web.api.access import Caller, Requires
from web.api.asked import CustomerId, Exactly
from web.api.audit import Moment
from web.api.paging import LAST, Cursor, Limit, Page, decode, encode
from web.api.problems import Kind, Problem, answers, not_found

router = APIRouter(tags=["deliveries"])

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Permission.DELIVERIES_READ))]
Sender: TypeAlias = Annotated[Caller, Depends(Requires(Permission.DELIVERIES_RETRY))]
Id: TypeAlias = Annotated[int, Path(ge=1, le=LAST, description="The delivery's number.", examples=[4711])]


class About(BaseModel):
    recommendation: str
    rule: str = Field(examples=["contract-expiring"])
    customer: str = Field(examples=["K1"])


class KnownDelivery(BaseModel):
    id: int = Field(examples=[4711])
    purpose: Purpose
    state: DeliveryState = Field(
        description="queued, ready, leased and sending are on their way; failed, dead and unknown need a person."
    )
    channel: Channel
    person: str = Field(description="The person's id, or the address of somebody who is none of the people.")
    destination: str = Field(examples=["lena@example.com"])
    about: list[About] = Field(description="A digest names several.")
    wanted_at: datetime = Field(description="When it was first to be sent.")
    due_at: datetime = Field(description="When it is to be sent, or was last.")
    sent_at: datetime | None
    attempts: int
    receipt: str | None = Field(description="What the other side said when it took it.")
    last_code: int | None
    last_phase: str | None = Field(description="Where the last attempt failed, as in rcpt or data.")
    last_error: str | None

    @classmethod
    def of(cls, delivery: Delivery, about: Sequence[Recommendation], **more: Any) -> Self:
        known = {name: getattr(delivery, name) for name in KnownDelivery.model_fields if name != "about"}
        named = [About(recommendation=each.id, rule=each.rule, customer=each.dossier) for each in about]
        return cls(**known, about=named, **more)


class WholeDelivery(KnownDelivery):
    message_id: str | None
    body: str | None = Field(
        description="The message exactly as it was sent or would be sent again; null: it is not written yet or names a "
        "customer whom the caller may not see."
    )
    trace: str | None = Field(description="The id of the request that led to it.")


@router.get(
    "/deliveries", response_model=Page[KnownDelivery], operation_id="listDeliveries", summary="What was sent and waits"
)
def list_deliveries(
    caller: Reader,
    state: Annotated[list[DeliveryState] | None, Query(description="One of these.")] = None,
    channel: Annotated[list[Channel] | None, Query(description="One of these.")] = None,
    to: Annotated[Exactly, Query(description="A person's id or an address.")] = None,
    customer: Annotated[CustomerId | None, Query(description="Digests that name the customer included.")] = None,
    rule: Annotated[Exactly, Query(description="Digests that name what it recommends included.")] = None,
    since: Annotated[Moment | None, Query(description="Due at this moment or later.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KnownDelivery]:
    """The latest first, of those about customers that the caller sees."""
    (before,) = decode(cursor, int) if cursor else (LAST,)
    found = outbox.listing(
        caller.db,
        states=state,
        channels=channel,
        to=to,
        since=since,
        customer=customer,
        rule=rule,
        owners=caller.owners(),
        before=before,
        limit=limit + 1,
    )
    shown = found[:limit]
    about = recommendations.of_deliveries(caller.db, [each.id for each in shown])
    return Page(
        items=[KnownDelivery.of(each, about[each.id]) for each in shown],
        next=encode([shown[-1].id]) if len(found) > limit else None,
    )


@router.get(
    "/deliveries/counts",
    response_model=dict[DeliveryState, int],
    operation_id="countDeliveries",
    summary="How many deliveries are in each state",
)
def count_deliveries(caller: Reader) -> Mapping[DeliveryState, int]:
    """Of all customers; a state that none is in is left out."""
    return outbox.counts(caller.db)


@router.get(
    "/deliveries/{id}",
    response_model=WholeDelivery,
    operation_id="getDelivery",
    summary="A delivery, and the message itself",
    responses=answers(Kind.NOT_FOUND),
)
def get_delivery(caller: Reader, id: Id) -> WholeDelivery:
    return _whole(caller, id)


@router.post(
    "/deliveries/{id}/retry",
    response_model=WholeDelivery,
    operation_id="retryDelivery",
    summary="Send it again",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def retry_delivery(caller: Sender, id: Id) -> WholeDelivery:
    """With the same bytes. Only what failed, is dead or may have arrived, and is wanted still."""
    delivery, _ = _seen(caller, id)
    source, trace = caller.actor.source, caller.trace
    refusal = resending.retry(caller.db, delivery, source=source, now=caller.now, trace=trace)
    if refusal is not None:
        raise Problem(kind=Kind.CONFLICT, detail=f"Delivery {id} {refusal.says}.")
    caller.services.wrote()
    return _whole(caller, id)


def _whole(caller: Caller, id_: int) -> WholeDelivery:
    delivery, about = _seen(caller, id_)
    shown = delivery.body if _sees_all(caller, about) else None
    return WholeDelivery.of(
        delivery,
        about,
        message_id=delivery.message_id,
        body=None if shown is None else shown.decode(errors="replace"),
        trace=delivery.trace,
    )


def _seen(caller: Caller, id_: int) -> tuple[Delivery, list[Recommendation]]:
    """A delivery and what it is about, where the caller sees a customer of it. Raises `Problem`."""
    found = outbox.listing(caller.db, owners=caller.owners(), before=min(id_ + 1, LAST), limit=1)
    if not found or found[0].id != id_:
        raise not_found(f"delivery {id_}")
    return found[0], recommendations.of_deliveries(caller.db, [id_])[id_]


def _sees_all(caller: Caller, about: Sequence[Recommendation]) -> bool:
    owners = caller.owners()
    return owners is None or sees(caller.db, {each.dossier for each in about}, owners)
