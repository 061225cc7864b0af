"""Subscriptions: whom we tell what happens, and what became of it. One's own; an admin those of all."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from domain.access import Permission, Role
from domain.event import EventType
from domain.subscription import (
    OVERLAP,
    Attempt,
    Envelope,
    Result,
    Secret,
    Signing,
    Subscription,
    TooManySecrets,
    WebhookDelivery,
    WebhookState,
)
from notifiers.addresses import Refusal
from notifiers.http import Outgoing
from notifiers.signing import Sealer
from notifiers.webhook import TIMEOUT_S, Webhooks
from store import subscriptions, webhooks
from web.api.access import Caller, Requires
from web.api.bodies import ExactRoute
from web.api.paging import LAST, Cursor, Limit, Page, decode, encode
from web.api.problems import Fault, Kind, Problem, answers, not_found
from web.api.users import LINE

URL_LIMIT = 2000
OVERLAP_LIMIT = timedelta(days=7)
TEST_LEASE_S = 60.0

router = APIRouter(tags=["subscriptions"], route_class=ExactRoute)

Subscriber: TypeAlias = Annotated[Caller, Depends(Requires(Permission.SUBSCRIPTIONS_MANAGE))]
SubscriptionId: TypeAlias = Annotated[str, Path(pattern=LINE, max_length=200, description="The subscription's id.")]


def _moment(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('is no moment; write one like "2026-11-23T09:00:00+01:00"')
    return value


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_moment)]
Word: TypeAlias = Annotated[str, Field(pattern=LINE, max_length=200)]
Words: TypeAlias = Annotated[list[Word], Field(max_length=100)]
Url: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\x00-\x20\x7f-\x9f]+$",
        max_length=URL_LIMIT,
        description="Where events are posted. https; plain http only to networks that the settings allow.",
        examples=["https://crm.example.com/hooks/relance"],
    ),
]
Described: TypeAlias = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,200}$", max_length=200, description="What it is for.")
]
Types: TypeAlias = Annotated[
    list[EventType], Field(max_length=len(EventType), description="The types of events; none: all.")
]
Tags: TypeAlias = Annotated[Words, Field(description="Tags of rules, one of which the event has; none: any.")]
Teams: TypeAlias = Annotated[Words, Field(description="Teams of whoever looks after the subject; none: any.")]
Products: TypeAlias = Annotated[Words, Field(description="Products that the event is about; none: any.")]
Wrapped: TypeAlias = Annotated[
    Envelope, Field(description="`standard`: {type, timestamp, data}; `cloudevents`: CloudEvents 1.0, structured.")
]
Ordered: TypeAlias = Annotated[
    bool, Field(strict=True, description="Whether a customer's events wait for the customer's event before.")
]


# --- what is sent and answered ---


class KnownSecret(BaseModel):
    public_key: str | None = Field(description="What verifies v1a; null: v1, whose secret is never shown again.")
    valid_until: datetime | None = Field(description="Until when it signs as well; null: the current one.")


class KnownSubscription(BaseModel):
    id: str = Field(examples=["sub_5f0c2a91d3b7"])
    owner: str = Field(description="The user whose it is.", examples=["u_3f9c01d2a4b7"])
    url: str
    description: str
    types: list[EventType]
    tags: list[str]
    teams: list[str]
    products: list[str]
    envelope: Envelope
    signing: Signing
    ordered: bool
    secrets: list[KnownSecret] = Field(description="All that sign, the current one first.")
    created_at: datetime
    disabled_at: datetime | None = Field(description="Since when nothing is sent; null: it is.")
    disabled_reason: str | None
    failures: int = Field(description="Attempts in a row that failed.")
    failing_since: datetime | None
    held_until: datetime | None = Field(description="Nothing is sent before: it failed, or asked to be left alone.")
    succeeded_at: datetime | None
    last_error: str | None

    @classmethod
    def of(cls, known: Subscription, now: datetime) -> KnownSubscription:
        return cls(
            id=known.id,
            owner=known.owner,
            url=known.url,
            description=known.description,
            types=list(known.types),
            tags=list(known.tags),
            teams=list(known.teams),
            products=list(known.products),
            envelope=known.envelope,
            signing=known.signing,
            ordered=known.ordered,
            secrets=[KnownSecret(public_key=s.public, valid_until=s.until) for s in known.secrets if s.is_valid(now)],
            created_at=known.created_at,
            disabled_at=known.disabled_at,
            disabled_reason=known.disabled_reason,
            failures=known.failures,
            failing_since=known.failing_since,
            held_until=known.open_until if known.open_until and known.open_until > now else None,
            succeeded_at=known.succeeded_at,
            last_error=known.last_error,
        )


class MadeSubscription(KnownSubscription):
    """`secret`: what verifies. Of v1 it is shown this once; of v1a it is the public key."""

    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])


class NewSubscription(BaseModel):
    model_config = {"extra": "forbid"}

    url: Url
    description: Described = ""
    types: Types = []
    tags: Tags = []
    teams: Teams = []
    products: Products = []
    envelope: Wrapped = Envelope.STANDARD
    signing: Signing = Field(Signing.V1, description="`v1`: HMAC-SHA256 with a secret; `v1a`: Ed25519, public keys.")
    ordered: Ordered = False


class SubscriptionChange(BaseModel):
    """What is left out, or null, stays as it is. How it signs is decided when it is made."""

    model_config = {"extra": "forbid"}

    url: Url | None = None
    description: Described | None = None
    types: Types | None = None
    tags: Tags | None = None
    teams: Teams | None = None
    products: Products | None = None
    envelope: Wrapped | None = None
    ordered: Ordered | None = None


class Rotation(BaseModel):
    model_config = {"extra": "forbid"}

    old_valid_for_s: int = Field(
        default=int(OVERLAP.total_seconds()),
        strict=True,
        ge=0,
        le=int(OVERLAP_LIMIT.total_seconds()),
        description="For how many seconds the secret before signs as well; 0: it was stolen.",
    )


class ReplayEvent(BaseModel):
    model_config = {"extra": "forbid"}

    event: str = Field(pattern=LINE, max_length=200, description="The id of one event.", examples=["evt_0d1f8a2b6c7e"])


class ReplaySince(BaseModel):
    model_config = {"extra": "forbid"}

    since: Moment = Field(description="Everything that happened since, what was never sent included.")


class ReplayFailed(BaseModel):
    model_config = {"extra": "forbid"}

    failed: Literal[True] = Field(description="Everything that was given up.")


class Queued(BaseModel):
    queued: int = Field(description="How many deliveries were queued again, with the ids that they had.")


class KnownDelivery(BaseModel):
    id: int
    event: str = Field(description="The event's id: `webhook-id`.", examples=["evt_0d1f8a2b6c7e4f5091a2b3c4"])
    type: EventType
    customer: str | None
    state: WebhookState
    due_at: datetime = Field(description="When it is next sent, or was last due.")
    attempts: int
    last_status: int | None
    last_error: str | None
    settled_at: datetime | None

    @classmethod
    def of(cls, known: WebhookDelivery) -> KnownDelivery:
        return cls(
            id=known.id,
            event=known.event.id,
            type=known.event.type,
            customer=known.event.customer,
            state=known.state,
            due_at=known.due_at,
            attempts=known.attempts,
            last_status=known.last_status,
            last_error=known.last_error,
            settled_at=known.settled_at,
        )


class KnownAttempt(BaseModel):
    """Exactly what was posted and what was answered: of a body the beginning, and without what is no text."""

    at: datetime
    duration_ms: int
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int | None = Field(description="Null: there was no answer.")
    answer_headers: dict[str, str] | None
    answer_body: str | None
    error: str | None = Field(description="Why it was no success; null: it was.")

    @classmethod
    def of(cls, known: Attempt) -> KnownAttempt:
        return cls(
            at=known.at,
            duration_ms=known.duration_ms,
            url=known.url,
            request_headers=dict(known.request_headers),
            request_body=known.request_body.decode(),
            status=known.status,
            answer_headers=None if known.answer_headers is None else dict(known.answer_headers),
            answer_body=None if known.answer_body is None else known.answer_body.decode(errors="replace"),
            error=known.error,
        )


class ShownDelivery(KnownDelivery):
    tried: list[KnownAttempt] = Field(description="The latest attempts, in order.")


# --- subscriptions ---


@router.get(
    "/subscriptions",
    response_model=Page[KnownSubscription],
    operation_id="listSubscriptions",
    summary="Who is told what, by id",
)
def list_subscriptions(caller: Subscriber, limit: Limit = 50, cursor: Cursor = None) -> Page[KnownSubscription]:
    (after,) = decode(cursor, str) if cursor else ("",)
    found = subscriptions.listing(caller.db, owner=_whose(caller), after=after, limit=limit + 1)
    more = encode([found[limit - 1].id]) if len(found) > limit else None
    return Page(items=[KnownSubscription.of(each, caller.now) for each in found[:limit]], next=more)


@router.post(
    "/subscriptions",
    status_code=201,
    response_model=MadeSubscription,
    operation_id="addSubscription",
    summary="Be told what happens",
)
def add_subscription(caller: Subscriber, new: NewSubscription) -> MadeSubscription:
    """The secret is shown this once. The address is tried when something is sent: `POST .../test` does so at once."""
    made = _webhooks(caller)
    _check_url(made, new.url)
    secret = made.sealer.make(new.signing)
    subscription = Subscription(
        id=f"sub_{secrets.token_hex(6)}",
        owner=caller.actor.user,
        url=new.url,
        description=new.description,
        types=tuple(new.types),
        tags=tuple(new.tags),
        teams=tuple(new.teams),
        products=tuple(new.products),
        envelope=new.envelope,
        signing=new.signing,
        ordered=new.ordered,
        secrets=(secret.secret,),
        created_at=caller.now,
    )
    subscriptions.add(caller.db, subscription, source=caller.actor.source, now=caller.now, trace=caller.trace)
    return MadeSubscription(**KnownSubscription.of(subscription, caller.now).model_dump(), secret=secret.shown)


@router.get(
    "/subscriptions/{subscription}",
    response_model=KnownSubscription,
    operation_id="getSubscription",
    summary="A subscription, and how its endpoint is doing",
    responses=answers(Kind.NOT_FOUND),
)
def get_subscription(caller: Subscriber, subscription: SubscriptionId) -> KnownSubscription:
    return KnownSubscription.of(_found(caller, subscription), caller.now)


@router.patch(
    "/subscriptions/{subscription}",
    response_model=KnownSubscription,
    operation_id="changeSubscription",
    summary="Another address, other filters",
    responses=answers(Kind.NOT_FOUND),
)
def change_subscription(
    caller: Subscriber, subscription: SubscriptionId, change: SubscriptionChange
) -> KnownSubscription:
    if change.url is not None:
        _check_url(_webhooks(caller), change.url)
    named = change.model_dump(exclude_none=True)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
    return _changed(caller, subscription, lambda before: replace(before, **values), "changed")


@router.delete(
    "/subscriptions/{subscription}",
    status_code=204,
    response_model=None,
    operation_id="removeSubscription",
    summary="Be told no more; the log of what was sent goes too",
    responses=answers(Kind.NOT_FOUND),
)
def remove_subscription(caller: Subscriber, subscription: SubscriptionId) -> Response:
    if not subscriptions.remove(
        caller.db,
        subscription,
        owner=_whose(caller),
        source=caller.actor.source,
        now=caller.now,
        trace=caller.trace,
    ):
        raise _unknown(subscription)
    return Response(status_code=204)


@router.post(
    "/subscriptions/{subscription}/enable",
    response_model=KnownSubscription,
    operation_id="enableSubscription",
    summary="Send again",
    responses=answers(Kind.NOT_FOUND),
)
def enable_subscription(caller: Subscriber, subscription: SubscriptionId) -> KnownSubscription:
    """What happened meanwhile was not queued; `POST .../replay` with `since` sends it."""
    return _changed(caller, subscription, Subscription.enabled, "enabled")


@router.post(
    "/subscriptions/{subscription}/disable",
    response_model=KnownSubscription,
    operation_id="disableSubscription",
    summary="Send nothing for now; what waits is cancelled",
    responses=answers(Kind.NOT_FOUND),
)
def disable_subscription(caller: Subscriber, subscription: SubscriptionId) -> KnownSubscription:
    reason = f"by {caller.actor.name}"
    return _changed(caller, subscription, lambda before: before.disabled(at=caller.now, reason=reason), "disabled")


@router.post(
    "/subscriptions/{subscription}/rotate-secret",
    response_model=MadeSubscription,
    operation_id="rotateSecret",
    summary="A new secret, shown once; the old one signs as well for a while",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def rotate_secret(
    caller: Subscriber, subscription: SubscriptionId, rotation: Annotated[Rotation | None, Body()] = None
) -> MadeSubscription:
    """409: too many are valid at once."""
    overlap = timedelta(seconds=(rotation or Rotation()).old_valid_for_s)
    secret = _webhooks(caller).sealer.make(_found(caller, subscription).signing)
    try:
        known = _changed(caller, subscription, _rotated(secret.secret, overlap, caller.now), "secret-rotated")
    except TooManySecrets as refusal:
        raise Problem(kind=Kind.CONFLICT, detail=f"{refusal}.") from None
    return MadeSubscription(**known.model_dump(), secret=secret.shown)


# --- what is sent ---


@router.post(
    "/subscriptions/{subscription}/test",
    response_model=KnownAttempt,
    operation_id="testSubscription",
    summary="Send a test now",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
async def test_subscription(caller: Subscriber, subscription: SubscriptionId) -> KnownAttempt:
    """Exactly what was posted and answered. It is sent to a disabled one too. 409: it cannot be signed."""
    found = await run_in_threadpool(_found, caller, subscription)
    made = _webhooks(caller)
    endpoint = made.endpoint(found, now=caller.now)
    if isinstance(endpoint, Refusal):
        raise Problem(kind=Kind.CONFLICT, detail=endpoint.reason)
    delivery = await run_in_threadpool(
        webhooks.begin_test,
        caller.db,
        found,
        key=caller.trace + secrets.token_hex(6),
        owner=caller.actor.source,
        now=caller.now,
        lease_s=TEST_LEASE_S,
    )
    async with made.outgoing.open() as http:
        attempt = await endpoint.post(http, delivery.event, now=caller.now)
    await run_in_threadpool(webhooks.record, caller.db, found.id, [Result(delivery=delivery, attempt=attempt)])
    return KnownAttempt.of(attempt)


@router.post(
    "/subscriptions/{subscription}/replay",
    response_model=Queued,
    operation_id="replaySubscription",
    summary="Send again: one event, all since a moment, or all that failed",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def replay_subscription(
    caller: Subscriber, subscription: SubscriptionId, replay: ReplayEvent | ReplaySince | ReplayFailed
) -> Queued:
    """With the ids that they had, so that whoever has one already knows it. 409: the subscription is disabled."""
    found = _found(caller, subscription)
    if found.disabled_at is not None:
        raise Problem(kind=Kind.CONFLICT, detail="The subscription is disabled: enable it first.")
    match replay:
        case ReplayEvent():
            queued = webhooks.replay_event(caller.db, found, replay.event, now=caller.now)
            if queued is None:
                raise not_found(f"event {replay.event} that this subscription asks for")
        case ReplaySince():
            queued = webhooks.replay_since(caller.db, found, replay.since, now=caller.now)
        case ReplayFailed():
            queued = webhooks.replay_failed(caller.db, found, now=caller.now)
    return Queued(queued=queued)


@router.get(
    "/subscriptions/{subscription}/deliveries",
    response_model=Page[KnownDelivery],
    operation_id="listWebhookDeliveries",
    summary="What was sent, the latest first",
    responses=answers(Kind.NOT_FOUND),
)
def list_deliveries(
    caller: Subscriber,
    subscription: SubscriptionId,
    state: Annotated[WebhookState | None, Query(description="Only in this state.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KnownDelivery]:
    (before,) = decode(cursor, int) if cursor else (LAST,)
    found = webhooks.listing(
        caller.db,
        _found(caller, subscription).id,
        states=[state] if state else None,
        before=before,
        limit=limit + 1,
    )
    more = encode([found[limit - 1].id]) if len(found) > limit else None
    return Page(items=[KnownDelivery.of(each) for each in found[:limit]], next=more)


@router.get(
    "/subscriptions/{subscription}/deliveries/{delivery}",
    response_model=ShownDelivery,
    operation_id="getWebhookDelivery",
    summary="A delivery and each attempt, exactly",
    responses=answers(Kind.NOT_FOUND),
)
def get_delivery(
    caller: Subscriber,
    subscription: SubscriptionId,
    delivery: Annotated[int, Path(ge=1, le=LAST, description="The delivery's number.")],
) -> ShownDelivery:
    found = webhooks.get(caller.db, _found(caller, subscription).id, delivery)
    if found is None:
        raise not_found(f"delivery {delivery}")
    shown, attempts = found
    return ShownDelivery(**KnownDelivery.of(shown).model_dump(), tried=list(map(KnownAttempt.of, attempts)))


# --- pieces ---


def _whose(caller: Caller) -> str | None:
    """Whose subscriptions the caller manages; None: everybody's."""
    return None if caller.actor.role is Role.ADMIN else caller.actor.user


