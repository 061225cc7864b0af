"""Rows into records and people, each with what was found wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.person import Person
from domain.record import Record, Scalar
from rules.mapping.fold import Conflict, Making
from rules.mapping.values import Column, Reading, Row, plain
from rules.model import USER_FIELDS, FieldType, Text, Value
from rules.problems import Place, Severity

PERSON = "person"
Entity: TypeAlias = Record | Person

ID_CHARACTERS = 200
SHOWN_CHARACTERS = 200  # of a value in a finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Id(Text):
    says: str = "an id"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        text = str(raw)
        if len(text) > ID_CHARACTERS or not text.isprintable():
            raise ValueError(f"is no id: those are a line of at most {ID_CHARACTERS} characters")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Email(Text):
    says: str = "an e-mail address"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", str(raw)):
            raise ValueError("is not an e-mail address")
        return str(raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeZone(Text):
    says: str = "a time zone"

    def read(self, raw: object, zone: ZoneInfo) -> Value:
        try:
            return ZoneInfo(str(raw)).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is not a time zone like Europe/Zurich") from None


PERSON_FIELDS: Mapping[str, FieldType] = {**USER_FIELDS, "email": Email(), "timezone": TimeZone()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with a line. An error: the row was left out. A warning: a field was, or rows contradict."""

    line: int
    severity: Severity
    kind: str = ""
    id: str = ""
    field: str = ""
    value: str = ""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlan:
    """A field to be read. Problems reject the row, unless the field may then be `left_out`."""

    name: str
    reading: Reading
    type: FieldType
    required: bool = False
    left_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A row counts only when this column is empty, is filled, or holds one of the values."""

    column: Column
    wanted: frozenset[str]

    def holds(self, row: Row, empty: frozenset[str]) -> bool:
        filled = self.column.is_filled(row, empty)
        return ("present" if filled else "missing") in self.wanted or plain(self.column.of(row)) in self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    how: Mapping[str, str]
    may_differ: frozenset[str]
    counts: tuple[str, ...]
    """Fields that count rows, or with a column of their own the rows that fill it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlan:
    """How one record is made of a row. `fields` begins with the id; `customer` is one of them."""

    kind: str
    fields: tuple[FieldPlan, ...]
    types: Mapping[str, FieldType]
    when: tuple[Condition, ...] = ()
    in_order: tuple[str, ...] = ()
    fold: FoldPlan | None = None

    def entity(self, values: Mapping[str, Value]) -> Entity:
        written = {name: self.types[name].write(value) for name, value in values.items()}
        if self.kind == PERSON:
            return Person(**cast("dict[str, Any]", written))
        id_, customer = str(written.pop("id")), written.pop("customer", None)
        return Record(kind=self.kind, id=id_, customer=cast("str | None", customer), fields=written)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMap:
    """A checked mapping file. `columns`: where in it each column is first named."""

    title: str
    encoding: str
    delimiter: str | None
    empty: frozenset[str]
    plans: tuple[RecordPlan, ...]
    columns: Mapping[str, Place]
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one row, or one folded record, gave."""

    entities: list[Entity] = field(default_factory=list[Entity])
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def rejected(self) -> bool:
        return any(finding.severity is Severity.ERROR for finding in self.findings)


class Rows:
    """Takes the rows of a file in order. Of folded records it holds a state for each id, never the rows."""

    def __init__(self, map_: ImportMap) -> None:
        self.map = map_
        self.making: list[dict[Value, Making]] = [{} for _ in map_.plans]

    def take(self, row: Row, *, line: int) -> Taken:
        """The records that this row makes by itself. One that is at fault rejects them all."""
        taken = Taken()
        drafts: list[tuple[int, dict[str, Value]]] = []
        for index, plan in enumerate(self.map.plans):
            draft = _Draft(plan=plan, row=row, line=line, map=self.map)
            if draft.applies():
                drafts.append((index, draft.values()))
                taken.findings.extend(draft.findings)
        if taken.rejected:
            return taken
        for index, values in drafts:
            plan = self.map.plans[index]
            if plan.fold is None:
                taken.entities.append(plan.entity(values))
            else:
                self._fold(index, plan.fold, values, line)
        return taken

    def finish(self) -> Iterator[Taken]:
        """The folded records with their conflicts, in the order of the map, then of their first rows."""
        for plan, making in zip(self.map.plans, self.making, strict=True):
            for id_, made in making.items():
                assert plan.fold is not None
                findings = [_conflict(plan, str(id_), c) for c in made.conflicts(plan.fold.how)]
                yield Taken(entities=[plan.entity(made.values)], findings=findings)

    def _fold(self, index: int, fold: FoldPlan, values: dict[str, Value], line: int) -> None:
        made = self.making[index].setdefault(values["id"], Making())
        made.add(values, line=line, how=fold.how, may_differ=fold.may_differ)


@dataclass(slots=True, kw_only=True)
class _Draft:
    """One record of one row while it is read."""

    plan: RecordPlan
    row: Row
    line: int
    map: ImportMap
    id: str = ""
    findings: list[Finding] = field(default_factory=list[Finding])

    def applies(self) -> bool:
        try:
            return all(condition.holds(self.row, self.map.empty) for condition in self.plan.when)
        except ValueError:
            return True  # what cannot be read is then reported by its field

    def values(self) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for plan in self.plan.fields:
            value = self._read(plan)
            if value is not None:
                values[plan.name] = value
            if plan.name == "id":
                self.id = "" if value is None else str(value)
        for earlier, later in pairwise(name for name in self.plan.in_order if name in values):
            if cast("Decimal", values[later]) < cast("Decimal", values[earlier]):
                reason = f"{later} {self._shown(later, values)} comes before {earlier} {self._shown(earlier, values)}"
                self._found(later, self._shown(later, values), reason, Severity.WARNING)
        return values | self._counted(values)

    def _read(self, plan: FieldPlan) -> Value | None:
        severity = Severity.WARNING if plan.left_out else Severity.ERROR
        taken: object = None
        try:
            taken = plan.reading.take(self.row)
            cleaned = None if taken is None else plan.reading.clean(taken)
            if cleaned is not None:
                return plan.type.read(cleaned, self.map.zone)
            if plan.required:
                self._found(plan.name, "", f"{plan.name} is empty", severity)
        except ValueError as refusal:
            shown = "" if taken is None else f' "{_short(str(taken))}"'
            self._found(plan.name, "" if taken is None else taken, f"{plan.name}{shown} {refusal}", severity)
        return None

    def _counted(self, values: Mapping[str, Value]) -> dict[str, Value]:
        if self.plan.fold is None:
            return {}
        own = {plan.name for plan in self.plan.fields}
        return {name: Decimal(name not in own or name in values) for name in self.plan.fold.counts}

    def _shown(self, name: str, values: Mapping[str, Value]) -> Scalar:
        return self.plan.types[name].write(values[name])

    def _found(self, field_: str, value: object, reason: str, severity: Severity) -> None:
        self.findings.append(
            Finding(
                line=self.line,
                severity=severity,
                kind=self.plan.kind,
                id=self.id,
                field=field_,
                value=_short(str(value)),
                reason=reason,
            )
        )


def _conflict(plan: RecordPlan, id_: str, conflict: Conflict) -> Finding:
    write = plan.types[conflict.field].write
    said = ", ".join(f"{write(value)} (line {line})" for value, line in conflict.lines.items())
    kept = str(write(conflict.kept))
    return Finding(
        line=list(conflict.lines.values())[1],
        severity=Severity.WARNING,
        kind=plan.kind,
        id=id_,
        field=conflict.field,
        value=kept,
        reason=f"rows contradict each other: {said}; kept {kept} ({conflict.how})",
    )


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
