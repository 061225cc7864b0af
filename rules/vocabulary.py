"""The documents that a company's words come from: `model:`, `company:` and `calendar:`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace
from datetime import date, time
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from domain.calendar import OFFICE_HOURS, Calendar, Hours
from domain.record import CUSTOMER
from rules.derived import DerivedTypes, Written, is_derived
from rules.holidays import DaysOff, regions_of
from rules.model import (
    USER,
    Date,
    DateTime,
    Enum,
    FieldKey,
    FieldType,
    Model,
    Money,
    Number,
    Ref,
    Text,
    YesNo,
    implicit,
)
from rules.problems import Problems, suggestion
from rules.source import Mapping, Node, Scalar, Sequence, check_keys

SIMPLE: dict[str, FieldType] = {
    "text": Text(),
    "yesno": YesNo(),
    "number": Number(),
    "money": Money(),
    "date": Date(),
    "datetime": DateTime(),
}
TYPE_WORDS = (*SIMPLE, "ref <kind>", "{enum: [...], groups: {...}}", "{money: CHF}", "{sum: invoice.amount}")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LANGUAGES = ("en", "de", "fr", "it")
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Whose rules these are: the defaults for zone, currency, language and office."""

    name: str = ""
    timezone: str = "UTC"
    currency: str = "EUR"
    language: str = "en"
    calendar: str | None = None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


