"""The table 'Time, exactly', at both ends of every interval, to the microsecond."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.calendar import NEVER, TICK, At, Calendar, Span, Unit
from domain.person import People, Person
from domain.record import Dossier, Record, Timeline
from rules.loader import load
from rules.model import Date, DateTime
from rules.operators import Test
from rules.phrases import Grammar
from rules.problems import Place, Problems
from rules.source import Scalar, read_text
from rules.vocabulary import Vocabulary
from tests.rules import oracle

HERE = Place(file="rules.yaml", line=1, column=1, length=1, text="")
LONG_BEFORE, LONG_AFTER = datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
CALENDARS = """
calendar: zurich
timezone: Europe/Zurich
hours: {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}
holidays: {country: CH, region: ZH}
closed: [2026-12-24, 2026-10-26]
---
calendar: newyork
timezone: America/New_York
hours: {mon-fri: 09:00-17:00}
holidays: {country: US}
---
calendar: nightshift
timezone: America/New_York
hours: {mon-sun: 00:00-06:00 22:00-23:30}
---
calendar: sydney
timezone: Australia/Sydney
hours: {mon-fri: 09:00-17:00}
---
calendar: howe
timezone: Australia/Lord_Howe
hours: {mon-sun: 01:00-03:00 10:00-19:30}
---
calendar: saturdays
timezone: Europe/Zurich
hours: {sat: 10:00-14:00}
holidays: {country: CH, region: ZH}
"""
YEARS = range(2015, 2046)
IN_ZURICH = frozenset(day for year in YEARS for day in oracle.zurich_holidays(year))
IN_AMERICA = frozenset(day for year in YEARS for day in oracle.american_holidays(year))
WEEKDAYS = (((540, 1020),),) * 5 + ((),) * 2
OFFICES: Mapping[str, oracle.Office] = {  # the same, for the oracle
    "zurich": oracle.Office(
        ZoneInfo("Europe/Zurich"),
        (((480, 720), (780, 1050)),) * 4 + (((480, 960),), (), ()),
        IN_ZURICH | {date(2026, 12, 24).toordinal(), date(2026, 10, 26).toordinal()},
    ),
    "newyork": oracle.Office(ZoneInfo("America/New_York"), WEEKDAYS, IN_AMERICA),
    "nightshift": oracle.Office(ZoneInfo("America/New_York"), (((0, 360), (1320, 1410)),) * 7),
    "sydney": oracle.Office(ZoneInfo("Australia/Sydney"), WEEKDAYS),
    "howe": oracle.Office(ZoneInfo("Australia/Lord_Howe"), (((60, 180), (600, 1170)),) * 7),
    "saturdays": oracle.Office(ZoneInfo("Europe/Zurich"), ((),) * 5 + (((600, 840),), ()), IN_ZURICH),
}


@cache
def offices() -> Mapping[str, Calendar]:
    problems = Problems()
    vocabulary = Vocabulary(problems)
    for document in read_text(CALENDARS, file="calendars.yaml", problems=problems):
        vocabulary.read_calendar(document)
    assert problems == []
    return vocabulary.calendars


@cache
def calendar(name: str) -> Calendar:
    """One of the offices, or a zone with the usual office hours."""
    return offices().get(name) or Calendar(zone=ZoneInfo(name))


def reading(words: str, value: str, where: str) -> Callable[[datetime], bool]:
    """Whether a test holds for a value, at any moment."""
    type_ = Date() if len(value) == 10 else DateTime()
    zone = calendar(where).zone
    test: Test = Grammar(name="when", type=type_, zone=zone).read(Scalar(text=words, quoted=False, at=HERE))
    typed = type_.read(value, zone)

    def holds(now: datetime) -> bool:
        at = At.of(now.astimezone(UTC), calendar(where))
        truth = test.holds(typed, at)
        assert not test.temporal or any(interval.covers(at.now) for interval in test.during(typed, at)) == truth
        return truth

    return holds


def check(words: str, value: str, where: str, begin: str | None, end: str | None) -> None:
    """True from `begin` on and until just before `end`; None: as far as one looks."""
    holds = reading(words, value, where)
    first = datetime.fromisoformat(begin) if begin else LONG_BEFORE
    after = datetime.fromisoformat(end) if end else LONG_AFTER
    assert holds(first)
    assert holds(first + (after - first) / 2)
    assert holds(after - TICK)
    if begin:
        assert not holds(first - TICK)
    if end:
        assert not holds(after)


V = "2027-01-07"
T = "2027-01-07T14:30:00+01:00"


@pytest.mark.parametrize(
    ("words", "value", "begin", "end"),
    [
        # a date: by local days
        ("in the next 90 days", V, "2026-10-09T00:00+02:00", "2027-01-08T00:00+01:00"),
        ("in the next 0 days", V, "2027-01-07T00:00+01:00", "2027-01-08T00:00+01:00"),
        ("in the next 1 week", V, "2026-12-31T00:00+01:00", "2027-01-08T00:00+01:00"),
        ("in the last 14 days", V, "2027-01-07T00:00+01:00", "2027-01-22T00:00+01:00"),
        ("more than 14 days ago", V, "2027-01-22T00:00+01:00", None),
        ("more than 14 days away", V, None, "2026-12-24T00:00+01:00"),
        ("passed", V, "2027-01-08T00:00+01:00", None),
        ("today", V, "2027-01-07T00:00+01:00", "2027-01-08T00:00+01:00"),
        ("before 2027-01-08", V, None, None),
        ("after 2027-01-06", V, None, None),
        # a date with time: by instants, wall-clock arithmetic
        ("in the next 90 days", T, "2026-10-09T14:30+02:00", "2027-01-07T14:30:00.000001+01:00"),
        ("in the next 36 hours", T, "2027-01-06T02:30+01:00", "2027-01-07T14:30:00.000001+01:00"),
        ("in the next 90 minutes", T, "2027-01-07T13:00+01:00", "2027-01-07T14:30:00.000001+01:00"),
        ("in the last 14 days", T, "2027-01-07T14:30+01:00", "2027-01-21T14:30:00.000001+01:00"),
        ("more than 14 days ago", T, "2027-01-21T14:30:00.000001+01:00", None),
        ("more than 14 days away", T, None, "2026-12-24T14:30+01:00"),
        ("passed", T, "2027-01-07T14:30:00.000001+01:00", None),
        ("today", T, "2027-01-07T00:00+01:00", "2027-01-08T00:00+01:00"),
        ("before 2027-01-08", T, None, None),
        ("after 2027-01-06", T, None, None),
        # months and years clamp to the end of the month
        ("in the last 1 month", "2027-01-31", "2027-01-31T00:00+01:00", "2027-03-01T00:00+01:00"),
        ("in the last 1 month", "2028-01-31", "2028-01-31T00:00+01:00", "2028-03-01T00:00+01:00"),
        ("in the next 1 month", "2027-03-31", "2027-02-28T00:00+01:00", "2027-04-01T00:00+02:00"),
        ("in the next 6 months", "2027-08-31", "2027-02-28T00:00+01:00", "2027-09-01T00:00+02:00"),
        ("more than 1 year ago", "2024-02-29", "2025-03-01T00:00+01:00", None),
        ("more than 4 years ago", "2024-02-29", "2028-03-01T00:00+01:00", None),
        ("in the last 1 month", "2027-01-31T09:00+01:00", "2027-01-31T09:00+01:00", "2027-02-28T09:00:00.000001+01:00"),
        ("in the last 1 month", "2027-04-30", "2027-04-30T00:00+02:00", "2027-05-31T00:00+02:00"),
        ("in the next 1 month", "2028-03-31T09:00+02:00", "2028-02-29T09:00+01:00", "2028-03-31T09:00:00.000001+02:00"),
        # 29 February: a year on, a month back, and what lies a year before it
        ("more than 1 year ago", "2024-02-29T09:00+01:00", "2025-02-28T09:00:00.000001+01:00", None),
        ("more than 1 year away", "2028-02-29", None, "2027-02-28T00:00+01:00"),
        ("in the last 1 year", "2027-02-28", "2027-02-28T00:00+01:00", "2028-02-29T00:00+01:00"),
        ("in the last 1 month", "2028-02-29", "2028-02-29T00:00+01:00", "2028-03-30T00:00+02:00"),
        ("in the next 1 month", "2028-03-29", "2028-02-29T00:00+01:00", "2028-03-30T00:00+02:00"),
        ("in the next 1 month", "2027-03-29", "2027-02-28T00:00+01:00", "2027-03-30T00:00+02:00"),
        # the two nights on which clocks change
        ("today", "2026-10-25", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("today", "2027-03-28", "2027-03-28T00:00+01:00", "2027-03-29T00:00+02:00"),
        ("more than 1 day ago", "2026-10-24T02:30+02:00", "2026-10-25T02:30:00.000001+02:00", None),
        ("more than 1 day ago", "2027-03-27T02:30+01:00", "2027-03-28T03:00:00.000001+02:00", None),
        ("more than 1 day away", "2026-10-26T02:30+01:00", None, "2026-10-25T02:30+02:00"),
        ("more than 1 day away", "2027-03-29T02:30+02:00", None, "2027-03-28T03:00+02:00"),
        ("more than 24 hours ago", "2026-10-24T14:30+02:00", "2026-10-25T13:30:00.000001+01:00", None),
        ("more than 24 hours ago", "2027-03-27T14:30+01:00", "2027-03-28T15:30:00.000001+02:00", None),
        ("passed", "2026-10-25T02:30+01:00", "2026-10-25T02:30:00.000001+01:00", None),
    ],
)
def test_a_test_is_true_exactly_while_the_table_says_so(
    words: str, value: str, begin: str | None, end: str | None
) -> None:
    check(words, value, "Europe/Zurich", begin, end)


@pytest.mark.parametrize(
    ("words", "value", "where", "begin", "end"),
    [
        ("today", "2026-11-01", "America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
        ("today", "2027-03-14", "America/New_York", "2027-03-14T00:00-05:00", "2027-03-15T00:00-04:00"),
        ("more than 1 day ago", "2026-10-31T01:30-04:00", "America/New_York", "2026-11-01T01:30:00.000001-04:00", None),
        ("more than 1 day ago", "2027-03-13T02:15-05:00", "America/New_York", "2027-03-14T03:00:00.000001-04:00", None),
        ("today", "2026-10-04", "Australia/Sydney", "2026-10-04T00:00+10:00", "2026-10-05T00:00+11:00"),
        ("today", "2027-04-04", "Australia/Sydney", "2027-04-04T00:00+11:00", "2027-04-05T00:00+10:00"),
        ("more than 1 day ago", "2027-04-03T02:30+11:00", "Australia/Sydney", "2027-04-04T02:30:00.000001+11:00", None),
        ("more than 1 day ago", "2026-10-03T02:30+10:00", "Australia/Sydney", "2026-10-04T03:00:00.000001+11:00", None),
        ("more than 1 day away", "2026-11-02T01:30-05:00", "America/New_York", None, "2026-11-01T01:30-04:00"),
        ("more than 1 day away", "2027-03-15T02:30-04:00", "America/New_York", None, "2027-03-14T03:00-04:00"),
        ("more than 1 day away", "2026-10-05T02:30+11:00", "Australia/Sydney", None, "2026-10-04T03:00+11:00"),
        ("more than 1 day away", "2027-04-05T02:30+10:00", "Australia/Sydney", None, "2027-04-04T02:30+11:00"),
        # the nights on which clocks change in Zurich are nights like others elsewhere
        ("today", "2026-10-25", "America/New_York", "2026-10-25T00:00-04:00", "2026-10-26T00:00-04:00"),
        ("today", "2027-03-28", "America/New_York", "2027-03-28T00:00-04:00", "2027-03-29T00:00-04:00"),
        ("more than 1 day ago", "2026-10-24T02:30-04:00", "America/New_York", "2026-10-25T02:30:00.000001-04:00", None),
        ("more than 1 day ago", "2027-03-27T02:30-04:00", "America/New_York", "2027-03-28T02:30:00.000001-04:00", None),
        ("today", "2026-10-25", "Australia/Sydney", "2026-10-25T00:00+11:00", "2026-10-26T00:00+11:00"),
        ("today", "2027-03-28", "Australia/Sydney", "2027-03-28T00:00+11:00", "2027-03-29T00:00+11:00"),
        ("more than 1 day ago", "2026-10-24T02:30+11:00", "Australia/Sydney", "2026-10-25T02:30:00.000001+11:00", None),
        ("more than 1 day ago", "2027-03-27T02:30+11:00", "Australia/Sydney", "2027-03-28T02:30:00.000001+11:00", None),
        # half an hour beside the others
        ("in the next 90 days", "2027-01-07", "Asia/Kolkata", "2026-10-09T00:00+05:30", "2027-01-08T00:00+05:30"),
        ("passed", "2027-01-07", "Asia/Kolkata", "2027-01-07T18:30+00:00", None),
        ("today", "2027-01-06T18:30+00:00", "Asia/Kolkata", "2027-01-06T18:30+00:00", "2027-01-07T18:30+00:00"),
        ("in the last 1 month", "2027-01-31T23:45+05:30", "Asia/Kolkata", "2027-01-31T18:15+00:00",
         "2027-02-28T18:15:00.000001+00:00"),
        # midnight itself is skipped, and the day begins an hour later
        ("today", "2026-09-06", "America/Santiago", "2026-09-06T01:00-03:00", "2026-09-07T00:00-03:00"),
        # half an hour is skipped, and set back
        ("today", "2026-10-04", "Australia/Lord_Howe", "2026-10-04T00:00+10:30", "2026-10-05T00:00+11:00"),
        ("today", "2027-04-04", "Australia/Lord_Howe", "2027-04-04T00:00+11:00", "2027-04-05T00:00+10:30"),
        ("more than 1 day ago", "2026-10-03T02:15+10:30", "Australia/Lord_Howe",
         "2026-10-04T02:30:00.000001+11:00", None),
        ("more than 1 day ago", "2027-04-03T01:45+11:00", "Australia/Lord_Howe",
         "2027-04-04T01:45:00.000001+11:00", None),
    ],
)  # fmt: skip
def test_every_office_reads_its_own_clock(
    words: str, value: str, where: str, begin: str | None, end: str | None
) -> None:
    check(words, value, where, begin, end)


@pytest.mark.parametrize(
    ("words", "value", "begin", "end"),
    [
        ("anniversary in the next 5 days", "2020-05-10", "2026-05-05T00:00+02:00", "2026-05-11T00:00+02:00"),
        ("anniversary in the next 5 days", "2020-01-03", "2026-12-29T00:00+01:00", "2027-01-04T00:00+01:00"),
        ("anniversary in the next 3 days", "2024-02-29", "2027-02-25T00:00+01:00", "2027-03-01T00:00+01:00"),
        ("anniversary in the next 3 days", "2024-02-29", "2028-02-26T00:00+01:00", "2028-03-01T00:00+01:00"),
        ("anniversary in the next 3 days", "2024-02-29T10:00+01:00", "2027-02-25T10:00+01:00",
         "2027-02-28T10:00:00.000001+01:00"),
        ("anniversary in the next 3 days", "2024-02-29T10:00+01:00", "2028-02-26T10:00+01:00",
         "2028-02-29T10:00:00.000001+01:00"),
        ("anniversary in the next 1 month", "2020-03-31", "2027-02-28T00:00+01:00", "2027-04-01T00:00+02:00"),
        ("anniversary in the next 2 days", "2020-10-25T02:30+01:00", "2026-10-23T02:30+02:00",
         "2026-10-25T02:30:00.000001+02:00"),
        ("anniversary in the next 6 hours", "2020-05-10T14:30+02:00", "2027-05-10T08:30+02:00",
         "2027-05-10T14:30:00.000001+02:00"),
    ],
)  # fmt: skip
def test_an_anniversary_comes_back_every_year(words: str, value: str, begin: str, end: str) -> None:
    check(words, value, "Europe/Zurich", begin, end)


def test_a_day_is_not_its_own_anniversary() -> None:
    holds = reading("anniversary in the next 5 days", "2026-05-10", "Europe/Zurich")

    assert not holds(datetime(2026, 5, 8, 12, tzinfo=UTC))
    assert not holds(datetime(2025, 5, 8, 12, tzinfo=UTC))
    assert holds(datetime(2027, 5, 8, 12, tzinfo=UTC))


@pytest.mark.parametrize("words", ["before 2027-01-07", "after 2027-01-07"])
def test_a_day_is_neither_before_nor_after_itself_whatever_the_hour(words: str) -> None:
    for value in ("2027-01-07", "2027-01-06T23:00:00+00:00", "2027-01-07T22:59:59.999999+00:00"):
        assert not reading(words, value, "Europe/Zurich")(LONG_AFTER)


@pytest.mark.parametrize(
    ("words", "value", "begin", "end"),
    [
        # lunch from 12 to 13; Friday until 16; closed on Monday 26 October, Thursday 24 December and over Christmas
        ("more than 2 business hours ago", "2026-11-23T11:00+01:00", "2026-11-23T14:00:00.000001+01:00", None),
        ("more than 1 business hour ago", "2026-11-23T11:00+01:00", "2026-11-23T12:00:00.000001+01:00", None),
        ("more than 4 business hours ago", "2026-12-18T15:00+01:00", "2026-12-21T11:00:00.000001+01:00", None),
        ("more than 1 business hour ago", "2026-11-21T03:00+01:00", "2026-11-23T09:00:00.000001+01:00", None),
        ("more than 4 business hours ago", "2026-10-23T15:00+02:00", "2026-10-27T11:00:00.000001+01:00", None),
        ("in the next 4 business hours", "2026-11-24T09:00+01:00", "2026-11-23T14:30+01:00",
         "2026-11-24T09:00:00.000001+01:00"),
        # in closed time nothing passes: from the end of lunch it is just as far as from its beginning
        ("more than 1 business hour away", "2026-11-23T14:00+01:00", None, "2026-11-23T13:00+01:00"),
        ("more than 1 business hour away", "2026-11-23T23:00+01:00", None, "2026-11-23T16:30+01:00"),
        ("more than 0 business hours ago", "2026-11-21T03:00+01:00", "2026-11-21T03:00:00.000001+01:00", None),
        # the same time on the next business day
        ("more than 1 business day ago", "2026-11-20T15:00+01:00", "2026-11-23T15:00:00.000001+01:00", None),
        ("more than 1 business day ago", "2026-11-21T11:00+01:00", "2026-11-24T08:00:00.000001+01:00", None),
        ("more than 1 business day ago", "2026-11-23T12:30+01:00", "2026-11-24T13:00:00.000001+01:00", None),
        ("more than 1 business day ago", "2026-11-26T17:00+01:00", "2026-11-27T17:00:00.000001+01:00", None),
        ("more than 1 business day ago", "2026-12-23T10:00+01:00", "2026-12-28T10:00:00.000001+01:00", None),
        ("more than 1 business day away", "2026-11-24T10:00+01:00", None, "2026-11-23T10:00+01:00"),
        ("more than 1 business day away", "2026-11-24T12:30+01:00", None, "2026-11-23T11:59:59.999999+01:00"),
        ("more than 1 business day away", "2026-11-29T12:00+01:00", None, "2026-11-26T17:29:59.999999+01:00"),
        # a date stands for its day
        ("in the next 4 business days", "2026-11-27", "2026-11-23T00:00+01:00", "2026-11-28T00:00+01:00"),
        ("in the next 1 business day", "2026-11-29", "2026-11-26T00:00+01:00", "2026-11-30T00:00+01:00"),
        ("in the last 1 business day", "2026-11-28", "2026-11-28T00:00+01:00", "2026-12-02T00:00+01:00"),
        ("more than 2 business days ago", "2026-12-23", "2026-12-30T00:00+01:00", None),
    ],
)  # fmt: skip
def test_business_time_runs_while_the_office_is_open(
    words: str, value: str, begin: str | None, end: str | None
) -> None:
    check(words, value, "zurich", begin, end)


@pytest.mark.parametrize(
    ("words", "value", "where", "begin", "end"),
    [
        # Easter 2027 in Zurich: closed from Good Friday, 26 March, to Monday; on Sunday the clocks go forward
        ("more than 1 business day ago", "2027-03-25T10:00+01:00", "zurich", "2027-03-30T10:00:00.000001+02:00", None),
        ("more than 1 business day ago", "2027-03-27T02:30+01:00", "zurich", "2027-03-31T08:00:00.000001+02:00", None),
        ("more than 2 business hours ago", "2027-03-25T16:30+01:00", "zurich",
         "2027-03-30T09:00:00.000001+02:00", None),
        ("more than 1 business day away", "2027-03-30T10:00+02:00", "zurich", None, "2027-03-25T10:00+01:00"),
        ("in the next 2 business days", "2027-03-31", "zurich", "2027-03-25T00:00+01:00", "2027-04-01T00:00+02:00"),
        ("in the last 1 business day", "2027-03-26", "zurich", "2027-03-26T00:00+01:00", "2027-04-01T00:00+02:00"),
        # a holiday on a weekend is made up for in America, on Monday or on Friday ...
        ("more than 1 business day ago", "2027-07-02T10:00-04:00", "newyork", "2027-07-06T10:00:00.000001-04:00", None),
        ("more than 1 business day ago", "2027-12-23T10:00-05:00", "newyork", "2027-12-27T10:00:00.000001-05:00", None),
        ("more than 1 business day ago", "2027-12-30T10:00-05:00", "newyork", "2028-01-03T10:00:00.000001-05:00", None),
        ("in the next 1 business day", "2027-07-06", "newyork", "2027-07-02T00:00-04:00", "2027-07-07T00:00-04:00"),
        # ... and not in Switzerland: 1 August 2027 is a Sunday, Christmas a Saturday
        ("more than 1 business day ago", "2027-07-30T10:00+02:00", "zurich", "2027-08-02T10:00:00.000001+02:00", None),
        ("more than 1 business day ago", "2027-12-24T10:00+01:00", "zurich", "2027-12-27T10:00:00.000001+01:00", None),
        # open on Saturdays only, and not on Boxing Day
        ("more than 1 business day ago", "2026-11-23T12:00+01:00", "saturdays",
         "2026-12-05T10:00:00.000001+01:00", None),
        ("more than 1 business day ago", "2026-12-19T10:00+01:00", "saturdays",
         "2027-01-02T10:00:00.000001+01:00", None),
        ("more than 5 business hours ago", "2026-11-21T12:00+01:00", "saturdays",
         "2026-11-28T13:00:00.000001+01:00", None),
        ("more than 1 business hour away", "2026-11-25T12:00+01:00", "saturdays", None, "2026-11-21T13:00+01:00"),
        ("in the next 1 business day", "2026-11-25", "saturdays", "2026-11-14T00:00+01:00", "2026-11-26T00:00+01:00"),
        ("in the last 1 business day", "2026-12-26", "saturdays", "2026-12-26T00:00+01:00", "2027-01-10T00:00+01:00"),
        # working time from 1:00 to 3:00 lasts an hour and a half in the one night, two and a half hours in the other
        ("more than 3 business hours ago", "2026-10-03T18:30+10:30", "howe", "2026-10-04T10:30:00.000001+11:00", None),
        ("more than 3 business hours ago", "2027-04-03T18:30+11:00", "howe", "2027-04-04T02:30:00.000001+10:30", None),
    ],
)  # fmt: skip
def test_holidays_and_closed_days_are_no_business_days(
    words: str, value: str, where: str, begin: str | None, end: str | None
) -> None:
    check(words, value, where, begin, end)


BUSINESS = st.one_of(
    st.integers(0, 12).map(lambda n: Span(count=n, unit=Unit.BUSINESS_DAYS)),
    st.integers(0, 40).map(lambda n: Span(count=n, unit=Unit.BUSINESS_HOURS)),
)
MINUTES = st.integers(0, 400 * 24 * 60).map(lambda n: datetime(2026, 9, 1, tzinfo=UTC) + timedelta(minutes=n))
NIGHT = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)  # 1:30 in New York, for the second time


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(OFFICES)), moment=MINUTES, span=BUSINESS)
@example(name="nightshift", moment=NIGHT, span=Span(count=1, unit=Unit.BUSINESS_DAYS))
@example(name="nightshift", moment=NIGHT + timedelta(days=1), span=Span(count=1, unit=Unit.BUSINESS_DAYS))
@example(
    name="nightshift", moment=datetime(2027, 3, 15, 6, 30, tzinfo=UTC), span=Span(count=1, unit=Unit.BUSINESS_DAYS)
)
def test_business_time_back_from_a_moment_is_the_latest_that_leads_to_it(
    name: str, moment: datetime, span: Span
) -> None:
    back = calendar(name).shift(moment, span, sign=-1)

    def leads_to(start: datetime) -> datetime:
        return oracle.moment(oracle.after_business(oracle.micros(start), span.count, span.unit, OFFICES[name]))

    assert leads_to(back) <= moment
    minutes = int((moment - back) / timedelta(minutes=1)) + 60
    later = [back + TICK, *(back + timedelta(minutes=n) for n in range(1, minutes, max(1, minutes // 300)))]
    assert [start for start in later if leads_to(start) <= moment] == []


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(OFFICES)), moment=MINUTES, span=BUSINESS)
def test_business_time_from_a_moment_is_what_the_clock_on_the_wall_counts(
    name: str, moment: datetime, span: Span
) -> None:
    counted = oracle.after_business(oracle.micros(moment), span.count, span.unit, OFFICES[name])

    assert calendar(name).shift(moment, span) == oracle.moment(counted)


def test_long_business_times_are_counted_to_their_end() -> None:
    year = Span(count=2_600, unit=Unit.BUSINESS_DAYS)
    hours = Span(count=26_000, unit=Unit.BUSINESS_HOURS)
    usual = calendar("Europe/Zurich")

    assert usual.shift_day(date(2026, 11, 23), year) == date(2036, 11, 10)
    assert usual.shift_day(date(2036, 11, 10), year, sign=-1) == date(2026, 11, 23)
    assert usual.shift(datetime(2026, 11, 23, 8, tzinfo=UTC), hours) == datetime(2039, 5, 6, 15, tzinfo=UTC)


def test_in_an_office_that_never_opens_business_time_stands_still() -> None:
    closed = Calendar(hours=((),) * 7)

    for count in (1, 5):
        for unit in (Unit.BUSINESS_HOURS, Unit.BUSINESS_DAYS):
            assert closed.shift(datetime(2026, 11, 23, tzinfo=UTC), Span(count=count, unit=unit)) == NEVER


EVERY_PHRASE = (
    "in the next 90 days", "in the last 13 months", "more than 3 years ago", "more than 2 weeks away", "passed",
    "today", "anniversary in the next 5 days", "in the next 3 business days", "more than 3 business days ago",
    "more than 0 business days away",
)  # fmt: skip
BY_THE_HOUR = ("in the next 4 hours", "more than 90 minutes ago", "more than 8 business hours away")
ENDS = ("9999-12-31", "0001-01-01", "9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00+00:00")


@pytest.mark.parametrize("where", ["Pacific/Kiritimati", "Pacific/Honolulu", "zurich"])
@pytest.mark.parametrize("value", ENDS)
@pytest.mark.parametrize("words", EVERY_PHRASE + BY_THE_HOUR)
def test_a_date_at_the_end_of_the_calendar_is_read_like_any_other(words: str, value: str, where: str) -> None:
    if len(value) == 10 and words in BY_THE_HOUR:
        return
    ended = value.startswith("0001")
    expected = {
        "in the next": False,
        "in the last": False,
        "more than ago": ended,
        "more than away": not ended,
        "passed": ended,
        "today": False,
        "anniversary": ended,
    }
    now = datetime(2026, 12, 29, 12, tzinfo=UTC)  # shortly before the first of January comes round
    kind = next(k for k in expected if words.startswith(k) or (k.startswith("more") and words.endswith(k[9:])))

    assert reading(words, value, where)(now) is expected[kind]


# --- whose office ---

OWNERS = People.of(
    [
        Person(id="ann", name="Ann", email="ann@example.com", office="sydney"),
        Person(id="bob", name="Bob", email="bob@example.com"),
        Person(id="cem", name="Cem", email="cem@example.com", office="closed long ago"),
    ]
)
ELSEWHERE = """
company: Muster AG
timezone: UTC
calendar: zurich
---
model:
  task: {due: date, asked_at: datetime, owner: ref user}
