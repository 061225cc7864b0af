"""A reminder laid out as a mail: subject, HTML and plain text, in the reader's language.

A reminder's texts are data. They are escaped wherever they go, and never looked at as a template.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from css_inline import CSSInliner
from jinja2 import FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.sandbox import SandboxedEnvironment

from domain.delivery import Reminder
from notifiers.words import FALLBACK, WORDS

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    subject: str
    html: str
    text: str


def render(reminder: Reminder) -> Rendered:
    """Lay out a reminder. A language without words of its own gets an English frame around the reminder's texts."""
    words = WORDS.get(reminder.language, WORDS[FALLBACK])
    context = {
        "r": reminder,
        "t": words,
        "why": words.reason(reminder),
        "sent_to": words.sent_to[reminder.role].format(recipient=reminder.recipient),
    }
    page = _environment().get_template("reminder.html.j2").render(context)
    return Rendered(
        subject=reminder.subject,
        html=_inliner().inline(page),
        text=_environment().get_template("reminder.txt.j2").render(context),
    )


@cache
def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _inliner() -> CSSInliner:
    # Many mail programs drop <style>. What they keep of it, the media queries, stays behind in its own element.
    return CSSInliner(load_remote_stylesheets=False)
