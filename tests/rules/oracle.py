"""What the rule language means, written from its specification alone: naive, slow and walking trees.

Nothing here imports the code under test. Days are ordinals and instants are microseconds since 1970, both without
upper or lower end, so that nothing overflows; local time asks zoneinfo at each instant.
"""

from __future__ import annotations

import calendar
import decimal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = date(1970, 1, 1).toordinal()

Test: TypeAlias = tuple[Any, ...]
"""("is", values), ("none", values), ("above", n), ("in the next", count, unit), ("missing or", test), ..."""


Path: TypeAlias = tuple[tuple[str, str], ...]
"""(ref field, kind it names), in order."""


@dataclass(frozen=True)
class Condition:
    path: Path
    field: str
    test: Test


@dataclass(frozen=True)
class Relation:
    kind: str
    ties: tuple[tuple[str, str], ...]  # (field, "this" or "same")
    conditions: tuple[Condition, ...]
    count: Test | None = None


@dataclass(frozen=True)
class Aggregate:
    how: str  # "sum", "count", "min", "max", "latest"
    of: Relation
    field: str = "id"


@dataclass(frozen=True)
class Arithmetic:
    how: str  # "add", "subtract", "multiply", "divide"
    operands: tuple[Decimal | tuple[Path, str], ...]


@dataclass(frozen=True)
class Rule:
    id: str
    kind: str
    when: tuple[Condition, ...] = ()
    any_of: tuple[tuple[Condition, ...], ...] = ()
    with_: tuple[Relation, ...] = ()
    unless: tuple[Relation, ...] = ()
    sets: Mapping[str, Any] = field(default_factory=dict)
    weight: int = 100
    rollout: str = "live"


@dataclass(frozen=True)
class Book:
    """Rules, and the fields that are worked out: (kind, field) -> how."""

    rules: tuple[Rule, ...]
    derived: Mapping[tuple[str, str], Aggregate | Arithmetic] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Record:
    """Compared by identity: two records may hold the same values."""

    kind: str
    id: str
    customer: str | None
    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        if name == "id":
            return self.id
        if name == "customer" and self.kind != "customer":
            return self.customer
        return self.values.get(name)


@dataclass(frozen=True)
class Office:
    """Working hours as minutes of the day, Monday first; closed days as ordinals."""

    zone: ZoneInfo
    hours: tuple[tuple[tuple[int, int], ...], ...] = (((540, 1020),),) * 5 + ((),) * 2
    closed: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class World:
    """One customer at one moment. `team` is that of the customer's owner."""

    book: Book
    records: list[Record]
    office: Office
    team: str | None
    now: int
    known: dict[tuple[int, str], Any] = field(default_factory=dict)  # so that a field is worked out once

    def at(self, now: int) -> World:
        return replace(self, now=now, known={})

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record.kind == kind]


