"""A message that says that it works, and the handing over of it: the way to a reader, tried out."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.chats import chats
from app.preview import TEST, Preview, chat_preview, composed, envelope_sender, mail_preview, numbered
from app.settings import Settings
from domain.delivery import Channel, Message, PersonalLink, Receipt
from notifiers.base import Notifier
from notifiers.chat import Json, as_json
from notifiers.links import Links
from notifiers.render import Rendered
from notifiers.smtp import SmtpNotifier


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialWords:
    subject: str
    works: str
    through: str
    sender: str
    reports: str
    links: str
    number: str
    nothing: str


TRIALS: Mapping[str, TrialWords] = {
    "en": TrialWords(
        subject="Relance can write to you",
        works="This works: Relance sent this message as a test, and you are reading it.",
        through="Sent through",
        sender="From",
        reports="If it cannot be delivered, the report goes to",
        links="Links in reminders lead to",
        number="Test number",
        nothing="There is nothing to do.",
    ),
    "de": TrialWords(
        subject="Relance kann Ihnen schreiben",
        works="Es funktioniert: Relance hat diese Nachricht als Test gesendet, und Sie lesen sie.",
        through="Gesendet über",
        sender="Von",
        reports="Ist sie nicht zustellbar, geht die Meldung an",
        links="Links in Erinnerungen führen zu",
        number="Testnummer",
        nothing="Es ist nichts zu tun.",
    ),
    "fr": TrialWords(
        subject="Relance peut vous écrire",
        works="Cela fonctionne: Relance a envoyé ce message comme test, et vous le lisez.",
        through="Envoyé par",
        sender="De",
        reports="S’il ne peut être remis, l’avis va à",
        links="Les liens des rappels mènent à",
        number="Numéro du test",
        nothing="Il n’y a rien à faire.",
    ),
    "it": TrialWords(
        subject="Relance può scriverle",
        works="Funziona: Relance ha inviato questo messaggio come prova, e lei lo sta leggendo.",
        through="Inviato tramite",
        sender="Da",
        reports="Se non può essere recapitato, l’avviso va a",
        links="I link nei promemoria portano a",
        number="Numero della prova",
        nothing="Non c’è nulla da fare.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Preview):
    """`number`: stands in the message, so that it is known again whatever became of its Message-ID."""

    number: str


def trial(settings: Settings, channel: Channel, to: str, *, language: str = "en", now: datetime) -> Trial:
    """A message that says that it works, and what was used. It needs neither rules nor a database.

    In a chat it is a line without buttons. Raises `SettingsError`.
    """
    words, number = TRIALS[language], numbered("test", now)
    subject = f"{TEST} {words.subject}"
    if channel is Channel.EMAIL:
        shown = _trial_mail(settings, words, to, subject=subject, number=number, language=language, now=now)
    else:
        said = f"{TEST} {words.works} {words.links}: {settings.base_url} · {words.number}: {number} · {words.nothing}"
        shown = chat_preview(channel, to, subject, as_json(IN_CHATS[channel](to, said)))
    return Trial(subject=subject, to=shown.to, message=shown.message, forms=shown.forms, number=number)


def _trial_mail(
    settings: Settings, words: TrialWords, to: str, *, subject: str, number: str, language: str, now: datetime
) -> Preview:
    mail = settings.mail
    lines = [
        (words.through, f"{mail.server()} (TLS: {mail.tls})"),
        (words.sender, mail.sender),
        (words.reports, envelope_sender(settings) or mail.sender),
        (words.links, settings.base_url),
        (words.number, number),
    ]
    rendered = Rendered(subject=subject, text=_trial_text(words, lines), html=_trial_page(words, lines, language))
    links = Links(keys=settings.keys(), base_url=settings.base_url).personal(to, address=to, now=now)
    unsubscribe = links[PersonalLink.UNSUBSCRIBE]
    return mail_preview(rendered, composed(settings, rendered, to=to, unsubscribe=unsubscribe, number=number, now=now))


def _trial_text(words: TrialWords, lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join([words.works, "", *(f"{name}: {value}" for name, value in lines), "", words.nothing, ""])


def _trial_page(words: TrialWords, lines: Sequence[tuple[str, str]], language: str) -> str:
    rows = "<br>\n".join(f"{html.escape(name)}: <strong>{html.escape(value)}</strong>" for name, value in lines)
    paragraphs = (html.escape(words.works), rows, html.escape(words.nothing))
    return "\n".join(
        (
            f'<!doctype html>\n<html lang="{language}">',
            f'<head><meta charset="utf-8"><title>{html.escape(words.subject)}</title></head>\n<body>',
            *(f"<p>{paragraph}</p>" for paragraph in paragraphs),
            "</body></html>\n",
        )
    )


IN_CHATS: Mapping[Channel, Callable[[str, str], Json]] = {
    Channel.SLACK: lambda to, text: {"channel": to, "text": text},
    Channel.SLACK_WEBHOOK: lambda _, text: {"text": text},
    Channel.TEAMS: lambda _, text: {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]}],
                },
            }
        ],
    },
    Channel.MATTERMOST: lambda _, text: {"text": text},
    Channel.APPRISE: lambda _, text: {"title": "Relance", "body": text},
}


# --- handing over ---


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """What the other side said, and how long it took, connecting included."""

    receipt: Receipt
    took_s: float


def hand_over(settings: Settings, channel: Channel, message: Message) -> HandedOver:
    """To where the settings send it. Raises `SendError`, `SettingsError`."""
    mail = SmtpNotifier(server=settings.mail.server())
    notifier = mail if channel is Channel.EMAIL else chats(settings, language="en")[channel].notifier
    return asyncio.run(_hand_over(notifier, message))


async def _hand_over(notifier: Notifier, message: Message) -> HandedOver:
    began = time.monotonic()
    async with notifier.open() as line:
        receipt = await line.send(message)
        return HandedOver(receipt=receipt, took_s=time.monotonic() - began)
