"""Many operations at once: the good ones are made, the bad ones are reported, each by its line.

NDJSON is read as it streams in, and answered once it has ended: nobody has to read while they write. What was written
stays written, whatever comes after it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any, Literal, TypeAlias

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.types import Receive, Scope, Send

from rules.model import Model
from store import dossiers
from store.changing import Outcome, always
from store.dossiers import Change, Result
from store.session import Database, StoreUnavailable
from web.api.access import Caller
from web.api.bodies import parsed
from web.api.idempotency import Key, Once, Reply, once
from web.api.limits import JSON, LINE_BYTES, MIB, NDJSON, media_type
from web.api.problems import ABOUT, Fault, Kind, Problem, ProblemBody, answers, not_found
from web.api.records import Content, Writer, changed_meanwhile, deleting, etag, matches, patching, tag_of, writing
from web.api.users import LINE

log = logging.getLogger("relance.api")

OPERATIONS = 500  # in a transaction: keeps it short
HELD_BYTES = 4 * MIB  # of lines that wait for their transaction
ARRAY_ITEMS = 10_000
REJECTED = 10_000  # so many bad lines are no accident
SPOOLED_BYTES = MIB  # an answer that is longer lies in a file
READ_BYTES = 64 * 1024

router = APIRouter(tags=["records"])


class Operation(Content):
    """What to do with one record."""

    op: Literal["upsert", "patch", "delete"] = Field("upsert", description="As PUT, PATCH and DELETE do.")
    kind: str = Field(pattern=LINE, max_length=200, examples=["contract"])
    id: str = Field(pattern=LINE, max_length=200, examples=["C-1007"])
    if_match: str | None = Field(None, max_length=2000, description="As the header `If-Match`.")


class Status(StrEnum):
    """What became of a line."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    REJECTED = "rejected"  # it cannot be understood, or there is no such record to patch
    CONFLICT = "conflict"  # its `if_match` does not hold


class LineOutcome(BaseModel):
    line: int = Field(description="Counted from 1; of an array, the item.")
    status: Status
    etag: str | None = Field(None, description="Of what is stored now; null: nothing is.")
    problem: ProblemBody | None = Field(None, description="Why nothing was written; null: it was.")


class BatchEnd(BaseModel):
    counts: dict[Status, int] = Field(description="How many lines of each status there were.")
    problem: ProblemBody | None = Field(
        None, description="Why reading ended before the last line; null: it did not. What is listed was written."
    )


class BatchAnswer(BatchEnd):
    outcomes: list[LineOutcome]


# --- lines ---

Line: TypeAlias = tuple[int, Callable[[Model], Change]]
"""Its number, and what makes a change of it; raises `Problem`."""

MAKES: Mapping[str, Callable[..., Change]] = {"upsert": writing, "patch": patching, "delete": deleting}


def _of_json(document: object, model: Model) -> Change:
    try:
        wanted = Operation.model_validate(document)
    except ValidationError as trouble:
        errors = [
            Fault(pointer="".join(f"/{step}" for step in e["loc"]), detail=e["msg"].removeprefix("Value error, "))
            for e in trouble.errors(include_url=False, include_input=False)
        ]
        raise Problem(kind=Kind.INVALID, detail="The line is no operation.", errors=errors) from None
    condition = always if wanted.if_match is None else matches(wanted.if_match)
    return MAKES[wanted.op](model, wanted.kind, wanted.id, wanted, condition)


def _of_text(text: bytes | None, model: Model) -> Change:
    if text is None:
        raise Problem(kind=Kind.TOO_LARGE, detail=f"The line is longer than {LINE_BYTES // MIB} MiB.")
    try:
        document = parsed(text)
    except ValueError as refusal:
        raise Problem(kind=Kind.INVALID, detail=f"The line {refusal}.") from None
    return _of_json(document, model)


