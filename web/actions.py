"""The pages behind the links of a message.

Opening a page changes nothing, because mail scanners open every link. The one button posts to the page's own
address; the answer is a redirect, so that reloading never acts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.delivery import Link
from domain.recommendation import State
from web.forms import Fields, first, read_fields
from web.pages import page
from web.pressing import (
    SNOOZES,
    Answer,
    Reason,
    accepts,
    can_take_back,
    is_pressable,
    is_settled,
    lacks_reason,
    settle,
    snooze_end,
    standing,
    take_back,
)
from web.security import SignedLink, Visit
from web.trouble import Trouble, TroubleKind

FORMS: Mapping[Link, str] = {
    Link.ACT: "act",
    Link.DONE: "done",
    Link.DISMISS: "dismiss",
    **dict.fromkeys(SNOOZES, "snooze"),
}

router = APIRouter()


@router.api_route("/r/{token}", methods=["GET", "HEAD"])
def show(visit: SignedLink, fresh: str | None = None) -> HTMLResponse:
    """The page of a link. `fresh` only sets the tone: the press before this page is what changed it."""
    if visit.link is Link.WHY:
        return _page("why", visit)
    if visit.recommendation.state is not State.OPEN:
        return _closed(visit, fresh=fresh is not None)
    if is_settled(visit):
        return _page("snoozed", visit, heading=standing(visit, fresh=fresh is not None))
    return _form(visit, Answer())


@router.post("/r/{token}")
def press(visit: SignedLink, fields: Annotated[Fields, Depends(read_fields)]) -> Response:
    """The button of a page was pressed."""
    if not is_pressable(visit):
        raise Trouble(TroubleKind.LOST)
    if "undo" in fields:
        take_back(visit)
        return RedirectResponse(f"/r/{visit.token}?{urlencode({'as': visit.link})}", status_code=303)
    answer = _answer(fields)
    if lacks_reason(visit, answer):
        return _form(visit, answer, missing=True)
    changed = settle(visit, answer)
    query = urlencode({"as": visit.link} | ({"fresh": 1} if changed else {}))
    return RedirectResponse(f"/r/{visit.token}?{query}", status_code=303)


def _answer(fields: Fields) -> Answer:
    reason = first(fields, "reason")
    return Answer(
        note=first(fields, "note"),
        reason=reason if reason in set(Reason) else "",
        text=first(fields, "text"),
    )


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
        until=_moment(visit, snooze_end(visit)) if visit.link in SNOOZES else None,
        snoozed_until=_snoozed_until(visit),
        site=_site(visit.recommendation.advice.do),
        accepts=accepts(visit),
    )


def _closed(visit: Visit, *, fresh: bool) -> HTMLResponse:
    closed = visit.recommendation
    return _page(
        "closed",
        visit,
        heading=standing(visit, fresh=fresh),
        when=_moment(visit, closed.closed_at or visit.now),
        note=_said(visit, closed.note),
        undo=can_take_back(visit),
    )


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
