"""One message to one person about one recommendation, from the outbox to its receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Channel(StrEnum):
    """How a message travels. All but e-mail are chats."""

    EMAIL = "email"
    SLACK = "slack"
    SLACK_WEBHOOK = "slack-webhook"
    TEAMS = "teams"
    MATTERMOST = "mattermost"
    APPRISE = "apprise"


class Purpose(StrEnum):
    """What a message is for."""

    REMINDER = "reminder"
    DIGEST = "digest"  # several recommendations to one person
    WITHDRAWAL = "withdrawal"  # takes back the calendar entry of an earlier mail
    UPDATE = "update"  # says on an earlier message in a chat that nothing is left to do


class DeliveryState(StrEnum):
    """queued -> ready -> leased -> sending -> sent | unknown | ready (retry) | failed | dead | cancelled | gathered."""

    QUEUED = "queued"  # until its time has come and the person's wishes were asked
    READY = "ready"
    LEASED = "leased"
    SENDING = "sending"  # persisted before the bytes leave
    SENT = "sent"
    UNKNOWN = "unknown"  # we stopped between the bytes and the answer: it may have arrived
    FAILED = "failed"  # refused for good
    DEAD = "dead"  # every retry used up
    CANCELLED = "cancelled"  # no longer wanted before it was sent
    GATHERED = "gathered"  # named in a digest instead


# Nothing moves these on by itself: they need a person.
STUCK = (DeliveryState.FAILED, DeliveryState.DEAD, DeliveryState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A row of the outbox. `body` holds the exact bytes once they were rendered: a resend is byte-identical.

    `recommendation`: None for a digest, which has items. `wanted_at`: when it was first to be sent; `due_at` moves.
    `entry`: the number of the calendar entry that it brought; `receipt`: what the other side called it. `trace` names
    the write that led to it, as logs do.
    """

    id: int
    key: str
    purpose: Purpose = Purpose.REMINDER
    recommendation: str | None
    person: str
    destination: str
    channel: Channel
    occurrence: int
    state: DeliveryState
    wanted_at: datetime
    due_at: datetime
    attempts: int = 0
    fence: int = 0
    lease_until: datetime | None = None
    message_id: str | None = None
    body: bytes | None = None
    entry: int | None = None
    receipt: str | None = None
    last_code: int | None = None
    last_phase: str | None = None
    last_error: str | None = None
    sent_at: datetime | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A delivery to be queued. `trace` names the write that led to it, as logs do."""

    recommendation: str
    person: str
    destination: str
    occurrence: int
    due_at: datetime
    channel: Channel = Channel.EMAIL
    purpose: Purpose = Purpose.REMINDER
    trace: str | None = None

    @property
    def key(self) -> str:
        """The same occasion has the same key, so queueing twice queues once."""
        parts = (self.purpose, self.recommendation, self.person, str(self.occurrence))
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a notifier is given: a destination and the exact bytes.

    `sender`: where a bounce goes, which can name the delivery (VERP); without one, to the notifier's own address.
    """

    destination: str
    message_id: str
    body: bytes
    sender: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The other side took it: its code and words."""

    code: int
    text: str


class SendError(Exception):
    """It was not taken. Named by what to do next.

    `permanent`: do not try again. `uncertain`: it may have been taken after all, the answer never came.
    `server_down`: no fault of this message, the others would fail too. `phase` names the step, e.g. "rcpt".
    `retry_after_s`: this destination asked to be left alone for so long; the others did not.
    """

    def __init__(
        self,
        text: str,
        *,
        permanent: bool = False,
        uncertain: bool = False,
        server_down: bool = False,
        retry_after_s: float | None = None,
        code: int | None = None,
        phase: str,
    ) -> None:
        super().__init__(text)
        self.permanent = permanent
        self.uncertain = uncertain
        self.server_down = server_down
        self.retry_after_s = retry_after_s
        self.code = code
        self.phase = phase


class PersonalLink(StrEnum):
    """What a reader can open about their own wishes. Signed for one person; opening one changes nothing."""

    SETTINGS = "settings"
    PAUSE = "pause"
    UNSUBSCRIBE = "unsubscribe"


class Link(StrEnum):
    """What a reader can open from a mail. Each is a signed link of its own; none changes anything by being opened."""

    ACT = "act"
    DONE = "done"
    SNOOZE_1_DAY = "snooze-1d"
    SNOOZE_3_DAYS = "snooze-3d"
    SNOOZE_1_WEEK = "snooze-1w"
    DISMISS = "dismiss"
    WHY = "why"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """What a reminder says, in the reader's language, ready to be laid out. Texts are plain, never markup."""

    language: str
    subject: str  # the mail's subject line
    preheader: str
    verdict: str  # a Verdict's value
    topic: str  # what it is about, in two or three words: "Contract FL-20418"
    due: str | None  # "Fri 27 Nov"
    title: str
    why: str
    stake: str | None  # "CHF 48,200"
    action: str  # the next best action, as a button says it
    facts: tuple[tuple[str, str], ...]
    instead: tuple[str, ...]
    rule: str
    rule_title: str
    rule_version: int
    matched: tuple[str, ...]  # the conditions that hold, in plain words
    recipient: str
    role: str  # why this person: "owner", "manager", "lead", "named"
    links: Mapping[Link, str]
    personal: Mapping[PersonalLink, str] = field(default_factory=dict[PersonalLink, str])
    escalation: str | None = None  # "After 5 business days this goes to Anna Frei."
    crm_url: str | None = None


class HeldBack(StrEnum):
    """Why a recommendation is named in a digest instead of having a message of its own."""

    CHOSEN = "chosen"  # the rule or the person wants it so
    CAP = "cap"  # beyond what the person wants to hear in a day
    FLOOD = "flood"  # too many at once


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestItem:
    """One recommendation as a digest names it."""

    title: str
    why: str
    action: str
    links: Mapping[Link, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestCustomer:
    """What there is to do at one customer."""

    name: str
    verdict: str  # a Verdict's value
    stake: str | None  # "CHF 96,000"
    overdue: int
    due: str | None  # "Fri 27 Nov", of what is due first
    held_back: tuple[tuple[str, str], ...]  # (what a rule holds back, which rule): titles
    items: tuple[DigestItem, ...]
    crm_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Several recommendations to one person, by customer and by value, ready to be laid out. Texts are plain."""

    language: str
    day: str  # "Monday 23 November 2026"
    things: int  # recommendations, those of `more` included
    at_customers: int
    stake: str | None  # "CHF 212,400", of all
    due_today: int
    overdue: int
    customers: tuple[DigestCustomer, ...]  # the most valuable first
    more: int  # customers that are not shown
    more_stake: str | None
    held_back: Mapping[HeldBack, int]  # how many are here instead of in a message of their own, and why
    cap: int | None  # how many a day the person wants to hear
    recipient: str
    personal: Mapping[PersonalLink, str] = field(default_factory=dict[PersonalLink, str])
