"""When a person wants to hear: working days, quiet hours, pauses. Pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.calendar import NEVER, ONE_DAY, instant

EVERY_DAY = frozenset(range(7))
LOOK_AHEAD_DAYS = 400  # a person who is quiet for longer has left


class Quiet(StrEnum):
    """Why somebody does not hear now."""

    PAUSED = "paused"
    NIGHT = "quiet hours"
    DAY_OFF = "a day off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person asked for. Times of day are those of the person's own clock.

    `quiet`: from when to when not to be disturbed; over midnight where it ends before it begins. `days`: the days of
    the week on which reminders come, Monday is 0. `paused_until`: nothing before then.
    """

    quiet: tuple[time, time] | None = None
    days: frozenset[int] = EVERY_DAY
    paused_until: datetime | None = None

    def hears_from(self, moment: datetime, *, zone: ZoneInfo, days_off: Container[date] = ()) -> datetime:
        """The first moment, from this one on, at which the person may be disturbed. `NEVER`: not within a year."""
        moment = max(moment, self.paused_until) if self.paused_until else moment
        end = moment + timedelta(days=LOOK_AHEAD_DAYS)
        while moment < end:
            later = self._after_quiet(moment, zone=zone, days_off=days_off)
            if later == moment:
                return moment
            moment = later
        return NEVER

    def why_quiet(self, moment: datetime, *, zone: ZoneInfo, days_off: Container[date] = ()) -> Quiet | None:
        """Why the person is not to be disturbed at a moment; None: reminders may come."""
        if self.paused_until is not None and moment < self.paused_until:
            return Quiet.PAUSED
        local = moment.astimezone(zone)
        if not self._works_on(local.date(), days_off):
            return Quiet.DAY_OFF
        return Quiet.NIGHT if self._night(local.time()) else None

    def _works_on(self, day: date, days_off: Container[date]) -> bool:
        return day.weekday() in self.days and day not in days_off

    def _night(self, shown: time) -> bool:
        if self.quiet is None:
            return False
        begin, end = self.quiet
        return begin <= shown < end if begin <= end else shown >= begin or shown < end

    def _after_quiet(self, moment: datetime, *, zone: ZoneInfo, days_off: Container[date]) -> datetime:
        """The moment itself, or the end of what keeps it quiet: the end of the night, or of the day."""
        match self.why_quiet(moment, zone=zone, days_off=days_off):
            case Quiet.NIGHT if self.quiet is not None:
                local = moment.astimezone(zone)
                end = self.quiet[1]
                day = local.date() if local.time() < end else local.date() + ONE_DAY
                # Where clocks go back the end of the night may be shown twice: the first time it is over.
                return max(instant(datetime.combine(day, end), zone), moment + timedelta(microseconds=1))
            case Quiet.DAY_OFF:
                return instant(datetime.combine(moment.astimezone(zone).date() + ONE_DAY, time()), zone)
            case _:
                return moment
