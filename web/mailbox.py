"""The demo's mailbox: what the people of the demo received, as their mail programs would show it.

It shows everybody's mail to whoever opens it, so only the demo serves it, and only on loopback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from web.headers import HEADERS
from web.pages import page
from web.security import demo
from web.services import services_of
from web.trouble import Trouble, TroubleKind, visitor

# Opened from a mail, a page is a tab of its own and may have forms; the mail itself may do nothing at all.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"

PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"{HEADERS['Content-Security-Policy']}; frame-src 'self'",
}
MAIL_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; "
        f"sandbox {SANDBOX}"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMail:
    """A mail as it came over the wire."""

    id: str
    recipient: str
    subject: str
    received_at: datetime
    raw: bytes


class View(StrEnum):
    HTML = "html"
    TEXT = "text"
    SOURCE = "source"


def create_mailbox(mails: Callable[[], Sequence[StoredMail]]) -> APIRouter:
    """The mailbox under `/mailbox`, newest mail first, to be included in the demo's application."""
    router = APIRouter(prefix="/mailbox", dependencies=[Depends(demo)])

    @router.api_route("", methods=["GET", "HEAD"])
    def listing(request: Request, person: str | None = None) -> HTMLResponse:
        return _page(request, mails(), person=person)

    @router.api_route("/{mail_id}", methods=["GET", "HEAD"])
    def reading(request: Request, mail_id: str, person: str | None = None, view: View = View.HTML) -> HTMLResponse:
        everything = mails()
        return _page(request, everything, person=person, chosen=_find(everything, mail_id), view=view)

    @router.api_route("/{mail_id}/html", methods=["GET", "HEAD"])
    def body(mail_id: str) -> HTMLResponse:
        html = _part(_parsed(_find(mails(), mail_id)), View.HTML)
        if html is None:
            raise Trouble(TroubleKind.LOST)
        # Without a target a link would open inside the frame, where no page of ours may be shown.
        return HTMLResponse(html.replace("<head>", '<head><base target="_blank">', 1), headers=MAIL_HEADERS)

    return router


def _page(
    request: Request,
    everything: Sequence[StoredMail],
    *,
    person: str | None,
    chosen: StoredMail | None = None,
    view: View = View.HTML,
) -> HTMLResponse:
    message = _parsed(chosen) if chosen else None
    answer = page(
        "mailbox",
        visitor(request),
        now=services_of(request).clock(),
        people=sorted({mail.recipient for mail in everything}),
        person=person,
        mails=_newest_first(mail for mail in everything if person in (None, mail.recipient)),
        chosen=chosen,
        sender=message["From"] if message else None,
        view=view,
        views=list(View),
        content=_part(message, view) if message else None,
        sandbox=SANDBOX,
    )
    answer.headers.update(PAGE_HEADERS)
    return answer


def _newest_first(mails: Iterable[StoredMail]) -> list[StoredMail]:
    return sorted(mails, key=lambda mail: mail.received_at, reverse=True)


def _find(mails: Sequence[StoredMail], mail_id: str) -> StoredMail:
    for mail in mails:
        if mail.id == mail_id:
            return mail
    raise Trouble(TroubleKind.LOST)


def _parsed(mail: StoredMail) -> EmailMessage:
    return message_from_bytes(mail.raw, EmailMessage, policy=policy.default)


def _part(message: EmailMessage, view: View) -> str | None:
    """The text of one view; None where the mail has no such part."""
    if view is View.SOURCE:
        return "\n".join(f"{name}: {value}" for name, value in message.items())
    part = message.get_body(("html",) if view is View.HTML else ("plain",))
    return part.get_content() if part else None
