"""A mapping file against the model: every problem in one pass, each with its place and a way out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from domain.record import CUSTOMER
from rules import source
from rules.mapping.fold import FOLDS
from rules.mapping.rows import PERSON, PERSON_FIELDS, Condition, FieldPlan, FoldPlan, Id, ImportMap, RecordPlan
from rules.mapping.spec import MapSpec, RecordSpec, Spec, ValueSpec
from rules.mapping.values import CASES, Column, Reading, dates, numbers
from rules.model import Date, DateTime, FieldType, Model, Number, Text
from rules.problems import BadRules, Place, Problems, suggestion

Trail: TypeAlias = tuple[str | int, ...]

ORDERED = (Number, Date, DateTime)
PERSON_NEEDS = ("name", "email")
SHIPPED = Path(__file__).parent / "shipped"


class BadMapping(BadRules):
    """The mapping file has errors, or does not fit the file it is to read; `problems` lists every one of them."""


class UnknownMap(Exception):
    """There is neither a file nor a map of ours of this name; the message lists ours."""


def shipped() -> dict[str, Path]:
    """The maps that come along, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find(named: str) -> Path:
    """A mapping file, by its path or by the name of one that comes along. Raises `UnknownMap`."""
    ours = shipped()
    path = ours.get(named, Path(named))
    if not path.exists():
        raise UnknownMap(f'there is no file "{named}", and no map of this name; there are: {", ".join(ours)}')
    return path


def load(path: Path, model: Model) -> ImportMap:
    """Read and check a mapping file. Raises `BadMapping`."""
    problems = Problems()
    documents = source.read_file(path, problems)
    if not problems and len(documents) != 1:
        start = Place(file=str(path), line=1, column=1, length=1, text="")
        problems.error("Y001", start, f"holds {len(documents)} documents", "a mapping file is one document: map: ...")
    if problems:
        raise BadMapping(problems)
    root = documents[0]
    try:
        spec = MapSpec.model_validate(_plain(root))
    except ValidationError as failure:
        for error in failure.errors():
            _report(error, root, problems)
        raise BadMapping(problems) from None
    loaded = _Loader(root=root, spec=spec, model=model, problems=problems).load()
    if problems:
        raise BadMapping(problems)
    return loaded


def check_columns(map_: ImportMap, header: Sequence[str], *, file: str) -> None:
    """Every column that the map names must be there, once. Raises `BadMapping`."""
    problems = Problems()
    found = Counter(header)
    for column, place in map_.columns.items():
        if found[column] == 0:
            problems.error("M101", place, f'{file} has no column "{column}"', suggestion(column, found, shown=20))
        elif found[column] > 1:
            problems.error(
                "M102", place, f'{file} has {found[column]} columns "{column}"', "name them differently there"
            )
    if problems:
        raise BadMapping(problems)


