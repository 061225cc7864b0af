"""Rules and facts in a reader's own words: labels, conditions as sentences, the button's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

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
from rules.say import NOTHING, Voice, inside, joined, words

FACTS_SHOWN = 8

# What a test says, by language. {0}, {1} are its bounds, spans, days or values. French and Italian say it behind a
# colon, without verb, article or adjective: so it agrees with any field, whatever its gender and number.
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
        "same": "the same {0}",
        "how many": "{0}: the number {1}",
        "field of": "{0} {1}",
        "condition": "{0} {1}",
        "value": "{0} {1}",
        "yes or no": "{0}: {1}",
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
        "same": "{0} gleich",
        "how many": "{0}: die Anzahl {1}",
        "field of": "{0} {1}",
        "condition": "{0} {1}",
        "value": "{0} {1}",
        "yes or no": "{0}: {1}",
    },
    "fr": {
        "is": "{0}",
        "is not": "autre que {0}",
        "or": " ou ",
        "missing": "donnée manquante",
        "present": "donnée disponible",
        "missing or": "donnée manquante ou {0}",
        "above": "au-dessus de {0}",
        "below": "au-dessous de {0}",
        "at least": "au moins {0}",
        "at most": "au plus {0}",
        "between": "entre {0} et {1}",
        "starts with": "commence par {0}",
        "contains": "contient {0}",
        "in the next": "d’ici {0}",
        "in the last": "il y a {0} au plus",
        "more than ago": "il y a plus de {0}",
        "more than away": "dans plus de {0}",
        "passed": "dans le passé",
        "today": "aujourd’hui",
        "before": "avant le {0}",
        "after": "après le {0}",
        "anniversary in the next": "anniversaire d’ici {0}",
        "with": "avec {0}",
        "unless": "sans {0}",
        "where": "{0} ({1})",
        "same": "même {0}",
        "how many": "{0}, nombre : {1}",
        "field of": "{1} ({0})",
        "condition": "{0} : {1}",
        "value": "{0} : {1}",
        "yes or no": "{0} : {1}",
    },
    "it": {
        "is": "{0}",
        "is not": "qualsiasi tranne {0}",
        "or": " o ",
        "missing": "dato mancante",
        "present": "dato disponibile",
        "missing or": "dato mancante o {0}",
        "above": "superiore a {0}",
        "below": "inferiore a {0}",
        "at least": "almeno {0}",
        "at most": "al massimo {0}",
        "between": "tra {0} e {1}",
        "starts with": "inizia con {0}",
        "contains": "contiene {0}",
        "in the next": "entro {0}",
        "in the last": "non più di {0} fa",
        "more than ago": "più di {0} fa",
        "more than away": "tra più di {0}",
        "passed": "nel passato",
        "today": "oggi",
        "before": "prima del {0}",
        "after": "dopo il {0}",
        "anniversary in the next": "ricorrenza entro {0}",
        "with": "con {0}",
        "unless": "senza {0}",
        "where": "{0} ({1})",
        "same": "{0} in comune",
        "how many": "{0}, numero: {1}",
        "field of": "{1} ({0})",
        "condition": "{0}: {1}",
        "value": "{0}: {1}",
        "yes or no": "{0}: {1}",
    },
}
# Of one unit, where a phrase would need another form: "in den nächsten 1 Tag" is no German.
OF_ONE: Mapping[str, Mapping[str, str]] = {
    "de": {
        "in the next": "liegt innerhalb von {0} ab jetzt",
        "in the last": "lag innerhalb von {0} bis jetzt",
        "anniversary in the next": "jährt sich innerhalb von {0} ab jetzt",
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
    "fr": {
        Unit.MINUTES: ("minute", "minutes"),
        Unit.HOURS: ("heure", "heures"),
        Unit.DAYS: ("jour", "jours"),
        Unit.WEEKS: ("semaine", "semaines"),
        Unit.MONTHS: ("mois", "mois"),
        Unit.YEARS: ("an", "ans"),
        Unit.BUSINESS_HOURS: ("heure ouvrable", "heures ouvrables"),
        Unit.BUSINESS_DAYS: ("jour ouvrable", "jours ouvrables"),
    },
    "it": {
        Unit.MINUTES: ("minuto", "minuti"),
        Unit.HOURS: ("ora", "ore"),
        Unit.DAYS: ("giorno", "giorni"),
        Unit.WEEKS: ("settimana", "settimane"),
        Unit.MONTHS: ("mese", "mesi"),
        Unit.YEARS: ("anno", "anni"),
        Unit.BUSINESS_HOURS: ("ora lavorativa", "ore lavorative"),
        Unit.BUSINESS_DAYS: ("giorno lavorativo", "giorni lavorativi"),
    },
}
# On a button. `to` is for those whom the language's words do not name (`to_workshop`).
ACTIONS: Mapping[str, Mapping[str, str]] = {
    "en": {"call": "Call {0}", "handover": "Hand over {0}", "to": "to {0}", "open": "Open the page", "none": "Open"},
    "de": {
        "call": "{0} anrufen",
        "handover": "Übergeben {0}",
        "to": "an {0}",
        "open": "Seite öffnen",
        "none": "Öffnen",
    },
    "fr": {
        "call": "Appeler {0}",
        "handover": "Transmettre {0}",
        "to": "à {0}",
        "open": "Ouvrir la page",
        "none": "Ouvrir",
    },
    "it": {
        "call": "Chiamare {0}",
        "handover": "Affidare {0}",
        "to": "a {0}",
        "open": "Aprire la pagina",
        "none": "Aprire",
    },
}


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
        told = isinstance(reason.about, Relation) or isinstance(reason.about.test, Equals | Missing)
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
        name = inside(condition.link.field, self.voice.language)
        for ref, _ in reversed(condition.link.refs):
            name = self.phrases["field of"].format(inside(ref, self.voice.language), name)
        if isinstance(condition.type, YesNo) and isinstance(condition.test, Equals):
            return self._said("yes or no", name, self._values(condition.test.values, condition.type))
        return self._said("condition", name, self.test(condition.test, condition.type))

    def _said(self, phrase: str, *parts: str) -> str:
        return joined(self.phrases[phrase].format(*parts))

    def relation(self, relation: Relation) -> str:
        """ "opportunity with type renewal, stage open" """
        language = self.voice.language
        kind = inside(relation.kind, language)
        parts = [
            self._said("value", inside(c.link.field, language), self._values(c.test.values, c.type))
            if isinstance(c.test, Equals)
            else self._inside(c)
            for c in relation.conditions
        ]
        same = [name for name, tie in relation.ties if tie is Tie.SAME and name != CUSTOMER]
        parts += [self._said("same", inside(name, language)) for name in same]
        said = self._said("where", kind, ", ".join(parts)) if parts else kind
        if relation.count is None:
            return said
        return self._said("how many", said, self.test(relation.count, Number()))

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
                of_one = OF_ONE.get(self.voice.language, {}) if span.count == 1 else {}
                return of_one.get(phrase, phrases[phrase]).format(self.span(span))
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
        said = ACTIONS.get(self.voice.language, ACTIONS["en"])
        verb, _, name = (do or "none").partition(" ")
        match verb:
            case "dialog" | "webhook":
                return self.label(name.replace("-", "_").replace(".", "_"))
            case "call":
                return said["call"].format(customer)
            case "handover":
                desk = f"to_{name.replace(' ', '_')}"
                to = words(self.voice.language).get(desk) or said["to"].format(name)
                return said["handover"].format(to)
            case _:
                return said[verb]
