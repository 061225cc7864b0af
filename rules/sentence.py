"""A whole rule in plain words, for people who do not read YAML: when it speaks, to whom, and what happens then.

Every part of a rule is said but its own sentence (`say`), which is written for people already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from domain.calendar import Span
from domain.recommendation import Verdict
from domain.record import CUSTOMER
from rules.model import Date, DateTime, FieldType, Money, Number, YesNo
from rules.operators import Equals, MissingOr, NoneOf, OnDay, Test
from rules.rule import Condition, Due, DueKind, Link, Relation, Rule, Stage, Target, Tie, Who
from rules.wording import Wording, inside


def sentence(rule: Rule, wording: Wording) -> str:
    """What a rule does: one sentence, and a second one where more is to be said.

    In the reader's language where it has a grammar here, else in English.
    """
    if wording.voice.language not in GRAMMARS:
        wording = replace(wording, voice=replace(wording.voice, language="en"))
    grammar = GRAMMARS[wording.voice.language](wording=wording, rule=rule)
    said = (grammar.main(), "; ".join(grammar.more()))
    return " ".join(" ".join(f"{part[:1].upper()}{part[1:]}." for part in said if part).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one language. {0}, {1} are filled with what belongs there."""

    and_: str
    or_: str
    day: str
    verdicts: Mapping[Verdict, str]
    actions: Mapping[str, str]
    or_else: str
    channels: Mapping[str, str]
    targets: Mapping[Who, str]
    otherwise: str
    due: Mapping[DueKind, str]
    anniversary: str
    worth_field: str
    worth_amount: str
    weight: str
    repeat: str
    once: str
    at_most: str
    escalate: str
    rollout: Mapping[Stage, str]
    predicates: Mapping[str, tuple[str, str]]
    """What is said of a yes-or-no field: (no, yes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """How a language puts a rule together."""

    wording: Wording
    rule: Rule

    words: ClassVar[Words]

    # --- what each language does in its own way ---

    def main(self) -> str:
        """For which subjects, and what is recommended to whom."""
        raise NotImplementedError

    def whose(self, condition: Condition) -> str:
        """A condition as a relative clause about one record."""
        raise NotImplementedError

    def related(self, relation: Relation) -> str:
        """A relation as a main clause: that there are such records."""
        raise NotImplementedError

    def field(self, link: Link) -> str:
        """A field of the subject by itself."""
        raise NotImplementedError

    def holds_back(self, tags: str, *, about_customer: bool) -> str:
        raise NotImplementedError

    def sets(self, values: Sequence[tuple[str, str]]) -> str:
        """`values`: (field, value) in words."""
        raise NotImplementedError

    # --- what all do alike ---

    def more(self) -> Iterator[str]:
        """What else is to be said, as main clauses."""
        then = self.rule.then
        if then.worth is not None:
            if isinstance(then.worth, Link):
                yield self.words.worth_field.format(self.field(then.worth))
            else:
                yield self.words.worth_amount.format(self.wording.voice.money(then.worth))
        if then.weight != 100:
            yield self.words.weight.format(then.weight)
        if then.repeat is not None:
            most = then.repeat.at_most
            limit = self.words.once if most == 1 else self.words.at_most
            again = self.words.repeat.format(self.every(then.repeat.every))
            yield again if most is None else f"{again}, {limit.format(most)}"
        for step in then.escalate:
            yield self.words.escalate.format(self.wording.span(step.after), self.targets(step.to))
        if then.holds_back is not None:
            yield self.holds_back(
                self.words.or_.join(then.holds_back.tags), about_customer=then.holds_back.about_customer
            )
        if then.sets:
            fields = self.wording.model.kinds[CUSTOMER].fields
            yield self.sets([(self.word(n), self.wording.value(v, fields[n])) for n, v in then.sets.items()])
        rollout = self.rule.rollout
        if rollout.stage is not Stage.LIVE:
            yield self.words.rollout[rollout.stage].format(rollout.team or rollout.percent)

    def conditions(self) -> str:
        """The relative clauses about the subject; empty where there are none."""
        clauses = [self.whose(condition) for condition in self.rule.when]
        alternatives = [self.series([self.whose(c) for c in conditions]) for conditions in self.rule.any_of]
        if len(alternatives) > 1:
            alternatives = [
                self.words.or_.join(f"({number}) {clause}" for number, clause in enumerate(alternatives, 1))
            ]
        return self.series([*clauses, *alternatives])

    def series(self, parts: Sequence[str]) -> str:
        """ "a, b and c" """
        return self.words.and_.join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

    def test(self, test: Test, type_: FieldType) -> str:
        """ "is in the next 90 days" """
        match test:
            case MissingOr(test=inner):
                return self.wording.phrases["missing or"].format(self.test(inner, type_))
            case Equals(values=days) | NoneOf(values=days) | OnDay(days=days) if isinstance(type_, Date | DateTime):
                wanted = isinstance(test, Equals) or (isinstance(test, OnDay) and test.wanted)
                said = self.words.or_.join(self.words.day.format(self.wording.value(day, type_)) for day in days)
                return self.wording.phrases["is" if wanted else "is not"].format(said)
            case _:
                return self.wording.test(test, type_)

    def predicate(self, condition: Condition) -> str | None:
        """What is said of a yes-or-no field in words of its own: "does not renew automatically"."""
        words = self.words.predicates.get(condition.link.field)
        match condition.test:
            case Equals(values=(bool() as value,)) if words is not None and not condition.link.refs:
                return words[value]
            case _:
                return None

    def word(self, word: str) -> str:
        return inside(word, self.wording.voice.language)

    def path(self, link: Link) -> list[str]:
        return [self.word(part) for part in (*(ref for ref, _ in link.refs), link.field)]

    def every(self, span: Span) -> str:
        return self.wording.span(span)

    def actions(self) -> str:
        """The next best action and its alternatives; empty where there is none."""
        then = self.rule.then
        return self.words.or_else.join(self._action(do) for do in (then.do, *then.instead) if do is not None)

    def _action(self, do: str) -> str:
        verb, _, name = do.partition(" ")
        return self.words.actions[verb].format(name)

    def channels(self) -> str:
        return self.series([self.words.channels[channel] for channel in self.rule.then.channels])

    def targets(self, targets: Iterable[Target]) -> str:
        return self.series([self._target(target) for target in targets])

    def _target(self, target: Target) -> str:
        said = self.words.targets[target.who].format(target.name)
        if target.otherwise is not None:
            said += f" ({self.words.otherwise.format(self._target(target.otherwise))})"
        return said

    def due(self, due: Due) -> str:
        words = self.words.anniversary if due.yearly else self.words.due[due.kind]
        span = self.wording.span(due.span) if due.span else ""
        return words.format(span, self.field(due.link) if due.link else "")


class English(Grammar):
    """For each contract whose status is active, unless there is ...: tell the owner to win the customer: call."""

    words = Words(
        and_=" and ",
        or_=" or ",
        day="{0}",
        verdicts={
            Verdict.WIN: "win the customer",
            Verdict.HOLD: "hold on to the customer",
            Verdict.LET_GO: "let the customer go",
        },
        actions={
            "call": "call",
            "handover": "hand over to {0}",
            "open": "open {0}",
            "webhook": 'send the event "{0}"',
            "dialog": 'go through the dialog "{0}"',
        },
        or_else=", or else ",
        channels={"email": "by e-mail", "chat": "by chat", "inbox": "in the inbox", "digest": "in the digest"},
        targets={
            Who.OWNER: "the owner",
            Who.MANAGER: "the owner's manager",
            Who.LEAD: "the team lead",
            Who.TEAM: "team {0}",
            Who.USER: "user {0}",
            Who.ADDRESS: "{0}",
        },
        otherwise="otherwise {0}",
        due={
            DueKind.TODAY: "today",
            DueKind.TOMORROW: "tomorrow",
            DueKind.IN: "in {0}",
            DueKind.ON_THE_DAY: "on the day of {1}",
            DueKind.BEFORE: "{0} before {1}",
        },
        anniversary="on the anniversary of {1}",
        worth_field="at stake is {0}",
        worth_amount="at stake is {0}",
        weight="its weight is {0}%",
        repeat="it reminds again every {0}",
        once="at most once",
        at_most="at most {0} times",
        escalate="after {0} it goes to {1}",
        rollout={
            Stage.DRAFT: "this is a draft and does nothing yet",
            Stage.SHADOW: "for now it is only recorded, and nobody is told",
            Stage.PERCENT: "for now it reaches only {0}% of the customers",
            Stage.TEAM: "for now it reaches only the customers of team {0}",
        },
        predicates={
            "active": ("is not active", "is active"),
            "auto_renews": ("does not renew automatically", "renews automatically"),
            "marketing_consent": ("has not agreed to marketing", "has agreed to marketing"),
        },
    )

    def main(self) -> str:
        rule, then = self.rule, self.rule.then
        about = " ".join(["for each", self.word(rule.subject), self.conditions()]).strip()
        provided = [f"provided {', and '.join(map(self.related, rule.with_))}"] if rule.with_ else []
        unless = [f"unless {', or '.join(map(self.related, rule.unless))}"] if rule.unless else []
        told = " ".join(["tell", self.targets(then.to), self.channels(), "to", self.words.verdicts[then.recommend]])
        actions = self.actions()
        due = f"; due {self.due(then.due)}" if then.due else ""
        return f"{', '.join([about, *provided, *unless])}: {told}{f': {actions}' if actions else ''}{due}"

    def whose(self, condition: Condition) -> str:
        predicate = self.predicate(condition)
        return f"that {predicate}" if predicate else self._whose(condition)

    def _whose(self, condition: Condition) -> str:
        return f"whose {self._name(condition.link)} {self.test(condition.test, condition.type)}"

    def related(self, relation: Relation) -> str:
        kind, own, counted = self.word(relation.kind), relation.kind == self.rule.subject, relation.count is not None
        words = [_many(kind) if counted else kind]
        clauses: list[str] = []
        for name, tie in relation.ties:
            match tie:
                case Tie.THIS if name == self.rule.subject:
                    words.append("of this customer" if name == CUSTOMER else "for it")
                case Tie.THIS:
                    clauses.append(f"whose {self.word(name)} is this {self.word(self.rule.subject)}")
                case Tie.SAME:
                    words.append("of the same customer" if name == CUSTOMER else f"with the same {self.word(name)}")
        clauses += [(self._whose if counted else self.whose)(condition) for condition in relation.conditions]
        said = " ".join([*words, *([self.series(clauses)] if clauses else [])])
        if relation.count is not None:
            return f"the number of {'other ' if own else ''}{said} {self.test(relation.count, Number())}"
        return f"there is {'another' if own else 'an' if said[0] in 'aeiou' else 'a'} {said}"

    def field(self, link: Link) -> str:
        whose = [] if link.refs else [f"the {self.word(self.rule.subject)}'s"]
        said = " ".join([*whose, self._name(link)])
        return f"the {said}" if link.refs else said

    def _name(self, link: Link) -> str:
        *refs, word = self.path(link)
        type_ = self.wording.model.kinds[link.kind].fields[link.field]
        return " ".join([*(f"{ref}'s" for ref in refs), _name(link.field, word, type_)])

    def every(self, span: Span) -> str:
        return self.wording.span(span).removeprefix("1 ")

    def holds_back(self, tags: str, *, about_customer: bool) -> str:
        about = CUSTOMER if about_customer else self.word(self.rule.subject)
        return f"while it is open, whatever is tagged {tags} is held back for the same {about}"

    def sets(self, values: Sequence[tuple[str, str]]) -> str:
        said = [f"the customer's {name} is {value}" for name, value in values]
        return f"while this holds, {self.series(said)}"


def _many(word: str) -> str:
    """The plural of a kind's name."""
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search(r"(s|x|z|ch|sh)$", word) else f"{word}s"


