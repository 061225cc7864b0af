"""The condition tree of a rule: what `when`, `any of`, `with` and `unless` say, every problem with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from rules.model import FieldType, Model, Number, Ref
from rules.phrases import read_test
from rules.problems import Place, Problems, suggestion
from rules.rule import Condition, Link, Relation, Tie
from rules.source import Mapping, Node, Scalar, Sequence, listed

NO_LINKS = "it has none: name a field of the record itself"
SAME_TYPE = "tie by a field that both have of the same type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Finds fields by their dotted paths."""

    model: Model
    problems: Problems

    def link(self, kind: str, path: str, at: Place, *, own_name: bool = False) -> tuple[Link, FieldType] | None:
        """A dotted path from a record of a kind. `own_name`: `contract.line` on a contract means its own line."""
        parts = path.split(".")
        if own_name and len(parts) > 1 and parts[0] == kind and parts[0] not in self.model.kinds[kind].fields:
            parts = parts[1:]
        refs: list[tuple[str, str]] = []
        fields = self.model.kinds[kind].fields
        for part in parts[:-1]:
            type_ = fields.get(part)
            if not isinstance(type_, Ref) or type_.kind not in self.model.kinds:
                links = [f for f, t in fields.items() if isinstance(t, Ref) and t.kind in self.model.kinds]
                self.problems.error("R102", at, f'{kind} has no link "{part}"', suggestion(part, links) or NO_LINKS)
                return None
            refs.append((part, type_.kind))
            kind, fields = type_.kind, self.model.kinds[type_.kind].fields
        type_ = fields.get(parts[-1])
        if type_ is None:
            self.problems.error("R101", at, f'{kind} has no field "{parts[-1]}"', suggestion(parts[-1], fields))
            return None
        return Link(refs=tuple(refs), kind=kind, field=parts[-1]), type_