@dataclass(slots=True)
class Vocabulary:
    """What the documents of all packs add up to, later packs last."""

    problems: Problems
    fields: dict[str, dict[str, FieldType]] = field(default_factory=dict[str, dict[str, FieldType]])
    derived: dict[FieldKey, Written] = field(default_factory=dict[FieldKey, Written])
    company: Company = field(default_factory=Company)
    calendars: dict[str, Calendar] = field(default_factory=dict[str, Calendar])
    _calendar_named: Scalar | None = None
    _replaced: list[tuple[FieldKey, Written, Node]] = field(default_factory=list[tuple[FieldKey, Written, Node]])
    _refs: list[tuple[Node, str]] = field(default_factory=list[tuple[Node, str]])

    def model(self) -> Model:
        for node, kind in self._refs:
            if kind not in self.fields and kind not in (CUSTOMER, USER):
                known = [*self.fields, CUSTOMER, USER]
                self.problems.error("R100", node.at, f'no kind "{kind}"', suggestion(kind, known))
        fields = {kind: implicit(kind) | own for kind, own in ({CUSTOMER: {}} | self.fields).items()}
        earlier = [
            (key, fields[key[0]][key[1]], self.derived[key][1]) for key in self.derived if key[1] in fields[key[0]]
        ]
        earlier += [
            (key, self._types(self.derived | {key: before}, fields, Problems())[key], node)
            for key, before, node in self._replaced
        ]
        for (kind, name), type_ in self._types(self.derived, fields, self.problems).items():
            fields[kind][name] = type_
        for (kind, name), before, node in earlier:
            self._check_unchanged(kind, name, before, fields[kind][name], node)
        return Model.of(fields, self.company.zone, derived=self.derived.keys())

    def _types(
        self, written: Map[FieldKey, Written], fields: Map[str, Map[str, FieldType]], problems: Problems
    ) -> Map[FieldKey, FieldType]:
        """The types that derived fields result in."""
        return DerivedTypes(written=written, fields=fields, currency=self.company.currency, problems=problems).found()

    def office(self) -> Calendar:
        """The company's default office."""
        named = self.company.calendar
        if named is not None and named not in self.calendars and self._calendar_named is not None:
            help_ = suggestion(named, self.calendars) or f"describe it, beginning with calendar: {named}"
            self.problems.error("R105", self._calendar_named.at, f'no calendar "{named}"', help_)
        if named in self.calendars:
            return self.calendars[named]
        return Calendar(name="default", zone=self.company.zone)

    # --- model: ---

    def read_model(self, document: Mapping) -> None:
        kinds = document.get("model")
        check_keys(document, {"model"}, self.problems)
        if not isinstance(kinds, Mapping):
            if not (isinstance(kinds, Scalar) and kinds.is_null):
                self.problems.error(
                    "R103", (kinds or document).at, "a model is a map of kinds", "as in contract: {end_date: date}"
                )
            return
        for name, fields in kinds:
            if not self._named(name, "kind"):
                continue
            own = self.fields.setdefault(name.text, {})
            if isinstance(fields, Mapping):
                for field_name, type_ in fields:
                    self._read_field(name.text, own, field_name, type_)
            elif not (isinstance(fields, Scalar) and fields.is_null):
                self.problems.error("R103", fields.at, f"{name.text} is not a map of fields", "as in end_date: date")

    def _read_field(self, kind: str, own: dict[str, FieldType], name: Scalar, node: Node) -> None:
        if not self._named(name, "field"):
            return
        given = implicit(kind).get(name.text)
        if isinstance(node, Mapping) and is_derived(node):
            if given is not None:
                self.problems.error("R104", node.at, f"{name} of {kind} is recorded", "give the field another name")
                return
            self._replace(kind, name.text, node)
            self.derived[kind, name.text] = (name, node)
            return
        before = own.get(name.text, given)
        type_ = self._type(node, before)
        if type_ is None:
            return
        self._replace(kind, name.text, node)
        self.derived.pop((kind, name.text), None)
        if isinstance(before, Enum) and isinstance(type_, Enum):
            type_ = self._merged(before, type_, node)
        elif before is not None and not self._check_unchanged(kind, name.text, before, type_, node):
            return
        own[name.text] = type_

    def _check_unchanged(self, kind: str, name: str, before: FieldType, type_: FieldType, node: Node) -> bool:
        """What earlier packs read as one type stays of that type."""
        if before == type_:
            return True
        message = f"{kind}.{name} is {before.says} already, it cannot become {type_.says}"
        self.problems.error("R104", node.at, message, "give the field another name")
        return False

    def _replace(self, kind: str, name: str, node: Node) -> None:
        """A later pack works a field out in another way, or has it recorded: its type must stay."""
        if (kind, name) in self.derived:
            self._replaced.append(((kind, name), self.derived[kind, name], node))

    def _named(self, name: Scalar, what: str) -> bool:
        if NAME.fullmatch(name.text) and name.text != "count":
            return True
        self.problems.error(
            "R103", name.at, f'"{name.text}" cannot name a {what}', "use lower-case letters, digits and _: end_date"
        )
        return False

    def _type(self, node: Node, before: FieldType | None) -> FieldType | None:
        """`before`: what earlier packs declared."""
        match node:
            case Scalar() if node.text in SIMPLE:
                return SIMPLE[node.text]
            case Scalar() if match := re.fullmatch(r"ref (\w+)", node.text):
                self._refs.append((node, match[1]))
                return Ref(kind=match[1])
            case Scalar():
                help_ = suggestion(node.text, TYPE_WORDS)
                self.problems.error("R103", node.at, f'"{node.text}" is not a type of field', help_)
            case Mapping() if node.get("enum"):
                return self._enum(node, before.values if isinstance(before, Enum) else ())
            case Mapping() if isinstance(currency := node.get("money"), Scalar):
                if re.fullmatch(r"[A-Z]{3}", currency.text):
                    return Money(currency=currency.text)
                self.problems.error("R103", currency.at, f'"{currency.text}" is not a currency', "a code like CHF")
            case _:
                self.problems.error(
                    "R103", node.at, f"{node} is not a type of field", f"allowed: {', '.join(TYPE_WORDS)}"
                )
        return None

    def _enum(self, node: Mapping, known: tuple[str, ...]) -> Enum | None:
        check_keys(node, {"enum", "groups"}, self.problems)
        values = self._words(node.get("enum"))
        groups: dict[str, tuple[str, ...]] = {}
        declared = node.get("groups")
        for name, members in declared if isinstance(declared, Mapping) else ():
            if name.text in values:
                self.problems.error("R103", name.at, f'"{name.text}" is a value already', "give the group another name")
                continue
            groups[name.text] = self._words(members)
            for member in members.items if isinstance(members, Sequence) else ():
                if isinstance(member, Scalar) and member.text not in (*known, *values):
                    help_ = suggestion(member.text, (*known, *values))
                    self.problems.error("R202", member.at, f'"{member.text}" is not a value of this field', help_)
        if not values:
            self.problems.error("R103", node.at, "a list of values is empty", "as in {enum: [draft, active]}")
            return None
        return Enum(values=values, groups=groups)

    def _merged(self, before: Enum, added: Enum, node: Node) -> Enum:
        """A later pack adds values and members of groups."""
        groups = {
            name: tuple(dict.fromkeys((*before.groups.get(name, ()), *added.groups.get(name, ()))))
            for name in (*before.groups, *added.groups)
        }
        values = tuple(dict.fromkeys((*before.values, *added.values)))
        for both in sorted(groups.keys() & set(values)):
            message = f'"{both}" is a value in one pack and a group in another'
            self.problems.error("R103", node.at.within(both), message, "give one of them another name")
        return Enum(values=values, groups={name: members for name, members in groups.items() if name not in values})

    def _words(self, node: Node | None) -> tuple[str, ...]:
        if not isinstance(node, Sequence) or not all(isinstance(item, Scalar) for item in node):
            if node is not None:
                self.problems.error("R103", node.at, "is not a list of words", "as in [draft, active]")
            return ()
        return tuple(dict.fromkeys(item.text for item in node if isinstance(item, Scalar)))

    # --- company: and calendar: ---

    def read_company(self, document: Mapping) -> None:
        check_keys(document, {"company", "timezone", "currency", "language", "calendar"}, self.problems)
        words = {key.text: value for key, value in document if isinstance(value, Scalar)}
        self.company = replace(
            self.company,
            name=words["company"].text if "company" in words else self.company.name,
            timezone=self._zone(words.get("timezone"), self.company.timezone),
            currency=self._currency(words.get("currency")),
            language=self._language(words.get("language")),
            calendar=words["calendar"].text if "calendar" in words else self.company.calendar,
        )
        self._calendar_named = words.get("calendar", self._calendar_named)

    def _zone(self, node: Scalar | None, default: str) -> str:
        if node is None:
            return default
        if node.text in _zones():
            return node.text
        help_ = suggestion(node.text, _zones(), shown=0) or "a name like Europe/Zurich"
        self.problems.error("R201", node.at, f'"{node.text}" is not a time zone', help_)
        return default

    def _currency(self, node: Scalar | None) -> str:
        if node is None:
            return self.company.currency
        if re.fullmatch(r"[A-Z]{3}", node.text):
            return node.text
        self.problems.error("R201", node.at, f'"{node.text}" is not a currency', "a code like CHF")
        return self.company.currency

    def _language(self, node: Scalar | None) -> str:
        if node is None:
            return self.company.language
        if node.text in LANGUAGES:
            return node.text
        self.problems.error("R201", node.at, f'no language "{node.text}"', f"allowed: {', '.join(LANGUAGES)}")
        return self.company.language

    def read_calendar(self, document: Mapping) -> None:
        check_keys(document, {"calendar", "timezone", "hours", "holidays", "closed"}, self.problems)
        name = document.get("calendar")
        zone = document.get("timezone")
        if not isinstance(name, Scalar):
            self.problems.error("R002", document.at, "a calendar needs a name", "as in calendar: zurich")
            return
        self.calendars[name.text] = Calendar(
            name=name.text,
            zone=ZoneInfo(self._zone(zone if isinstance(zone, Scalar) else None, self.company.timezone)),
            hours=self._hours(document.get("hours")),
            closed=self._holidays(document.get("holidays")).and_on(self._closed(document.get("closed"))),
        )

    def _hours(self, node: Node | None) -> tuple[Hours, ...]:
        if node is None:
            return OFFICE_HOURS
        week: list[Hours] = [()] * 7
        for key, value in node if isinstance(node, Mapping) else ():
            days = _weekdays(key.text)
            hours = _day_hours(value.text) if isinstance(value, Scalar) else None
            if days is None:
                self.problems.error("R201", key.at, f'"{key.text}" names no days', "as in mon-thu, or fri")
            elif hours is None:
                self.problems.error(
                    "R201", value.at, f'"{value}" are no working hours', "as in 08:00-12:00 13:00-17:30"
                )
            else:
                for day in days:
                    week[day] = hours
        if not any(week):
            self.problems.error("R201", node.at, "an office without working hours", "as in {mon-fri: 09:00-17:00}")
            return OFFICE_HOURS
        return tuple(week)

    def _holidays(self, node: Node | None) -> DaysOff:
        """The public holidays of a country and region; none where nothing is named."""
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return DaysOff()
        if not isinstance(node, Mapping) or not isinstance(node.get("country"), Scalar):
            self.problems.error("R201", node.at, "holidays need a country", "as in {country: CH, region: ZH}")
            return DaysOff()
        check_keys(node, ("country", "region"), self.problems)
        country, region = node.by_key["country"], node.get("region")
        regions = regions_of(str(country))
        if regions is None:
            help_ = "a code of ISO 3166, as in CH, DE, AT, US"
            self.problems.error("R201", country.at, f'no holidays are known of "{country}"', help_)
            return DaysOff()
        if region is not None and str(region) not in regions:
            help_ = suggestion(str(region), regions, shown=60) or f"{country} has no regions with holidays of their own"
            self.problems.error("R201", region.at, f'"{region}" is not a region of {country}', help_)
            return DaysOff()
        return DaysOff(country=str(country), region=str(region) if region else None)

    def _closed(self, node: Node | None) -> Iterator[date]:
        for item in node.items if isinstance(node, Sequence) else ():
            try:
                yield date.fromisoformat(str(item))
            except ValueError:
                self.problems.error("R201", item.at, f'"{item}" is not a date', "as in 2026-12-24")


@cache
def _zones() -> Set[str]:
    return available_timezones()


def _weekdays(text: str) -> range | None:
    first, _, last = text.partition("-")
    if first not in WEEKDAYS or (last and last not in WEEKDAYS):
        return None
    begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return range(begin, end + 1) if begin <= end else None


def _day_hours(text: str) -> Hours | None:
    """`08:00-12:00 13:00-17:30`; None: unreadable, out of order or overlapping."""
    hours: list[tuple[time, time]] = []
    for part in text.split():
        match = re.fullmatch(r"(\d\d?:\d\d)-(\d\d?:\d\d)", part)
        try:
            begin, end = (time.fromisoformat(t.zfill(5)) for t in match.groups()) if match else (time(), time())
        except ValueError:
            return None
        if begin >= end or (hours and begin < hours[-1][1]):
            return None
        hours.append((begin, end))
    return tuple(hours)
