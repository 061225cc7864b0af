"""What is known of a customer: records, and the dossier that holds them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

CUSTOMER = "customer"  # the one kind every model has

Scalar: TypeAlias = str | bool | int | Decimal
"""A field as recorded: JSON's scalars, numbers exact. A missing field is absent, never None."""

Fields: TypeAlias = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RecordRef:
    """Names one record: its kind and its id within that kind."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record as it was written. `customer` is None for a customer itself, and while nobody knows whose it is."""

    kind: str
    id: str
    customer: str | None
    fields: Fields

    @property
    def ref(self) -> RecordRef:
        return RecordRef(kind=self.kind, id=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A customer with all its records.

    `id` is the customer's id, or `kind/id` of a record that has no customer: such a record is a dossier
    of its own, so that nothing is dropped and rules over its fields still decide.
    """

    id: str
    records: tuple[Record, ...]

    @property
    def customer(self) -> Record | None:
        return next((r for r in self.records if r.kind == CUSTOMER), None)

    @property
    def name(self) -> str:
        """What people call the customer, or the one record that has none; the id where no name is known."""
        named = self.customer or (self.records[0] if len(self.records) == 1 else None)
        if named is None:
            return self.id
        return str(named.fields.get("name", named.id if named.kind == CUSTOMER else named.ref))

    def record(self, ref: RecordRef) -> Record | None:
        return next((r for r in self.records if r.kind == ref.kind and r.id == ref.id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A dossier as it was at a moment, and as each later write left it, in order of time."""

    dossier: Dossier
    changes: tuple[tuple[datetime, Dossier], ...] = ()


def dossier_id(record: Record) -> str:
    """The dossier a record belongs to."""
    if record.kind == CUSTOMER:
        return record.id
    return record.customer if record.customer is not None else f"{record.kind}/{record.id}"
