"""Fields that are worked out instead of recorded: sums, counts, extremes and arithmetic, as an author wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from rules.conditions import ConditionReader, Fields
from rules.model import Date, DateTime, FieldKey, FieldType, Model, Money, Number
from rules.problems import Problems, suggestion
from rules.rule import Aggregate, Arithmetic, Derived, Link, Relation
from rules.source import Mapping as MappingNode
from rules.source import Node, Scalar, Sequence, check_keys

ARITHMETIC = ("add", "subtract", "multiply", "divide")
TAKES: Mapping[str, tuple[type[FieldType], ...]] = {
    "sum": (Number,),
    "min": (Number, Date, DateTime),
    "max": (Number, Date, DateTime),
    "latest": (Date, DateTime),
}
AGGREGATES = ("count", *TAKES)
WAYS = (*AGGREGATES, *ARITHMETIC)
OPERANDS_MAX = 100  # Python nests no expression deeper than 200
ROUND = Number(says="worked out from itself")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
Written: TypeAlias = tuple[Scalar, MappingNode]
"""(the field's name, what was written for it)"""


def is_derived(node: Node) -> bool:
    """Whether a field's type is a way to work it out."""
    return isinstance(node, MappingNode) and any(node.get(way) is not None for way in WAYS)


@dataclass(slots=True, kw_only=True)
class DerivedTypes:
    """Which type each derived field results in. `fields`: kind -> field -> type, recorded and implicit ones.

    Finding a type reports everything that is wrong with a field but for its `where`. `currency` is the company's.
    """

    written: Mapping[FieldKey, Written]
    fields: Mapping[str, Mapping[str, FieldType]]
    currency: str
    problems: Problems
    _types: dict[FieldKey, FieldType] = field(default_factory=dict[FieldKey, FieldType])

    def found(self) -> Mapping[FieldKey, FieldType]:
        for kind, name in self.written:
            self._of(kind, name)
        return self._types

    def _of(self, kind: str, name: str) -> FieldType | None:
        """None: there is no such field."""
        key = (kind, name)
        if key not in self.written:
            return self.fields.get(kind, {}).get(name)
        if key not in self._types:
            self._types[key] = ROUND  # what a circle sees of itself; the circle is reported where all are
            way, node = next((way, n) for way in WAYS if (n := self.written[key][1].get(way)) is not None)
            found = self._arithmetic(kind, way, node) if way in ARITHMETIC else self._aggregate(way, node)
            self._types[key] = found or Number()
        return self._types[key]

    def _aggregate(self, way: str, node: Node) -> FieldType | None:
        kind, dot, name = str(node).partition(".")
        if not isinstance(node, Scalar) or bool(dot) is (way == "count"):
            example = "{count: complaint}" if way == "count" else f"{{{way}: invoice.amount}}"
            self.problems.error("R103", node.at, f'"{node}" is nothing to {way}', f"as in {example}")
            return None
        if kind not in self.fields:
            self.problems.error("R100", node.at.within(kind), f'no kind "{kind}"', suggestion(kind, self.fields))
            return None
        if way == "count":
            return Number()
        type_ = self._of(kind, name)
        if type_ is None:
            help_ = suggestion(name, self.fields[kind])
            self.problems.error("R101", node.at.within(name), f'{kind} has no field "{name}"', help_)
        elif type_ is ROUND:
            return None
        elif not isinstance(type_, TAKES[way]):
            wanted = " or ".join(t().says for t in TAKES[way])
            fitting = [f for f, t in self.fields[kind].items() if isinstance(t, TAKES[way])]
            help_ = suggestion(name, fitting) or f"{kind} has no such field"
            self.problems.error("R203", node.at, f"{way} takes {wanted}, but {node} is {type_.says}", help_)
            return None
        return type_

    def _arithmetic(self, kind: str, way: str, node: Node) -> FieldType | None:
        if not isinstance(node, Sequence) or len(node.items) < 2:
            message, way_out = f"{way} takes a list of fields", f"as in {{{way}: [revenue_12m, cost_12m]}}"
            self.problems.error("R103", node.at, message, way_out)
            return None
        if len(node.items) > OPERANDS_MAX:
            message = f"{way} takes at most {OPERANDS_MAX} fields"
            self.problems.error("R103", node.at, message, "derive a field from some of them, and this one from that")
            return None
        types = [self._operand(kind, item) for item in node.items]
        amounts = [t for t in types if isinstance(t, Money)]
        if len({t.currency or self.currency for t in amounts}) > 1 or (way == "multiply" and len(amounts) > 1):
            message = "these amounts have different currencies" if way != "multiply" else "amounts of money multiplied"
            self.problems.error("R203", node.at, message, "name fields whose values belong together")
        if not amounts or (way == "divide" and isinstance(types[1], Money)):
            return Number()
        return amounts[0]

    def _operand(self, kind: str, node: Node) -> FieldType | None:
        if not isinstance(node, Scalar) or not NUMBER.fullmatch(node.text):
            *refs, name = str(node).removeprefix(f"{kind}.").split(".")
            for ref in refs:
                kind = getattr(self._of(kind, ref), "kind", "")
            type_ = self._of(kind, name)
            if type_ is not None and type_ is not ROUND and not isinstance(type_, Number):
                self.problems.error("R203", node.at, f"{node} is {type_.says}", "name a number or an amount")
            return type_
        return Number()


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedReader:
    """Reads how derived fields are worked out, once every field has its type."""

    written: Mapping[FieldKey, Written]
    model: Model
    zone: ZoneInfo
    problems: Problems

    def read(self) -> Iterator[Derived]:
        for (kind, name), (at, node) in self.written.items():
            way, what = next((way, n) for way in WAYS if (n := node.get(way)) is not None)
            how = (self._arithmetic if way in ARITHMETIC else self._aggregate)(kind, way, what, node)
            if how is not None:
                yield Derived(kind=kind, field=name, how=how, words=str(node), place=at.at)

    def _aggregate(self, kind: str, way: str, what: Node, node: MappingNode) -> Aggregate | None:
        check_keys(node, (way, "where"), self.problems)
        of, _, name = str(what).partition(".")
        if of not in self.model.kinds or (name and name not in self.model.kinds[of].fields):
            return None
        conditions = ConditionReader(fields=self._fields, kind=kind, zone=self.zone)
        where = node.get("where")
        over = conditions.where(of, where) if where else Relation(kind=of, ties=(), conditions=(), words=of)
        return Aggregate(way=way, field=name or None, over=over) if over else None

    def _arithmetic(self, kind: str, way: str, what: Node, node: MappingNode) -> Arithmetic | None:
        check_keys(node, (way,), self.problems)
        operands: list[Link | Decimal] = []
        for item in what.items if isinstance(what, Sequence) else ():
            if NUMBER.fullmatch(str(item)):
                operands.append(Decimal(str(item)))
            elif found := self._fields.link(kind, str(item), item.at, own_name=True):
                operands.append(found[0])
        return Arithmetic(way=way, operands=tuple(operands)) if len(operands) > 1 else None

    @property
    def _fields(self) -> Fields:
        return Fields(model=self.model, problems=self.problems)