@dataclass(slots=True, kw_only=True)
class Lines:
    """Lines of a stream that comes in pieces. One that is too long is None, and is not held."""

    number: int = 0
    held: bytearray = field(default_factory=bytearray)
    too_long: bool = False

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that end in this piece, but for empty ones."""
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._hold(part)
            yield from self.end()
        self._hold(rest)

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        self.number += 1
        line = None if self.too_long else bytes(self.held)
        self.held.clear()
        self.too_long = False
        if line is None or line.strip():
            yield self.number, line

    def _hold(self, part: bytes) -> None:
        if self.too_long or len(self.held) + len(part) > LINE_BYTES:
            self.too_long = True
            self.held.clear()
        else:
            self.held += part


# --- writing ---


@dataclass(slots=True, kw_only=True)
class Batch:
    """Writes lines and says what became of each. After `trouble` nothing is written any more."""

    caller: Caller
    out: Callable[[LineOutcome], object]
    counts: Counter[Status] = field(default_factory=Counter[Status])
    trouble: Problem | None = None

    def write(self, db: Database, lines: Sequence[Line]) -> None:
        """In one transaction."""
        model = self.caller.services.base.model
        refused: dict[int, Problem] = {}
        changes: dict[int, Change] = {}
        for number, read in lines:
            try:
                changes[number] = read(model)
            except Problem as problem:
                refused[number] = problem
        try:
            made = dict(zip(changes, self._made(db, [*changes.values()]), strict=True))
        except StoreUnavailable as failure:
            log.error("%s", failure)
            detail = "The database cannot be used just now. What is listed was written: send the rest again."
            self.trouble = Problem(kind=Kind.BUSY, detail=detail)
            return
        for number, _ in lines:
            if number in refused:
                self._say(number, Status.REJECTED, problem=refused[number])
            else:
                self._say_made(number, changes[number], made[number])
        if self.counts[Status.REJECTED] > REJECTED:
            detail = f"More than {REJECTED:,} lines were rejected: what is not listed was not read."
            self.trouble = Problem(kind=Kind.INVALID, detail=detail)

    def end(self) -> BatchEnd:
        return BatchEnd(counts={status: self.counts[status] for status in Status}, problem=_body(self.trouble))

    @property
    def status(self) -> int:
        return ABOUT[self.trouble.kind].status if self.trouble else 200

    def _made(self, db: Database, changes: Sequence[Change]) -> Sequence[Result]:
        caller = self.caller
        if not changes:
            return ()
        made = dossiers.change(db, changes, now=caller.now, source=caller.actor.source, trace=caller.trace)
        caller.services.wrote()
        return made

    def _say_made(self, number: int, change: Change, result: Result) -> None:
        tag = tag_of(result)
        if result.outcome is not Outcome.CONFLICT:
            self._say(number, Status(result.outcome), tag=tag)
        elif change.needs_one and result.stored is None:
            self._say(number, Status.REJECTED, problem=not_found(" ".join(change.name)))
        else:
            self._say(number, Status.CONFLICT, tag=tag, problem=changed_meanwhile(tag))

    def _say(self, number: int, status: Status, *, tag: str | None = None, problem: Problem | None = None) -> None:
        self.counts[status] += 1
        self.out(
            LineOutcome(line=number, status=status, etag=None if tag is None else etag(tag), problem=_body(problem))
        )


def _body(problem: Problem | None) -> ProblemBody | None:
    return problem and ProblemBody.model_validate(problem.body())


# --- the two ways in ---


def _array(caller: Caller, once: Once, body: bytes) -> Response:
    """An array, whole. With an idempotency key it is one transaction."""
    try:
        document = parsed(body)
        if not isinstance(document, list):
            raise ValueError("is no array")
        if len(document) > ARRAY_ITEMS:
            raise ValueError(f"has more than {ARRAY_ITEMS:,} items: send them as {NDJSON}")
    except ValueError as refusal:
        raise Problem(kind=Kind.INVALID, detail=f"The body {refusal}.") from None
    lines: list[Line] = [(number, partial(_of_json, item)) for number, item in enumerate(document, 1)]

    def write(db: Database) -> Reply:
        outcomes: list[LineOutcome] = []
        batch = Batch(caller=caller, out=outcomes.append)
        for start in range(0, len(lines), OPERATIONS):
            if batch.trouble is None:
                batch.write(db, lines[start : start + OPERATIONS])
        end = batch.end()
        return Reply(body=BatchAnswer(counts=end.counts, problem=end.problem, outcomes=outcomes), status=batch.status)

    return once(caller, write)


async def _stream(caller: Caller, request: Request) -> Response:
    with ExitStack() as open_:
        answer = open_.enter_context(SpooledTemporaryFile[bytes](max_size=SPOOLED_BYTES))
        batch = Batch(caller=caller, out=lambda outcome: answer.write(_line(outcome)))
        try:
            await _written(batch, request)
        except HTTPException as refusal:  # more than is read of anybody
            batch.trouble = Problem(kind=Kind.TOO_LARGE, detail=str(refusal.detail))
        answer.write(_line(batch.end()))
        answer.seek(0)
        open_.pop_all()
        return Spooled(answer, status_code=batch.status)


async def _written(batch: Batch, request: Request) -> None:
    """Write lines as they come. After trouble the rest is taken in all the same, as its sender may read only then."""
    lines, waiting, held_bytes = Lines(), list[Line](), 0

    async def flush() -> None:
        nonlocal held_bytes
        if waiting and batch.trouble is None:
            await run_in_threadpool(batch.write, batch.caller.db, waiting)
        waiting.clear()
        held_bytes = 0

    async for piece in request.stream():
        for number, line in lines.feed(piece):
            waiting.append((number, partial(_of_text, line)))
            held_bytes += len(line or b"")
            if len(waiting) >= OPERATIONS or held_bytes >= HELD_BYTES:
                await flush()
    waiting.extend((number, partial(_of_text, line)) for number, line in lines.end())
    await flush()


def _line(model: BaseModel) -> bytes:
    return model.model_dump_json().encode() + b"\n"


class Spooled(StreamingResponse):
    """An answer that lies in a file, which is gone once it was sent."""

    def __init__(self, file: SpooledTemporaryFile[bytes], *, status_code: int) -> None:
        self.file = file
        super().__init__(iter(partial(file.read, READ_BYTES), b""), status_code=status_code, media_type=NDJSON)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.file:
            await super().__call__(scope, receive, send)


# --- the route ---

ITEM: Mapping[str, Any] = {
    "anyOf": [Operation.model_json_schema(), {}],
    "description": "An operation; anything else is reported as rejected, and never stops the others.",
}
TAKES: Mapping[str, Any] = {
    JSON: {"schema": {"type": "array", "maxItems": ARRAY_ITEMS, "items": ITEM}},
    NDJSON: {
        "schema": {"type": "string", "description": "One operation a line, at most 1 MiB each, 1 GiB in all."},
        "example": '{"kind": "customer", "id": "K1", "fields": {"name": "Muster Logistik AG"}}\n',
    },
}
SPOKEN: Mapping[str, Any] = {
    NDJSON: {"schema": {"type": "string", "description": "One outcome a line, the counts last."}}
}
ENDED = {503: {"model": BatchAnswer, "description": "The database went away; what is listed was written."}}


@router.post(
    "/batches",
    response_model=BatchAnswer,
    operation_id="writeBatch",
    summary="Write many records",
    responses={200: {"content": SPOKEN}, **ENDED, **answers(Kind.MEDIA)},
    openapi_extra={"requestBody": {"required": True, "content": TAKES}},
)
async def write_batch(request: Request, caller: Writer, key: Key = None) -> Response:
    """The good lines are written, 500 in a transaction; the bad ones are reported.

    An array is answered by one document, NDJSON by NDJSON. An `Idempotency-Key` goes with an array: NDJSON can be sent
    again as it is, for each line is harmless to repeat.
    """
    sent = media_type(request.headers)
    if sent == JSON:
        return await run_in_threadpool(_array, caller, await once(request, key), await request.body())
    if sent != NDJSON:
        raise Problem(kind=Kind.MEDIA, detail=f"Send {JSON} or {NDJSON}.")
    if key is not None:
        detail = "NDJSON goes without Idempotency-Key: send it again as it is, each line is harmless to repeat."
        raise Problem(kind=Kind.INVALID, detail=detail)
    return await _stream(caller, request)
