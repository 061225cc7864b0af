"""Random companies: a model, rules as text and as the oracle reads them, dossiers near the thresholds, and moments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
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
NUMBERS = tuple(
    map(
        Decimal, ("-3", "0", "0.1", "1", "5", "10", "10.0", "10.5", "1e3", "99999999999999999.99", "-99999999999999999")
    )
)
SPANS = {
    "minutes": (0, 1, 90), "hours": (0, 1, 4, 24), "days": (0, 1, 5, 30, 90), "weeks": (1, 2), "months": (1, 6, 13),
    "years": (1, 3), "business hours": (0, 1, 4, 8, 20), "business days": (0, 1, 2, 5, 10),
}  # fmt: skip
LONGER = ("days", "weeks", "months", "years", "business days")
PLAIN = re.compile(r"[A-Za-z0-9](?:[\w./%-]|:(?=\w)| (?=\w))*")
PHRASE = re.compile(
    r"missing|present|passed|today|(not|none of|missing or|above|below|at least|at most|starts with|contains) .*"
)
IDS = ("1", "2", "3")


@dataclass(frozen=True, kw_only=True)
class Company:
    """One random rule base with what is needed to try it. `kinds`: kind -> field -> type."""

    text: str
    kinds: Mapping[str, Mapping[str, str]]
    rules: tuple[oracle.Rule, ...]
    offices: Mapping[str | None, Office]  # by the owner's id
    people: People

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(f"the rules\n{self.text}")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A customer as the rule base takes it and as the oracle does. `unique`: no id stands twice."""

    dossier: Dossier
    records: list[oracle.Record]
    office: Office
    unique: bool

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        records = [f"\n  {r.kind} {r.id} of {r.customer}: {dict(r.fields)}" for r in self.dossier.records]
        printer.text(f"a dossier in {self.office.zone}" + "".join(records))


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


@st.composite
def tests(draw: DrawFn, type_: str) -> tuple[oracle.Test, str]:
    """(as the oracle reads it, as an author writes it)"""
    words = ["is", "is", "none", "missing", "present", "missing or"]
    words += {"number": ["order"] * 6, "money": ["order"] * 6, "text": ["text"] * 3}.get(type_, [])
    words += ["temporal"] * 20 if type_ in ("date", "datetime") else []
    match draw(st.sampled_from(words)):
        case "missing":
            return ("missing",), draw(st.sampled_from(["missing", "{missing: yes}"]))
        case "present":
            return ("present",), draw(st.sampled_from(["present", "{present: yes}"]))
        case "missing or":
            inner, text = draw(tests(type_).filter(lambda t: t[0][0] not in ("missing", "present", "missing or")))
            short = not text.startswith(("{", "[", '"', "'"))
            return ("missing or", inner), f"missing or {text}" if short else f"{{missing or: {text}}}"
        case "order":
            return draw(orders())
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
    if type_ == "enum" and draw(st.booleans()):
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
def orders(draw: DrawFn, numbers: tuple[Decimal, ...] = NUMBERS) -> tuple[oracle.Test, str]:
    word = draw(st.sampled_from(["above", "below", "at least", "at most", "between"]))
    low, high = sorted([draw(st.sampled_from(numbers)), draw(st.sampled_from(numbers))])
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
    count, unit = draw(spans(LONGER if type_ == "date" else tuple(SPANS)))
    span = said(count, unit)
    short = f"{word.removesuffix(' ago')} {span} ago" if word == "more than ago" else f"{word} {span}"
    if word == "more than away":
        short = f"more than {span} away"
    return (word, count, unit), draw(st.sampled_from([short, f"{{{word}: {span}}}"]))


# --- rules ---


