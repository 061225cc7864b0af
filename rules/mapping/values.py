"""One cell of a row into the raw value of a field: cleaned, then read as the date or number it stands for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

Row: TypeAlias = Mapping[str, object]
"""A row by its columns: texts of a CSV file, any JSON of a JSONL file (numbers as int or Decimal)."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what PostgreSQL's text cannot hold
NO_VALUE = frozenset({""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column by its name; in JSONL `a.b` reaches into nested objects."""

    name: str

    def of(self, row: Row) -> object:
        if self.name in row:
            return row[self.name]
        found: object = row
        for step in self.name.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(step)
        return found

    def is_filled(self, row: Row, empty: frozenset[str]) -> bool:
        return plain(self.of(row)) not in empty


def plain(cell: object) -> str:
    """A cell as text, trimmed; nothing is ''. Raises ValueError with the rest of a sentence."""
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case str():
            if UNSTORABLE.search(cell):
                raise ValueError("holds a character that cannot be stored")
            return cell.strip()
        case int() | Decimal():
            return str(cell)
        case _:
            raise ValueError("is nested: name what is inside it as column.key, or leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one value is taken from a row. `parse` turns the cleaned text into what the model reads."""

    parts: tuple[str | Column, ...]
    empty: frozenset[str] = NO_VALUE
    replace: Sequence[tuple[str, str]] = ()
    case: Callable[[str], str] = str
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    parse: Callable[[str], str] = str

    def take(self, row: Row) -> object:
        """The cell as it stands; of a template the text. None when empty, or when a template lacks a part."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Column):
            cell = self.parts[0].of(row)
            return None if isinstance(cell, str) and cell.strip() in self.empty else cell
        texts = [part if isinstance(part, str) else plain(part.of(row)) for part in self.parts]
        filled = all(isinstance(p, str) or t not in self.empty for p, t in zip(self.parts, texts, strict=True))
        return "".join(texts) if filled else None

    def clean(self, taken: object) -> str | None:
        """What the model is to read. Raises ValueError with the rest of a sentence that begins with the value."""
        text = plain(taken)
        for old, new in self.replace:
            text = text.replace(old, new)
        text = self.case(text)
        text = self.values.get(text, text).strip()
        if text in self.empty:
            return None
        return self.parse(text) if isinstance(taken, str) else text  # JSON says itself what is a number


def slug(text: str) -> str:
    """Lower case without accents, words joined by hyphens: "Müller & Söhne" is "muller-sohne"."""
    unaccented = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", "-", unaccented.casefold()).strip("-")


CASES: Mapping[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "slug": slug}

# How numbers are written, by example: (thousands, decimal mark).
NUMBER_STYLES: Mapping[str, tuple[str, str]] = {
    "1,234.56": (",", "."),
    "1'234.56": ("'", "."),
    "1 234.56": (" ", "."),
    "1234.56": ("", "."),
    "1.234,56": (".", ","),
    "1 234,56": (" ", ","),
    "1234,56": ("", ","),
}


# How dates are written, by example: 31 December 2026, 14:30:45. Each part as strptime calls it.
DATE_PARTS: Mapping[str, str] = {
    "2026": "%Y", "26": "%y", "December": "%B", "Dec": "%b", "12": "%m", "31": "%d",
    "14": "%H", "02": "%I", "30": "%M", "45": "%S", "PM": "%p", "+01:00": "%z", "T": "T",
}  # fmt: skip
DATE_PART = re.compile("|".join(map(re.escape, DATE_PARTS)) + r"|[\w%]")
DATE_NEEDS = ({"%Y", "%y"}, {"%m", "%b", "%B"}, {"%d"})


def date_format(example: str) -> str:
    """The format of strptime for 31 December 2026 as it is written somewhere. Raises ValueError."""
    parts = DATE_PART.findall(example)
    formats = {DATE_PARTS.get(part) for part in parts}
    if None in formats or not all(need & formats for need in DATE_NEEDS):
        raise ValueError(f'"{example}" does not show how dates are written: write 31 December 2026 that way')
    return DATE_PART.sub(lambda match: DATE_PARTS[match[0]], example)


def dates(examples: Sequence[str]) -> Callable[[str], str]:
    """A parser into ISO 8601 that tries several ways of writing in order."""
    formats = [date_format(example) for example in examples]
    refusal = f"is not a date like {' or '.join(examples)}"

    def parse(text: str) -> str:
        for format_ in formats:
            try:
                return datetime.strptime(text, format_).isoformat()  # noqa: DTZ007 - the model knows the zone
            except ValueError:
                continue
        raise ValueError(refusal)

    return parse


def numbers(style: str) -> Callable[[str], str]:
    """A parser of a style of numbers, with or without a currency or a percent sign (50% is 0.5)."""
    thousands, point = map(re.escape, NUMBER_STYLES[style])
    # Groups must be of three: 12,5 read as 125 would be a silent error in files with a decimal comma.
    grouped = f"[0-9]{{1,3}}(?:{thousands}[0-9]{{3}})+|" if thousands else ""
    shape = re.compile(f"([-+]?)(?=.*[0-9])({grouped}[0-9]*)(?:{point}([0-9]+))?(%?)")

    def parse(text: str) -> str:
        match = shape.fullmatch(_bare(text))
        if not match:
            raise ValueError(f"is not a number like {style}")
        sign, whole, fraction, percent = match.groups()
        number = Decimal(f"{sign}{re.sub('[^0-9]', '', whole) or 0}.{fraction or 0}")
        return str(number / 100 if percent else number)

    return parse


def _bare(text: str) -> str:
    """Without currency ($, EUR), one kind of space and apostrophe, no space after a sign or before a percent sign."""
    kept = "".join(c for c in text if unicodedata.category(c) != "Sc").replace("’", "'").strip()
    kept = re.sub(r"^[A-Z]{3}\b|\b[A-Z]{3}$", "", kept)
    kept = re.sub(r"\s", " ", kept.strip())
    return re.sub(r"^([-+]) +| +(%)$", r"\1\2", kept)
