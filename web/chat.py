"""Buttons pressed in chats: what they change, and what the one who pressed is told.

A press does what the page's press does. It is answered at once; the message itself is changed by a delivery of its own.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from urllib.parse import parse_qs

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import JSONResponse, Response

from domain.delivery import Channel, SendError
from domain.person import People, Person
from notifiers.chat import Press
from notifiers.http import Outgoing
from notifiers.mattermost import MARKUP
from notifiers.slack import ESCAPES, read_press
from store import people
from web.pressing import Answer, lacks_reason, looked_at_again, settle, standing
from web.security import MattermostPress, SlackBody, Visit, open_link, visit_of
from web.services import Services, services_of
from web.trouble import Trouble, TroubleKind
from web.words import Reader

ESCAPED_IN_SLACK = str.maketrans(ESCAPES)

log = logging.getLogger("relance.web")

slack = APIRouter()
mattermost = APIRouter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the one who pressed is told. `url`: where to go on."""

    text: str
    url: str = ""


@slack.post("/chat/slack")
def pressed_in_slack(request: Request, body: SlackBody, background: BackgroundTasks) -> Response:
    """Slack waits three seconds for the status and shows no answer; what there is to say goes where it names."""
    press = read_press(body)
    if press is not None:
        services = services_of(request)
        said = _pressed(services, press, Channel.SLACK)
        text = f"{said.text.translate(ESCAPED_IN_SLACK)} {said.url}".strip()
        background.add_task(_tell_in_slack, services.outgoing or Outgoing(), _answer_url(body), text)
    return Response()


@mattermost.post("/chat/mattermost")
def pressed_in_mattermost(request: Request, press: MattermostPress) -> JSONResponse:
    """Mattermost shows the answer to the one who pressed."""
    said = _pressed(services_of(request), press, Channel.MATTERMOST)
    text = MARKUP.sub(r"\\\1", said.text)
    return JSONResponse({"ephemeral_text": f"{text} {said.url}".strip()})


def _pressed(services: Services, press: Press, channel: Channel) -> Said:
    try:
        visit = _visit(services, press, channel)
    except Trouble as trouble:
        reader = trouble.reader or Reader(language=services.language, zone=services.zone)
        # The chat vouches for the token: where it is not ours any more, its key was dropped, and that is as late.
        kind = TroubleKind.EXPIRED if trouble.kind is TroubleKind.LOST else trouble.kind
        title, text, then = (reader.say(f"{kind}.{part}") for part in ("title", "text", "next"))
        return Said(text=f"{title}. {text} {then}")
    if lacks_reason(visit, Answer()):
        return Said(text=visit.reader.say("chat.dismiss"), url=_page_of(visit))
    changed = settle(visit, Answer())
    return Said(text=standing(looked_at_again(visit), fresh=changed))


def _visit(services: Services, press: Press, channel: Channel) -> Visit:
    """In the name of whoever pressed, where we know them, else of whom the message was for. Raises `Trouble`."""
    now = services.clock()
    opened = open_link(services, press.token, now=now)
    everyone = people.load(services.db)
    person = _by_chat(everyone, f"{channel}:{press.user}") or everyone.get(opened.person)
    return visit_of(services, opened, token=press.token, link=press.link, person=person, everyone=everyone, now=now)


def _by_chat(everyone: People, chat: str) -> Person | None:
    return next((person for person in everyone.by_id.values() if person.chat == chat), None)


def _page_of(visit: Visit) -> str:
    return visit.services.links.for_person(visit.recommendation.id, visit.person.id, now=visit.now)[visit.link]


def _answer_url(body: bytes) -> str:
    return str(json.loads(parse_qs(body.decode())["payload"][0]).get("response_url", ""))


async def _tell_in_slack(outgoing: Outgoing, url: str, text: str) -> None:
    """Only the one who pressed sees it. Where it cannot be told, what was pressed has happened all the same."""
    told = {"response_type": "ephemeral", "replace_original": False, "text": text}
    try:
        async with outgoing.open() as http:
            await http.post(url, json.dumps(told).encode())
    except SendError as error:
        log.warning("whoever pressed in Slack was not told what came of it: %s", error)
