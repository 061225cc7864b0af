"""An event to a subscriber: wrapped, signed, posted, and the answer judged.

Nothing is followed, and nothing is tried again here. Where it may lead is decided twice: the address as it is written
when somebody subscribes and before each post, the IP address in `notifiers.http`, at the socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import to_json
from yarl import URL

from domain.delivery import SendError
from domain.event import Event
from domain.subscription import Attempt, Envelope, Subscription
from notifiers import schemas
from notifiers.addresses import Refusal
from notifiers.http import HEADERS, PATIENCE_LIMIT_S, Answer, Http, NoAnswer, Outgoing, web_address
from notifiers.signing import Sealer, Sign, Unopenable

TIMEOUT_S = 15.0
KEPT_BYTES = 16_384  # of an answer
WAIT = timedelta(minutes=1)  # at least, for an endpoint that is too busy to answer, or says so
TOO_MANY, GONE = 429, 410

LOW_PORTS = frozenset({80, 443})
# Of those from 1024 on: what browsers refuse, and databases, caches and brokers that might take a line for a command.
REFUSED_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
    | {1433, 1521, 2181, 3306, 5432, 5672, 6379, 9042, 11211, 27017}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """`source`: our own address, which says where an event comes from."""

    sealer: Sealer
    outgoing: Outgoing
    source: str

    def refusal(self, url: str) -> Refusal | None:
        """Why nothing is posted to an address as it is written; None: it may be tried."""
        address = web_address(url)
        if isinstance(address, Refusal):
            return address
        found = (reason for problem, reason in PROBLEMS if problem(address))
        plain = "plain http leads only to networks that the settings allow, and they allow none; use https"
        reason = plain if address.scheme == "http" and not self.outgoing.allowed else next(found, None)
        return Refusal(reason=reason) if reason else None

    def endpoint(self, subscription: Subscription, *, now: datetime) -> Endpoint | Refusal:
        """What posts to a subscription, as it is now; or why nothing does, and what to do."""
        refusal = self.refusal(subscription.url)
        if refusal is not None:
            return Refusal(reason=f"nothing can be sent to subscription {subscription.id}: {refusal.reason}")
        signs = self._signs(subscription, now)
        if isinstance(signs, Refusal):
            return signs
        content_type, wrap = ENVELOPES[subscription.envelope]
        return Endpoint(
            url=subscription.url,
            signs=signs,
            content_type=content_type,
            wrap=lambda event: to_json(wrap(event, self.source)),
        )

    def _signs(self, subscription: Subscription, now: datetime) -> tuple[Sign, ...] | Refusal:
        """The current secret first. An old one that cannot be opened any more is no reason to send nothing."""
        signs: list[Sign] = []
        for secret in subscription.secrets:
            try:
                signs += [self.sealer.opened(secret)] if secret.is_valid(now) else []
            except Unopenable:
                if secret.until is None:
                    return Refusal(
                        reason=f"the secret of subscription {subscription.id} cannot be opened with any of the "
                        "secret_keys in the settings: put the key back that it was sealed with, or make a new secret "
                        f"with\n\n    relance webhooks rotate-secret {subscription.id}"
                    )
        return tuple(signs)


# What is wrong with an address as it is written; the first is said.
PROBLEMS: tuple[tuple[Callable[[URL], bool], str], ...] = (
    (lambda url: url.user is not None or url.password is not None, "the address holds a user or a password"),
    (lambda url: bool(url.raw_fragment), "the address has a fragment (#), which no server is sent"),
    (
        lambda url: (url.port or 0) not in LOW_PORTS and ((url.port or 0) < 1024 or url.port in REFUSED_PORTS),
        "webhooks do not listen on this port: use 443, 80, or one from 1024 on that no other service is known by",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    url: str
    signs: tuple[Sign, ...]
    content_type: str
    wrap: Callable[[Event], bytes]

    async def post(self, http: Http, event: Event, *, now: datetime) -> Attempt:
        """Signed anew, with the id that it always has. Never raises: what went wrong is in the attempt."""
        body = self.wrap(event)
        stamp = str(int(now.timestamp()))
        signed = f"{event.id}.{stamp}.".encode() + body
        headers = {
            "Content-Type": self.content_type,
            "webhook-id": event.id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join([sign(signed) for sign in self.signs]),
        }
        begun = time.monotonic()
        came: dict[str, Any]
        try:
            answer = await http.post(self.url, body, headers=headers, read_bytes=KEPT_BYTES)
            came = {"request_headers": answer.asked, **_judged(answer, now)}
        except SendError as failure:
            came = {
                "request_headers": HEADERS | headers,
                "error": str(failure),
                "wait": WAIT if isinstance(failure, NoAnswer) else timedelta(),
            }
        return Attempt(
            at=now,
            duration_ms=int((time.monotonic() - begun) * 1000),
            url=self.url,
            request_body=body,
            **came,
        )


def _judged(answer: Answer, now: datetime) -> dict[str, Any]:
    said: dict[str, Any] = {
        "status": answer.status,
        "answer_headers": answer.headers,
        "answer_body": answer.body,
    }
    if 200 <= answer.status < 300:
        return said
    quiet = _quiet(answer, now)
    return said | {
        "error": f"it answered {answer.status}{_meaning(answer.status)}",
        "gone": answer.status == GONE,
        "wait": max(quiet or timedelta(), WAIT if answer.status == TOO_MANY else timedelta()),
        "quiet": quiet,
    }


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return ", a redirect, which is never followed: subscribe with the address that it leads to"
    return ": it is gone for good" if status == GONE else ""


def _quiet(answer: Answer, now: datetime) -> timedelta | None:
    """For how long the endpoint asks to be left alone, as seconds or as a date; at most a day."""
    if answer.retry_after_s is not None:
        return timedelta(seconds=answer.retry_after_s)
    try:
        until = parsedate_to_datetime(answer.headers.get("Retry-After", ""))
    except (TypeError, ValueError):
        return None
    asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(asked, timedelta()), timedelta(seconds=PATIENCE_LIMIT_S))


# --- envelopes ---


def _standard(event: Event, _source: str) -> dict[str, Any]:
    return {"type": event.type, "timestamp": event.at.isoformat(), "data": _data(event)}


def _cloudevent(event: Event, source: str) -> dict[str, Any]:
    subject = event.recommendation or event.customer
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"relance.{event.type}",
        **({"subject": subject} if subject else {}),
        "time": event.at.isoformat(),
        "datacontenttype": "application/json",
        "dataschema": f"{source.rstrip('/')}{schemas.PATH}/{event.type}/{schemas.VERSIONS[event.type]}",
        "data": _data(event),
    }


ENVELOPES: Mapping[Envelope, tuple[str, Callable[[Event, str], dict[str, Any]]]] = {
    Envelope.STANDARD: ("application/json; charset=utf-8", _standard),
    Envelope.CLOUDEVENTS: ("application/cloudevents+json; charset=utf-8", _cloudevent),
}


def _data(event: Event) -> dict[str, Any]:
    return {"customer": event.customer, **event.data}
