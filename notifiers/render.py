"""What goes out as a mail: subject, HTML and plain text, in the reader's language.

Texts are data. They are escaped wherever they go, and never looked at as a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from domain.delivery import Digest, PersonalLink, Reminder
from notifiers.words import FALLBACK, WORDS, Words

TEMPLATES = Path(__file__).parent / "templates"

# Enough for a glance at the list of mails, which shows the beginning.
PREVIEWED_CUSTOMERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What is said when an entry leaves the reader's calendar.

    `title` is the recommendation's, `state` how it ended: "done", "dismissed" or "resolved"; `by`: who ended it, empty
    where nobody did.
    """

    language: str
    title: str
    state: str
    by: str
    recipient: str
    personal: Mapping[PersonalLink, str] = field(default_factory=dict[PersonalLink, str])


def render(reminder: Reminder) -> Rendered:
    """Lay out a reminder. A language without words of its own gets an English frame around the reminder's texts."""
    words = _words(reminder.language)
    return _laid_out(
        "reminder",
        reminder,
        words,
        subject=reminder.subject,
        preheader=reminder.preheader,
        lead=words.reason(reminder),
        sent_to=words.sent_to[reminder.role].format(recipient=reminder.recipient),
    )


def render_digest(digest: Digest) -> Rendered:
    """Lay out a digest; its headline is its subject. Gmail cuts a mail at 102 kB: some 30 customers."""
    words = _words(digest.language)
    return _laid_out(
        "digest",
        digest,
        words,
        subject=words.headline(digest),
        preheader=" · ".join(c.items[0].title for c in digest.customers[:PREVIEWED_CUSTOMERS] if c.items),
        lead=words.lead(digest),
        sent_to=words.sent_digest.format(recipient=digest.recipient),
    )


def render_withdrawal(withdrawal: Withdrawal) -> Rendered:
    """Lay out the mail that takes an entry out of the reader's calendar."""
    words = _words(withdrawal.language)
    lead = f"{words.closed[withdrawal.state].format(name=withdrawal.by)} {words.entry_gone}"
    return _laid_out(
        "withdrawal",
        withdrawal,
        words,
        subject=words.withdrawn.format(title=withdrawal.title),
        preheader=lead,
        lead=lead,
        sent_to=words.sent_entry.format(recipient=withdrawal.recipient),
    )


def _words(language: str) -> Words:
    return WORDS.get(language, WORDS[FALLBACK])


def _laid_out(
    template: str,
    about: Reminder | Digest | Withdrawal,
    words: Words,
    *,
    subject: str,
    preheader: str,
    lead: str,
    sent_to: str,
) -> Rendered:
    context = {
        "about": about,
        "t": words,
        "subject": subject,
        "preheader": preheader,
        "lead": lead,
        "sent_to": sent_to,
        "personal": [(said, about.personal[link]) for link, said in words.personal.items() if link in about.personal],
    }
    templates = _environment()
    page = templates.get_template(f"{template}.html.j2").render(context)
    text = templates.get_template(f"{template}.txt.j2").render(context)
    return Rendered(subject=subject, html=_inliner().inline(page), text=text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


@cache
def _inliner() -> CSSInliner:
    # Many mail programs drop <style>. What they keep of it, the media queries, stays behind in its own element.
    return CSSInliner(load_remote_stylesheets=False)
