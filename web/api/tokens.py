"""Tokens: what acts for a user. One's own; an admin those of all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, BeforeValidator, Field

from domain.access import Permission, Role, granted
from store import users
from store.users import TOKEN_DAYS_MAX, Token, User
from web.api.access import Caller, Requires
from web.api.paging import Cursor, Limit, Page, decode, encode
from web.api.problems import Kind, Problem, answers, not_found
from web.api.users import LINE

router = APIRouter(tags=["access"])

Owner: TypeAlias = Annotated[Caller, Depends(Requires(Permission.TOKENS_MANAGE))]
TokenId: TypeAlias = Annotated[str, Path(pattern=LINE, max_length=200, description="The token's id.")]


class KnownToken(BaseModel):
    """A token, but for itself: that is shown once."""

    id: str = Field(examples=["t_71b0c4e9d2f5"])
    user: str = Field(description="For whom it acts.", examples=["u_3f9c01d2a4b7"])
    name: str = Field(examples=["nightly import"])
    scopes: Annotated[list[Permission], BeforeValidator(sorted)] | None = Field(
        description="What it may do; null: all that the user's role brings."
    )
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None = Field(description="When it was last used, to the minute.")
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: Token) -> KnownToken:
        return cls.model_validate(token, from_attributes=True)


class MadeToken(KnownToken):
    token: str = Field(description="The token itself, which is never shown again.", examples=["rel_Jx0..."])


class NewToken(BaseModel):
    model_config = {"extra": "forbid"}

    name: str = Field(pattern=LINE, max_length=200, description="What it is for.", examples=["nightly import"])
    scopes: list[Permission] | None = Field(
        None,
        min_length=1,
        max_length=len(Permission),
        description="What it may do, at most what you may. Null: all that both you and its user may.",
    )
    days: int = Field(TOKEN_DAYS_MAX, ge=1, le=TOKEN_DAYS_MAX, description="How long it is good; at most a year.")
    user: str | None = Field(
        None, pattern=LINE, max_length=200, description="For whom it acts; null: for you. Another only for an admin."
    )


@router.get("/tokens", response_model=Page[KnownToken], operation_id="listTokens", summary="Tokens, by id")
def list_tokens(caller: Owner, limit: Limit = 50, cursor: Cursor = None) -> Page[KnownToken]:
    (after,) = decode(cursor, str) if cursor else ("",)
    found = users.token_listing(caller.db, user=_whose(caller), after=after, limit=limit + 1)
    more = encode([found[limit - 1].id]) if len(found) > limit else None
    return Page(items=[KnownToken.of(token) for token in found[:limit]], next=more)


@router.post(
    "/tokens",
    status_code=201,
    response_model=MadeToken,
    operation_id="makeToken",
    summary="A new token, shown once",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def make_token(caller: Owner, new: NewToken) -> MadeToken:
    """403: a scope that you, or its user, do not have. 409: its user is disabled."""
    user = _user(caller, new.user)
    may = granted(user.role) & caller.actor.permissions
    if beyond := set(new.scopes or ()) - may:
        raise Problem(kind=Kind.FORBIDDEN, detail=f"The scope {min(beyond)} is not yours to give to this token.")
    if user.disabled_at is not None:
        raise Problem(kind=Kind.CONFLICT, detail="This user is disabled.")
    token, text = users.issue(
        caller.db,
        user=user.id,
        name=new.name,
        scopes=new.scopes or (None if may == granted(user.role) else may),
        expires_at=caller.now + timedelta(days=new.days),
        source=caller.actor.source,
        now=caller.now,
        trace=caller.trace,
    )
    return MadeToken(**KnownToken.of(token).model_dump(), token=text)


@router.delete(
    "/tokens/{token}",
    status_code=204,
    response_model=None,
    operation_id="revokeToken",
    summary="End a token, at once and for good",
    responses=answers(Kind.NOT_FOUND),
)
def revoke_token(caller: Owner, token: TokenId) -> Response:
    if not users.revoke(
        caller.db, token, user=_whose(caller), source=caller.actor.source, now=caller.now, trace=caller.trace
    ):
        raise not_found(f"token {token}")
    return Response(status_code=204)


def _whose(caller: Caller) -> str | None:
    """Whose tokens the caller manages; None: everybody's."""
    return None if caller.actor.role is Role.ADMIN else caller.actor.user


def _user(caller: Caller, named: str | None) -> User:
    wanted = named or caller.actor.user
    found = users.get(caller.db, wanted) if _whose(caller) in (None, wanted) else None
    if found is None:
        raise not_found(f"user {wanted}")
    return found
