"""The condition tree as plain generated Python.

For every kind there is one function that walks the records of that kind once and notes which rules hold, and which
could hold as time passes; for every rule with a clock in it one more that decides at a given moment. The source is
meant to be read: `relance rules explain RULE --source` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from rules.model import Fact, Facts
from rules.operators import At, Temporal
from rules.rule import Condition, Link, Relation, Rule, Tie

Hit: TypeAlias = tuple[int, Fact]
"""(index of the rule, the subject)"""
Select: TypeAlias = Callable[[Facts, At, list[Hit], list[Hit]], None]
Holds: TypeAlias = Callable[[Fact, Facts, At], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Rules as functions."""

    source: str
    selects: dict[str, Select]
    holds: tuple[Holds, ...]

    def select(self, facts: Facts, at: At) -> tuple[list[Hit], list[Hit]]:
        """(what holds now, what time could make or unmake): only rules on kinds that this customer has are read."""
        hits: list[Hit] = []
        live: list[Hit] = []
        for kind in facts.of:
            select = self.selects.get(kind)
            if select is not None:
                select(facts, at, hits, live)
        return hits, live


def compile_rules(rules: Sequence[Rule]) -> Compiled:
    writer = _Writer()
    for index, rule in enumerate(rules):
        writer.rule(index, rule)
    for kind in dict.fromkeys(rule.subject for rule in rules):
        writer.kind(kind, [(i, r) for i, r in enumerate(rules) if r.subject == kind])
    source = "\n".join(writer.lines) + "\n"
    namespace: dict[str, object] = dict(writer.constants)
    exec(compile(source, "<rule base>", "exec"), namespace)  # noqa: S102 - our own text; every author's word is a repr or a constant
    return Compiled(
        source=source,
        selects={kind: namespace[_kind_name(kind)] for kind in dict.fromkeys(r.subject for r in rules)},  # pyright: ignore[reportArgumentType]
        holds=tuple(namespace[_rule_name(i, r)] for i, r in enumerate(rules)),  # pyright: ignore[reportArgumentType]
    )


def _kind_name(kind: str) -> str:
    return f"every_{kind}"


def _rule_name(index: int, rule: Rule) -> str:
    return f"holds_{index}_{re.sub(r'[^a-z0-9]', '_', rule.id)}"


@dataclass(slots=True)
class _Writer:
    lines: list[str] = field(default_factory=list[str])
    constants: dict[str, object] = field(default_factory=dict[str, object])

    def constant(self, value: object) -> str:
        """A name for a value that has no literal; the source says what it is."""
        known = next((n for n, v in self.constants.items() if type(v) is type(value) and v == value), None)
        if known is not None:
            return known
        if callable(value):
            name = self._free(_called(value))
        else:
            name = f"c{len(self.constants)}"
            self.lines.append(f"# {name} = {value}")
        self.constants[name] = value
        return name

    def _free(self, name: str) -> str:
        return name if name not in self.constants else f"{name}_{len(self.constants)}"

    def rule(self, index: int, rule: Rule) -> None:
        """The relations of a rule, and the rule as one predicate on a subject at a moment."""
        for number, relation in enumerate((*rule.with_, *rule.unless)):
            self._relation(f"related_{index}_{number}", relation)
        reads, names = _reads(rule)
        exact = _terms(rule, lambda c: c.test.source(names[str(c.link)], self.constant))
        terms = [*exact, *_relations(index, rule)]
        self.lines += [
            f"def {_rule_name(index, rule)}(this, facts, at):",
            *reads,
            f"    return {_joined(terms)}",
            "",
        ]

    def kind(self, kind: str, rules: list[tuple[int, Rule]]) -> None:
        """One walk over the records of a kind for all rules about it."""
        reads = list(dict.fromkeys(line for _, rule in rules for line in _reads(rule)[0]))
        body: list[str] = []
        for index, rule in rules:
            names = _reads(rule)[1]
            possible = _terms(rule, lambda c, names=names: c.test.possible(names[str(c.link)], self.constant))
            terms = [*possible, *_timeless_relations(index, rule)]
            into = "live" if rule.temporal else "hits"
            body += [f"        if {_joined(terms)}:  # {rule.id}", f"            {into}.append(({index}, this))"]
        self.lines += [
            f"def {_kind_name(kind)}(facts, at, hits, live):",
            f"    for this in facts.of[{kind!r}]:",
            *(f"    {line}" for line in reads),
            *body,
            "",
        ]

    def _relation(self, name: str, relation: Relation) -> None:
        """Whether (or how often) a record exists that the subject is related to."""
        body: list[str] = ["        if other is this:", "            continue"]
        for field_, tie in relation.ties:
            # A subject without the field is related to nothing by it: `this` equals no value.
            wanted = "this['id']" if tie is Tie.THIS else f"this.get({field_!r}, this)"
            body += [f"        if other.get({field_!r}) != {wanted}:", "            continue"]
        for condition in relation.conditions:
            variable = _variable(condition.link)
            body += [
                f"        {variable} = {_read('other', condition.link)}",
                f"        if not ({condition.test.source(variable, self.constant)}):",
                "            continue",
            ]
        if relation.count is None:
            found, answer, start = "        return True", "    return False", []
        else:
            start, found = ["    count = 0"], "        count += 1"
            number = self.constant(Decimal)
            answer = f"    count = {number}(count)\n    return {relation.count.source('count', self.constant)}"
        self.lines += [
            f"def {name}(this, facts, at):",
            f"    # {' '.join(relation.words.split())}",
            *start,
            f"    for other in facts.of.get({relation.kind!r}, ()):",
            *body,
            found,
            answer,
            "",
        ]


