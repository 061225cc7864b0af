"""durable_rules, inside the subset in which it is right, as the judge of what the compiled reader selected.

It is asked about one subject at a time, and each question once: what no rule tells apart is the same question (see
`coding`). Patterns follow the order that engine rules need: positive ones first, `none` on facts asserted before all
others, an equality last in every join. The engine never binds one fact twice, so each relation reads copies of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import durable_rules_engine as durable

from domain.calendar import At
from rules.coding import NO, YES, Coder, Coding, Native, Question, Terms
from rules.compiled import Hit
from rules.model import Facts
from rules.rule import Relation, Rule, Tie

RULES_PER_RULESET = 32  # large rulesets hang when they are built
PATTERNS_PER_RULESET = 60  # a fact that meets 65 alpha matches is an error
QUESTIONS_REMEMBERED = 100_000  # by each ruleset, before it forgets them all
SID = "0"
BEGIN, END = "~begin", "~end"  # the sentinels: END fires last, so its absence shows a batch cut short
SHADOW = "!"  # marks the copies of facts on which `unless` is read; the n-th `with` reads copies marked n

Pattern: TypeAlias = dict[str, Any]
Found: TypeAlias = set[tuple[int, int]]
"""The same with the subject's identity: two records may bear one id"""


class EngineFailure(Exception):
    """The engine cut a batch short or refused it: nothing can be concluded from what it said."""


class Disagreement(Exception):
    """The two readers of the rule base differ on a customer. An alarm, never a choice."""

    def __init__(self, *, only_reader: Sequence[Hit], only_engine: Sequence[Hit]) -> None:
        super().__init__("the compiled reader and the engine disagree")
        self.only_reader = only_reader
        self.only_engine = only_engine


class Ruleset:
    """A few rules about one kind in one native ruleset."""

    def __init__(self, name: str, rules: Sequence[Native]) -> None:
        self.kind = rules[0][1].subject
        self.copies: dict[str, dict[str, None]] = {}  # kind -> what its copies are called
        self.subjects: dict[str, int] = {}  # name of a native rule -> index of ours
        coding = Coding(rules)
        definition: dict[str, object] = {}
        for number, (index, rule, alternative) in enumerate(rules):
            native = f"r{number}"
            definition[native] = {"all": self._patterns(coding, rule, alternative)}
            self.subjects[native] = index
        definition[END] = {"all": [{"e": {"t": END}}], "pri": 1000}
        self.coder: Coder = coding.coder()
        self.form = _form(self.kind, *self.coder.columns)
        self.forms = {
            kind: [_form(copy, *self.coder.others[kind].columns) for copy in copies]
            for kind, copies in self.copies.items()
        }
        self.verdicts: dict[Question, frozenset[int]] = {}
        self.handle = durable.create_ruleset(name, json.dumps(definition, allow_nan=False))

    def close(self) -> None:
        durable.delete_ruleset(self.handle)

    # --- rules into patterns ---

    def _patterns(self, coding: Coding, rule: Rule, alternative: Sequence[Any]) -> list[Pattern]:
        terms = [t for c in (*rule.when, *alternative) for t in coding.terms(None, c)]
        joins: list[Pattern] = []
        for mark, relations, wanted in (("", rule.with_, YES), (SHADOW, rule.unless, NO)):
            for number, relation in enumerate(relations):
                if relation.count is not None:
                    terms.append(coding.counted(relation, wanted=wanted))
                else:
                    name = f"n{number}$not" if mark else f"w{number}"
                    joins.append({name: self._related(coding, rule, relation, mark=mark or str(number))})
        return [{"s": _all(self.kind, [*terms, {"_1": YES}])}, *joins]

    def _related(self, coding: Coding, rule: Rule, relation: Relation, *, mark: str) -> Pattern:
        """Non-equalities first, the ties last: an equality must close every join."""
        copy = mark + relation.kind
        self.copies.setdefault(relation.kind, {})[copy] = None
        terms: Terms = [t for c in relation.conditions for t in coding.terms(relation.kind, c)]
        terms.sort(key=lambda term: not next(iter(term)).startswith("$"))
        if relation.kind == rule.subject:
            terms.insert(0, {"$neq": {"_self": {"s": "_self"}}})
        for name, tie in relation.ties:
            own = "_id" if tie is Tie.THIS else coding.same(name)
            terms.append({coding.tie(relation.kind, name): {"s": own}})
        return _all(copy, terms)

    # --- questions to the engine ---

    def judge(self, facts: Facts, at: At) -> Found:
        """What the engine finds among the records of this kind. Raises `EngineFailure`, and is ready for the next."""
        found: Found = set()
        verdicts = self.verdicts
        for this, question in self.coder.questions(self.kind, facts, at):
            verdict = verdicts.get(question)
            if verdict is None:
                if len(verdicts) >= QUESTIONS_REMEMBERED:
                    verdicts.clear()
                verdict = verdicts[question] = self._asked(question)
            if verdict:
                found.update([(index, id(this)) for index in verdict])
        return found

    def _asked(self, question: Question) -> frozenset[int]:
        found: set[int] = set()
        finished = False
        try:
            for native in self._fired(self._batch(question)):
                if native == END:
                    finished = True
                else:
                    found.add(self.subjects[native])
        except durable.error as refusal:
            self._drain()
            raise EngineFailure(f"the engine refused the facts: {refusal}") from None
        if not finished:
            self._drain()
            raise EngineFailure("the engine stopped in the middle of the facts")
        durable.delete_state(self.handle, SID)
        return frozenset(found)

    def _fired(self, batch: str) -> Iterator[str]:
        """The native rules that fire on a batch."""
        _, offset = durable.assert_facts(self.handle, batch)
        answer = durable.start_action_for_state(self.handle, offset)
        message: str | None = answer[1] if answer else None
        while message:
            yield message[2 : message.index('"', 2)]  # {"r0":{...what it bound...}}
            message = durable.complete_and_start_action(self.handle, offset)

    def _drain(self) -> None:
        """A state may only be deleted after an action has fired: let the sentinel fire alone."""
        for _ in self._fired(f"[{_form(END) % -1}]"):
            pass
        durable.delete_state(self.handle, SID)

    def _batch(self, question: Question) -> str:
        """A question as the engine takes it: copies of what may be related, then the subject."""
        subject, others = question
        facts: list[tuple[str, tuple[int, ...]]] = [(_form(BEGIN), ())]
        for (_, forms), rows in zip(self.forms.items(), others, strict=True):
            facts += ((form, row) for row in rows for form in forms)
        facts += [(self.form, subject), (_form(END), ())]
        return f"[{','.join(form % (number, *row) for number, (form, row) in enumerate(facts))}]"


