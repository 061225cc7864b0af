"""Decisions in worker processes: the rule engine is native code, and no customer may take the others along.

A process that ends, or is too long about one customer, is replaced. That customer is tried once more, alone, and the
others of its chunk are decided without it. Only if it goes wrong again has the customer failed.

Every process has a line of its own. Where processes share a queue and its locks, one that is killed while it holds them
leaves the others waiting for ever.
"""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from ctypes import c_int
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from io import BytesIO
from itertools import islice
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from operator import attrgetter
from pathlib import Path
from pickle import HIGHEST_PROTOCOL, Pickler
from typing import Any, Generic, TypeAlias, TypeVar, cast

from rules.rulebase import RuleBase, Undecidable

log = logging.getLogger("relance.processes")

CHUNK = 25  # customers that travel together: enough to make the way cheap, few enough to decide again
DECISION_LIMIT_S = 10.0  # about one customer: thousands of times what is usual
BUILD_LIMIT_S = 30.0  # to build the rules: hundreds take less than a second
BETWEEN = -1  # the place in its chunk of a process that is at work on no customer

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Decide: TypeAlias = Callable[[RuleBase, Item], Answer]
"""Pure, and fit to be sent to another process. May raise `Undecidable`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """There is no answer about a customer, for a reason that a person understands. `ended`: over it processes end."""

    reason: str
    ended: bool = False


class Unusable(Exception):
    """A process ended and no customer is to blame; the message says over what and how."""


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_this_process(
    base: RuleBase, decide: Decide[Item, Answer], items: Iterable[Item]
) -> Iterator[tuple[Item, Answer | Failed]]:
    """Each with its answer. Nothing protects this process from what the rule engine may do to it."""
    for item in items:
        try:
            answer = decide(base, item)
        except Undecidable as failure:
            yield item, Failed(reason=str(failure))
        else:
            yield item, answer


def try_out(base: RuleBase) -> None:
    """Build a rule base in a process that is thrown away. Raises `Unusable`."""
    with Processes(base, count=1) as processes:
        list(processes.each(_nothing, [None]))


def _nothing(base: RuleBase, item: None) -> None:
    """To have something to do."""


class Processes:
    """At most `count` processes that decide by one rule base; each starts when there is work for it, and stays.

    `count`: as many as there are cores, unless given. `limit_s`: for one customer. `fork`: copy this process instead
    of starting a new one, which takes no time, but is only for a process without threads: what they have locked would
    stay locked in the copy. One caller at a time.
    """

    def __init__(
        self, base: RuleBase, *, count: int | None = None, limit_s: float = DECISION_LIMIT_S, fork: bool = False
    ) -> None:
        self._base = replace(base)  # without what is built from it: each process builds its own
        self._count = _cores() if count is None else count
        self._limit_s = limit_s
        self._fork = fork
        self._processes: list[_Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they are at. A later call of `each` starts others."""
        while self._processes:
            self._processes.pop().end()

    def each(self, decide: Decide[Item, Answer], items: Iterable[Item]) -> Iterator[tuple[Item, Answer | Failed]]:
        """Each with its answer, in any order. Raises `Unusable`."""
        for process in [process for process in self._processes if process.dead]:  # killed while it had nothing to do
            self._bury(process)
        work = _Work(items)
        busy: dict[_Process, _Chunk[Item]] = {}
        try:
            chunk = work.next()
            while chunk or busy:
                while chunk and (process := self._free(busy)):
                    process.give(decide, chunk.packed)
                    busy[process] = chunk
                    chunk = work.next()
                lines = {process.line: process for process in busy}
                for process in [lines[line] for line in cast(list[Connection], wait(lines))]:
                    try:
                        answers = process.answers()
                    except _Ended as ended:
                        self._bury(process)
                        yield from work.take_back(busy.pop(process), process.place.value, str(ended))
                    else:
                        if answers is not None:
                            yield from zip(busy.pop(process).items, answers, strict=True)
                chunk = chunk or work.next()
        finally:
            # Whoever stopped listening does not want to hear these answers the next time.
            for process in busy:
                self._bury(process)

    def _free(self, busy: Collection[_Process]) -> _Process | None:
        """A process without work; None where as many as there may be are at work."""
        if len(busy) == len(self._processes) < self._count:
            self._processes.append(_Process(self._base, limit_s=self._limit_s, fork=self._fork))
        return next((process for process in self._processes if process not in busy), None)

    def _bury(self, process: _Process) -> None:
        self._processes.remove(process)
        process.end()


# --- what is to be done ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk(Generic[Item]):
    """What a process is given at a time.

    `suspect`: a process ended over its one customer before. `again`: one ended over it, but over no customer.
    """

    items: list[Item]
    packed: bytes
    suspect: bool = False
    again: bool = False

    @classmethod
    def of(cls, items: list[Item], *, suspect: bool = False) -> _Chunk[Item]:
        return cls(items=items, packed=_packed(items), suspect=suspect)


