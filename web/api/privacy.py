"""What is kept about a customer or a person: handed out, or erased."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from domain.access import Permission
from store import erasure, privacy
from store.privacy import Of, Subject
from web.api.access import Caller, Requires
from web.api.asked import DOSSIER
from web.api.bodies import ExactRoute
from web.api.problems import Kind, answers, not_found
from web.api.users import LINE

router = APIRouter(tags=["privacy"], route_class=ExactRoute)

Officer: TypeAlias = Annotated[Caller, Depends(Requires(Permission.PRIVACY_MANAGE))]


class AskedAbout(BaseModel):
    """Somebody about whom something may be kept."""

    model_config = {"extra": "forbid"}

    of: Of = Field(description="Whether it is a customer or a person.")
    id: str = Field(pattern=DOSSIER, max_length=401, description="Theirs.", examples=["K1"])

    def subject(self) -> Subject:
        return Subject(of=self.of, id=self.id)


class ToErase(AskedAbout):
    reason: str = Field(
        pattern=LINE,
        max_length=200,
        description="Why. It stays in the audit, and should name nobody.",
        examples=["request of 23 November, ticket 4711"],
    )


class Kept(BaseModel):
    """Everything that is kept, but for what is secret."""

    of: Of
    id: str = Field(examples=["K1"])
    exported_at: datetime
    erased_at: list[datetime] = Field(description="When they were erased before.")
    parts: dict[str, list[dict[str, Any]]] = Field(
        description="Records, history, recommendations, deliveries with what they said, and so on.",
        examples=[{"records": [{"kind": "customer", "id": "K1", "fields": {"name": "Muster AG"}}]}],
    )


class Erased(BaseModel):
    erased: dict[str, int] = Field(description="How much there was.", examples=[{"records": 4, "audit": 9}])


@router.post(
    "/privacy/export",
    response_model=Kept,
    operation_id="exportSubject",
    summary="All that is kept about somebody",
    responses=answers(Kind.NOT_FOUND),
)
def export(caller: Officer, asked: AskedAbout) -> Kept:
    found = privacy.export(caller.db, asked.subject(), keys=caller.services.keys)
    if found is None:
        raise not_found(f"{asked.of} about whom anything is kept")
    return Kept(of=asked.of, id=asked.id, exported_at=caller.now, erased_at=list(found.erased_at), parts=_parts(found))


@router.post(
    "/privacy/erase",
    response_model=Erased,
    operation_id="eraseSubject",
    summary="Erase all that is kept about somebody",
    responses=answers(Kind.NOT_FOUND),
)
def erase(caller: Officer, asked: ToErase) -> Erased:
    """For good. What left before stays where it is: in mailboxes, in chats and with subscribers."""
    gone = erasure.erase(
        caller.db,
        asked.subject(),
        reason=asked.reason,
        source=caller.actor.source,
        key=caller.services.keys[0],
        now=caller.now,
        trace=caller.trace,
    )
    if not gone:
        raise not_found(f"{asked.of} about whom anything is kept")
    caller.services.wrote()
    return Erased(erased=dict(gone))


def _parts(found: privacy.Kept) -> dict[str, list[dict[str, Any]]]:
    return {name: [dict(row) for row in rows] for name, rows in found.parts.items()}
