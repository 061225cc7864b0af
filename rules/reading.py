"""A `rule:` document into a `Rule`, every problem reported with its place."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from domain.recommendation import Verdict
from domain.record import CUSTOMER
from domain.wishes import Way
from rules.conditions import ConditionReader, Fields
from rules.model import IMPLICIT_CUSTOMER, USER_FIELDS, Date, DateTime, Enum, Model, Number, Ref, Value
from rules.phrases import Wrong, parse_span
from rules.problems import Place, Problems, Severity, suggestion
from rules.rule import (
    Condition,
    Due,
    DueKind,
    Escalation,
    HoldsBack,
    Link,
    Repeat,
    Rollout,
    Rule,
    Stage,
    Target,
    Texts,
    Then,
    Who,
)
from rules.say import BadTemplate, references
from rules.source import Mapping, Node, Scalar, check_keys, listed
from rules.stories import read_tests
from rules.vocabulary import LANGUAGES, Company

RULE_KEYS = (
    "rule", "title", "tags", "notes", "for each", "when", "any of", "with", "unless", "then", "rollout", "tests",
)  # fmt: skip
THEN_KEYS = (
    "recommend", "say", "do", "or", "to", "channel", "due", "worth", "weight", "repeat", "escalate", "holds back",
    "set",
)  # fmt: skip
T = TypeVar("T")

CHANNELS = tuple(way.value for way in Way)
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ACTION = re.compile(r"dialog [\w-]+|webhook [\w.-]+|open https?://\S+|call|handover \S.*")
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(slots=True, kw_only=True)
class RuleReader:
    """Reads rules against one model and company."""

    model: Model
    company: Company
    problems: Problems

    def read(self, document: Mapping) -> Rule | None:
        """None when it has errors; all of them are reported."""
        before = len(self.problems)
        check_keys(document, RULE_KEYS, self.problems)
        id_ = document.get("rule")
        if not isinstance(id_, Scalar) or not ID.fullmatch(id_.text):
            at = id_.at if id_ else document.at
            self.problems.error("R201", at, f'"{id_}" cannot be a rule\'s id', "use words with dashes: quote-stalled")
        kind = self._subject(document)
        then = document.get("then")
        if then is None:
            self.problems.error(
                "R002", document.entries[0][0].at, 'key "then" is missing', "say what the rule recommends"
            )
        if kind is None:
            return None
        conditions = ConditionReader(fields=self.fields, kind=kind, zone=self.company.zone)
        when = tuple(conditions.when(document.get("when")))
        any_of = tuple(conditions.any_of(document.get("any of")))
        with_ = tuple(conditions.relations(document.get("with")))
        unless = tuple(conditions.relations(document.get("unless")))
        said = self._then(then, kind, when) if isinstance(then, Mapping) else None
        if then is not None and said is None and not isinstance(then, Mapping):
            self.problems.error("R002", then.at, "`then` is a map", "as in then: {recommend: win, say: ...}")
        rollout = self._rollout(document.get("rollout"))
        tests = tuple(
            read_tests(document.get("tests"), kind=kind, model=self.model, company=self.company, problems=self.problems)
        )
        title = self._texts(document.get("title")) or {"": str(id_)}
        tags = self._words(document.get("tags"))
        if said is None or any(new.severity is Severity.ERROR for new in self.problems[before:]):
            return None
        return Rule(
            id=str(id_),
            title=title,
            tags=tags,
            subject=kind,
            when=when,
            any_of=any_of,
            with_=with_,
            unless=unless,
            then=said,
            rollout=rollout,
            tests=tests,
            hash=hashlib.sha256(_without_tests(document).encode()).hexdigest(),
            place=document.entries[0][0].at,
        )

    def read_rollout(self, document: Mapping, earlier: Rule) -> Rule:
        """A rule of an earlier pack, which reaches further or less far from here on."""
        rollout = self._rollout(document.get("rollout"))
        said = f"{earlier.hash}\nrollout: {document.get('rollout')}"
        return replace(earlier, rollout=rollout, hash=hashlib.sha256(said.encode()).hexdigest())

    @property
    def fields(self) -> Fields:
        return Fields(model=self.model, problems=self.problems)

    def _subject(self, document: Mapping) -> str | None:
        node = document.get("for each")
        if node is None:
            self.problems.error(
                "R002",
                document.entries[0][0].at,
                'key "for each" is missing',
                "name the kind of record the rule is about",
            )
            return None
        if str(node) not in self.model.kinds:
            self.problems.error("R100", node.at, f'no kind "{node}"', suggestion(str(node), self.model.kinds))
            return None
        return str(node)

    # --- then ---

    def _then(self, node: Mapping, kind: str, when: tuple[Condition, ...]) -> Then | None:
        check_keys(node, THEN_KEYS, self.problems)
        verdict = node.get("recommend")
        verdicts = [v.value for v in Verdict]
        if verdict is None:
            self.problems.error("R002", node.at, 'key "recommend" is missing', f"allowed: {', '.join(verdicts)}")
        elif str(verdict) not in verdicts:
            help_ = suggestion(str(verdict), verdicts)
            self.problems.error("R201", verdict.at, f'"{verdict}" is not a recommendation', help_)
        if node.get("say") is None:
            self.problems.error("R002", node.at, 'key "say" is missing', "write the sentence that people will read")
        say = self._say(node.get("say"), kind)
        do = self._action(node.get("do"))
        instead = node.get("or")
        parts: dict[str, object] = {
            "do": do,
            "instead": tuple(a for n in listed(instead) if (a := self._action(n))),
            "channels": tuple(w for n in listed(node.get("channel")) if (w := self._one_of(n, CHANNELS, "a channel"))),
            "due": self._reading(node.get("due"), lambda n: self._due(n, kind, when)),
            "worth": self._reading(node.get("worth"), lambda n: self._worth(n, kind)),
            "repeat": self._reading(node.get("repeat"), self._repeat),
            "escalate": tuple(e for n in listed(node.get("escalate")) if (e := self._reading(n, self._escalation))),
            "holds_back": self._reading(node.get("holds back"), self._holds_back),
            "sets": self._reading(node.get("set"), lambda n: dict(self._sets(n))) or {},
        }
        if node.get("to") is not None:
            parts["to"] = tuple(t for n in listed(node.get("to")) if (t := self._reading(n, self._target)))
        if node.get("weight") is not None:
            weight = self._reading(node.get("weight"), self._weight)
            parts["weight"] = 100 if weight is None else weight
        if str(verdict) not in verdicts or say is None:
            return None
        return Then(recommend=Verdict(str(verdict)), say=say, **parts)  # pyright: ignore[reportArgumentType]

    def _reading(self, node: Node | None, read: Callable[[Node], T]) -> T | None:
        """What a reader makes of a node; None after its objection was reported."""
        if node is None:
            return None
        try:
            return read(node)
        except Wrong as wrong:
            self.problems.error(wrong.code, wrong.place, wrong.message, wrong.help)
            return None

    def _say(self, node: Node | None, kind: str) -> Texts | None:
        texts = self._texts(node)
        for scalar in _scalars(node):
            if not scalar.text.strip():
                self.problems.error("R402", scalar.at, "the sentence is empty", "write what people will read")
            self._check_sentence(scalar, kind)
        return texts

    def _check_sentence(self, node: Scalar, kind: str) -> None:
        try:
            for path in references(node.text):
                self._check_reference(path, node, kind)
        except BadTemplate as failure:
            self.problems.error("R402", node.at, f"the sentence cannot be read: {failure}", "as in {{ contract.line }}")

    def _check_reference(self, path: tuple[str, ...], node: Scalar, kind: str) -> None:
        names = {kind: kind, CUSTOMER: CUSTOMER}
        name, fields = path[0], path[1:]
        place = node.at.within(".".join(path))
        if name == "owner":
            if fields and fields[0] not in USER_FIELDS:
                help_ = suggestion(fields[0], USER_FIELDS)
                self.problems.error("R402", place, f'owner has no field "{fields[0]}"', help_)
            return
        if name not in names:
            help_ = suggestion(name, [*dict.fromkeys(names), "owner"])
            self.problems.error("R402", place, f'"{name}" means nothing in this sentence', help_)
            return
        at = names[name]
        for index, part in enumerate(fields):
            type_ = self.model.kinds[at].fields.get(part)
            if type_ is None:
                help_ = suggestion(part, self.model.kinds[at].fields)
                self.problems.error("R402", place, f'{at} has no field "{part}"', help_)
                return
            if index + 1 < len(fields):
                if not isinstance(type_, Ref) or type_.kind not in self.model.kinds:
                    self.problems.error(
                        "R402", place, f'"{part}" of {at} leads nowhere', "name a field of the record itself"
                    )
                    return
                at = type_.kind

    def _action(self, node: Node | None) -> str | None:
        if node is None:
            return None
        text = " ".join(str(node).split())
        if ACTION.fullmatch(text):
            return text
        first = text.split(" ")[0]
        words = ("dialog NAME", "webhook EVENT", "open URL", "call", "handover TEAM")
        self.problems.error("R201", node.at, f'"{text}" is not an action', suggestion(first, words))
        return None

    def _due(self, node: Node, kind: str, when: tuple[Condition, ...]) -> Due:
        text = " ".join(str(node).split())
        simple = {"now": DueKind.TODAY, "today": DueKind.TODAY, "tomorrow": DueKind.TOMORROW}
        if text in simple:
            return Due(kind=simple[text])
        if text == "on the day":
            dated = next((c for c in when if c.test.temporal), None)
            if dated is None:
                raise Wrong(
                    code="R201", message="no condition of `when` names a day", help='say "in 3 days"', place=node.at
                )
            return Due(kind=DueKind.ON_THE_DAY, link=dated.link, yearly=dated.words.startswith("anniversary"))
        if text.startswith("in "):
            return Due(kind=DueKind.IN, span=parse_span(text.removeprefix("in "), node.at))
        if match := re.fullmatch(r"(.+?) before (\S+)", text):
            span = parse_span(match[1], node.at)
            found = self.fields.link(kind, match[2], node.at.within(match[2]), own_name=True)
            if found and not isinstance(found[1], Date | DateTime):
                raise Wrong(code="R203", message=f"{match[2]} is {found[1].says}", help="name a date", place=node.at)
            return Due(kind=DueKind.BEFORE, span=span, link=found[0] if found else None)
        words = ("now", "today", "tomorrow", "in 4 days", "on the day", "10 days before FIELD")
        raise Wrong(code="R201", message=f'"{text}" is not a due date', help=suggestion(text, words), place=node.at)

    def _worth(self, node: Node, kind: str) -> Link | Decimal | None:
        text = str(node)
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            number = Number().read(text, self.company.zone)
            assert isinstance(number, Decimal)
            return number
        found = self.fields.link(kind, text, node.at, own_name=True)
        if found and not isinstance(found[1], Number):
            raise Wrong(
                code="R203",
                message=f"worth is a number, but {text} is {found[1].says}",
                help="name an amount or number",
                place=node.at,
            )
        return found[0] if found else None

    def _weight(self, node: Node) -> int:
        if re.fullmatch(r"\d{1,4}", str(node)):
            return int(str(node))
        raise Wrong(
            code="R201", message=f'"{node}" is not a percentage', help="a whole number; 100 is neutral", place=node.at
        )

    def _repeat(self, node: Node) -> Repeat:
        match = re.fullmatch(r"every (.+?)(?:,\s*at most (\d{1,9}) times?)?", " ".join(str(node).split()))
        if match is None:
            raise Wrong(
                code="R201",
                message=f'"{node}" is not a repetition',
                help="as in every 14 days, at most 3 times",
                place=node.at,
            )
        every = parse_span(match[1], node.at.within(match[1]))
        if every.count and match[2] == "0":
            raise Wrong(code="R201", message="never repeats", help="leave `repeat` out", place=node.at)
        if every.count == 0:
            raise Wrong(code="R201", message="repeats without pause", help="as in every 14 days", place=node.at)
        return Repeat(every=every, at_most=int(match[2]) if match[2] else None)

    def _escalation(self, node: Node) -> Escalation:
        if not isinstance(node, Mapping):
            raise Wrong(
                code="R201",
                message="is not an escalation",
                help="as in {after: 5 days, to: owner.manager}",
                place=node.at,
            )
        check_keys(node, ("after", "to"), self.problems)
        after, to = node.get("after"), node.get("to")
        if after is None or to is None or not listed(to):
            missing = "after" if after is None else "to"
            raise Wrong(
                code="R002",
                message=f'key "{missing}" is missing',
                help="as in {after: 5 days, to: owner.manager}",
                place=node.at,
            )
        return Escalation(after=parse_span(str(after), after.at), to=tuple(self._target(n) for n in listed(to)))

    def _holds_back(self, node: Node) -> HoldsBack:
        if not isinstance(node, Mapping) or not listed(node.get("tags")):
            raise Wrong(
                code="R201", message="holds back what?", help="as in {tags: [pitch], about: customer}", place=node.at
            )
        check_keys(node, ("tags", "about", "until"), self.problems)
        about, until = node.get("about"), node.get("until")
        if about is not None:
            self._one_of(about, ("customer", "this"), "a scope")
        if until is not None:
            self._one_of(until, ("resolved",), "an end")
        return HoldsBack(tags=self._words(node.get("tags")), about_customer=str(about or "customer") == "customer")

    def _sets(self, node: Node) -> Iterator[tuple[str, Value]]:
        """What the customer is classified as: (field, value)."""
        if not isinstance(node, Mapping):
            raise Wrong(code="R201", message="sets nothing", help="as in {standing: at-risk}", place=node.at)
        customer = self.model.kinds[CUSTOMER]
        for key, value in node:
            type_ = customer.fields.get(key.text)
            if type_ is None:
                help_ = suggestion(key.text, customer.fields)
                self.problems.error("R101", key.at, f'customer has no field "{key}"', help_)
            elif key.text in customer.derived or key.text in IMPLICIT_CUSTOMER:
                what = "derived" if key.text in customer.derived else "who the customer is"
                self.problems.error("R201", key.at, f"{key} cannot be set: it is {what}", "declare a field for it")
            elif not isinstance(value, Scalar) or value.is_null:
                self.problems.error("R201", value.at, f'"{value}" is not a value', f"{key} is {type_.says}")
            else:
                try:
                    yield key.text, type_.read(value.text, self.company.zone)
                except ValueError as refusal:
                    code = "R202" if isinstance(type_, Enum) else "R201"
                    help_ = suggestion(value.text, type_.values) if isinstance(type_, Enum) else f"write {type_.says}"
                    self.problems.error(code, value.at, f'"{value}" {refusal}', help_)

    def _target(self, node: Node) -> Target:
        first, _, rest = " ".join(str(node).split()).partition(", otherwise ")
        otherwise = self._one_target(rest, node.at) if rest else None
        target = self._one_target(first, node.at)
        return Target(who=target.who, name=target.name, otherwise=otherwise)

    def _one_target(self, text: str, at: Place) -> Target:
        if text in (Who.OWNER, Who.MANAGER, Who.LEAD):
            return Target(who=Who(text))
        word, _, name = text.partition(" ")
        if word in (Who.TEAM, Who.USER) and name:
            return Target(who=Who(word), name=name)
        if ADDRESS.fullmatch(text):
            return Target(who=Who.ADDRESS, name=text)
        words = ("owner", "owner.manager", "team lead", "team NAME", "user ID", "an e-mail address")
        raise Wrong(code="R201", message=f'"{text}" names nobody', help=suggestion(text, words), place=at)

    # --- rollout, texts, words ---

    def _rollout(self, node: Node | None) -> Rollout:
        text = " ".join(str(node).split()) if node else "live"
        if text in (Stage.DRAFT, Stage.SHADOW, Stage.LIVE):
            return Rollout(stage=Stage(text))
        if (match := re.fullmatch(r"(\d{1,3})% of customers", text)) and int(match[1]) <= 100:
            return Rollout(stage=Stage.PERCENT, percent=int(match[1]))
        if text.startswith("team "):
            return Rollout(stage=Stage.TEAM, team=text.removeprefix("team "))
        assert node is not None
        words = ("draft", "shadow", "20% of customers", "team NAME", "live")
        self.problems.error("R201", node.at, f'"{text}" is not a rollout', suggestion(text, words))
        return Rollout()

    def _texts(self, node: Node | None) -> Texts | None:
        match node:
            case Scalar() if not node.is_null:
                return {"": node.text}
            case Mapping():
                check_keys(node, LANGUAGES, self.problems)
                return {key.text: str(value) for key, value in node}
            case None:
                return None
            case _:
                self.problems.error(
                    "R201", node.at, "is not a sentence", "write text, or one per language: {en: ..., de: ...}"
                )
                return None

    def _words(self, node: Node | None) -> tuple[str, ...]:
        for item in listed(node):
            if not isinstance(item, Scalar):
                self.problems.error("R201", item.at, f"{item} is not a word", "as in [sales, renewal]")
        return tuple(item.text for item in listed(node) if isinstance(item, Scalar))

    def _one_of(self, node: Node, allowed: tuple[str, ...], what: str) -> str | None:
        if str(node) in allowed:
            return str(node)
        self.problems.error("R201", node.at, f'"{node}" is not {what}', suggestion(str(node), allowed))
        return None


def _scalars(node: Node | None) -> Iterator[Scalar]:
    match node:
        case Scalar():
            yield node
        case Mapping():
            for _, value in node:
                yield from _scalars(value)
        case _:
            return


def _without_tests(document: Mapping) -> str:
    return "\n".join(f"{key}: {value}" for key, value in document if key.text not in ("tests", "notes"))
