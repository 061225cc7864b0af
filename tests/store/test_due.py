from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from store import due
from store.due import Claim
from store.session import Database
from tests.store.make import DAY, MINUTE, T0, claim_one, commit, contract, customer, write


def claimed(db: Database, **options) -> list[str]:
    return [c.dossier for c in due.claim(db, **({"now": T0, "limit": 100, "owner": "w1", "lease_s": 60} | options))]


def test_the_earliest_due_are_claimed_first_and_those_not_due_not_at_all(db: Database) -> None:
    for id_, minutes in (("K1", 2), ("K2", 0), ("K3", 1), ("K4", 60)):
        write(db, customer(id_), now=T0 + minutes * MINUTE)

    assert claimed(db, now=T0 + 2 * MINUTE, limit=2) == ["K2", "K3"]
    assert claimed(db, now=T0 + 2 * MINUTE) == ["K1"]
    assert due.due_count(db, now=T0 + 2 * MINUTE) == 3


def test_a_claim_says_how_the_customer_stood(db: Database) -> None:
    write(db, customer("K1"))
    assert claim_one(db) == Claim(dossier="K1", version=1, owner="w1", evaluated_at=None, rulebase=None)
    write(db, customer("K1", name="Muster"))
    due.release(db, owner="w1")
    commit(db, claim_one(db), next_check=T0 + DAY)
    assert claim_one(db, now=T0 + DAY) == Claim(
        dossier="K1", version=2, owner="w1", evaluated_at=T0, rulebase="sha256:1"
    )


def test_workers_claiming_at_once_never_get_the_same_customer(db: Database) -> None:
    write(db, *(customer(f"K{n}") for n in range(300)))

    def worker(name: str) -> list[str]:
        mine: list[str] = []
        while got := claimed(db, owner=name, limit=7):
            mine += got
        return mine

    with ThreadPoolExecutor(4) as pool:
        everyone = [id_ for mine in pool.map(worker, "abcd") for id_ in mine]

    assert Counter(everyone) == Counter(f"K{n}" for n in range(300))


def test_a_lease_that_ran_out_passes_to_another_worker_and_the_first_can_commit_nothing(db: Database) -> None:
    write(db, customer("K1"))
    slow = claim_one(db, owner="slow", lease_s=60)
    assert claimed(db, owner="fast", now=T0 + MINUTE / 2) == []

    fast = claim_one(db, owner="fast", now=T0 + MINUTE)

    assert not commit(db, slow, next_check=T0 + 9 * DAY)
    assert commit(db, fast, next_check=T0 + DAY)
    assert not commit(db, slow, next_check=T0 + 9 * DAY)
    assert due.next_due(db) == T0 + DAY


def test_a_worker_that_stops_gives_back_what_it_has_and_only_that(db: Database) -> None:
    write(db, customer("K1"), customer("K2"))
    mine = claimed(db, owner="stops", limit=1)
    claimed(db, owner="stays", limit=1)

    due.release(db, owner="stops")

    assert claimed(db, owner="other") == mine


def test_a_customer_that_cannot_be_evaluated_is_set_aside_until_later(db: Database) -> None:
    write(db, customer("K1"), customer("K2"))
    claim = claim_one(db)

    due.quarantine(db, claim, reason="end_date is not a date", now=T0, until=T0 + DAY)

    assert claimed(db, owner="other") == ["K2"]
    assert due.failed(db) == [
        due.Failure(dossier="K1", reason="end_date is not a date", failed_at=T0, retry_at=T0 + DAY)
    ]
    for again in due.claim(db, now=T0 + DAY, limit=2, owner="w1", lease_s=60):
        assert commit(db, again)
    assert due.failed(db) == []


def test_a_write_during_a_failing_evaluation_is_evaluated_at_once(db: Database) -> None:
    write(db, contract("C1", end_date="bald"))
    claim = claim_one(db)
    write(db, contract("C1", end_date="2027-01-01"))

    due.quarantine(db, claim, reason="end_date is not a date", now=T0, until=T0 + DAY)

    assert due.failed(db) == []
    assert claimed(db) == ["K1"]


def test_a_write_takes_a_customer_out_of_quarantine(db: Database) -> None:
    write(db, contract("C1", end_date="bald"))
    due.quarantine(db, claim_one(db), reason="end_date is not a date", now=T0, until=T0 + DAY)

    write(db, contract("C1", end_date="2027-01-01"), now=T0 + MINUTE)

    assert claimed(db, now=T0 + MINUTE) == ["K1"]


def test_the_next_due_moment_passes_over_leased_customers_until_their_lease_ends(db: Database) -> None:
    assert due.next_due(db) is None
    write(db, customer("K1"))
    write(db, customer("K2"), now=T0 + DAY)
    assert due.next_due(db) == T0

    claim = claim_one(db, lease_s=60)
    assert due.next_due(db) == T0 + MINUTE

    commit(db, claim)
    assert due.next_due(db) == T0 + DAY
