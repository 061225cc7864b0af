"""durable_rules, inside the subset in which it is right, as the judge of what the compiled reader selected.

Every value is coded as a small integer before it reaches the engine: numbers by their rank among the bounds that the
rules name, dates likewise by the days since, words by their place among the words the rules name, other clocks by
whether they have come. So no text, float, date or large number meets its JSON reader or its 32-bit hashes. Patterns
follow the order that engine rules need: positive ones first, `none` on facts asserted before all others, an equality
last in every join.

The engine never binds one fact twice, and it finds every combination of facts that fits. So each relation reads copies
of its own, and of records that look alike only as many as can make a difference.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, TypeAlias

import durable_rules_engine as durable

from domain.calendar import At
from rules.model import Date, Fact, Facts, Value
from rules.operators import Between, Compare, Equals, Missing, MissingOr, NoneOf, Present, Temporal, Test
from rules.rule import Condition, Relation, Rule, Tie

RULES_PER_RULESET = 32  # large rulesets hang when they are built
PATTERNS_PER_RULESET = 60  # a fact that meets 65 alpha matches is an error
ALIKE_LIMIT = 2  # one record is enough to relate to, and a second where the first is the subject itself
SID = "0"
BEGIN, END = "~begin", "~end"  # the sentinels: END fires last, so its absence shows a batch cut short
SHADOW = "!"  # marks the copies of facts on which `unless` is read; the n-th `with` reads copies marked n
YES, NO = 1, 0
ABSENT = -1  # rank or place of a value that is not there
TOP = 1_000_000  # above every rank
RANKS: Mapping[str, Callable[[int], tuple[int, int]]] = {  # the lowest and the highest rank, given the bound's own
    "at least": lambda bound: (bound, TOP),
    "above": lambda bound: (bound + 1, TOP),
    "at most": lambda bound: (0, bound),
    "below": lambda bound: (0, bound - 1),
}

Pattern: TypeAlias = dict[str, Any]
Read: TypeAlias = Callable[[Fact, Facts, At], Value | None]
Code: TypeAlias = Callable[[Value | None, At], int]
Bound: TypeAlias = Decimal | int
Found: TypeAlias = set[tuple[int, str]]
"""(index of the rule, id of the subject)"""
Native: TypeAlias = tuple[int, Rule, tuple[Condition, ...]]
"""(index of the rule, the rule, one of its alternatives): what the engine knows as a rule"""


class EngineFailure(Exception):
    """The engine cut a batch short or refused it: nothing can be concluded from what it said."""


@dataclass(slots=True)
class _Columns:
    """The integers that the facts of a kind carry in one ruleset: one for each tie, then the codes of each reading."""

    ties: dict[str, str] = field(default_factory=dict[str, str])  # field -> column that joins on its value
    readings: dict[object, tuple[Read, dict[object, Code]]] = field(
        default_factory=dict[object, tuple[Read, dict[object, Code]]]
    )

    def tie(self, name: str) -> str:
        return self.ties.setdefault(name, f"k{len(self.ties)}")

    def code(self, key: object, read: Read, what: object, code: Code) -> str:
        """The name of a column; the same key and `what` is the same column."""
        _, codes = self.readings.setdefault(key, (read, {}))
        codes.setdefault(what, code)
        return f"f{list(self.readings).index(key)}_{list(codes).index(what)}"

    def tied(self, fact: Fact, numbers: dict[Value, int], *, missing: int) -> Iterator[int]:
        """A number for each value, the same for the same. A missing one equals none, not even another missing one."""
        for name in self.ties:
            value = fact.get(name)
            yield missing if value is None else numbers.setdefault(value, len(numbers))

    def coded(self, fact: Fact, facts: Facts, at: At) -> Iterator[int]:
        for read, codes in self.readings.values():
            value = read(fact, facts, at)
            for code in codes.values():
                yield code(value, at)

    def form(self, called: str) -> str:
        """As what a fact reaches the engine: to be filled with its number, key, id and row."""
        codes = (f"f{n}_{i}" for n, (_, codes) in enumerate(self.readings.values()) for i in range(len(codes)))
        return _form(called, "_key", "_id", *self.ties.values(), *codes)


class Ruleset:
    """A few rules in one native ruleset."""

    def __init__(self, name: str, rules: Sequence[Native]) -> None:
        self.rules = frozenset(index for index, _, _ in rules)
        self.columns: dict[str, _Columns] = {}
        self.copies: dict[str, dict[str, None]] = {}  # kind -> what its copies are called
        self.bounds = _bounds(rules)
        self.words: dict[Value, int] = {}  # the values that rules name, each with its place
        self.subjects: dict[str, int] = {}  # name of a native rule -> index of ours
        definition: dict[str, object] = {}
        for number, (index, rule, alternative) in enumerate(rules):
            native = f"r{number}"
            definition[native] = {"all": self._patterns(rule, alternative)}
            self.subjects[native] = index
        definition[END] = {"all": [{"e": {"t": END}}], "pri": 1000}
        self.forms = {
            kind: (columns.form(kind), [columns.form(copy) for copy in self.copies.get(kind, ())])
            for kind, columns in self.columns.items()
        }
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

        def count(this: Fact, facts: Facts, at: At) -> Value:
            related = (other for other in facts.of.get(relation.kind, ()) if relation.tied(other, this))
            found = sum(all(_holds(c.test, c.link.read(o, facts), at) for c in relation.conditions) for o in related)
            return Decimal(found)

        assert relation.count is not None
        fits = relation.count.holds
        return {self._columns(rule.subject).code(id(relation), count, "fits", lambda n, at: int(fits(n, at))): wanted}

    def _terms(self, kind: str, condition: Condition) -> list[Pattern]:
        """One test as comparisons on integer columns."""
        link, test = condition.link, condition.test
        bounds = self.bounds[kind, str(link)]

        def column(what: object, code: Code) -> str:
            return self._columns(kind).code(str(link), lambda fact, facts, _: link.read(fact, facts), what, code)

        def ranks(low: int, high: int) -> list[Pattern]:
            code = _rank_of_day if isinstance(condition.type, Date) else _rank_of_number
            rank = column("rank", lambda value, at: code(value, bounds, at))
            return [{"$gte": {rank: low}}, {"$lte": {rank: high}}]

        def word() -> str:
            return column("word", lambda value, _: ABSENT if value is None else self.words.get(value, 0))

        def place(value: Value) -> int:
            return self.words.setdefault(value, len(self.words) + 1)

        match test:
            case Missing() | Present():
                present = column("present", lambda value, _: int(value is not None))
                return [{present: int(isinstance(test, Present))}]
            case Equals(values=(only,)):
                return [{word(): place(only)}]
            case NoneOf(values=values):
                return [{"$gte": {word(): 0}}, *({"$neq": {word(): place(v)}} for v in values)]
            case Compare(word=order, bound=bound):
                return ranks(*RANKS[order](_rank(bound, bounds)))
            case Between(low=low, high=high):
                return ranks(_rank(low, bounds), _rank(high, bounds))
            case Temporal(reach=(first, last)) if isinstance(condition.type, Date):
                return ranks(_rank(first, bounds), _rank(last, bounds))
            case _:
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
            for native, bound in self._fired(batch):
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
        for _ in self._fired(f"[{_form(END) % -1}]"):
            pass
        durable.delete_state(self.handle, SID)

    def _batch(self, facts: Facts, at: At) -> tuple[str, list[str]]:
        """The facts as the engine takes them, and the subject's id for each key."""
        numbers: dict[Value, int] = {}
        ids: list[str] = []
        coded: list[tuple[str, tuple[int, ...]]] = []
        copies: list[tuple[str, tuple[int, ...]]] = []
        for kind, columns in self.columns.items():
            form, copy_forms = self.forms[kind]
            alike: Counter[tuple[int, ...]] = Counter()
            for fact in facts.of.get(kind, ()):
                key = len(ids)
                ids.append(str(fact["id"]))
                looks = (*columns.tied(fact, numbers, missing=-1 - key), *columns.coded(fact, facts, at))
                row = (key, numbers.setdefault(fact["id"], len(numbers)), *looks)
                coded.append((form, row))
                alike[looks] += 1
                if alike[looks] <= ALIKE_LIMIT:
                    copies += ((copy, row) for copy in copy_forms)
        batch = [(_form(BEGIN), ()), *copies, *coded, (_form(END), ())]
        return f"[{','.join(form % (number, *row) for number, (form, row) in enumerate(batch))}]", ids


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
    """Alternatives of rules about one kind that fit into one ruleset: the fewer kinds, the fewer facts it is given."""
    by_kind = sorted(enumerate(rules), key=lambda numbered: numbered[1].subject)
    for _, of_kind in groupby(by_kind, key=lambda numbered: numbered[1].subject):
        chunk: list[Native] = []
        patterns = 0
        for index, rule in of_kind:
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