def _called(function: Callable[..., object]) -> str:
    """What the source calls a function: `in_the_next_90_days` for the test of that phrase."""
    test = getattr(function, "__self__", None)
    return re.sub(r"\W+", "_", str(test)) if isinstance(test, Temporal) else function.__name__


def _variable(link: Link) -> str:
    return "__".join(("v", *(ref for ref, _ in link.refs), link.field))


def _read(record: str, link: Link) -> str:
    """`facts.find("customer", this.get("customer"))` and so on, down to the field."""
    if not link.refs:
        return f"{record}.get({link.field!r})"
    (ref, kind), *rest = link.refs
    expression = f"facts.find({kind!r}, {record}.get({ref!r}))"
    for ref, kind in rest:
        expression = f"facts.find({kind!r}, ({expression} or {{}}).get({ref!r}))"
    return f"({expression} or {{}}).get({link.field!r})"


def _reads(rule: Rule) -> tuple[list[str], dict[str, str]]:
    """The lines that read the fields a rule tests, and the variable of each field."""
    names = {str(c.link): _variable(c.link) for c in rule.conditions()}
    lines = {f"    {names[str(c.link)]} = {_read('this', c.link)}": None for c in rule.conditions()}
    return list(lines), names


def _terms(rule: Rule, term: Callable[[Condition], str]) -> Iterator[str]:
    """The conditions on the subject as expressions, those without a clock first."""
    yield from (term(c) for c in sorted(rule.when, key=lambda c: c.test.temporal))
    if rule.any_of:
        yield " or ".join(f"({_joined([term(c) for c in alternative])})" for alternative in rule.any_of)


def _relations(index: int, rule: Rule) -> Iterator[str]:
    for number, _ in enumerate(rule.with_):
        yield f"related_{index}_{number}(this, facts, at)"
    for number, _ in enumerate(rule.unless, start=len(rule.with_)):
        yield f"not related_{index}_{number}(this, facts, at)"


def _timeless_relations(index: int, rule: Rule) -> Iterator[str]:
    """Relations that no clock can change; the others may hold at some moment."""
    for term, relation in zip(_relations(index, rule), (*rule.with_, *rule.unless), strict=True):
        if not relation.temporal:
            yield term


def _joined(terms: list[str]) -> str:
    return " and ".join(f"({t})" if " or " in t or " and " in t else t for t in terms) or "True"
