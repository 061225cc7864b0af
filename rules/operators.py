"""Every test of the rule language: one class or one row each, and all readers take it from here.

A test knows its truth (`holds`), its Python (`source`), when time flips it (`during`) and its words. The phrase
table at the end is what authors write; adding a phrase is one row.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import ClassVar, TypeAlias

from domain.calendar import LAST_DAY, NEVER, ONE_DAY, TICK, At, Calendar, Span, Unit
from rules.model import Date, DateTime, FieldType, Number, Text, Value

DAY_TYPES = (Date, DateTime)
NO_SPAN = Span(count=0, unit=Unit.DAYS)  # for phrases that name none
RECURRENCES_AHEAD = 3  # of a yearly date, enough to find the next flip from any moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The moments from `start` up to, not including, `end`. None: without beginning, without end."""

    start: datetime | None = None
    end: datetime | None = None

    def covers(self, now: datetime) -> bool:
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)

    def edges(self) -> Iterator[datetime]:
        """The moments at which it begins or ends, those that never come left out."""
        for edge in (self.start, self.end):
            if edge is not None and edge < NEVER:
                yield edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A test on one field. A missing value makes it false, but for `missing` and `missing or ...`."""

    temporal: ClassVar[bool] = False
    yearly: ClassVar[bool] = False
    __test__: ClassVar[bool] = False  # not one of pytest's

    def holds(self, value: Value | None, at: At) -> bool:
        raise NotImplementedError

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        """A Python expression over the variable `name` (None when missing), `at`, and named constants."""
        raise NotImplementedError

    def possible(self, name: str, constant: Callable[[object], str]) -> str:
        """As `source`, but true wherever time alone could make the test true."""
        return self.source(name, constant)

    def during(self, value: Value | None, at: At) -> tuple[Interval, ...]:
        """The intervals around `at` on which a temporal test is true for this value. Empty: time does not matter."""
        return ()

    def edges(self, value: Value | None, at: At) -> Iterable[datetime]:
        """The moments at which these intervals begin or end; those before `at` may be left out."""
        return (edge for interval in self.during(value, at) for edge in interval.edges())


def literal(value: Value, constant: Callable[[object], str]) -> str:
    return repr(value) if isinstance(value, str | bool) else constant(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals(Test):
    """Equals one of the values."""

    values: tuple[Value, ...]

    def holds(self, value: Value | None, at: At) -> bool:
        return value is not None and value in self.values

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        if len(self.values) == 1:
            only = self.values[0]
            return f"{name} is {only}" if isinstance(only, bool) else f"{name} == {literal(only, constant)}"
        return f"{name} in ({', '.join(literal(v, constant) for v in self.values)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoneOf(Test):
    """Present, and none of the values."""

    values: tuple[Value, ...]

    def holds(self, value: Value | None, at: At) -> bool:
        return value is not None and value not in self.values

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None and {name} not in ({', '.join(literal(v, constant) for v in self.values)},)"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDay(Test):
    """A moment whose local day is (not) one of these: how a date with time is compared with a day."""

    days: tuple[date, ...]
    wanted: bool = True

    def holds(self, value: Value | None, at: At) -> bool:
        return isinstance(value, datetime) and (at.calendar.today(value) in self.days) is self.wanted

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        operator_ = "in" if self.wanted else "not in"
        return f"{name} is not None and at.calendar.today({name}) {operator_} {constant(self.days)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing(Test):
    def holds(self, value: Value | None, at: At) -> bool:
        return value is None

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present(Test):
    def holds(self, value: Value | None, at: At) -> bool:
        return value is not None

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingOr(Test):
    test: Test

    @property
    def temporal(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.test.temporal

    @property
    def yearly(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.test.yearly

    def holds(self, value: Value | None, at: At) -> bool:
        return value is None or self.test.holds(value, at)

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"({name} is None or {self.test.source(name, constant)})"

    def possible(self, name: str, constant: Callable[[object], str]) -> str:
        return f"({name} is None or {self.test.possible(name, constant)})"

    def during(self, value: Value | None, at: At) -> tuple[Interval, ...]:
        return () if value is None else self.test.during(value, at)

    def edges(self, value: Value | None, at: At) -> Iterable[datetime]:
        return self.test.edges(value, at)


ORDER: Mapping[str, tuple[str, Callable[[Decimal, Decimal], bool]]] = {
    "above": (">", operator.gt),
    "below": ("<", operator.lt),
    "at least": (">=", operator.ge),
    "at most": ("<=", operator.le),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(Test):
    """A number against a bound, by a word of ORDER."""

    word: str
    bound: Decimal

    def holds(self, value: Value | None, at: At) -> bool:
        return isinstance(value, Decimal) and ORDER[self.word][1](value, self.bound)

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None and {name} {ORDER[self.word][0]} {constant(self.bound)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Between(Test):
    low: Decimal
    high: Decimal

    def holds(self, value: Value | None, at: At) -> bool:
        return isinstance(value, Decimal) and self.low <= value <= self.high

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None and {constant(self.low)} <= {name} <= {constant(self.high)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsWith(Test):
    text: str

    def holds(self, value: Value | None, at: At) -> bool:
        return isinstance(value, str) and value.casefold().startswith(self.text.casefold())

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None and {name}.casefold().startswith({self.text.casefold()!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains(Test):
    text: str

    def holds(self, value: Value | None, at: At) -> bool:
        return isinstance(value, str) and self.text.casefold() in value.casefold()

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None and {self.text.casefold()!r} in {name}.casefold()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before(Test):
    """Before or after a fixed day; no clock involved."""

    day: date
    after: bool = False

    def holds(self, value: Value | None, at: At) -> bool:
        if value is None:
            return False
        day = local_day(value, at.calendar)
        return day > self.day if self.after else day < self.day

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return (
            f"{name} is not None and {constant(local_day)}({name}, at.calendar) {'<>'[self.after]} {constant(self.day)}"
        )


def local_day(value: Value, calendar: Calendar) -> date:
    assert isinstance(value, date)
    return calendar.today(value) if isinstance(value, datetime) else value


Days: TypeAlias = tuple[date | None, date | None]
"""The first and the last local day on which a test holds; None: no such bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalRule:
    """A temporal phrase as intervals of `now`: by local days for a date, by instants for a date with time."""

    days: Callable[[date, Span, Calendar], Days]
    moments: Callable[[datetime, Span, Calendar], Interval] | None
    """None: a date with time is read by its local day."""
    yearly: bool = False


