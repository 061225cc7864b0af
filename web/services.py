"""What the pages need from the rest of the house, handed in by the wiring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, Protocol, cast
from zoneinfo import ZoneInfo

from domain.access import IdentityProvider
from domain.followup import NewFollowUp
from domain.recommendation import Recommendation
from domain.watch import Watch
from notifiers.links import Links
from rules.mapping import Finding
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


class Taken(Protocol):
    """What became of rows that were posted. `written`: for each kind, how many were new, changed, unchanged."""

    @property
    def rejected(self) -> int: ...
    @property
    def written(self) -> dict[str, dict[str, int]]: ...
    @property
    def findings(self) -> Sequence[Finding]: ...


class Take(Protocol):
    def __call__(self, db: Database, rows: Sequence[object], /, *, source: str, now: datetime, trace: str) -> Taken: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Another system that posts. `take`: its rows into the store; `rows`: where they are in what it posts.

    `secret` signs its bodies: as Standard Webhooks say, or in a header of this name.
    """

    take: Take
    rows: str | None = None
    secret: str | None = field(default=None, repr=False)
    header: str | None = None


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

    `packs`: where those rules come from, for others to be stacked on. `nobody`: who gets what belongs to nobody.
    `trying`: held by whoever tries rules, which takes its time. `stopping` is set before the server ends, for answers
    that would not end by themselves.

    `slack_signing_secret` and `mattermost_keys`: what presses in these chats are verified with; without them there is
    no address for presses. `outgoing`: how an answer to a press reaches Slack; None: as any message would.

    `inbound`: the systems that post, by name.

    `watch` is told of requests; `metrics` gives the figures, as Prometheus reads them; `last_tick`: when the worker
    here last looked for customers that are due; None: there is none.

    `keys` sign the cookies of those who sign in, at `base_url`. `provider`: who vouches for them, if anybody does.
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
    packs: Sequence[str] = ()
    nobody: str | None = None
    trying: Lock = field(default_factory=Lock)
    stopping: Event = field(default_factory=Event)
    slack_signing_secret: str | None = field(default=None, repr=False)
    mattermost_keys: Sequence[str] = field(default=(), repr=False)
    outgoing: Outgoing | None = None
    inbound: Mapping[str, Inbound] = field(default_factory=dict[str, Inbound])
    keys: Sequence[str] = field(default=(), repr=False)
    base_url: str = ""
    provider: IdentityProvider | None = None
    watch: Watch = field(default_factory=Watch)
    metrics: Callable[[], bytes] = bytes
    last_tick: Callable[[], datetime | None] | None = None


def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)
