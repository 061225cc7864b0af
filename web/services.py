"""What the pages need from the rest of the house, handed in by the wiring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, cast
from zoneinfo import ZoneInfo

from domain.followup import NewFollowUp
from domain.recommendation import Recommendation
from notifiers.links import Links
from rules.rulebase import RuleBase
from store.session import Database

if TYPE_CHECKING:
    # The wiring needs this module where no page is served.
    from fastapi import Request

    from notifiers.http import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One line of a rule: what it asks for, what is recorded now, and whether that holds."""

    text: str
    value: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A recommendation in the reader's words. Texts are plain, never markup."""

    customer: str
    title: str
    sentence: str
    action: str | None  # the next best action, as a button says it
    due: str | None  # "Fri 27 Nov"
    stake: str | None  # "CHF 48,200"
    facts: tuple[tuple[str, str], ...]
    instead: tuple[str, ...] = ()
    conditions: tuple[Condition, ...]
    rule: str
    rule_title: str
    rule_version: int


class Explain(Protocol):
    def __call__(self, recommendation: Recommendation, /, *, language: str, now: datetime) -> Explanation: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRule:
    """A rule that can remind somebody. `title` is in the reader's language and plain; `tags` group rules."""

    id: str
    title: str
    tags: tuple[str, ...] = ()


def _nothing() -> None: ...


def _plans_nothing(_recommendation: Recommendation, _now: datetime, /) -> Sequence[NewFollowUp]:
    return ()


def _no_rules(_language: str, /) -> Sequence[LiveRule]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`clock` is the one place where time enters.

    `language` and `zone` are the company's, for people without their own. `followups`: what is still to come of a
    recommendation that is opened again. `rules`: those that people may mute, in a language. `base`: the rules that
    are live here. `wrote`: told after a write, so that nobody waits for the next tick.

    `slack_signing_secret` and `mattermost_keys`: what presses in these chats are verified with; without them there is
    no address for presses. `outgoing`: how an answer to a press reaches Slack; None: as any message would.
    """

    clock: Callable[[], datetime]
    db: Database
    links: Links
    explain: Explain
    language: str
    zone: ZoneInfo
    base: RuleBase
    wrote: Callable[[], None] = _nothing
    followups: Callable[[Recommendation, datetime], Sequence[NewFollowUp]] = _plans_nothing
    rules: Callable[[str], Sequence[LiveRule]] = _no_rules
    slack_signing_secret: str | None = field(default=None, repr=False)
    mattermost_keys: Sequence[str] = field(default=(), repr=False)
    outgoing: Outgoing | None = None


def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)