def _after(moment: datetime) -> datetime:
    """The first moment that is later."""
    return min(moment, NEVER) + TICK


# The table of rule-language.md.
TEMPORAL: Mapping[str, TemporalRule] = {
    "in the next": TemporalRule(
        days=lambda v, d, c: (c.shift_day(v, d, sign=-1), v),
        moments=lambda v, d, c: Interval(start=c.shift(v, d, sign=-1), end=_after(v)),
    ),
    "in the last": TemporalRule(
        days=lambda v, d, c: (v, c.shift_day(v, d)),
        moments=lambda v, d, c: Interval(start=v, end=_after(c.shift(v, d))),
    ),
    "more than ago": TemporalRule(
        days=lambda v, d, c: (c.shift_day(v, d) + ONE_DAY, None),
        moments=lambda v, d, c: Interval(start=_after(c.shift(v, d))),
    ),
    "more than away": TemporalRule(
        days=lambda v, d, c: (None, c.shift_day(v, d, sign=-1) - ONE_DAY),
        moments=lambda v, d, c: Interval(end=c.shift(v, d, sign=-1)),
    ),
    "passed": TemporalRule(
        days=lambda v, d, c: (c.shift_day(v, d) + ONE_DAY, None),
        moments=lambda v, d, c: Interval(start=_after(v)),
    ),
    "today": TemporalRule(days=lambda v, d, c: (v, v), moments=None),
    "anniversary in the next": TemporalRule(
        days=lambda v, d, c: (c.shift_day(v, d, sign=-1), v),
        moments=lambda v, d, c: Interval(start=c.shift(v, d, sign=-1), end=_after(v)),
        yearly=True,
    ),
}


Reach: TypeAlias = tuple[int, int]
"""The days from a date to the first and to the last day on which a test holds."""

FOREVER = 4_000_000  # days: more than the calendar has
ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
MIDDLE = date(5000, 1, 1)  # no span leads from it to the calendar's ends


