"""The pages behind the links of a mail, and what a press of their button does.

Opening a page changes nothing, because mail scanners open every link. The one button posts to the page's own
address; the answer is a redirect, so that reloading never acts again. Pressing twice is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.calendar import Calendar, Span, Unit
from domain.delivery import Link, NewDelivery
from domain.recommendation import Recommendation, State
from store import recommendations
from web.pages import page
from web.security import SignedLink, Visit
from web.trouble import Trouble, TroubleKind

BODY_LIMIT_BYTES = 16_384  # a note of several pages

SNOOZES: Mapping[Link, Span] = {
    Link.SNOOZE_1_DAY: Span(count=1, unit=Unit.DAYS),
    Link.SNOOZE_3_DAYS: Span(count=3, unit=Unit.DAYS),
    Link.SNOOZE_1_WEEK: Span(count=1, unit=Unit.WEEKS),
}
PRESSABLE = frozenset({Link.DONE, Link.DISMISS, *SNOOZES})

FORMS: Mapping[Link, str] = {
    Link.ACT: "act",
    Link.DONE: "done",
    Link.DISMISS: "dismiss",
    **dict.fromkeys(SNOOZES, "snooze"),
}


class Reason(StrEnum):
    """The common reasons for "not relevant": stored by these names, said in the reader's language."""

    ALREADY_HANDLED = "already-handled"
    NOT_MINE = "not-mine"
    WRONG_DATA = "wrong-data"
    BAD_TIMING = "bad-timing"
    NO_POTENTIAL = "no-potential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was filled in. `reason` is a `Reason` or empty; `undo`: the button that takes the last press back."""

    undo: bool = False
    note: str = ""
    reason: str = ""
    text: str = ""

    @property
    def why_not(self) -> str:
        """ "not-mine", "not-mine: moved to Bern", "moved to Bern", or empty."""
        return ": ".join(part for part in (self.reason, self.text) if part)


async def read_answer(request: Request) -> Answer:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise Trouble(TroubleKind.TOO_LONG)
    fields = dict(parse_qsl(body.decode("utf-8", "replace")))
    reason = fields.get("reason", "")
    return Answer(
        undo="undo" in fields,
        note=_printable(fields.get("note", "")),
        reason=reason if reason in set(Reason) else "",
        text=_printable(fields.get("text", "")),
    )


def _printable(text: str) -> str:
    """Without control characters: PostgreSQL refuses some, and nobody typed them."""
    return "".join(c for c in text.replace("\r\n", "\n") if c.isprintable() or c in "\n\t").strip()


router = APIRouter()


@router.api_route("/r/{token}", methods=["GET", "HEAD"])
def show(visit: SignedLink, fresh: str | None = None) -> HTMLResponse:
    """The page of a link. `fresh` only sets the tone: the press before this page is what changed it."""
    if visit.link is Link.WHY:
        return _page("why", visit)
    if visit.recommendation.state is not State.OPEN:
        return _closed(visit, fresh=fresh is not None)
    if _is_settled(visit):
        return _page("snoozed", visit, fresh=fresh is not None, until=_snoozed_until(visit))
    return _form(visit, Answer())


@router.post("/r/{token}")
def press(visit: SignedLink, answer: Annotated[Answer, Depends(read_answer)]) -> Response:
    """The button of a page was pressed."""
    if visit.link not in PRESSABLE:
        raise Trouble(TroubleKind.LOST)
    if answer.undo:
        _take_back(visit)
        return RedirectResponse(f"/r/{visit.token}?{urlencode({'as': visit.link})}", status_code=303)
    if visit.link is Link.DISMISS and not answer.why_not and not _is_settled(visit):
        return _form(visit, answer, missing=True)
    changed = _settle(visit, answer)
    query = urlencode({"as": visit.link} | ({"fresh": 1} if changed else {}))
    return RedirectResponse(f"/r/{visit.token}?{query}", status_code=303)


# --- what a press does ---


def _settle(visit: Visit, answer: Answer) -> bool:
    """Make the change. False: there was nothing left to change, or someone else was faster."""
    if _is_settled(visit):
        return False
    after, deliveries = _change(visit, answer)
    return recommendations.act(visit.services.db, visit.recommendation, after, deliveries=deliveries, now=visit.now)


def _take_back(visit: Visit) -> None:
    """Open again what this person closed; nothing where that is no longer possible."""
    if _can_take_back(visit):
        closed = visit.recommendation
        recommendations.act(visit.services.db, closed, closed.reopen(), now=visit.now)


