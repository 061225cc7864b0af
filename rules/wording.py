"""Rules and facts in a reader's own words: labels, conditions as sentences, the button's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

import yaml

from domain.calendar import Span, Unit
from domain.record import CUSTOMER
from rules.explain import Reason
from rules.model import Enum, Fact, FieldType, Model, Money, Number, Ref, Value, YesNo
from rules.operators import (
    Before,
    Between,
    Compare,
    Contains,
    Equals,
    Missing,
    MissingOr,
    NoneOf,
    OnDay,
    Present,
    StartsWith,
    Temporal,
    Test,
)
from rules.rule import Condition, Relation, Tie
from rules.say import NOTHING, Voice

FACTS_SHOWN = 8

# What a test says, by language. {0}, {1} are its bounds, spans, days or values.
PHRASES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "is": "is {0}",
        "is not": "is not {0}",
        "or": " or ",
        "missing": "is missing",
        "present": "is known",
        "missing or": "is missing or {0}",
        "above": "is above {0}",
        "below": "is below {0}",
        "at least": "is at least {0}",
        "at most": "is at most {0}",
        "between": "is between {0} and {1}",
        "starts with": "starts with {0}",
        "contains": "contains {0}",
        "in the next": "is in the next {0}",
        "in the last": "was in the last {0}",
        "more than ago": "was more than {0} ago",
        "more than away": "is more than {0} away",
        "passed": "has passed",
        "today": "is today",
        "before": "is before {0}",
        "after": "is after {0}",
        "anniversary in the next": "has its anniversary in the next {0}",
        "with": "there is a {0}",
        "unless": "there is no {0}",
        "where": "{0} with {1}",
        "how many": "{0}: the number {1}",
    },
    "de": {
        "is": "ist {0}",
        "is not": "ist nicht {0}",
        "or": " oder ",
        "missing": "fehlt",
        "present": "ist bekannt",
        "missing or": "fehlt oder {0}",
        "above": "liegt über {0}",
        "below": "liegt unter {0}",
        "at least": "ist mindestens {0}",
        "at most": "ist höchstens {0}",
        "between": "liegt zwischen {0} und {1}",
        "starts with": "beginnt mit {0}",
        "contains": "enthält {0}",
        "in the next": "liegt in den nächsten {0}",
        "in the last": "lag in den letzten {0}",
        "more than ago": "war vor mehr als {0}",
        "more than away": "liegt in mehr als {0}",
        "passed": "ist vorbei",
        "today": "ist heute",
        "before": "liegt vor dem {0}",
        "after": "liegt nach dem {0}",
        "anniversary in the next": "jährt sich in den nächsten {0}",
        "with": "es gibt: {0}",
        "unless": "es gibt nicht: {0}",
        "where": "{0} mit {1}",
        "how many": "{0}: die Anzahl {1}",
    },
}
# (one, many) of each unit; German in the dative, which every phrase above asks for.
UNITS: Mapping[str, Mapping[Unit, tuple[str, str]]] = {
    "en": {u: (u.value.removesuffix("s"), u.value) for u in Unit},
    "de": {
        Unit.MINUTES: ("Minute", "Minuten"),
        Unit.HOURS: ("Stunde", "Stunden"),
        Unit.DAYS: ("Tag", "Tagen"),
        Unit.WEEKS: ("Woche", "Wochen"),
        Unit.MONTHS: ("Monat", "Monaten"),
        Unit.YEARS: ("Jahr", "Jahren"),
        Unit.BUSINESS_HOURS: ("Arbeitsstunde", "Arbeitsstunden"),
        Unit.BUSINESS_DAYS: ("Arbeitstag", "Arbeitstagen"),
    },
}
ACTIONS: Mapping[str, Mapping[str, str]] = {
    "en": {"call": "Call {0}", "handover": "Hand over to {0}", "open": "Open the page", "none": "Open"},
    "de": {"call": "{0} anrufen", "handover": "Übergeben an {0}", "open": "Seite öffnen", "none": "Öffnen"},
}


@cache
def _words(language: str) -> Mapping[str, str]:
    resource = files("rules") / "words" / f"{language}.yaml"
    return yaml.safe_load(resource.read_text("utf-8")) if resource.is_file() else {}


def inside(word: str, language: str) -> str:
    """A kind, field or value as people call it within a sentence: `end_date` is "end date"."""
    return _words(language).get(word, word.replace("_", " "))


def label(word: str, language: str) -> str:
    """The same at the beginning of one: "End date"."""
    said = inside(word, language)
    return said[:1].upper() + said[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Puts conditions, facts and actions into one reader's words."""

    voice: Voice
    model: Model

    @property
    def phrases(self) -> Mapping[str, str]:
        return PHRASES.get(self.voice.language, PHRASES["en"])

    def label(self, word: str) -> str:
        return label(word, self.voice.language)

    def value(self, value: Value | None, type_: FieldType) -> str:
        match value:
            case str() if isinstance(type_, Enum):
                return inside(value, self.voice.language)
            case _:
                return self.voice.shown(value, self._currency(type_))

    def _currency(self, type_: FieldType) -> str | None:
        return (type_.currency or self.voice.currency) if isinstance(type_, Money) else None

    # --- conditions ---

    def reason(self, reason: Reason) -> str:
        """A condition as a sentence: "End date is in the next 90 days"."""
        match reason.about:
            case Condition() as condition:
                return self.condition(condition)
            case Relation() as relation:
                return self.phrases[reason.part].format(self.relation(relation))

    def reason_with_value(self, reason: Reason) -> str:
        """The sentence, and what is recorded where the sentence does not say it already."""
        sentence = self.reason(reason)
        told = isinstance(reason.about, Relation) or isinstance(reason.about.test, Equals)
        return sentence if told else f"{sentence} ({self.reason_value(reason)})"

    def reason_value(self, reason: Reason) -> str:
        """What is recorded: the field's value, or the records that were found."""
        if isinstance(reason.about, Condition):
            value = reason.value
            return self.value(None if isinstance(value, tuple) else value, reason.about.type)
        return ", ".join(reason.value) if isinstance(reason.value, tuple) and reason.value else NOTHING

    def condition(self, condition: Condition) -> str:
        """ "End date is in the next 90 days" """
        said = self._inside(condition)
        return said[:1].upper() + said[1:]

    def _inside(self, condition: Condition) -> str:
        language = self.voice.language
        words = (*(ref for ref, _ in condition.link.refs), condition.link.field)
        name = " ".join(inside(word, language) for word in words)
        if isinstance(condition.type, YesNo) and isinstance(condition.test, Equals):
            return f"{name}: {self._values(condition.test.values, condition.type)}"
        return f"{name} {self.test(condition.test, condition.type)}"

    def relation(self, relation: Relation) -> str:
        """ "opportunity with type renewal, stage open" """
        language = self.voice.language
        kind = inside(relation.kind, language)
        parts = [
            f"{inside(c.link.field, language)} {self._values(c.test.values, c.type)}"
            if isinstance(c.test, Equals)
            else self._inside(c)
            for c in relation.conditions
        ]
        parts += [inside(name, language) for name, tie in relation.ties if tie is Tie.SAME and name != CUSTOMER]
        said = self.phrases["where"].format(kind, ", ".join(parts)) if parts else kind
        if relation.count is None:
            return said
        return self.phrases["how many"].format(said, self.test(relation.count, Number()))

    def test(self, test: Test, type_: FieldType) -> str:
        say, phrases = self._sayings(type_), self.phrases
        match test:
            case Equals(values=values):
                return phrases["is"].format(self._values(values, type_))
            case NoneOf(values=values):
                return phrases["is not"].format(self._values(values, type_))
            case OnDay(days=days, wanted=wanted):
                return phrases["is" if wanted else "is not"].format(phrases["or"].join(map(self.voice.day, days)))
            case Missing() | Present():
                return phrases["missing" if isinstance(test, Missing) else "present"]
            case MissingOr(test=inner):
                return phrases["missing or"].format(self.test(inner, type_))
            case Compare(word=word, bound=bound):
                return phrases[word].format(say(bound))
            case Between(low=low, high=high):
                return phrases["between"].format(say(low), say(high))
            case StartsWith(text=text):
                return phrases["starts with"].format(text)
            case Contains(text=text):
                return phrases["contains"].format(text)
            case Before(day=day, after=after):
                return phrases["after" if after else "before"].format(self.voice.day(day))
            case Temporal(phrase=phrase, span=span):
                return phrases[phrase].format(self.span(span))
            case _:
                raise TypeError(f"{type(test).__name__} has no words")

    def _values(self, values: tuple[Value, ...], type_: FieldType) -> str:
        """The values, or the name of the group that they are."""
        groups = type_.groups if isinstance(type_, Enum) else {}
        group = next((name for name, members in groups.items() if len(members) > 1 and members == values), None)
        if group is not None:
            return inside(group, self.voice.language)
        return self.phrases["or"].join(self.value(v, type_) for v in values)

    def _sayings(self, type_: FieldType) -> Callable[[Decimal], str]:
        return lambda number: self.voice.shown(number, self._currency(type_))

    def span(self, span: Span) -> str:
        units = UNITS.get(self.voice.language, UNITS["en"])
        one, many = units[span.unit]
        return f"{span.count} {one if span.count == 1 else many}"

    # --- facts and actions ---

    def facts(self, kind: str, fact: Fact) -> tuple[tuple[str, str], ...]:
        """The record's own fields that are known, in the model's order, links to other records left out."""
        return tuple(self._facts(kind, fact))[:FACTS_SHOWN]

    def _facts(self, kind: str, fact: Fact) -> Iterator[tuple[str, str]]:
        for name, type_ in self.model.kinds[kind].fields.items():
            if name in fact and name not in ("id", "name") and not isinstance(type_, Ref):
                yield self.label(name), self.value(fact[name], type_)

    def action(self, do: str | None, customer: str) -> str:
        """The next best action as a button says it."""
        words = ACTIONS.get(self.voice.language, ACTIONS["en"])
        verb, _, name = (do or "none").partition(" ")
        match verb:
            case "dialog" | "webhook":
                return self.label(name.replace("-", "_").replace(".", "_"))
            case "call":
                return words["call"].format(customer)
            case "handover":
                return words["handover"].format(name)
            case _:
                return words[verb]
