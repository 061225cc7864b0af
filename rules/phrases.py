"""The value grammar: what an author wrote for a field, as a test. Closed: anything else is an error with a way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from domain.calendar import SHORTER_THAN_A_DAY, Span, Unit
from rules.model import YES_NO, Date, DateTime, Enum, FieldType, Money, Number, Ref, Text, Value, YesNo
from rules.operators import PHRASES, Equals, Missing, MissingOr, NoneOf, OnDay, Phrase, Present, Test
from rules.problems import Place, Problems, suggestion
from rules.source import Mapping, Node, Scalar, Sequence

COUNT_LIMIT = 100_000  # of a span's units; more than any calendar holds is a slip of the finger
COUNT_DIGITS = 9  # are enough to see that it is more
BUSINESS_LIMIT = {Unit.BUSINESS_DAYS: 2_600, Unit.BUSINESS_HOURS: 26_000}  # ten years; they are counted one by one

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
    count = int(match[1][:COUNT_DIGITS])
    limit = BUSINESS_LIMIT.get(unit, COUNT_LIMIT)
    if count > limit:
        raise Wrong(code="R201", message=f"{text} is beyond any calendar", help=f"at most {limit}", place=place)
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
                return self._equals([v for n in node.items for v in self._short(self._word(n), n.at)], node.at)
            case Mapping():
                return self._long_form(node)

    def scalar(self, node: Scalar) -> Test:
        if node.is_null or not node.text.strip():
            raise Wrong(
                code="R201",
                message="a test is empty",
                help="write what must hold, or `missing` for no value",
                place=node.at,
            )
        return self._phrase(node.text, node.at)

    def _phrase(self, text: str, at: Place) -> Test:
        if text in PRESENCE:
            return PRESENCE[text]
        for opening, read in OPENINGS.items():
            if match := re.match(opening, text):
                rest = text[match.end() :]
                return read(self, rest, at.within(rest))
        for phrase, pattern in _patterns():
            match = pattern.fullmatch(text.strip())
            if match is None:
                continue
            if self._takes(phrase):
                return self._build(phrase, [(word, at.within(word)) for word in match.groups()], at)
            if not isinstance(self.type, Enum) or not self.type.members(text):
                raise self._other_type(phrase, text, at)
        return self._equals(self._literal(text, at), at)

    def _missing_or(self, rest: str, at: Place) -> Test:
        return self._or_missing(self._phrase(rest, at), at)

    def _or_missing(self, test: Test, at: Place) -> Test:
        if isinstance(test, Missing | Present | MissingOr):
            raise Wrong(code="R201", message="says missing twice", help="name a test after `missing or`", place=at)
        return MissingOr(test=test)

    def _none_of_words(self, rest: str, at: Place) -> Test:
        return self._none_of([v for word in rest.split(",") for v in self._short(word.strip(), at)], at)

    def _not_word(self, rest: str, at: Place) -> Test:
        if listed := re.fullmatch(r"\[(.*)]", rest):
            message, way_out = f'"{rest}" is one word after `not`', f"write none of {listed[1]}"
            raise Wrong(code="R201", message=message, help=way_out, place=at)
        return self._none_of(self._short(rest, at), at)

    def _takes(self, phrase: Phrase) -> bool:
        return isinstance(self.type, phrase.types) and not isinstance(self.type, Ref)

    def _other_type(self, phrase: Phrase, text: str, at: Place) -> Wrong:
        wanted = " or ".join(t().says for t in phrase.types)
        literal = isinstance(self.type, Text)
        return Wrong(
            code="R203",
            message=f'"{text}" tests {wanted}, but {self.name} is {self.type.says}',
            help=f'for the words themselves write {{is: "{text}"}}' if literal else self._help(text),
            place=at,
        )

    def _build(self, phrase: Phrase, words: list[tuple[str, Place]], at: Place) -> Test:
        """`words`: what stands in the holes of the phrase, and where."""
        holes = list(_holes(phrase))
        if len(words) != len(holes):
            example = self._example(phrase, "")
            raise Wrong(
                code="R201", message=f"{len(words)} values where {len(holes)} belong", help=f"as in {example}", place=at
            )
        return phrase.build(*(self._argument(hole, word, at) for hole, (word, at) in zip(holes, words, strict=True)))

    def _argument(self, hole: str, word: str, at: Place) -> Argument:
        if hole == "{span}":
            span = parse_span(word, at)
            if span.unit in SHORTER_THAN_A_DAY and isinstance(self.type, Date):
                raise Wrong(
                    code="R203",
                    message=f'"{span}" needs a time of day, but {self.name} is a date',
                    help="count in days, or make the field a datetime",
                    place=at,
                )
            return span
        if hole == "{text}":
            return word
        type_ = Number() if hole == "{number}" else Date()
        try:
            value = type_.read(word, self.zone)
        except ValueError as refusal:
            help_ = f"as in {EXAMPLE[hole[1:-1]]}"
            raise Wrong(code="R201", message=f'"{word}" {refusal}', help=help_, place=at) from None
        assert isinstance(value, Decimal | date)
        return value

    def _word(self, node: Node) -> str:
        if isinstance(node, Scalar):
            return node.text
        raise Wrong(
            code="R201", message="a list of values holds words only", help="as in [draft, active]", place=node.at
        )

    def _short(self, word: str, at: Place) -> list[Value]:
        """A literal outside the long form, where words that read like a test are a mistake."""
        like_a_test = word in PRESENCE or any(re.match(opening, word) for opening in OPENINGS)
        if isinstance(self.type, Text) and (like_a_test or any(p.fullmatch(word.strip()) for _, p in _patterns())):
            help_ = f'for the words themselves write {{is: "{word}"}} or {{not: "{word}"}}'
            raise Wrong(code="R201", message=f'"{word}" reads like a test', help=help_, place=at.within(word))
        return self._literal(word, at)

    def _literal(self, word: str, at: Place) -> list[Value]:
        """The value a word stands for; a group of an enum stands for all its members."""
        place = at.within(word)
        if isinstance(self.type, Enum):
            members = self.type.members(word)
            if not members:
                raise Wrong(
                    code="R202" if re.fullmatch(r"[\w-]+", word) else "R201",
                    message=f'"{word}" is not a value of {self.name}',
                    help=self._help(word),
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
        return self._by_day(values, at, wanted=True) or Equals(values=tuple(dict.fromkeys(values)))

    def _none_of(self, values: list[Value], at: Place) -> Test:
        return self._by_day(values, at, wanted=False) or NoneOf(values=tuple(dict.fromkeys(values)))

    def _by_day(self, values: list[Value], at: Place, *, wanted: bool) -> Test | None:
        """A date with time that is compared with days is compared by its local day."""
        days = tuple(v for v in values if isinstance(v, date) and not isinstance(v, datetime))
        if not isinstance(self.type, DateTime) or not days:
            return None
        if len(days) < len(values):
            help_ = "write days only, or moments only"
            raise Wrong(code="R201", message="a list holds days or moments, not both", help=help_, place=at)
        return OnDay(days=days, wanted=wanted)

    def _long_form(self, node: Mapping) -> Test:
        """`{in the next: 90 days}`: the phrase's words as the key, what fills its holes as the value."""
        if len(node.entries) != 1:
            raise Wrong(code="R201", message="a long form has one key", help='as in {is: "missing"}', place=node.at)
        key, value = node.entries[0]
        if key.text in LONG_FORMS:
            return LONG_FORMS[key.text](self, value)
        phrase = LONG_PHRASES.get(key.text)
        if phrase is None and key.text not in PRESENCE:
            help_ = suggestion(key.text, [*LONG_FORMS, *PRESENCE, *LONG_PHRASES], shown=20)
            raise Wrong(code="R201", message=f'"{key}" is not a test', help=help_, place=key.at)
        words = [(self._word(n), n.at) for n in _listed(value)]
        if phrase is None or not list(_holes(phrase)):  # nothing to fill in: `{passed: yes}`
            if [YES_NO.get(word) for word, _ in words] not in ([], [True]):
                raise Wrong(code="R201", message=f'"{value}" is not yes', help=f"as in {{{key}: yes}}", place=value.at)
            words = []
        if phrase is None:
            return PRESENCE[key.text]
        if not self._takes(phrase):
            raise self._other_type(phrase, f"{key}", key.at)
        return self._build(phrase, words, value.at)

    def _example(self, phrase: Phrase, word: str) -> str:
        """A phrase with its holes filled, by the author's own length of time where there is one."""
        span = re.search(r"\d+\s+(?:business\s+)?[a-z]+", word)
        examples = EXAMPLE | ({"span": span[0]} if span else {})
        return re.sub(r"\{(\w+)\}", lambda m: examples[m[1]], phrase.words)

    def _help(self, word: str) -> str:
        """The nearest value or phrase, or what may stand here at all."""
        if isinstance(self.type, Enum):
            return suggestion(word, [*self.type.values, *self.type.groups]) or "name a value"
        shown = [self._example(phrase, word) for phrase in PHRASES if self._takes(phrase)]
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


