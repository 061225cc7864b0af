"""The pages about a person's own wishes: settings, a pause, no more mails.

Opening a page changes nothing. A form posts to the page's own address, and the answer is a redirect; only the one
click of a mail program is answered at once, as RFC 8058 has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.calendar import ONE_DAY, Calendar
from domain.delivery import PersonalLink
from domain.wishes import Wishes
from store import people, suppressions
from store.suppressions import Suppression, Why
from web.asking import Offered, Typed, Wrong, understand, zones
from web.forms import Fields, first, read_fields
from web.meaning import day_names, meaning, what
from web.pages import page
from web.security import OwnLink, PersonalVisit
from web.trouble import Trouble, TroubleKind
from web.words import LANGUAGES

LONGEST_PAUSE = timedelta(days=366)
ONE_CLICK = ("List-Unsubscribe", "One-Click")
BY_THE_READER = frozenset({Why.UNSUBSCRIBED, Why.COMPLAINT})  # what the reader did, the reader may take back

router = APIRouter()


@router.api_route("/me/{token}", methods=["GET", "HEAD"])
def show(visit: OwnLink, fresh: str | None = None) -> HTMLResponse:
    """The page of a link. `fresh` only sets the tone: the press before this page is what changed it."""
    return SHOWN[visit.link](visit, fresh is not None)


@router.post("/me/{token}")
def press(visit: OwnLink, fields: Annotated[Fields, Depends(read_fields)]) -> Response:
    """A button was pressed, on the page or in a mail program."""
    name, value = ONE_CLICK
    if visit.link is PersonalLink.UNSUBSCRIBE and first(fields, name) == value:
        _stop(visit, fields)
        return Response()
    button = BUTTONS.get((visit.link, first(fields, "do")))
    if button is None:
        raise Trouble(TroubleKind.LOST)
    return button(visit, fields) or RedirectResponse(f"/me/{visit.token}?as={visit.link}&fresh=1", status_code=303)


# --- settings ---


def _settings(visit: PersonalVisit, fresh: bool) -> HTMLResponse:
    return _settings_form(visit, _offered(visit), Typed.saved(visit.person.wishes), fresh=fresh)


def _save(visit: PersonalVisit, fields: Fields) -> Response | None:
    offered = _offered(visit)
    typed = Typed.given(fields, offered)
    wishes, wrong = understand(typed, offered)
    if wrong:
        return _settings_form(visit, offered, typed, wrong=wrong)
    _wish(visit, wishes)
    return None


def _settings_form(
    visit: PersonalVisit,
    offered: Offered,
    typed: Typed,
    *,
    fresh: bool = False,
    wrong: Mapping[str, Wrong] | None = None,
) -> HTMLResponse:
    return _page(
        "settings",
        visit,
        status=422 if wrong else 200,
        fresh=fresh,
        typed=typed,
        wrong=wrong or {},
        means=list(meaning(visit.person.wishes, visit.reader, now=visit.now)),
        suppressed=_suppression(visit),
        languages=LANGUAGES,
        zones=[name for name in zones().values() if "/" in name],
        zone=visit.reader.zone.key,
        clock=visit.reader.moment(visit.now, now=visit.now),
        days=day_names(visit.reader),
        ways=offered.ways,
        topics=[(key, what(key, visit.reader)) for key in offered.keys],
        rules=sorted(offered.rules, key=lambda rule: rule.title.casefold()),
    )


def _offered(visit: PersonalVisit) -> Offered:
    person = visit.person
    return Offered(saved=person.wishes, rules=visit.services.rules(visit.reader.language), chat=person.chat is not None)


# --- a pause ---


def _pause(visit: PersonalVisit, fresh: bool = False, *, typed: str = "", wrong: str | None = None) -> HTMLResponse:
    wishes, today = visit.person.wishes, _today(visit)
    paused_until = wishes.paused_until if wishes.paused_until and wishes.paused_until > visit.now else None
    return _page(
        "pause",
        visit,
        status=422 if wrong else 200,
        fresh=fresh,
        paused_until=paused_until and _day(visit, paused_until),
        hears_from=visit.reader.moment(wishes.hears_from(visit.now, zone=visit.reader.zone), now=visit.now),
        tomorrow=_day(visit, _calendar(visit).midnight(today + ONE_DAY)),
        monday=_day(visit, _calendar(visit).midnight(_next_monday(visit))),
        earliest=today + ONE_DAY,
        latest=today + LONGEST_PAUSE,
        typed=typed,
        wrong=wrong,
    )


def _until_tomorrow(visit: PersonalVisit, _: Fields) -> None:
    _pause_until(visit, _today(visit) + ONE_DAY)


def _until_monday(visit: PersonalVisit, _: Fields) -> None:
    _pause_until(visit, _next_monday(visit))


def _until_date(visit: PersonalVisit, fields: Fields) -> Response | None:
    typed, today = first(fields, "until"), _today(visit)
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return _pause(visit, typed=typed, wrong="me.wrong.date")
    if not today < day <= today + LONGEST_PAUSE:
        return _pause(visit, typed=typed, wrong="me.wrong.date.range")
    _pause_until(visit, day)
    return None


def _end_pause(visit: PersonalVisit, _: Fields) -> None:
    _wish(visit, replace(visit.person.wishes, paused_until=None))


def _pause_until(visit: PersonalVisit, day: date) -> None:
    _wish(visit, replace(visit.person.wishes, paused_until=_calendar(visit).midnight(day)))


def _wish(visit: PersonalVisit, wishes: Wishes) -> None:
    people.wish(visit.services.db, visit.person.id, wishes, now=visit.now, source=visit.source)


def _day(visit: PersonalVisit, at: datetime) -> str:
    return visit.reader.day(at, now=visit.now)


def _calendar(visit: PersonalVisit) -> Calendar:
    return Calendar(zone=visit.reader.zone)


def _today(visit: PersonalVisit) -> date:
    return _calendar(visit).today(visit.now)


def _next_monday(visit: PersonalVisit) -> date:
    today = _today(visit)
    return today + timedelta(days=7 - today.weekday())


# --- no more mails ---


def _unsubscribe(visit: PersonalVisit, fresh: bool) -> HTMLResponse:
    suppressed = _suppression(visit)
    return _page(
        "unsubscribe",
        visit,
        fresh=fresh,
        suppressed=suppressed,
        since=suppressed and visit.reader.moment(suppressed.since, now=visit.now),
        by_the_reader=suppressed is not None and suppressed.reason in BY_THE_READER,
    )


def _stop(visit: PersonalVisit, _: Fields) -> None:
    suppression = Suppression(address=visit.address, reason=Why.UNSUBSCRIBED, since=visit.now)
    suppressions.add(visit.services.db, suppression, source=visit.source)


def _start_again(visit: PersonalVisit, _: Fields) -> None:
    suppressed = _suppression(visit)
    if suppressed is not None and suppressed.reason in BY_THE_READER:
        suppressions.lift(visit.services.db, visit.address, now=visit.now, source=visit.source)


def _suppression(visit: PersonalVisit) -> Suppression | None:
    return suppressions.of(visit.services.db, [visit.address]).get(visit.address.casefold())


Page: TypeAlias = Callable[[PersonalVisit, bool], HTMLResponse]
Button: TypeAlias = Callable[[PersonalVisit, Fields], Response | None]
"""Makes the change; the form again where it was filled in wrongly."""

SHOWN: Mapping[PersonalLink, Page] = {
    PersonalLink.SETTINGS: _settings,
    PersonalLink.PAUSE: _pause,
    PersonalLink.UNSUBSCRIBE: _unsubscribe,
}
BUTTONS: Mapping[tuple[PersonalLink, str], Button] = {
    (PersonalLink.SETTINGS, "save"): _save,
    (PersonalLink.PAUSE, "tomorrow"): _until_tomorrow,
    (PersonalLink.PAUSE, "monday"): _until_monday,
    (PersonalLink.PAUSE, "date"): _until_date,
    (PersonalLink.PAUSE, "end"): _end_pause,
    (PersonalLink.UNSUBSCRIBE, "stop"): _stop,
    (PersonalLink.UNSUBSCRIBE, "again"): _start_again,
}


def _page(template: str, visit: PersonalVisit, *, status: int = 200, **values: object) -> HTMLResponse:
    return page(template, visit.reader, status=status, visit=visit, **values)
