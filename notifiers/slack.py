"""Slack: a reminder as blocks with buttons, posted with a bot's token; without buttons where there is only a webhook.

The limits are those of Slack's documentation of Block Kit. What a reader gets to see of a reminder is plain text: its
`&`, `<` and `>` are escaped, and nothing in it becomes a link or calls anybody.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, cast
from urllib.parse import parse_qs

from domain.delivery import Link, Message, Receipt, Reminder, SendError
from notifiers.chat import (
    AGAIN,
    SNOOZES,
    WIDTH,
    Json,
    Press,
    Service,
    Trouble,
    Turns,
    Unverified,
    as_json,
    button_words,
    kicker,
    link_target,
    refused,
    rule_line,
    shortened,
    token_of,
    too_fast,
    trimmed,
    troubled,
    words_for,
)
from notifiers.http import Answer, Http, Outgoing
from notifiers.words import Words

API = "https://slack.com/api"

HEADER_LIMIT = 150
SECTION_LIMIT = 3_000
FIELD_LIMIT = 2_000
BUTTON_LIMIT = 75
CONTEXT_LIMIT = 2_000

ACTIONS = "relance"  # the block that is gone once there is nothing left to press
SNOOZE = "snooze"
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
SIGNATURE_LIFETIME_S = 300

WRONG_PLACE = "name a channel's id in the settings, and invite the app to it"
OUR_FAULT = "it does not understand the message"
INSTALL_AGAIN = "install the app again and put its new token into the settings"
FORBIDDEN = "an administrator of the workspace has to permit it"
NEW_WEBHOOK = "the webhook is no longer one; make a new one and put it into the settings"
LATER = "it will be tried again"

# The words of chat.postMessage, chat.update and incoming webhooks. What is in neither table is tried again.
OF_THE_MESSAGE: Mapping[str, str] = {
    "channel_not_found": WRONG_PLACE,
    "user_not_found": WRONG_PLACE,
    "not_in_channel": "invite the app to the channel",
    "is_archived": "the channel is archived; name another",
    "channel_is_archived": "the channel is archived; name another",
    "messages_tab_disabled": "turn on the Messages tab of the app, so that it can write to people",
    "cannot_dm_bot": "a bot cannot be reminded; name a person",
    "restricted_action": FORBIDDEN,
    "restricted_action_read_only_channel": FORBIDDEN,
    "restricted_action_thread_only_channel": FORBIDDEN,
    "restricted_action_non_threadable_channel": FORBIDDEN,
    "posting_to_general_channel_denied": FORBIDDEN,
    "action_prohibited": FORBIDDEN,
    "msg_too_long": OUR_FAULT,
    "msg_blocks_too_long": OUR_FAULT,
    "no_text": OUR_FAULT,
    "invalid_arguments": OUR_FAULT,
    "invalid_blocks": OUR_FAULT,
    "invalid_blocks_format": OUR_FAULT,
    "invalid_json": OUR_FAULT,
    "invalid_payload": OUR_FAULT,
    "message_not_found": "the message is gone",
    "cant_update_message": "the message is not of this app",
    "edit_window_closed": "the message is too old to be changed",
    "no_service": NEW_WEBHOOK,
    "no_active_hooks": NEW_WEBHOOK,
    "no_team": NEW_WEBHOOK,
    "invalid_token": NEW_WEBHOOK,
}
OF_THE_APP: Mapping[str, str] = {
    "invalid_auth": INSTALL_AGAIN,
    "not_authed": INSTALL_AGAIN,
    "account_inactive": INSTALL_AGAIN,
    "token_revoked": INSTALL_AGAIN,
    "token_expired": INSTALL_AGAIN,
    "not_allowed_token_type": "the token must be a bot's; it begins with xoxb-",
    "missing_scope": "give the app the scope chat:write and install it again",
    "no_permission": "give the app the scope chat:write and install it again",
    "access_denied": FORBIDDEN,
    "accesslimited": FORBIDDEN,
    "ekm_access_denied": FORBIDDEN,
    "enterprise_is_restricted": FORBIDDEN,
    "org_login_required": LATER,
    "team_added_to_org": LATER,
    "service_unavailable": LATER,
}
HALF_DONE = ("internal_error", "fatal_error")
ERRORS: Mapping[str, Trouble] = {
    **{word: Trouble(advice=advice, permanent=True) for word, advice in OF_THE_MESSAGE.items()},
    **{word: Trouble(advice=advice, server_down=True) for word, advice in OF_THE_APP.items()},
    **dict.fromkeys(HALF_DONE, Trouble(advice="something broke there; it may have been posted", uncertain=True)),
}
TOO_FAST = ("ratelimited", "rate_limited")
OVERLOADED = dict.fromkeys(range(500, 600), Trouble(advice=LATER, server_down=True))
UNREADABLE = Trouble(advice="it may have been posted", uncertain=True)


# --- the message ---


def compose(reminder: Reminder, *, channel: str) -> bytes:
    """The body of chat.postMessage, for a channel's id or a person's. The same arguments give the same bytes."""
    short = trimmed(reminder)
    return as_json({"channel": channel, **_frame(short), "blocks": _blocks(short, _buttons)})


def compose_for_webhook(reminder: Reminder) -> bytes:
    """The same for an incoming webhook, where a press reaches nobody: links instead of buttons."""
    short = trimmed(reminder)
    return as_json({**_frame(short), "blocks": _blocks(short, _links)})


def compose_closed(sent: bytes, *, receipt: str, language: str, state: str, name: str = "") -> bytes:
    """The body of chat.update: the message that was sent, without its buttons and with who closed it.

    `receipt`: the text of its receipt; `state`: the recommendation's. A webhook's messages cannot be changed.
    """
    message: Json = json.loads(sent)
    channel, ts = receipt.split()
    said = words_for(language).closed[state].format(name=name)
    kept = [block for block in message["blocks"] if block.get("block_id") != ACTIONS]
    return as_json(
        {**message, "channel": channel, "ts": ts, "blocks": [*kept, _context(_escaped(said, CONTEXT_LIMIT))]}
    )


def _frame(reminder: Reminder) -> Json:
    # The text is what a notification shows. Nobody is to open our links in order to preview them.
    return {"text": _escaped(reminder.subject, SECTION_LIMIT), "unfurl_links": False, "unfurl_media": False}


def _blocks(reminder: Reminder, ways: Callable[[Reminder, Words], Json]) -> list[Json]:
    words = words_for(reminder.language)
    facts = [
        f"*{_escaped(name, FIELD_LIMIT // 4)}*\n{_escaped(value, FIELD_LIMIT // 2)}" for name, value in reminder.facts
    ]
    instead = "\n".join([f"*{words.instead}*", *(f"• {_escaped(other, 250)}" for other in reminder.instead)])
    blocks = (
        {"type": "header", "text": _plain(reminder.title, HEADER_LIMIT)},
        _context(_escaped(kicker(reminder, words), CONTEXT_LIMIT)),
        {"type": "section", "text": _mrkdwn(_escaped(words.reason(reminder), SECTION_LIMIT))},
        {"type": "section", "fields": [_mrkdwn(fact) for fact in facts]} if facts else None,
        {"type": "section", "text": _mrkdwn(instead)} if reminder.instead else None,
        ways(reminder, words),
        _context(*_because(reminder, words)),
    )
    return [block for block in blocks if block]


def _buttons(reminder: Reminder, words: Words) -> Json:
    labels = button_words(words)
    elements = (
        {**_button(Link.ACT, reminder.action), "url": reminder.links[Link.ACT], "style": "primary"},
        {**_button(Link.DONE, labels[Link.DONE]), "value": token_of(reminder, Link.DONE)},
        {
            "type": "static_select",
            "action_id": SNOOZE,
            "placeholder": _plain(words.snooze, BUTTON_LIMIT),
            "options": [{"text": _plain(labels[link], BUTTON_LIMIT), "value": link} for link in SNOOZES],
        },
        {**_button(Link.DISMISS, labels[Link.DISMISS]), "value": token_of(reminder, Link.DISMISS)},
        {**_button("crm", words.crm), "url": reminder.crm_url} if reminder.crm_url else None,
    )
    return {"type": "actions", "block_id": ACTIONS, "elements": [element for element in elements if element]}


def _links(reminder: Reminder, words: Words) -> Json:
    labels = {Link.ACT: reminder.action, **button_words(words)}
    links = [_link(reminder.links[link], label) for link, label in labels.items() if link is not Link.WHY]
    crm = [_link(reminder.crm_url, words.crm)] if reminder.crm_url else []
    line = " · ".join(links + crm)
    return {"type": "section", "text": _mrkdwn(line if len(line) <= SECTION_LIMIT else " · ".join(links))}


def _because(reminder: Reminder, words: Words) -> Iterable[str]:
    yield f"*{words.why_me}* {_escaped(rule_line(reminder, words), CONTEXT_LIMIT // 2)}"
    if reminder.matched:
        yield "\n".join(f"✓ {_escaped(condition, 150)}" for condition in reminder.matched)
    yield f"{words.because[reminder.role]} {_link(reminder.links[Link.WHY], words.trace)}"


def _button(action: str, label: str) -> Json:
    return {"type": "button", "action_id": action, "text": _plain(label, BUTTON_LIMIT)}


def _context(*texts: str) -> Json:
    return {"type": "context", "elements": [_mrkdwn(text) for text in texts]}


def _plain(text: str, limit: int) -> Json:
    return {"type": "plain_text", "text": shortened(text, limit), "emoji": False}


def _mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: a name in the text is not called


def _link(url: str, label: str) -> str:
    return f"<{link_target(url)}|{_escaped(label, BUTTON_LIMIT)}>"


def _escaped(text: str, limit: int) -> str:
    """Escaped, and cut between characters where that makes it longer than `limit`."""
    pieces = [ESCAPES.get(character, character) for character in text]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    kept, length = 0, 1
    while length + len(pieces[kept]) <= limit:
        length += len(pieces[kept])
        kept += 1
    return "".join(pieces[:kept]) + "…"


# --- what comes back when a button is pressed ---


def verify(body: bytes, *, timestamp: str, signature: str, secret: str, now: datetime) -> None:
    """The request is from Slack, and fresh. Raises `Unverified`.

    `body`: the raw bytes; `timestamp` and `signature`: its headers X-Slack-Request-Timestamp and X-Slack-Signature;
    `secret`: the app's signing secret.
    """
    if not secret:
        raise ValueError("without the app's signing secret anybody could sign")
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(now.timestamp() - int(timestamp)) > SIGNATURE_LIFETIME_S:
        raise Unverified("the request is too old, or the clock here is wrong")
    signed = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, sha256)
    if not hmac.compare_digest(f"v0={signed.hexdigest()}".encode(), signature.encode()):
        raise Unverified("the request was not signed by Slack")


def read_press(body: bytes) -> Press | None:
    """What was pressed, from the body of a verified request. None where there is nothing to do but to answer.

    Raises `Unverified` where it is not what Slack sends.
    """
    try:
        payload = json.loads(parse_qs(body.decode())["payload"][0])
        if payload["type"] != "block_actions":
            return None
        action = payload["actions"][0]
        option = action.get("selected_option")
        token = action.get("value") or (option and _token_beside(payload["message"]))
        if not token:
            return None  # a link was opened
        return Press(
            token=str(token),
            link=Link(option["value"] if option else action["action_id"]),
            user=str(payload["user"]["id"]),
            place=f"{payload['channel']['id']} {payload['message']['ts']}",
        )
    except (AttributeError, LookupError, StopIteration, TypeError, ValueError):
        raise Unverified("the request is not what Slack sends when a button is pressed") from None


def _token_beside(message: Json) -> str:
    """An option's value is too short for a token, so the one of the button beside it counts."""
    return next(
        element["value"]
        for block in message["blocks"]
        if block.get("block_id") == ACTIONS
        for element in block["elements"]
        if element.get("action_id") == Link.DONE
    )