---
rule: due-today
for each: task
when: {due: today}
then: {recommend: win, say: Do it}
---
rule: unanswered
for each: task
when: {asked_at: more than 4 business hours ago}
then: {recommend: win, say: Answer}
---
"""


@pytest.mark.parametrize(
    ("owner", "of_task", "begin", "late"),
    [
        ("ann", None, "2026-11-24T00:00+11:00", "2026-11-23T13:00:00.000001+11:00"),
        ("ann", "bob", "2026-11-24T00:00+11:00", "2026-11-23T13:00:00.000001+11:00"),
        # an owner without an office, one whose office nobody described, one whom nobody knows, and none at all
        ("bob", None, "2026-11-24T00:00+01:00", "2026-11-23T12:00:00.000001+01:00"),
        ("bob", "ann", "2026-11-24T00:00+01:00", "2026-11-23T12:00:00.000001+01:00"),
        ("cem", None, "2026-11-24T00:00+01:00", "2026-11-23T12:00:00.000001+01:00"),
        ("zoe", None, "2026-11-24T00:00+01:00", "2026-11-23T12:00:00.000001+01:00"),
        (None, None, "2026-11-24T00:00+01:00", "2026-11-23T12:00:00.000001+01:00"),
    ],
)
def test_a_customer_is_read_in_the_office_of_his_owner_else_in_the_companys(
    owner: str | None, of_task: str | None, begin: str, late: str, tmp_path: Path
) -> None:
    """Asked before either office opens on Monday, 23 November; due on the 24th."""
    file = tmp_path / "rules.yaml"
    file.write_text(ELSEWHERE + CALENDARS.lstrip(), encoding="utf-8")
    rulebase = load([file])
    task = {"due": "2026-11-24", "asked_at": "2026-11-22T20:00:00Z"} | ({"owner": of_task} if of_task else {})
    dossier = Dossier(
        id="K1",
        records=(
            Record(kind="customer", id="K1", customer=None, fields={"owner": owner} if owner else {}),
            Record(kind="task", id="T1", customer="K1", fields=task),
        ),
    )
    decisions = rulebase.replay(
        Timeline(dossier=dossier), since=datetime(2026, 11, 22, 21, tzinfo=UTC), until=LONG_AFTER, people=OWNERS
    )
    began: dict[str, datetime] = {}
    for decision in decisions:
        for match in decision.matches:
            began.setdefault(match.rule, decision.now)

    assert began == {"due-today": datetime.fromisoformat(begin), "unanswered": datetime.fromisoformat(late)}
    rulebase.engine.close()
