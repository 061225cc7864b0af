"""Writes rules as Python that is meant to be read: `relance rules explain RULE --source` prints it.

For every kind there is one function that walks the records of that kind once and notes which rules hold, and which
could hold as time passes; for every rule one more that decides at a given moment; for every derived or classified field
one that works it out for a record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from rules.course import EXACT, QUOTIENT, course, meet
from rules.model import Date
from rules.operators import ALWAYS, FOREVER, MissingOr, Temporal, literal
from rules.rule import Aggregate, Arithmetic, Condition, Derived, Link, Reach, Relation, Rule, Stage, Tie
from rules.strata import Classified, Step, Strata


def kind_name(kind: str) -> str:
    return f"every_{kind}"


def rule_name(index: int, rule: Rule) -> str:
    return f"holds_{index}_{re.sub(r'[^a-z0-9]', '_', rule.id)}"


def step_name(step: Step) -> str:
    return f"{'set' if isinstance(step, Classified) else 'derive'}__{'__'.join(step.key)}"


@dataclass(slots=True, kw_only=True)
class Writer:
    strata: Strata
    lines: list[str] = field(default_factory=list[str])
    constants: dict[str, object] = field(default_factory=dict[str, object])
    names: dict[object, str] = field(default_factory=dict[object, str])

    def constant(self, value: object) -> str:
        """A name for a value that has no literal; the source says what it is."""
        named = callable(value)
        key = (_called(value), repr(getattr(value, "__self__", None))) if named else (type(value), repr(value))
        if key in self.names:
            return self.names[key]
        if named:
            name = self._free(_called(value))
        else:
            name = f"c{len(self.constants)}"
            self.lines.append(f"# {name} = {value}")
        self.constants[name] = value
        self.names[key] = name
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
            f"def {rule_name(index, rule)}(this, facts, at):",
            *reads,
            f"    return {_joined(terms)}",
            "",
        ]

    def kind(self, kind: str, rules: list[tuple[int, Rule]]) -> None:
        """One walk over the records of a kind for all rules about it."""
        reads = list(dict.fromkeys(line for _, rule in rules for line in _reads(rule)[0]))
        spans = (
            _variable(c.link) for _, rule in rules for c in rule.when if self._spans(c) and isinstance(c.type, Date)
        )
        reads += [f"    {_day(name)} = {name} and {name}.toordinal()" for name in dict.fromkeys(spans)]
        body = [line for index, rule in rules for line in self._selected(index, rule)]
        self.lines += [
            f"def {kind_name(kind)}(facts, at, hits, live, next_day, next_moment):",
            "    now, today = at.now, at.today.toordinal()",
            f"    for this in facts.of[{kind!r}]:",
            *(f"    {line}" for line in reads),
            *(f"        {line}" for line in body),
            "    return next_day, next_moment",
            "",
        ]

    def _selected(self, index: int, rule: Rule) -> list[str]:
        """The lines that note what a rule says of `this`, and when time alone will change it.

        Most rules hold for one span of time, from `start` up to `end`, less where relations have spans of their own.
        What moves in any other way is left to the horizon, and only while that span is not over.
        """
        names = _reads(rule)[1]
        spans = [c for c in rule.when if self._spans(c)]
        possible = _joined(list(_terms(rule, lambda c: self._possible(c, names[str(c.link)]))))
        moving = [r for r in rule.relations() if self.strata.moves_relation(r)]
        lasting = [t for t, r in zip(_relations(index, rule), rule.relations(), strict=True) if r not in moving]
        alone = sum(map(self.strata.moves, rule.conditions())) == len(spans) and all(map(self._meets, moving))
        if not spans and not (alone and moving):
            into = "hits" if alone else "live"
            return [f"if {_joined([possible, *lasting])}:  # {rule.id}", f"    {into}.append(({index}, this))"]
        timed = [*spans, *(c for r in moving for c in r.conditions if self._spans(c))]
        by_day = all(isinstance(c.type, Date) for c in timed)
        now, following = ("today", "next_day") if by_day else ("now", "next_moment")
        checks = [f"{now} < end", *(["start < end"] if len(spans) > 1 else []), *lasting]
        then = [f"live.append(({index}, this))"]
        if alone and moving:
            numbers = [n for n, r in enumerate(rule.relations()) if r in moving]
            related = "".join(f"spans_{index}_{n}(this, facts, at), " for n in numbers)
            then = [
                f"holds, turn = {self.constant(meet)}({now}, start, end, ({related}))",
                "if holds:",
                f"    hits.append(({index}, this))",
                f"if turn is not None and turn < {following}:",
                f"    {following} = turn",
            ]
            for n in numbers:
                self._related_spans(f"spans_{index}_{n}", rule, n, by_day=by_day)
        elif alone:
            then = [
                f"if start <= {now}:",
                f"    hits.append(({index}, this))",
                "    start = end",
                f"if start < {following}:",
                f"    {following} = start",
            ]
        return [
            f"if {possible}:  # {rule.id}",
            *(f"    {line}" for line in self._span(spans, names, by_day=by_day)),
            f"    if {_joined(checks)}:",
            *(f"        {line}" for line in then),
        ]

    def _meets(self, relation: Relation) -> bool:
        """Whether a relation moves, and each related record counts for one span of time."""
        moving = [c for c in relation.conditions if self.strata.moves(c)]
        return bool(moving) and all(map(self._spans, moving))

    def _related_spans(self, name: str, rule: Rule, number: int, *, by_day: bool) -> None:
        """When each related record counts, and how many must."""
        relation = list(rule.relations())[number]
        counted = relation.count.source("count", self.constant) if relation.count else "count > 0"
        fits = counted if number < len(rule.with_) else f"not ({counted})"
        self.lines += [
            f"def {name}(this, facts, at):",
            f"    # {' '.join(relation.words.split())}",
            "    found = []",
            f"    for other in facts.of.get({relation.kind!r}, ()):",
            "        if other is this:",
            "            continue",
            *self._spell(relation, by_day=by_day),
            "        found.append((start, end))",
            f"    return found, lambda count: {fits}",
            "",
        ]

    def _spell(self, relation: Relation, *, by_day: bool) -> Iterator[str]:
        """The lines of a loop over `other` that find from when to when it is related to `this`, or pass over it."""
        spans = [c for c in relation.conditions if self._spans(c)]
        yield from self._related(replace(relation, conditions=tuple(c for c in relation.conditions if c not in spans)))
        names = {str(c.link): _variable(c.link) for c in spans}
        for condition in spans:
            name = names[str(condition.link)]
            yield f"        {name} = {read_source('other', condition.link)}"
            yield f"        if not ({condition.test.possible(name, self.constant)}):"
            yield "            continue"
            if by_day:
                yield f"        {_day(name)} = {name} and {name}.toordinal()"
        yield from (f"        {line}" for line in self._span(spans, names, by_day=by_day))

    def _spans(self, condition: Condition) -> bool:
        """Whether a condition holds for one span of time, which the value alone decides."""
        return condition.test.temporal and not condition.test.yearly and condition.link.key not in self.strata.clocked

    def _span(self, conditions: Sequence[Condition], names: Mapping[str, str], *, by_day: bool) -> Iterator[str]:
        """The lines that find `start` and `end` of the time in which all these conditions hold."""
        for number, condition in enumerate(conditions):
            test, name = condition.test, names[str(condition.link)]
            inner = test.test if isinstance(test, MissingOr) else test
            assert isinstance(inner, Temporal)
            span = (
                inner.days_source(name, _day(name), self.constant)
                if by_day
                else f"{self.constant(inner.span_of)}({name}, at)"
            )
            target = "start, end" if len(conditions) == 1 else f"start{number}, end{number}"
            if inner is not test:
                span = f"{f'(0, {FOREVER})' if by_day else self.constant(ALWAYS)} if {name} is None else ({span})"
            yield f"{target} = {span}"
        if not conditions:
            yield f"start, end = 0, {FOREVER}" if by_day else f"start, end = {self.constant(ALWAYS)}"
        if len(conditions) > 1:
            for edge, pick in (("start", "max"), ("end", "min")):
                yield f"{edge} = {pick}({', '.join(f'{edge}{number}' for number, _ in enumerate(conditions))})"

    def _possible(self, condition: Condition, variable: str) -> str:
        """True wherever time alone could make the condition true."""
        if condition.link.key in self.strata.clocked:
            return "True"
        return condition.test.possible(variable, self.constant)

    # --- derived and classified fields ---

    def derived(self, step: Derived) -> None:
        """What works out a derived field for the record `this`; None: missing."""
        match step.how:
            case Aggregate() as aggregate if self.runs(step):
                body = self._course(aggregate)
            case Aggregate() as aggregate:
                body = self._aggregate(aggregate)
            case Arithmetic() as arithmetic:
                body = self._arithmetic(arithmetic)
        self.lines += [
            f"def {step_name(step)}(this, facts, at):",
            f"    # {' '.join(step.words.split())}",
            *body,
            "",
        ]

    def runs(self, step: Step) -> bool:
        """Whether a field that moves has a course: each record adds its value for one span of time."""
        if not isinstance(step, Derived) or not isinstance(step.how, Aggregate) or step.key not in self.strata.clocked:
            return False
        over, name = step.how.over, step.how.field
        return self._meets(over) and (over.kind, name) not in self.strata.clocked

    def _course(self, aggregate: Aggregate) -> list[str]:
        """What it is at every moment."""
        over, name = aggregate.over, aggregate.field
        value = [f"value = other.get({name!r})", "if value is None:", "    continue"]
        return [
            "    found = []",
            f"    for other in facts.of.get({over.kind!r}, ()):",
            *self._spell(over, by_day=False),
            *(f"        {line}" for line in (value if name else [f"value = {self.constant(Decimal(1))}"])),
            "        found.append((start, end, value))",
            f"    return {self.constant(course)}({aggregate.way!r}, found)",
        ]

    def _aggregate(self, aggregate: Aggregate) -> list[str]:
        over = aggregate.over
        match aggregate.way:
            case "count":
                start, add = "0", ["found += 1"]
            case "sum":
                start, add = self.constant(Decimal(0)), [f"found = {self.constant(EXACT.add)}(found, value)"]
            case way:
                better = "<" if way == "min" else ">"
                start, add = "None", [f"if found is None or value {better} found:", "    found = value"]
        value = [f"value = other.get({aggregate.field!r})", "if value is None:", "    continue"]
        return [
            f"    found = {start}",
            f"    for other in facts.of.get({over.kind!r}, ()):",
            *self._related(over),
            *(f"        {line}" for line in (*(value if aggregate.field else ()), *add)),
            "    return found" if aggregate.field else f"    return {self.constant(Decimal)}(found)",
        ]

    def _arithmetic(self, arithmetic: Arithmetic) -> list[str]:
        names = [f"v{number}" for number, _ in enumerate(arithmetic.operands)]
        lines = [
            f"    {name} = {read_source('this', operand) if isinstance(operand, Link) else self.constant(operand)}"
            for name, operand in zip(names, arithmetic.operands, strict=True)
        ]
        read = [n for n, o in zip(names, arithmetic.operands, strict=True) if isinstance(o, Link)]
        missing = [f"{name} is None" for name in read]
        if arithmetic.way == "divide":
            missing += [f"{name} == 0" for name in names[1:]]
        result = names[0]
        context = QUOTIENT if arithmetic.way == "divide" else EXACT
        for name in names[1:]:
            result = f"{self.constant(getattr(context, arithmetic.way))}({result}, {name})"
        check = [f"    if {' or '.join(missing)}:", "        return None"] if missing else []
        return [*lines, *check, f"    return {result}"]

    def classified(self, step: Classified, rules: Sequence[str]) -> None:
        """What rules set a field of the customer to; None: the recorded value stays."""
        body: list[str] = []
        for name, rule in zip(rules, step.rules, strict=True):
            live = rule.rollout.stage is Stage.LIVE
            reaches = "" if live else f" and {self.constant(rule.reach)}(this, facts) == {Reach.LIVE.value!r}"
            body += [
                f"    for this in facts.of.get({rule.subject!r}, ()):",
                f"        if {name}(this, facts, at){reaches}:",
                f"            return {literal(rule.then.sets[step.field], self.constant)}",
            ]
        self.lines += [f"def {step_name(step)}(customer, facts, at):", *body, "    return None", ""]

    # --- relations ---

    def _related(self, relation: Relation) -> list[str]:
        """The lines of a loop over `other` that pass over what is not related to `this`."""
        body: list[str] = []
        for field_, tie in relation.ties:
            # A subject without the field is related to nothing by it: `this` equals no value.
            wanted = "this['id']" if tie is Tie.THIS else f"this.get({field_!r}, this)"
            body += [f"        if other.get({field_!r}) != {wanted}:", "            continue"]
        for condition in relation.conditions:
            variable = _variable(condition.link)
            body += [
                f"        {variable} = {read_source('other', condition.link)}",
                f"        if not ({condition.test.source(variable, self.constant)}):",
                "            continue",
            ]
        return body

    def _relation(self, name: str, relation: Relation) -> None:
        """Whether (or how often) a record exists that the subject is related to."""
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
            "        if other is this:",
            "            continue",
            *self._related(relation),
            found,
            answer,
            "",
        ]


def _called(function: Callable[..., object]) -> str:
    """What the source calls a function: `in_the_next_90_days` for the test of that phrase."""
    match getattr(function, "__self__", None):
        case Temporal() as test:
            said = re.sub(r"\W+", "_", str(test))
            return said if function.__name__ == "holds" else f"{said}__{function.__name__}"
        case Rule() as rule:
            return f"{function.__name__}_{re.sub(r'[^a-z0-9]', '_', rule.id)}"
        case _:
            return function.__name__


def _variable(link: Link) -> str:
    return "__".join(("v", *(ref for ref, _ in link.refs), link.field))


def _day(variable: str) -> str:
    return f"{variable}__day"


def read_source(record: str, link: Link) -> str:
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
    lines = {f"    {names[str(c.link)]} = {read_source('this', c.link)}": None for c in rule.conditions()}
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


def _joined(terms: list[str]) -> str:
    terms = [f"({t})" if " or " in t or " and " in t else t for t in terms if t != "True"]
    return " and ".join(terms) or "True"
