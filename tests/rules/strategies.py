"""Random companies: a model, rules as text and as the oracle reads them, dossiers near the thresholds, and moments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from hypothesis.vendor.pretty import RepresentationPrinter

from domain.person import People, Person
from domain.record import Dossier, Record
from tests.rules import oracle
from tests.rules.oracle import DAY, Office, first_showing, micros, moment, ordinal

TICK = timedelta(microseconds=1)
KINDS = ("customer", "contract", "quote", "visit")
TYPES = {
    "label": "text", "note": "text", "flag": "yesno", "size": "number", "worth": "money", "day": "date",
    "since": "date", "at": "datetime", "seen": "datetime", "stage": "enum",
}  # fmt: skip
ENUM = ("new", "won", "lost", "no", "on", "in progress", "passed", "4:30")
GROUPS = {"open": ("new", "in progress"), "closed": ("won", "lost", "no")}
WORDS = (
    "fibre", "Fibre", "fibre 2", "straße", "STRASSE", "no", "on", "4:30", "1e3", "0x1F", "007", "a, b", "missing",
    "above 5", "not so", "İzmir", "x: y", "#1", "- dash", "it's", 'a "b"', "back\\slash", "~", "{x}", "*star", "&and",
)  # fmt: skip
COUNTS, SMALL, NUMBERS, FIGURES = (
    tuple(map(Decimal, numbers.split()))
    for numbers in (
        "0 1 2 3 4",
        "-3 0 0.1 1 5 10",
        "-3 0 0.1 1 5 10 10.0 10.5 1e3 99999999999999999.99 -99999999999999999",
        # what the small ones add up to, and are when divided by one another
        "-3 0 0.2 0.5 1 1.1 2 5 5.1 6 7 10 11 12 15 20 0.3333333333333333333333333333 -1.666666666666666666666666667",
    )
)
NUMERIC = ("number", "money", "count")
SOURCES = {
    "sum": NUMERIC, "count": (), "min": (*NUMERIC, "date", "datetime"), "max": (*NUMERIC, "date", "datetime"),
    "latest": ("date", "datetime"),
}  # fmt: skip
SPANS = {
    "minutes": (0, 1, 90), "hours": (0, 1, 4, 24), "days": (0, 1, 5, 30, 90), "weeks": (1, 2), "months": (1, 6, 13),
    "years": (1, 3), "business hours": (0, 1, 4, 8, 20), "business days": (0, 1, 2, 5, 10),
}  # fmt: skip
BUSINESS = ("business days",) * 3 + ("business hours",) * 2
LONGER = ("days", "weeks", "months", "years", "business days", "business days")
PLAIN = re.compile(r"[A-Za-z0-9](?:[\w./%-]|:(?=\w)| (?=\w))*")
PHRASE = re.compile(
    r"missing|present|passed|today|(not|none of|missing or|above|below|at least|at most|starts with|contains) .*"
)
IDS = ("1", "2", "3")
TEAMS = {"u0": "red", "u1": "blue"}
RULES = ("beta", "beta-10", "beta-2", "alpha", "gamma")
ROLLOUTS = ("draft", "shadow", "team red", "team blue", "0% of customers", "100% of customers")
Kinds: TypeAlias = Mapping[str, Mapping[str, str]]
"""kind -> field -> its type; "number figure" is one that is worked out, "number class" one that rules set."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A model. `levels`: the fields that rules set, and those worked out of them; a rule sets what is above it."""

    kinds: Kinds
    levels: Mapping[tuple[str, str], int]
    derived: Mapping[tuple[str, str], tuple[oracle.Aggregate | oracle.Arithmetic, str]]

    def up_to(self, level: int) -> Words:
        """The part that a rule may read which sets what is above a level."""
        kinds = {
            kind: {name: type_ for name, type_ in fields.items() if self.levels.get((kind, name), 0) <= level}
            for kind, fields in self.kinds.items()
        }
        return Words(kinds=kinds, levels=self.levels, derived=self.derived)

    def derived_of(self, kind: str) -> list[str]:
        return [name for name in sorted(self.kinds[kind]) if (kind, name) in self.derived]

    def set_fields(self) -> list[str]:
        """The customer's fields that rules set."""
        names = [name for name in sorted(self.kinds["customer"]) if not self.is_recorded("customer", name)]
        return [name for name in names if ("customer", name) not in self.derived]

    def is_recorded(self, kind: str, name: str) -> bool:
        return (kind, name) not in self.derived and (kind, name) not in self.levels