def _can_take_back(visit: Visit) -> bool:
    closed = visit.recommendation
    by_a_press = closed.state in (State.DONE, State.DISMISSED) and closed.closed_by == visit.person.id
    return by_a_press and closed.ended_at is None and visit.link in PRESSABLE


def _change(visit: Visit, answer: Answer) -> tuple[Recommendation, tuple[NewDelivery, ...]]:
    current = visit.recommendation
    match visit.link:
        case Link.DONE:
            return current.done(by=visit.person.id, at=visit.now, note=answer.note or None), ()
        case Link.DISMISS:
            return current.dismiss(by=visit.person.id, at=visit.now, reason=answer.why_not), ()
        case _:
            until = _until(visit)
            return current.snooze(until=until, at=visit.now), (_reminder_at(until, visit),)


def _until(visit: Visit) -> datetime:
    """The same time by the person's clock, to the minute, so that two presses in a row mean the same moment."""
    minute = visit.now.replace(second=0, microsecond=0)
    return Calendar(zone=visit.reader.zone).shift(minute, SNOOZES[visit.link])


def _reminder_at(until: datetime, visit: Visit) -> NewDelivery:
    return NewDelivery(
        recommendation=visit.recommendation.id,
        person=visit.person.id,
        destination=visit.person.email,
        # Minutes since 1970: one mail for one end of a snooze, apart from the first reminders 1, 2, 3.
        occurrence=int(until.timestamp()) // 60,
        due_at=until,
    )


def _is_settled(visit: Visit) -> bool:
    """Nothing is left for this link to change.

    A snooze that ends on the same local day is the same snooze: pressing again moves nothing.
    """
    if visit.recommendation.state is not State.OPEN:
        return True
    until = visit.recommendation.snoozed_until
    if visit.link not in SNOOZES or until is None or until <= visit.now:
        return False
    zone = visit.reader.zone
    return until.astimezone(zone).date() == _until(visit).astimezone(zone).date()


# --- what a page shows ---


def _form(visit: Visit, answer: Answer, *, missing: bool = False) -> HTMLResponse:
    return _page(
        FORMS[visit.link],
        visit,
        status=422 if missing else 200,
        answer=answer,
        missing=missing,
        reasons=list(Reason),
        snoozes=list(SNOOZES),
        until=_moment(visit, _until(visit)) if visit.link in SNOOZES else None,
        snoozed_until=_snoozed_until(visit),
        site=_site(visit.recommendation.advice.do),
    )


def _closed(visit: Visit, *, fresh: bool) -> HTMLResponse:
    closed = visit.recommendation
    by = visit.people.get(closed.closed_by)
    return _page(
        "closed",
        visit,
        heading=_closed_heading(visit, fresh=fresh),
        who=by.name if by else closed.closed_by,
        when=_moment(visit, closed.closed_at or visit.now),
        note=_said(visit, closed.note),
        undo=_can_take_back(visit),
    )


def _closed_heading(visit: Visit, *, fresh: bool) -> str:
    """The key of its words: "resolved", "done.fresh", "dismissed.other"."""
    closed = visit.recommendation
    if closed.state is State.RESOLVED:
        return closed.state
    if closed.closed_by != visit.person.id:
        return f"{closed.state}.other"
    return f"{closed.state}.{'fresh' if fresh else 'you'}"


def _said(visit: Visit, note: str | None) -> str | None:
    """A note as people read it: a reason's name in front becomes its words."""
    if note is None:
        return None
    name, colon, text = note.partition(": ")
    return f"{visit.reader.say(name)}{colon}{text}" if name in set(Reason) else note


def _snoozed_until(visit: Visit) -> str | None:
    until = visit.recommendation.snoozed_until
    return _moment(visit, until) if until and until > visit.now else None


def _moment(visit: Visit, at: datetime) -> str:
    return visit.reader.moment(at, now=visit.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where `open URL` leads."""

    host: str
    url: str


def _site(do: str | None) -> Site | None:
    """Only http and https: a rule must not be able to run a script in the reader's browser."""
    verb, _, url = (do or "").partition(" ")
    if verb != "open":
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no IPv6 address
        return None
    return Site(host=parts.hostname, url=url) if parts.scheme in {"http", "https"} and parts.hostname else None


def _page(template: str, visit: Visit, *, status: int = 200, **values: object) -> HTMLResponse:
    recommendation = visit.recommendation
    explained = visit.services.explain(recommendation, language=visit.reader.language, now=visit.now)
    return page(
        template, visit.reader, status=status, visit=visit, recommendation=recommendation, explained=explained, **values
    )