def _reach(rule: TemporalRule, span: Span) -> Reach | None:
    if rule.yearly or span.unit not in (Unit.DAYS, Unit.WEEKS):
        return None
    first, last = rule.days(MIDDLE, span, Calendar())
    return (
        -FOREVER if first is None else (first - MIDDLE).days,
        FOREVER if last is None else (last - MIDDLE).days,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporal(Test):
    """A test that time alone makes true or false."""

    temporal: ClassVar[bool] = True
    phrase: str
    span: Span = NO_SPAN
    reach: Reach | None = field(init=False, repr=False, compare=False)
    """Of a span that is equally long on every calendar, for dates: worked out once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reach", _reach(TEMPORAL[self.phrase], self.span))

    @property
    def yearly(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return TEMPORAL[self.phrase].yearly

    def __str__(self) -> str:
        return f"{self.phrase} {self.span}" if self.span.count else self.phrase

    def holds(self, value: Value | None, at: At) -> bool:
        if self.reach is not None and type(value) is date:
            first, last = self.reach
            return first <= (at.today - value).days <= last
        rule = TEMPORAL[self.phrase]
        if not isinstance(value, date):
            return False
        if isinstance(value, datetime) and rule.moments is not None:
            return any(interval.covers(at.now) for interval in self.during(value, at))
        return any(
            (first is None or first <= at.today) and (last is None or at.today <= last)
            for first, last in self._days(rule, value, at)
        )

    def source(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{constant(self.holds)}({name}, at)"

    def possible(self, name: str, constant: Callable[[object], str]) -> str:
        return f"{name} is not None"

    def during(self, value: Value | None, at: At) -> tuple[Interval, ...]:
        rule = TEMPORAL[self.phrase]
        if not isinstance(value, date):
            return ()
        if isinstance(value, datetime) and rule.moments is not None:
            return tuple(rule.moments(v, self.span, at.calendar) for v in self._moments(rule, value, at))
        midnight = at.calendar.midnight
        return tuple(
            Interval(
                start=None if first is None else midnight(first),
                end=None if last is None or last >= LAST_DAY else midnight(last + ONE_DAY),
            )
            for first, last in self._days(rule, value, at)
        )

    def span_of(self, value: date, at: At) -> tuple[datetime, datetime]:
        """From when on, and until just before when, it holds; not for what comes back every year."""
        (interval,) = self.during(value, at)
        return interval.start or ALWAYS[0], interval.end or ALWAYS[1]

    def days_of(self, value: date, at: At) -> tuple[int, int]:
        """The same for a date, as ordinals of days."""
        ((first, last),) = self._days(TEMPORAL[self.phrase], value, at)
        return 0 if first is None else first.toordinal(), FOREVER if last is None else last.toordinal() + 1

    def days_source(self, name: str, day: str, constant: Callable[[object], str]) -> str:
        """A Python expression for `days_of` the variable `name`, whose ordinal is `day`."""
        if self.reach is None:
            return f"{constant(self.days_of)}({name}, at)"
        first, last = self.reach
        start = "0" if first == -FOREVER else _shifted(day, first)
        return f"{start}, {FOREVER if last == FOREVER else _shifted(day, last + 1)}"

    def edges(self, value: Value | None, at: At) -> Iterable[datetime]:
        if self.reach is None or type(value) is not date:
            return Test.edges(self, value, at)
        first, last = self.reach
        since, end = (at.today - value).days, (LAST_DAY - at.today).days
        ahead = (days - since for days in (first, last + 1))
        return [at.calendar.midnight(at.today + timedelta(days=days)) for days in ahead if 0 < days < end]

    def _days(self, rule: TemporalRule, value: date, at: At) -> Iterator[Days]:
        day = local_day(value, at.calendar)
        for each in islice(recurrences(day, at.today), RECURRENCES_AHEAD) if rule.yearly else (day,):
            yield rule.days(each, self.span, at.calendar)

    def _moments(self, rule: TemporalRule, value: datetime, at: At) -> Iterator[datetime]:
        if not rule.yearly:
            yield value
            return
        local = at.calendar.local(value)
        for day in islice(recurrences(local.date(), at.today), RECURRENCES_AHEAD):
            yield at.calendar.instant(datetime.combine(day, local.time()))


def _shifted(day: str, days: int) -> str:
    return f"{day} {'-' if days < 0 else '+'} {abs(days)}" if days else day


def recurrences(day: date, today: date) -> Iterator[date]:
    """The yearly recurrences of a day from today on, never the day itself; 29 February falls on the 28th."""
    for year in range(max(day.year + 1, today.year), LAST_DAY.year):
        try:
            recurrence = day.replace(year=year)
        except ValueError:
            recurrence = date(year, 2, 28)
        if recurrence >= today:
            yield recurrence


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A row of the grammar: the words with {span}, {number}, {day} or {text} holes, for which types, into what."""

    words: str
    types: tuple[type[FieldType], ...]
    build: Callable[..., Test]


def _compare(word: str) -> Callable[..., Test]:
    return lambda bound: Compare(word=word, bound=bound)


def _temporal(phrase: str) -> Callable[..., Test]:
    return lambda span=NO_SPAN: Temporal(phrase=phrase, span=span)


PHRASES: tuple[Phrase, ...] = (
    *(Phrase(words=f"{word} {{number}}", types=(Number,), build=_compare(word)) for word in ORDER),
    Phrase(words="between {number} and {number}", types=(Number,), build=lambda low, high: Between(low=low, high=high)),
    Phrase(words="starts with {text}", types=(Text,), build=lambda text: StartsWith(text=text)),
    Phrase(words="contains {text}", types=(Text,), build=lambda text: Contains(text=text)),
    Phrase(words="in the next {span}", types=DAY_TYPES, build=_temporal("in the next")),
    Phrase(words="in the last {span}", types=DAY_TYPES, build=_temporal("in the last")),
    Phrase(words="more than {span} ago", types=DAY_TYPES, build=_temporal("more than ago")),
    Phrase(words="more than {span} away", types=DAY_TYPES, build=_temporal("more than away")),
    Phrase(words="passed", types=DAY_TYPES, build=_temporal("passed")),
    Phrase(words="today", types=DAY_TYPES, build=_temporal("today")),
    Phrase(words="before {day}", types=DAY_TYPES, build=lambda day: Before(day=day)),
    Phrase(words="after {day}", types=DAY_TYPES, build=lambda day: Before(day=day, after=True)),
    Phrase(words="anniversary in the next {span}", types=DAY_TYPES, build=_temporal("anniversary in the next")),
)
