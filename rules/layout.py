"""How rule files are laid out: one order of keys, one indentation, the shortest form of each test.

Scalars are carried over as their author spelled them, and so is every comment; what is around them is written anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias, TypeVar

from rules.brevity import same_test, shortened
from rules.manuscript import BLOCK_STYLES, Document, Entry, Group, Leaf, Reader, Remark, Written, remarks, stands
from rules.problems import Place, Problems
from rules.reading import RULE_KEYS, THEN_KEYS
from rules.source import Mapping, Node, Scalar, Sequence, read_text

WIDTH = 120  # columns; what is longer does not stay between braces
STEP = "  "
COMMENT_GAP = 2  # columns before a comment; one that stands further off is aligned with others and stays there
NOT_TEXT = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")  # to some other reader of YAML
T = TypeVar("T")

Path: TypeAlias = tuple[str, ...]
"""The keys that lead to a node; lists add none."""

# By the first key of a document: which maps have an order, and where tests stand; "*" is any key.
ORDERS: dict[str, dict[Path, tuple[str, ...]]] = {"rule": {(): RULE_KEYS, ("then",): THEN_KEYS}}
TESTS: dict[str, tuple[Path, ...]] = {
    "rule": (("when", "*"), ("any of", "*"), ("with", "*", "*"), ("unless", "*", "*")),
    "model": (("model", "*", "*", "where", "*"),),
}


def formatted(text: str, *, file: str, problems: Problems) -> str | None:
    """The text as it is laid out; None after a problem was reported.

    What is returned has every comment of the text, and its documents say the same.
    """
    known = len(problems)
    before = read_text(text, file=file, problems=problems)
    if len(problems) > known:
        return None
    unix = text.replace("\r\n", "\n")
    documents, below = Reader(unix).documents()
    laid_out = _text([_tidied(document) for document in documents], below)
    if not _is_faithful(unix, before, laid_out):
        message = "cannot be laid out without a change of what it says"
        help_ = "write aliases out, and each key on one line"
        problems.error("Y003", Place(file=file, line=1, column=1, length=1, text=""), message, help_)
        return None
    return laid_out.replace("\n", "\r\n") if unix != text else laid_out


# --- order and short forms ---


def _tidied(document: Document) -> Document:
    first = document.root.entries[0].key if document.root.entries else None
    root = _tidy(document.root, first.value if first else "", ())
    assert isinstance(root, Group)
    return replace(document, root=root)


def _tidy(written: Written, kind: str, path: Path, *, flow: bool = False) -> Written:
    if _is_test(kind, path):
        return shortened(written, flow=flow)
    if isinstance(written, Leaf):
        return written
    entries = [
        replace(e, value=_tidy(e.value, kind, (*path, e.key.value) if e.key else path, flow=written.flow))
        for e in written.entries
    ]
    return replace(written, entries=tuple(_ordered(entries, lambda e: e.key.value if e.key else "", kind, path)))


def _is_test(kind: str, path: Path) -> bool:
    return any(
        len(path) == len(pattern) and all(wanted in ("*", key) for wanted, key in zip(pattern, path, strict=True))
        for pattern in TESTS.get(kind, ())
    )


def _ordered(items: list[T], key: Callable[[T], str], kind: str, path: Path) -> list[T]:
    """In the order of the language; what it does not know stays behind what it followed."""
    order = ORDERS.get(kind, {}).get(path)
    if order is None:
        return items
    ranks: list[int] = []
    for item in items:
        ranks.append(order.index(key(item)) if key(item) in order else (ranks or [-1])[-1])
    return [item for _, item in sorted(zip(ranks, items, strict=True), key=lambda ranked: ranked[0])]


# --- writing ---


def _text(documents: list[Document], below: tuple[str, ...]) -> str:
    lines: list[str] = []
    for number, document in enumerate(documents):
        if number:
            _remark(lines, ("", "---"), "")
        lines += _document(document)
    _remark(lines, below, "")
    return "".join(f"{line}\n" for line in lines)


def _document(document: Document) -> list[str]:
    line = _on_one_line(document.root)
    lines = [line] if line and document.root.flow and len(line) <= WIDTH else _entries(document.root, "")
    _remark(lines, document.below, "")
    return lines


def _entries(group: Group, indent: str) -> list[str]:
    lines: list[str] = []
    for entry in group.entries:
        _remark(lines, entry.above, indent)
        lines += _entry(entry, indent)
        _remark(lines, entry.below, indent + STEP)
    return lines


def _remark(lines: list[str], texts: tuple[str, ...], indent: str) -> None:
    """Adds comments and blank lines: no two of these in a row, and none at the beginning."""
    for text in texts:
        if text or (lines and lines[-1]):
            lines.append(f"{indent}{text}" if text else "")


def _entry(entry: Entry, indent: str) -> list[str]:
    value = entry.value
    opening = f"{indent}{_word(entry.key)}:" if entry.key else f"{indent}-"
    line = _on_one_line(value)
    if isinstance(value, Leaf):
        first, *others = _lines(value, indent + STEP)
        *lines, last = f"{opening} {first}".rstrip(), *others
        return [*lines, _beside(last, entry.beside)]
    if line and (not value.entries or (value.flow and len(f"{opening} {line}") <= WIDTH)):
        return [_beside(f"{opening} {line}", entry.beside)]
    if value.anchor:
        opening += f" &{value.anchor}"
    nested = _entries(value, indent + STEP)
    if entry.key or value.anchor:
        return [_beside(opening, entry.beside), *nested]
    above = [f"{indent}{entry.beside.text}"] if entry.beside else []
    return [*above, f"{opening} {nested[0].lstrip()}", *nested[1:]]


def _beside(line: str, remark: Remark | None) -> str:
    if remark is None:
        return line
    column = len(line) + COMMENT_GAP
    aligned = remark.gap is not None and remark.gap > COMMENT_GAP
    return line.ljust(max(column, remark.column) if aligned else column) + remark.text


def _on_one_line(written: Written) -> str | None:
    """Between braces or brackets; None where a comment or a text over several lines forbids it."""
    if isinstance(written, Leaf):
        return None if "\n" in written.raw else _word(written)
    parts: list[str] = []
    for entry in written.entries:
        value = _on_one_line(entry.value)
        if value is None or any(entry.above) or entry.beside or entry.below:
            return None
        parts.append(f"{_word(entry.key)}: {value}" if entry.key else value)
    anchor = f"&{written.anchor} " if written.anchor else ""
    return f"{anchor}{{{', '.join(parts)}}}" if written.mapping else f"{anchor}[{', '.join(parts)}]"


def _word(leaf: Leaf) -> str:
    """As it is spelled, without quotes that are not needed anywhere: for any reader of YAML it is text."""
    text = leaf.value
    needless = (
        leaf.style in ("'", '"')
        and not leaf.anchored
        and text[:1].isalpha()
        and text.isprintable()
        and text.casefold() not in NOT_TEXT
        and stands(text, "@: @\nk: [@, {@: @}]")
    )
    return text if needless else leaf.raw


def _lines(leaf: Leaf, indent: str) -> list[str]:
    """A scalar over one or several lines; all but the first are indented."""
    if leaf.style in BLOCK_STYLES:
        header, *lines = _block(leaf)
    elif "\n" in leaf.raw:
        header, *lines = (re.sub(r"(?<!\\)[ \t]+$", "", line.lstrip()) for line in leaf.raw.split("\n"))
    else:
        return [_word(leaf)]
    return [header, *(f"{indent}{line}" if line else "" for line in lines)]


def _block(leaf: Leaf) -> Iterator[str]:
    """The header and the lines of a | or > without their indentation; how it ends is told by its value."""
    header, *lines = leaf.raw.split("\n")
    match = re.fullmatch(r"(.*?[|>])([-+0-9]*)(.*?)\s*", header)
    assert match is not None
    text = leaf.value.rstrip("\n")
    breaks = len(leaf.value) - len(text)
    chomping = "+" if breaks > bool(text) else "" if breaks or not leaf.value else "-"
    yield f"{match[1]}{len(STEP) if re.search('[0-9]', match[2]) else ''}{chomping}{match[3]}"
    depth = _depth(lines) - _depth(text.split("\n"))
    content = "\n".join(line[depth:] for line in lines).rstrip("\n") if text else ""
    yield from content.split("\n") if content else ()
    yield from [""] * (breaks - bool(text) if chomping == "+" else 0)


def _depth(lines: list[str]) -> int:
    """The indentation of the first line that is not blank."""
    first = next((line for line in lines if line.strip(" ")), "")
    return len(first) - len(first.lstrip(" "))


# --- proof ---


def _is_faithful(text: str, before: list[Mapping], laid_out: str) -> bool:
    problems = Problems()
    after = read_text(laid_out, file="", problems=problems)
    return (
        not problems
        and len(before) == len(after)
        and all(
            _says_the_same(a, b, a.entries[0][0].text if a.entries else "", ())
            for a, b in zip(before, after, strict=True)
        )
        and _comments(text) == _comments(laid_out)
    )


def _comments(text: str) -> Counter[str]:
    return Counter(remark.text for remark in remarks(text) if remark.text)


def _says_the_same(before: Node, after: Node, kind: str, path: Path) -> bool:
    match before, after:
        case Scalar(), Scalar():
            same = (before.text, before.is_null) == (after.text, after.is_null)
        case Sequence(), Sequence():
            same = len(before.items) == len(after.items) and all(
                _says_the_same(a, b, kind, path) for a, b in zip(before, after, strict=True)
            )
        case Mapping(), Mapping():
            keys = _ordered([key.text for key, _ in before], str, kind, path)
            same = keys == [key.text for key, _ in after] and all(
                _says_the_same(before.by_key[key.text], value, kind, (*path, key.text)) for key, value in after
            )
        case _:
            same = False
    return same or (_is_test(kind, path) and same_test(before, after))
