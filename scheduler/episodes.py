"""One customer's past since its last evaluation, replayed into what must be written. Pure, and fit for any process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.calendar import Calendar, Span
from domain.delivery import NewDelivery
from domain.event import EventType, NewEvent, about
from domain.followup import FollowUpKind, NewFollowUp
from domain.person import People
from domain.recommendation import Key, Match, Recommendation, State, recommendation_id, reconcile
from domain.record import Timeline
from rules.rule import Reach, Stage
from rules.rulebase import Decision, RuleBase

RECORDED = (Reach.LIVE, Reach.SHADOW)  # a shadow is charted, though nobody hears of it
FIRST = 0  # the occurrence of a recommendation's first reminder


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is the same for everyone who is evaluated together.

    `versions`: of the rules, by id. `nobody`: who gets what belongs to nobody.
    """

    now: datetime
    people: People
    versions: Mapping[str, int]
    nobody: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A customer to be evaluated: what was written, from when on, and the episodes that are running."""

    dossier: str
    timeline: Timeline
    begin: datetime
    running: tuple[Recommendation, ...]

    def without_past(self, *, now: datetime) -> Case | None:
        """The same from the last write on, as if nobody had looked before; None where there is nothing before it."""
        states = [(self.begin, self.timeline.dossier), *self.timeline.changes]
        past = [state for state in states if state[0] <= now]
        if not any(dossier.records for _, dossier in past[:-1]):
            return None
        begin, dossier = past[-1]
        timeline = Timeline(dossier=dossier, changes=tuple(states[len(past) :]))
        return replace(self, timeline=timeline, begin=max(begin, self.begin))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What follows from a case. `unaddressed`: the ids of open recommendations that reach nobody."""

    raised: tuple[Recommendation, ...]
    updated: tuple[Recommendation, ...]
    deliveries: tuple[NewDelivery, ...]
    followups: tuple[NewFollowUp, ...]
    events: tuple[NewEvent, ...]
    unaddressed: tuple[str, ...]
    next_check: datetime | None


def conclude(circumstances: Circumstances, base: RuleBase, case: Case) -> Conclusion:
    """Advance a customer from `begin` to now. Raises `Undecidable`."""
    now = circumstances.now
    episodes = _Episodes(
        base=base,
        circumstances=circumstances,
        dossier=case.dossier,
        running={recommendation.key: recommendation for recommendation in case.running},
    )
    decision: Decision | None = None
    for decision in base.replay(case.timeline, since=case.begin, until=now, people=circumstances.people):
        episodes.pass_(decision)
    next_check = decision.next_check if decision else None
    calendar = decision.facts.at.calendar if decision else base.office
    # A write that another machine's clock dates after ours waits for its moment.
    ahead = [moment for moment, _ in case.timeline.changes if moment > now]
    return Conclusion(
        raised=tuple(episodes.raised.values()),
        updated=tuple(episodes.updated.values()),
        deliveries=tuple(episodes.deliveries()),
        followups=tuple(episodes.followups(calendar)),
        events=tuple(episodes.events()),
        unaddressed=tuple(episodes.unaddressed),
        next_check=min((m for m in (next_check, *ahead) if m is not None), default=None),
    )


def planned(
    recommendation: Recommendation, base: RuleBase, calendar: Calendar, *, now: datetime
) -> Iterator[NewFollowUp]:
    """The first repeat and every step of the escalation. They count from now, when people hear of it."""
    then = base.by_id[recommendation.rule].then
    spans: list[tuple[FollowUpKind, int, Span]] = []
    if then.repeat is not None and then.repeat.at_most != 0:
        spans.append((FollowUpKind.REPEAT, 1, then.repeat.every))
    spans += [(FollowUpKind.ESCALATE, step, e.after) for step, e in enumerate(then.escalate, 1)]
    for kind, step, span in spans:
        yield NewFollowUp(recommendation=recommendation.id, kind=kind, step=step, due_at=calendar.shift(now, span))


