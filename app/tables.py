"""A file into rows: gzip or plain, CSV or JSONL, each told by its content, read as it streams in."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from rules.mapping import Column, Finding, ImportMap, check_columns
from rules.problems import Severity

LINE_LIMIT_CHARACTERS = 4 * 1024 * 1024  # no table has longer lines
RATIO_LIMIT = 200  # text packs 5 to 30 times, a bomb up to 1000 times
RATIO_FROM_BYTES = 16 * 1024 * 1024  # unpacked; less does no harm
SHOWN_CHARACTERS = 200  # of a row that is none
GZIP_MAGIC = b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
DELIMITERS = ",;\t|"

Line: TypeAlias = tuple[int, Mapping[str, object] | Finding]
"""Where a row begins in the file, lines counted from 1; and the row, or why it is none."""


class BadFile(Exception):
    """The file cannot be read, or no further; the message says where and what to do."""


@contextmanager
def opened(source: Path | IO[bytes], *, name: str, map_: ImportMap) -> Generator[Table]:
    """The table in a file. Raises `BadFile`, here and while it is read."""
    if not isinstance(source, Path):
        yield Table(source, name=name, map_=map_)
        return
    try:
        file = source.open("rb")
    except OSError as failure:
        raise BadFile(f"{name}: cannot be opened: {failure.strerror}") from failure
    with file:
        yield Table(file, name=name, map_=map_)


class Table:
    """Iterates over the rows of a file, once. Raises `BadFile`, and `BadMapping` when a column is missing."""

    def __init__(self, file: IO[bytes], *, name: str, map_: ImportMap) -> None:
        self.name, self.map = name, map_
        self.packed = _Counted(file)
        self.lines = _Lines(_Unpacked(self.packed), name=name, encoding=map_.encoding)
        self.unseen: set[Column] = set()

    @property
    def bytes_read(self) -> int:
        """Of the file itself: packed bytes where it is packed."""
        return self.packed.count

    def unfilled(self) -> list[Finding]:
        """JSONL has no header: the columns that no row had are known at the end only."""
        return [
            Finding(line=self.lines.number, severity=Severity.WARNING, reason=f'no row has "{column.name}"')
            for column in sorted(self.unseen, key=lambda column: column.name)
        ]

    def __iter__(self) -> Iterator[Line]:
        first = next((line for line in self.lines if line.strip()), None)
        if first is None:
            raise BadFile(f"{self.name}: is empty; its first line must name the columns")
        self.lines.give_back([first])
        match first.lstrip()[0]:
            case "{":
                return self._json()
            case "[":
                raise BadFile(f"{self.name}: is one JSON array; write one object a line, as `jq -c '.[]'` does")
            case _:
                return self._csv()

    def _csv(self) -> Iterator[Line]:
        records = self._csv_records(self.map.delimiter or self._delimiter())
        line, header = next(records)
        if isinstance(header, Finding):
            raise BadFile(f"{self.name}:{line}: the header {header.reason}")
        columns = [cell.strip() for cell in header]
        check_columns(self.map, columns, file=self.name)
        for line, cells in records:
            if isinstance(cells, Finding):
                yield line, cells
            elif len(cells) == len(columns):
                yield line, dict(zip(columns, cells, strict=True))
            else:
                reason = f"has {len(cells)} columns, the header has {len(columns)}"
                yield line, _rejected(line, ",".join(cells), reason)

    def _csv_records(self, delimiter: str) -> Iterator[tuple[int, Sequence[str] | Finding]]:
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in self.lines:
                taken.append(line)
                yield line

        def reader() -> Iterator[list[str]]:
            return csv.reader(lines(), delimiter=delimiter, strict=True)

        records = reader()
        while True:
            line = self.lines.number + 1
            taken.clear()
            try:
                cells = next(records, None)
            except csv.Error as trouble:
                # A quote left open swallows the lines after it: they are rows of their own.
                self.lines.give_back(taken[1:])
                records = reader()
                yield line, _rejected(line, taken[0], f"is not CSV: {trouble}; is a quote left open, or not doubled?")
                continue
            if cells is None:
                return
            if len(cells) > 1 or "".join(cells).strip():
                yield line, cells

    def _delimiter(self) -> str:
        """The one that gives the first line the most columns."""
        first = next(self.lines)
        self.lines.give_back([first])
        return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([first], delimiter=delimiter))))

    def _json(self) -> Iterator[Line]:
        self.unseen = {Column(name=name) for name in self.map.columns}
        for text in self.lines:
            line = self.lines.number
            if not text.strip():
                continue
            try:
                row: object = json.loads(text.rstrip(), parse_float=Decimal, parse_constant=_refuse)
            except json.JSONDecodeError as trouble:
                yield line, _rejected(line, text, f"is not JSON: {trouble.msg} at column {trouble.colno}")
            except (ValueError, RecursionError) as trouble:
                yield line, _rejected(line, text, f"is not JSON: {trouble}")
            else:
                if isinstance(row, dict):
                    named = cast("dict[str, object]", row)
                    self.unseen = {column for column in self.unseen if column.of(named) is None}
                    yield line, named
                else:
                    yield line, _rejected(line, text, "is not a JSON object")


def _rejected(line: int, raw: str, reason: str) -> Finding:
    return Finding(line=line, severity=Severity.ERROR, value=raw.strip()[:SHOWN_CHARACTERS], reason=reason)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not a number there")


class _Lines:
    """The lines of a file as text. Those read ahead can be given back."""

    def __init__(self, file: _Unpacked, *, name: str, encoding: str) -> None:
        self.file, self.name, self.encoding = file, name, encoding
        self.text = io.TextIOWrapper(cast("Any", file), encoding=encoding, newline="")
        self.returned = deque[str]()
        self.number = 0  # of the line handed out last

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.returned.popleft() if self.returned else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        self.returned.extendleft(reversed(lines))
        self.number -= len(lines)

    def _read(self) -> str:
        at = self.number + 1
        try:
            line = self.text.readline(LINE_LIMIT_CHARACTERS)
        except _Damaged as damage:
            raise BadFile(f"{self.name}:{at}: {damage}") from damage
        except UnicodeDecodeError as failure:
            # What failed to decode is the tail of what was given out.
            offset = self.file.count - len(failure.object) + failure.start
            at += failure.object.count(b"\n", 0, failure.start)
            is_utf16 = offset == 0 and failure.object.startswith(UTF16_MARKS)
            raise BadFile(
                f"{self.name}:{at}: is not {self.encoding.removesuffix('-sig')}: "
                f"byte {offset} is 0x{failure.object[failure.start]:02x}; "
                f"name the file's encoding in the map, as in `encoding: {'utf-16' if is_utf16 else 'cp1252'}`"
            ) from failure
        except UnicodeError as failure:
            raise BadFile(f"{self.name}:{at}: {failure}; name the file's encoding in the map") from failure
        if len(line) == LINE_LIMIT_CHARACTERS:
            raise BadFile(
                f"{self.name}:{at}: the line is longer than {LINE_LIMIT_CHARACTERS} characters; is it a table?"
            )
        return line


class _Damaged(Exception):
    """The packed data is damaged, or hostile."""


class _Counted:
    """The file's own bytes; the first ones can be looked at."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.count = 0
        self.head = file.read(len(GZIP_MAGIC))

    def read(self, size: int = -1) -> bytes:
        chunk = self.head or self.file.read(size)
        self.head = b""
        self.count += len(chunk)
        return chunk


class _Unpacked(io.BufferedIOBase):
    """The bytes in a file, unpacked where its content says gzip. `count` is how many were given out."""

    def __init__(self, packed: _Counted) -> None:
        self.packed = packed
        self.count = 0
        self.gzip = gzip.GzipFile(fileobj=cast("IO[bytes]", packed)) if packed.head == GZIP_MAGIC else None

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        try:
            chunk = self.gzip.read1(size) if self.gzip else self.packed.read(size)
        except EOFError as failure:
            raise _Damaged("the gzip data ends too early; is the file complete?") from failure
        except (gzip.BadGzipFile, zlib.error) as failure:
            raise _Damaged(f"the gzip data is damaged: {failure}") from failure
        self.count += len(chunk)
        if self.count > max(RATIO_FROM_BYTES, RATIO_LIMIT * self.packed.count):
            raise _Damaged(f"unpacks to more than {RATIO_LIMIT} times its size; unpack it yourself if that is right")
        return chunk
