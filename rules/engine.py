"""durable_rules, inside the subset in which it is right, as the judge of what the compiled reader selected.

Every value is coded as a small integer before it reaches the engine: numbers by their rank among the bounds that the
rules name, words by their place among the words the rules name, clocks as before, within or after. So no text, float,
date or large number meets its JSON reader or its 32-bit hashes. Patterns follow the order that engine rules need:
positive ones first, `none` on facts asserted before all others, an equality last in every join.

The engine never binds one fact twice, and it finds every combination of facts that fits. So each relation reads copies
of its own, and of records that look alike only as many as can make a difference.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import durable_rules_engine as durable

from rules.model import Fact, Facts, Value
from rules.operators import At, Between, Compare, Equals, Missing, MissingOr, NoneOf, Present, Temporal, Test
from rules.rule import Condition, Relation, Rule, Tie

RULES_PER_RULESET = 32  # large rulesets hang when they are built
PATTERNS_PER_RULESET = 60  # a fact that meets 65 alpha matches is an error
ALIKE_LIMIT = 2  # one record is enough to relate to, and a second where the first is the subject itself
SID = "0"
BEGIN, END = "~begin", "~end"  # the sentinels: END fires last, so its absence shows a batch cut short
SHADOW = "!"  # marks the copies of facts on which `unless` is read; the n-th `with` reads copies marked n
YES, NO = 1, 0
ABSENT = -1  # rank of a value that is not there
RANKS = {  # an order test as comparisons on the rank among {below: 0, equal: 1, above: 2}
    "at least": (("$gte", 1),),
    "above": (("$gte", 2),),
    "at most": (("$gte", 0), ("$lte", 1)),
    "below": (("$gte", 0), ("$lte", 0)),
}

Pattern: TypeAlias = dict[str, Any]
Code: TypeAlias = Callable[[Fact, Facts, At], int]
Found: TypeAlias = set[tuple[int, str]]
"""(index of the rule, id of the subject)"""
Native: TypeAlias = tuple[int, Rule, tuple[Condition, ...]]
"""(index of the rule, the rule, one of its alternatives): what the engine knows as a rule"""


class EngineFailure(Exception):
    """The engine cut a batch short or refused it: nothing can be concluded from what it said."""


@dataclass(slots=True)
class _Columns:
    """The integer fields that the facts of one kind carry in one ruleset."""

    codes: dict[str, Code] = field(default_factory=dict[str, Code])
    names: dict[object, str] = field(default_factory=dict[object, str])
    ties: dict[str, str] = field(default_factory=dict[str, str])  # field -> column that joins on its value

    def column(self, key: object, code: Code) -> str:
        """The name of a column; the same key is the same column."""
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"f{len(self.names)}"
            self.codes[name] = code
        return name

    def tie(self, name: str) -> str:
        return self.ties.setdefault(name, f"k{len(self.ties)}")


class Ruleset:
    """A few rules in one native ruleset."""

    def __init__(self, name: str, rules: Sequence[Native]) -> None:
        self.rules = frozenset(index for index, _, _ in rules)
        self.columns: dict[str, _Columns] = {}
        self.copies: dict[str, dict[str, None]] = {}  # kind -> what its copies are called
        self.subjects: dict[str, int] = {}  # name of a native rule -> index of ours
        definition: dict[str, object] = {}
        for number, (index, rule, alternative) in enumerate(rules):
            native = f"r{number}"
            definition[native] = {"all": self._patterns(rule, alternative)}
            self.subjects[native] = index
        definition[END] = {"all": [{"e": {"t": END}}], "pri": 1000}
        self.handle = durable.create_ruleset(name, json.dumps(definition, allow_nan=False))

    def close(self) -> None:
        durable.delete_ruleset(self.handle)

    # --- rules into patterns ---

    def _patterns(self, rule: Rule, alternative: tuple[Condition, ...]) -> list[Pattern]:
        terms = [t for c in (*rule.when, *alternative) for t in self._terms(rule.subject, c)]
        joins: list[Pattern] = []
        for number, relation in enumerate(rule.with_):
            if relation.count is not None:
                terms.append(self._counted(rule, relation, wanted=YES))
            else:
                joins.append({f"w{number}": self._related(rule, relation, mark=str(number))})
        for number, relation in enumerate(rule.unless):
            if relation.count is not None:
                terms.append(self._counted(rule, relation, wanted=NO))
            else:
                joins.append({f"n{number}$not": self._related(rule, relation, mark=SHADOW)})
        self._columns(rule.subject)
        return [{"s": _all(rule.subject, [*terms, {"_1": YES}])}, *joins]

    def _related(self, rule: Rule, relation: Relation, *, mark: str) -> Pattern:
        """Non-equalities first, the ties last: an equality must close every join."""
        copy = mark + relation.kind
        self.copies.setdefault(relation.kind, {})[copy] = None
        terms = [t for c in relation.conditions for t in self._terms(relation.kind, c)]
        terms.sort(key=lambda term: not next(iter(term)).startswith("$"))
        if relation.kind == rule.subject:
            terms.insert(0, {"$neq": {"_key": {"s": "_key"}}})
        for name, tie in relation.ties:
            own = "_id" if tie is Tie.THIS else self._columns(rule.subject).tie(name)
            terms.append({self._columns(relation.kind).tie(name): {"s": own}})
        return _all(copy, terms)

    def _counted(self, rule: Rule, relation: Relation, *, wanted: int) -> Pattern:
        """A count is taken beforehand: the engine only sees whether it fits."""

        def fits(this: Fact, facts: Facts, at: At) -> int:
            related = (other for other in facts.of.get(relation.kind, ()) if relation.tied(other, this))
            found = sum(all(_holds(c.test, c.link.read(o, facts), at) for c in relation.conditions) for o in related)
            assert relation.count is not None
            return int(relation.count.holds(Decimal(found), at))

        return {self._columns(rule.subject).column(("count", id(relation)), fits): wanted}

    def _terms(self, kind: str, condition: Condition) -> list[Pattern]:
        """One test as comparisons on integer columns."""
        columns, link = self._columns(kind), condition.link

        def column(what: object, code: Callable[[Value | None, At], int]) -> str:
            return columns.column((str(link), what), lambda fact, facts, at: code(link.read(fact, facts), at))

        def rank(bound: Decimal) -> str:
            return column(("rank", bound), lambda value, _: _rank(value, bound))

        def equal(value: Value) -> str:
            return column(("is", value), lambda v, _: int(v is not None and v == value))

        present = column("present", lambda value, _: int(value is not None))
        match condition.test:
            case Missing():
                return [{present: NO}]
            case Present():
                return [{present: YES}]
            case Equals(values=(only,)):
                return [{equal(only): YES}]
            case NoneOf(values=values):
                return [{present: YES}, *({equal(v): NO} for v in values)]
            case Compare(word=word, bound=bound):
                return [{op: {rank(bound): limit}} for op, limit in RANKS[word]]
            case Between(low=low, high=high):
                return [{"$gte": {rank(low): 1}}, *({op: {rank(high): limit}} for op, limit in RANKS["at most"])]
            case test:
                return [{column(test, lambda value, at: int(_holds(test, value, at))): YES}]

    def _columns(self, kind: str) -> _Columns:
        return self.columns.setdefault(kind, _Columns())

    # --- facts through the engine ---

    def fire(self, facts: Facts, at: At) -> Found:
        """What the engine finds for one customer. Raises `EngineFailure`, and is ready for the next."""
        batch, ids = self._batch(facts, at)
        found: Found = set()
        finished = False
        try:
            for native, bound in self._fired(json.dumps(batch, allow_nan=False)):
                if native == END:
                    finished = True
                else:
                    found.add((self.subjects[native], ids[bound["s"]["_key"]]))
        except durable.error as refusal:
            self._drain()
            raise EngineFailure(f"the engine refused the facts: {refusal}") from None
        if not finished:
            self._drain()
            raise EngineFailure("the engine stopped in the middle of the facts")
        durable.delete_state(self.handle, SID)
        return found

    def _fired(self, batch: str) -> Iterator[tuple[str, Pattern]]:
        """The native rules that fire on a batch, each with the facts it bound."""
        _, offset = durable.assert_facts(self.handle, batch)
        answer = durable.start_action_for_state(self.handle, offset)
        message = answer[1] if answer else None
        while message:
            yield from json.loads(message).items()
            message = durable.complete_and_start_action(self.handle, offset)

    def _drain(self) -> None:
        """A state may only be deleted after an action has fired: let the sentinel fire alone."""
        for _ in self._fired(json.dumps([{"id": -1, "sid": SID, "t": END}])):
            pass
        durable.delete_state(self.handle, SID)

    def _batch(self, facts: Facts, at: At) -> tuple[list[dict[str, object]], list[str]]:
        """The facts as the engine takes them, and the subject's id for each key."""
        numbers: dict[Value, int] = {}
        ids: list[str] = []
        coded: list[dict[str, object]] = []
        copies: list[dict[str, object]] = []
        for kind, columns in self.columns.items():
            alike: Counter[tuple[int, ...]] = Counter()
            for fact in facts.of.get(kind, ()):
                key = len(ids)
                ids.append(str(fact["id"]))
                row = {column: code(fact, facts, at) for column, code in columns.codes.items()}
                for name, column in columns.ties.items():
                    value = fact.get(name)
                    # A missing value equals nothing, not even another missing one.
                    row[column] = -1 - key if value is None else numbers.setdefault(value, len(numbers))
                looks = tuple(row.values())
                alike[looks] += 1
                row |= {"_1": YES, "_key": key, "_id": numbers.setdefault(fact["id"], len(numbers))}
                coded.append({**row, "sid": SID, "t": kind})
                if alike[looks] <= ALIKE_LIMIT:
                    copies += ({**row, "sid": SID, "t": copy} for copy in self.copies.get(kind, ()))
        batch = [{"sid": SID, "t": BEGIN}, *copies, *coded, {"sid": SID, "t": END}]
        return [{"id": number, **row} for number, row in enumerate(batch)], ids


