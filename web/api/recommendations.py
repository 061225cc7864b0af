"""Recommendations: what is open and why, and what people do with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self, TypeAlias
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from domain.access import Permission
from domain.calendar import Calendar, Span
from domain.event import described
from domain.person import People
from domain.recommendation import Match, NotOpen, Recommendation, State, Verdict
from domain.record import Dossier
from rules.model import Facts, Unreadable
from rules.phrases import UNITS
from rules.rule import Stage
from rules.rulebase import RuleBase
from store import customers, dossiers, people, recommendations
from store.recommendations import Position, Sort, Wanted
from store.visibility import sees
from web.acting import Doer
from web.api.access import Caller, Requires
from web.api.asked import Amount, CustomerId, Day, Exactly, InLanguage, Language, language_of
from web.api.audit import Moment
from web.api.bodies import ExactRoute
from web.api.paging import Cursor, Limit, Page, decode, encode, unreadable
from web.api.problems import ABOUT, MEDIA_TYPE, Kind, Problem, ProblemBody, answers, not_found
from web.api.users import LINE

ME = "me"
FARTHEST = timedelta(days=36_500)  # of a snooze: nobody waits longer

router = APIRouter(tags=["recommendations"], route_class=ExactRoute)

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Permission.RECOMMENDATIONS_READ))]
Actor: TypeAlias = Annotated[Caller, Depends(Requires(Permission.RECOMMENDATIONS_ACT))]
Id: TypeAlias = Annotated[
    str, Path(pattern=LINE, max_length=200, description="Of the recommendation.", examples=["4f0c9ab21d7e55e0c1a2b3d4"])
]


class Ref(BaseModel):
    kind: str = Field(examples=["contract"])
    id: str = Field(examples=["C-1007"])


class KnownRecommendation(BaseModel):
    """One rule about one subject, for as long as one episode lasts. It is as it was when the episode began."""

    id: str = Field(examples=["4f0c9ab21d7e55e0c1a2b3d4"])
    rule: str = Field(examples=["contract-expiring"])
    rule_version: int
    customer: str = Field(examples=["K1"])
    customer_name: str = Field(description="The id, where no name is known.", examples=["Muster Logistik AG"])
    subject: Ref
    state: State
    opened_at: datetime
    snoozed_until: datetime | None
    closed_at: datetime | None
    closed_by: str | None = Field(description="The person who closed it, or the user where that is nobody.")
    note: str | None = Field(description="What they said, or why it was not relevant.")
    ended_at: datetime | None = Field(description="Since when the rule does not hold any more; null: it does.")
    recommend: Verdict
    say: str = Field(examples=["The contract ends on 7 January 2027 and nobody is working on a renewal."])
    do: str | None = Field(description="The next best action.", examples=["call"])
    instead: list[str] = Field(description="What may be done instead.")
    worth: str | None = Field(description="What is at stake, in the company's currency.", examples=["48200.50"])
    due: date | None
    to: list[str] = Field(description="Whom it speaks to: people, or addresses where nobody known has them.")
    held_back_by: list[str] = Field(description="The rules because of which nobody is reminded of it.")
    tags: list[str]
    team: str | None
    product: str | None

    @classmethod
    def of(cls, recommendation: Recommendation, names: Mapping[str, str], **more: Any) -> Self:
        known = described(recommendation) | {
            "customer_name": names.get(recommendation.dossier, recommendation.dossier),
            "note": recommendation.note,
            "instead": recommendation.advice.instead,
        }
        return cls.model_validate(known | more)


class Reason(BaseModel):
    """One condition of the rule, as it stands now."""

    text: str = Field(examples=["End date is in the next 90 days"])
    value: str = Field(description="What is recorded, or which records were found.", examples=["7 January 2027"])
    holds: bool
    until: datetime | None = Field(description="When time alone changes that; null: never.")


class ExplainedRecommendation(KnownRecommendation):
    reasons: list[Reason] = Field(description="Empty where the rule or the record is gone, or cannot be read.")


# --- listing ---


class States(StrEnum):
    OPEN = "open"
    DONE = "done"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"
    ALL = "all"


class Order(StrEnum):
    """With a minus: the other way round."""

    OPENED_AT = "opened_at"
    LATEST = "-opened_at"
    DUE = "due"
    DUE_LAST = "-due"
    WORTH = "worth"
    MOST_WORTH = "-worth"

    @property
    def sort(self) -> Sort:
        return Sort(self.removeprefix("-"))

    @property
    def descending(self) -> bool:
        return self.startswith("-")


READ: Mapping[Sort, Callable[[str], datetime | date | float]] = {
    Sort.OPENED_AT: lambda text: _aware(datetime.fromisoformat(text)),
    Sort.DUE: date.fromisoformat,
    Sort.WORTH: float,
}


@router.get(
    "/recommendations",
    response_model=Page[KnownRecommendation],
    operation_id="listRecommendations",
    summary="What is recommended",
)
def list_recommendations(
    caller: Reader,
    state: States = States.OPEN,
    rule: Annotated[Exactly, Query(description="Also one that is only recorded so far, a shadow.")] = None,
    tag: Annotated[Exactly, Query(description="Of live rules with this tag.")] = None,
    team: Exactly = None,
    product: Exactly = None,
    customer: Annotated[CustomerId | None, Query()] = None,
    to: Annotated[Exactly, Query(description="Whom they speak to: a person's id or an address; `me`.")] = None,
    due_before: Annotated[Day | None, Query(description="That day excluded.")] = None,
    worth_min: Annotated[Amount | None, Query(description="What is at stake, at least.")] = None,
    snoozed: Annotated[bool | None, Query(description="Only what somebody hid until later; or only what not.")] = None,
    held_back: Annotated[bool | None, Query(description="Only what other rules hold back; or only what not.")] = None,
    sort: Annotated[Order, Query(description="What has no date is due last; without an amount it is worth 0.")] = (
        Order.LATEST
    ),
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KnownRecommendation]:
    """Of the customers that the caller sees. All filters that are given have to hold."""
    base = caller.services.base
    wanted = Wanted(
        owners=caller.owners(),
        state=None if state is States.ALL else State(state),
        rules=_rules(base, rule, tag),
        without=() if rule else shadows(base),
        team=team,
        product=product,
        dossier=customer,
        to=person_of(caller) if to == ME else to,
        due_before=due_before,
        worth_min=worth_min,
        snoozed=snoozed,
        held_back=held_back,
    )
    found = recommendations.page(
        caller.db,
        wanted,
        sort=sort.sort,
        descending=sort.descending,
        after=_position(cursor, sort) if cursor else None,
        limit=limit + 1,
        now=caller.now,
    )
    shown = found[:limit]
    names = customers.names(caller.db, {each.dossier for each in shown})
    return Page(
        items=[KnownRecommendation.of(each, names) for each in shown],
        next=_cursor(shown[-1], sort) if len(found) > limit else None,
    )


def shadows(base: RuleBase) -> list[str]:
    """The rules that are recorded so far, and nobody hears of."""
    return [rule.id for rule in base.rules if rule.rollout.stage is Stage.SHADOW]


def _rules(base: RuleBase, rule: str | None, tag: str | None) -> Collection[str] | None:
    if tag is None:
        return None if rule is None else [rule]
    return [each.id for each in base.rules if tag in each.tags and rule in (None, each.id)]


def _cursor(last: Recommendation, order: Order) -> str:
    key, id_ = recommendations.position(last, order.sort)
    return encode([order, key.isoformat() if isinstance(key, date) else repr(key), id_])


def _position(cursor: str, order: Order) -> Position:
    """Raises `Problem`."""
    of, key, id_ = decode(cursor, str, str, str)
    try:
        return READ[Order(of).sort if of == order else Sort("")](key), id_
    except ValueError:
        raise unreadable() from None


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("has no zone")
    return moment


# --- one, and why ---


@router.get(
    "/recommendations/{id}",
    response_model=ExplainedRecommendation,
    operation_id="getRecommendation",
    summary="A recommendation and its reasons",
    responses=answers(Kind.NOT_FOUND),
)
def get_recommendation(caller: Reader, id: Id, language: InLanguage = None) -> ExplainedRecommendation:
    found = _seen(caller, id)
    dossier = dossiers.load(caller.db, found.dossier)
    return explained(caller, [found], dossier, language=language)[0]


def explained(
    caller: Caller, found: Sequence[Recommendation], dossier: Dossier | None, *, language: Language | None
) -> list[ExplainedRecommendation]:
    """Recommendations about one customer, with their reasons."""
    base, known = caller.services.base, people.load(caller.db)
    said_in = language_of(caller, language)
    names = {dossier.id: dossier.name} if dossier else {}
    try:
        facts = base.facts(dossier, now=caller.now, people=known) if dossier else None
    except Unreadable:
        facts = None
    return [
        ExplainedRecommendation.of(each, names, **(_told(base, each, facts, said_in) if facts else {"reasons": []}))
        for each in found
    ]


def _told(base: RuleBase, recommendation: Recommendation, facts: Facts, language: str) -> dict[str, Any]:
    """Its sentence and its reasons in a language; its own sentence alone where the rule or its subject is gone."""
    match = Match(rule=recommendation.rule, subject=recommendation.subject)
    wording = base.wording(facts, language=language)
    try:
        said = base.advise(match, facts, opened_at=recommendation.opened_at, language=language).say
        return {
            "say": said,
            "reasons": [
                Reason(text=wording.reason(r), value=wording.reason_value(r), holds=r.holds, until=r.until)
                for r in base.trace(match, facts)
            ],
        }
    except KeyError:
        return {"reasons": []}


def _seen(caller: Caller, id_: str) -> Recommendation:
    found = recommendations.get(caller.db, id_)
    if found is None or not sees(caller.db, [found.dossier], caller.owners()):
        raise not_found(f"recommendation {id_}")
    return found


# --- acting ---


class Note(BaseModel):
    model_config = {"extra": "forbid", "json_schema_extra": {"examples": [{"note": "Anna signs next week."}]}}

    note: str | None = Field(None, max_length=2000, description="What there is to say of it.")


class Dismissal(BaseModel):
    model_config = {"extra": "forbid", "json_schema_extra": {"examples": [{"reason": "not-mine: moved to Bern"}]}}

    reason: str = Field(
        pattern=r"\S",
        max_length=2000,
        description="Why it is not relevant: already-handled, not-mine, wrong-data, bad-timing, no-potential, one of "
        "these and a colon and more words, or just words.",
    )


SPAN = r"^[1-9][0-9]{0,2} (minutes?|hours?|days?|weeks?|months?|business days?)$"


class SnoozeFor(BaseModel):
    model_config = {"extra": "forbid", "json_schema_extra": {"examples": [{"for": "3 days"}]}}

    for_: str = Field(
        alias="for",
        pattern=SPAN,
        max_length=20,
        description="So long from now, by the clock of whoever acts; again on the same day changes nothing.",
    )


class SnoozeUntil(BaseModel):
    model_config = {"extra": "forbid", "json_schema_extra": {"examples": [{"until": "2026-11-26T09:00:00+01:00"}]}}

    until: Moment = Field(description="When it comes back. A moment that has passed brings it back at once.")


class Acted(BaseModel):
    changed: bool = Field(description="False: it was so already, by the same person.")
    recommendation: KnownRecommendation = Field(description="As it is now.")


class AlreadyClosed(ProblemBody):
    """What was asked for is not possible any more, and what became of the recommendation instead."""

    state: State
    closed_by: str | None
    closed_at: datetime | None
    ended_at: datetime | None


@dataclass(slots=True, kw_only=True)
class TooLate(Problem):
    """Somebody else was faster, or the episode is over."""

    current: Recommendation

    @classmethod
    def of(cls, current: Recommendation, known: People) -> TooLate:
        by = known.get(current.closed_by)
        who = f" by {by.name if by else current.closed_by}" if current.closed_by else ""
        when = f", {current.closed_at.isoformat()}" if current.closed_at else ""
        over = "; its episode is over" if current.ended_at else ""
        return cls(kind=Kind.CONFLICT, detail=f"It is {current.state}{who}{when}{over}.", current=current)

    def body(self) -> dict[str, Any]:
        current = self.current
        moments = {name: getattr(current, name) for name in ("closed_at", "ended_at")}
        told = {name: moment and moment.isoformat() for name, moment in moments.items()}
        return Problem.body(self) | {"state": current.state, "closed_by": current.closed_by} | told


ACTING: Mapping[int | str, dict[str, Any]] = answers(Kind.NOT_FOUND) | {
    409: {
        "description": ABOUT[Kind.CONFLICT].title,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/AlreadyClosed"}}},
    }
}


def acting(path: str, *, operation_id: str, summary: str) -> Callable[[Callable[..., Acted]], Callable[..., Acted]]:
    """A route on which somebody acts."""
    return router.post(
        f"/recommendations/{{id}}/{path}",
        response_model=Acted,
        operation_id=operation_id,
        summary=summary,
        responses=dict(ACTING),
    )


@acting("done", operation_id="markDone", summary="It is done")
def mark_done(caller: Actor, id: Id, said: Note | None = None) -> Acted:
    note = said.note if said else None
    return _act(caller, id, _is_closed(caller, State.DONE), lambda doer, current: doer.done(current, note=note))


@acting("accept", operation_id="acceptRecommendation", summary="Take the next best action")
def accept(caller: Actor, id: Id, said: Note | None = None) -> Acted:
    """It is done with that, and other systems hear that the action is wanted: `action.requested`."""
    note = said.note if said else None
    return _act(caller, id, _is_closed(caller, State.DONE), lambda doer, current: doer.accept(current, note=note))


@acting("dismiss", operation_id="dismissRecommendation", summary="It is not relevant")
def dismiss(caller: Actor, id: Id, said: Dismissal) -> Acted:
    """It stays quiet until the rule is newly true."""
    dismissed = _is_closed(caller, State.DISMISSED)
    return _act(caller, id, dismissed, lambda doer, current: doer.dismiss(current, reason=said.reason))


@acting("snooze", operation_id="snoozeRecommendation", summary="Hide it until later")
def snooze(caller: Actor, id: Id, said: SnoozeFor | SnoozeUntil) -> Acted:
    """Whoever acts is reminded then, or those it speaks to where that is none of the people."""
    known = people.load(caller.db)
    person = known.get(caller.actor.person)
    zone = ZoneInfo(person.timezone) if person and person.timezone else caller.services.zone
    calendar = replace(caller.services.base.office, zone=zone)
    asked = said.until if isinstance(said, SnoozeUntil) else _from_now(said.for_, calendar, caller.now)
    until = min(max(asked, caller.now), caller.now + FARTHEST)

    def is_snoozed(current: Recommendation) -> bool:
        before = current.snoozed_until
        if current.state is not State.OPEN or before is None or before <= caller.now:
            return False
        if isinstance(said, SnoozeUntil):
            return before == until
        return before.astimezone(zone).date() == until.astimezone(zone).date()

    def hide(doer: Doer, current: Recommendation) -> bool:
        remind = [(person.id, person.email)] if person else known.addressees(current.advice.to, nobody=None)
        return doer.snooze(current, until=until, remind=remind)

    return _act(caller, id, is_snoozed, hide)


@acting("reopen", operation_id="reopenRecommendation", summary="Take back what closed it")
def reopen(caller: Actor, id: Id) -> Acted:
    """What was still to come of it is planned anew."""
    return _act(caller, id, lambda current: current.state is State.OPEN, lambda doer, current: doer.reopen(current))


def person_of(caller: Caller) -> str:
    """Under which id the caller acts."""
    return caller.actor.person or caller.actor.user


def _is_closed(caller: Caller, state: State) -> Callable[[Recommendation], bool]:
    return lambda current: current.state is state and current.closed_by == person_of(caller)


def _from_now(text: str, calendar: Calendar, now: datetime) -> datetime:
    """To the minute, so that twice in a row means the same moment."""
    count, _, unit = text.partition(" ")
    return calendar.shift(now.replace(second=0, microsecond=0), Span(count=int(count), unit=UNITS[unit]))


def _act(
    caller: Caller,
    id_: str,
    is_so: Callable[[Recommendation], bool],
    do: Callable[[Doer, Recommendation], bool],
) -> Acted:
    """Raises `Problem`. Whoever is overtaken looks again: what they wanted may be so by now."""
    doer = Doer(
        services=caller.services,
        by=person_of(caller),
        source=caller.actor.source,
        now=caller.now,
        trace=caller.trace,
    )
    current, changed = _seen(caller, id_), False
    while not changed and not is_so(current):
        try:
            changed = do(doer, current)
        except (NotOpen, ValueError):
            raise TooLate.of(current, people.load(caller.db)) from None
        current = _seen(caller, id_)
    names = customers.names(caller.db, [current.dossier])
    return Acted(changed=changed, recommendation=KnownRecommendation.of(current, names))
