"""A recommendation's due day as an entry in the reader's calendar, and the entry's withdrawal: iCalendar by iTIP.

An entry is a REQUEST, since only what an organizer asked for can be changed and cancelled by a later mail; it asks for
no answer. It leaves the day free: being due is no appointment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from icalendar import Calendar, Event, vCalAddress

from notifiers.addresses import checked

PRODUCT = "-//Relance//Relance//EN"
LASTS = timedelta(minutes=30)  # an entry at a time of day
ONE_DAY = timedelta(days=1)


def entry(
    *,
    uid: str,
    sequence: int,
    day: date | datetime,
    title: str,
    description: str,
    url: str,
    organizer: str,
    attendee: str,
    stamp: datetime,
) -> bytes:
    """The entry, new or changed, as `email.compose` takes it.

    `uid` is the same for all that is said of an entry, `sequence` rises with each; `stamp` is when it was said. A date
    is a whole day; a datetime has a zone of the IANA database, or is in UTC. `organizer` and `attendee` are bare
    addresses. Raises a permanent `SendError` where one of them cannot be written to.
    """
    event = _event(uid=uid, sequence=sequence, day=day, title=title, stamp=stamp)
    event.add("description", description)
    event.add("url", url)
    event.add("status", "CONFIRMED")
    event.add("transp", "TRANSPARENT")
    asked = {"role": "REQ-PARTICIPANT", "partstat": "NEEDS-ACTION", "rsvp": "FALSE"}
    return _calendar("REQUEST", event, organizer=organizer, attendee=attendee, asked=asked)


def withdrawal(
    *, uid: str, sequence: int, day: date | datetime, title: str, organizer: str, attendee: str, stamp: datetime
) -> bytes:
    """Takes the entry with this `uid` out of the calendar; `sequence` is higher than the entry's. Raises as `entry`."""
    event = _event(uid=uid, sequence=sequence, day=day, title=title, stamp=stamp)
    event.add("status", "CANCELLED")
    return _calendar("CANCEL", event, organizer=organizer, attendee=attendee, asked={})


def _event(*, uid: str, sequence: int, day: date | datetime, title: str, stamp: datetime) -> Event:
    event = Event()
    event.add("uid", uid)
    event.add("sequence", sequence)
    event.add("dtstamp", stamp)
    event.add("dtstart", day)
    event.add("duration", LASTS if isinstance(day, datetime) else ONE_DAY)  # an end would overflow on 9999-12-31
    event.add("summary", " ".join(title.split()))
    return event


def _calendar(method: str, event: Event, *, organizer: str, attendee: str, asked: Mapping[str, str]) -> bytes:
    event.add("organizer", vCalAddress(f"mailto:{checked(organizer)}"))
    event.add("attendee", vCalAddress(f"mailto:{checked(attendee)}"), parameters=dict(asked))
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    if isinstance(event.start, datetime):
        # The changes of the clock around the day are enough; half a century of them would be as long again.
        year = event.start.year
        calendar.add_missing_timezones(first_date=date(year - 1, 1, 1), last_date=date(year + 1, 12, 31))
    return calendar.to_ical()
