"""Microsoft Teams: a reminder as an Adaptive Card, posted to the webhook of a workflow.

A workflow only takes cards and hears of no press, so every button is a link. The texts of a reminder are runs of rich
text, which Teams shows as they are: what `TextBlock` and `FactSet` hold is Markdown to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain.delivery import Link, Receipt, Reminder
from notifiers.chat import (
    SNOOZES,
    Json,
    Service,
    Trouble,
    button_words,
    fitting,
    kicker,
    refused,
    rule_line,
    shortened,
    words_for,
)
from notifiers.http import Answer
from notifiers.words import Words

BODY_LIMIT_BYTES = 28_000  # "about 28 KB" for the whole message
BUTTON_LIMIT = 75

STATUSES: Mapping[int, Trouble] = {
    400: Trouble(advice="the workflow is turned off, or does not understand the card", permanent=True),
    401: Trouble(
        advice="let the workflow be triggered by anyone, and put its address into the settings", permanent=True
    ),
    403: Trouble(
        advice="let the workflow be triggered by anyone, and put its address into the settings", permanent=True
    ),
    404: Trouble(advice="the workflow is gone; make a new one and put its address into the settings", permanent=True),
}


def compose(reminder: Reminder) -> bytes:
    """The body to post. The same reminder gives the same bytes; it loses facts where it would be too large."""
    return fitting(reminder, _message, limit_bytes=BODY_LIMIT_BYTES)


def _message(reminder: Reminder) -> Json:
    words = words_for(reminder.language)
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "lang": reminder.language,
        "msteams": {"width": "Full"},
        "body": list(_body(reminder, words)),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "summary": reminder.subject, "attachments": [attachment]}


def _body(reminder: Reminder, words: Words) -> Iterable[Json]:
    labels = button_words(words)
    yield _text(_run(kicker(reminder, words), isSubtle=True))
    yield _text(_run(reminder.title, size="Large", weight="Bolder"))
    yield _text(_run(words.reason(reminder)))
    for name, value in reminder.facts:
        yield _text(_run(f"{name}  ", weight="Bolder"), _run(value), spacing="Small")
    if reminder.instead:
        yield _text(_run(words.instead, weight="Bolder"))
    for other in reminder.instead:
        yield _text(_run(f"• {other}"), spacing="Small")
    crm = [_opens(reminder.crm_url, words.crm)] if reminder.crm_url else []
    yield _buttons(
        _opens(reminder.links[Link.ACT], reminder.action),
        *crm,
        *(_opens(reminder.links[link], labels[link]) for link in (Link.DONE, Link.DISMISS, Link.WHY)),
    )
    yield _buttons(*(_opens(reminder.links[link], labels[link]) for link in SNOOZES))
    yield _text(_run(f"{words.why_me} {rule_line(reminder, words)}", isSubtle=True, size="Small"))
    for condition in reminder.matched:
        yield _text(_run(f"✓ {condition}", isSubtle=True, size="Small"), spacing="None")
    yield _text(_run(words.because[reminder.role], isSubtle=True, size="Small"), spacing="None")


def _text(*runs: Json, **style: str) -> Json:
    return {"type": "RichTextBlock", "inlines": list(runs), **style}


def _run(text: str, **style: str | bool) -> Json:
    return {"type": "TextRun", "text": text, **style}


def _buttons(*actions: Json) -> Json:
    return {"type": "ActionSet", "actions": list(actions)}


def _opens(url: str, label: str) -> Json:
    return {"type": "Action.OpenUrl", "title": shortened(label, BUTTON_LIMIT), "url": url}


def _judge(answer: Answer) -> Receipt:
    """202: the workflow has begun. Whether it posts the card, nobody tells us."""
    if 200 <= answer.status < 300:
        return Receipt(code=answer.status, text="the workflow took it")
    raise refused("Microsoft Teams", answer, statuses=STATUSES)


WEBHOOKS = Service(name="Microsoft Teams", judge=_judge, pause_s=0.25)