class Engine:
    """All rules of a rule base, spread over rulesets."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rulesets = [Ruleset(f"rules{n}", chunk) for n, chunk in enumerate(_chunks(rules))]

    def close(self) -> None:
        for ruleset in self.rulesets:
            ruleset.close()

    def judge(self, selected: Found, facts: Facts, at: At) -> None:
        """Agree with what the compiled reader selected, or raise `Disagreement` or `EngineFailure`."""
        candidates = {index for index, _ in selected}
        found: Found = set()
        for ruleset in self.rulesets:
            if not candidates.isdisjoint(ruleset.rules):
                found |= ruleset.fire(facts, at)
        if found != selected:
            raise Disagreement(only_reader=selected - found, only_engine=found - selected)


class Disagreement(Exception):
    """The two readers of the rule base differ on a customer. An alarm, never a choice."""

    def __init__(self, *, only_reader: Found, only_engine: Found) -> None:
        super().__init__("the compiled reader and the engine disagree")
        self.only_reader = only_reader
        self.only_engine = only_engine


def _chunks(rules: Sequence[Rule]) -> Iterator[list[Native]]:
    """Consecutive alternatives of rules that fit into one ruleset."""
    chunk: list[Native] = []
    patterns = 0
    for index, rule in enumerate(rules):
        size = 1 + len(rule.with_) + len(rule.unless)
        for alternative in rule.any_of or ((),):
            if chunk and (len(chunk) == RULES_PER_RULESET or patterns + size > PATTERNS_PER_RULESET):
                yield chunk
                chunk, patterns = [], 0
            chunk.append((index, rule, alternative))
            patterns += size
    if chunk:
        yield chunk


def _all(kind: str, terms: list[Pattern]) -> Pattern:
    return {"$and": [{"t": kind}, *terms]}


def _rank(value: Value | None, bound: Decimal) -> int:
    """-1 no value, 0 below, 1 equal, 2 above."""
    if not isinstance(value, Decimal):
        return ABSENT
    return (value >= bound) + (value > bound)


def _holds(test: Test, value: Value | None, at: At) -> bool:
    """Clocks by the intervals of instants, where the compiled reader counts days: two ways to the same answer."""
    match test:
        case Temporal():
            return any(interval.covers(at.now) for interval in test.during(value, at))
        case MissingOr(test=inner):
            return value is None or _holds(inner, value, at)
        case _:
            return test.holds(value, at)
