"""Who is told what happened, over HTTP: subscriptions, and what became of each event that they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.event import Event, EventType, Happening

BREAKS_AFTER = 5  # failures in a row
BREAK, BREAK_LIMIT = timedelta(seconds=30), timedelta(minutes=10)  # doubled by each probe that fails
UNBROKEN_FAILURE = timedelta(days=5)  # nobody looks after such an endpoint any more
SECRET_LIMIT = 5  # valid at once: each adds a signature to a header
OVERLAP = timedelta(days=1)  # how long an old secret goes on signing


class Envelope(StrEnum):
    """How an event is wrapped."""

    STANDARD = "standard"  # Standard Webhooks: {"type", "timestamp", "data"}
    CLOUDEVENTS = "cloudevents"  # CloudEvents 1.0, structured JSON


class Signing(StrEnum):
    """The schemes of Standard Webhooks."""

    V1 = "v1"  # HMAC-SHA256 with a secret that both sides know
    V1A = "v1a"  # Ed25519: the receiver knows the public key alone


class WebhookState(StrEnum):
    """ready -> leased -> delivered | ready (retry) | failed | cancelled."""

    READY = "ready"  # waits for its time
    LEASED = "leased"  # on its way
    DELIVERED = "delivered"  # answered with 2xx
    FAILED = "failed"  # every retry used up
    CANCELLED = "cancelled"  # the subscription was disabled


class TooManySecrets(Exception):
    """The secrets that are valid still fill the header."""

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"{SECRET_LIMIT} secrets are valid at once and no more: wait until {until.isoformat()}, or make the old "
            "ones invalid at once"
        )
        self.until = until


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """`sealed`: as it is stored. `public`: of a key pair, what receivers verify with. `until`: None is the current."""

    sealed: str
    public: str | None = None
    until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """An endpoint and what it asks for; an empty filter asks for all. `owner`: the id of a user.

    `ordered`: of one customer, an event waits until the one before is settled. `failures` are those in a row,
    `failing_since` is when they began. Nothing is sent before `open_until`.
    """

    id: str
    owner: str
    url: str
    description: str = ""
    types: tuple[EventType, ...] = ()
    tags: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    envelope: Envelope = Envelope.STANDARD
    signing: Signing = Signing.V1
    ordered: bool = False
    secrets: tuple[Secret, ...]
    created_at: datetime
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    failures: int = 0
    failing_since: datetime | None = None
    open_until: datetime | None = None
    succeeded_at: datetime | None = None
    last_error: str | None = None

    def asks_for(self, event: Happening) -> bool:
        return (
            (not self.types or event.type in self.types)
            and (not self.tags or not set(self.tags).isdisjoint(event.tags))
            and (not self.teams or event.team in self.teams)
            and (not self.products or event.product in self.products)
        )

    # --- the breaker ---

    @property
    def is_broken(self) -> bool:
        """Nothing but a probe is sent until one succeeds."""
        return self.failures >= BREAKS_AFTER

    def is_held(self, now: datetime) -> bool:
        return self.disabled_at is not None or (self.open_until is not None and self.open_until > now)

    def succeeded(self, *, at: datetime) -> Subscription:
        """It answered. What it asked for itself, to be left alone for a while, still holds."""
        until = None if self.is_broken else self.open_until
        return replace(self, failures=0, failing_since=None, open_until=until, succeeded_at=at, last_error=None)

    def failed(self, *, at: datetime, error: str, probe: bool, quiet: timedelta | None = None) -> Subscription:
        """It did not. `quiet`: for how long it asked to be left alone.

        What was on its way when it broke changes nothing: only the probe tells how things are since.
        """
        if self.is_held(at) and not probe:
            return replace(self, last_error=error)
        failures = self.failures + 1
        pause = min(BREAK * 2 ** min(failures - BREAKS_AFTER, 30), BREAK_LIMIT) if failures >= BREAKS_AFTER else None
        holds = [at + span for span in (pause, quiet) if span is not None]
        failing = replace(
            self,
            failures=failures,
            failing_since=self.failing_since or at,
            open_until=max(holds, default=None),
            last_error=error,
        )
        if failing.is_broken and at - (failing.failing_since or at) >= UNBROKEN_FAILURE:
            return failing.disabled(at=at, reason=f"it failed for {UNBROKEN_FAILURE.days} days: {error}")
        return failing

    def disabled(self, *, at: datetime, reason: str) -> Subscription:
        """Nothing is sent any more until somebody enables it."""
        return self if self.disabled_at else replace(self, disabled_at=at, disabled_reason=reason)

    def rotated(self, new: Secret, *, overlap: timedelta, now: datetime) -> Subscription:
        """The new secret signs from now on, the one before for `overlap` as well. Raises `TooManySecrets`."""
        until = now + overlap
        old = [
            replace(secret, until=min(until, secret.until or until))
            for secret in self.secrets
            if overlap and secret.is_valid(now)
        ]
        if len(old) >= SECRET_LIMIT:
            raise TooManySecrets(min(secret.until or until for secret in old))
        return replace(self, secrets=(new, *old))

    def enabled(self) -> Subscription:
        return replace(self, disabled_at=None, disabled_reason=None, failures=0, failing_since=None, open_until=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """One event to one subscription."""

    id: int
    subscription: str
    event: Event
    state: WebhookState
    due_at: datetime
    attempts: int = 0
    fence: int = 0
    last_status: int | None = None
    last_error: str | None = None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Exactly what was posted, and what came back. `status` and the rest of the answer are None without one.

    `error`: why it was no success; None: it was. `gone`: the endpoint says that it is no more. `wait`: at least so long
    until the next attempt; `quiet`: the endpoint asked to be left alone for so long.
    """

    at: datetime
    duration_ms: int
    url: str
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int | None = None
    answer_headers: Mapping[str, str] | None = None
    answer_body: bytes | None = None
    error: str | None = None
    gone: bool = False
    wait: timedelta = timedelta()
    quiet: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an attempt means for its delivery. `again`: when it is to be tried again; None: never.

    `probe`: it was sent alone, to see whether a broken endpoint works again.
    """

    delivery: WebhookDelivery
    attempt: Attempt
    again: datetime | None = None
    probe: bool = False

    @property
    def state(self) -> WebhookState:
        if self.attempt.error is None:
            return WebhookState.DELIVERED
        return WebhookState.READY if self.again else WebhookState.FAILED


def after(subscription: Subscription, result: Result) -> Subscription:
    """The subscription as an attempt leaves it."""
    attempt = result.attempt
    if attempt.error is None:
        return subscription.succeeded(at=attempt.at)
    if attempt.gone:
        return subscription.disabled(at=attempt.at, reason=attempt.error)
    return subscription.failed(at=attempt.at, error=attempt.error, probe=result.probe, quiet=attempt.quiet)
