"""Who am I: whoever calls, as the API knows them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from domain.access import Permission, Role
from web.api.access import CSRF_HEADER, Caller, Requires

router = APIRouter(tags=["access"])


class Me(BaseModel):
    user: str = Field(description="The user's id.", examples=["u_3f9c01d2a4b7"])
    name: str = Field(examples=["Lena Steiner"])
    role: Role
    person: str | None = Field(description="Whose reminders these are, where the user is one of the people.")
    permissions: list[Permission] = Field(description="What the role brings, narrowed to the token's scopes.")
    token: str | None = Field(description="The id of the token that was used; null: this is a browser's session.")
    csrf: str | None = Field(description=f"What a session's writes must send as `{CSRF_HEADER}`; null with a token.")


@router.get("/me", response_model=Me, operation_id="whoAmI", summary="Who am I, and what may I do?")
def who_am_i(caller: Annotated[Caller, Depends(Requires())]) -> Me:
    actor = caller.actor
    return Me(
        user=actor.user,
        name=actor.name,
        role=actor.role,
        person=actor.person,
        permissions=sorted(actor.permissions),
        token=actor.token,
        csrf=caller.csrf,
    )
