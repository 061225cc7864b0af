from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from domain.delivery import DeliveryState
from domain.recommendation import State
from store import due, evaluations, outbox, recommendations
from store.evaluations import Evaluated
from store.recommendations import to_row
from store.session import Database
from store.tables import recommendations as table
from tests.store.make import (
    DAY,
    MINUTE,
    T0,
    claim_one,
    commit,
    contract,
    customer,
    raised,
    recommendation,
    reminder,
    write,
)


def test_what_was_decided_is_read_back_exactly(db: Database) -> None:
    open_ = recommendation()
    missed = replace(
        recommendation(subject="C2"), state=State.RESOLVED, closed_at=T0, ended_at=T0 + MINUTE, missed=True
    )
    bare = replace(open_.advice, do=None, worth=None, due=None, instead=(), held_back_by=("complaint-first",))
    nothing = replace(recommendation(subject="C3"), advice=bare)
    raised(db, open_, missed, nothing)

    assert recommendations.get(db, open_.id) == open_
    assert recommendations.get(db, missed.id) == missed
    assert recommendations.get(db, nothing.id) == nothing
    assert recommendations.running(db, ["K1", "K2"]) == {"K1": sorted((open_, nothing), key=lambda r: r.id)}


def test_a_decision_is_written_whole_or_not_at_all(db: Database) -> None:
    write(db, contract("C1", status="active"))
    claim, wanted = claim_one(db), recommendation()
    write(db, contract("C1", status="ended"))

    assert not commit(db, claim, raised=[wanted], deliveries=(reminder(wanted),), next_check=T0 + DAY)
    assert recommendations.listing(db) == []
    assert outbox.listing(db) == []

    assert commit(db, claim_one(db), raised=[wanted], deliveries=(reminder(wanted),), next_check=T0 + DAY)
    assert recommendations.listing(db) == [wanted]
    assert len(outbox.listing(db)) == 1


def test_of_many_decisions_only_those_overtaken_are_lost(db: Database) -> None:
    write(db, *(customer(f"K{n}") for n in range(5)))
    claims = due.claim(db, now=T0, limit=5, owner="w1", lease_s=60)
    write(db, customer("K3", name="Muster"))
    results = [
        Evaluated(
            claim=claim,
            raised=[recommendation(dossier=claim.dossier)],
            next_check=None,
            evaluated_at=T0,
            rulebase="sha256:1",
        )
        for claim in claims
    ]

    assert evaluations.commit_many(db, results) == {"K3"}

    assert sorted(r.dossier for r in recommendations.listing(db)) == ["K0", "K1", "K2", "K4"]
    assert claim_one(db, owner="w2").dossier == "K3"


def test_raising_the_same_episode_again_raises_nothing(db: Database) -> None:
    first, late = recommendation(), recommendation(at=T0 + MINUTE)
    raised(db, first, deliveries=(reminder(first),))
    write(db, customer("K1", name="Muster"))

    assert commit(db, claim_one(db), raised=[first, late], deliveries=(reminder(first), reminder(late)))

    assert recommendations.listing(db) == [first]
    assert [d.recommendation for d in outbox.listing(db)] == [first.id]


def test_the_database_itself_refuses_a_second_running_episode(db: Database) -> None:
    raised(db, recommendation())
    with pytest.raises(IntegrityError), db.begin() as connection:
        connection.execute(table.insert(), to_row(recommendation(at=T0 + MINUTE)))


def test_an_episode_that_ends_makes_room_for_the_next_in_the_same_decision(db: Database) -> None:
    last_year, this_year = recommendation(), recommendation(at=T0 + 365 * DAY)
    raised(db, last_year, deliveries=(reminder(last_year),))
    write(db, customer("K1", name="Muster"))

    ended = last_year.end(at=T0 + DAY)
    assert commit(db, claim_one(db), updated=[ended], raised=[this_year], deliveries=(reminder(this_year),))

    assert recommendations.listing(db) == [this_year, ended]
    states = {d.recommendation: d.state for d in outbox.listing(db)}
    assert states == {last_year.id: DeliveryState.CANCELLED, this_year.id: DeliveryState.QUEUED}


def test_an_open_recommendation_that_says_something_new_keeps_its_reminder(db: Database) -> None:
    before = recommendation()
    raised(db, before, deliveries=(reminder(before),))
    write(db, customer("K1", name="Muster"))
    after = replace(before, rule_version=4, advice=replace(before.advice, say="Bitte anrufen"))

    assert commit(db, claim_one(db), updated=[after])

    assert recommendations.listing(db) == [after]
    assert [d.state for d in outbox.listing(db)] == [DeliveryState.QUEUED]


def test_a_recommendation_that_is_held_back_sends_nothing_until_it_is_queued_again(db: Database) -> None:
    before = recommendation()
    raised(db, before, deliveries=(reminder(before),))
    write(db, customer("K1", name="Muster"))
    held = replace(before, advice=replace(before.advice, held_back_by=("complaint-first",)))
    assert commit(db, claim_one(db), updated=[held])
    assert [d.state for d in outbox.listing(db)] == [DeliveryState.CANCELLED]

    write(db, customer("K1", name="Muster AG"))
    assert commit(db, claim_one(db), updated=[before], deliveries=(reminder(before, due_at=T0 + DAY),))
    assert [(d.state, d.due_at) for d in outbox.listing(db)] == [(DeliveryState.QUEUED, T0 + DAY)]
