"""What was planned for the case that nobody acts is carried out when it is due: repeats and escalations."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from domain.calendar import Calendar, Span
from domain.delivery import NewDelivery
from domain.event import EventType, NewEvent, about
from domain.followup import FollowUp, FollowUpKind, NewFollowUp
from domain.person import People
from domain.recommendation import Match, Recommendation, State
from domain.record import Dossier
from rules.model import Facts, Unreadable
from rules.rule import Rule
from rules.rulebase import RuleBase
from store import dossiers, followups, people, recommendations
from store.session import Database

log = logging.getLogger("relance.plans")

ESCALATED = 1_000  # added to an escalation's step it is the occurrence; repeats are 1, 2, 3
UNREADABLE = timedelta(hours=1)  # before a customer whose data cannot be read is looked at again


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Carries out what was planned. `nobody`: who gets what belongs to nobody."""

    db: Database
    base: RuleBase
    nobody: str | None
    now: datetime

    @cached_property
    def people(self) -> People:
        """Read where something is due: most ticks find nothing."""
        return people.load(self.db)

    def run(self) -> None:
        """Everything that is due."""
        while due := followups.due(self.db, now=self.now):
            about = recommendations.get_many(self.db, {followup.recommendation for followup in due})
            known = dossiers.load_many(self.db, sorted({r.dossier for r in about.values()}))
            for followup in due:
                recommendation = about.get(followup.recommendation)
                dossier = known.get(recommendation.dossier) if recommendation else None
                self._settle(followup, recommendation, dossier)

    def _settle(self, followup: FollowUp, recommendation: Recommendation | None, dossier: Dossier | None) -> None:
        if recommendation is None or dossier is None or recommendation.state is not State.OPEN:
            followups.settle(self.db, followup, deliveries=(), following=())
            return
        rule = self.base.by_id.get(recommendation.rule)
        span = _span(rule, followup) if rule else None
        if rule is None or span is None:  # the rule is gone, or plans no such step any more
            followups.settle(self.db, followup, deliveries=(), following=())
            return
        try:
            facts = self.base.facts(dossier, now=self.now, people=self.people)
            deliveries, following = self._carry_out(followup, recommendation, rule, span, facts)
        except KeyError:  # its record is gone, and the next evaluation will say so
            deliveries, following = (), ()
        except Unreadable as failure:
            log.error("%s of recommendation %s: %s", followup.kind, recommendation.id, failure)
            deliveries, following = (), (_at(followup, self.now + UNREADABLE),)
        told = [self._escalated(followup, recommendation, deliveries)] if deliveries and _goes_up(followup) else []
        followups.settle(self.db, followup, deliveries=deliveries, following=following, told=told)

    def _escalated(
        self, followup: FollowUp, recommendation: Recommendation, deliveries: Sequence[NewDelivery]
    ) -> NewEvent:
        to = [delivery.person for delivery in deliveries]
        return about(EventType.ESCALATED, recommendation, at=followup.due_at, step=followup.step, escalated_to=to)

    def _carry_out(
        self, followup: FollowUp, recommendation: Recommendation, rule: Rule, span: Span, facts: Facts
    ) -> tuple[tuple[NewDelivery, ...], tuple[NewFollowUp, ...]]:
        calendar = facts.at.calendar
        until = recommendation.snoozed_until
        if until is not None and until > self.now:
            return (), (_at(followup, until),)
        if recommendation.advice.held_back_by:  # nobody hears of it, so nobody is late
            return (), (_at(followup, calendar.shift(self.now, span)),)
        match = Match(rule=recommendation.rule, subject=recommendation.subject)
        if _goes_up(followup):
            to = self.base.escalated_to(match, facts, rule.then.escalate[followup.step - 1])
            return self._deliveries(recommendation, to, ESCALATED + followup.step), ()
        to = self.base.recipients(match, facts)
        return self._deliveries(recommendation, to, followup.step), tuple(self._again(followup, rule, calendar))

    def _again(self, followup: FollowUp, rule: Rule, calendar: Calendar) -> Iterator[NewFollowUp]:
        """The next repeat. Those that were missed while nobody looked are made up by this one."""
        repeat = rule.then.repeat
        assert repeat is not None
        if repeat.at_most is not None and followup.step >= repeat.at_most:
            return
        due_at = calendar.shift(followup.due_at, repeat.every)
        if due_at <= self.now:
            due_at = calendar.shift(self.now, repeat.every)
        yield NewFollowUp(
            recommendation=followup.recommendation, kind=followup.kind, step=followup.step + 1, due_at=due_at
        )

    def _deliveries(
        self, recommendation: Recommendation, to: tuple[str, ...], occurrence: int
    ) -> tuple[NewDelivery, ...]:
        return tuple(
            NewDelivery(
                recommendation=recommendation.id,
                person=person,
                destination=address,
                occurrence=occurrence,
                due_at=self.now,
            )
            for person, address in self.people.addressees(to, nobody=self.nobody)
        )


def _goes_up(followup: FollowUp) -> bool:
    return followup.kind is FollowUpKind.ESCALATE


def _span(rule: Rule, followup: FollowUp) -> Span | None:
    """How long after the one before, as the rule says now; None: it plans no such step any more."""
    if followup.kind is FollowUpKind.REPEAT:
        return rule.then.repeat.every if rule.then.repeat else None
    steps = rule.then.escalate
    return steps[followup.step - 1].after if followup.step <= len(steps) else None


def _at(followup: FollowUp, due_at: datetime) -> NewFollowUp:
    return NewFollowUp(recommendation=followup.recommendation, kind=followup.kind, step=followup.step, due_at=due_at)
