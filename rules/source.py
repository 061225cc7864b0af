"""YAML as it was written: every node knows its place, every scalar keeps its words.

libyaml reads the structure; what a plain scalar means is left to whoever knows the field's type, so `no`, `on`
and `4:30` stay what the author typed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from rules.problems import Place, Problems, suggestion

try:  # libyaml ships in PyYAML's wheels; the pure reader gives the same nodes, slower
    from yaml import CSafeLoader as Loader
except ImportError:  # pragma: no cover
    from yaml import SafeLoader as Loader


class _Nodes(Loader):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    """What a plain scalar means is decided by the field it stands for, so no tag is worked out."""

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        return ""


SIZE_LIMIT_BYTES = 4 * 1024 * 1024  # a rule file is written by hand; more is a mistake or an attack
DEPTH_LIMIT = 40
HARMLESS_DEPTH = 2_000  # composing this deep takes no process down; what is too deep is found afterwards
NODE_LIMIT = 200_000  # aliases of aliases would grow without end


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    text: str
    quoted: bool
    at: Place

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.text in ("", "~", "null", "Null", "NULL")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    items: tuple[Node, ...]
    at: Place

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    entries: tuple[tuple[Scalar, Node], ...]
    at: Place
    by_key: dict[str, Node] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries)

    def get(self, key: str) -> Node | None:
        return self.by_key.get(key)

    def key(self, name: str) -> Scalar:
        """The key itself, for its place. Raises KeyError."""
        return next((k for k, _ in self.entries if k.text == name), None) or _missing(name)

    def __str__(self) -> str:
        return f"{{{', '.join(f'{k}: {v}' for k, v in self.entries)}}}"


Node: TypeAlias = Scalar | Sequence | Mapping


def listed(node: Node | None) -> tuple[Node, ...]:
    """A list, or one thing where a list may stand."""
    match node:
        case None:
            return ()
        case Sequence():
            return node.items
        case Scalar() if node.is_null:
            return ()
        case _:
            return (node,)


def check_keys(node: Mapping, allowed: Collection[str], problems: Problems) -> None:
    """R001 for every key that means nothing here."""
    for key, _ in node:
        if key.text not in allowed:
            problems.error("R001", key.at, f'unknown key "{key.text}"', suggestion(key.text, allowed, shown=20))


def _missing(name: str) -> Scalar:
    raise KeyError(name)


def rule_files(path: Path) -> list[Path]:
    """The YAML files of a pack, in order of their names; a file is a pack of its own."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    return [path]


def read_file(path: Path, problems: Problems) -> list[Mapping]:
    """The documents of one file. What cannot be read is reported and left out."""
    start = Place(file=str(path), line=1, column=1, length=1, text="")
    try:
        raw = path.read_bytes()
    except OSError as failure:
        problems.error("Y001", start, f"cannot be read: {failure.strerror}", "name a YAML file or a folder of them")
        return []
    if len(raw) > SIZE_LIMIT_BYTES:
        problems.error("Y001", start, f"is larger than {SIZE_LIMIT_BYTES // 1024 // 1024} MB", "split the file")
        return []
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = raw.count(b"\n", 0, failure.start) + 1
        problems.error(
            "Y001",
            Place(file=str(path), line=line, column=1, length=1, text=""),
            f"is not UTF-8: byte {failure.start} is 0x{raw[failure.start]:02x}",
            "save the file as UTF-8",
        )
        return []
    return read_text(text, file=str(path), problems=problems)


def read_text(text: str, *, file: str, problems: Problems) -> list[Mapping]:
    """The documents in a text, in order. Every problem with its place."""
    return _Reader(text, file, problems).documents()


