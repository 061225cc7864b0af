"""What rules say: sandboxed templates over facts, in the reader's language, numbers and dates as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import yaml
from babel.dates import format_date, format_timedelta, get_date_format
from babel.numbers import format_currency, format_decimal, format_percent
from jinja2 import Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.calendar import At
from rules.model import Enum, Fact, Facts, Kind, Model, Money, Ref, Value
from rules.operators import local_day, recurrences

NOTHING = "–"  # stands where a value is missing
LOCALES: Mapping[str, str] = {"en": "en_GB", "de": "de_CH", "fr": "fr_CH", "it": "it_CH"}
YES_NO: Mapping[str, tuple[str, str]] = {
    "en": ("no", "yes"),
    "de": ("nein", "ja"),
    "fr": ("non", "oui"),
    "it": ("no", "sì"),
}
SHORT_DAY: Mapping[str, str] = {"de": "EEE d. MMM"}
FIRST_OF_MONTH: Mapping[str, str] = {"fr": "'1er'", "it": "'1°'"}  # where the first is no plain 1
# How words meet. Each pattern stands in one language alone, so that none needs to be told which it reads.
NO_BREAK_SPACE = "\u00a0"
FRENCH_SPACE = re.compile(r" (?=[?:;!»])|(?<=«) ")  # French sets these marks apart, but never on another line
ITALIAN_ARTICLE = re.compile(r"\b(il|Il|del|dal|al|nel) (?=8|11\b)")  # l’8 gennaio, dell’11 marzo, l’85%
ELIDED: Mapping[str, str] = {"il": "l’", "Il": "L’", "del": "dell’", "dal": "dall’", "al": "all’", "nel": "nell’"}
BREAKS = re.compile(r"[^\S\u00a0\u202f]+")  # any space but those that must not break


@cache
def words(language: str) -> Mapping[str, str]:
    """What a language calls the words of the shipped models."""
    resource = files("rules") / "words" / f"{language}.yaml"
    return yaml.safe_load(resource.read_text("utf-8")) if resource.is_file() else {}


def inside(word: str, language: str) -> str:
    """A kind, field or value as people call it within a sentence: `end_date` is "end date"."""
    return words(language).get(word, word.replace("_", " "))


def joined(text: str) -> str:
    """A text put together, with its words as they meet: "il 8 marzo" is "l’8 marzo"."""
    text = ITALIAN_ARTICLE.sub(lambda article: ELIDED[article[1]], text)
    return FRENCH_SPACE.sub(NO_BREAK_SPACE, text)


class BadTemplate(Exception):
    """A sentence that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """In which language, currency and office a sentence is said, and when."""

    at: At
    language: str
    currency: str

    @property
    def locale(self) -> str:
        return LOCALES.get(self.language, "en_GB")

    def money(self, value: Decimal, currency: str | None = None) -> str:
        """CHF 48,200: cents only where there are any."""
        pattern = "¤¤ #,##0.00" if value % 1 else "¤¤ #,##0"
        return format_currency(
            value, currency or self.currency, format=pattern, locale=self.locale, currency_digits=False
        ).replace("\xa0", " ")

    def day(self, value: date) -> str:
        return self._day(value, str(get_date_format("long", locale=self.locale)))

    def short_day(self, value: date) -> str:
        """Fri 27 Nov"""
        return self._day(value, SHORT_DAY.get(self.language, "EEE d MMM"))

    def _day(self, value: date, pattern: str) -> str:
        day = local_day(value, self.at.calendar)
        if day.day == 1:
            pattern = pattern.replace("d", FIRST_OF_MONTH.get(self.language, "d"))
        return format_date(day, pattern, locale=self.locale)

    def shown(self, value: Value | None, currency: str | None = None) -> str:
        """A value as people write it. `currency` marks an amount of money."""
        match value:
            case None:
                return NOTHING
            case bool():
                return YES_NO.get(self.language, YES_NO["en"])[value]
            case Decimal() if currency:
                return self.money(value, currency)
            case Decimal():
                return format_decimal(value, locale=self.locale)
            case datetime():
                return f"{self.day(value)}, {self.at.calendar.local(value):%H:%M}"
            case date():
                return self.day(value)
            case str():
                return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A value inside a sentence: prints as people write it, and filters see what it is."""

    value: Value | None
    voice: Voice
    currency: str | None = None

    def __str__(self) -> str:
        return self.voice.shown(self.value, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidRecord:
    """A record inside a sentence; its refs lead on to the records they name."""

    kind: Kind
    fact: Fact
    facts: Facts
    model: Model
    voice: Voice

    def __getitem__(self, name: str) -> Said | SaidRecord:
        type_ = self.kind.fields.get(name)
        value = self.fact.get(name)
        if isinstance(type_, Ref) and type_.kind in self.model.kinds:
            # Of a record that is not known there is still the id, and nothing else.
            linked = self.facts.find(type_.kind, value) or {"id": NOTHING if value is None else value}
            return SaidRecord(
                kind=self.model.kinds[type_.kind], fact=linked, facts=self.facts, model=self.model, voice=self.voice
            )
        if isinstance(type_, Enum) and isinstance(value, str):
            value = inside(value, self.voice.language)
        currency = (type_.currency or self.voice.currency) if isinstance(type_, Money) else None
        return Said(value=value, voice=self.voice, currency=currency)

    def __str__(self) -> str:
        return str(self.fact.get("name", self.fact["id"]))


def _ago(said: Said, value: date) -> str:
    at = said.voice.at
    delta = value - at.now if isinstance(value, datetime) else value - at.today
    return format_timedelta(delta, add_direction=True, threshold=1.6, locale=said.voice.locale)


def _years(said: Said, value: date) -> str:
    first = local_day(value, said.voice.at.calendar)
    upcoming = next(recurrences(first, said.voice.at.today), first)
    return str(upcoming.year - first.year)


def _next_anniversary(said: Said, value: date) -> str:
    first = local_day(value, said.voice.at.calendar)
    return said.voice.day(next(recurrences(first, said.voice.at.today), first))


def _of(type_: type, say: Callable[[Said, Any], str]) -> Callable[[object], str]:
    def filter_(said: object) -> str:
        return say(said, said.value) if isinstance(said, Said) and isinstance(said.value, type_) else NOTHING

    return filter_


FILTERS: Mapping[str, Callable[[object], str]] = {
    "money": _of(Decimal, lambda said, v: said.voice.money(v, said.currency)),
    "percent": _of(Decimal, lambda said, v: format_percent(v, locale=said.voice.locale)),
    "number": _of(Decimal, lambda said, v: format_decimal(v, locale=said.voice.locale)),
    "day": _of(date, lambda said, v: said.voice.day(v)),
    "month": _of(date, lambda said, v: format_date(v, "MMMM yyyy", locale=said.voice.locale)),
    "ago": _of(date, _ago),
    "years": _of(date, _years),
    "next_anniversary": _of(date, _next_anniversary),
}
ALLOWED = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Filter, nodes.Const)


class _Sentences(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of that name and nothing else: `vehicle.model` is the car's, not an attribute of ours."""
        return self.getitem(obj, attribute)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Sentences(autoescape=False)
    environment.globals.clear()
    environment.tests.clear()
    environment.filters.clear()
    environment.filters.update(FILTERS)
    return environment


