"""The vocabulary: kinds of records, their fields, and how a recorded value is read as a typed one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

from domain.calendar import At
from domain.person import People
from domain.record import CUSTOMER, Dossier, Record, Scalar
from rules.problems import suggestion

if TYPE_CHECKING:
    from rules.course import Course

Value: TypeAlias = str | bool | Decimal | date | datetime
Fact: TypeAlias = dict[str, Value]
"""A record with typed values. `id` is always there; a missing field is absent."""
FieldKey: TypeAlias = tuple[str, str]
"""(kind, field)"""

USER = "user"  # refs to people; not a kind of record
DIGITS, DECIMALS = 18, 100  # of a number, before and after its point
VALUES_REMEMBERED = 100_000  # of each type
YES_NO = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """What a field holds. `says` names it to people: "a date"."""

    says: str = ""

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        """The typed value. Raises ValueError with the rest of a sentence that begins with the value."""
        raise NotImplementedError

    def write(self, value: Value) -> Scalar:
        """The canonical form in which a value is recorded."""
        assert isinstance(value, str | bool)
        return value


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the values of a field in one zone. `known`: what texts were read as before; None: as themselves."""

    read: Callable[[object], Value]
    known: dict[str, Value] | None

    def remember(self, raw: object) -> Value:
        """Raises ValueError as `FieldType.read` does."""
        value = self.read(raw)
        if self.known is not None and isinstance(raw, str):
            if len(self.known) >= VALUES_REMEMBERED:
                self.known.clear()
            self.known[raw] = value
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(FieldType):
    says: str = "text"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if isinstance(raw, bool):
            return "yes" if raw else "no"
        if isinstance(raw, str | int | Decimal):
            return str(raw)
        raise ValueError("is not text")


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNo(FieldType):
    says: str = "yes or no"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if isinstance(raw, bool):
            return raw
        known = YES_NO.get(raw.casefold()) if isinstance(raw, str) else None
        if known is None:
            raise ValueError("is neither yes nor no")
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(FieldType):
    says: str = "a number"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if isinstance(raw, bool) or not isinstance(raw, int | float | str | Decimal):
            raise ValueError("is not a number")
        try:
            number = Decimal(repr(raw) if isinstance(raw, float) else raw)
        except InvalidOperation:
            raise ValueError("is not a number") from None
        if not number.is_finite():
            raise ValueError("is not a finite number")
        if (number and number.adjusted() >= DIGITS) or int(number.as_tuple().exponent) < -DECIMALS:
            raise ValueError(f"is beyond {DIGITS} digits, or {DECIMALS} decimals")
        return number

    def write(self, value: Value) -> Scalar:
        assert isinstance(value, Decimal)
        return format(value.normalize(), "f") if value else "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money(Number):
    says: str = "an amount of money"
    currency: str | None = None
    """None: the company's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Date(FieldType):
    says: str = "a date"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if isinstance(raw, str):
            try:
                if len(raw) == 10:
                    return date.fromisoformat(raw)
                if len(raw) > 10:  # a moment: its local day
                    moment = datetime.fromisoformat(raw)
                    return (moment.astimezone(zone) if moment.tzinfo else moment).date()
            except (ValueError, OverflowError):
                pass
        raise ValueError("is not a date like 2027-01-07")

    def write(self, value: Value) -> Scalar:
        assert isinstance(value, date)
        return value.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class DateTime(FieldType):
    says: str = "a date with time"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if isinstance(raw, str) and len(raw) >= 10:
            try:
                moment = datetime.fromisoformat(raw)
                return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
            except (ValueError, OverflowError):
                pass
        raise ValueError("is not a moment like 2027-01-07T14:30:00+01:00")

    def write(self, value: Value) -> Scalar:
        assert isinstance(value, datetime)
        return value.astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum(FieldType):
    says: str = "one of a few values"
    values: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if isinstance(raw, str) and raw in self.values:
            return raw
        help_ = suggestion(str(raw), self.values)
        raise ValueError(f"is not one of its values ({help_})" if help_ else "is not one of its values")

    def members(self, word: str) -> tuple[str, ...]:
        """The values a word stands for: a group's members, or the value itself. Empty: neither."""
        if word in self.groups:
            return self.groups[word]
        return (word,) if word in self.values else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref(Text):
    says: str = "a reference"
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record. `fields` includes the implicit ones: id, and customer (or name and owner)."""

    name: str
    fields: Mapping[str, FieldType]
    derived: Set[str] = frozenset()  # those of the fields that are worked out, never recorded


IMPLICIT: Mapping[str, FieldType] = {"id": Text(), "customer": Ref(kind=CUSTOMER)}
IMPLICIT_CUSTOMER: Mapping[str, FieldType] = {"id": Text(), "name": Text(), "owner": Ref(kind=USER)}


def implicit(kind: str) -> dict[str, FieldType]:
    """The fields that every record of a kind has."""
    return dict(IMPLICIT_CUSTOMER if kind == CUSTOMER else IMPLICIT)


USER_FIELDS: Mapping[str, FieldType] = {
    name: Text() for name in ("id", "name", "email", "manager", "team", "language", "timezone", "office", "chat")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """A value that the model refuses: `message` is a whole sentence."""

    field: str
    value: object
    message: str


class Unreadable(Exception):
    """A dossier whose data cannot be read; the message says which value and why."""


@dataclass(slots=True, kw_only=True)
class Facts:
    """A dossier read through the model, as it stands at a moment: for each kind its records with typed values.

    Derived and classified fields are there like recorded ones. `recorded` is the same without those that time alone
    may change; `moments` are the readings of this dossier at other moments that were asked for. `courses` holds what a
    field is at every moment, by (kind, field, place of the record), and `edges` when a condition flips for any record,
    by the condition's identity: both are the same at every moment.
    """

    dossier: Dossier
    at: At
    people: People
    of: dict[str, list[Fact]]
    recorded: dict[str, list[Fact]]
    courses: dict[tuple[str, str, int], Course] = field(
        default_factory=dict[tuple[str, str, int], "Course"], repr=False
    )
    edges: dict[int, Sequence[datetime]] = field(default_factory=dict[int, Sequence[datetime]], repr=False)
    moments: dict[datetime, Facts] = field(default_factory=dict[datetime, "Facts"], repr=False)
    index: dict[str, dict[Value, Fact]] = field(default_factory=dict[str, dict[Value, Fact]], repr=False)

    @property
    def customer(self) -> Fact | None:
        return next(iter(self.of.get(CUSTOMER, ())), None)

    def owner(self, this: Fact) -> str | None:
        """Who looks after a record: its own owner where it has one, else the customer's."""
        owner = this.get("owner") or (self.customer or {}).get("owner")
        return str(owner) if owner is not None else None

    def find(self, kind: str, id_: Value | None) -> Fact | None:
        """The record of this dossier that a ref names, if it is known."""
        if id_ is None:
            return None
        by_id = self.index.get(kind)
        if by_id is None:
            by_id = self.index[kind] = {fact["id"]: fact for fact in self.of.get(kind, ())}
        return by_id.get(id_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """All kinds. `zone` is the company's: a moment without a zone is read in it."""

    kinds: Mapping[str, Kind]
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    readers: Mapping[str, Mapping[str, Reader]] = field(default_factory=dict[str, Mapping[str, Reader]])

    @classmethod
    def of(
        cls, fields: Mapping[str, Mapping[str, FieldType]], zone: ZoneInfo, *, derived: Set[FieldKey] = frozenset()
    ) -> Model:
        """A model from the fields of each kind; the implicit ones are added."""
        kinds = {
            name: Kind(
                name=name,
                fields=implicit(name) | dict(own),
                derived=frozenset(f for k, f in derived if k == name),
            )
            for name, own in ({CUSTOMER: {}} | dict(fields)).items()
        }
        remembered: dict[object, dict[str, Value]] = {}

        def reader(type_: FieldType) -> Reader:
            """Fields of one type remember together; each enum has values of its own."""
            if isinstance(type_, Text):
                return Reader(partial(type_.read, zone=zone), None)
            known = remembered.setdefault(id(type_) if isinstance(type_, Enum) else type(type_), {})
            return Reader(partial(type_.read, zone=zone), known)

        readers = {
            name: {f: reader(t) for f, t in kind.fields.items() if f not in kind.derived}
            for name, kind in kinds.items()
        }
        return cls(kinds=kinds, zone=zone, readers=readers)

    def canonical(self, kind: str, raw: Mapping[str, object]) -> tuple[dict[str, Scalar], list[FieldProblem]]:
        """Raw values in the form in which they are recorded, and what had to be left out.

        Raises KeyError: no such kind.
        """
        fields = self.kinds[kind].fields
        kept: dict[str, Scalar] = {}
        refused: list[FieldProblem] = []
        for name, value in raw.items():
            if value is None or value == "":
                continue
            type_ = fields.get(name)
            if type_ is None:
                help_ = suggestion(name, fields)
                refused.append(
                    FieldProblem(
                        field=name,
                        value=value,
                        message=f'{kind} has no field "{name}"' + (f": {help_}" if help_ else ""),
                    )
                )
                continue
            if name in self.kinds[kind].derived:
                message = f"{name} of {kind} is derived, it cannot be recorded"
                refused.append(FieldProblem(field=name, value=value, message=message))
                continue
            try:
                kept[name] = type_.write(type_.read(value, self.zone))
            except ValueError as refusal:
                refused.append(FieldProblem(field=name, value=value, message=f'{name}: "{value}" {refusal}'))
        return kept, refused

    def read(self, dossier: Dossier) -> dict[str, list[Fact]]:
        """Typed values of every record of a known kind, by kind. Raises `Unreadable`."""
        of: dict[str, list[Fact]] = {}
        for record in dossier.records:
            readers = self.readers.get(record.kind)
            if readers is not None:
                of.setdefault(record.kind, []).append(_fact(record, readers))
        if CUSTOMER not in of and dossier.records and all(r.customer is not None for r in dossier.records):
            # Known by its records alone: a customer all the same, with everything else missing.
            of[CUSTOMER] = [{"id": dossier.id}]
        return of


def _fact(record: Record, readers: Mapping[str, Reader]) -> Fact:
    fact: Fact = {"id": record.id}
    if record.customer is not None and record.kind != CUSTOMER:
        fact["customer"] = record.customer
    for name, raw in record.fields.items():
        reader = readers.get(name)
        if reader is None or raw == "":
            continue
        value: Value | None = None
        if type(raw) is str:
            value = raw if reader.known is None else reader.known.get(raw)
        if value is None:
            try:
                value = reader.remember(raw)
            except ValueError as refusal:
                raise Unreadable(f'{record.ref}: {name} "{raw}" {refusal}') from None
        fact[name] = value
    return fact