@dataclass(frozen=True, slots=True)
class Engine:
    """All rules of a rule base, spread over rulesets."""

    rulesets: tuple[Ruleset, ...]
    of_rule: Mapping[int, tuple[Ruleset, ...]]  # by the rule's index; alternatives may stand in several

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Engine:
        rulesets: list[Ruleset] = []
        of_rule: dict[int, tuple[Ruleset, ...]] = {}
        for number, chunk in enumerate(_chunks(rules)):
            ruleset = Ruleset(f"rules{number}", chunk)
            rulesets.append(ruleset)
            for index in dict.fromkeys(index for index, _, _ in chunk):
                of_rule[index] = (*of_rule.get(index, ()), ruleset)
        return cls(rulesets=tuple(rulesets), of_rule=of_rule)

    def close(self) -> None:
        for ruleset in self.rulesets:
            ruleset.close()

    def judge(self, hits: Sequence[Hit], facts: Facts, at: At) -> None:
        """Agree with what the compiled reader selected, or raise `Disagreement` or `EngineFailure`."""
        selected: Found = {(index, id(this)) for index, this in hits}
        found: Found = set()
        for ruleset in dict.fromkeys(ruleset for index, _ in hits for ruleset in self.of_rule[index]):
            found |= ruleset.judge(facts, at)
        if found != selected:
            subjects = {id(this): this for of_kind in facts.of.values() for this in of_kind}
            raise Disagreement(
                only_reader=[(index, subjects[this]) for index, this in selected - found],
                only_engine=[(index, subjects[this]) for index, this in found - selected],
            )


def _chunks(rules: Sequence[Rule]) -> Iterator[list[Native]]:
    """Alternatives of rules about one kind that fit into one ruleset, those without relations by themselves.

    The fewer kinds a ruleset reads, the fewer facts it is given.
    """

    def alike(numbered: tuple[int, Rule]) -> tuple[str, bool]:
        return numbered[1].subject, any(relation.count is None for relation in numbered[1].relations())

    for _, group in groupby(sorted(enumerate(rules), key=alike), key=alike):
        chunk: list[Native] = []
        patterns = 0
        for index, rule in group:
            size = 1 + len(rule.with_) + len(rule.unless)
            for alternative in rule.any_of or ((),):
                if chunk and (len(chunk) == RULES_PER_RULESET or patterns + size > PATTERNS_PER_RULESET):
                    yield chunk
                    chunk, patterns = [], 0
                chunk.append((index, rule, alternative))
                patterns += size
        yield chunk


def _form(called: str, *names: str) -> str:
    """The JSON of a fact with holes for integers: its number, and these."""
    holes = ",".join(f'"{name}":%d' for name in ("id", *names))
    return f'{{"sid":"{SID}","t":"{called}","_1":{YES},{holes}}}'


def _all(kind: str, terms: list[Pattern]) -> Pattern:
    return {"$and": [{"t": kind}, *terms]}
