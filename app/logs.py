"""One line for each event, as text or as JSON, in which nobody's address, number or secret can be read."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


# From abroad, or with the zero of the country; the first line keeps it apart from dates, addresses and hashes.
TELEPHONE = re.compile(
    r"(?:(?<![\w.+-])|(?<=\\[nrt]))"
    r"(\+|\(0|0(?=[1-9 ]|0[1-9])|\((?=\d{3}\)))[\d ()/.-]{6,24}\d(?![\w-])"
)

# In this order. The beginning stays, so that one sees what it was.
MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1***@"),  # a password in a URL
    (re.compile(r"(bearer)\s+[^\s\"',;\\]+", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"(rel_|whsec_|whsk_|xox[a-z]-)[\w+/=.-]{12,}"), r"\1***"),
    (re.compile(r"/(r|me)/[\w.=~%-]{20,}"), r"/\1/***"),  # a signed link
    (re.compile(r"([^\s@*<>\"'(),;:\[\]])[^\s@<>\"'(),;:\[\]]*@([\w-]+(?:\.[\w-]+)*)"), r"\1***@\2"),
    (TELEPHONE, r"\1***"),
)

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def mask(text: str) -> str:
    """The text without e-mail addresses (`l***@example.com`), telephone numbers, tokens, keys and signed links."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return text


class Lines(logging.Formatter):
    """What is common to both formats: masked throughout, exceptions and what stands beside the message included."""

    def head(self, record: logging.LogRecord) -> dict[str, Any]:
        return {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": mask(record.getMessage()),
        }

    def beside(self, record: logging.LogRecord) -> dict[str, Any]:
        """The ids of what it is about."""
        return {name: _masked(value) for name, value in vars(record).items() if name not in STANDARD}

    def exception(self, record: logging.LogRecord) -> str | None:
        said = [self.formatException(record.exc_info)] if record.exc_info else []
        said += [self.formatStack(record.stack_info)] if record.stack_info else []
        return mask("\n".join(said)) or None


class TextLines(Lines):
    """`2026-11-23T09:00:00.000+00:00 INFO relance.dispatch sent delivery=7 trace=4bf9...`, exceptions below it."""

    def format(self, record: logging.LogRecord) -> str:
        ids = (f"{name}={value}" for name, value in self.beside(record).items() if value is not None)
        words = [*self.head(record).values(), *ids]
        line = " ".join(words).replace("\r", "\\r").replace("\n", "\\n")
        exception = self.exception(record)
        return f"{line}\n{exception}" if exception else line


class JsonLines(Lines):
    """One object a line: `at`, `level`, `logger`, `message`, the ids, and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        exception = self.exception(record)
        document = self.beside(record) | self.head(record) | ({"exception": exception} if exception else {})
        return json.dumps(document)


FORMATS: Mapping[LogFormat, type[Lines]] = {LogFormat.TEXT: TextLines, LogFormat.JSON: JsonLines}


def to_stderr(format_: LogFormat, *, events: bool = False) -> None:
    """Warnings and errors on stderr; with `events` everything that the service does too.

    Whoever has set up logging before stays in charge.
    """
    if logging.root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[format_]())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    if events:
        logging.getLogger("relance").setLevel(logging.INFO)


def _masked(value: object) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case list() | tuple():
            return [_masked(item) for item in value]
        case _:
            return mask(str(value))
