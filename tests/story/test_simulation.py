"""What is foreseen is what happens: a simulation over the database against the worker that runs day by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.demo_data import company
from domain.record import Record, RecordRef
from rules.rule import Reach
from rules.simulate import Event, Happening, foresee
from scheduler.episodes import FIRST
from store import dossiers, people
from tests.story.post_office import PostOffice
from tests.story.relance import Relance, contract, customer

BEGIN = datetime(2026, 11, 23, 6, tzinfo=UTC)
DAYS = 60
OWN_RULES = """\
rule: renewal-in-a-month
title: A renewal is a month away
tags: [renewal]
for each: contract
when: {status: active, end_date: in the next 30 days}
then: {recommend: win, say: Call, to: owner.manager}
rollout: shadow
---
rule: renewal-is-near
title: A renewal is near
tags: [renewal]
for each: contract
when: {status: active, end_date: in the next 2 weeks}
then: {recommend: win, say: Call, to: [owner, team lead]}
rollout: 50% of customers
---
rule: quote-is-fresh
title: A quote was sent just now
for each: quote
when: {status: sent, sent_at: in the last 2 weeks}
then: {recommend: hold, say: Wait, to: user nobody-knows, holds back: {tags: [renewal]}}
"""

HELD_BACK = (
    customer("K-held", owner="beat"),
    contract("C-held", ends="2027-02-25", customer="K-held"),
    Record(
        kind="quote", id="Q-held", customer="K-held", fields={"status": "sent", "sent_at": "2026-11-22T09:00+01:00"}
    ),
)


def test_sixty_days_of_the_worker_bring_what_was_foreseen(database_url: str, tmp_path: Path) -> None:
    invented = company(seed=3, customers=120, now=BEGIN)
    for name, text in {**invented.rules, "own.yaml": OWN_RULES}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    service = Relance(database=database_url, packs=["base", str(tmp_path)], post=PostOffice(), now=BEGIN)
    with service.running() as relance:
        relance.has(*invented.people, *invented.records, *HELD_BACK)
        relance.nobody = invented.people[0].id
        relance.restarts()
        events = foreseen(relance)
        for _ in range(DAYS):
            relance.runs()
            relance.now += timedelta(days=1)
        relance.runs()
        happened = relance.recommendations()

        assert len(events) > 100
        assert {e.event for e in events} == set(Happening)
        recorded = [e for e in events if e.reach in (Reach.LIVE, Reach.SHADOW)]
        raised = {(e.match.rule, e.match.subject, e.at) for e in recorded if e.event in ("open", "raised")}
        assert raised == {(r.rule, r.subject, r.opened_at) for r in happened}
        resolved = {(e.match.rule, e.match.subject, e.at) for e in recorded if e.event == "resolved"}
        assert resolved == {(r.rule, r.subject, r.ended_at) for r in happened if r.ended_at}
        assert not any(r.missed for r in happened)
        about = {r.id: (r.rule, r.subject) for r in happened}
        sent = Counter(
            (*about[d.recommendation], d.person)
            for d in relance.deliveries(limit=10_000)
            if d.recommendation and d.occurrence == FIRST
        )
        assert sent == Counter(reminders(events))


def foreseen(relance: Relance) -> list[Event]:
    known = people.load(relance.db)
    return [
        event
        for dossier in dossiers.stream(relance.db)
        for event in foresee(
            relance.house.base,
            dossier,
            since=BEGIN,
            until=BEGIN + timedelta(days=DAYS),
            people=known,
            nobody=relance.nobody,
        )
    ]


def reminders(events: list[Event]) -> Iterator[tuple[str, RecordRef, str]]:
    """What the worker queues: for what is open at the beginning too, as it has not run before."""
    for event in events:
        first = event.to if event.event is Happening.OPEN and not event.held_back_by else event.reminds
        if event.reach is Reach.LIVE:
            yield from ((event.match.rule, event.match.subject, who) for who in first)