class _Work(Generic[Item]):
    """Items in chunks, and those that processes left undone."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._undone: deque[_Chunk[Item]] = deque()

    def next(self) -> _Chunk[Item] | None:
        """Ready to go, so that it can be asked for while all processes are at work."""
        if self._undone:
            return self._undone.popleft()
        items = list(islice(self._items, CHUNK))
        return _Chunk.of(items) if items else None

    def take_back(self, chunk: _Chunk[Item], place: int, reason: str) -> Iterator[tuple[Item, Failed]]:
        """A chunk from a process that ended at a place in it, and who has failed thereby. Raises `Unusable`."""
        if place == BETWEEN:
            if chunk.again:
                raise Unusable(reason)
            log.warning("%s; they are passed on once more", reason)
            self._undone.append(replace(chunk, again=True))
            return
        others = [*chunk.items[:place], *chunk.items[place + 1 :]]
        if chunk.suspect:
            yield chunk.items[place], Failed(reason=reason, ended=True)
        else:
            log.warning("%s; it is tried once more, alone", reason)
            self._undone.append(_Chunk.of([chunk.items[place]], suspect=True))
        if others:
            self._undone.append(_Chunk.of(others))


# --- the way there and back ---


class _Packer(Pickler):
    """Packs frozen dataclasses by their slots: left to themselves they ask for their fields' names every time."""

    def reducer_override(self, obj: object) -> Any:
        of = type(obj)
        values = _reader(of)
        return NotImplemented if values is None else (_unpacked, (of, values(obj)))


@cache
def _reader(of: type) -> Callable[[object], tuple[object, ...]] | None:
    """Reads every field at once; None for what is no dataclass with slots, and two fields to make it worth while."""
    names = [field.name for field in fields(of)] if is_dataclass(of) and "__slots__" in of.__dict__ else []
    return attrgetter(*names) if len(names) > 1 else None


@cache
def _writers(of: type) -> list[Callable[[object, object], None]]:
    """One for each field, in spite of its being frozen."""
    return [getattr(of, field.name).__set__ for field in fields(of)]


def _unpacked(of: type, values: tuple[object, ...]) -> object:
    obj = object.__new__(of)
    for write, value in zip(_writers(of), values, strict=True):
        write(obj, value)
    return obj


def _packed(obj: object) -> bytes:
    packed = BytesIO()
    _Packer(packed, HIGHEST_PROTOCOL).dump(obj)
    return packed.getvalue()


# --- one process, from outside ---


class _Ended(Exception):
    """A process ended; the message says over what and how."""


class _Process:
    """`place`: which item of its chunk it is at, counted by the process itself."""

    def __init__(self, base: RuleBase, *, limit_s: float, fork: bool) -> None:
        context = get_context("fork") if fork else get_context("spawn")
        near_end, far_end = context.Pipe()
        self.line = cast(Connection, near_end)
        self.place = context.RawValue(c_int, BETWEEN)
        self._limit_s = limit_s
        self._ready = False
        self._told: object = None
        limits_s = (BUILD_LIMIT_S, limit_s)
        self._process = context.Process(target=_serve, args=(base, far_end, self.place, limits_s), daemon=True)
        if not fork:
            resource_tracker.ensure_running()  # spawning needs it, and it lifts the mask when it starts
        with _deaf_to_interrupts():
            self._process.start()
        far_end.close()

    @property
    def dead(self) -> bool:
        return not self._process.is_alive()

    def give(self, decide: Decide[Any, Any], chunk: bytes) -> None:
        try:
            if self._told is not decide:  # it may be large, and is the same for many chunks
                self.line.send_bytes(_packed(decide))
                self._told = decide
            self.line.send_bytes(chunk)
        except OSError:
            pass  # it has ended, as `answers` will say

    def answers(self) -> list[Any] | None:
        """What it says, one by one; None while it is only ready. Raises `_Ended`, `Unusable`."""
        try:
            said: list[Any] | str | None = self.line.recv()
        except (EOFError, OSError):
            self._process.join()
            raise self._failure(self._how()) from None
        if isinstance(said, str):
            raise self._failure(f"failed: {said}")
        self._ready = True
        return said

    def _failure(self, how: str) -> Exception:
        if not self._ready:
            return Unusable(f"building the rules {how}")
        at = "passing customers on" if self.place.value == BETWEEN else "deciding about this customer"
        return _Ended(f"{at} {how}")

    def _how(self) -> str:
        code = self._process.exitcode or 0
        if code == -signal.SIGALRM:
            return f"took longer than {self._limit_s if self._ready else BUILD_LIMIT_S:g} s"
        return f"ended the worker process ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    def end(self) -> None:
        self.line.close()
        self._process.kill()
        self._process.join()


@contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """Ctrl-C is told to every process of a terminal; those that start here leave it to their parent."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# --- one process, from inside ---


def _serve(base: RuleBase, line: Connection, place: c_int, limits_s: tuple[float, float]) -> None:
    """Builds the rules, then decides chunk by chunk until the parent ends.

    An alarm that nobody hears ends the process: it comes even while native code never returns.
    """
    parent = parent_process()
    assert parent is not None
    build_limit_s, limit_s = limits_s
    decide: Decide[Any, Any] = _nothing

    def watched(items: list[Any]) -> Iterator[Any]:
        for place.value, item in enumerate(items):
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            yield item

    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, build_limit_s)
        _build(base)
        signal.setitimer(signal.ITIMER_REAL, 0)
        line.send(None)
        while line in wait([line, parent.sentinel]):
            given: Decide[Any, Any] | list[Any] = line.recv()
            if isinstance(given, list):
                answers = _packed([answer for _, answer in in_this_process(base, decide, watched(given))])
                place.value = BETWEEN
                signal.setitimer(signal.ITIMER_REAL, 0)
                line.send_bytes(answers)
            else:
                decide = given
    except (EOFError, ConnectionError):
        pass  # the parent has ended
    except Exception as failure:
        # What the engine was in the middle of is still in it: this process is of no more use.
        line.send(_described(failure))


def _build(base: RuleBase) -> None:
    _ = base.compiled, base.engine


def _described(failure: Exception) -> str:
    where = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__}: {failure} ({Path(where.filename).name}:{where.lineno})"
