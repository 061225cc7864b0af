"""Claimed customers into decisions, decisions into one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from domain.delivery import NewDelivery
from domain.person import People
from domain.recommendation import Key, Match, Recommendation, State, recommendation_id, reconcile
from domain.record import Timeline
from rules.rule import Reach, Stage
from rules.rulebase import Decision, RuleBase, Undecidable
from store import dossiers, due, evaluations, people, recommendations
from store.due import Claim
from store.evaluations import Evaluated
from store.rulebases import Published
from store.session import Database

CLAIM_LIMIT = 200  # keeps one transaction short
LEASE_S = 120.0  # longer than a claim takes; a worker that died is taken over after it
QUARANTINE = timedelta(hours=1)  # before a customer that could not be evaluated is tried again
RECORDED = (Reach.LIVE, Reach.SHADOW)  # a shadow is charted, though nobody hears of it
FIRST = 0  # the occurrence of a recommendation's first reminder


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A rule base as it was published.

    `nobody`: who gets what belongs to nobody; None leaves it unsent, and visible as that.
    """

    base: RuleBase
    published: Published
    nobody: str | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What an evaluation did, in numbers, with every customer that failed and why."""

    customers: int = 0
    raised: int = 0
    resolved: int = 0
    queued: int = 0
    lost: int = 0  # written by someone meanwhile; they are due again
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    unaddressed: list[str] = field(default_factory=list[str])  # open recommendations that reach nobody

    def add(self, other: Outcome) -> None:
        self.customers += other.customers
        self.raised += other.raised
        self.resolved += other.resolved
        self.queued += other.queued
        self.lost += other.lost
        self.failed += other.failed
        self.unaddressed += other.unaddressed


def evaluate_due(db: Database, rules: Rules, *, now: datetime, owner: str, limit: int = CLAIM_LIMIT) -> Outcome:
    """Evaluate up to `limit` customers that changed or became due. `customers` is 0 when none was."""
    outcome = Outcome()
    claims = due.claim(db, now=now, limit=limit, owner=owner, lease_s=LEASE_S)
    if not claims:
        return outcome
    since = {claim.dossier: _since(claim, rules.published) for claim in claims}
    timelines = dossiers.timelines(db, since)
    running = recommendations.running(db, since)
    known = people.load(db)
    results: list[Evaluated] = []
    unaddressed: dict[str, list[str]] = {}
    for claim in claims:
        timeline = timelines.get(claim.dossier)
        if timeline is None:
            continue
        try:
            episodes = _Episodes(
                rules=rules,
                people=known,
                dossier=claim.dossier,
                running={r.key: r for r in running.get(claim.dossier, ())},
            )
            results.append(_evaluated(claim, timeline, episodes, now=now))
            unaddressed[claim.dossier] = episodes.unaddressed
        except Undecidable as failure:
            # One customer must never stop the others, nor be retried in a tight loop.
            due.quarantine(db, claim, reason=str(failure), now=now, until=now + QUARANTINE)
            outcome.failed.append((claim.dossier, str(failure)))
    lost = evaluations.commit_many(db, results)
    for result in results:
        if result.claim.dossier not in lost:
            outcome.customers += 1
            outcome.raised += len(result.raised)
            outcome.resolved += sum(r.state is State.RESOLVED for r in (*result.updated, *result.raised))
            outcome.queued += len(result.deliveries)
            outcome.unaddressed += unaddressed[result.claim.dossier]
    outcome.lost += len(lost)
    return outcome


def _since(claim: Claim, published: Published) -> datetime | None:
    """Where the replay begins: the last evaluation, or the rules' publication where that came later."""
    if claim.evaluated_at is None or claim.rulebase == published.hash:
        return claim.evaluated_at
    return max(claim.evaluated_at, published.published_at)


