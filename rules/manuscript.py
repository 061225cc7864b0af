"""A YAML text as its author wrote it: every scalar in its own spelling, every comment beside what it is about."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import yaml

from rules.problems import Place
from rules.source import Loader, Mapping, Node, Scalar, Sequence

BLOCK_STYLES = ("|", ">")
NOWHERE = Place(file="", line=1, column=1, length=1, text="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A comment, or a blank line, whose text is empty."""

    text: str
    index: int  # of its first character in the text
    column: int
    gap: int | None = None  # columns between it and the words before it; None: a line of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    raw: str
    value: str
    style: str = ""  # as YAML has it: a quote, | or >; empty for plain words
    anchored: bool = False  # an alias, or what one may repeat: it means more than its words


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key with its value, or an item of a list."""

    key: Leaf | None
    value: Written
    above: tuple[str, ...] = ()  # comments, "" for a blank line
    beside: Remark | None = None
    below: tuple[str, ...] = ()  # deeper than the entry itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A map or a list. `flow`: between braces or brackets."""

    mapping: bool
    flow: bool
    anchor: str | None = None
    entries: tuple[Entry, ...]


Written: TypeAlias = Leaf | Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    root: Group
    below: tuple[str, ...]


def meaning(written: Written) -> Node:
    """The node of `rules.source` that it stands for, without its place."""
    if isinstance(written, Leaf):
        return Scalar(text=written.value, quoted=bool(written.style), at=NOWHERE)
    values = tuple(meaning(e.value) for e in written.entries)
    if not written.mapping:
        return Sequence(items=values, at=NOWHERE)
    keys = [Scalar(text=e.key.value, quoted=bool(e.key.style), at=NOWHERE) for e in written.entries if e.key]
    return Mapping(
        entries=tuple(zip(keys, values, strict=True)),
        at=NOWHERE,
        by_key={k.text: v for k, v in zip(keys, values, strict=True)},
    )


def is_bare(written: Written) -> bool:
    """Nothing but words: no comment, no anchor, no word over several lines."""
    if isinstance(written, Leaf):
        return not written.anchored and "\n" not in written.raw
    return written.anchor is None and all(
        not (any(e.above) or e.beside or e.below) and (e.key is None or is_bare(e.key)) and is_bare(e.value)
        for e in written.entries
    )


def stands(text: str, frame: str) -> bool:
    """Whether words mean themselves without quotes where a frame of YAML has an @."""
    try:
        plain, quoted = (_events(frame.replace("@", word)) for word in (text, json.dumps(text, ensure_ascii=False)))
    except yaml.YAMLError:
        return False
    return plain == quoted


def _events(text: str) -> list[tuple[type[yaml.Event], str | None]]:
    return [(type(event), getattr(event, "value", None)) for event in yaml.parse(text, Loader=Loader)]


def remarks(text: str) -> Iterator[Remark]:
    """The comments and blank lines, in order: what stands between the tokens. The text can be read as YAML."""
    end = 0
    for token in yaml.scan(text, Loader=Loader):
        lines = text[end : token.start_mark.index].split("\n")
        for number, line in enumerate(lines):
            alone = number > 0 or end == 0
            words = line.strip()
            if words or (alone and number < len(lines) - 1):
                index = end + line.find(words)
                column = index - (text.rfind("\n", 0, index) + 1)
                yield Remark(text=words, index=index, column=column, gap=None if alone else line.find(words))
            end += len(line) + 1
        end = token.end_mark.index
        if isinstance(token, yaml.ScalarToken) and token.style in BLOCK_STYLES:  # blank lines behind it are marked too
            end = token.start_mark.index + len(text[token.start_mark.index : end].rstrip())


