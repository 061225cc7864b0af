"""Facts as small integers: all that durable_rules ever sees.

A number is coded by its rank among the bounds that the rules name, a date likewise by the days since, a word by its
place among the words the rules name, any other clock by whether it has come. So no text, float, date or large number
meets the engine's JSON reader or its 32-bit hashes, and facts that no rule tells apart are the same question.

The code of a fact is worked out by generated Python, one function for each kind in a ruleset.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias, cast

from domain.calendar import At
from rules.model import Date, Fact, Facts, Value
from rules.operators import Between, Compare, Equals, Missing, MissingOr, NoneOf, Present, Temporal, Test
from rules.rule import Condition, Relation, Rule
from rules.writer import read_source

YES, NO = 1, 0
ABSENT = -1  # rank, place or tie of a value that is not there
TOP = 1_000_000  # above every rank
RANKS: Mapping[str, Callable[[int], tuple[int, int]]] = {  # the lowest and the highest rank, given the bound's own
    "at least": lambda bound: (bound, TOP),
    "above": lambda bound: (bound + 1, TOP),
    "at most": lambda bound: (0, bound),
    "below": lambda bound: (0, bound - 1),
}

Terms: TypeAlias = list[dict[str, Any]]
"""Comparisons of the engine, on columns of integers"""
Row: TypeAlias = tuple[int, ...]
Question: TypeAlias = tuple[Row, tuple[tuple[Row, ...], ...]]
"""(the subject, the records of each other kind that it may be related to)"""
Codes: TypeAlias = Callable[[Fact, Facts, At], Row]
Bound: TypeAlias = Decimal | int
Native: TypeAlias = tuple[int, Rule, tuple[Condition, ...]]
"""(index of the rule, the rule, one of its alternatives): what the engine knows as a rule"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """How the records of a kind are coded as something a subject may be related to."""

    ties: tuple[str, ...]
    codes: Codes
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """How the records that one ruleset reads are coded. `same`: the subject's fields that others are tied to."""

    same: tuple[str, ...]
    codes: Codes
    columns: tuple[str, ...]
    others: Mapping[str, Others]

    def questions(self, kind: str, facts: Facts, at: At) -> Iterator[tuple[Fact, Question]]:
        """Every record of a kind, and what is to be asked about it."""
        coded = [
            (others.ties, [(other, others.codes(other, facts, at)) for other in facts.of.get(other_kind, ())])
            for other_kind, others in self.others.items()
        ]
        for this in facts.of[kind]:
            codes = self.codes(this, facts, at)
            if not coded:
                yield this, (codes, ())
                continue
            # Ties only ever compare with the subject: which of its values a record has is all that counts.
            numbers: dict[Value, int] = {this["id"]: YES}
            own = [
                # Of what is missing nobody has the same.
                -2 - place if (value := this.get(name)) is None else numbers.setdefault(value, len(numbers) + 1)
                for place, name in enumerate(self.same)
            ]
            related = tuple(
                tuple(
                    sorted(
                        {
                            (int(other is not this), *[_tied(other.get(name), numbers) for name in ties], *theirs)
                            for other, theirs in rows
                        }
                    )
                )
                for ties, rows in coded
            )
            yield this, ((NO, YES, *own, *codes), related)


def _tied(value: Value | None, numbers: Mapping[Value, int]) -> int:
    return ABSENT if value is None else numbers.get(value, 0)


