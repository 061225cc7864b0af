"""The settings form: what its fields show, and which wishes stand in them or what is wrong with each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import time
from difflib import get_close_matches
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from domain.wishes import ANYTHING, URGENT, Way, Wishes
from web.forms import Fields, first
from web.services import LiveRule
from web.words import LOCALES

DIGESTS = 3  # times of day that the form has room for
CAP_LIMIT = 200  # nobody reads more in a day
TIME = re.compile("([0-9]{1,2})(?:[:.hH]([0-9]{2}))?")
SPECIAL_ZONES = ("posix/", "right/", "localtime", "Factory")  # no places


class Wrong(Exception):
    """A field cannot be understood. `key`: of the words that say what to write instead; `values` go into them."""

    def __init__(self, key: str, **values: str | int) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What can be chosen. `saved`: what the person wishes so far."""

    saved: Wishes
    rules: Sequence[LiveRule]
    chat: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """What a way of its own can be chosen for: everything, what is due today, each tag."""
        return ANYTHING, URGENT, *sorted({tag for rule in self.rules for tag in rule.tags})

    @property
    def ways(self) -> tuple[Way, ...]:
        return tuple(way for way in Way if way is not Way.CHAT or self.chat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """The form's fields as they are shown: what is saved, or what was typed, right or wrong."""

    language: str
    timezone: str
    quiet_from: str
    quiet_to: str
    days: tuple[str, ...]
    digest_at: tuple[str, ...]
    daily_cap: str
    channels: Mapping[str, str]
    muted: tuple[str, ...]
    calendar: bool

    @classmethod
    def saved(cls, wishes: Wishes) -> Typed:
        begin, end = wishes.quiet or (None, None)
        return cls(
            language=wishes.language or "",
            timezone=wishes.timezone or "",
            quiet_from=shown(begin),
            quiet_to=shown(end),
            days=tuple(str(day) for day in sorted(wishes.days)),
            digest_at=_with_room([shown(at) for at in sorted(wishes.digest_at)]),
            daily_cap="" if wishes.daily_cap is None else str(wishes.daily_cap),
            channels=wishes.channels,
            muted=tuple(wishes.muted),
            calendar=wishes.calendar,
        )

    @classmethod
    def given(cls, fields: Fields, offered: Offered) -> Typed:
        return cls(
            language=first(fields, "language"),
            timezone=first(fields, "timezone"),
            quiet_from=first(fields, "quiet_from"),
            quiet_to=first(fields, "quiet_to"),
            days=fields.get("days", ()),
            digest_at=_with_room(fields.get("digest_at", ())),
            daily_cap=first(fields, "daily_cap"),
            channels={key: first(fields, f"way {key}") for key in offered.keys},
            muted=fields.get("muted", ()),
            calendar="calendar" in fields,
        )


def understand(typed: Typed, offered: Offered) -> tuple[Wishes, Mapping[str, Wrong]]:
    """The wishes that stand in the form, and what is wrong, by field; what is wrong stays as it was."""
    understood: dict[str, Any] = {}
    wrong: dict[str, Wrong] = {}
    for name, read in READ.items():
        try:
            understood[name] = read(typed, offered)
        except Wrong as mistake:
            wrong[name] = mistake
    return replace(offered.saved, **understood), wrong


def shown(at: time | None) -> str:
    return at.isoformat("minutes") if at else ""


@cache
def zones() -> Mapping[str, str]:
    """The names of all time zones that are places, by their lower case."""
    return {name.casefold(): name for name in sorted(available_timezones()) if not name.startswith(SPECIAL_ZONES)}


# --- one function a field ---


def _language(typed: Typed, _: Offered) -> str | None:
    if typed.language not in ("", *LOCALES):
        raise Wrong("me.wrong.choice")
    return typed.language or None


def _timezone(typed: Typed, _: Offered) -> str | None:
    if not typed.timezone:
        return None
    asked = typed.timezone.replace(" ", "_").casefold()
    if asked in zones():
        return zones()[asked]
    by_city = {name.rpartition("/")[2]: name for name in zones()}
    near = [by_city[city] for city in get_close_matches(asked.rpartition("/")[2], by_city, n=1)]
    raise Wrong("me.wrong.timezone", typed=typed.timezone, meant=zones()[near[0]] if near else "Europe/Zurich")


def _quiet(typed: Typed, _: Offered) -> tuple[time, time] | None:
    begin, end = _time(typed.quiet_from), _time(typed.quiet_to)
    if begin is None and end is None:
        return None
    if begin is None or end is None:
        raise Wrong("me.wrong.quiet.half")
    if begin == end:
        raise Wrong("me.wrong.quiet.same")
    return begin, end


def _days(typed: Typed, _: Offered) -> frozenset[int]:
    if not typed.days:
        raise Wrong("me.wrong.days")
    if not set(typed.days) <= set("0123456"):
        raise Wrong("me.wrong.choice")
    return frozenset(int(day) for day in typed.days)


def _digest_at(typed: Typed, _: Offered) -> tuple[time, ...]:
    return tuple(sorted({at for text in typed.digest_at if (at := _time(text))}))


def _daily_cap(typed: Typed, _: Offered) -> int | None:
    if not typed.daily_cap:
        return None
    if not re.fullmatch("[0-9]{1,4}", typed.daily_cap) or not 1 <= int(typed.daily_cap) <= CAP_LIMIT:
        raise Wrong("me.wrong.cap", limit=CAP_LIMIT)
    return int(typed.daily_cap)


def _channels(typed: Typed, offered: Offered) -> Mapping[str, Way]:
    """A tag that no rule has just now keeps its way."""
    if not set(typed.channels.values()) <= {"", *offered.ways}:
        raise Wrong("me.wrong.choice")
    kept = {key: way for key, way in offered.saved.channels.items() if key not in offered.keys}
    return kept | {key: Way(way) for key, way in typed.channels.items() if way}


def _muted(typed: Typed, offered: Offered) -> frozenset[str]:
    """A rule that is not live just now stays muted."""
    live = {rule.id for rule in offered.rules}
    return (offered.saved.muted - live) | (live & set(typed.muted))


def _calendar(typed: Typed, _: Offered) -> bool:
    return typed.calendar


READ: Mapping[str, Callable[[Typed, Offered], object]] = {
    "language": _language,
    "timezone": _timezone,
    "days": _days,
    "quiet": _quiet,
    "daily_cap": _daily_cap,
    "digest_at": _digest_at,
    "channels": _channels,
    "muted": _muted,
    "calendar": _calendar,
}
"""In the order in which the page shows them."""


def _time(text: str) -> time | None:
    """ "07:30", "7.30", "18h00" or "18"; None where nothing was typed."""
    if not text:
        return None
    found = TIME.fullmatch(text)
    hour, minute = (int(part or 0) for part in found.groups()) if found else (24, 0)
    if hour > 23 or minute > 59:
        raise Wrong("me.wrong.time", typed=text)
    return time(hour, minute)


def _with_room(times: Sequence[str]) -> tuple[str, ...]:
    return (*times, *[""] * (DIGESTS - len(times)))
