"""What a press does to a recommendation, wherever the button stands: on a page or in a chat.

Pressing twice is harmless: nothing is left to change the second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.calendar import Calendar, Span, Unit
from domain.delivery import Link
from domain.recommendation import State
from store import recommendations
from web.acting import Doer
from web.security import Visit

SNOOZES: Mapping[Link, Span] = {
    Link.SNOOZE_1_DAY: Span(count=1, unit=Unit.DAYS),
    Link.SNOOZE_3_DAYS: Span(count=3, unit=Unit.DAYS),
    Link.SNOOZE_1_WEEK: Span(count=1, unit=Unit.WEEKS),
}
PRESSABLE = frozenset({Link.DONE, Link.DISMISS, *SNOOZES})
TO_ANOTHER_SYSTEM = "webhook "  # the actions that a press takes: all that is left to do is done elsewhere


class Reason(StrEnum):
    """The common reasons for "not relevant": stored by these names, said in the reader's language."""

    ALREADY_HANDLED = "already-handled"
    NOT_MINE = "not-mine"
    WRONG_DATA = "wrong-data"
    BAD_TIMING = "bad-timing"
    NO_POTENTIAL = "no-potential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was filled in beside the button. `reason` is a `Reason` or empty."""

    note: str = ""
    reason: str = ""
    text: str = ""

    @property
    def why_not(self) -> str:
        """ "not-mine", "not-mine: moved to Bern", "moved to Bern", or empty."""
        return ": ".join(part for part in (self.reason, self.text) if part)


def accepts(visit: Visit) -> bool:
    """Pressing takes the next best action."""
    return visit.link is Link.ACT and (visit.recommendation.advice.do or "").startswith(TO_ANOTHER_SYSTEM)


def is_pressable(visit: Visit) -> bool:
    return visit.link in PRESSABLE or accepts(visit)


def lacks_reason(visit: Visit, answer: Answer) -> bool:
    """A dismissal would change something, and says not why."""
    return visit.link is Link.DISMISS and not answer.why_not and not is_settled(visit)


def settle(visit: Visit, answer: Answer) -> bool:
    """Make the change. False: there was nothing left to change, or someone else was faster."""
    if is_settled(visit):
        return False
    doer, current = _doer(visit), visit.recommendation
    match visit.link:
        case Link.ACT:
            return doer.accept(current, note=answer.note)
        case Link.DONE:
            return doer.done(current, note=answer.note)
        case Link.DISMISS:
            return doer.dismiss(current, reason=answer.why_not)
        case _:
            return doer.snooze(current, until=snooze_end(visit), remind=[(visit.person.id, visit.person.email)])


def take_back(visit: Visit) -> None:
    """Open again what this person closed; nothing where that is no longer possible."""
    if can_take_back(visit):
        _doer(visit).reopen(visit.recommendation)


def _doer(visit: Visit) -> Doer:
    return Doer(services=visit.services, by=visit.person.id, source=visit.source, now=visit.now)


def can_take_back(visit: Visit) -> bool:
    closed = visit.recommendation
    by_a_press = closed.state in (State.DONE, State.DISMISSED) and closed.closed_by == visit.person.id
    return by_a_press and closed.ended_at is None and is_pressable(visit)


def is_settled(visit: Visit) -> bool:
    """Nothing is left for this link to change.

    A snooze that ends on the same local day is the same snooze: pressing again moves nothing.
    """
    if visit.recommendation.state is not State.OPEN:
        return True
    until = visit.recommendation.snoozed_until
    if visit.link not in SNOOZES or until is None or until <= visit.now:
        return False
    zone = visit.reader.zone
    return until.astimezone(zone).date() == snooze_end(visit).astimezone(zone).date()


def snooze_end(visit: Visit) -> datetime:
    """The same time by the person's clock, to the minute, so that two presses in a row mean the same moment."""
    minute = visit.now.replace(second=0, microsecond=0)
    return Calendar(zone=visit.reader.zone).shift(minute, SNOOZES[visit.link])


def looked_at_again(visit: Visit) -> Visit:
    """The visit, with its recommendation as it is stored by now."""
    stored = recommendations.get(visit.services.db, visit.recommendation.id)
    return replace(visit, recommendation=stored) if stored else visit


def standing(visit: Visit, *, fresh: bool) -> str:
    """How a recommendation stands for which nothing is left to press: "Already done by you, 10:02".

    `fresh`: the press before is what changed it.
    """
    now, say = visit.recommendation, visit.reader.say
    if now.state is State.OPEN:
        until = visit.reader.moment(now.snoozed_until or visit.now, now=visit.now)
        return say("snooze.fresh" if fresh else "snooze.already", until=until)
    by = visit.people.get(now.closed_by)
    who = by.name if by else now.closed_by or ""
    return say(
        _closed(visit, fresh=fresh), who=who, when=visit.reader.moment(now.closed_at or visit.now, now=visit.now)
    )


def _closed(visit: Visit, *, fresh: bool) -> str:
    """The key of its words: "resolved", "done.fresh", "dismissed.other"."""
    closed = visit.recommendation
    if closed.state is State.RESOLVED:
        return closed.state
    if closed.closed_by != visit.person.id:
        return f"{closed.state}.other"
    return f"{closed.state}.{'fresh' if fresh else 'you'}"
