"""The short form of a test that was written in the long one, where it means the same for a field of any type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from rules.manuscript import Group, Leaf, Written, is_bare, meaning, stands
from rules.model import Date, DateTime, Enum, FieldType, Money, Number, Ref, Text, YesNo
from rules.operators import Test
from rules.phrases import LONG_PHRASES, PRESENCE, Grammar, Wrong
from rules.rule import Tie
from rules.source import Mapping, Node, Scalar

TYPES: tuple[FieldType, ...] = (Text(), YesNo(), Number(), Money(), Date(), DateTime(), Ref(kind="any"))
UTC = ZoneInfo("UTC")


def shortened(test: Written, *, flow: bool) -> Written:
    """`flow`: whether it stands between braces, where more words need quotes."""
    short = _candidate(test, flow)
    return short if short is not None and same_test(meaning(test), meaning(short)) else test


def _candidate(test: Written, flow: bool) -> Written | None:
    if not isinstance(test, Group) or not test.mapping or len(test.entries) != 1 or not is_bare(test):
        return None
    key, value = test.entries[0].key, test.entries[0].value
    assert key is not None
    if key.value == "is":
        return value
    text = _phrase(key.value, shortened(value, flow=flow) if key.value == "missing or" else value)
    if text is None or not text.isprintable():
        return None
    bare = stands(text, "[@]" if flow else "k: @")
    return Leaf(raw=text if bare else json.dumps(text, ensure_ascii=False), value=text)


def _phrase(name: str, value: Written) -> str | None:
    """The words of a phrase with its holes filled."""
    items = [e.value for e in value.entries] if isinstance(value, Group) else [value]
    words = [item.value for item in items if isinstance(item, Leaf)]
    if name in ("not", "none of"):
        return f"not {words[0]}" if len(words) == 1 else f"none of {', '.join(words)}"
    if name == "missing or":
        return f"missing or {words[0]}" if isinstance(value, Leaf) else None
    pattern = name if name in PRESENCE else LONG_PHRASES[name].words if name in LONG_PHRASES else None
    if pattern is None or pattern.count("{") > len(words):
        return None
    filling = iter(words)
    return re.sub(r"\{\w+\}", lambda _: next(filling), pattern)


def same_test(before: Node, after: Node) -> bool:
    """Whether two tests that can be read mean the same for every type of field. A tie is no test."""
    if isinstance(after, Scalar) and after.text in tuple(Tie):
        return False
    types = (*TYPES, Enum(values=tuple(_words(before))))
    tests = [(_read(before, type_), _read(after, type_)) for type_ in types]
    return any(test for test, _ in tests) and all(a == b for a, b in tests)


def _read(node: Node, type_: FieldType) -> Test | None:
    try:
        return Grammar(name="", type=type_, zone=UTC).read(node)
    except Wrong:
        return None


def _words(node: Node) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text
    else:
        for value in node.by_key.values() if isinstance(node, Mapping) else node.items:
            yield from _words(value)
