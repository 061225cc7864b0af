"""How commands speak: results on stdout, everything else on stderr, and the meaning of exit codes."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import NoReturn

import typer

from rules.plain import plain

EXACT = "\0exact "  # marks a number on its way through `json`; no data holds a null character
MARKED = re.compile(r'"\\u0000exact (-?[\d.]+)"')


class Exit(IntEnum):
    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4


class CommandError(Exception):
    """Ends a command with a message that says what happened and what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


def explained(failure: Exception) -> tuple[str, int]:
    """The words and the exit code of a failure that reached the top."""
    from app.settings import SettingsError
    from rules.model import Unreadable
    from rules.problems import BadRules
    from rules.rulebase import Undecidable
    from scheduler.processes import Unusable
    from store.migrations import SchemaOutdated
    from store.session import StoreUnavailable

    match failure:
        case CommandError():
            return f"error: {failure}", failure.code
        case SettingsError():
            return f"error: {failure}", Exit.USAGE
        case BadRules():
            return f"{failure}\n\n{counted(len(failure.problems.errors), 'error')}", Exit.USAGE
        case Unreadable() | Undecidable():
            return f"error: {failure}", Exit.FINDINGS
        case Unusable():
            return f"error: with these rules nothing can be decided: {failure}", Exit.USAGE
        case StoreUnavailable():
            return f"error: {failure}", Exit.UNREACHABLE
        case SchemaOutdated():
            return f"error: {failure}", Exit.USAGE
        case _:
            kind = type(failure).__name__
            return (
                f"error: {kind}: {failure}\nThis is a fault of Relance. Run again with --debug to see where.",
                Exit.USAGE,
            )


def say(text: str = "") -> None:
    """A line of the result."""
    typer.echo(text)


def note(text: str) -> None:
    """A line beside the result: progress, hints."""
    typer.echo(text, err=True)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def print_json(document: object) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1, default=_plain)
    sys.stdout.write(MARKED.sub(r"\1", text) + "\n")


def _plain(value: object) -> object:
    result = plain(value)
    if isinstance(result, Decimal):  # json knows floats only, and this number is none
        return f"{EXACT}{result.normalize():f}"
    if result is value:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return result


def stop(code: Exit) -> NoReturn:
    raise typer.Exit(code)


def moment(text: str, option: str) -> datetime:
    """An option's ISO 8601 moment; one without a zone is refused, for it would mean another moment elsewhere."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f'{option} "{text}" is not a moment; write one like 2026-11-23T09:00:00+01:00') from None
    if value.tzinfo is None:
        example = value.isoformat()
        raise CommandError(f'{option} "{text}" has no zone; add one, as in {example}+01:00 or {example}Z')
    return value