def _bounds(rules: Iterable[Native]) -> Mapping[tuple[str, str], Sequence[Bound]]:
    """By kind and link what the rules compare a number with, or the days since a date, in order."""
    found = defaultdict[tuple[str, str], set[Bound]](set)
    for _, rule, alternative in rules:
        conditions = [(rule.subject, c) for c in (*rule.when, *alternative)]
        conditions += [(r.kind, c) for r in (*rule.with_, *rule.unless) for c in r.conditions]
        for kind, condition in conditions:
            match condition.test:
                case Compare(bound=bound):
                    named: tuple[Bound, ...] = (bound,)
                case Between(low=low, high=high):
                    named = (low, high)
                case Temporal(reach=(first, last)) if isinstance(condition.type, Date):
                    named = (first, last)
                case _:
                    named = ()
            found[kind, str(condition.link)].update(named)
    return {name: sorted(bounds) for name, bounds in found.items()}


def _rank(value: Bound, bounds: Sequence[Bound]) -> int:
    """Odd on a bound, even between two: what no rule tells apart has the same rank."""
    return bisect_left(bounds, value) + bisect_right(bounds, value)


def _rank_of_number(value: Value | None, bounds: Sequence[Bound], _: At) -> int:
    return _rank(value, bounds) if isinstance(value, Decimal) else ABSENT


def _rank_of_day(value: Value | None, bounds: Sequence[Bound], at: At) -> int:
    return _rank((at.today - value).days, bounds) if isinstance(value, date) else ABSENT


def _holds(test: Test, value: Value | None, at: At) -> bool:
    """Clocks by the intervals of instants, where the compiled reader counts days: two ways to the same answer."""
    match test:
        case Temporal():
            return any(interval.covers(at.now) for interval in test.during(value, at))
        case MissingOr(test=inner):
            return value is None or _holds(inner, value, at)
        case _:
            return test.holds(value, at)