@dataclass(slots=True, kw_only=True)
class _Loader:
    """Makes plans of a spec. `path` says where in the file a problem stands."""

    root: source.Node
    spec: MapSpec
    model: Model
    problems: Problems
    columns: dict[str, Place] = field(default_factory=dict[str, Place])

    def load(self) -> ImportMap:
        if not _is_encoding(self.spec.encoding):
            self.error("R201", ("encoding",), f'no encoding "{self.spec.encoding}"', "as in utf-8, cp1252, utf-16")
        plans = [self.record(("records", i), spec) for i, spec in enumerate(self.spec.records)]
        return ImportMap(
            title=self.spec.map,
            encoding=self.spec.encoding,
            delimiter=self.spec.delimiter,
            empty=frozenset(["", *self.spec.empty]),
            plans=tuple(plan for plan in plans if plan is not None),
            columns=self.columns,
            zone=self.model.zone,
        )

    def record(self, at: Trail, spec: RecordSpec) -> RecordPlan | None:
        known = [*self.model.kinds, PERSON]
        if spec.kind not in known:
            self.error("R100", (*at, "kind"), f'no kind "{spec.kind}"', suggestion(spec.kind, known))
            return None
        types = PERSON_FIELDS if spec.kind == PERSON else self.model.kinds[spec.kind].fields
        owned = "customer" in types and spec.kind != CUSTOMER
        if spec.customer and not owned:
            self.error("R001", (*at, "customer"), f"a {spec.kind} belongs to no customer", "remove this key")
        for name in PERSON_NEEDS if spec.kind == PERSON else ():
            if name not in spec.fields:
                self.error("R002", (*at, "kind"), f'field "{name}" is missing', "a person has a name and an email")
        allowed = [name for name in types if name not in ("id", "customer")]
        fold = self.fold(at, spec, types, allowed)
        self.in_order(at, spec, types, allowed)
        fields = [self.field((*at, "id"), "id", spec.id, Id(), required=True)]
        if spec.customer and owned:
            fields.append(self.field((*at, "customer"), "customer", spec.customer, Id()))
        for name, value in spec.fields.items():
            if self.field_known((*at, "fields", name), spec.kind, name, allowed):
                type_ = Text() if fold and name in fold.counts else types[name]
                required = spec.kind == PERSON and name in PERSON_NEEDS
                fields.append(self.field((*at, "fields", name), name, value, type_, required=required))
        return RecordPlan(
            kind=spec.kind,
            fields=tuple(fields),
            types=types,
            when=tuple(self.condition((*at, "when", column), column, wanted) for column, wanted in spec.when.items()),
            in_order=tuple(spec.in_order),
            fold=fold,
        )

    def field(self, at: Trail, name: str, spec: ValueSpec, type_: FieldType, *, required: bool = False) -> FieldPlan:
        left_out = spec.on_error == "missing"
        if left_out and required:
            self.error(
                "R201", (*at, "on error"), f"{name} cannot be left out", "remove `on error`: the row is rejected"
            )
        return FieldPlan(
            name=name,
            reading=self.reading(at, spec, type_),
            type=type_,
            required=required or spec.required,
            left_out=left_out,
        )

    def reading(self, at: Trail, spec: ValueSpec, type_: FieldType) -> Reading:
        examples = self.spec.dates if spec.dates is None else spec.dates
        parse: Callable[[str], str] = str
        if spec.constant is None and isinstance(type_, Number):
            parse = numbers(spec.numbers or self.spec.numbers)
        elif spec.constant is None and isinstance(type_, Date | DateTime) and examples:
            parse = dates(examples)
        reading = Reading(
            parts=tuple(self.parts(at, spec)),
            empty=frozenset(["", *(self.spec.empty if spec.empty is None else spec.empty)]),
            replace=tuple(spec.replace.items()),
            case=CASES[spec.case] if spec.case else str,
            values=spec.values,
            parse=parse,
        )
        if spec.constant is not None:
            self.constant((*at, "constant"), reading, type_)
        return reading

    def parts(self, at: Trail, spec: ValueSpec) -> Iterable[str | Column]:
        if spec.constant is not None:
            yield spec.constant
        elif spec.column is not None:
            yield self.column((*at, "column"), spec.column)
        else:
            # Splitting by a group gives text and column in turn.
            for index, part in enumerate(re.split(r"\{([^{}]*)\}", cast("str", spec.template))):
                if index % 2:
                    yield self.column((*at, "template"), part)
                elif part:
                    yield part

    def constant(self, at: Trail, reading: Reading, type_: FieldType) -> None:
        text = reading.clean(reading.take({}))
        try:
            if text is not None:
                type_.read(text, self.model.zone)
        except ValueError as refusal:
            self.error("R201", at, f'"{text}" {refusal}')

    def condition(self, at: Trail, column: str, wanted: list[str]) -> Condition:
        return Condition(column=self.column(at, column), wanted=frozenset(wanted))

    def column(self, at: Trail, name: str) -> Column:
        self.columns.setdefault(name, self.place(at))
        return Column(name=name)

    def fold(
        self, at: Trail, spec: RecordSpec, types: Mapping[str, FieldType], allowed: Collection[str]
    ) -> FoldPlan | None:
        if spec.fold is None:
            if spec.may_differ:
                self.error("R001", (*at, "may differ"), "one row makes one record here", "say `fold:` as well")
            return None
        foldable = [*allowed, *(["customer"] if spec.customer else [])]
        for name, how in spec.fold.items():
            where = (*at, "fold", name)
            if not self.field_known(where, spec.kind, name, foldable):
                continue
            if FOLDS[how].adds and not isinstance(types[name], Number):
                self.error("R203", where, f"{how} gives a number; {name} is {types[name].says}")
            elif how in ("min", "max") and not isinstance(types[name], ORDERED):
                self.error("R203", where, f"{name} is {types[name].says}, it has no {how}", "say first or last")
            elif how != "count" and name not in spec.fields and name != "customer":
                self.error("R002", where, f"no value for {name} under `fields`", "name its column there")
        for name in spec.may_differ:
            self.field_known((*at, "may differ"), spec.kind, name, foldable)
        return FoldPlan(
            how=spec.fold,
            may_differ=frozenset(spec.may_differ),
            counts=tuple(name for name, how in spec.fold.items() if how == "count"),
        )

    def in_order(self, at: Trail, spec: RecordSpec, types: Mapping[str, FieldType], allowed: Collection[str]) -> None:
        where = (*at, "in order")
        known = [self.field_known(where, spec.kind, name, allowed) for name in spec.in_order]
        if not (known and all(known)):
            return
        kinds = {next((t for t in ORDERED if isinstance(types[name], t)), None) for name in spec.in_order}
        if len(spec.in_order) == 1 or len(kinds) > 1 or None in kinds:
            self.error(
                "R203", where, "only numbers, or dates, or moments have an order", "name two or more of one type"
            )

    def field_known(self, at: Trail, kind: str, name: str, allowed: Collection[str]) -> bool:
        if name in allowed:
            return True
        beside = "it stands beside `fields`" if name in ("id", "customer") else None
        self.error("R101", at, f'{kind} has no field "{name}"', beside or suggestion(name, allowed), key=True)
        return False

    def place(self, path: Trail, *, key: bool = False) -> Place:
        return _place(self.root, path, key=key)

    def error(self, code: str, at: Trail, message: str, help_: str | None = None, *, key: bool = False) -> None:
        self.problems.error(code, self.place(at, key=key), message, help_)


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except LookupError:
        return False
    return True


