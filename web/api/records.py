"""Records: what other systems know of customers, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from domain.access import Permission
from domain.record import CUSTOMER, Record, RecordRef, Scalar
from rules.model import Model
from rules.problems import suggestion
from store import dossiers
from store.changing import Condition, Outcome, always
from store.dossiers import Change, Result
from store.session import Database
from web.api.access import Caller, Requires
from web.api.bodies import ExactRoute
from web.api.idempotency import Idempotent, Reply
from web.api.problems import Fault, Kind, Problem, answers, not_found
from web.api.users import LINE

SHOWN_CHARACTERS = 300  # of what is wrong with a field
BESIDE = ("id", "customer")  # every kind has these fields, but they are no part of `fields`

router = APIRouter(tags=["records"], route_class=ExactRoute)

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Permission.RECORDS_READ))]
Writer: TypeAlias = Annotated[Caller, Depends(Requires(Permission.RECORDS_WRITE))]


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError("is neither text nor a number nor true nor false nor null")
    return value


KindName: TypeAlias = Annotated[
    str, Path(pattern=LINE, max_length=200, description="A kind of records of the rule base.", examples=["contract"])
]
RecordId: TypeAlias = Annotated[
    str, Path(pattern=LINE, max_length=200, description="The record's id within its kind.", examples=["C-1007"])
]
CustomerId: TypeAlias = Annotated[
    str,
    Field(
        pattern=LINE,
        max_length=200,
        description="Whose record it is; the customer may be written later. A customer has none.",
        examples=["K1"],
    ),
]
FieldValue: TypeAlias = Annotated[
    Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})
]


class Content(BaseModel):
    """A record but for its kind and id."""

    model_config = {"extra": "forbid"}

    customer: CustomerId | None = None
    fields: dict[str, FieldValue] = Field(
        {},
        description="As the kind has them. Dates are ISO 8601, amounts of money the text of a decimal. Null or empty: "
        "nothing is known.",
        examples=[{"status": "active", "end_date": "2027-01-07", "annual_value": "48200.50"}],
    )


class KnownRecord(BaseModel):
    kind: str = Field(examples=["contract"])
    id: str = Field(examples=["C-1007"])
    customer: str | None = Field(examples=["K1"])
    fields: dict[str, str | bool | int] = Field(description="In the form in which they are recorded.")


class WrittenRecord(BaseModel):
    kind: str = Field(examples=["contract"])
    id: str = Field(examples=["C-1007"])
    outcome: Outcome = Field(description="What the write did.")


# --- what to write ---


def writing(model: Model, kind: str, id_: str, content: Content, condition: Condition = always) -> Change:
    """The whole record. Raises `Problem` with what is wrong with it, and where."""
    fields = _recorded(model, kind, content)
    return dossiers.writing(Record(kind=kind, id=id_, customer=content.customer, fields=fields), condition=condition)


def patching(model: Model, kind: str, id_: str, content: Content, condition: Condition = always) -> Change:
    """What is given, in the manner of a JSON merge patch: null removes a field. Raises `Problem`."""
    kept = _recorded(model, kind, content)
    changed: dict[str, Scalar | None] = {name: kept.get(name) for name in content.fields}
    if "customer" in content.model_fields_set:
        changed["customer"] = content.customer
    return dossiers.patching(RecordRef(kind=kind, id=id_), changed, condition=condition)


def deleting(model: Model, kind: str, id_: str, _: Content | None = None, condition: Condition = always) -> Change:
    """Raises `Problem`."""
    _check_kind(model, kind)
    return dossiers.deleting(RecordRef(kind=kind, id=id_), condition=condition)


def _check_kind(model: Model, kind: str) -> None:
    if kind not in model.kinds:
        help_ = suggestion(kind, model.kinds)
        raise Problem(kind=Kind.NOT_FOUND, detail=f'There is no kind "{kind}"' + (f": {help_}." if help_ else "."))


def _recorded(model: Model, kind: str, content: Content) -> Mapping[str, Scalar]:
    _check_kind(model, kind)
    kept, refused = model.canonical(kind, content.fields)
    faults = {name: f"{name} stands beside `fields`" for name in BESIDE if name in content.fields}
    faults = {problem.field: problem.message for problem in refused} | faults
    errors = [Fault(pointer=f"/fields/{_escaped(name)}", detail=_cut(said)) for name, said in faults.items()]
    if kind == CUSTOMER and content.customer is not None:
        errors.append(Fault(pointer="/customer", detail="a customer belongs to no customer"))
    if errors:
        count = "1 field" if len(errors) == 1 else f"{len(errors)} fields"
        raise Problem(kind=Kind.INVALID, detail=f"{count} cannot be recorded; nothing was written.", errors=errors)
    return kept


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


# --- on what condition ---


def condition(
    if_match: Annotated[
        str | None,
        Header(max_length=2000, description="Only if the ETag is one of these still; `*`: if there is anything."),
    ] = None,
    if_none_match: Annotated[Literal["*"] | None, Header(description="`*`: only if there is nothing yet.")] = None,
) -> Condition:
    if if_match is None and if_none_match is None:
        return always
    matching = always if if_match is None else matches(if_match)
    return lambda tag: matching(tag) and (if_none_match is None or tag is None)


def matches(header: str) -> Condition:
    """What `If-Match` asks for."""
    wanted = {each.strip() for each in header.split(",")}
    return lambda tag: tag is not None and ("*" in wanted or etag(tag) in wanted)


def etag(tag: str) -> str:
    return f'"{tag}"'


def tag_of(result: Result) -> str | None:
    """Of what is stored now."""
    return result.stored and result.stored.tag


def tagged(tag: str | None) -> dict[str, str]:
    """The header."""
    return {} if tag is None else {"ETag": etag(tag)}


def changed_meanwhile(tag: str | None) -> Problem:
    is_now = f"it is {etag(tag)} now" if tag else "there is nothing now"
    return Problem(
        kind=Kind.CHANGED,
        detail=f"The condition does not hold: {is_now}. Read it again, and decide anew.",
        headers=tagged(tag),
    )


Conditions: TypeAlias = Annotated[Condition, Depends(condition)]

ETAG = {"ETag": {"description": "Follows from the content.", "schema": {"type": "string"}}}
ANSWER: Mapping[int | str, dict[str, Any]] = {200: {"headers": ETAG}}
NEW: Mapping[int | str, dict[str, Any]] = {201: {"description": "There was nothing before.", "headers": ETAG}}


# --- the routes ---


@router.get(
    "/records/{kind}/{id:path}",
    response_model=KnownRecord,
    operation_id="getRecord",
    summary="A record",
    responses={**ANSWER, **answers(Kind.NOT_FOUND)},
)
def get_record(caller: Reader, kind: KindName, id: RecordId, response: Response) -> KnownRecord:
    ref = RecordRef(kind=kind, id=id)
    found = dossiers.record(caller.db, ref, owners=caller.owners())
    if found is None:
        raise not_found(str(ref))
    record, tag = found
    response.headers.update(tagged(tag))
    return KnownRecord.model_validate(record, from_attributes=True)


@router.put(
    "/records/{kind}/{id:path}",
    response_model=WrittenRecord,
    operation_id="putRecord",
    summary="Write a record whole",
    responses={**ANSWER, 201: {**NEW[201], "model": WrittenRecord}, **answers(Kind.NOT_FOUND, Kind.CHANGED)},
)
def put_record(
    caller: Writer, kind: KindName, id: RecordId, content: Content, once: Idempotent, condition: Conditions
) -> Response:
    """Fields that are left out are no longer known. The same record again changes nothing."""
    return _write(caller, once, writing(caller.services.base.model, kind, id, content, condition))


@router.patch(
    "/records/{kind}/{id:path}",
    response_model=WrittenRecord,
    operation_id="patchRecord",
    summary="Change some fields of a record",
    responses={**ANSWER, **answers(Kind.NOT_FOUND, Kind.CHANGED)},
)
def patch_record(
    caller: Writer, kind: KindName, id: RecordId, content: Content, once: Idempotent, condition: Conditions
) -> Response:
    """In the manner of a JSON merge patch: what is left out stays, null removes."""
    return _write(caller, once, patching(caller.services.base.model, kind, id, content, condition))


@router.delete(
    "/records/{kind}/{id:path}",
    response_model=WrittenRecord,
    operation_id="deleteRecord",
    summary="Delete a record",
    responses=answers(Kind.NOT_FOUND, Kind.CHANGED),
)
def delete_record(caller: Writer, kind: KindName, id: RecordId, once: Idempotent, condition: Conditions) -> Response:
    """Where there is no such record (any more) nothing changes. 404: there is no such kind."""
    return _write(caller, once, deleting(caller.services.base.model, kind, id, condition=condition))


def _write(caller: Caller, once: Idempotent, change: Change) -> Response:
    source, trace = caller.actor.source, caller.trace

    def write(db: Database) -> Reply:
        (result,) = dossiers.change(db, [change], now=caller.now, source=source, trace=trace)
        return _reply(change, result)

    return once(caller, write)


def _reply(change: Change, result: Result) -> Reply:
    kind, id_ = change.name
    tag = tag_of(result)
    if result.outcome is Outcome.CONFLICT:
        if change.needs_one and result.stored is None:
            raise not_found(f"{kind} {id_}")
        raise changed_meanwhile(tag)
    return Reply(
        body=WrittenRecord(kind=kind, id=id_, outcome=result.outcome),
        status=201 if result.outcome is Outcome.NEW else 200,
        headers=tagged(tag),
    )
