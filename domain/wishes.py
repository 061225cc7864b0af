"""What a person wants to hear, when and how: working days, quiet hours, pauses, channels, a daily cap. Pure."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.calendar import NEVER, ONE_DAY, instant

EVERY_DAY = frozenset(range(7))
LOOK_AHEAD_DAYS = 400  # a person who is quiet for longer has left


ANYTHING, URGENT = "*", "!"  # among the tags of rules, which are words


class Way(StrEnum):
    """How a recommendation reaches a person: what a rule's `channel` and a person's wishes choose from."""

    EMAIL = "email"
    CHAT = "chat"
    INBOX = "inbox"  # seen when the person looks; nothing is sent
    DIGEST = "digest"


class Quiet(StrEnum):
    """Why somebody does not hear now."""

    PAUSED = "paused"
    NIGHT = "quiet hours"
    DAY_OFF = "a day off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person asked for. Times of day are those of the person's own clock.

    `language` and `timezone`: where they differ from what is known of the person. `quiet`: from when to when not to be
    disturbed; over midnight where it ends before it begins. `days`: the days of the week on which reminders come,
    Monday is 0. `paused_until`: nothing before then. `channels`: by a rule's tag, by `URGENT` for what is due today or
    overdue, and by `ANYTHING` for the rest. `digest_at`: when digests come; empty: at the company's time.
    `daily_cap`: so many messages a day, the most valuable first; the others stand in the digest. `muted`: ids of rules.
    `calendar`: whether mails bring an entry for the calendar.
    """

    language: str | None = None
    timezone: str | None = None
    quiet: tuple[time, time] | None = None
    days: frozenset[int] = EVERY_DAY
    paused_until: datetime | None = None
    channels: Mapping[str, Way] = field(default_factory=dict[str, Way])
    digest_at: tuple[time, ...] = ()
    daily_cap: int | None = None
    muted: frozenset[str] = frozenset()
    calendar: bool = False

    def way(self, tags: Collection[str], *, urgent: bool) -> Way | None:
        """How the person wants to hear of something with these tags; None: nothing was asked for."""
        keys = [*sorted(tags), *((URGENT,) if urgent else ()), ANYTHING]
        return next((self.channels[key] for key in keys if key in self.channels), None)

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

    def digests_after(
        self, moment: datetime, *, zone: ZoneInfo, default: time, days_off: Container[date] = ()
    ) -> Iterator[datetime]:
        """When the person's digests come after a moment, without end: at their times, or when they may be disturbed."""
        day = moment.astimezone(zone).date()
        last = moment
        while last < NEVER:  # where nothing is to come within a year, that is the last
            for at in sorted(self.digest_at or (default,)):
                due = self.hears_from(instant(datetime.combine(day, at), zone), zone=zone, days_off=days_off)
                if due > last:
                    last = due
                    yield due
            day += ONE_DAY

    def why_quiet(self, moment: datetime, *, zone: ZoneInfo, days_off: Container[date] = ()) -> Quiet | None:
        """Why the person is not to be disturbed at a moment; None: reminders may come."""
        if self.paused_until is not None and moment < self.paused_until:
            return Quiet.PAUSED
        if not self._works_on(moment.astimezone(zone).date(), days_off):
            return Quiet.DAY_OFF
        return Quiet.NIGHT if self._night_ends(moment, zone) else None

    def _works_on(self, day: date, days_off: Container[date]) -> bool:
        return day.weekday() in self.days and day not in days_off

    def _night_ends(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """When the night ends that a moment lies in; None: in none. An end that is shown twice is the first of them."""
        if self.quiet is None:
            return None
        local = moment.astimezone(zone)
        begin, end = self.quiet
        shown, over_midnight = local.time(), begin > end
        if not (shown >= begin or shown < end if over_midnight else begin <= shown < end):
            return None
        day = local.date() + ONE_DAY if over_midnight and shown >= begin else local.date()
        ends = instant(datetime.combine(day, end), zone)
        return ends if moment < ends else None

    def _after_quiet(self, moment: datetime, *, zone: ZoneInfo, days_off: Container[date]) -> datetime:
        """The moment itself, or the end of what keeps it quiet: the end of the night, or of the day."""
        match self.why_quiet(moment, zone=zone, days_off=days_off):
            case Quiet.NIGHT:
                return self._night_ends(moment, zone) or moment
            case Quiet.DAY_OFF:
                return instant(datetime.combine(moment.astimezone(zone).date() + ONE_DAY, time()), zone)
            case _:
                return moment