def _plain(node: source.Node) -> object:
    match node:
        case source.Scalar():
            return None if node.is_null else node.text
        case source.Sequence():
            return [_plain(item) for item in node]
        case source.Mapping():
            return {key.text: _plain(value) for key, value in node}


def _place(node: source.Node, path: Trail, *, key: bool) -> Place:
    """Where the file says what `path` leads to; of a short form the whole value."""
    for step, last in ((step, index == len(path) - 1) for index, step in enumerate(path)):
        if isinstance(node, source.Mapping) and step in node.by_key:
            if last and key:
                return node.key(str(step)).at
            node = node.by_key[str(step)]
        elif isinstance(node, source.Sequence) and isinstance(step, int):
            node = node.items[step]
        else:
            break
    return node.at


# The spec that stands at a depth of the file: records/0 is a RecordSpec, anything deeper a ValueSpec.
SPECS: Mapping[int, type[Spec]] = {0: MapSpec, 2: RecordSpec}


def _report(error: ErrorDetails, root: source.Node, problems: Problems) -> None:
    path = error["loc"]
    name = str(path[-1]) if path else "map"
    match error["type"]:
        case "extra_forbidden":
            spec = SPECS.get(len(path) - 1, ValueSpec)
            allowed = [info.alias or key for key, info in spec.model_fields.items()]
            place = _place(root, path, key=True)
            problems.error("R001", place, f'unknown key "{name}"', suggestion(name, allowed, shown=20))
        case "missing":
            problems.error("R002", _place(root, path, key=False), f'key "{name}" is missing')
        case "value_error":
            message = str(error.get("ctx", {}).get("error", error["msg"]))
            problems.error("R201", _place(root, path, key=False), message)
        case _:
            problems.error("R201", _place(root, path, key=False), error["msg"])
