"""People: who works with customers, in which team and office."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from domain.access import Permission
from domain.calendar import Calendar
from domain.person import People, Person
from rules.holidays import DaysOff
from rules.mapping.rows import PERSON_FIELDS
from rules.rulebase import RuleBase
from store import people
from store.changing import Outcome
from store.people import Change, UnknownPeople
from store.session import Database
from web.api.access import Caller, Requires
from web.api.bodies import ExactRoute
from web.api.idempotency import Idempotent, Reply
from web.api.paging import Cursor, Limit, Page, decode, encode
from web.api.problems import Fault, Kind, Problem, answers, not_found
from web.api.records import ANSWER, NEW, Conditions, changed_meanwhile, tagged
from web.api.users import LINE
from web.words import known_language

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

router = APIRouter(tags=["people"], route_class=ExactRoute)

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Permission.PEOPLE_READ))]
Writer: TypeAlias = Annotated[Caller, Depends(Requires(Permission.PEOPLE_WRITE))]
PersonId: TypeAlias = Annotated[
    str, Path(pattern=LINE, max_length=200, description="The person's id, as `owner` names them.", examples=["lena"])
]
TeamName: TypeAlias = Annotated[
    str, Path(pattern=LINE, max_length=200, description="The team's name.", examples=["zurich"])
]
Text: TypeAlias = Annotated[str, Field(pattern=LINE, max_length=200)]
Email: TypeAlias = Annotated[
    Text, Field(pattern=r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$", examples=["lena@example.com"])
]


class PersonFields(BaseModel):
    model_config = {"extra": "forbid"}

    manager: Text | None = Field(None, description="The manager's id.", examples=["petra"])
    team: Text | None = Field(None, examples=["zurich"])
    language: Text | None = Field(None, description="A code of ISO 639-1; null: the company's.", examples=["de"])
    timezone: Text | None = Field(
        None, description="A name of the IANA database; null: the company's.", examples=["Europe/Zurich"]
    )
    office: Text | None = Field(
        None, description="A calendar of the rule base; null: the company's.", examples=["zurich"]
    )
    chat: Text | None = Field(
        None, description="Where the person hears in a chat; null: nowhere.", examples=["slack:U02ABCDEF"]
    )


class NewPerson(PersonFields):
    name: Text = Field(examples=["Lena Steiner"])
    email: Email


class PersonPatch(PersonFields):
    """What is left out stays as it is; null removes."""

    name: Text = Field(default_factory=str, examples=["Lena Steiner"])
    email: Email = Field(default_factory=str)


class KnownPerson(BaseModel):
    id: str = Field(examples=["lena"])
    name: str = Field(examples=["Lena Steiner"])
    email: str = Field(examples=["lena@example.com"])
    manager: str | None
    team: str | None
    language: str | None
    timezone: str | None
    office: str | None
    chat: str | None

    @classmethod
    def of(cls, person: Person) -> KnownPerson:
        return cls.model_validate(person, from_attributes=True)


class WrittenPerson(BaseModel):
    id: str = Field(examples=["lena"])
    outcome: Outcome = Field(description="What the write did.")
    warnings: list[Fault] = Field([], description="What is recorded, and yet means nothing here (so far).")


class Team(BaseModel):
    name: str = Field(examples=["zurich"])
    lead: str | None = Field(description="The member whom most of the team report to.", examples=["petra"])
    members: list[str] = Field(description="Ids of people.", examples=[["lena", "petra"]])


class TeamMembers(BaseModel):
    model_config = {"extra": "forbid"}

    members: list[Text] = Field(max_length=10_000, description="Ids of people.", examples=[["lena", "petra"]])


class Hours(BaseModel):
    begin: str = Field(examples=["09:00"])
    end: str = Field(examples=["17:00"])


class Office(BaseModel):
    name: str = Field(examples=["zurich"])
    timezone: str = Field(examples=["Europe/Zurich"])
    hours: dict[str, list[Hours]] = Field(description="When it is open, by weekday.")
    holidays: bool = Field(description="Whether its public holidays are known.")


# --- people ---


@router.get("/people", response_model=Page[KnownPerson], operation_id="listPeople", summary="Everybody who is known")
def list_people(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[KnownPerson]:
    """By id, as they were written: what people wish for themselves is their own."""
    (after,) = decode(cursor, str) if cursor else ("",)
    found = people.listing(caller.db, after=after, limit=limit + 1)
    more = encode([found[limit - 1].id]) if len(found) > limit else None
    return Page(items=[KnownPerson.of(person) for person in found[:limit]], next=more)


@router.get(
    "/people/{id:path}",
    response_model=KnownPerson,
    operation_id="getPerson",
    summary="A person",
    responses={**ANSWER, **answers(Kind.NOT_FOUND)},
)
def get_person(caller: Reader, id: PersonId, response: Response) -> KnownPerson:
    person = people.get(caller.db, id)
    if person is None:
        raise not_found(f"person {id}")
    response.headers.update(tagged(people.tag(person)))
    return KnownPerson.of(person)


@router.put(
    "/people/{id:path}",
    response_model=WrittenPerson,
    operation_id="putPerson",
    summary="Write a person whole",
    responses={**ANSWER, 201: {**NEW[201], "model": WrittenPerson}, **answers(Kind.CHANGED)},
)
def put_person(caller: Writer, id: PersonId, new: NewPerson, once: Idempotent, condition: Conditions) -> Response:
    """What people wish for themselves stays as it is."""
    person = Person(id=id, **_checked(new.model_dump()))
    return once(caller, lambda db: _written(caller, db, people.writing(person, condition=condition)))


@router.patch(
    "/people/{id:path}",
    response_model=WrittenPerson,
    operation_id="patchPerson",
    summary="Change what is known of a person",
    responses={**ANSWER, **answers(Kind.NOT_FOUND, Kind.CHANGED)},
)
def patch_person(caller: Writer, id: PersonId, patch: PersonPatch, once: Idempotent, condition: Conditions) -> Response:
    changed = _checked(patch.model_dump(exclude_unset=True))
    return once(caller, lambda db: _written(caller, db, people.patching(id, changed, condition=condition)))


@router.delete(
    "/people/{id:path}",
    response_model=WrittenPerson,
    operation_id="deletePerson",
    summary="Somebody leaves",
    responses=answers(Kind.CHANGED),
)
def delete_person(caller: Writer, id: PersonId, once: Idempotent, condition: Conditions) -> Response:
    """Nothing is sent to them any more, what they wished for is forgotten, and their customers are decided anew.

    Where there is no such person (any more) nothing changes.
    """
    return once(caller, lambda db: _written(caller, db, people.removing(id, condition=condition)))


def _checked(said: dict[str, Any]) -> dict[str, Any]:
    """As the import checks it. Raises `Problem`."""
    errors: list[Fault] = []
    for name, value in said.items():
        try:
            PERSON_FIELDS[name].read(value, UTC) if value is not None else None
        except ValueError as refusal:
            errors.append(Fault(pointer=f"/{name}", detail=f'"{value}" {refusal}'))
    if errors:
        raise Problem(kind=Kind.INVALID, detail="The person cannot be recorded; nothing was written.", errors=errors)
    return said


UTC = ZoneInfo("UTC")  # no text needs a zone to be read


def _written(caller: Caller, db: Database, change: Change) -> Reply:
    (result,) = people.change(db, [change], now=caller.now, source=caller.actor.source, trace=caller.trace)
    tag = result.stored and people.tag(result.stored)
    if result.outcome is Outcome.CONFLICT:
        if change.needs_one and result.stored is None:
            raise not_found(f"person {change.name}")
        raise changed_meanwhile(tag)
    warnings = _warnings(result.stored, caller.services.base, people.load(db)) if result.stored else []
    return Reply(
        body=WrittenPerson(id=change.name, outcome=result.outcome, warnings=warnings),
        status=201 if result.outcome is Outcome.NEW else 200,
        headers=tagged(tag),
    )


# What makes a value mean nothing here, and how that is said.
MEANINGLESS: Mapping[str, tuple[Callable[[Person, RuleBase, People], bool], str]] = {
    "manager": (lambda person, _, known: known.get(person.manager) is None, "nobody is known by this id"),
    "office": (lambda person, base, _: person.office not in base.calendars, "the rule base has no such calendar"),
    "language": (lambda person, *_: known_language(person.language) is None, "no text is written in this language"),
    "chat": (lambda person, *_: person.chat_address is None, "names no way like slack:U02ABCDEF or teams:sales"),
}


def _warnings(person: Person, base: RuleBase, known: People) -> list[Fault]:
    return [
        Fault(pointer=f"/{name}", detail=f'"{getattr(person, name)}": {says}')
        for name, (means_nothing, says) in MEANINGLESS.items()
        if getattr(person, name) is not None and means_nothing(person, base, known)
    ]


# --- teams and offices ---


@router.get("/teams", response_model=Page[Team], operation_id="listTeams", summary="The teams")
def list_teams(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[Team]:
    """By name. A team is there as long as somebody is in it."""
    (after,) = decode(cursor, str) if cursor else ("",)
    known = people.load(caller.db)
    names = sorted({person.team for person in known.by_id.values() if person.team and person.team > after})
    more = encode([names[limit - 1]]) if len(names) > limit else None
    return Page(items=[_team(known, name) for name in names[:limit]], next=more)


@router.put(
    "/teams/{name:path}",
    response_model=Team,
    operation_id="putTeam",
    summary="Say who is in a team",
)
def put_team(caller: Writer, name: TeamName, team: TeamMembers, once: Idempotent) -> Response:
    """Whoever is left out is in no team any more; nobody left, no team."""

    def write(db: Database) -> Reply:
        try:
            people.set_team(db, name, team.members, now=caller.now, source=caller.actor.source, trace=caller.trace)
        except UnknownPeople as unknown:
            errors = [
                Fault(pointer=f"/members/{index}", detail=f'"{member}": nobody is known by this id')
                for index, member in enumerate(team.members)
                if member in unknown.ids
            ]
            detail = "Not all members are known; nothing was written."
            raise Problem(kind=Kind.INVALID, detail=detail, errors=errors) from None
        return Reply(body=_team(people.load(db), name))

    return once(caller, write)


def _team(known: People, name: str) -> Team:
    return Team(name=name, lead=known.leads.get(name), members=[person.id for person in known.team(name)])


@router.get("/offices", response_model=Page[Office], operation_id="listOffices", summary="The offices")
def list_offices(caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[Office]:
    """By name. They are the calendars of the rule base, and written there."""
    (after,) = decode(cursor, str) if cursor else ("",)
    calendars = caller.services.base.calendars
    names = sorted(name for name in calendars if name > after)
    more = encode([names[limit - 1]]) if len(names) > limit else None
    return Page(items=[_office(calendars[name]) for name in names[:limit]], next=more)


def _office(calendar: Calendar) -> Office:
    hours = {
        day: [Hours(begin=begin.isoformat("minutes"), end=end.isoformat("minutes")) for begin, end in of_day]
        for day, of_day in zip(DAYS, calendar.hours, strict=True)
    }
    closed = calendar.closed
    known = isinstance(closed, DaysOff) and closed.country is not None
    return Office(name=calendar.name, timezone=calendar.zone.key, hours=hours, holidays=known)