# --- posting ---


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackNotifier:
    """Posts as an app. `token`: its bot's; `pause_s`: between two messages in one channel."""

    token: str = field(repr=False)
    outgoing: Outgoing = field(default_factory=Outgoing)
    api: str = API
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError where the token cannot be one."""
        if not re.fullmatch("[!-~]+", self.token):
            raise ValueError("Slack's token is one word of ASCII; it begins with xoxb-")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[SlackLine]:
        async with self.outgoing.open() as http:
            yield SlackLine(self, http)


class SlackLine:
    width = WIDTH

    def __init__(self, notifier: SlackNotifier, http: Http) -> None:
        self._api = notifier.api
        self._headers = {"Authorization": f"Bearer {notifier.token}"}
        self._http = http
        self._turns = Turns(pause_s=notifier.pause_s)

    async def send(self, message: Message) -> Receipt:
        """Post one message; the receipt's text names it: its channel's id and its time. Raises `SendError`."""
        return await self._call("chat.postMessage", message)

    async def update(self, message: Message) -> Receipt:
        """Change a message that was posted, to what `compose_closed` made of it. Raises `SendError`."""
        return await self._call("chat.update", message)

    async def _call(self, method: str, message: Message) -> Receipt:
        async with self._turns.at(message.destination):
            answer = await self._http.post(
                f"{self._api}/{method}", message.body, headers=self._headers, only_server=True
            )
            return judge(answer)


def judge(answer: Answer) -> Receipt:
    """What the Web API's answer means. Raises `SendError`."""
    if answer.status != 200:
        raise refused("Slack", answer, statuses=OVERLOADED)
    try:
        said = cast(dict[str, Any], json.loads(answer.body))
        if said["ok"] is True:
            return Receipt(code=answer.status, text=f"{said['channel']} {said['ts']}")
        word = str(said["error"])
    except (LookupError, TypeError, ValueError, RecursionError):
        raise troubled("Slack", "an unreadable answer", UNREADABLE, code=answer.status) from None
    raise _error(word, answer)


def _judge_webhook(answer: Answer) -> Receipt:
    if answer.status == 200:
        return Receipt(code=answer.status, text="ok")
    word = answer.body.decode("ascii", "replace").strip()
    raise _error(word, answer) if word in ERRORS else refused("Slack", answer)


def _error(word: str, answer: Answer) -> SendError:
    if word in TOO_FAST:
        return too_fast("Slack", answer)
    said = word if re.fullmatch("[a-z_]{1,60}", word) else "for a reason of its own"
    return troubled("Slack", said, ERRORS.get(word, AGAIN), code=answer.status)


WEBHOOKS = Service(name="Slack", judge=_judge_webhook, pause_s=1.0)
