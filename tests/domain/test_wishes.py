"""When a person hears: never at night, never on a day off, and at the right instant when clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from domain.calendar import NEVER
from domain.wishes import Quiet, Wishes

OVER_MIDNIGHT = (time(20), time(7, 30))
WEEKDAYS = frozenset(range(5))


def hears(wishes: Wishes, moment: str, zone: str, *days_off: str) -> str:
    """The first local moment at which the person may be disturbed."""
    found = wishes.hears_from(
        datetime.fromisoformat(moment), zone=ZoneInfo(zone), days_off=[date.fromisoformat(d) for d in days_off]
    )
    return found.astimezone(ZoneInfo(zone)).isoformat()


@pytest.mark.parametrize(
    ("zone", "moment", "heard"),
    [
        ("Europe/Zurich", "2026-11-24T12:00+01:00", "2026-11-24T12:00:00+01:00"),
        ("Europe/Zurich", "2026-11-24T20:00+01:00", "2026-11-25T07:30:00+01:00"),
        ("Europe/Zurich", "2026-11-24T19:59:59+01:00", "2026-11-24T19:59:59+01:00"),
        ("Europe/Zurich", "2026-11-25T00:30+01:00", "2026-11-25T07:30:00+01:00"),
        ("Europe/Zurich", "2026-11-25T07:30+01:00", "2026-11-25T07:30:00+01:00"),
        # the nights on which clocks change: an hour more, an hour less
        ("Europe/Zurich", "2026-10-25T00:30+02:00", "2026-10-25T07:30:00+01:00"),
        ("Europe/Zurich", "2027-03-28T00:30+01:00", "2027-03-28T07:30:00+02:00"),
        ("America/New_York", "2026-11-01T01:30-05:00", "2026-11-01T07:30:00-05:00"),
        ("Australia/Lord_Howe", "2026-10-04T01:30+10:30", "2026-10-04T07:30:00+11:00"),
        # somebody who moved: the same moment, another clock
        ("Asia/Tokyo", "2026-11-24T12:00+01:00", "2026-11-25T07:30:00+09:00"),
    ],
)
def test_nobody_is_woken(zone: str, moment: str, heard: str) -> None:
    assert hears(Wishes(quiet=OVER_MIDNIGHT), moment, zone) == heard


@pytest.mark.parametrize(
    ("moment", "heard"),
    [
        ("2027-03-28T01:59+01:00", "2027-03-28T03:00:00+02:00"),  # 02:30 is skipped: the first instant after it
        ("2026-10-25T01:30+02:00", "2026-10-25T02:30:00+02:00"),  # 02:30 is shown twice: the first time
        ("2026-10-25T02:15+01:00", "2026-10-25T02:15:00+01:00"),  # and a quarter past two the second time is after it
    ],
)
def test_a_night_that_ends_while_clocks_change_ends_once(moment: str, heard: str) -> None:
    assert hears(Wishes(quiet=(time(1), time(2, 30))), moment, "Europe/Zurich") == heard


@pytest.mark.parametrize(
    ("moment", "heard"),
    [
        ("2026-11-27T18:00+01:00", "2026-11-27T18:00:00+01:00"),  # a Friday
        ("2026-11-28T09:00+01:00", "2026-11-30T00:00:00+01:00"),  # a Saturday
        ("2026-12-24T09:00+01:00", "2026-12-28T00:00:00+01:00"),  # Christmas, and the weekend after it
    ],
)
def test_days_off_wait_for_the_next_working_day(moment: str, heard: str) -> None:
    assert hears(Wishes(days=WEEKDAYS), moment, "Europe/Zurich", "2026-12-24", "2026-12-25") == heard


def test_after_a_day_off_the_night_still_counts() -> None:
    wishes = Wishes(days=WEEKDAYS, quiet=OVER_MIDNIGHT)
    assert hears(wishes, "2026-11-27T21:00+01:00", "Europe/Zurich") == "2026-11-30T07:30:00+01:00"


def test_a_pause_ends_when_it_was_said_to_end() -> None:
    wishes = Wishes(paused_until=datetime(2026, 12, 1, 9, tzinfo=UTC))
    assert hears(wishes, "2026-11-24T12:00+01:00", "Europe/Zurich") == "2026-12-01T10:00:00+01:00"
    before, after = datetime(2026, 12, 1, 8, 59, tzinfo=UTC), datetime(2026, 12, 1, 9, tzinfo=UTC)
    zone = ZoneInfo("Europe/Zurich")
    assert (wishes.why_quiet(before, zone=zone), wishes.why_quiet(after, zone=zone)) == (Quiet.PAUSED, None)


def test_who_works_on_no_day_is_never_disturbed() -> None:
    found = Wishes(days=frozenset()).hears_from(datetime(2026, 11, 24, tzinfo=UTC), zone=ZoneInfo("UTC"))
    assert found == NEVER