class Reader:
    """Of a text that `rules.source` can read and whose lines end with a line feed alone."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.remarks = deque(remarks(text))
        self.events: deque[yaml.Event] = deque(yaml.parse(text, Loader=Loader))

    def documents(self) -> tuple[list[Document], tuple[str, ...]]:
        """The documents that say something, and the comments behind them."""
        found: list[Document] = []
        while not isinstance(self.events[0], yaml.StreamEndEvent):
            event = self.events.popleft()
            if isinstance(event, yaml.CollectionStartEvent):
                root, _ = self.group(event)
                found.append(Document(root=root, below=self.below(-1)))
        return found, self.below(-1)

    def written(self, event: yaml.Event) -> tuple[Written, int]:
        """What begins with an event, and where it ends in the text."""
        if isinstance(event, yaml.CollectionStartEvent):
            return self.group(event)
        return self.leaf(event), event.end_mark.index

    def leaf(self, event: yaml.Event) -> Leaf:
        raw = self.text[event.start_mark.index : event.end_mark.index]
        if isinstance(event, yaml.ScalarEvent):
            return Leaf(raw=raw, value=event.value, style=event.style or "", anchored=event.anchor is not None)
        return Leaf(raw=raw, value="", anchored=True)

    def group(self, start: yaml.CollectionStartEvent) -> tuple[Group, int]:
        mapping, flow = isinstance(start, yaml.MappingStartEvent), bool(start.flow_style)
        entries: list[Entry] = []
        while not isinstance(self.events[0], yaml.CollectionEndEvent):
            entries.append(self.pair(flow) if mapping else self.item(flow, start.start_mark.column))
        end = self.events.popleft().end_mark.index
        return Group(mapping=mapping, flow=flow, anchor=start.anchor, entries=tuple(entries)), end

    def pair(self, flow: bool) -> Entry:
        above = self.until(self.events[0].start_mark.index)
        key, event = self.events.popleft(), self.events.popleft()
        beside = None
        if _is_block(event):
            beside = self.beside(key.end_mark.index)
        else:
            above += self.until(event.start_mark.index)
        value, beside, below = self.valued(event, beside, column=key.start_mark.column, flow=flow)
        return Entry(key=self.leaf(key), value=value, above=above, beside=beside, below=below)

    def item(self, flow: bool, dash: int) -> Entry:
        """`dash`: the column of the list."""
        above = self.until(self.events[0].start_mark.index)
        value, beside, below = self.valued(self.events.popleft(), None, column=dash, flow=flow)
        if isinstance(value, Group) and value.entries:  # what is above the first line of an item is above the item
            first, *others = value.entries
            above += first.above
            value = replace(value, entries=(replace(first, above=()), *others))
        return Entry(key=None, value=value, above=above, beside=beside, below=below)

    def valued(
        self, event: yaml.Event, beside: Remark | None, *, column: int, flow: bool
    ) -> tuple[Written, Remark | None, tuple[str, ...]]:
        """A value, the comment beside it and those below, of an entry in a column."""
        value, end = self.written(event)
        below: tuple[str, ...] = ()
        if not _is_block(event):
            if isinstance(value, Group):
                below = tuple(text for text in self.until(end) if text)  # between the last item and the bracket
            beside = self.beside(end)
        lines = isinstance(value, Leaf) and value.style in BLOCK_STYLES  # what is below would become one of them
        if not flow and not lines:
            below += self.below(column)
        return value, beside, below

    # --- what belongs to whom ---

    def until(self, end: int) -> tuple[str, ...]:
        """What stands before an index and belongs to nothing earlier."""
        found: list[str] = []
        while self.remarks and self.remarks[0].index < end:
            found.append(self.remarks.popleft().text)
        return tuple(found)

    def beside(self, end: int) -> Remark | None:
        """The comment on the line on which something ended, where nothing else stands between."""
        following = self.remarks[0] if self.remarks else None
        if following is None or following.gap is None or "\n" in self.text[end : following.index]:
            return None
        return self.remarks.popleft() if following.index < self.events[0].start_mark.index else None

    def below(self, column: int) -> tuple[str, ...]:
        """The comments before the next event that are indented more than a column."""
        deeper = 0
        for number, remark in enumerate(self.remarks, start=1):
            if remark.index >= self.events[0].start_mark.index or (remark.text and remark.column <= column):
                break
            deeper = number if remark.text else deeper
        return tuple(self.remarks.popleft().text for _ in range(deeper))


def _is_block(event: yaml.Event) -> bool:
    return isinstance(event, yaml.CollectionStartEvent) and not event.flow_style
