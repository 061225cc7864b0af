"""The value grammar: what an author wrote for a field, as a test. Closed: anything else is an error with a way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from domain.calendar import SHORTER_THAN_A_DAY, Span, Unit
from rules.model import Date, DateTime, Enum, FieldType, Money, Number, Ref, Text, Value, YesNo
from rules.operators import PHRASES, Equals, Missing, MissingOr, NoneOf, OnDay, Phrase, Present, Test
from rules.problems import Place, Problems, suggestion
from rules.source import Mapping, Node, Scalar, Sequence

COUNT_LIMIT = 100_000  # of a span's units; more than any calendar holds is a slip of the finger

UNITS: dict[str, Unit] = {word: unit for unit in Unit for word in (unit.value, unit.value.removesuffix("s"))}
ANY_TYPE = ("missing", "present", "missing or ...", "not ...", "none of ..., ...")
HOLES = {
    "{span}": r"(?P<{name}>\d+\s+(?:business\s+)?[a-z]+)",
    "{number}": r"(?P<{name}>\S+)",
    "{day}": r"(?P<{name}>\S+)",
    "{text}": r"(?P<{name}>.+)",
}
Argument: TypeAlias = Span | Decimal | date | str


@dataclass(kw_only=True, eq=False)
class Wrong(Exception):
    """Why a test cannot be read."""

    code: str
    message: str
    help: str | None
    place: Place


def parse_span(text: str, place: Place) -> Span:
    """`14 days`, `4 business hours`. Raises `Wrong`."""
    match = re.fullmatch(r"(\d+)\s+((?:business\s+)?[a-z]+)", text.strip())
    unit = UNITS.get(re.sub(r"\s+", " ", match[2])) if match else None
    if match is None or unit is None:
        word = match[2] if match else text
        raise Wrong(
            code="R201",
            message=f'"{text}" is not a length of time',
            help=suggestion(word, [u.value for u in Unit]) if match else 'write a number and a unit, as in "14 days"',
            place=place,
        )
    count = int(match[1])
    if count > COUNT_LIMIT:
        raise Wrong(code="R201", message=f"{text} is beyond any calendar", help=f"at most {COUNT_LIMIT}", place=place)
    return Span(count=count, unit=unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Reads tests on one field. `name` is what messages call it; `zone` is the company's."""

    name: str
    type: FieldType
    zone: ZoneInfo

    def read(self, node: Node) -> Test:
        """Raises `Wrong` at the part that cannot be read."""
        match node:
            case Scalar():
                return self.scalar(node)
            case Sequence():
                return self._equals([item for n in node.items for item in self._literal(self._word(n), n.at)], node.at)
            case Mapping():
                return self._long_form(node)

    def scalar(self, node: Scalar) -> Test:
        text = " ".join(node.text.split())
        if node.is_null or not text:
            raise Wrong(
                code="R201",
                message="a test is empty",
                help="write what must hold, or `missing` for no value",
                place=node.at,
            )
        return self._phrase(text, node.at)

    def _phrase(self, text: str, at: Place) -> Test:
        if text in ("missing", "present"):
            return Missing() if text == "missing" else Present()
        if text.startswith("missing or "):
            rest = text.removeprefix("missing or ")
            inner = self._phrase(rest, at.within(rest))
            if isinstance(inner, Missing | Present | MissingOr):
                raise Wrong(
                    code="R201", message=f'"{text}" says missing twice', help="name a test after `or`", place=at
                )
            return MissingOr(test=inner)
        if text.startswith("none of "):
            rest = text.removeprefix("none of ")
            words = [word.strip() for word in rest.split(",")]
            return self._none_of([v for word in words for v in self._literal(word, at.within(rest))])
        if text.startswith("not "):
            rest = text.removeprefix("not ")
            return self._none_of(self._literal(rest, at.within(rest)))
        return self._typed(text, at)

    def _typed(self, text: str, at: Place) -> Test:
        for phrase in PHRASES:
            match = _pattern(phrase).fullmatch(text)
            if match is None:
                continue
            if isinstance(self.type, phrase.types) and not isinstance(self.type, Ref):
                return self._build(phrase, list(match.groupdict().values()), at)
            if not isinstance(self.type, Enum) or not self.type.members(text):
                raise self._other_type(phrase, text, at)
        return self._equals(self._literal(text, at), at)

    def _other_type(self, phrase: Phrase, text: str, at: Place) -> Wrong:
        wanted = " or ".join(t().says for t in phrase.types)
        literal = isinstance(self.type, Text)
        return Wrong(
            code="R203",
            message=f'"{text}" tests {wanted}, but {self.name} is {self.type.says}',
            help=f'for the words themselves write {{is: "{text}"}}' if literal else self._help(text),
            place=at,
        )

    def _build(self, phrase: Phrase, words: list[str], at: Place) -> Test:
        return phrase.build(*(self._argument(hole, word, at) for hole, word in zip(_holes(phrase), words, strict=True)))

    def _argument(self, hole: str, word: str, at: Place) -> Argument:
        if hole == "{span}":
            span = parse_span(word, at.within(word))
            if span.unit in SHORTER_THAN_A_DAY and isinstance(self.type, Date):
                raise Wrong(
                    code="R203",
                    message=f'"{span}" needs a time of day, but {self.name} is a date',
                    help="count in days, or make the field a datetime",
                    place=at.within(word),
                )
            return span
        if hole == "{text}":
            return word
        type_ = Number() if hole == "{number}" else Date()
        try:
            value = type_.read(word, self.zone)
        except ValueError as refusal:
            raise Wrong(code="R201", message=f'"{word}" {refusal}', help=None, place=at.within(word)) from None
        assert isinstance(value, Decimal | date)
        return value

    def _word(self, node: Node) -> str:
        if isinstance(node, Scalar):
            return node.text.strip()
        raise Wrong(code="R201", message="a list of values holds words only", help=None, place=node.at)

    def _literal(self, word: str, at: Place) -> list[Value]:
        """The value a word stands for; a group of an enum stands for all its members."""
        place = at.within(word)
        if isinstance(self.type, Enum):
            members = self.type.members(word)
            if not members:
                raise Wrong(
                    code="R202" if re.fullmatch(r"[\w-]+", word) else "R201",
                    message=f'"{word}" is not a value of {self.name}',
                    help=suggestion(word, [*self.type.values, *self.type.groups]) or self._help(word),
                    place=place,
                )
            return list(members)
        if isinstance(self.type, DateTime) and re.fullmatch(r"\d{4}-\d\d-\d\d", word):
            return [self._read(Date(), word, place)]
        return [self._read(self.type, word, place)]

    def _read(self, type_: FieldType, word: str, place: Place) -> Value:
        try:
            return type_.read(word, self.zone)
        except ValueError as refusal:
            raise Wrong(code="R201", message=f'"{word}" {refusal}', help=self._help(word), place=place) from None

    def _equals(self, values: list[Value], at: Place) -> Test:
        if not values:
            raise Wrong(code="R201", message="an empty list equals nothing", help="name at least one value", place=at)
        return self._by_day(values, wanted=True) or Equals(values=tuple(dict.fromkeys(values)))

    def _none_of(self, values: list[Value]) -> Test:
        return self._by_day(values, wanted=False) or NoneOf(values=tuple(dict.fromkeys(values)))

    def _by_day(self, values: list[Value], *, wanted: bool) -> Test | None:
        """A date with time that is compared with days is compared by its local day."""
        days = tuple(v for v in values if isinstance(v, date) and not hasattr(v, "hour"))
        return OnDay(days=days, wanted=wanted) if isinstance(self.type, DateTime) and len(days) == len(values) else None

    def _long_form(self, node: Mapping) -> Test:
        """`{in the next: 90 days}`: the phrase's words as the key, what fills its holes as the value."""
        if len(node.entries) != 1:
            raise Wrong(code="R201", message="a long form has one key", help='as in {is: "missing"}', place=node.at)
        key, value = node.entries[0]
        reader = LONG_FORMS.get(key.text)
        if reader is not None:
            return reader(self, value)
        filled = [f"{key.text} {word}".strip() for word in _words(value)]
        middle = LONG_MIDDLE.get(key.text)
        return self._phrase(middle(_words(value)) if middle else filled[0] if filled else key.text, node.at)

    def _help(self, word: str) -> str:
        """The nearest phrase with the author's own length of time in it, or what may stand here at all."""
        span = re.search(r"\d+\s+(?:business\s+)?[a-z]+", word)
        examples = EXAMPLE | ({"span": span[0]} if span else {})
        phrases = [p.words for p in PHRASES if isinstance(self.type, p.types) and not isinstance(self.type, Ref)]
        shown = [re.sub(r"\{(\w+)\}", lambda m: examples[m[1]], p) for p in phrases]
        near = suggestion(word, shown, shown=0)
        if near:
            return near
        literals = LITERALS.get(type(self.type), "a value")
        return f"write {literals}" + (f", or one of: {'; '.join(shown)}" if shown else "") + f"; {', '.join(ANY_TYPE)}"


