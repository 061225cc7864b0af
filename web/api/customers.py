"""Customers: everything that is known of one, what happened, and why a rule speaks or does not."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from domain.access import Permission
from domain.delivery import Delivery
from domain.person import People
from domain.recommendation import State
from rules.examine import NoSubject, document, subjects
from rules.problems import unknown
from rules.rule import Reach
from rules.rulebase import Undecidable
from rules.telling import telling
from store import customers, dossiers, passed, people, recommendations
from store.customers import Customer
from store.dossiers import Stored
from store.passed import Passed
from store.recommendations import Sort, Wanted
from web.api.access import Caller, Requires
from web.api.asked import DOSSIER, Exactly, InLanguage
from web.api.audit import Moment
from web.api.paging import Cursor, Limit, Page, decode, encode, unreadable
from web.api.problems import Kind, Problem, answers, not_found
from web.api.recommendations import ExplainedRecommendation, Ref, explained, shadows
from web.api.records import etag
from web.api.users import LINE

OPEN_SHOWN = 200  # of one customer: nobody reads more

router = APIRouter(tags=["customers"])

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Permission.CUSTOMERS_READ))]
Id: TypeAlias = Annotated[
    str,
    Path(
        pattern=DOSSIER,
        max_length=401,
        description="The customer's id. A record that has no customer is one of its own, KIND/ID: write it as it is, "
        "with the slash.",
        examples=["K1"],
    ),
]


class KnownCustomer(BaseModel):
    id: str = Field(examples=["K1"])
    name: str = Field(description="The id, where no name is known.", examples=["Muster Logistik AG"])
    owner: str | None = Field(description="The person who looks after the customer.", examples=["lena"])
    team: str | None = Field(description="That person's.", examples=["zurich"])
    open: int = Field(description="How many recommendations are open.")


class RecordOfCustomer(BaseModel):
    id: str = Field(examples=["C-1007"])
    etag: str = Field(description="Of the record, for `If-Match`.", examples=['"0c9a1b2d3e4f5a6b7c8d9e0f1a2b3c4d"'])
    fields: dict[str, str | bool | int] = Field(examples=[{"status": "active", "end_date": "2027-01-07"}])


class Failure(BaseModel):
    """The last evaluation failed: this customer is put aside and tried again."""

    reason: str
    at: datetime


class WholeCustomer(KnownCustomer):
    standing: str | None = Field(description="The company's verdict on the customer as a whole; null: none is formed.")
    records: dict[str, list[RecordOfCustomer]] = Field(description="By kind.")
    recommendations: list[ExplainedRecommendation] = Field(description="What is open, the most valuable first.")
    evaluated_at: datetime | None = Field(description="When the rules were last asked; null: never yet.")
    next_check: datetime | None = Field(description="When they are asked next, if nobody writes; null: never.")
    failure: Failure | None


@router.get(
    "/customers", response_model=Page[KnownCustomer], operation_id="listCustomers", summary="The customers one sees"
)
def list_customers(
    caller: Reader,
    search: Annotated[Exactly, Query(description="How the name begins, or the id.")] = None,
    owner: Annotated[Exactly, Query(description="Somebody who looks after a record of theirs.")] = None,
    team: Annotated[Exactly, Query(description="The team of somebody who does.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KnownCustomer]:
    """By id. All filters that are given have to hold."""
    (after,) = decode(cursor, str) if cursor else ("",)
    known = people.load(caller.db)
    found = customers.listing(
        caller.db,
        owners=caller.owners(known),
        search=search,
        looked_after_by=_looked_after_by(owner, team, known),
        after=after,
        limit=limit + 1,
    )
    shown = found[:limit]
    open_ = recommendations.open_of(caller.db, [each.id for each in shown], without=shadows(caller.services.base))
    return Page(
        items=[KnownCustomer(**_known(each, known), open=open_.get(each.id, 0)) for each in shown],
        next=encode([shown[-1].id]) if len(found) > limit else None,
    )


def _looked_after_by(owner: str | None, team: str | None, known: People) -> Collection[str] | None:
    if team is None:
        return None if owner is None else [owner]
    return [mate.id for mate in known.team(team) if owner in (None, mate.id)]


def _known(customer: Customer, known: People) -> dict[str, Any]:
    owner = known.get(customer.owner)
    return {
        "id": customer.id,
        "name": customer.name,
        "owner": customer.owner,
        "team": owner.team if owner else None,
    }


# --- what happened ---


class PassedDelivery(BaseModel):
    id: int
    purpose: str = Field(examples=["reminder"])
    channel: str = Field(examples=["email"])
    person: str = Field(examples=["lena"])


class PassedAtCustomer(BaseModel):
    at: datetime
    what: str = Field(
        description="record.created, record.changed, record.deleted; record.written and record.left, of which no more "
        "is known; recommendation.raised, recommendation.ended, recommendation.done, .accept, .dismiss, .snooze, "
        ".reopen; delivery. and the state it is in; and what else is done.",
        examples=["record.changed"],
    )
    source: str | None = Field(description="Who did it, where somebody did.", examples=["user:u_3f9c01d2a4b7"])
    record: Ref | None
    recommendation: str | None = Field(description="Its id.")
    rule: str | None
    delivery: PassedDelivery | None
    before: dict[str, Any] | None = Field(description="What differs, as it was.", examples=[{"status": "active"}])
    after: dict[str, Any] | None = Field(description="What differs, as it became.", examples=[{"status": "ended"}])

    @classmethod
    def of(cls, passed: Passed) -> PassedAtCustomer:
        return cls(
            at=passed.at,
            what=passed.what,
            source=passed.source,
            record=Ref(kind=passed.record.kind, id=passed.record.id) if passed.record else None,
            recommendation=passed.recommendation,
            rule=passed.rule,
            delivery=_delivery(passed.delivery),
            before=None if passed.before is None else dict(passed.before),
            after=None if passed.after is None else dict(passed.after),
        )


def _delivery(delivery: Delivery | None) -> PassedDelivery | None:
    return None if delivery is None else PassedDelivery.model_validate(delivery, from_attributes=True)


@router.get(
    "/customers/{id:path}/history",
    response_model=Page[PassedAtCustomer],
    operation_id="getCustomerHistory",
    summary="What happened at a customer",
    responses=answers(Kind.NOT_FOUND),
)
def get_history(caller: Reader, id: Id, limit: Limit = 50, cursor: Cursor = None) -> Page[PassedAtCustomer]:
    """Writes, recommendations, what people did with them, and messages about them: the latest first."""
    customer = _seen(caller, id)
    found = passed.page(caller.db, customer.id, before=_position(cursor) if cursor else None, limit=limit + 1)
    shown = found[:limit]
    return Page(
        items=[PassedAtCustomer.of(each) for each in shown],
        next=_cursor(shown[-1]) if len(found) > limit else None,
    )


def _cursor(last: Passed) -> str:
    at, *place = last.position
    return encode([at.isoformat(), *place])


def _position(cursor: str) -> passed.Position:
    """Raises `Problem`."""
    at, part, number, name = decode(cursor, str, int, int, str)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise unreadable() from None
    if moment.tzinfo is None:
        raise unreadable()
    return moment, part, number, name


# --- why, and why not ---


class CheckOfRecord(BaseModel):
    condition: str
    value: Any
    holds: bool
    origin: Origin | None


class RelatedRecord(Ref):
    conditions: list[CheckOfRecord]


class Origin(BaseModel):
    """Where a value comes from that nobody recorded."""

    field: str = Field(examples=["customer.margin_12m"])
    by: str = Field(description="How it is worked out, or which rule sets it.")
    parts: list[PartOfOrigin]
    more: int = Field(description="How many parts are not shown.")


class PartOfOrigin(BaseModel):
    of: str
    value: Any
    origin: Origin | None


class ConditionOfRule(BaseModel):
    condition: str = Field(examples=["end_date: in the next 90 days"])
    part: str = Field(description="when, any of, with, unless.", examples=["when"])
    alternative: int | None = Field(None, description="Of `any of`, which.")
    value: Any = Field(description="What is recorded; of `with` and `unless` the ids of the records found.")
    holds: bool
    until: datetime | None = Field(description="When time alone changes that; null: never.")
    origin: Origin | None = None
    records: list[RelatedRecord] = Field([], description="Those that were found.")
    more: int = Field(0, description="How many of them are not shown.")
    nearest: RelatedRecord | None = Field(None, description="Where one is missing: the record that comes nearest.")


class WhySubject(BaseModel):
    subject: Ref
    holds: bool
    flips_at: datetime | None = Field(description="When time alone changes that; null: never.")
    reach: Reach = Field(description="How far the rule gets with this customer: only `live` reminds anybody.")
    to: list[str] = Field(description="Whom it speaks to, or would.")
    held_back_by: list[str] = Field(description="The rules that hold it back, or would.")
    conditions: list[ConditionOfRule]


class Why(BaseModel):
    customer: str = Field(examples=["K1"])
    rule: str = Field(examples=["contract-expiring"])
    at: datetime
    subjects: list[WhySubject] = Field(description="Each record that the rule looks at.")


@router.get(
    "/customers/{id:path}/why/{rule}",
    response_model=Why,
    operation_id="explainRule",
    summary="Why a rule speaks, or why not",
    responses=answers(Kind.NOT_FOUND, Kind.CONFLICT),
)
def why(
    caller: Reader,
    id: Id,
    rule: Annotated[str, Path(pattern=LINE, max_length=200, examples=["contract-expiring"])],
    subject: Annotated[Exactly, Query(description="Only this record, by its id.")] = None,
    at: Annotated[Moment | None, Query(description="At which moment; now unless given.")] = None,
    language: Annotated[InLanguage, Query(description="Of the conditions; as they are written unless given.")] = None,
) -> Why:
    """Each condition with its value, whether it holds and until when, and where the value comes from.

    It is read from the records as they are today, whatever the moment.
    """
    customer, base = _seen(caller, id), caller.services.base
    found = base.by_id.get(rule)
    dossier = dossiers.load(caller.db, customer.id)
    if found is None or dossier is None:
        raise Problem(kind=Kind.NOT_FOUND, detail=f"{unknown('rule', rule, base.by_id).capitalize()}.")
    now = at or caller.now
    try:
        decision = base.decide(dossier, now=now, people=people.load(caller.db))
        examined = list(subjects(base, found, decision, subject))
    except NoSubject as none:
        raise Problem(kind=Kind.NOT_FOUND, detail=f"{none}.") from None
    except Undecidable as failure:
        raise Problem(kind=Kind.CONFLICT, detail=f"Nothing can be said of this customer: {failure}.") from None
    saying = telling(base, decision.facts.at, language)
    return Why(
        customer=customer.id,
        rule=found.id,
        at=now,
        subjects=[WhySubject.model_validate(document(each, saying, _plain)) for each in examined],
    )


def _plain(value: object) -> object:
    """Numbers as the text of a decimal, moments and days in ISO 8601."""
    match value:
        case None | bool() | str():
            return value
        case Decimal():
            return format(value, "f")
        case tuple():
            return list(value)
        case other:
            return other.isoformat()  # pyright: ignore[reportAttributeAccessIssue]


# --- one; last, as its path takes everything ---


@router.get(
    "/customers/{id:path}",
    response_model=WholeCustomer,
    operation_id="getCustomer",
    summary="Everything about a customer",
    responses=answers(Kind.NOT_FOUND),
)
def get_customer(caller: Reader, id: Id, language: InLanguage = None) -> WholeCustomer:
    """The whole dossier: its records, what is open and why, when the rules are asked next."""
    customer = _seen(caller, id)
    dossier = dossiers.load(caller.db, customer.id)
    if dossier is None:
        raise not_found(f"customer {id}")
    wanted = Wanted(state=State.OPEN, dossier=customer.id, without=shadows(caller.services.base))
    found = recommendations.page(caller.db, wanted, sort=Sort.WORTH, descending=True, limit=OPEN_SHOWN, now=caller.now)
    records: dict[str, list[RecordOfCustomer]] = {}
    for record in dossier.records:
        fields = {name: str(value) if isinstance(value, Decimal) else value for name, value in record.fields.items()}
        shown = RecordOfCustomer(id=record.id, etag=etag(Stored.of(record).tag), fields=fields)
        records.setdefault(record.kind, []).append(shown)
    return WholeCustomer(
        **_known(customer, people.load(caller.db)),
        open=len(found),
        standing=None,
        records=records,
        recommendations=explained(caller, found, dossier, language=language),
        evaluated_at=customer.evaluated_at,
        next_check=customer.check_at,
        failure=_failure(customer),
    )


def _failure(customer: Customer) -> Failure | None:
    if customer.failed_at is None:
        return None
    return Failure(reason=customer.failed_reason or "", at=customer.failed_at)


def _seen(caller: Caller, id_: str) -> Customer:
    found = customers.get(caller.db, id_, owners=caller.owners())
    if found is None:
        raise not_found(f"customer {id_}")
    return found