@lru_cache(maxsize=4096)
def _template(text: str) -> Template:
    return _environment().from_string(text)


def references(text: str) -> Iterator[tuple[str, ...]]:
    """Every name a sentence uses, with the fields that follow it. Raises `BadTemplate`."""
    parts = _parts(text)
    inner = {id(node.node) for node in parts if isinstance(node, nodes.Getattr)}
    for node in parts:
        if isinstance(node, nodes.Name | nodes.Getattr) and id(node) not in inner:
            yield _path(node)


def _parts(text: str) -> list[nodes.Node]:
    """Everything in the sentence's tree: names, fields and known filters, nothing else."""
    environment = _environment()
    try:
        parts = list(environment.parse(text).find_all(nodes.Node))
    except TemplateError as failure:
        raise BadTemplate(failure.message or "cannot be read") from None
    for node in parts:
        if isinstance(node, nodes.Filter) and (node.name not in FILTERS or node.args or node.dyn_args):
            raise BadTemplate(f'"{node.name}" is not a filter; there are: {", ".join(FILTERS)}')
        if not isinstance(node, ALLOWED):
            raise BadTemplate(f"a sentence holds fields and filters only, not {type(node).__name__.lower()}")
    return parts


def _path(node: nodes.Node) -> tuple[str, ...]:
    """`contract.line` as ("contract", "line")."""
    match node:
        case nodes.Name():
            return (node.name,)
        case nodes.Getattr():
            return (*_path(node.node), node.attr)
        case _:
            return ()


def render(text: str, names: Mapping[str, object]) -> str:
    """A checked sentence with its names filled in, on one line."""
    return joined(BREAKS.sub(" ", _template(text).render(names)).strip())
