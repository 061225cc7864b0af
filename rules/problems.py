"""What is wrong in a rule base, where, and the way out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from rapidfuzz import fuzz, process

SIMILAR_ENOUGH = 60  # rapidfuzz score, of 100; lower suggests words nobody meant


# What each code means; docs/rule-language.md has the same table.
CODES: Mapping[str, str] = {
    "Y001": "not readable as YAML",
    "Y002": "a key twice",
    "Y003": "not to be laid out without a change of what it says",
    "R001": "unknown key",
    "R002": "key missing",
    "R100": "unknown kind",
    "R101": "unknown field",
    "R102": "no such link",
    "R103": "not a type or name of a field",
    "R104": "a field that has another type already",
    "R105": "unknown calendar",
    "R106": "a rule twice in one pack",
    "R107": "a rule of more relations than the engine takes",
    "R201": "unreadable",
    "R202": "not a value of the enum",
    "R203": "a test of another type",
    "R301": "a relation that is not tied to the subject",
    "R302": "fields that feed themselves",
    "R401": "unknown dialog",
    "R402": "a sentence that cannot be read, or names an unknown field",
    "R403": "unknown team or user",
    "R404": "a test beside the rule fails",
    "W501": "can never be true",
    "W502": "the same as another rule",
    "W503": "live without a test that raises, or without one that stays quiet",
    "W504": "a field that no record has filled",
    "W505": "a value that no record has",
    "M101": "a map for imports names a column that is not there",
    "M102": "a map for imports names a column twice",
}


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Place(NamedTuple):
    """Where in a file: line and column count from 1; `length` characters are marked. Every node of a file has one."""

    file: str
    line: int
    column: int
    length: int
    text: str
    """The whole line, for the caret."""

    def within(self, word: str) -> Place:
        """The last occurrence of a word in what this place marks; the place itself where it does not stand there."""
        offset = self.text[self.column - 1 : self.column - 1 + self.length].rfind(word)
        return self._replace(column=self.column + offset, length=len(word)) if offset >= 0 and word else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding of the checker. `code` is stable and documented in docs/rule-language.md."""

    code: str
    message: str
    help: str | None
    place: Place
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """The finding as a person reads it: place, the line and a caret where there is a line, the way out."""
        place = self.place
        lines = [f"{place.file}:{place.line}:{place.column}: {self.severity}[{self.code}] {_printable(self.message)}"]
        if place.text:
            shown = _printable(place.text)
            marked = max(1, min(place.length, len(shown) - place.column + 1))
            lines += [f"{place.line:>5} | {shown}", f"{'':>5} | {' ' * (place.column - 1)}{'^' * marked}"]
        if self.help:
            lines.append(f"{'':>5} = help: {_printable(self.help)}")
        return "\n".join(lines)


def _printable(text: str) -> str:
    """Tabs would shift the caret; other controls could do anything to a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


class Problems(list[Problem]):
    """Collects findings; a reader that met one goes on with the rest of the file."""

    def error(self, code: str, place: Place, message: str, help_: str | None = None) -> None:
        self.append(Problem(code=code, message=message, help=help_, place=place))

    def warning(self, code: str, place: Place, message: str, help_: str | None = None) -> None:
        self.append(Problem(code=code, message=message, help=help_, place=place, severity=Severity.WARNING))

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self if p.severity is Severity.ERROR]


class BadRules(Exception):
    """The rule base has errors; `problems` lists every one of them."""

    def __init__(self, problems: Problems) -> None:
        super().__init__("\n\n".join(str(p) for p in problems.errors))
        self.problems = problems


def unknown(what: str, word: str, known: Collection[str]) -> str:
    """The sentence about a name that nothing bears: `there is no rule "quotes"; did you mean ...`"""
    help_ = suggestion(word, known)
    return f'there is no {what} "{word}"' + (f"; {help_}" if help_ else "")


def suggestion(word: str, allowed: Collection[str], *, shown: int = 12) -> str | None:
    """The way out of a misspelt word: the nearest allowed one, and the whole list where it is short."""
    if not allowed:
        return None
    best = process.extractOne(word, sorted(allowed), scorer=fuzz.ratio, score_cutoff=SIMILAR_ENOUGH)
    parts = [f'did you mean "{best[0]}"?'] if best else []
    if len(allowed) <= shown:
        parts.append(f"allowed: {', '.join(allowed)}")
    elif not best and shown:
        parts.append(f"allowed: {', '.join(list(allowed)[:shown])}, ...")
    return " ".join(parts) or None