@dataclass(slots=True)
class Coding:
    """Collects the columns that the patterns of one ruleset read, then writes what codes them."""

    rules: Sequence[Native]
    bounds: Mapping[tuple[str | None, str], Sequence[Bound]] = field(init=False)
    words: dict[Value, int] = field(default_factory=dict[Value, int])  # the values that rules name, each with its place
    _same: dict[str, str] = field(default_factory=dict[str, str])  # field -> column
    _ties: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])  # kind -> field -> column
    _columns: dict[str | None, dict[str, str]] = field(default_factory=dict[str | None, dict[str, str]])
    _constants: dict[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        self.bounds = _bounds(self.rules)
        self._constants |= {"left": bisect_left, "right": bisect_right, "words": self.words}

    def same(self, name: str) -> str:
        """The subject's column of a field that others are tied to."""
        return self._same.setdefault(name, f"k{len(self._same)}")

    def tie(self, kind: str, name: str) -> str:
        """The column of a tied field of a kind."""
        ties = self._ties.setdefault(kind, {})
        return ties.setdefault(name, f"k{len(ties)}")

    def counted(self, relation: Relation, *, wanted: int) -> dict[str, Any]:
        """A count is taken beforehand: the engine only sees whether it fits."""

        def fits(this: Fact, facts: Facts, at: At) -> bool:
            related = (other for other in facts.of.get(relation.kind, ()) if relation.tied(other, this))
            found = sum(all(_holds(c.test, c.link.read(o, facts), at) for c in relation.conditions) for o in related)
            assert relation.count is not None
            return relation.count.holds(Decimal(found), at)

        return {self._column(None, f"int({self._constant(fits)}(this, facts, at))"): wanted}

    def terms(self, kind: str | None, condition: Condition) -> Terms:
        """One test as comparisons on integer columns. `kind` None: of the subject."""
        link, test = condition.link, condition.test
        bounds = self.bounds[kind, str(link)]
        value = read_source("this", link)

        def column(code: str) -> str:
            return self._column(kind, code.replace("VALUE", f"(v := {value})"))

        def ranks(low: int, high: int) -> Terms:
            coded = "(d := today - v.toordinal())" if isinstance(condition.type, Date) else "(v)"
            named = self._constant(bounds)
            rank = column(f"{ABSENT} if VALUE is None else left({named}, {coded}) + right({named}, {coded[1]})")
            return [{"$gte": {rank: low}}, {"$lte": {rank: high}}]

        def word() -> str:
            return column(f"{ABSENT} if VALUE is None else words.get(v, 0)")

        def place(value: Value) -> int:
            return self.words.setdefault(value, len(self.words) + 1)

        match test:
            case Missing() | Present():
                return [{column("int(VALUE is not None)"): int(isinstance(test, Present))}]
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
                return [{column(f"{self._constant(Holds(test))}({value}, at)"): YES}]

    def coder(self) -> Coder:
        kinds = dict.fromkeys(r.kind for _, rule, _ in self.rules for r in rule.relations() if r.count is None)
        return Coder(
            same=tuple(self._same),
            codes=self._codes(None),
            columns=(*(("_self", "_id") if kinds else ()), *self._same.values(), *self._columns.get(None, {}).values()),
            others={
                kind: Others(
                    ties=tuple(self._ties.get(kind, {})),
                    codes=self._codes(kind),
                    columns=("_self", *self._ties.get(kind, {}).values(), *self._columns.get(kind, {}).values()),
                )
                for kind in kinds
            },
        )

    def _column(self, kind: str | None, code: str) -> str:
        """The name of a column; the same code is the same column."""
        columns = self._columns.setdefault(kind, {})
        return columns.setdefault(code, f"f{len(columns)}")

    def _constant(self, value: object) -> str:
        same = (name for name, known in self._constants.items() if type(known) is type(value) and known == value)
        name = next(same, f"c{len(self._constants)}")
        self._constants[name] = value
        return name

    def _codes(self, kind: str | None) -> Codes:
        """A function of a record to the codes in its columns."""
        source = (
            "def codes(this, facts, at):\n"
            "    today = at.today.toordinal()\n"
            f"    return ({' '.join(f'{code},' for code in self._columns.get(kind, {}))})\n"
        )
        namespace = dict(self._constants)
        exec(compile(source, "<codes>", "exec"), namespace)  # noqa: S102 - our own text; authors' words are constants
        return cast(Codes, namespace["codes"])


def _bounds(rules: Iterable[Native]) -> Mapping[tuple[str | None, str], Sequence[Bound]]:
    """By kind (None: the subject's) and link what rules compare a number with, or the days since a date, in order."""
    found = defaultdict[tuple[str | None, str], set[Bound]](set)
    for _, rule, alternative in rules:
        conditions: list[tuple[str | None, Condition]] = [(None, c) for c in (*rule.when, *alternative)]
        conditions += [(r.kind, c) for r in rule.relations() for c in r.conditions]
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


@dataclass(frozen=True, slots=True)
class Holds:
    """Clocks by the intervals of instants, where the compiled reader counts days: two ways to the same answer."""

    test: Test

    def __call__(self, value: Value | None, at: At) -> int:
        return int(_holds(self.test, value, at))


def _holds(test: Test, value: Value | None, at: At) -> bool:
    match test:
        case Temporal():
            return any(interval.covers(at.now) for interval in test.during(value, at))
        case MissingOr(test=inner):
            return value is None or _holds(inner, value, at)
        case _:
            return test.holds(value, at)