def _found(caller: Caller, subscription: str) -> Subscription:
    found = subscriptions.get(caller.db, subscription, owner=_whose(caller))
    if found is None:
        raise _unknown(subscription)
    return found


def _changed(
    caller: Caller, subscription: str, to: Callable[[Subscription], Subscription], action: str
) -> KnownSubscription:
    after = subscriptions.change(
        caller.db,
        subscription,
        to,
        action=action,
        owner=_whose(caller),
        source=caller.actor.source,
        now=caller.now,
        trace=caller.trace,
    )
    if after is None:
        raise _unknown(subscription)
    return KnownSubscription.of(after, caller.now)


def _rotated(secret: Secret, overlap: timedelta, now: datetime) -> Callable[[Subscription], Subscription]:
    return lambda before: before.rotated(secret, overlap=overlap, now=now)


def _webhooks(caller: Caller) -> Webhooks:
    services = caller.services
    allowed = services.outgoing.allowed if services.outgoing else ()
    return Webhooks(
        sealer=Sealer(services.keys),
        outgoing=Outgoing(allowed=allowed, timeout_s=TIMEOUT_S),
        source=services.base_url,
    )


def _check_url(made: Webhooks, url: str) -> None:
    refusal = made.refusal(url)
    if refusal is not None:
        fault = Fault(pointer="/url", detail=refusal.reason)
        raise Problem(kind=Kind.INVALID, detail="Nothing can be sent to this address.", errors=[fault])


def _unknown(subscription: str) -> Problem:
    return not_found(f"subscription {subscription}")
