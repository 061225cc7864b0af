"""What the pages need from the rest of the house, handed in by the wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, cast
from zoneinfo import ZoneInfo

from domain.recommendation import Recommendation
from notifiers.links import Links
from store.session import Database

if TYPE_CHECKING:
    from fastapi import Request  # the wiring needs this module where no page is served


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
class Services:
    """`clock` is the one place where time enters.

    `language` and `zone` are the company's, for people without their own.
    """

    clock: Callable[[], datetime]
    db: Database
    links: Links
    explain: Explain
    language: str
    zone: ZoneInfo


def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)