@dataclass(frozen=True, kw_only=True)
class Company:
    """One random rule base with what is needed to try it."""

    text: str
    kinds: Kinds
    book: oracle.Book
    offices: Mapping[str | None, Office]  # by the owner's id
    people: People

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(f"the rules\n{self.text}")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A customer as the rule base takes it and as the oracle does. `unique`: no id stands twice."""

    dossier: Dossier
    world: oracle.World
    unique: bool

    def at(self, now: datetime) -> oracle.World:
        return self.world.at(micros(now))

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        records = [f"\n  {r.kind} {r.id} of {r.customer}: {dict(r.fields)}" for r in self.dossier.records]
        printer.text(f"a dossier in {self.world.office.zone}" + "".join(records))


# --- words ---


@st.composite
def scalars(draw: DrawFn, text: str) -> str:
    """The same scalar as authors would type it."""
    styles = [json.dumps(text, ensure_ascii=False), "'" + text.replace("'", "''") + "'"]
    return draw(st.sampled_from([text, text, *styles] if PLAIN.fullmatch(text) else styles))


def spelled(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


@st.composite
def spans(draw: DrawFn, units: tuple[str, ...]) -> tuple[int, str]:
    unit = draw(st.sampled_from(units))
    return draw(st.sampled_from(SPANS[unit])), unit


def said(count: int, unit: str) -> str:
    return f"{count} {unit.removesuffix('s') if count == 1 else unit}"


def literals(type_: str) -> st.SearchStrategy[Any]:
    return {
        "text": st.sampled_from(WORDS),
        "yesno": st.booleans(),
        "number": st.sampled_from(NUMBERS),
        "money": st.sampled_from(NUMBERS),
        "number figure": st.sampled_from(FIGURES),
        "money figure": st.sampled_from(FIGURES),
        "number class": st.sampled_from(SMALL[2:4]),
        "money class": st.sampled_from(SMALL[2:4]),
        "enum class": st.sampled_from(ENUM[:2]),
        "count": st.sampled_from(COUNTS),
        "date": days(),
        "datetime": st.one_of(days(), moments()),
        "enum": st.sampled_from(ENUM),
        "ref": st.sampled_from(IDS),
    }[type_]


def days() -> st.SearchStrategy[date]:
    special = (
        date(2024, 2, 29),
        date(2026, 10, 25),
        date(2027, 1, 31),
        date(2027, 3, 28),
        date(9999, 12, 31),
        date.min,
    )
    return st.one_of(st.sampled_from(special), st.dates(date(2025, 1, 1), date(2029, 12, 31)))


def _between(first: datetime, last: datetime) -> st.SearchStrategy[datetime]:
    return st.datetimes(first.replace(tzinfo=None), last.replace(tzinfo=None), timezones=st.just(UTC))


def moments() -> st.SearchStrategy[datetime]:
    special = (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        datetime(2027, 3, 28, 1, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    usual = _between(datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 12, 31, tzinfo=UTC))
    return st.one_of(st.sampled_from(special), usual, usual.map(lambda m: m.replace(minute=0, second=0, microsecond=0)))


# --- tests ---


def of_type(type_: str) -> str:
    """The type as models name it."""
    return type_ if type_.startswith("ref") else type_.split(" ")[0].replace("count", "number")


def is_numeric(type_: str) -> bool:
    return type_.startswith(NUMERIC)


@st.composite
def tests(draw: DrawFn, type_: str) -> tuple[oracle.Test, str]:
    """(as the oracle reads it, as an author writes it)"""
    match draw(st.sampled_from(["of a value"] * 9 + ["missing", "present", "missing or"])):
        case "missing":
            return ("missing",), draw(st.sampled_from(["missing", "{missing: yes}"]))
        case "present":
            return ("present",), draw(st.sampled_from(["present", "{present: yes}"]))
        case "missing or":
            inner, text = draw(value_tests(type_))
            short = not text.startswith(("{", "[", '"', "'"))
            return ("missing or", inner), f"missing or {text}" if short else f"{{missing or: {text}}}"
        case _:
            return draw(value_tests(type_))


@st.composite
def value_tests(draw: DrawFn, type_: str) -> tuple[oracle.Test, str]:
    words = ["is", "is", "none"]
    words += ["order"] * 6 if is_numeric(type_) else ["text"] * 3 if type_ == "text" else []
    words += ["temporal"] * 20 if type_ in ("date", "datetime") else []
    match draw(st.sampled_from(words)):
        case "order":
            return draw(orders(literals(type_)))
        case "text":
            word, text = draw(st.sampled_from(["starts with", "contains"])), draw(st.sampled_from(WORDS))
            quoted = draw(scalars(text))
            return (word, text), draw(st.sampled_from([json.dumps(f"{word} {text}"), f"{{{word}: {quoted}}}"]))
        case "temporal":
            return draw(temporals(type_))
        case word:
            return draw(equalities(type_, word))


@st.composite
def equalities(draw: DrawFn, type_: str, word: str) -> tuple[oracle.Test, str]:
    single = st.lists(literals(type_), min_size=1, max_size=3)
    if type_ == "datetime":  # a list holds days or moments, not both
        single = st.one_of(st.lists(days(), min_size=1, max_size=2), st.lists(moments(), min_size=1, max_size=2))
    values: list[Any] = draw(single)
    texts = [spelled(v) for v in values]
    if type_.startswith("enum") and draw(st.booleans()):
        group = draw(st.sampled_from(sorted(GROUPS)))
        values, texts = [*values, *GROUPS[group]], [*texts, group]
    listed = "[" + ", ".join([draw(scalars(t)) for t in texts]) + "]"
    like_phrase = any(PHRASE.fullmatch(t) and (type_ == "text" or t == "missing") for t in texts)
    if word == "is":
        forms = [f"{{is: {listed}}}"]
        if len(texts) == 1 and not like_phrase:
            forms += [draw(scalars(texts[0]))] * 2
        forms += [] if like_phrase else [listed]
    else:
        forms = [f"{{not: {listed}}}", f"{{none of: {listed}}}"]
        if len(texts) == 1 and not like_phrase:
            forms.append(draw(scalars(f"not {texts[0]}")))
        if not like_phrase and not any("," in t for t in texts):
            forms.append(draw(scalars(f"none of {', '.join(texts)}")))
    return (word, values), draw(st.sampled_from(forms))


@st.composite
def orders(draw: DrawFn, numbers: st.SearchStrategy[Decimal]) -> tuple[oracle.Test, str]:
    word = draw(st.sampled_from(["above", "below", "at least", "at most", "between"]))
    low, high = sorted([draw(numbers), draw(numbers)])
    if word == "between":
        return (word, low, high), draw(st.sampled_from([f"between {low} and {high}", f"{{between: [{low}, {high}]}}"]))
    return (word, low), draw(st.sampled_from([f"{word} {low}", f"{{{word}: {low}}}"]))


@st.composite
def temporals(draw: DrawFn, type_: str) -> tuple[oracle.Test, str]:
    word = draw(
        st.sampled_from(
            ["in the next", "in the last", "more than ago", "more than away", "passed", "today", "before", "after",
             "anniversary in the next"]
        )
    )  # fmt: skip
    if word in ("passed", "today"):
        return (word,), draw(st.sampled_from([word, f"{{{word}: yes}}"]))
    if word in ("before", "after"):
        day = draw(days().filter(lambda d: date(2000, 1, 1) < d < date(9000, 1, 1)))
        return (word, day), draw(st.sampled_from([f"{word} {day}", f"{{{word}: {day}}}"]))
    count, unit = draw(spans(LONGER if type_ == "date" else (*SPANS, *BUSINESS)))
    span = said(count, unit)
    short = f"{word.removesuffix(' ago')} {span} ago" if word == "more than ago" else f"{word} {span}"
    if word == "more than away":
        short = f"more than {span} away"
    return (word, count, unit), draw(st.sampled_from([short, f"{{{word}: {span}}}"]))


# --- rules ---


@st.composite
def paths(draw: DrawFn, kinds: Kinds, kind: str) -> tuple[oracle.Path, str]:
    """(refs to follow, the kind they lead to)"""
    path: list[tuple[str, str]] = []
    while draw(st.sampled_from([False, False, False, True])) and len(path) < 3:
        links = [(f, t[4:]) for f, t in kinds[kind].items() if t.startswith("ref ") and t[4:] in kinds]
        if not links:
            break
        path.append(draw(st.sampled_from([*links, *((f, k) for f, k in links if f == "customer")])))
        kind = path[-1][1]
    return tuple(path), kind


def dotted(path: oracle.Path, name: str) -> str:
    return ".".join([*(ref for ref, _ in path), name])


@st.composite
def conditions(draw: DrawFn, words: Words, kind: str) -> tuple[oracle.Condition, str, str]:
    """(as the oracle reads it, key, test as text)"""
    path, at = draw(paths(words.kinds, kind))
    clocks = [n for n, t in words.kinds[at].items() if t in ("date", "datetime")]
    name = draw(st.sampled_from([*sorted(words.kinds[at]), *clocks * 4, *words.derived_of(at) * 12]))
    if words.set_fields() and draw(st.booleans()):
        path, at = () if kind == "customer" else (("customer", "customer"),), "customer"
        name = draw(st.sampled_from(words.set_fields()))
    type_ = words.kinds[at][name]
    test, text = draw(tests("ref" if type_.startswith("ref ") else type_))
    return oracle.Condition(path, name, test), dotted(path, name), text


@st.composite
def condition_maps(
    draw: DrawFn, words: Words, kind: str, *, least: int, most: int
) -> tuple[tuple[oracle.Condition, ...], dict[str, str]]:
    found: dict[str, tuple[oracle.Condition, str]] = {}
    for _ in range(draw(st.integers(least, most))):
        condition, key, text = draw(conditions(words, kind))
        found[key] = (condition, text)
    return tuple(c for c, _ in found.values()), {key: text for key, (_, text) in found.items()}


def possible_ties(words: Words, subject: str) -> Iterator[tuple[str, str, str]]:
    """(kind, its field, what ties it to the subject); only fields that are recorded tie."""
    own = {n: of_type(t) for n, t in words.kinds[subject].items() if words.is_recorded(subject, n)}
    for kind, fields in words.kinds.items():
        for name, type_ in fields.items():
            if type_ == f"ref {subject}":
                yield kind, name, "this"
            if words.is_recorded(kind, name) and own.get(name) == of_type(type_):
                yield kind, name, "same"


@st.composite
def tied(
    draw: DrawFn, words: Words, subject: str, kind: str, ties: dict[str, str]
) -> tuple[oracle.Relation, dict[str, str]]:
    """Records of a kind with these ties to the subject or with one more: (as the oracle reads it, as a map of texts)"""
    more = [(n, t) for k, n, t in possible_ties(words, subject) if k == kind and n not in ties]
    if more and draw(st.integers(0, 3)) == 0:
        ties = {**ties, **dict([draw(st.sampled_from(more))])}
    found, texts = draw(condition_maps(words, kind, least=0, most=draw(st.sampled_from([1, 1, 2]))))
    entries = {**ties, **{key: text for key, text in texts.items() if key not in ties}}
    found = tuple(c for c, key in zip(found, texts, strict=True) if key not in ties)
    return oracle.Relation(kind, tuple(ties.items()), found), entries


def flow_map(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {text}" for key, text in entries.items()) + "}"


@st.composite
def relations(draw: DrawFn, words: Words, subject: str) -> tuple[oracle.Relation, str]:
    ties = list(possible_ties(words, subject))
    likely = [(k, n, t) for k, n, t in ties if k != "customer" and (t == "this" or n == "customer")]
    kind, name, tie = draw(st.sampled_from([*likely * 8, *ties]))
    relation, entries = draw(tied(words, subject, kind, {name: tie}))
    if draw(st.integers(0, 2)) == 0:
        count, entries["count"] = draw(
            st.one_of(
                orders(st.sampled_from(COUNTS[:4])),
                st.sampled_from(COUNTS[:3]).map(lambda n: (("is", [n]), str(n))),
                st.sampled_from(COUNTS[:3]).map(lambda n: (("none", [n]), f"not {n}")),
            )
        )
        relation = replace(relation, count=count)
    return relation, f"  - {kind}: {flow_map(entries)}"


@st.composite
def classifications(draw: DrawFn, words: Words, level: int) -> tuple[dict[str, Any], str]:
    """What a rule sets that reads fields up to a level: (as the oracle reads it, as an author writes it)"""
    above = [name for name in words.set_fields() if words.levels["customer", name] > level]
    names = draw(st.lists(st.sampled_from(above), min_size=1, max_size=2, unique=True)) if above else []
    found = {name: draw(literals(words.kinds["customer"][name])) for name in names}
    spelling = {n: spelled(v) if not isinstance(v, str) else draw(scalars(v)) for n, v in found.items()}
    return found, f", set: {flow_map(spelling)}" if found else ""


@st.composite
def rules(draw: DrawFn, vocabulary: Words, id_: str, level: int) -> tuple[oracle.Rule, str]:
    words = vocabulary.up_to(level)
    sets, set_ = draw(classifications(vocabulary, level))
    least, most = (0, 1) if sets else (1, 2)  # what sets a field had better hold sometimes
    subject = draw(st.sampled_from(["customer", *sorted(words.kinds)]))
    lines = [f"rule: {id_}", f"for each: {subject}"]
    when, texts = draw(condition_maps(words, subject, least=draw(st.sampled_from([0, least])), most=most))
    if texts:
        lines += ["when:", *(f"  {key}: {text}" for key, text in texts.items())]
    alternatives = [
        draw(condition_maps(words, subject, least=1, most=2))
        for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 2, 3])))
    ]
    if alternatives:
        lines += ["any of:", *(f"  - {flow_map(texts)}" for _, texts in alternatives)]
    found: dict[str, tuple[oracle.Relation, ...]] = {}
    for part in ("with", "unless"):
        several = [draw(relations(words, subject)) for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, most])))]
        found[part] = tuple(r for r, _ in several)
        if several:
            lines += [f"{part}:", *(text for _, text in several)]
    weight, rollout = draw(st.sampled_from([100, 100, 50, 150])), draw(st.sampled_from(["live"] * 7 + list(ROLLOUTS)))
    lines += [f"then: {{recommend: win, say: Do something, weight: {weight}{set_}}}", f"rollout: {rollout}"]
    rule = oracle.Rule(
        id_, subject, when, tuple(a for a, _ in alternatives), found["with"], found["unless"], sets, weight, rollout
    )
    return rule, "\n".join(lines)


# --- fields that are worked out ---


@st.composite
def aggregates(draw: DrawFn, words: Words, subject: str) -> tuple[oracle.Aggregate, str, str, str]:
    """(as the oracle reads it, a name of its own for its type, its type, as an author writes it)"""
    kind = draw(st.sampled_from(sorted(words.kinds)))
    how = draw(st.sampled_from(["sum", "sum", "count", "count", "min", "max", "latest", "latest"]))
    sources = [n for n, t in sorted(words.kinds[kind].items()) if SOURCES[how] and t.startswith(SOURCES[how])]
    how, source = (how, draw(st.sampled_from(sources))) if sources else ("count", "id")
    type_ = words.kinds[kind].get(source, "count") if how != "count" else "count"
    if how == "sum":
        type_ = "money figure" if type_.startswith("money") else "number figure"
    of, entries = draw(tied(words, subject, kind, {}))
    clocks = [n for n, t in sorted(words.kinds[kind].items()) if t in ("date", "datetime") and n not in entries]
    if clocks and draw(st.integers(0, 3)):  # what is worked out changes as time goes by
        clock = draw(st.sampled_from(clocks))
        test, entries[clock] = draw(temporals(words.kinds[kind][clock]))
        of = replace(of, conditions=(*of.conditions, oracle.Condition((), clock, test)))
    named = kind if how == "count" else f"{kind}.{source}"
    where = f", where: {flow_map(entries)}" if entries else ""
    return oracle.Aggregate(how, of, source), f"{type_.replace(' ', '_')}_of", type_, f"{{{how}: {named}{where}}}"


@st.composite
def calculations(draw: DrawFn, words: Words, subject: str) -> tuple[oracle.Arithmetic, str, str, str]:
    """As `aggregates`. Amounts are never multiplied with one another, and one divided by another is none."""
    how = draw(st.sampled_from(["add", "subtract", "multiply", "divide", "divide"]))
    operands: list[tuple[oracle.Path, str] | Decimal] = []
    amounts: list[bool] = []
    for _ in range(draw(st.integers(2, 3))):
        path, at = draw(paths(words.kinds, subject))
        types = {n: t for n, t in sorted(words.kinds[at].items()) if is_numeric(t)}
        names = [n for n, t in types.items() if how != "multiply" or not any(amounts) or of_type(t) != "money"]
        if names and draw(st.integers(0, 3)):
            name = draw(st.sampled_from(names))
            operands.append((path, name))
            amounts.append(of_type(types[name]) == "money")
        else:
            operands.append(draw(st.sampled_from(SMALL)))
            amounts.append(False)
    is_amount = amounts[0] and not any(amounts[1:]) if how == "divide" else any(amounts)
    texts = [str(o) if isinstance(o, Decimal) else dotted(*o) for o in operands]
    type_ = "money figure" if is_amount else "number figure"
    return oracle.Arithmetic(how, tuple(operands)), how, type_, f"{{{how}: [{', '.join(texts)}]}}"


@st.composite
def vocabularies(draw: DrawFn) -> Words:
    kinds: dict[str, dict[str, str]] = {}
    for kind in ("customer", *draw(st.lists(st.sampled_from(KINDS[1:]), min_size=1, max_size=2, unique=True))):
        names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=3, max_size=7, unique=True))
        kinds[kind] = {name: TYPES[name] for name in names}
    kinds["customer"] |= {"stage": "enum class", "size": "number class", "day": "date"}
    settable = sorted(n for n, t in kinds["customer"].items() if t != "datetime")
    classes = draw(
        st.one_of(
            st.sampled_from([["stage"], ["size"], ["stage", "size"], ["size", "stage"], ["day"], ["day", "size"], []]),
            st.lists(st.sampled_from(settable), max_size=2, unique=True),
        )
    )
    for kind, fields in kinds.items():
        if kind != "customer":
            fields["customer"] = "ref customer"
        for name in ("parent", "link"):
            if draw(st.booleans()):
                fields[name] = f"ref {kind if name == 'parent' else draw(st.sampled_from(sorted(kinds)))}"
    words = Words(kinds=kinds, levels={("customer", name): n + 1 for n, name in enumerate(classes)}, derived={})
    for number in range(draw(st.sampled_from([2, 3, 4, 1, 0]))):
        kind, level = draw(st.sampled_from(["customer", *sorted(kinds)])), draw(st.integers(0, 2))
        strategy = draw(st.sampled_from([aggregates, aggregates, calculations]))
        derivation, name, type_, text = draw(strategy(words.up_to(level), kind))
        name = name if strategy is aggregates and name not in kinds[kind] else f"{name}_{number}"
        kinds[kind][name] = type_
        levels = {**words.levels, (kind, name): level} if level else words.levels
        words = Words(kinds=kinds, levels=levels, derived={**words.derived, (kind, name): (derivation, text)})
    return words


# --- companies ---

OFFICES = {
    "zurich": ("Europe/Zurich", "{mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}",
               (((480, 720), (780, 1050)),) * 4 + (((480, 960),), (), ()), (date(2026, 12, 24), date(2026, 10, 26)),
               "{country: CH, region: ZH}"),
    "sydney": ("Australia/Sydney", "{mon-fri: 09:00-17:00}", (((540, 1020),),) * 5 + ((), ()), (), ""),
    "kolkata": ("Asia/Kolkata", "{mon-sat: 10:00-19:30}", (((600, 1170),),) * 6 + ((),), (date(2027, 1, 26),), ""),
    "nightshift": ("America/New_York", "{mon-sun: 00:00-06:00 22:00-23:30}",
                   (((0, 360), (1320, 1410)),) * 7, (), "{country: US}"),
    "chicago": ("America/Chicago", "{mon-fri: 08:00-16:30}", (((480, 990),),) * 5 + ((), ()), (date(2027, 11, 26),),
                "{country: US}"),
    "weekend": ("America/Santiago", "{sat: 00:30-23:30, sun: 00:15-04:00}",
                ((),) * 5 + (((30, 1410),), ((15, 240),)), (), ""),
}  # fmt: skip
HOLIDAYS = {
    "": frozenset[int](),
    "{country: CH, region: ZH}": frozenset(d for y in range(2015, 2046) for d in oracle.zurich_holidays(y)),
    "{country: US}": frozenset(d for y in range(2015, 2046) for d in oracle.american_holidays(y)),
}


def office(name: str) -> Office:
    zone, _, hours, closed, holidays = OFFICES[name]
    return Office(ZoneInfo(zone), hours, HOLIDAYS[holidays] | {d.toordinal() for d in closed})


def office_text(name: str) -> str:
    zone, hours, _, closed, holidays = OFFICES[name]
    text = f"calendar: {name}\ntimezone: {zone}\nhours: {hours}\nclosed: [{', '.join(map(str, closed))}]"
    return f"{text}\nholidays: {holidays}" if holidays else text


@st.composite
def companies(draw: DrawFn) -> Company:
    words = draw(vocabularies())
    home, other = draw(st.permutations(sorted(OFFICES)))[:2]
    default = Office(ZoneInfo("Asia/Kolkata"))  # the company's zone, and no calendar
    company = "company: Muster AG\ntimezone: Asia/Kolkata"
    if draw(st.booleans()):
        company, default = f"{company}\ncalendar: {home}", office(home)
    # Where rules set fields, the first of them reads none that is set, the last one any.
    levels = (
        [0, *draw(st.lists(st.sampled_from([0, 0, 1, 2]), max_size=3)), 2]
        if words.levels
        else [2] * draw(st.integers(1, 3))
    )
    ids = draw(st.permutations(RULES))
    found = [draw(rules(words, id_, level)) for id_, level in zip(ids, levels, strict=False)]
    text = "\n---\n".join([company, office_text(home), office_text(other), _model(words), *(t for _, t in found)])
    people = [
        Person(id=f"u{n}", name="A", email="a@b.ch", office=o, team=TEAMS.get(f"u{n}"))
        for n, o in enumerate([None, other, "nowhere"])
    ]
    return Company(
        text=text + "\n",
        kinds=words.kinds,
        book=oracle.Book(tuple(r for r, _ in found), {key: d for key, (d, _) in words.derived.items()}),
        offices={None: default, "u0": default, "u1": office(other), "u2": default, "u9": default},
        people=People.of(people),
    )


def _model(words: Words) -> str:
    groups = ", ".join(f"{name}: [{', '.join(members)}]" for name, members in GROUPS.items())
    enum = f"{{enum: [{', '.join(ENUM)}], groups: {{{groups}}}}}"
    lines = ["model:"]
    for kind, fields in words.kinds.items():
        lines.append(f"  {kind}:")
        for name, type_ in fields.items():
            _, text = words.derived.get((kind, name), (None, {"enum": enum}.get(of_type(type_), of_type(type_))))
            lines.append(f"    {name}: {text}")
    return "\n".join(lines)


# --- customers ---


def _tests(book: oracle.Book) -> list[oracle.Test]:
    return [c.test[1] if c.test[0] == "missing or" else c.test for _, c in oracle.all_conditions(book)]


def _spans(book: oracle.Book) -> list[tuple[int, str]]:
    """Every length of time that the rules name."""
    return [(t[1], t[2]) for t in _tests(book) if isinstance(t[-1], str) and len(t) == 3] or [(1, "days")]


def _named(book: oracle.Book, type_: str) -> list[Any]:
    """The values of a type that the rules name."""
    wanted = {"text": str, "enum": str, "yesno": bool, "number": Decimal, "money": Decimal}.get(of_type(type_))
    words = [v for t in _tests(book) for a in t[1:] for v in (a if isinstance(a, list) else [a])]
    return [v for v in words if type(v) is wanted and (of_type(type_) != "enum" or v in ENUM)] if wanted else []


@st.composite
def near(draw: DrawFn, now: datetime, book: oracle.Book, office: Office) -> datetime:
    """A moment about one of the rules' lengths of time from now."""
    count, unit = draw(st.sampled_from(_spans(book)))
    sign, at = draw(st.sampled_from([-1, 0, 1])), micros(now)
    if unit.startswith("business"):
        at = oracle.after_business(at, count, unit, office) if sign > 0 else at - count * sign * DAY
    else:
        at = oracle.shift(at, count * sign, unit, office.zone)
    nudge = draw(st.sampled_from([-DAY, -oracle.HOUR, -1, 0, 0, 1, oracle.HOUR, DAY]))
    return moment(at + nudge)