EXAMPLE = {"span": "14 days", "number": "1000", "day": "2027-01-31", "text": "words"}
LITERALS: dict[type[FieldType], str] = {
    YesNo: "yes or no",
    Number: "a number",
    Money: "an amount",
    Date: "a date like 2027-01-07",
    DateTime: "a day like 2027-01-07",
}


def _is(grammar: Grammar, value: Node) -> Test:
    nodes = value.items if isinstance(value, Sequence) else (value,)
    return grammar._equals([v for n in nodes for v in grammar._literal(grammar._word(n), n.at)], value.at)  # pyright: ignore[reportPrivateUsage]


def _not(grammar: Grammar, value: Node) -> Test:
    nodes = value.items if isinstance(value, Sequence) else (value,)
    return grammar._none_of([v for n in nodes for v in grammar._literal(grammar._word(n), n.at)])  # pyright: ignore[reportPrivateUsage]


LONG_FORMS: dict[str, Callable[[Grammar, Node], Test]] = {
    "is": _is,
    "not": _not,
    "none of": _not,
    "missing or": lambda grammar, value: MissingOr(test=grammar.read(value)),
}
LONG_MIDDLE: dict[str, Callable[[list[str]], str]] = {
    "between": lambda words: "between " + " and ".join(words),
    "more than ago": lambda words: f"more than {' '.join(words)} ago",
    "more than away": lambda words: f"more than {' '.join(words)} away",
}


def _words(node: Node) -> list[str]:
    match node:
        case Scalar():
            return [] if node.is_null or node.text in ("yes", "true") else [node.text]
        case Sequence():
            return [str(item) for item in node.items]
        case Mapping():
            return []


def _holes(phrase: Phrase) -> Iterator[str]:
    return (match[0] for match in re.finditer(r"\{\w+\}", phrase.words))


@cache
def _pattern(phrase: Phrase) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", phrase.words)
    names = iter("abcdef")
    return re.compile("".join(HOLES[p].replace("{name}", next(names)) if p in HOLES else re.escape(p) for p in parts))


def read_test(node: Node, name: str, type_: FieldType, *, zone: ZoneInfo, problems: Problems) -> Test | None:
    """The test an author wrote for a field of this type; None after the problem was reported."""
    try:
        return Grammar(name=name, type=type_, zone=zone).read(node)
    except Wrong as wrong:
        problems.error(wrong.code, wrong.place, wrong.message, wrong.help)
        return None