def _listed(node: Node) -> tuple[Node, ...]:
    """One value or several; nothing where there is none."""
    if isinstance(node, Sequence):
        return node.items
    return () if isinstance(node, Scalar) and node.is_null else (node,)


def _literals(grammar: Grammar, node: Node) -> list[Value]:
    return [v for n in _listed(node) for v in grammar._literal(grammar._word(n), n.at)]  # pyright: ignore[reportPrivateUsage]


PRESENCE: dict[str, Test] = {"missing": Missing(), "present": Present()}
# How a short form can begin, and what reads the rest of it.
OPENINGS: dict[str, Callable[[Grammar, str, Place], Test]] = {
    r"\s*missing\s+or\s+": Grammar._missing_or,  # pyright: ignore[reportPrivateUsage]
    r"\s*none\s+of\s+": Grammar._none_of_words,  # pyright: ignore[reportPrivateUsage]
    r"\s*not\s+": Grammar._not_word,  # pyright: ignore[reportPrivateUsage]
}
LONG_FORMS: dict[str, Callable[[Grammar, Node], Test]] = {
    "is": lambda grammar, node: grammar._equals(_literals(grammar, node), node.at),  # pyright: ignore[reportPrivateUsage]
    "not": lambda grammar, node: grammar._none_of(_literals(grammar, node), node.at),  # pyright: ignore[reportPrivateUsage]
    "none of": lambda grammar, node: grammar._none_of(_literals(grammar, node), node.at),  # pyright: ignore[reportPrivateUsage]
    "missing or": lambda grammar, node: grammar._or_missing(grammar.read(node), node.at),  # pyright: ignore[reportPrivateUsage]
}


def _holes(phrase: Phrase) -> Iterator[str]:
    return (match[0] for match in re.finditer(r"\{\w+\}", phrase.words))


@cache
def _patterns() -> tuple[tuple[Phrase, re.Pattern[str]], ...]:
    return tuple((phrase, _pattern(phrase)) for phrase in PHRASES)


def _pattern(phrase: Phrase) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", phrase.words)
    names = iter("abcdef")
    words = (HOLES[p].replace("{name}", next(names)) if p in HOLES else re.escape(p) for p in parts)
    return re.compile("".join(words).replace(r"\ ", r"\s+"))


# {more than ago: 5 days}: a phrase's words without its holes
LONG_PHRASES = {" ".join(re.sub(r"\{\w+\}", "", p.words).split()).removesuffix(" and"): p for p in PHRASES}


def read_test(node: Node, name: str, type_: FieldType, *, zone: ZoneInfo, problems: Problems) -> Test | None:
    """The test an author wrote for a field of this type; None after the problem was reported."""
    try:
        return Grammar(name=name, type=type_, zone=zone).read(node)
    except Wrong as wrong:
        problems.error(wrong.code, wrong.place, wrong.message, wrong.help)
        return None
