"""What somebody's wishes mean, in their words: "You hear Mon–Fri 07:30–18:00, at most 8 a day, the rest at 08:00." """

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time
from typing import Literal

from babel.dates import get_day_names

from domain.wishes import ANYTHING, EVERY_DAY, URGENT, Wishes
from web.words import LOCALES, Reader

WORTH_A_DASH = 3  # "Sat, Sun", but "Mon–Wed"


def meaning(wishes: Wishes, reader: Reader, *, now: datetime) -> Iterator[str]:
    """One sentence for each thing that was asked for; the first says when reminders come."""
    if wishes.paused_until is not None and wishes.paused_until > now:
        yield reader.say("me.means.paused", until=reader.day(wishes.paused_until, now=now))
    yield reader.say("me.means.hear", when=", ".join(_when(wishes, reader)))
    if wishes.channels:
        keys = sorted(wishes.channels, key=lambda key: (key != ANYTHING, key != URGENT, key))
        yield "; ".join(f"{what(key, reader)}: {reader.say(f'me.way.{wishes.channels[key]}')}" for key in keys) + "."
    if wishes.muted:
        yield reader.say("me.means.muted", count=len(wishes.muted))
    if wishes.calendar:
        yield reader.say("me.means.calendar")


def what(key: str, reader: Reader) -> str:
    """What a way was chosen for: a tag, or everything, or what is due today."""
    return reader.say(f"me.for.{key}") if key in (ANYTHING, URGENT) else reader.say("me.for", tag=key)


def day_names(reader: Reader, *, width: Literal["wide", "abbreviated"] = "wide") -> Sequence[str]:
    """Monday first."""
    names = get_day_names(width, context="stand-alone", locale=LOCALES[reader.language])
    return [names[day] for day in range(7)]


def _when(wishes: Wishes, reader: Reader) -> Iterator[str]:
    yield f"{_days(wishes.days, reader)} {_hours(wishes.quiet, reader)}"
    times = ", ".join(f"{at:%H:%M}" for at in sorted(wishes.digest_at))
    if wishes.daily_cap is not None:
        yield reader.say("me.means.cap", count=wishes.daily_cap)
        yield reader.say("me.means.rest", times=times) if times else reader.say("me.means.rest.some")
    elif times:
        yield reader.say("me.means.digest", times=times)


def _days(days: frozenset[int], reader: Reader) -> str:
    if days == EVERY_DAY:
        return reader.say("me.means.every-day")
    names = day_names(reader, width="abbreviated")
    return ", ".join(
        f"{names[run[0]]}–{names[run[-1]]}" if len(run) >= WORTH_A_DASH else ", ".join(names[day] for day in run)
        for run in _runs(sorted(days))
    )


def _runs(days: Iterable[int]) -> Iterator[Sequence[int]]:
    run: list[int] = []
    for day in days:
        if run and day != run[-1] + 1:
            yield run
            run = []
        run.append(day)
    yield run


def _hours(quiet: tuple[time, time] | None, reader: Reader) -> str:
    if quiet is None:
        return reader.say("me.means.any-hour")
    begin, end = quiet
    if begin > end:  # over midnight, so that the rest is one span
        return f"{end:%H:%M}–{begin:%H:%M}"
    return reader.say("me.means.except", begin=f"{begin:%H:%M}", end=f"{end:%H:%M}")