class _Reader:
    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self.text, self.file, self.problems = text, file, problems
        self.lines = text.splitlines()
        self.refused = False
        self.seen = 0

    def documents(self) -> list[Mapping]:
        found: list[Mapping] = []
        try:
            self.check_depth()
            for root in yaml.compose_all(self.text, Loader=_Nodes) if not self.refused else ():
                node = self.node(root, depth=0, parents=frozenset())
                if isinstance(node, Mapping) and not self.refused:
                    found.append(node)
                elif not (isinstance(node, Scalar) and node.is_null) and not self.refused:
                    self.problems.error(
                        "Y001", node.at, "is not a document", "a document starts with a key: rule, model, company, ..."
                    )
                self.refused = False
        except yaml.MarkedYAMLError as failure:
            mark = failure.problem_mark or failure.context_mark
            place = self.place(mark.line, mark.column, 1) if mark else self.place(0, 0, 1)
            if "nesting depth" in (failure.problem or ""):  # the scanner looks ahead of what was checked
                self.refuse(place)
                return found
            help_ = _yaml_help(failure, self.line(place.line - 1))
            self.problems.error("Y001", place, f"not YAML: {failure.problem or failure.context}", help_)
        except yaml.reader.ReaderError as failure:
            before = self.text.encode()[: failure.position].decode(errors="ignore").splitlines() or [""]
            place = self.place(len(before) - 1, len(before[-1]), 1)
            self.problems.error(
                "Y001", place, f"not YAML: {failure.reason}", "delete the character, or write an escape"
            )
        except (yaml.YAMLError, RecursionError, ValueError) as failure:
            self.problems.error(
                "Y001", self.place(0, 0, 1), f"not YAML: {_first_line(failure)}", "save it as UTF-8 text"
            )
        return found

    def check_depth(self) -> None:
        """Refuse what is nested too deeply before it is composed: that would take the whole process down."""
        # A level costs an opening bracket, or a column of indentation, which holds a list in a map at most.
        indented = max((len(line) - len(line.lstrip(" -?:")) for line in self.lines), default=0)
        if self.text.count("[") + self.text.count("{") + 2 * indented <= HARMLESS_DEPTH:
            return
        depth = 0
        with suppress(yaml.YAMLError):  # reported by the composer, with everything that stands before it
            for event in yaml.parse(self.text, Loader=Loader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > DEPTH_LIMIT:
                    self.refuse(self.at(event))
                    return

    def refuse(self, at: Place) -> None:
        if not self.refused:
            message = f"is nested deeper than {DEPTH_LIMIT} levels or expands without end"
            self.problems.error("Y001", at, message, "write it out flat")
        self.refused = True

    def node(self, raw: yaml.Node, *, depth: int, parents: frozenset[int]) -> Node:
        at = self.at(raw)
        self.seen += 1
        if depth > DEPTH_LIMIT or self.seen > NODE_LIMIT or id(raw) in parents:
            self.refuse(at)
            return Scalar(text="", quoted=False, at=at)
        if at.text[at.column - 1 : at.column] == "!":
            help_ = 'comparisons are words: "not active", "none of draft, active", "above 5"'
            self.problems.error("Y001", at, "a word with ! before it is a YAML tag", help_)
        if isinstance(raw, yaml.ScalarNode):
            if "\0" in raw.value:
                self.problems.error("Y001", at, "holds a null character", "delete it")
            return Scalar(text=str(raw.value).replace("\0", ""), quoted=bool(raw.style), at=at)
        inside = parents | {id(raw)}
        if isinstance(raw, yaml.MappingNode):
            return self.mapping(raw, at, depth, inside)
        assert isinstance(raw, yaml.SequenceNode)
        return Sequence(items=tuple(self.node(n, depth=depth + 1, parents=inside) for n in raw.value), at=at)

    def mapping(self, raw: yaml.MappingNode, at: Place, depth: int, parents: frozenset[int]) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        by_key: dict[str, Node] = {}
        for raw_key, raw_value in raw.value:
            key = self.node(raw_key, depth=depth + 1, parents=parents)
            if not isinstance(key, Scalar):
                self.problems.error("Y001", key.at, "a key must be a word, not a list or a map", "quote it")
                continue
            value = self.node(raw_value, depth=depth + 1, parents=parents)
            if key.text in by_key:
                self.problems.error(
                    "Y002",
                    key.at,
                    f'"{key.text}" stands here twice',
                    "keep one of the two; a list holds several values",
                )
                continue
            entries.append((key, value))
            by_key[key.text] = value
        return Mapping(entries=tuple(entries), at=at, by_key=by_key)

    def at(self, raw: yaml.Node | yaml.Event) -> Place:
        begin, end = raw.start_mark, raw.end_mark
        length = end.column - begin.column if end.line == begin.line else len(self.line(begin.line)) - begin.column
        return self.place(begin.line, begin.column, length)

    def place(self, line: int, column: int, length: int) -> Place:
        """Lines and columns count from 0 here. What YAML misses behind the last line is missing at its end."""
        if line >= len(self.lines) > 0:
            line, column = len(self.lines) - 1, len(self.lines[-1])
        return Place(file=self.file, line=line + 1, column=column + 1, length=max(length, 1), text=self.line(line))

    def line(self, index: int) -> str:
        return self.lines[index] if index < len(self.lines) else ""


def _yaml_help(failure: yaml.MarkedYAMLError, line: str) -> str | None:
    if "block scalar" in (failure.context or ""):
        return 'comparisons are words: "above 5", "at least 5"'
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces; YAML takes no tabs"
    if "mapping values are not allowed" in (failure.problem or ""):
        return 'a value that contains ": " needs quotes around it'
    if "alias" in (failure.problem or ""):
        return "write the value out, or put quotes around it"
    return "check the indentation, brackets and quotes here and on the line above"


def _first_line(failure: Exception) -> str:
    return str(failure).splitlines()[0] if str(failure) else type(failure).__name__
