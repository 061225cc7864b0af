from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from icalendar import Calendar, Event

from domain.delivery import SendError
from notifiers.calendar import entry, withdrawal

STAMP = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ZURICH = ZoneInfo("Europe/Zurich")
SAID: dict[str, Any] = {
    "uid": "7Q@example.com",
    "sequence": 0,
    "day": date(2026, 11, 27),
    "title": "Call Muster Logistik AG",
    "organizer": "relance@example.com",
    "attendee": "lara@example.com",
    "stamp": STAMP,
}
DESCRIPTION = "The fleet policy ends in 45 days.\nCHF 48’200 is at stake."
URL = "https://remind.example.com/r/a-token"


def entered(**more: Any) -> bytes:
    return entry(**{**SAID, "description": DESCRIPTION, "url": URL, **more})


def read(calendar: bytes) -> tuple[Calendar, Event]:
    parsed = Calendar.from_ical(calendar)
    (event,) = parsed.walk("VEVENT")
    assert isinstance(parsed, Calendar)
    assert isinstance(event, Event)
    assert parsed.errors == event.errors == []
    assert max(map(len, calendar.split(b"\r\n"))) <= 75
    return parsed, event


def test_a_due_day_is_a_whole_day_that_stays_free():
    parsed, event = read(entered())

    assert (parsed["method"], parsed["version"]) == ("REQUEST", "2.0")
    assert event.start == date(2026, 11, 27)
    assert event.end == date(2026, 11, 28)
    assert event["transp"] == "TRANSPARENT"
    assert event["status"] == "CONFIRMED"
    assert (event["uid"], event["sequence"], event["dtstamp"].dt) == ("7Q@example.com", 0, STAMP)
    assert (event["summary"], event["description"], event["url"]) == ("Call Muster Logistik AG", DESCRIPTION, URL)
    assert (event["organizer"], event["attendee"]) == ("mailto:relance@example.com", "mailto:lara@example.com")
    assert event["attendee"].params["rsvp"] == "FALSE"
    assert list(parsed.walk("VTIMEZONE")) == []


@pytest.mark.parametrize(
    ("due", "offset_h"),
    [
        (datetime(2026, 11, 27, 9, 0, tzinfo=ZURICH), 1),
        (datetime(2026, 7, 1, 9, 0, tzinfo=ZURICH), 2),
        (datetime(2061, 7, 1, 9, 0, tzinfo=ZURICH), 2),
    ],
)
def test_a_time_of_day_brings_the_rules_of_its_zone_along(due: datetime, offset_h: int):
    parsed, event = read(entered(day=due))
    (zone,) = parsed.walk("VTIMEZONE")

    assert event["dtstart"].params["tzid"] == zone["tzid"] == "Europe/Zurich"
    assert event.start == due
    assert event.end - event.start == timedelta(minutes=30)
    # What a program without a table of zones reads out of the entry alone.
    assert due.replace(tzinfo=zone.to_tz(lookup_tzid=False)).utcoffset() == timedelta(hours=offset_h)


def test_a_time_in_utc_needs_no_zone():
    parsed, event = read(entered(day=STAMP))

    assert event.start == STAMP
    assert list(parsed.walk("VTIMEZONE")) == []


def test_a_due_day_at_the_end_of_time_is_an_entry_like_any_other():
    assert read(entered(day=date.max))[1].start == date.max


def test_a_change_is_the_same_entry_said_later():
    first, second = (read(entered(sequence=n, day=date(2026, 11, 27 + n)))[1] for n in (0, 1))

    assert first["uid"] == second["uid"]
    assert first["sequence"] < second["sequence"]


def test_a_withdrawal_cancels_the_same_entry():
    parsed, event = read(withdrawal(**{**SAID, "sequence": 4}))

    assert parsed["method"] == "CANCEL"
    assert (event["uid"], event["sequence"], event["status"]) == ("7Q@example.com", 4, "CANCELLED")
    assert (event["organizer"], event["attendee"]) == ("mailto:relance@example.com", "mailto:lara@example.com")
    assert (event["summary"], event.start) == ("Call Muster Logistik AG", date(2026, 11, 27))


def test_the_same_entry_has_the_same_bytes():
    assert entered(day=STAMP.astimezone(ZURICH)) == entered(day=STAMP.astimezone(ZURICH))
    assert withdrawal(**SAID) == withdrawal(**SAID)


@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
@example(text="x\r\nMETHOD:CANCEL\r\nBEGIN:VEVENT\n\rEND:VEVENT")
@example(text='Müller; Söhne, \\n & Co: "AG" ' * 9)
def test_no_text_breaks_out_of_its_line(text: str):
    parsed, event = read(entered(title=text, description=text, uid=text.encode().hex()))

    assert parsed["method"] == "REQUEST"
    assert event.keys() == read(entered())[1].keys()
    printable = "".join(c for c in " ".join(text.split()) if c >= " ")
    assert "".join(c for c in event["summary"] if c >= " ") == printable


@pytest.mark.parametrize("field", ["organizer", "attendee"])
@pytest.mark.parametrize("make", [entered, lambda **more: withdrawal(**{**SAID, **more})], ids=["entry", "withdrawal"])
def test_an_address_that_would_be_two_is_not_written(field: str, make):
    with pytest.raises(SendError, match="more than one") as refused:
        make(**{field: "a@example.com,b@example.com"})
    assert refused.value.permanent
