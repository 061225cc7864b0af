"""How an explanation is told: as the rules are written, or in the words of a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.calendar import At
from domain.record import RecordRef
from rules.explain import Check, Origin, Part, Reason
from rules.model import FieldKey, Value
from rules.plain import plain, shown
from rules.rule import Aggregate, Arithmetic, Condition, Derived, Link, Rule, Tie
from rules.rulebase import RuleBase
from rules.wording import Wording, inside

# What is said around conditions, by language.
SAYS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "holds": "{0} holds for {1} of {2}",
        "does not hold": "{0} does not hold for {1} of {2}",
        "none": "{0} has no {1}: {2} looks at every {1}.",
        "first": "the first that fails",
        "until": ", until {0}",
        "any of": "any of ({0}): ",
        "nearest": "nearest: {0}",
        "more": "and {0} more",
        "above": "as above",
        "set by": "set by the rule {0}",
        "would fire": "would fire on {0}, if nothing changes",
        "would stop": "would stop on {0}, if nothing changes",
        "never": "time alone will not change this",
        "nobody": "nobody",
        "goes": "goes to {0}",
        "would go": "would go to {0}",
        "shadow": "{0}, if it were live: the rule is a shadow",
        "draft": "{0}, if it were live: the rule is a draft",
        "other customers": "{0}, if it were live for this customer: the rule is for a percentage of customers",
        "other team": "{0}, if it were live for this customer: the rule is for another team",
        "held back": "held back by {0}",
        "would be held back": "would be held back by {0}",
        "this": "{0}: this one",
        "same": "{0}: the same",
        "sum": "the sum of {0} over: {1}",
        "count": "the number of: {1}",
        "min": "the least {0} of: {1}",
        "max": "the greatest {0} of: {1}",
        "latest": "the latest {0} of: {1}",
        "add": "the sum",
        "subtract": "the difference",
        "multiply": "the product",
        "divide": "the quotient",
    },
    "de": {
        "holds": "{0} trifft zu auf {1} von {2}",
        "does not hold": "{0} trifft nicht zu auf {1} von {2}",
        "none": "{0} hat keinen Eintrag «{1}»: {2} betrachtet jeden davon.",
        "first": "das erste, was nicht zutrifft",
        "until": ", bis {0}",
        "any of": "eines davon ({0}): ",
        "nearest": "am nächsten: {0}",
        "more": "und {0} weitere",
        "above": "wie oben",
        "set by": "gesetzt von der Regel {0}",
        "would fire": "träfe zu am {0}, wenn sich nichts ändert",
        "would stop": "endete am {0}, wenn sich nichts ändert",
        "never": "die Zeit allein ändert daran nichts",
        "nobody": "niemanden",
        "goes": "geht an {0}",
        "would go": "ginge an {0}",
        "shadow": "{0}, wenn sie in Kraft wäre: die Regel wird vorerst nur aufgezeichnet",
        "draft": "{0}, wenn sie in Kraft wäre: die Regel ist ein Entwurf",
        "other customers": "{0}, wenn sie für diesen Kunden in Kraft wäre: die Regel gilt für einen Teil der Kunden",
        "other team": "{0}, wenn sie für diesen Kunden in Kraft wäre: die Regel gilt für ein anderes Team",
        "held back": "zurückgehalten von {0}",
        "would be held back": "würde zurückgehalten von {0}",
        "this": "{0}: ebendieser",
        "same": "{0}: gleich",
        "sum": "die Summe von «{0}» über: {1}",
        "count": "die Anzahl: {1}",
        "min": "der kleinste Wert von «{0}» über: {1}",
        "max": "der grösste Wert von «{0}» über: {1}",
        "latest": "der späteste Wert von «{0}» über: {1}",
        "add": "die Summe",
        "subtract": "die Differenz",
        "multiply": "das Produkt",
        "divide": "der Quotient",
    },
}


def telling(rulebase: RuleBase, at: At, language: str | None) -> AsWritten:
    """None: as written. What is said around conditions is English where the language has no words for it."""
    voice = rulebase.adviser.voice(at, language or "en")
    wording = Wording(voice=voice, model=rulebase.model)
    return (InWords if language else AsWritten)(wording=wording, at=at, says=SAYS.get(language or "en", SAYS["en"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class AsWritten:
    """Conditions and values as they stand in the files. Moments are in the office `at` which the rule is read."""

    wording: Wording
    at: At
    says: Mapping[str, str]

    def reason(self, reason: Reason) -> str:
        return reason.condition

    def reason_value(self, reason: Reason) -> str:
        return self._shown(reason.value)

    def check(self, check: Check) -> str:
        about = check.about
        return str(about) if isinstance(about, Condition) else f"{about.field}: {about.tie}"

    def value(self, value: Value | None, of: FieldKey) -> str:
        return self._shown(value)

    def _shown(self, value: Value | tuple[str, ...] | None) -> str:
        return self.moment(value) if isinstance(value, datetime) else shown(plain(value))

    def moment(self, moment: datetime) -> str:
        return self.at.calendar.local(moment).isoformat()

    def kind(self, kind: str) -> str:
        return kind

    def record(self, ref: RecordRef) -> str:
        return str(ref)

    def field(self, key: FieldKey) -> str:
        return ".".join(key)

    def link(self, link: Link) -> str:
        return str(link)

    def derived(self, derived: Derived) -> str:
        return " ".join(derived.words.split())

    # --- what both tell alike ---

    def by(self, origin: Origin) -> str:
        """How a value came about, or which rule set it."""
        return self.says["set by"].format(origin.by.id) if isinstance(origin.by, Rule) else self.derived(origin.by)

    def part(self, part: Part) -> str:
        match part.of:
            case RecordRef() as ref:
                return self.record(ref)
            case Link() as link:
                return self.link(link)
            case Decimal() as number:
                return shown(plain(number))

    def part_value(self, part: Part, origin: Origin) -> str | None:
        """None: there is nothing to say but which part it is."""
        match part.of, origin.by:
            case Link() as link, _:
                return self.value(part.value, link.key)
            case RecordRef() as ref, Derived(how=Aggregate(field=str() as name)):
                return self.value(part.value, (ref.kind, name))
            case _:
                return None

    def check_value(self, check: Check) -> str:
        about = check.about
        return self.value(check.value, about.link.key if isinstance(about, Condition) else (about.kind, about.field))

    def day_or_moment(self, moment: datetime) -> str:
        """ "9 October 2026"; with the time of day unless it is midnight."""
        local = self.at.calendar.local(moment)
        day = self.wording.voice.day(local.date())
        return day if moment == self.at.calendar.midnight(local.date()) else f"{day}, {local:%H:%M %Z}"


class InWords(AsWritten):
    """Conditions and values as people say them in the wording's language."""

    def reason(self, reason: Reason) -> str:
        return self.wording.reason(reason)

    def reason_value(self, reason: Reason) -> str:
        return self.wording.reason_value(reason)

    def check(self, check: Check) -> str:
        match check.about:
            case Condition() as condition:
                return self.wording.condition(condition)
            case tied:
                return self.says["this" if tied.tie is Tie.THIS else "same"].format(self.wording.label(tied.field))

    def value(self, value: Value | None, of: FieldKey) -> str:
        kind, name = of
        return self.wording.value(value, self.wording.model.kinds[kind].fields[name])

    def moment(self, moment: datetime) -> str:
        return self.day_or_moment(moment)

    def kind(self, kind: str) -> str:
        return self._inside(kind)

    def record(self, ref: RecordRef) -> str:
        return f"{self._inside(ref.kind)} {ref.id}"

    def field(self, key: FieldKey) -> str:
        return self.wording.label(key[1])

    def link(self, link: Link) -> str:
        return " ".join(self._inside(word) for word in (*(ref for ref, _ in link.refs), link.field))

    def derived(self, derived: Derived) -> str:
        match derived.how:
            case Aggregate(way=way, field=name, over=over):
                return self.says[way].format(self._inside(name or ""), self.wording.relation(over))
            case Arithmetic(way=way):
                return self.says[way]

    def _inside(self, word: str) -> str:
        return inside(word, self.wording.voice.language)