@st.composite
def values(draw: DrawFn, type_: str, now: datetime, book: oracle.Book, office: Office) -> Any:
    if type_ in ("date", "datetime") and draw(st.integers(0, 4)):
        close = draw(near(now, book, office))
        return close.astimezone(office.zone).date() if type_ == "date" else close
    if type_.startswith("ref"):
        return draw(st.sampled_from([*IDS, "K1", "unknown"]))
    named = _named(book, type_)
    if named and draw(st.integers(0, 1 if is_numeric(type_) else 3)):
        return draw(st.sampled_from(named))
    if is_numeric(type_):
        return draw(st.sampled_from([*SMALL, *SMALL, *NUMBERS]))
    return draw(moments() if type_ == "datetime" else literals(type_))


@st.composite
def starts(draw: DrawFn, office: Office) -> datetime:
    """A moment to read rules at: often an office's midnight or a night on which its clocks change."""
    usual = draw(_between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 12, 31, tzinfo=UTC)))
    zone = office.zone
    changes = [t for t in oracle.transitions(zone) if micros(datetime(2026, 1, 1, tzinfo=UTC)) < t]
    at = micros(usual)
    closed = [d for d in sorted(office.closed) if date(2026, 1, 1).toordinal() <= d < date(2029, 1, 1).toordinal()]
    match draw(st.sampled_from([0, 1, 2, 3, 3, 4])):
        case 0:
            at = first_showing((oracle.local_day(at, zone) - oracle.EPOCH) * DAY, zone)
        case 1 if changes:
            at = draw(st.sampled_from(changes[:6])) + draw(st.integers(-4, 4)) * oracle.HOUR // 2
        case 2:
            year, month = usual.year, draw(st.sampled_from([2, 2, 6, 12]))
            at = (ordinal(year, month, 31) - oracle.EPOCH) * DAY + draw(st.integers(0, 47)) * oracle.HOUR // 2
        case 3 if closed:
            at = (draw(st.sampled_from(closed)) - oracle.EPOCH) * DAY + draw(st.integers(-6, 6)) * oracle.HOUR * 12
        case _:
            pass
    return moment(at + draw(st.sampled_from([-1, 0, 1])))


