"""Publishing rules, and whom that wakes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.recommendation import Advice, Recommendation, Verdict
from domain.record import CUSTOMER, Record, RecordRef
from store import dossiers, due, evaluations, rulebases
from store.session import Database

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
OLD, NEW = {"greeting": "1", "renewal": "1"}, {"renewal": "1"}


def publish(db: Database, hash_: str, rules: dict[str, str], *kinds: str, now: datetime) -> None:
    rulebases.publish(db, hash=hash_, rules=rules, kinds=kinds, now=now)


def recommendation(customer: str, rule: str) -> Recommendation:
    return Recommendation(
        id=f"{rule} {customer}",
        dossier=customer,
        rule=rule,
        rule_version=1,
        subject=RecordRef(kind=CUSTOMER, id=customer),
        opened_at=MONDAY,
        advice=Advice(recommend=Verdict.WIN, say="Say hello.", do=None, worth=Decimal(1), due=None, to=()),
    )


def evaluate(db: Database, *, raised: dict[str, list[Recommendation]]) -> None:
    """Everyone who is due: nobody is due afterwards."""
    claims = due.claim(db, now=MONDAY, limit=100, owner="test", lease_s=60)
    decided = [
        evaluations.Evaluated(
            claim=claim, raised=raised.get(claim.dossier, ()), next_check=None, evaluated_at=MONDAY, rulebase="old"
        )
        for claim in claims
    ]
    assert not evaluations.commit_many(db, decided)


def woken(db: Database) -> list[str]:
    return [claim.dossier for claim in due.claim(db, now=TUESDAY, limit=100, owner="test", lease_s=60)]


@pytest.fixture
def quiet(db: Database) -> Database:
    """Three customers, one with a running greeting, one with a running renewal: nobody is due."""
    customers = [Record(kind=CUSTOMER, id=id_, customer=None, fields={}) for id_ in ("K1", "K2", "K3")]
    dossiers.upsert(db, customers, now=MONDAY, source="test")
    publish(db, "old", OLD, CUSTOMER, now=MONDAY)
    evaluate(db, raised={"K1": [recommendation("K1", "greeting")], "K2": [recommendation("K2", "renewal")]})
    return db


def test_a_withdrawn_rule_wakes_the_customers_in_whom_it_still_runs(quiet: Database) -> None:
    publish(quiet, "new", NEW, "contract", now=TUESDAY)  # no customer has a record of a kind it reads
    assert woken(quiet) == ["K1"]


def test_an_episode_of_a_withdrawn_rule_that_is_over_wakes_nobody(quiet: Database) -> None:
    dossiers.upsert(quiet, [Record(kind=CUSTOMER, id="K1", customer=None, fields={"n": 1})], now=MONDAY, source="test")
    (claim,) = due.claim(quiet, now=MONDAY, limit=1, owner="test", lease_s=60)
    over = recommendation("K1", "greeting").end(at=MONDAY)
    decided = evaluations.Evaluated(claim=claim, updated=[over], next_check=None, evaluated_at=MONDAY, rulebase="old")
    assert not evaluations.commit_many(quiet, [decided])

    publish(quiet, "new", NEW, "contract", now=TUESDAY)
    assert woken(quiet) == []


def test_a_withdrawn_rule_wakes_them_beside_those_who_have_what_the_rules_read(quiet: Database) -> None:
    contract = Record(kind="contract", id="C1", customer="K3", fields={})
    dossiers.upsert(quiet, [contract], now=MONDAY, source="test")
    evaluate(quiet, raised={})
    publish(quiet, "new", NEW, "contract", now=TUESDAY)
    assert sorted(woken(quiet)) == ["K1", "K3"]


def test_publishing_what_is_live_wakes_nobody(quiet: Database) -> None:
    publish(quiet, "old", OLD, CUSTOMER, now=TUESDAY)
    assert woken(quiet) == []