def _name(field: str, word: str, type_: FieldType) -> str:
    """`sent_at` is the "date sent", `at` the "date"; in quotes stands what is no noun or may be several."""
    if dated := re.fullmatch(r"(?:(\w+)_)?(?:at|on)", field):
        return f"date {(dated[1] or '').replace('_', ' ')}".rstrip()
    several = word.endswith("s") and isinstance(type_, Number | Date | DateTime)
    loose = isinstance(type_, YesNo) or re.search(r"\d|\b(at|by|from|in|of|on|since|to|until)$", word)
    return f'"{word}"' if several or loose else word


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """What an accusative noun takes before it, by its article."""

    each: str
    a: str
    another: str
    whose: str
    which: str
    this: str
    same: str


class German(Grammar):
    """Für jeden Vertrag, dessen Status aktiv ist, geht an den Betreuer die Empfehlung, den Kunden zu gewinnen."""

    words = Words(
        and_=" und ",
        or_=" oder ",
        day="der {0}",
        verdicts={
            Verdict.WIN: "den Kunden zu gewinnen",
            Verdict.HOLD: "den Kunden zu halten",
            Verdict.LET_GO: "den Kunden loszulassen",
        },
        actions={
            "call": "anrufen",
            "handover": "an {0} übergeben",
            "open": "{0} öffnen",
            "webhook": "das Ereignis «{0}» melden",
            "dialog": "den Dialog «{0}» durchgehen",
        },
        or_else=" oder sonst ",
        channels={"email": "per E-Mail", "chat": "per Chat", "inbox": "im Posteingang", "digest": "in der Sammelmail"},
        targets={
            Who.OWNER: "an den Betreuer",
            Who.MANAGER: "an den Vorgesetzten des Betreuers",
            Who.LEAD: "an die Teamleitung",
            Who.TEAM: "an das Team {0}",
            Who.USER: "an die Person {0}",
            Who.ADDRESS: "an {0}",
        },
        otherwise="sonst {0}",
        due={
            DueKind.TODAY: "heute",
            DueKind.TOMORROW: "morgen",
            DueKind.IN: "in {0}",
            DueKind.ON_THE_DAY: "an dem Tag, der unter {1} steht",
            DueKind.BEFORE: "mit {0} Vorlauf auf den Tag, der unter {1} steht",
        },
        anniversary="am Jahrestag des Tages, der unter {1} steht",
        worth_field="es geht um das, was unter {0} steht",
        worth_amount="es geht um {0}",
        weight="ihr Gewicht ist {0} %",
        repeat="erinnert wird erneut im Abstand von {0}",
        once="höchstens einmal",
        at_most="höchstens {0}-mal",
        escalate="nach {0} geht sie {1}",
        rollout={
            Stage.DRAFT: "die Regel ist ein Entwurf und bewirkt noch nichts",
            Stage.SHADOW: "vorerst wird sie nur aufgezeichnet, und niemand erfährt davon",
            Stage.PERCENT: "vorerst erreicht sie nur {0} % der Kunden",
            Stage.TEAM: "vorerst erreicht sie nur die Kunden des Teams {0}",
        },
        predicates={
            "active": ("nicht aktiv ist", "aktiv ist"),
            "auto_renews": ("sich nicht automatisch verlängert", "sich automatisch verlängert"),
            "marketing_consent": ("nicht in Werbung eingewilligt hat", "in Werbung eingewilligt hat"),
        },
    )
    ARTICLES: ClassVar[Mapping[str, Article]] = {
        "den": Article(
            each="jeden",
            a="einen",
            another="einen weiteren",
            whose="dessen",
            which="der",
            this="dieser",
            same="denselben",
        ),
        "die": Article(
            each="jede", a="eine", another="eine weitere", whose="deren", which="die", this="diese", same="dieselbe"
        ),
        "das": Article(
            each="jedes", a="ein", another="ein weiteres", whose="dessen", which="das", this="dieses", same="dasselbe"
        ),
    }
    # Kinds whose gender is known; of any other it is the record that is declined.
    ACCUSATIVE: ClassVar[Mapping[str, str]] = {
        "claim": "den Schadenfall",
        "complaint": "die Reklamation",
        "contract": "den Vertrag",
        "customer": "den Kunden",
        "delivery": "die Lieferung",
        "device": "das Gerät",
        "holding": "den Bestand",
        "interaction": "den Kontakt",
        "invoice": "die Rechnung",
        "lead": "den Interessenten",
        "life_event": "das Lebensereignis",
        "opportunity": "die Verkaufschance",
        "order": "den Auftrag",
        "porting": "die Portierung",
        "product": "das Produkt",
        "quote": "die Offerte",
        "sim": "die SIM-Karte",
        "site": "den Standort",
        "test_drive": "die Probefahrt",
        "ticket": "das Ticket",
        "trade_in": "den Eintausch",
        "vehicle": "das Fahrzeug",
        "workshop_visit": "den Werkstattbesuch",
    }

    def main(self) -> str:
        rule, then = self.rule, self.rule.then
        article, noun = self._noun(rule.subject)
        conditions = self.conditions()
        parts = [f"für {article.each} {noun}", *([conditions] if conditions else [])]
        if rule.with_:
            parts.append(f"vorausgesetzt, {', und '.join(map(self.related, rule.with_))}")
        if rule.unless:
            parts.append(f"es sei denn, {', oder '.join(map(self.related, rule.unless))}")
        about = ", ".join(parts) + ("," if len(parts) > 1 else "")
        told = " ".join(
            ["geht", self.targets(then.to), self.channels(), "die Empfehlung,", self.words.verdicts[then.recommend]]
        )
        actions = self.actions()
        due = f"; fällig {self.due(then.due)}" if then.due else ""
        return f"{about} {told}{f': {actions}' if actions else ''}{due}"

    def _noun(self, kind: str) -> tuple[Article, str]:
        known = self.ACCUSATIVE.get(kind) or f"den Eintrag {_quoted(self.word(kind))}"
        article, _, noun = known.partition(" ")
        return self.ARTICLES[article], noun

    def _nominative(self) -> str:
        word = self.word(self.rule.subject)
        return word if self.rule.subject in self.ACCUSATIVE else f"Eintrag {_quoted(word)}"

    def whose(self, condition: Condition) -> str:
        return self._whose(condition, self._noun(self.rule.subject)[0])

    def _whose(self, condition: Condition, article: Article) -> str:
        predicate = self.predicate(condition)
        if predicate:
            return f"{article.which} {predicate}"
        return f"{article.whose} {self._name(condition)} {self._last(condition.test, condition.type)}"

    def _last(self, test: Test, type_: FieldType) -> str:
        """A test with its verb at the end, as in a subordinate clause."""
        if isinstance(test, MissingOr):
            return self.wording.phrases["missing or"].format(self._last(test.test, type_))
        verb, _, rest = self.test(test, type_).partition(" ")
        return f"{rest} {verb}".strip()

    def related(self, relation: Relation) -> str:
        own, counted = relation.kind == self.rule.subject, relation.count is not None
        article, noun = self._noun(relation.kind)
        whose = "deren" if counted else article.whose
        for_it = ""
        words: list[str] = []
        clauses: list[str] = []
        for name, tie in relation.ties:
            match tie:
                case Tie.THIS if name == self.rule.subject == CUSTOMER:
                    words.append("dieses Kunden")
                case Tie.THIS if name == self.rule.subject:
                    for_it = "zugehörigen " if counted else "dazu "
                case Tie.THIS:
                    this, _ = self._noun(self.rule.subject)
                    clauses.append(f"{whose} {_quoted(self.word(name))} {this.this} {self._nominative()} ist")
                case Tie.SAME:
                    field = _quoted(self.word(name))
                    words.append("desselben Kunden" if name == CUSTOMER else f"mit derselben Angabe unter {field}")
        if relation.count is not None:
            clauses += [f"deren {self._name(c)} {self._last(c.test, c.type)}" for c in relation.conditions]
            kind = _quoted(self.word(relation.kind))
            records = " ".join([f"{'weiteren ' if own else ''}{for_it}Einträge {kind}", *words])
            inserted = f", {self.series(clauses)}," if clauses else ""
            return f"die Anzahl der {records}{inserted} {self.test(relation.count, Number())}"
        clauses += [self._whose(condition, article) for condition in relation.conditions]
        there_is = " ".join([f"es gibt {for_it}{article.another if own else article.a} {noun}", *words])
        return f"{there_is}{f', {self.series(clauses)}' if clauses else ''}"

    def field(self, link: Link) -> str:
        return _quoted(": ".join(self.path(link)))

    def _name(self, condition: Condition) -> str:
        """What follows `dessen`: a noun by itself; in quotes what is none or may be several."""
        link, type_ = condition.link, condition.type
        word = self.word(link.field)
        several = isinstance(type_, YesNo) or (isinstance(type_, Number) and not isinstance(type_, Money))
        is_noun = word.isalpha() and word[0].isupper()
        return word if is_noun and not several and not link.refs else self.field(link)

    def holds_back(self, tags: str, *, about_customer: bool) -> str:
        article, noun = self._noun(CUSTOMER if about_customer else self.rule.subject)
        return (
            f"solange sie offen ist, wird für {article.same} {noun} zurückgehalten, was mit {tags} gekennzeichnet ist"
        )

    def sets(self, values: Sequence[tuple[str, str]]) -> str:
        said = [f"{_quoted(name)} ist {value}" for name, value in values]
        return f"solange das zutrifft, gilt für den Kunden: {self.series(said)}"


def _quoted(word: str) -> str:
    return f"«{word}»"


GRAMMARS: Mapping[str, type[Grammar]] = {"en": English, "de": German}
