"""Local days, wall-clock arithmetic and working time. Pure; every instant is UTC-aware.

A local time that does not exist (spring) means the first instant that does; one that exists twice
(autumn) means the first.
"""

from __future__ import annotations

import calendar as gregorian
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

# Beyond these nothing is computed: an "endless" contract ends on 9999-12-31, and that day never comes.
FIRST_DAY, LAST_DAY = date(1, 1, 3), date(9999, 12, 28)
BEGINNING = datetime(1, 1, 3, tzinfo=UTC)
NEVER = datetime(9999, 12, 28, tzinfo=UTC)

TICK = timedelta(microseconds=1)  # the clock's resolution: the first moment after t is t + TICK
ONE_DAY = timedelta(days=1)
SEARCH_LIMIT_DAYS = 3660  # ten years without a single working day: the office is closed for good

Hours: TypeAlias = tuple[tuple[time, time], ...]
"""The working hours of one weekday: (from, to), in order, not overlapping. Empty: closed."""

OFFICE_HOURS: tuple[Hours, ...] = (((time(9), time(17)),),) * 5 + ((),) * 2


class Unit(StrEnum):
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"
    BUSINESS_HOURS = "business hours"
    BUSINESS_DAYS = "business days"


SHORTER_THAN_A_DAY = frozenset({Unit.MINUTES, Unit.HOURS, Unit.BUSINESS_HOURS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A length of time as people say it: 90 days, 4 business hours."""

    count: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.count} {self.unit.removesuffix('s') if self.count == 1 else self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """An office: its zone, its working hours (Monday first) and the days it is closed."""

    name: str = "default"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    hours: tuple[Hours, ...] = OFFICE_HOURS
    closed: Container[date] = frozenset()

    def today(self, now: datetime) -> date:
        return self.local(now).date()

    def local(self, instant: datetime) -> datetime:
        try:
            return instant.astimezone(self.zone)
        except OverflowError:  # within hours of the calendar's ends
            return instant.replace(tzinfo=self.zone)

    def midnight(self, day: date) -> datetime:
        """The first instant of a local day."""
        return _midnight(day, self.zone)

    def instant(self, wall: datetime) -> datetime:
        """The instant at which the office's clocks first show a naive wall time."""
        return instant(wall, self.zone)

    def is_business_day(self, day: date) -> bool:
        return bool(self.hours[day.weekday()]) and day not in self.closed

    def shift_day(self, day: date, span: Span, *, sign: int = 1) -> date:
        """The day `span` after (sign 1) or before (sign -1) a day. Clamped to the calendar's ends."""
        if span.unit in SHORTER_THAN_A_DAY:
            raise ValueError(f"{span} cannot be counted from a day")
        if span.unit is Unit.BUSINESS_DAYS:
            return _within(self._business_day(day, span.count, sign))
        return _shift_day(day, span.unit, span.count * sign)

    def shift(self, moment: datetime, span: Span, *, sign: int = 1) -> datetime:
        """The instant `span` after or before an instant.

        Minutes and hours are elapsed time; days and longer are wall-clock arithmetic in the office's zone.
        """
        match span.unit:
            case Unit.MINUTES:
                return _clamped(moment, timedelta(minutes=span.count * sign))
            case Unit.HOURS:
                return _clamped(moment, timedelta(hours=span.count * sign))
            case Unit.BUSINESS_HOURS:
                work = timedelta(hours=span.count)
                return self._after_work(moment, work) if sign > 0 else self._before_work(moment, work)
            case Unit.BUSINESS_DAYS:
                return (
                    self._business_days_on(moment, span.count)
                    if sign > 0
                    else self._latest_business_days_before(moment, span.count)
                )
            case _:
                wall = self.local(moment).replace(tzinfo=None)
                day = _shift_day(wall.date(), span.unit, span.count * sign)
                return self.instant(datetime.combine(day, wall.time()))

    # --- business time ---

    def openings(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """The working periods of one day as instants."""
        if day in self.closed:
            return
        for begin, end in self.hours[day.weekday()]:
            yield self.instant(datetime.combine(day, begin)), self.instant(datetime.combine(day, end))

    def _periods(self, day: date, *, sign: int = 1) -> Iterator[tuple[datetime, datetime]]:
        """The working periods from a day on, or from a day back, as long as the office opens at all."""
        day, idle_days = _within(day), 0
        while FIRST_DAY <= day <= LAST_DAY and idle_days < SEARCH_LIMIT_DAYS:
            periods = list(self.openings(day))
            idle_days = 0 if periods else idle_days + 1
            yield from periods[::sign]
            day += ONE_DAY * sign

    def _next_business_day(self, day: date, sign: int) -> date:
        """The first business day after (sign 1) or before (sign -1) a day."""
        for offset in range(1, SEARCH_LIMIT_DAYS):
            candidate = _shift_day(day, Unit.DAYS, offset * sign)
            if self.is_business_day(candidate):
                return candidate
        return LAST_DAY if sign > 0 else FIRST_DAY

    def _business_day(self, day: date, count: int, sign: int) -> date:
        """The day `count` business days on, a closed day counting from the next business day.

        Backwards it is the latest day from which `count` business days lead to no later than `day`.
        """
        if not self.is_business_day(day):
            day = self._next_business_day(day, sign)
        for _ in range(count):
            day = self._next_business_day(day, sign)
        return day

    def next_opening(self, moment: datetime) -> datetime:
        """The moment itself within working time, else the next instant at which the office opens."""
        for begin, end in self._periods(self.today(moment)):
            if moment < end:
                return max(moment, begin)
        return NEVER

    def _business_days_on(self, moment: datetime, count: int) -> datetime:
        start = self.local(self.next_opening(moment))
        return self.instant(datetime.combine(self._business_day(start.date(), count, 1), start.time()))

    def _latest_business_days_before(self, moment: datetime, count: int) -> datetime:
        """The latest instant from which `count` business days lead to no later than `moment`.

        Within a working period that is its last instant, or the last at which clocks show no later than what they
        show at `moment`. Where they are set back, `moment` may be shown twice, and so may the start.
        """
        local = self.local(moment)
        shown = local.time()
        if local.fold:  # any time shown before the clocks went back is no later
            shown = self.local(_transition(self.instant(local.replace(tzinfo=None)), moment, self.zone) - TICK).time()
        for begin, end in self._periods(self._business_day(local.date(), count, -1), sign=-1):
            same = datetime.combine(self.today(begin), shown)
            first, again = self.instant(same), same.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
            for start in sorted({end - TICK, again, first, first - TICK}, reverse=True):
                if begin <= start < end and self._business_days_on(start, count) <= moment:
                    return start
        return BEGINNING

    def _after_work(self, moment: datetime, work: timedelta) -> datetime:
        """The moment when `work` of working time has passed since `moment`."""
        left = work
        for begin, end in self._periods(self.today(moment)) if work else ():
            start = max(begin, moment)
            if end - start >= left:
                return start + left
            left -= max(end - start, timedelta())
        return NEVER if work else moment

    def _before_work(self, moment: datetime, work: timedelta) -> datetime:
        """The latest moment from which `work` of working time is over no later than `moment`."""
        left = work
        for begin, end in self._periods(self.today(moment), sign=-1) if work else ():
            stop = min(end, moment)
            if stop - begin >= left:
                return stop - left
            left -= max(stop - begin, timedelta())
        return BEGINNING if work else moment


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A moment, in the office that reads it."""

    now: datetime
    calendar: Calendar
    today: date

    @classmethod
    def of(cls, now: datetime, calendar: Calendar) -> At:
        return cls(now=now, calendar=calendar, today=calendar.today(now))


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which a zone's clocks show a naive wall time, or the end of the gap that swallowed it."""
    if not FIRST_DAY <= wall.date() <= LAST_DAY:
        return BEGINNING if wall.date() < FIRST_DAY else NEVER
    before = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if before.astimezone(zone).replace(tzinfo=None) == wall:
        return before
    after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _transition(after, before, zone)


def _transition(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant in (low, high] with the offset that holds at `high`."""
    offset = high.astimezone(zone).utcoffset()
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=65_536)
def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return instant(datetime.combine(day, time()), zone)


def _clamped(moment: datetime, delta: timedelta) -> datetime:
    try:
        return min(max(moment + delta, BEGINNING), NEVER)
    except OverflowError:
        return NEVER if delta > timedelta() else BEGINNING


def _shift_day(day: date, unit: Unit, count: int) -> date:
    try:
        match unit:
            case Unit.DAYS:
                shifted = day + timedelta(days=count)
            case Unit.WEEKS:
                shifted = day + timedelta(weeks=count)
            case Unit.MONTHS:
                shifted = add_months(day, count)
            case _:
                shifted = add_months(day, count * 12)
    except (OverflowError, ValueError):
        return LAST_DAY if count > 0 else FIRST_DAY
    return _within(shifted)


def _within(day: date) -> date:
    return min(max(day, FIRST_DAY), LAST_DAY)


def add_months(day: date, count: int) -> date:
    """The same day of the month `count` months later, clamped to the month's end."""
    year, month0 = divmod(day.year * 12 + day.month - 1 + count, 12)
    last = gregorian.monthrange(year, month0 + 1)[1]
    return date(year, month0 + 1, min(day.day, last))
