"""A rule that is no longer there wakes whoever still has something of it."""

from __future__ import annotations

import pytest

from domain.record import Record
from store import due, rulebases
from store.session import Database
from tests.store.make import DAY, T0, claim_one, commit, contract, customer, recommendation, write

RULES = {"contract-expiring": "x", "quote-stalled": "y"}


@pytest.fixture
def quiet(db: Database) -> Database:
    """Of two customers, one has a running recommendation of a rule; nobody is due."""
    rulebases.publish(db, hash="A", rules=RULES, kinds=(), now=T0)
    write(db, contract("C1", "K1"))
    commit(db, claim_one(db), raised=[recommendation()])
    write(db, customer("K2"))
    commit(db, claim_one(db))
    return db


def withdraw(db: Database, rule: str, *, kinds: tuple[str, ...] = ()) -> list[str]:
    """The customers that are woken."""
    left = {id_: hash_ for id_, hash_ in RULES.items() if id_ != rule}
    rulebases.publish(db, hash="B", rules=left, kinds=kinds, now=T0 + DAY)
    return sorted(claim.dossier for claim in due.claim(db, now=T0 + DAY, limit=9, owner="w1", lease_s=60))


def test_a_withdrawn_rule_wakes_the_customers_in_whom_it_runs(quiet: Database) -> None:
    assert withdraw(quiet, "contract-expiring") == ["K1"]


def test_and_so_it_does_beside_those_who_have_what_the_other_rules_read(quiet: Database) -> None:
    write(quiet, Record(kind="quote", id="Q1", customer="K2", fields={}))
    commit(quiet, claim_one(quiet))
    assert withdraw(quiet, "contract-expiring", kinds=("quote",)) == ["K1", "K2"]


def test_another_rule_that_is_withdrawn_wakes_nobody(quiet: Database) -> None:
    assert withdraw(quiet, "quote-stalled") == []


def test_an_episode_that_is_over_wakes_nobody(quiet: Database) -> None:
    write(quiet, contract("C1", "K1", status="ended"))
    commit(quiet, claim_one(quiet), updated=[recommendation().end(at=T0)])
    assert withdraw(quiet, "contract-expiring") == []