def _evaluated(claim: Claim, timeline: Timeline, episodes: _Episodes, *, now: datetime) -> Evaluated:
    """Advance a customer from its last evaluation to now. Raises `Undecidable`."""
    rules = episodes.rules
    since = _since(claim, rules.published)
    # Before its first write there is nothing to decide. A machine whose clock is ahead of ours may have been here last.
    begin = min(since, now) if since else max(timeline.changes[0][0], min(rules.published.published_at, now))
    decision: Decision | None = None
    for decision in rules.base.replay(timeline, since=begin, until=now, people=episodes.people):
        episodes.pass_(decision)
    next_check = decision.next_check if decision else None
    # A write that another machine's clock dates after ours waits for its moment.
    ahead = [moment for moment, _ in timeline.changes if moment > now]
    return Evaluated(
        claim=claim,
        raised=tuple(episodes.raised.values()),
        updated=tuple(episodes.updated.values()),
        deliveries=tuple(episodes.deliveries(now=now)),
        next_check=min((m for m in (next_check, *ahead) if m is not None), default=None),
        evaluated_at=now,
        rulebase=rules.published.hash,
    )


@dataclass(slots=True, kw_only=True)
class _Episodes:
    """One customer's episodes while its past is replayed."""

    rules: Rules
    people: People
    dossier: str
    running: dict[Key, Recommendation]
    raised: dict[str, Recommendation] = field(default_factory=dict[str, Recommendation])
    updated: dict[str, Recommendation] = field(default_factory=dict[str, Recommendation])
    unaddressed: list[str] = field(default_factory=list[str])
    readdressed: set[str] = field(default_factory=set[str])

    def pass_(self, decision: Decision) -> None:
        """Raise, keep and end so that exactly what the decision wants has a running episode."""
        wanted = [match for match in decision.matches if decision.limited.get(match, Reach.LIVE) in RECORDED]
        held = self.rules.base.held_back(wanted, decision.limited)
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
            to = self.rules.base.recipients(match, decision.facts)
            advice = replace(kept.advice, held_back_by=held.get(match, ()), to=to)
            if advice != kept.advice:
                # Released, or another person's by now: who has not heard of it does, and nobody twice.
                self.running[kept.key] = changed = replace(kept, advice=advice)
                self._keep(changed)
                self.readdressed.add(kept.id)

    def _keep(self, recommendation: Recommendation) -> None:
        home = self.raised if recommendation.id in self.raised else self.updated
        home[recommendation.id] = recommendation

    def _raise(self, match: Match, decision: Decision, held_by: tuple[str, ...]) -> Recommendation:
        advice = self.rules.base.advise(match, decision.facts, opened_at=decision.now)
        return Recommendation(
            id=recommendation_id(dossier=self.dossier, match=match, opened_at=decision.now),
            dossier=self.dossier,
            rule=match.rule,
            rule_version=self.rules.published.versions.get(match.rule, 0),
            subject=match.subject,
            opened_at=decision.now,
            advice=replace(advice, held_back_by=held_by),
        )

    def deliveries(self, *, now: datetime) -> Iterator[NewDelivery]:
        """The first reminder of everything that is new or newly addressed and may be heard at the end of the replay."""
        for recommendation in self.running.values():
            new = recommendation.id in self.raised or recommendation.id in self.readdressed
            if not new or not self._audible(recommendation, now=now):
                continue
            reached = False
            for person, address in self._addressees(recommendation):
                reached = True
                yield NewDelivery(
                    recommendation=recommendation.id, person=person, destination=address, occurrence=FIRST, due_at=now
                )
            if not reached:
                self.unaddressed.append(recommendation.id)

    def _audible(self, recommendation: Recommendation, *, now: datetime) -> bool:
        snoozed = recommendation.snoozed_until is not None and recommendation.snoozed_until > now
        silent = self.rules.base.by_id[recommendation.rule].rollout.stage is Stage.SHADOW
        held = bool(recommendation.advice.held_back_by)
        return recommendation.state is State.OPEN and not (snoozed or silent or held)

    def _addressees(self, recommendation: Recommendation) -> Iterator[tuple[str, str]]:
        """(person's id, address) of everyone it reaches; where that is nobody, of who gets what belongs to nobody."""
        reached = [who for name in recommendation.advice.to if (who := self._reach(name))]
        fallback = self._reach(self.rules.nobody) if self.rules.nobody else None
        yield from reached or ([fallback] if fallback else [])

    def _reach(self, name: str) -> tuple[str, str] | None:
        """A person by id, or an address that belongs to no person; None for anyone who left or never was."""
        person = self.people.get(name)
        if person is not None:
            return person.id, person.email
        return (name, name) if "@" in name else None
