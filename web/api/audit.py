"""The audit: who did what, when, and what was before and after."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from domain.access import Permission
from store import audit
from store.audit import Entry, Wanted
from web.api.access import Caller, Requires
from web.api.asked import Exactly
from web.api.paging import Cursor, Limit, Page, decode, encode

RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

router = APIRouter(tags=["audit"])

Auditor: TypeAlias = Annotated[Caller, Depends(Requires(Permission.AUDIT_READ))]


def _rfc3339(value: Any) -> Any:
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        raise ValueError("is no moment; write one like 2026-11-23T09:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # on the first or the last day there is
        return value.replace(tzinfo=UTC)


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_in_utc)]


class AuditEntry(BaseModel):
    """`before` and `after` hold what differs; null: it was not there, or is no longer."""

    seq: int = Field(description="Rises with each entry.", examples=[4711])
    at: datetime
    action: str = Field(examples=["record.changed"])
    source: str | None = Field(
        description="Who did it: user:ID, token:ID, link:PERSON, `import FILE`, `command line`, ...",
        examples=["token:t_3f9c01d2a4b7"],
    )
    kind: str | None = Field(description="What it was done to: a kind of records, user, token, ...")
    subject: str | None = Field(description="Its id.", examples=["C-1007"])
    customer: str | None = Field(description="Whose data it is.", examples=["K1"])
    before: dict[str, Any] | None = Field(examples=[{"status": "active"}])
    after: dict[str, Any] | None = Field(examples=[{"status": "ended"}])
    trace: str | None = Field(description="The id of the request, as in logs and in its `traceparent`.")
    sealed: bool = Field(description="The hash chain covers it; that takes a second or two.")
    erased_at: datetime | None = Field(description="Since when the entry is empty: its subject was erased.")

    @classmethod
    def of(cls, entry: Entry) -> AuditEntry:
        return cls.model_validate(entry, from_attributes=True)


@router.get("/audit", response_model=Page[AuditEntry], operation_id="listAudit", summary="Who did what, when")
def list_audit(
    caller: Auditor,
    kind: Exactly = None,
    subject: Exactly = None,
    customer: Exactly = None,
    source: Exactly = None,
    action: Exactly = None,
    since: Annotated[Moment | None, Query(description="From this moment on.")] = None,
    until: Annotated[Moment | None, Query(description="Before this moment.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """The latest first. All filters that are given have to hold."""
    before = decode(cursor, int)[0] if cursor else None
    wanted = Wanted(
        kind=kind, subject=subject, customer=customer, source=source, action=action, since=since, until=until
    )
    found = audit.listing(caller.db, wanted, before=before, limit=limit + 1)
    more = encode([found[limit - 1].seq]) if len(found) > limit else None
    return Page(items=[AuditEntry.of(entry) for entry in found[:limit]], next=more)