@st.composite
def conditions(
    draw: DrawFn, kinds: Mapping[str, Mapping[str, str]], kind: str, *, dotted: bool = True
) -> tuple[oracle.Condition, str, str]:
    """(as the oracle reads it, key, test as text)"""
    path: list[tuple[str, str]] = []
    at = kind
    while dotted and draw(st.integers(0, 4)) == 0 and len(path) < 3:
        links = [(f, t[4:]) for f, t in kinds[at].items() if t.startswith("ref ") and t[4:] in kinds]
        if not links:
            break
        path.append(draw(st.sampled_from(links)))
        at = path[-1][1]
    clocks = [n for n, t in kinds[at].items() if t in ("date", "datetime")]
    name = draw(st.sampled_from([*sorted(kinds[at]), *clocks * 3]))
    type_ = kinds[at][name].split(" ")[0]
    test, text = draw(tests(type_))
    key = ".".join([*(ref for ref, _ in path), name])
    return oracle.Condition(tuple(path), name, test), key, text


@st.composite
def condition_maps(
    draw: DrawFn, kinds: Mapping[str, Mapping[str, str]], kind: str, *, least: int, most: int
) -> tuple[tuple[oracle.Condition, ...], dict[str, str]]:
    found: dict[str, tuple[oracle.Condition, str]] = {}
    for _ in range(draw(st.integers(least, most))):
        condition, key, text = draw(conditions(kinds, kind))
        found[key] = (condition, text)
    return tuple(c for c, _ in found.values()), {key: text for key, (_, text) in found.items()}


@st.composite
def relations(draw: DrawFn, kinds: Mapping[str, Mapping[str, str]], subject: str) -> tuple[oracle.Relation, str]:
    possible: list[tuple[str, str, str]] = []
    for kind, fields in kinds.items():
        for name, type_ in fields.items():
            if type_ == f"ref {subject}":
                possible.append((kind, name, "this"))
            if kinds[subject].get(name) == type_:
                possible.append((kind, name, "same"))
    kind, name, tie = draw(st.sampled_from(possible))
    ties = {name: tie}
    if draw(st.integers(0, 3)) == 0:
        more = [(n, t) for k, n, t in possible if k == kind and n not in ties]
        if more:
            ties.update([draw(st.sampled_from(more))])
    found, texts = draw(condition_maps(kinds, kind, least=0, most=draw(st.sampled_from([1, 2]))))
    entries = {**ties, **{k: t for k, t in texts.items() if k not in ties}}
    found = tuple(c for c, key in zip(found, texts, strict=True) if key not in ties)
    count = None
    if draw(st.integers(0, 2)) == 0:
        count, text = draw(
            st.one_of(
                orders(tuple(map(Decimal, range(4)))),
                st.integers(0, 2).map(lambda n: (("is", [Decimal(n)]), str(n))),
                st.integers(0, 2).map(lambda n: (("none", [Decimal(n)]), f"not {n}")),
            )
        )
        entries["count"] = text
    words = ", ".join(f"{k}: {t}" for k, t in entries.items())
    return oracle.Relation(kind, tuple(ties.items()), found, count), f"  - {kind}: {{{words}}}"


@st.composite
def rules(draw: DrawFn, kinds: Mapping[str, Mapping[str, str]], number: int) -> tuple[oracle.Rule, str]:
    subject = draw(st.sampled_from(sorted(kinds)))
    lines = [f"rule: rule-{number}", f"for each: {subject}"]
    when, texts = draw(condition_maps(kinds, subject, least=0, most=2))
    if texts:
        lines += ["when:", *(f"  {key}: {text}" for key, text in texts.items())]
    alternatives = [
        draw(condition_maps(kinds, subject, least=1, most=2)) for _ in range(draw(st.sampled_from([0, 0, 0, 2, 3])))
    ]
    if alternatives:
        lines += ["any of:", *("  - {" + ", ".join(f"{k}: {t}" for k, t in a[1].items()) + "}" for a in alternatives)]
    found: dict[str, tuple[oracle.Relation, ...]] = {}
    for part, most in (("with", draw(st.sampled_from([0, 0, 1, 2]))), ("unless", 2)):
        several = [draw(relations(kinds, subject)) for _ in range(draw(st.integers(0, most)))]
        found[part] = tuple(r for r, _ in several)
        if several:
            lines += [f"{part}:", *(text for _, text in several)]
    lines.append("then: {recommend: win, say: Do something}")
    rule = oracle.Rule(
        f"rule-{number}", subject, when, tuple(a for a, _ in alternatives), found["with"], found["unless"]
    )
    return rule, "\n".join(lines)


