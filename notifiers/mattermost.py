"""Mattermost: a reminder as an attachment with buttons, posted to an incoming webhook.

When a button is pressed, Mattermost's server posts the button's context back to us and signs nothing. So each context
carries a signature of ours, which only that server has seen. All is Markdown there: a reminder's texts are escaped.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256

from domain.delivery import Link, Receipt, Reminder
from notifiers.chat import (
    SNOOZES,
    Json,
    Press,
    Service,
    Trouble,
    Unverified,
    button_words,
    fitting,
    kicker,
    link_target,
    refused,
    rule_line,
    token_of,
    words_for,
)
from notifiers.http import Answer
from notifiers.words import Words

BODY_LIMIT_BYTES = 16_000  # what fits into one post's text, so that nothing is ever split over two
BUTTONS = (Link.DONE, *SNOOZES, Link.DISMISS)

MARKUP = re.compile(r"([\\`*_\[\]()~|<>#!])")
CALLS = re.compile(r"(?<!\w)@")  # "@channel" in a customer's name must not wake the channel; an address may stay whole

STATUSES: Mapping[int, Trouble] = {
    400: Trouble(advice="the webhook is no longer one, or it does not understand the message", permanent=True),
    403: Trouble(advice="the webhook may not post there; an administrator has to permit it", permanent=True),
    404: Trouble(advice="the channel is gone; put another webhook into the settings", permanent=True),
    501: Trouble(advice="an administrator of Mattermost has to enable incoming webhooks", permanent=True),
}


def compose(reminder: Reminder, *, press_url: str, keys: Sequence[str]) -> bytes:
    """The body to post. The same arguments give the same bytes; it loses facts where it would be too large.

    `press_url`: where Mattermost's server reaches us when a button is pressed; `keys`: the first signs the buttons.
    """
    return fitting(reminder, partial(_message, press_url=press_url, key=keys[0]), limit_bytes=BODY_LIMIT_BYTES)


def read_press(body: bytes, *, keys: Sequence[str]) -> Press:
    """What was pressed, from the raw body that Mattermost posted. Raises `Unverified`."""
    try:
        payload = json.loads(body)
        context = payload["context"]
        link, token = Link(context["press"]), context["token"]
        ours = [_signature(link, token, key).encode() for key in keys]
        given = str(context["signature"]).encode()
        user, place = str(payload["user_id"]), f"{payload['channel_id']} {payload['post_id']}"
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        raise Unverified("the request is not what Mattermost sends when a button is pressed") from None
    if not any(hmac.compare_digest(given, signature) for signature in ours):
        raise Unverified("the button is not one of ours")
    return Press(token=token, link=link, user=user, place=place)


def _signature(link: Link, token: str, key: str) -> str:
    return hmac.new(key.encode(), f"relance.mattermost\n{link}\n{token}".encode(), sha256).hexdigest()


def _message(reminder: Reminder, *, press_url: str, key: str) -> Json:
    words = words_for(reminder.language)
    labels = button_words(words)
    attachment = {
        "fallback": reminder.subject,
        "text": "\n".join(_lines(reminder, words)),
        "fields": [
            {"short": True, "title": _escaped(name), "value": _escaped(value)} for name, value in reminder.facts
        ],
        "actions": [_button(link, labels[link], token_of(reminder, link), press_url, key) for link in BUTTONS],
    }
    return {"attachments": [attachment]}


def _lines(reminder: Reminder, words: Words) -> Iterable[str]:
    yield f"{_escaped(kicker(reminder, words))}\n"
    yield f"**{_escaped(reminder.title)}**\n"
    yield f"{_escaped(words.reason(reminder))}\n"
    crm = [_link(reminder.crm_url, words.crm)] if reminder.crm_url else []
    yield " · ".join([_link(reminder.links[Link.ACT], reminder.action), *crm]) + "\n"
    if reminder.instead:
        yield f"**{_escaped(words.instead)}**"
        yield "".join(f"- {_escaped(other)}\n" for other in reminder.instead)
    yield f"{_escaped(words.why_me)} {_escaped(rule_line(reminder, words))}"
    yield "".join(f"- ✓ {_escaped(condition)}\n" for condition in reminder.matched)
    yield f"{_escaped(words.because[reminder.role])} {_link(reminder.links[Link.WHY], words.trace)}"


def _link(url: str, label: str) -> str:
    return f"[{_escaped(label)}]({link_target(url)})"


def _escaped(text: str) -> str:
    return CALLS.sub("@\u200b", MARKUP.sub(r"\\\1", text))


def _button(link: Link, label: str, token: str, press_url: str, key: str) -> Json:
    return {
        "id": link.replace("-", ""),  # Mattermost takes letters and digits alone
        "type": "button",
        "name": label,
        "style": "primary" if link is Link.DONE else "default",
        "integration": {
            "url": press_url,
            "context": {"press": link, "token": token, "signature": _signature(link, token, key)},
        },
    }


def _judge(answer: Answer) -> Receipt:
    if answer.status == 200:
        return Receipt(code=answer.status, text="ok")
    raise refused("Mattermost", answer, statuses=STATUSES)


WEBHOOKS = Service(name="Mattermost", judge=_judge, pause_s=0.1)
