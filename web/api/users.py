"""Users: who may sign in, in which role."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field, SecretStr

from domain.access import Permission, Role, granted
from store import people, users
from store.passwords import LONGEST, SHORTEST, Weak
from store.users import User
from web.api.access import Caller, Requires
from web.api.paging import Cursor, Limit, Page, decode, encode
from web.api.problems import Fault, Kind, Problem, answers, not_found

ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,2}$"
LINE = r"^[^\x00-\x1f\x7f-\x9f]{1,200}$"
PASSWORD_IS = f"{SHORTEST} characters or more, in which neither name nor address occurs."

router = APIRouter(tags=["access"])

Admin: TypeAlias = Annotated[Caller, Depends(Requires(Permission.USERS_MANAGE))]
UserId: TypeAlias = Annotated[str, Path(pattern=LINE, max_length=200, description="The user's id.")]
Name: TypeAlias = Annotated[str, Field(pattern=LINE, max_length=200, examples=["Lena Steiner"])]
Password: TypeAlias = Annotated[
    SecretStr, Field(min_length=SHORTEST, max_length=LONGEST, description=PASSWORD_IS, examples=["four words of mine"])
]
PersonId: TypeAlias = Annotated[
    str, Field(pattern=LINE, max_length=200, description="The person whose reminders these are.", examples=["lena"])
]


class KnownUser(BaseModel):
    id: str = Field(examples=["u_3f9c01d2a4b7"])
    email: str = Field(examples=["lena@example.com"])
    name: str = Field(examples=["Lena Steiner"])
    role: Role
    person: str | None = Field(description="Whose reminders these are, where the user is one of the people.")
    created_at: datetime
    disabled_at: datetime | None = Field(description="Since when the user may not sign in; null: may.")

    @classmethod
    def of(cls, user: User) -> KnownUser:
        return cls.model_validate(user, from_attributes=True)


class NewUser(BaseModel):
    model_config = {"extra": "forbid"}

    email: str = Field(pattern=ADDRESS, max_length=254, description="To sign in with.", examples=["lena@example.com"])
    name: Name
    role: Role
    person: PersonId | None = None
    password: Password | None = Field(
        None, description=f"{PASSWORD_IS} Null: they sign in elsewhere, or it is set later."
    )


class UserChange(BaseModel):
    """What is left out stays as it is."""

    model_config = {"extra": "forbid"}

    name: Name | None = Field(None, description="Null: as it is.")
    role: Role | None = Field(None, description="Null: as it is. With less than before, sessions and tokens end.")
    person: PersonId | None = Field(None, description="Null: none of the people.")
    disabled: bool | None = Field(
        None, description="True: may not sign in, and sessions and tokens end. Null: as it is."
    )


class NewPassword(BaseModel):
    model_config = {"extra": "forbid"}

    password: Password


@router.get("/users", response_model=Page[KnownUser], operation_id="listUsers", summary="Everybody who may sign in")
def list_users(caller: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[KnownUser]:
    """By address."""
    (after,) = decode(cursor, str) if cursor else ("",)
    found = users.listing(caller.db, after=after, limit=limit + 1)
    more = encode([found[limit - 1].email]) if len(found) > limit else None
    return Page(items=[KnownUser.of(user) for user in found[:limit]], next=more)


@router.post(
    "/users",
    status_code=201,
    response_model=KnownUser,
    operation_id="addUser",
    summary="Somebody may sign in",
    responses=answers(Kind.CONFLICT),
)
def add_user(caller: Admin, new: NewUser) -> KnownUser:
    """No user has more permissions than whoever adds them. 409: the address is taken, or the password too weak."""
    _may_give(caller, new.role)
    _check_person(caller, new.person)
    try:
        user = users.add(
            caller.db,
            email=new.email,
            name=new.name,
            role=new.role,
            person=new.person,
            password=new.password.get_secret_value() if new.password else None,
            source=caller.actor.source,
            now=caller.now,
            trace=caller.trace,
        )
    except users.Taken:
        raise _conflict("/email", "There is a user with this address already.") from None
    except Weak as weak:
        raise _conflict("/password", str(weak)) from None
    return KnownUser.of(user)


@router.patch(
    "/users/{user}",
    response_model=KnownUser,
    operation_id="changeUser",
    summary="Change a user's role, person or name, or disable them",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def change_user(caller: Admin, user: UserId, change: UserChange) -> KnownUser:
    """409: this is the last admin, or there is no such person."""
    before = _managed(caller, user)
    _may_give(caller, change.role or before.role)
    _check_person(caller, change.person)
    try:
        after = users.change(
            caller.db,
            user,
            _changes(change, before, caller),
            source=caller.actor.source,
            now=caller.now,
            trace=caller.trace,
        )
    except users.LastAdmin as last:
        raise Problem(kind=Kind.CONFLICT, detail=str(last)) from None
    if after is None:
        raise not_found(f"user {user}")
    return KnownUser.of(after)


@router.put(
    "/users/{user}/password",
    status_code=204,
    response_model=None,
    operation_id="setPassword",
    summary="Give a user a new password",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def set_password(caller: Admin, user: UserId, new: NewPassword) -> Response:
    """Their sessions end. 409: the password is too weak."""
    known = _managed(caller, user)
    try:
        users.set_password(
            caller.db,
            known,
            new.password.get_secret_value(),
            source=caller.actor.source,
            now=caller.now,
            trace=caller.trace,
        )
    except Weak as weak:
        raise _conflict("/password", str(weak)) from None
    return Response(status_code=204)


def _changes(change: UserChange, before: User, caller: Caller) -> dict[str, Any]:
    given = change.model_dump(exclude_unset=True)
    changes = {name: value for name, value in given.items() if value is not None or name == "person"}
    disabled = changes.pop("disabled", None)
    if disabled is not None:
        changes["disabled_at"] = (before.disabled_at or caller.now) if disabled else None
    return changes


def _managed(caller: Caller, user: str) -> User:
    """A user whom this caller may change: one of more permissions than their own could be used to get them."""
    found = users.get(caller.db, user)
    if found is None:
        raise not_found(f"user {user}")
    _may_give(caller, found.role)
    return found


def _may_give(caller: Caller, role: Role) -> None:
    if beyond := granted(role) - caller.actor.permissions:
        detail = f"The role {role} brings {min(beyond)}, which you do not have yourself."
        raise Problem(kind=Kind.FORBIDDEN, detail=detail)


def _check_person(caller: Caller, person: str | None) -> None:
    if person is not None and people.load(caller.db).get(person) is None:
        raise _conflict("/person", f'There is no person "{person}".')


def _conflict(pointer: str, detail: str) -> Problem:
    return Problem(kind=Kind.CONFLICT, detail=detail, errors=[Fault(pointer=pointer, detail=detail)])