@dataclass(slots=True, kw_only=True)
class _Episodes:
    """One customer's episodes while its past is replayed."""

    base: RuleBase
    circumstances: Circumstances
    dossier: str
    running: dict[Key, Recommendation]
    raised: dict[str, Recommendation] = field(default_factory=dict[str, Recommendation])
    updated: dict[str, Recommendation] = field(default_factory=dict[str, Recommendation])
    unaddressed: list[str] = field(default_factory=list[str])
    readdressed: set[str] = field(default_factory=set[str])
    released: set[str] = field(default_factory=set[str])

    def pass_(self, decision: Decision) -> None:
        """Raise, keep and end so that exactly what the decision wants has a running episode."""
        wanted = [match for match in decision.matches if decision.limited.get(match, Reach.LIVE) in RECORDED]
        held = self.base.held_back(wanted, decision.limited)
        changes = reconcile(wanted=wanted, running=self.running.values())
        for ended in changes.ended:
            over = ended.end(at=decision.now)
            del self.running[ended.key]
            # Begun and ended within this replay: it came and went while nobody looked.
            self._keep(replace(over, missed=over.state is State.RESOLVED) if ended.id in self.raised else over)
        for match in changes.raised:
            raised = self._raise(match, decision, held.get(match, ()))
            self.running[match.key] = self.raised[raised.id] = raised
        for kept in changes.kept:
            match = Match(rule=kept.rule, subject=kept.subject)
            to = self.base.recipients(match, decision.facts)
            team = self.base.team(match, decision.facts)
            advice = replace(kept.advice, held_back_by=held.get(match, ()), to=to, team=team)
            if advice != kept.advice:
                # Released, or another person's by now: who has not heard of it does, and nobody twice.
                self.running[kept.key] = changed = replace(kept, advice=advice)
                self._keep(changed)
                self.readdressed.add(kept.id)
                if kept.advice.held_back_by:
                    self.released.add(kept.id)

    def _keep(self, recommendation: Recommendation) -> None:
        home = self.raised if recommendation.id in self.raised else self.updated
        home[recommendation.id] = recommendation

    def _raise(self, match: Match, decision: Decision, held_by: tuple[str, ...]) -> Recommendation:
        advice = self.base.advise(match, decision.facts, opened_at=decision.now)
        return Recommendation(
            id=recommendation_id(dossier=self.dossier, match=match, opened_at=decision.now),
            dossier=self.dossier,
            rule=match.rule,
            rule_version=self.circumstances.versions.get(match.rule, 0),
            subject=match.subject,
            opened_at=decision.now,
            advice=replace(advice, held_back_by=held_by),
        )

    def deliveries(self) -> Iterator[NewDelivery]:
        """The first reminder of everything that is new or newly addressed and may be heard at the end of the replay.

        What began while nobody looked was wanted then: how late it is decides what becomes of it.
        """
        for recommendation in self._audible(self.raised.keys() | self.readdressed):
            known, nobody = self.circumstances.people, self.circumstances.nobody
            addressees = known.addressees(recommendation.advice.to, nobody=nobody)
            for person, address in addressees:
                yield NewDelivery(
                    recommendation=recommendation.id,
                    person=person,
                    destination=address,
                    occurrence=FIRST,
                    due_at=self._wanted_at(recommendation),
                )
            if not addressees:
                self.unaddressed.append(recommendation.id)

    def followups(self, calendar: Calendar) -> Iterator[NewFollowUp]:
        """What is to come of everything that people hear of now for the first time."""
        for recommendation in self._audible(self.raised.keys() | self.released):
            yield from planned(recommendation, self.base, calendar, now=self.circumstances.now)

    def events(self) -> Iterator[NewEvent]:
        """What other systems hear. Of what came and went while nobody looked they hear nothing, as people do."""
        for raised in self.raised.values():
            if not raised.missed and not self._is_shadow(raised):
                yield about(EventType.RAISED, raised, at=raised.opened_at)
        for updated in self.updated.values():
            if updated.state is State.RESOLVED and not self._is_shadow(updated):
                yield about(EventType.RESOLVED, updated, at=updated.ended_at or self.circumstances.now)

    def _is_shadow(self, recommendation: Recommendation) -> bool:
        rule = self.base.by_id.get(recommendation.rule)
        return rule is not None and rule.rollout.stage is Stage.SHADOW

    def _wanted_at(self, recommendation: Recommendation) -> datetime:
        new = recommendation.id in self.raised and recommendation.id not in self.released
        return min(recommendation.opened_at, self.circumstances.now) if new else self.circumstances.now

    def _audible(self, among: Collection[str]) -> Iterator[Recommendation]:
        """Those that somebody may hear of now."""
        for recommendation in self.running.values():
            snoozed = recommendation.is_snoozed(self.circumstances.now)
            silent = self._is_shadow(recommendation)
            held = bool(recommendation.advice.held_back_by)
            open_ = recommendation.state is State.OPEN
            if recommendation.id in among and open_ and not (snoozed or silent or held):
                yield recommendation