@dataclass(slots=True, kw_only=True)
class ConditionReader:
    """Reads the conditions and relations of a rule about one kind."""

    fields: Fields
    kind: str
    zone: ZoneInfo

    def when(self, node: Node | None) -> Iterator[Condition]:
        if node is None:
            return
        if not isinstance(node, Mapping):
            self._problem("R201", node.at, "`when` is a map", "as in when: {status: active}")
            return
        for key, value in node:
            condition = self._condition(self.kind, key, value)
            if condition:
                yield condition

    def any_of(self, node: Node | None) -> Iterator[tuple[Condition, ...]]:
        if node is not None and not (isinstance(node, Sequence) and node.items):
            self._problem(
                "R201", node.at, "`any of` is a list of maps", "as in any of: [{status: new}, {score: above 5}]"
            )
            return
        for item in listed(node):
            if isinstance(item, Mapping) and not item.entries:
                self._problem("R201", item.at, "an alternative is empty: it would always hold", "name a condition")
            yield tuple(self.when(item))

    def relations(self, node: Node | None) -> Iterator[Relation]:
        for item in listed(node):
            for key, value in item if isinstance(item, Mapping) else ():
                relation = self._relation(key, value)
                if relation:
                    yield relation
            if not isinstance(item, Mapping):
                self._problem("R201", item.at, "is not a relation", "as in - opportunity: {contract: this}")

    def where(self, kind: str, node: Node) -> Relation | None:
        """The records of a kind that a derived field is worked out from; they need no tie."""
        if not isinstance(node, Mapping):
            self._problem("R201", node.at, "`where` is a map", "as in where: {status: open}")
            return None
        ties, conditions = self._related(kind, node)
        return Relation(kind=kind, ties=ties, conditions=conditions, words=f"{kind}: {node}")

    def _relation(self, kind: Scalar, node: Node) -> Relation | None:
        if kind.text not in self.fields.model.kinds:
            self._problem("R100", kind.at, f'no kind "{kind}"', suggestion(kind.text, self.fields.model.kinds))
            return None
        if not isinstance(node, Mapping):
            self._problem("R201", node.at, "is not a relation", "as in opportunity: {contract: this, stage: open}")
            return None
        number = node.get("count")
        count = number and read_test(number, "count", Number(), zone=self.zone, problems=self.fields.problems)
        ties, conditions = self._related(kind.text, node, leave_out="count")
        if not ties and not any(isinstance(v, Scalar) and v.text in (Tie.THIS, Tie.SAME) for _, v in node):
            self._problem(
                "R301",
                kind.at,
                f"{kind} is not tied to the {self.kind}: it would count for every {self.kind}",
                f"add {self._tie_help(kind.text)}",
            )
            return None
        return Relation(kind=kind.text, ties=ties, conditions=conditions, count=count, words=f"{kind}: {node}")

    def _related(
        self, kind: str, node: Mapping, *, leave_out: str | None = None
    ) -> tuple[tuple[tuple[str, Tie], ...], tuple[Condition, ...]]:
        """(ties to the subject, conditions on the record itself)"""
        ties: list[tuple[str, Tie]] = []
        conditions: list[Condition] = []
        for key, value in node:
            if key.text == leave_out:
                continue
            if isinstance(value, Scalar) and value.text in (Tie.THIS, Tie.SAME):
                if self._tie(kind, key, Tie(value.text)):
                    ties.append((key.text, Tie(value.text)))
            elif condition := self._condition(kind, key, value):
                conditions.append(condition)
        return tuple(ties), tuple(conditions)

    def _tie(self, kind: str, field: Scalar, tie: Tie) -> bool:
        model = self.fields.model
        found = self.fields.link(kind, field.text, field.at)
        if found is None:
            return False
        type_ = found[1]
        if found[0].refs:
            self._problem("R301", field.at, "a tie is a field of the record itself", "name a field without dots")
            return False
        if tie is Tie.THIS and not (isinstance(type_, Ref) and type_.kind == self.kind):
            links = [f for f, t in model.kinds[kind].fields.items() if isinstance(t, Ref) and t.kind == self.kind]
            help_ = f"use {' or '.join(links)}" if links else "use `customer: same`"
            self._problem("R301", field.at, f"{field} of {kind} does not name a {self.kind}", help_)
            return False
        if {field.text} & (model.kinds[kind].derived | model.kinds[self.kind].derived):
            self._problem("R301", field.at, f"{field} is derived", "tie by a field that is recorded")
            return False
        own = model.kinds[self.kind].fields.get(field.text)
        if tie is Tie.SAME and own is None:
            help_ = suggestion(field.text, model.kinds[self.kind].fields)
            self._problem("R101", field.at, f'{self.kind} has no field "{field}" to be the same as', help_)
            return False
        if tie is Tie.SAME and own is not None and type(own) is not type(type_):
            self._problem("R203", field.at, f"{field} is {type_.says} here and {own.says} there", SAME_TYPE)
            return False
        return True

    def _tie_help(self, kind: str) -> str:
        fields = self.fields.model.kinds[kind].fields
        direct = [f for f, t in fields.items() if isinstance(t, Ref) and t.kind == self.kind]
        return " or ".join(f"`{f}: this`" for f in direct) if direct else "`customer: same`"

    def _condition(self, kind: str, key: Scalar, value: Node) -> Condition | None:
        if isinstance(value, Scalar) and not value.text and value.at.column == key.at.column + key.at.length:
            help_ = 'a comma begins a new key here: put quotes around "none of a, b"'
            self._problem("R101", key.at, f'{kind} has no field "{key}" without a test', help_)
            return None
        found = self.fields.link(kind, key.text, key.at)
        if found is None:
            return None
        link, type_ = found
        if isinstance(value, Scalar) and value.text in (Tie.THIS, Tie.SAME) and isinstance(type_, Ref):
            self._problem("R201", value.at, f'"{value}" belongs into a relation', "use it in `with` or `unless`")
            return None
        test = read_test(value, key.text, type_, zone=self.zone, problems=self.fields.problems)
        return Condition(link=link, type=type_, test=test, words=" ".join(str(value).split())) if test else None

    def _problem(self, code: str, at: Place, message: str, help_: str | None) -> None:
        self.fields.problems.error(code, at, message, help_)