@st.composite
def cases(draw: DrawFn, company: Company, now: datetime) -> Case:
    owner = draw(st.sampled_from(["u0", "u1", "u1", "u2", "u9", None]))
    alone = draw(st.sampled_from([False] * 11 + [True]))  # a record that nobody knows the customer of
    office = company.offices[None if alone else owner]
    records: list[oracle.Record] = []
    others = [kind for kind in company.kinds if kind != "customer"]
    ids = IDS[: draw(st.sampled_from([3, 3, 3, 2, 1, 0]))]
    wanted = [(kind, id_) for kind in others for id_ in ids]
    if draw(st.sampled_from([False] * 19 + [True])):
        wanted *= 2
    if alone:
        wanted = [(others[0], "1")]
    elif owner or draw(st.booleans()):
        wanted.append(("customer", "K1"))
    twin: oracle.Record | None = None
    for kind, id_ in wanted:
        fields = {n: t for n, t in company.kinds[kind].items() if n != "customer"}
        written = {n: draw(values(t, now, company.book, office)) for n, t in fields.items() if draw(st.integers(0, 7))}
        if kind == "customer" and owner:
            written["owner"] = owner
        if twin and twin.kind == kind and draw(st.integers(0, 4)) == 0:
            written = dict(twin.values)
        twin = oracle.Record(kind, id_, None if alone or kind == "customer" else "K1", written)
        records.append(twin)
    dossier = Dossier(
        id=f"{others[0]}/1" if alone else "K1",
        records=tuple(
            Record(kind=r.kind, id=r.id, customer="K1" if r.kind == "customer" else r.customer, fields=_raw(r.values))
            for r in records
        ),
    )
    if records and not any(r.kind == "customer" for r in records) and not alone:
        records.append(oracle.Record("customer", "K1", None))
    team = None if alone else TEAMS.get(owner or "")
    world = oracle.World(book=company.book, records=records, office=office, team=team, now=micros(now))
    return Case(dossier=dossier, world=world, unique=len(set(wanted)) == len(wanted))


def _raw(written: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        if isinstance(value, bool | str)
        else str(value)
        if isinstance(value, Decimal)
        else value.isoformat()
        for name, value in written.items()
    }
