"""What the rule language means, written from its specification alone: naive, slow and walking trees.

Nothing here imports the code under test. Days are ordinals and instants are microseconds since 1970, both without
upper or lower end, so that nothing overflows; local time asks zoneinfo at each instant.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Condition:
    path: tuple[tuple[str, str], ...]  # (ref field, kind it names)
    field: str
    test: Test


@dataclass(frozen=True)
class Relation:
    kind: str
    ties: tuple[tuple[str, str], ...]  # (field, "this" or "same")
    conditions: tuple[Condition, ...]
    count: Test | None = None


@dataclass(frozen=True)
class Rule:
    id: str
    kind: str
    when: tuple[Condition, ...] = ()
    any_of: tuple[tuple[Condition, ...], ...] = ()
    with_: tuple[Relation, ...] = ()
    unless: tuple[Relation, ...] = ()


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
            years = range(date.fromordinal(value).year + 1, date.fromordinal(today).year + 9)
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
            years = range(date.fromordinal(day).year + 1, moment(now).year + 9)
            instants = (first_showing((a - EPOCH) * DAY + shown % DAY, zone) for a in recurrences(day, years))
            return any(moment_holds("in the next", [count, unit], a, now, office) for a in instants)
        case _:
            raise AssertionError(word)


# --- when time changes something ---


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


def rule_edges(rule: Rule, records: list[Record], now: int, office: Office) -> set[int]:
    found: set[int] = set()
    for record in records:
        for condition in (*rule.when, *(c for a in rule.any_of for c in a)) if record.kind == rule.kind else ():
            found.update(edges(condition.test, read(record, condition, records), now, office))
        for relation in (*rule.with_, *rule.unless):
            for condition in relation.conditions if record.kind == relation.kind else ():
                found.update(edges(condition.test, read(record, condition, records), now, office))
    return found


# --- rules ---


def read(record: Record | None, condition: Condition, records: Iterable[Record]) -> Any:
    for ref, kind in condition.path:
        wanted = record.get(ref) if record else None
        named = [r for r in records if r.kind == kind and wanted is not None and r.id == wanted]
        record = named[-1] if named else None  # of records with the same id, the last is meant
    return record.get(condition.field) if record else None


def all_hold(conditions: Iterable[Condition], record: Record, records: list[Record], now: int, office: Office) -> bool:
    return all(holds(c.test, read(record, c, records), now, office) for c in conditions)


def related(relation: Relation, this: Record, records: list[Record], now: int, office: Office) -> list[Record]:
    def tied(other: Record) -> bool:
        wanted = {name: this.id if tie == "this" else this.get(name) for name, tie in relation.ties}
        return all(value is not None and other.get(name) == value for name, value in wanted.items())

    return [
        other
        for other in records
        if other.kind == relation.kind
        and other is not this
        and tied(other)
        and all_hold(relation.conditions, other, records, now, office)
    ]


def exists(relation: Relation, this: Record, records: list[Record], now: int, office: Office) -> bool:
    found = len(related(relation, this, records, now, office))
    return found > 0 if relation.count is None else holds(relation.count, Decimal(found), now, office)


def rule_holds(rule: Rule, this: Record, records: list[Record], now: int, office: Office) -> bool:
    return (
        all_hold(rule.when, this, records, now, office)
        and (not rule.any_of or any(all_hold(a, this, records, now, office) for a in rule.any_of))
        and all(exists(r, this, records, now, office) for r in rule.with_)
        and not any(exists(r, this, records, now, office) for r in rule.unless)
    )


def decide(rules: Iterable[Rule], records: list[Record], now: datetime, office: Office) -> frozenset[tuple[str, str]]:
    """(rule, id of the subject) for everything that holds of one customer's records."""
    at = micros(now)
    return frozenset(
        (rule.id, record.id)
        for rule in rules
        for record in records
        if record.kind == rule.kind and rule_holds(rule, record, records, at, office)
    )


def changes(
    rules: Iterable[Rule], records: list[Record], *, since: datetime, until: datetime, office: Office
) -> Iterator[tuple[datetime, frozenset[tuple[str, str]]]]:
    """What holds at `since`, and every moment after it, up to `until`, at which something else does."""
    rules = list(rules)
    start = micros(since)
    known = decide(rules, records, since, office)
    yield since, known
    found = {e for r in rules for e in rule_edges(r, records, start, office)}
    for edge in sorted(e for e in found if start < e <= micros(until)):
        holding = decide(rules, records, moment(edge), office)
        if holding != known:
            known = holding
            yield moment(edge), known
