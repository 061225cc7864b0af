"""What other systems post by themselves: their own JSON, read through a mapping.

The sender has a token, or signs the body with a secret that only both know.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from domain.access import Actor, Permission, Role
from rules.problems import Severity
from store.session import Database
from web.api.access import Caller, Requires
from web.api.bodies import parsed
from web.api.idempotency import Idempotent, Reply
from web.api.problems import Kind, Problem, answers, not_found
from web.api.users import LINE
from web.services import Inbound, services_of

TOLERANCE = timedelta(minutes=5)  # how old a signature may be, and how far a sender's clock may be off
STANDARD_SECRET = "whsec_"  # noqa: S105  what such a secret begins with

router = APIRouter(tags=["inbound"])

Name: TypeAlias = Annotated[
    str, Path(pattern=LINE, max_length=200, description="As the settings name it: [inbound.NAME].", examples=["crm"])
]


class RowFinding(BaseModel):
    """Something that is wrong with a row. An error: the row was left out; a warning: a field was."""

    row: int = Field(description="Counted from 1.")
    severity: Severity
    kind: str = Field(examples=["contract"])
    id: str = Field(examples=["C-1007"])
    field: str = Field(examples=["end_date"])
    value: str = Field(examples=["soon"])
    reason: str = Field(examples=['end_date "soon" is not a date like 2027-01-07'])


class Received(BaseModel):
    rows: int
    rejected: int = Field(description="Rows that were left out.")
    written: dict[str, dict[str, int]] = Field(
        description="For each kind, how many records were new, changed and unchanged.",
        examples=[{"opportunity": {"new": 1, "changed": 0, "unchanged": 4}}],
    )
    findings: list[RowFinding]


# --- who may ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender(Actor):
    """A system that is known by its signature alone."""

    @property
    def source(self) -> str:
        return self.user


async def _body(request: Request) -> bytes:
    return await request.body()


Body: TypeAlias = Annotated[bytes, Depends(_body)]


@dataclass(frozen=True, slots=True)
class RequiresOrSigned(Requires):
    """Whoever has the permission may use the route, and whoever signs the body. Without either, every name is alike."""

    def __call__(self, request: Request, body: Body = b"") -> Caller:
        services = services_of(request)
        name, now = request.path_params["name"], services.clock()
        source = services.inbound.get(name)
        if source is not None and signed(source, body, request.headers, now=now):
            sender = Sender(
                user=f"inbound:{name}",
                name=name,
                role=Role.INTEGRATOR,
                permissions=frozenset({Permission.RECORDS_WRITE}),
            )
            return Caller(actor=sender, services=services, now=now, trace=request.state.trace)
        return Requires(self.permission)(request)


Writer: TypeAlias = Annotated[Caller, Depends(RequiresOrSigned(Permission.RECORDS_WRITE))]


def signed(source: Inbound, body: bytes, headers: Headers, *, now: datetime) -> bool:
    """Whether a body was signed with the secret of this source, lately."""
    if source.secret is None:
        return False
    if source.header is None:
        return _signed_by_standard(source.secret, body, headers, now=now)
    digest = hmac.digest(source.secret.encode(), body, "sha256")
    given = headers.get(source.header, "").removeprefix("sha256=")
    return _same(given.lower(), digest.hex()) or _same(given, b64encode(digest).decode())


def _signed_by_standard(secret: str, body: bytes, headers: Headers, *, now: datetime) -> bool:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    id_, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdigit() and abs(now.timestamp() - int(at[:12])) <= TOLERANCE.total_seconds()):
        return False
    digest = hmac.digest(key_of(secret), f"{id_}.{at}.".encode() + body, "sha256")
    expected = f"v1,{b64encode(digest).decode()}"
    given = headers.get("webhook-signature", "").split()
    return any(_same(each, expected) for each in given)


def key_of(secret: str) -> bytes:
    """The bytes behind a secret of Standard Webhooks. Raises ValueError."""
    try:
        return b64decode(secret.removeprefix(STANDARD_SECRET), validate=True)
    except binascii.Error:
        raise ValueError("a secret of Standard Webhooks is whsec_ and base64") from None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


# --- the route ---

ANYTHING: Mapping[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"description": "One row, an array of rows, or what has them under the setting `rows`."},
            "example": [{"Contract No": "C-1007", "Customer": "K1", "End": "07.01.2027"}],
        }
    },
}


@router.post(
    "/inbound/{name}",
    response_model=Received,
    operation_id="receive",
    summary="Take what another system posts",
    responses=answers(Kind.NOT_FOUND),
    openapi_extra={"requestBody": ANYTHING},
)
def receive(caller: Writer, name: Name, body: Body, once: Idempotent) -> Response:
    """Rows go through the mapping that the settings name. One that is at fault is left out and reported.

    Whoever has no token signs the body, as Standard Webhooks say or with HMAC-SHA256 in the header that the settings
    name.
    """
    source = caller.services.inbound.get(name)
    if source is None:
        raise not_found(f"[inbound.{name}]")
    rows = _rows(source, body)

    def write(db: Database) -> Reply:
        taken = source.take(db, rows, source=caller.actor.source, now=caller.now, trace=caller.trace)
        findings = [RowFinding(row=f.line, **_shown(asdict(f))) for f in taken.findings]
        return Reply(body=Received(rows=len(rows), rejected=taken.rejected, written=taken.written, findings=findings))

    return once(caller, write)


def _rows(source: Inbound, body: bytes) -> Sequence[object]:
    try:
        found = parsed(body)
    except ValueError as refusal:
        raise Problem(kind=Kind.INVALID, detail=f"The body {refusal}.") from None
    for step in source.rows.split(".") if source.rows else ():
        if not isinstance(found, dict) or step not in found:
            raise Problem(kind=Kind.INVALID, detail=f"There is nothing under `{source.rows}`, where rows should be.")
        found = found[step]
    return found if isinstance(found, list) else [found]


def _shown(finding: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in finding.items() if name != "line"}