# --- time ---


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment(instant: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def offset(instant: int, zone: ZoneInfo) -> int:
    """What the zone's clocks are ahead of UTC; 0 beyond the calendar's ends, where it no longer matters."""
    try:
        delta = moment(instant).astimezone(zone).utcoffset()
    except OverflowError:
        return 0
    assert delta is not None
    return delta // timedelta(microseconds=1)


def wall(instant: int, zone: ZoneInfo) -> int:
    return instant + offset(instant, zone)


def local_day(instant: int, zone: ZoneInfo) -> int:
    return wall(instant, zone) // DAY + EPOCH


def first_showing(shown: int, zone: ZoneInfo) -> int:
    """The first instant at which clocks show a wall time, or, where they skip it, the first after it."""
    offsets = {offset(shown + hours * HOUR, zone) for hours in (-30, -15, 15, 30)}
    exact = [shown - o for o in offsets if wall(shown - o, zone) == shown]
    if exact:
        return min(exact)
    instant = (shown - max(offsets)) // MINUTE * MINUTE
    while wall(instant, zone) < shown:
        instant += MINUTE
    return instant


@cache
def transitions(zone: ZoneInfo) -> tuple[int, ...]:
    """The instants from 2015 to 2045 at which a zone's offset changes."""
    found: list[int] = []
    day = (date(2015, 1, 1).toordinal() - EPOCH) * DAY
    while day < (date(2045, 1, 1).toordinal() - EPOCH) * DAY:
        if offset(day, zone) != offset(day + DAY, zone):
            instant = day
            while offset(instant, zone) == offset(day, zone):
                instant += MINUTE
            found.append(instant)
        day += DAY
    return tuple(found)


def ordinal(year: int, month: int, day: int) -> int:
    """As date.toordinal, for years beyond 9999 and before 1 too. Clamps to the end of the month."""
    last = calendar.monthrange(2000 + year % 400, month)[1]
    cycles, within = divmod(year - 2000, 400)
    return date(2000 + within, month, min(day, last)).toordinal() + cycles * 146_097


def shift_day(day: int, count: int, unit: str) -> int:
    if unit == "days":
        return day + count
    if unit == "weeks":
        return day + 7 * count
    start = date.fromordinal(day)
    months = start.year * 12 + start.month - 1 + (count if unit == "months" else 12 * count)
    return ordinal(months // 12, months % 12 + 1, start.day)


def shift(instant: int, count: int, unit: str, zone: ZoneInfo) -> int:
    if unit == "minutes":
        return instant + count * MINUTE
    if unit == "hours":
        return instant + count * HOUR
    shown = wall(instant, zone)
    day = shift_day(shown // DAY + EPOCH, count, unit)
    return first_showing((day - EPOCH) * DAY + shown % DAY, zone)


# --- public holidays ---


def easter(year: int) -> int:
    """Easter Sunday by the tables of 1582: the Sunday after the first ecclesiastical full moon of spring."""
    golden, century = year % 19, year // 100
    epact = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    epact -= epact // 28 * (1 - epact // 28 * (29 // (epact + 1)) * ((21 - golden) // 11))
    full_moon = ordinal(year, 3, 21) + epact
    return full_moon + 7 - full_moon % 7


def nth_weekday(year: int, month: int, weekday: int, n: int) -> int:
    """The nth Monday (0) and so on of a month; the last one where n is -1."""
    length = calendar.monthrange(year, month)[1]
    days = [d for d in range(1, length + 1) if (ordinal(year, month, d) + 6) % 7 == weekday]
    return ordinal(year, month, days[n - 1 if n > 0 else n])


def zurich_holidays(year: int) -> Iterator[int]:
    """The public days of rest of the canton of Zurich (Ruhetagsgesetz, 1); Berchtold's day is none of them."""
    yield from (ordinal(year, *day) for day in ((1, 1), (5, 1), (8, 1), (12, 25), (12, 26)))
    yield from (easter(year) + days for days in (-2, 1, 39, 50))  # Good Friday, Easter, Ascension, Whit Monday


def american_holidays(year: int) -> Iterator[int]:
    """The legal public holidays of the United States (5 U.S.C. 6103), and the days they are observed on."""
    weekdays = ((1, 0, 3), (2, 0, 3), (5, 0, -1), (9, 0, 1), (10, 0, 2), (11, 3, 4))
    yield from (nth_weekday(year, *day) for day in weekdays)
    juneteenth = ((6, 19),) if year >= 2021 else ()
    for month, number in ((1, 1), *juneteenth, (7, 4), (11, 11), (12, 25)):
        day = ordinal(year, month, number)
        yield from (day, day + {5: -1, 6: 1}.get((day + 6) % 7, 0))


# --- business time ---


def works(day: int, office: Office) -> bool:
    return bool(office.hours[(day + 6) % 7]) and day not in office.closed


def periods(day: int, office: Office) -> Iterator[tuple[int, int]]:
    midnight = (day - EPOCH) * DAY
    for begin, end in office.hours[(day + 6) % 7] if works(day, office) else ():
        yield first_showing(midnight + begin * MINUTE, office.zone), first_showing(midnight + end * MINUTE, office.zone)


def working(instant: int, office: Office) -> Iterator[tuple[int, int]]:
    """What is left of working time from an instant on."""
    day = local_day(instant, office.zone)
    while True:
        for begin, end in periods(day, office):
            if end > instant:
                yield max(begin, instant), end
        day += 1


def after_business_days(instant: int, count: int, office: Office) -> int:
    opening, _ = next(working(instant, office))
    shown = wall(opening, office.zone)
    day = shown // DAY + EPOCH
    while count:
        day += 1
        count -= works(day, office)
    return first_showing((day - EPOCH) * DAY + shown % DAY, office.zone)


def after_business_hours(instant: int, count: int, office: Office) -> int:
    left = count * HOUR
    for begin, end in working(instant, office) if left else ():
        if end - begin >= left:
            return begin + left
        left -= end - begin
    return instant


def business_day_after(day: int, count: int, office: Office) -> int:
    while not works(day, office):
        day += 1
    while count:
        day += 1
        count -= works(day, office)
    return day


def business_day_before(day: int, count: int, office: Office) -> int:
    """The latest day from which that many business days lead to no later than a day."""
    latest = day
    while business_day_after(latest, count, office) > day:
        latest -= 1
    return latest


def after_business(instant: int, count: int, unit: str, office: Office) -> int:
    return {"business days": after_business_days, "business hours": after_business_hours}[unit](instant, count, office)


def is_before_start(now: int, value: int, count: int, unit: str, office: Office) -> bool:
    """now < value - D. In business time: some later moment still leads to no later than the value."""
    if not unit.startswith("business"):
        return now < shift(value, -count, unit, office.zone)
    # Business time never runs backwards, except where clocks do.
    later = [now + 1, *(t for t in transitions(office.zone) if now < t <= value)]
    return any(after_business(m, count, unit, office) <= value for m in later)


def end_of(value: int, count: int, unit: str, office: Office) -> int:
    """value + D"""
    if unit.startswith("business"):
        return after_business(value, count, unit, office)
    return shift(value, count, unit, office.zone)


# --- tests ---


def holds(test: Test, value: Any, now: int, office: Office) -> bool:
    word, *arguments = test
    if word == "missing":
        return value is None
    if word == "missing or":
        return value is None or holds(arguments[0], value, now, office)
    if value is None:
        return False
    if word == "present":
        return True
    if word in ("is", "none"):
        return any(equal(value, wanted, office) for wanted in arguments[0]) == (word == "is")
    if word == "above":
        return value > arguments[0]
    if word == "below":
        return value < arguments[0]
    if word == "at least":
        return value >= arguments[0]
    if word == "at most":
        return value <= arguments[0]
    if word == "between":
        return arguments[0] <= value <= arguments[1]
    if word == "starts with":
        return value.casefold()[: len(arguments[0].casefold())] == arguments[0].casefold()
    if word == "contains":
        return value.casefold().find(arguments[0].casefold()) >= 0
    if isinstance(value, datetime):
        return moment_holds(word, arguments, micros(value), now, office)
    return day_holds(word, arguments, value.toordinal(), local_day(now, office.zone), office)


def equal(value: Any, wanted: Any, office: Office) -> bool:
    """A date with time is equal to a day on that local day."""
    if isinstance(value, datetime) and not isinstance(wanted, datetime):
        return local_day(micros(value), office.zone) == wanted.toordinal()
    return type(value) is type(wanted) and value == wanted


def day_holds(word: str, arguments: list[Any], value: int, today: int, office: Office) -> bool:
    match word, *arguments:
        case ("passed",):
            return today > value
        case ("today",):
            return today == value
        case "before", day:
            return value < day.toordinal()
        case "after", day:
            return value > day.toordinal()
        case "anniversary in the next", count, unit:
            years = years_about(date.fromordinal(value).year, date.fromordinal(today).year)
            return any(day_holds("in the next", [count, unit], a, today, office) for a in recurrences(value, years))
        case _:
            count, unit = arguments

    def plus() -> int:
        return business_day_after(value, count, office) if unit == "business days" else shift_day(value, count, unit)

    def minus() -> int:
        return business_day_before(value, count, office) if unit == "business days" else shift_day(value, -count, unit)

    match word:
        case "in the next":
            return minus() <= today <= value
        case "in the last":
            return value <= today <= plus()
        case "more than ago":
            return today > plus()
        case "more than away":
            return today < minus()
        case _:
            raise AssertionError(word)


def years_about(first: int, this: int) -> range:
    """The years in which an anniversary may be ahead; the first year's is none."""
    return range(max(first + 1, this - 1), this + 9)


def recurrences(day: int, years: Iterable[int]) -> Iterator[int]:
    start = date.fromordinal(day)
    for year in years:
        yield ordinal(year, start.month, start.day)


def moment_holds(word: str, arguments: list[Any], value: int, now: int, office: Office) -> bool:
    zone = office.zone
    match word, *arguments:
        case ("passed",):
            return now > value
        case ("today",):
            return local_day(now, zone) == local_day(value, zone)
        case "before", day:
            return local_day(value, zone) < day.toordinal()
        case "after", day:
            return local_day(value, zone) > day.toordinal()
        case "in the next", count, unit:
            return now <= value and not is_before_start(now, value, count, unit, office)
        case "in the last", count, unit:
            return value <= now <= end_of(value, count, unit, office)
        case "more than ago", count, unit:
            return now > end_of(value, count, unit, office)
        case "more than away", count, unit:
            return is_before_start(now, value, count, unit, office)
        case "anniversary in the next", count, unit:
            shown = wall(value, zone)
            day = shown // DAY + EPOCH
            years = years_about(date.fromordinal(day).year, moment(now).year)
            instants = (first_showing((a - EPOCH) * DAY + shown % DAY, zone) for a in recurrences(day, years))
            return any(moment_holds("in the next", [count, unit], a, now, office) for a in instants)
        case _:
            raise AssertionError(word)


# --- when time changes a test ---


def edges(test: Test, value: Any, now: int, office: Office) -> Iterator[int]:
    """The instants after which, or at which, the truth of a test on a value may differ, four years ahead."""
    word, *arguments = test
    if word == "missing or":
        yield from edges(arguments[0], value, now, office)
    elif word.startswith("anniversary") and value is not None:
        instant = isinstance(value, datetime)
        shown = wall(micros(value), office.zone) if instant else (value.toordinal() - EPOCH) * DAY
        day = shown // DAY + EPOCH
        first = date.fromordinal(day).year + 1
        for a in recurrences(day, range(max(first, moment(now).year - 1), max(first, moment(now).year) + 6)):
            if a < date.max.toordinal():
                midnight = (a - EPOCH) * DAY
                again = moment(first_showing(midnight + shown % DAY, office.zone)) if instant else date.fromordinal(a)
                yield from edges(("in the next", *arguments), again, now, office)
    elif isinstance(value, datetime):
        yield from _moment_edges(arguments, micros(value), office)
    elif isinstance(value, date):
        days = [value.toordinal(), value.toordinal() + 1]
        if len(arguments) == 2 and arguments[1] == "business days":
            days.append(business_day_before(days[0], arguments[0], office))
            days.append(business_day_after(days[0], arguments[0], office) + 1)
        elif len(arguments) == 2:
            days.append(shift_day(days[0], -arguments[0], arguments[1]))
            days.append(shift_day(days[0], *arguments) + 1)
        yield from (first_showing((day - EPOCH) * DAY, office.zone) for day in days)


def _moment_edges(arguments: list[Any], value: int, office: Office) -> Iterator[int]:
    yield from (value, value + 1)
    day = local_day(value, office.zone)
    yield from (first_showing((d - EPOCH) * DAY, office.zone) for d in (day, day + 1))
    if len(arguments) == 2:
        count, unit = arguments
        end = end_of(value, count, unit, office)
        yield from (end, end + 1)
        if not unit.startswith("business"):
            yield shift(value, -count, unit, office.zone)
            return
        low, high = value - 90 * DAY, value  # nobody's business days reach further
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_before_start(middle, value, count, unit, office) else (low, middle)
        yield high


# --- fields ---


def follow(world: World, record: Record | None, path: Path) -> Record | None:
    for ref, kind in path:
        wanted = record.get(ref) if record else None
        named = [r for r in world.of(kind) if wanted is not None and r.id == wanted]
        record = named[-1] if named else None  # of records with the same id, the last is meant
    return record


def read(world: World, record: Record, path: Path, name: str) -> Any:
    named = follow(world, record, path)
    return value(world, named, name) if named else None


def value(world: World, record: Record, name: str) -> Any:
    key = (id(record), name)
    if key not in world.known:
        world.known[key] = work_out(world, record, name)
    return world.known[key]


def work_out(world: World, record: Record, name: str) -> Any:
    match world.book.derived.get((record.kind, name)):
        case Aggregate(how, of, source):
            others = related(world, of, record)
            return aggregate(how, [v for other in others if (v := value(world, other, source)) is not None])
        case Arithmetic(how, operands):
            return calculate(how, [o if isinstance(o, Decimal) else read(world, record, *o) for o in operands])
        case None:
            setters = [r for r in world.book.rules if record.kind == "customer" and name in r.sets]
            for rule in sorted(setters, key=lambda r: (-r.weight, r.id)):
                if is_live(rule, world.team) and any(rule_holds(world, rule, this) for this in world.of(rule.kind)):
                    return rule.sets[name]
            return record.get(name)


EXACT = decimal.Context(prec=100_000, traps=[decimal.Inexact])
QUOTIENT = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN)


def aggregate(how: str, values: list[Any]) -> Any:
    if how == "count":
        return Decimal(len(values))
    if how == "sum":
        return calculate("add", [Decimal(0), *values])
    if not values:
        return None
    return min(values) if how == "min" else max(values)


def calculate(how: str, values: list[Decimal | None]) -> Decimal | None:
    first, *others = values
    for other in others:
        if first is None or other is None or (how == "divide" and other == 0):
            return None
        step: Callable[[Decimal, Decimal], Decimal] = getattr(QUOTIENT if how == "divide" else EXACT, how)
        first = step(first, other)
    return first


def is_live(rule: Rule, team: str | None) -> bool:
    return rule.rollout in ("live", "100% of customers") or (team is not None and rule.rollout == f"team {team}")


# --- rules ---


def all_hold(world: World, conditions: Iterable[Condition], record: Record) -> bool:
    return all(holds(c.test, read(world, record, c.path, c.field), world.now, world.office) for c in conditions)


def related(world: World, relation: Relation, this: Record) -> list[Record]:
    """The records that a relation means, the one that it starts from included."""

    def tied(other: Record) -> bool:
        wanted = {name: this.id if tie == "this" else value(world, this, name) for name, tie in relation.ties}
        return all(v is not None and value(world, other, name) == v for name, v in wanted.items())

    return [o for o in world.of(relation.kind) if tied(o) and all_hold(world, relation.conditions, o)]


def exists(world: World, relation: Relation, this: Record) -> bool:
    found = len([other for other in related(world, relation, this) if other is not this])
    return found > 0 if relation.count is None else holds(relation.count, Decimal(found), world.now, world.office)


def rule_holds(world: World, rule: Rule, this: Record) -> bool:
    return (
        all_hold(world, rule.when, this)
        and (not rule.any_of or any(all_hold(world, a, this) for a in rule.any_of))
        and all(exists(world, r, this) for r in rule.with_)
        and not any(exists(world, r, this) for r in rule.unless)
    )


def decide(world: World) -> frozenset[tuple[str, str]]:
    """(rule, id of the subject) for everything that holds of one customer's records."""
    return frozenset(
        (r.id, this.id) for r in world.book.rules for this in world.of(r.kind) if rule_holds(world, r, this)
    )


# --- when time changes something ---


def all_conditions(book: Book) -> Iterator[tuple[str, Condition]]:
    """Every condition, with the kind of the records it is about."""
    for rule in book.rules:
        yield from ((rule.kind, c) for conditions in (rule.when, *rule.any_of) for c in conditions)
    relations = [r for rule in book.rules for r in (*rule.with_, *rule.unless)]
    relations += [d.of for d in book.derived.values() if isinstance(d, Aggregate)]
    yield from ((relation.kind, c) for relation in relations for c in relation.conditions)


def possible(world: World, record: Record, name: str) -> set[Any]:
    """The values a field may have at some moment, as far as they are dates."""
    derivation = world.book.derived.get((record.kind, name))
    if isinstance(derivation, Aggregate):
        return {v for other in world.of(derivation.of.kind) for v in possible(world, other, derivation.field)}
    set_ = [r.sets[name] for r in world.book.rules if record.kind == "customer" and name in r.sets]
    return {record.get(name), *set_} if derivation is None else set()


def turning_points(world: World, until: int) -> list[int]:
    """Every moment after the world's, up to another, at which anything about the customer may differ."""
    found: set[int] = set()
    for kind, condition in all_conditions(world.book):
        named = {named for record in world.of(kind) if (named := follow(world, record, condition.path))}
        for v in {v for record in named for v in possible(world, record, condition.field)}:
            found.update(edges(condition.test, v, world.now, world.office))
    return sorted(e for e in found if world.now < e <= until)


def changes(world: World, until: int) -> Iterator[tuple[int, frozenset[tuple[str, str]]]]:
    """What holds now, and every moment after it, up to another, at which something else does."""
    known = decide(world)
    yield world.now, known
    for edge in turning_points(world, until):
        holding = decide(world.at(edge))
        if holding != known:
            known = holding
            yield edge, known
