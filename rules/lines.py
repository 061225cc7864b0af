"""Dossiers as lines of JSON: the format of `relance evaluate` and `relance simulate`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from domain.record import CUSTOMER, Dossier, Record, Scalar

SPOILT = re.compile("[\udc80-\udcff]")  # what surrogateescape leaves of bytes that are not UTF-8
LINE_LIMIT_CHARACTERS = 16 * 1024 * 1024  # of one customer; a longer line is not a dossier


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that cannot be read. `customer` is None where not even that is known."""

    customer: str | None
    reason: str


def read_dossiers(lines: Iterable[str]) -> Iterator[tuple[int, Dossier | BadLine]]:
    """One dossier a line, with the line's number; empty lines are skipped. A bad line never stops the others."""
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        dossier = _read(line)
        if isinstance(dossier, Dossier):
            first = seen.setdefault(dossier.id, number)
            if first != number:
                dossier = BadLine(customer=dossier.id, reason=f"stands on line {first} already")
        yield number, dossier


def _read(line: str) -> Dossier | BadLine:
    customer: str | None = None
    try:
        if len(line) > LINE_LIMIT_CHARACTERS:
            raise ValueError(f"the line is longer than {LINE_LIMIT_CHARACTERS:,} characters")
        if not line.isascii() and SPOILT.search(line):
            raise ValueError("the line is not UTF-8")
        raw = json.loads(line, parse_float=Decimal, parse_constant=_refuse_constant)
        fields = _object(raw, "the line")
        known = _object(fields.get("customer") or {}, "customer")
        customer = _id(known, CUSTOMER) if known else None
        records = tuple(_records(customer, known, _object(fields.get("records") or {}, "records")))
        if customer is None and len(records) != 1:
            raise ValueError("a dossier without a customer holds exactly one record")
        return Dossier(id=customer or f"{records[0].kind}/{records[0].id}", records=records)
    except json.JSONDecodeError as failure:
        return BadLine(customer=None, reason=f"not JSON: {failure.msg} at column {failure.colno}")
    except (ValueError, RecursionError) as failure:
        return BadLine(customer=customer, reason=str(failure))


def _records(customer: str | None, known: dict[str, object], groups: dict[str, object]) -> Iterator[Record]:
    if customer is not None:
        yield Record(kind=CUSTOMER, id=customer, customer=None, fields=_fields(CUSTOMER, known))
    for kind, group in groups.items():
        if kind == CUSTOMER:
            raise ValueError("the customer stands beside `records`, not in it")
        if group is not None and not isinstance(group, list):
            raise ValueError(f"records.{kind} is not a list")
        ids: set[str] = set()
        for raw in cast(list[object], group or []):
            fields = _object(raw, f"a {kind}")
            id_ = _id(fields, kind)
            if id_ in ids:
                raise ValueError(f"{kind} {id_} stands here twice")
            ids.add(id_)
            yield Record(kind=kind, id=id_, customer=customer, fields=_fields(kind, fields))


def _object(raw: object, what: str) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise ValueError(f"{what} is not an object")
    return cast(dict[str, object], raw)


def _id(fields: dict[str, object], kind: str) -> str:
    id_ = fields.get("id")
    if isinstance(id_, bool) or not isinstance(id_, str | int) or id_ == "":
        raise ValueError(f"a {kind} has no id")
    return str(id_)


def _fields(kind: str, raw: dict[str, object]) -> dict[str, Scalar]:
    fields: dict[str, Scalar] = {}
    for name, value in raw.items():
        if value is None or name in ("id", "customer"):
            continue
        if not isinstance(value, str | bool | int | Decimal):
            raise ValueError(f"{kind}.{name} is not a single value")
        fields[name] = value
    return fields


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number")
