"""Claimed customers into decisions, decisions into one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from domain.recommendation import State
from domain.record import Timeline
from domain.watch import UNWATCHED, Watch
from rules.rulebase import RuleBase
from scheduler.episodes import Case, Circumstances, Conclusion, conclude
from scheduler.processes import Decide, Failed, Processes, in_this_process
from store import dossiers, due, evaluations, people, recommendations
from store.due import Claim
from store.evaluations import Evaluated
from store.rulebases import Published
from store.session import Database

log = logging.getLogger("relance.evaluate")

CLAIM_LIMIT = 200  # keeps one transaction short
LEASE_S = 120.0  # longer than a claim takes; a worker that died is taken over after it
QUARANTINE = timedelta(hours=1)  # before a customer that could not be evaluated is tried again


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


def evaluate_due(
    db: Database,
    rules: Rules,
    *,
    now: datetime,
    owner: str,
    limit: int = CLAIM_LIMIT,
    processes: Processes | None = None,
    watch: Watch = UNWATCHED,
) -> Outcome:
    """Evaluate up to `limit` customers that changed or became due. `customers` is 0 when none was.

    Decisions are made in `processes`, which have the same rule base; without them in this process. `watch` is told.
    """
    claims = {c.dossier: c for c in due.claim(db, now=now, limit=limit, owner=owner, lease_s=LEASE_S)}
    if not claims:
        return Outcome()
    with watch.span("evaluate", traces={c.trace for c in claims.values() if c.trace}) as facts:
        outcome = _evaluate(db, rules, claims, processes, now=now)
        facts |= {"customers": outcome.customers, "raised": outcome.raised, "failed": len(outcome.failed)}
    watch.evaluated(decided=outcome.customers, failed=len(outcome.failed))
    return outcome


def _evaluate(
    db: Database, rules: Rules, claims: Mapping[str, Claim], processes: Processes | None, *, now: datetime
) -> Outcome:
    outcome = Outcome()
    cases = _cases(db, claims, rules.published, now=now)
    known = people.load(db)
    decide = partial(
        conclude, Circumstances(now=now, people=known, versions=rules.published.versions, nobody=rules.nobody)
    )
    answers = _isolated(processes, decide, cases, now=now) if processes else in_this_process(rules.base, decide, cases)
    conclusions: dict[str, Conclusion] = {}
    for case, answer in answers:
        if isinstance(answer, Failed):
            # One customer must never stop the others, nor be retried in a tight loop.
            due.quarantine(db, claims[case.dossier], reason=answer.reason, now=now, until=now + QUARANTINE)
            outcome.failed.append((case.dossier, answer.reason))
            ids = {"customer": case.dossier, "trace": claims[case.dossier].trace}
            log.error("customer %s could not be evaluated: %s", case.dossier, answer.reason, extra=ids)
        else:
            conclusions[case.dossier] = answer
    results = [
        _evaluated(claim, conclusions[dossier], rules.published, now=now)
        for dossier, claim in claims.items()
        if dossier in conclusions
    ]
    lost = evaluations.commit_many(db, results)
    for result in results:
        if result.claim.dossier not in lost:
            outcome.customers += 1
            outcome.raised += len(result.raised)
            outcome.resolved += sum(r.state is State.RESOLVED for r in (*result.updated, *result.raised))
            outcome.queued += len(result.deliveries)
            outcome.unaddressed += conclusions[result.claim.dossier].unaddressed
            _log(result)
    outcome.lost += len(lost)
    return outcome


def _log(result: Evaluated) -> None:
    """Of customers that somebody wrote, and of those about whom something is new; the rest is time passing."""
    if result.claim.trace or result.raised or result.updated:
        ids = {
            "customer": result.claim.dossier,
            "raised": [raised.id for raised in result.raised],
            "trace": result.claim.trace,
        }
        log.info("evaluated", extra=ids)


def _isolated(
    processes: Processes, decide: Decide[Case, Conclusion], cases: Sequence[Case], *, now: datetime
) -> Iterator[tuple[Case, Conclusion | Failed]]:
    """What follows from each case. One that ends a process may do so over its past: then that is passed over."""
    present: list[Case] = []
    for case, answer in processes.each(decide, cases):
        without_past = case.without_past(now=now) if isinstance(answer, Failed) and answer.ended else None
        if without_past is None:
            yield case, answer
        else:
            present.append(without_past)
    yield from processes.each(decide, present)


def _cases(db: Database, claims: Mapping[str, Claim], published: Published, *, now: datetime) -> list[Case]:
    since = {dossier: _since(claim, published) for dossier, claim in claims.items()}
    timelines = dossiers.timelines(db, since)
    running = recommendations.running(db, since)
    return [
        Case(
            dossier=dossier,
            timeline=timelines[dossier],
            begin=_begin(timelines[dossier], since[dossier], published, now=now),
            running=tuple(running.get(dossier, ())),
        )
        for dossier in claims
        if dossier in timelines
    ]


def _since(claim: Claim, published: Published) -> datetime | None:
    """Where the replay begins: the last evaluation, or the rules' publication where that came later."""
    if claim.evaluated_at is None or claim.rulebase == published.hash:
        return claim.evaluated_at
    return max(claim.evaluated_at, published.published_at)


def _begin(timeline: Timeline, since: datetime | None, published: Published, *, now: datetime) -> datetime:
    # Before its first write there is nothing to decide. A machine whose clock is ahead of ours may have been here last.
    return min(since, now) if since else max(timeline.changes[0][0], min(published.published_at, now))


def _evaluated(claim: Claim, conclusion: Conclusion, published: Published, *, now: datetime) -> Evaluated:
    return Evaluated(
        claim=claim,
        raised=conclusion.raised,
        updated=conclusion.updated,
        deliveries=[replace(delivery, trace=claim.trace) for delivery in conclusion.deliveries],
        followups=conclusion.followups,
        events=conclusion.events,
        next_check=conclusion.next_check,
        evaluated_at=now,
        rulebase=published.hash,
    )