# --- companies ---

OFFICES = {
    "zurich": ("Europe/Zurich", "{mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}",
               (((480, 720), (780, 1050)),) * 4 + (((480, 960),), (), ()), (date(2026, 12, 24), date(2026, 10, 26))),
    "sydney": ("Australia/Sydney", "{mon-fri: 09:00-17:00}", (((540, 1020),),) * 5 + ((), ()), ()),
    "kolkata": ("Asia/Kolkata", "{mon-sat: 10:00-19:30}", (((600, 1170),),) * 6 + ((),), (date(2027, 1, 26),)),
    "nightshift": ("America/New_York", "{mon-sun: 00:00-06:00 22:00-23:30}",
                   (((0, 360), (1320, 1410)),) * 7, ()),
    "weekend": ("America/Santiago", "{sat: 00:30-23:30, sun: 00:15-04:00}",
                ((),) * 5 + (((30, 1410),), ((15, 240),)), ()),
}  # fmt: skip


def office(name: str) -> Office:
    zone, _, hours, closed = OFFICES[name]
    return Office(ZoneInfo(zone), hours, frozenset(d.toordinal() for d in closed))


def office_text(name: str) -> str:
    zone, hours, _, closed = OFFICES[name]
    return f"calendar: {name}\ntimezone: {zone}\nhours: {hours}\nclosed: [{', '.join(map(str, closed))}]"


@st.composite
def companies(draw: DrawFn) -> Company:
    kinds: dict[str, dict[str, str]] = {}
    for kind in ("customer", *draw(st.lists(st.sampled_from(KINDS[1:]), min_size=1, max_size=2, unique=True))):
        names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=3, max_size=7, unique=True))
        kinds[kind] = {name: TYPES[name] for name in names}
    for kind, fields in kinds.items():
        if kind != "customer":
            fields["customer"] = "ref customer"
        for name in ("parent", "link"):
            if draw(st.booleans()):
                fields[name] = f"ref {kind if name == 'parent' else draw(st.sampled_from(sorted(kinds)))}"
    home, other = draw(st.permutations(sorted(OFFICES)))[:2]
    default = Office(ZoneInfo("Asia/Kolkata"))  # the company's zone, and no calendar
    company = "company: Muster AG\ntimezone: Asia/Kolkata"
    if draw(st.booleans()):
        company, default = f"{company}\ncalendar: {home}", office(home)
    found = [draw(rules(kinds, number)) for number in range(draw(st.integers(1, 4)))]
    text = "\n---\n".join([company, office_text(home), office_text(other), _model(kinds), *(t for _, t in found)])
    people = [Person(id=f"u{n}", name="A", email="a@b.ch", office=o) for n, o in enumerate([None, other, "nowhere"])]
    return Company(
        text=text + "\n",
        kinds=kinds,
        rules=tuple(r for r, _ in found),
        offices={None: default, "u0": default, "u1": office(other), "u2": default, "u9": default},
        people=People.of(people),
    )


def _model(kinds: Mapping[str, Mapping[str, str]]) -> str:
    groups = ", ".join(f"{name}: [{', '.join(members)}]" for name, members in GROUPS.items())
    enum = f"{{enum: [{', '.join(ENUM)}], groups: {{{groups}}}}}"
    lines = ["model:"]
    for kind, fields in kinds.items():
        lines += [f"  {kind}:", *(f"    {name}: {enum if t == 'enum' else t}" for name, t in fields.items())]
    return "\n".join(lines)


# --- customers ---


def _tests(rules: tuple[oracle.Rule, ...]) -> list[oracle.Test]:
    found = [c for r in rules for cs in (r.when, *r.any_of) for c in cs]
    found += [c for r in rules for relation in (*r.with_, *r.unless) for c in relation.conditions]
    return [c.test[1] if c.test[0] == "missing or" else c.test for c in found]


def _spans(rules: tuple[oracle.Rule, ...]) -> list[tuple[int, str]]:
    """Every length of time that the rules name."""
    return [(t[1], t[2]) for t in _tests(rules) if isinstance(t[-1], str) and len(t) == 3] or [(1, "days")]


def _named(rules: tuple[oracle.Rule, ...], type_: str) -> list[Any]:
    """The values of a type that the rules name."""
    wanted = {"text": str, "enum": str, "ref": str, "yesno": bool, "number": Decimal, "money": Decimal}.get(type_)
    words = [v for t in _tests(rules) for a in t[1:] for v in (a if isinstance(a, list) else [a])]
    return [v for v in words if type(v) is wanted and (type_ != "enum" or v in ENUM)] if wanted else []


@st.composite
def near(draw: DrawFn, now: datetime, rules: tuple[oracle.Rule, ...], office: Office) -> datetime:
    """A moment about one of the rules' lengths of time from now."""
    count, unit = draw(st.sampled_from(_spans(rules)))
    sign, at = draw(st.sampled_from([-1, 0, 1])), micros(now)
    if unit.startswith("business"):
        at = oracle.after_business(at, count, unit, office) if sign > 0 else at - count * sign * DAY
    else:
        at = oracle.shift(at, count * sign, unit, office.zone)
    nudge = draw(st.sampled_from([-DAY, -oracle.HOUR, -1, 0, 0, 1, oracle.HOUR, DAY]))
    return moment(at + nudge)


@st.composite
def values(draw: DrawFn, type_: str, now: datetime, rules: tuple[oracle.Rule, ...], office: Office) -> Any:
    if type_ in ("date", "datetime") and draw(st.integers(0, 4)):
        close = draw(near(now, rules, office))
        return close.astimezone(office.zone).date() if type_ == "date" else close
    if type_.startswith("ref"):
        return draw(st.sampled_from([*IDS, "K1", "unknown"]))
    named = _named(rules, type_)
    if named and draw(st.booleans()):
        return draw(st.sampled_from(named))
    return draw(moments() if type_ == "datetime" else literals(type_))


@st.composite
def starts(draw: DrawFn, office: Office) -> datetime:
    """A moment to read rules at: often an office's midnight or a night on which its clocks change."""
    usual = draw(_between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 12, 31, tzinfo=UTC)))
    zone = office.zone
    changes = [t for t in oracle.transitions(zone) if micros(datetime(2026, 1, 1, tzinfo=UTC)) < t]
    at = micros(usual)
    match draw(st.integers(0, 3)):
        case 0:
            at = first_showing((oracle.local_day(at, zone) - oracle.EPOCH) * DAY, zone)
        case 1 if changes:
            at = draw(st.sampled_from(changes[:6])) + draw(st.integers(-4, 4)) * oracle.HOUR // 2
        case 2:
            year, month = usual.year, draw(st.sampled_from([2, 2, 6, 12]))
            at = (ordinal(year, month, 31) - oracle.EPOCH) * DAY + draw(st.integers(0, 47)) * oracle.HOUR // 2
        case _:
            pass
    return moment(at + draw(st.sampled_from([-1, 0, 1])))


@st.composite
def cases(draw: DrawFn, company: Company, now: datetime) -> Case:
    owner = draw(st.sampled_from([None, "u0", "u1", "u1", "u2", "u9"]))
    alone = draw(st.integers(0, 9)) == 0  # a record that nobody knows the customer of
    office = company.offices[None if alone else owner]
    records: list[oracle.Record] = []
    others = [kind for kind in company.kinds if kind != "customer"]
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=3))
    wanted = [(kind, id_) for kind in others for id_ in ids]
    if draw(st.integers(0, 19)) == 0:
        wanted *= 2
    if alone:
        wanted = [(others[0], "1")]
    elif owner is not None or draw(st.booleans()):
        wanted.append(("customer", "K1"))
    twin: oracle.Record | None = None
    for kind, id_ in wanted:
        fields = {n: t for n, t in company.kinds[kind].items() if n != "customer"}
        written = {n: draw(values(t, now, company.rules, office)) for n, t in fields.items() if draw(st.integers(0, 4))}
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
    return Case(dossier=dossier, records=records, office=office, unique=len(set(wanted)) == len(wanted))


def _raw(written: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        if isinstance(value, bool | str)
        else str(value)
        if isinstance(value, Decimal)
        else value.isoformat()
        for name, value in written.items()
    }
