from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from store import due, rulebases
from store.rulebases import Published
from store.session import Database
from tests.store.make import DAY, T0, claim_one, commit, contract, customer, write


def publish(
    db: Database, hash_: str, rules: Mapping[str, str], *, kinds: tuple[str, ...] = (), day: int = 0
) -> Published:
    return rulebases.publish(db, hash=hash_, rules=rules, kinds=kinds, now=T0 + day * DAY)


def test_a_changed_rule_gets_the_next_version_and_the_others_keep_theirs(db: Database) -> None:
    assert rulebases.current(db) is None
    assert publish(db, "A", {"r1": "x", "r2": "y"}).versions == {"r1": 1, "r2": 1}
    assert publish(db, "B", {"r1": "x", "r2": "z", "r3": "n"}, day=1) == Published(
        hash="B", versions={"r1": 1, "r2": 2, "r3": 1}, published_at=T0 + DAY
    )
    assert publish(db, "A", {"r1": "x", "r2": "y"}, day=2).versions == {"r1": 1, "r2": 3, "r3": 1}
    assert rulebases.current(db) == publish(db, "A", {"r1": "x", "r2": "y"}, day=3)


def test_publishing_what_is_live_changes_nothing(db: Database) -> None:
    write(db, customer("K1"))
    commit(db, claim_one(db))
    first = publish(db, "A", {"r1": "x"})
    assert publish(db, "A", {"r1": "x"}, kinds=("customer",), day=1) == first
    assert due.next_due(db) is None


def test_machines_starting_at_once_publish_once(db: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(lambda day: publish(db, "A", {"r1": "x", "r2": "y"}, day=day), range(4)))
    assert len({p.published_at for p in published}) == 1
    assert published[0].versions == {"r1": 1, "r2": 1}


def test_only_customers_with_the_kinds_that_the_rules_read_become_due(db: Database) -> None:
    write(db, customer("K1"), customer("K2"), contract("C1", "K1"), contract("C2", customer=None))
    for claim in due.claim(db, now=T0, limit=9, owner="w1", lease_s=60):
        commit(db, claim, next_check=T0 + 9 * DAY)

    publish(db, "A", {"r1": "x"}, kinds=("contract", "opportunity"), day=1)
    woken = due.claim(db, now=T0 + DAY, limit=9, owner="w1", lease_s=60)
    assert sorted(claim.dossier for claim in woken) == ["K1", "contract/C2"]

    publish(db, "B", {"r1": "y"}, kinds=("customer",), day=2)
    assert due.due_count(db, now=T0 + 2 * DAY) == 3


def test_an_evaluation_with_the_rules_of_before_does_not_hide_the_new_ones(db: Database) -> None:
    write(db, customer("K1"))
    claim = claim_one(db)
    publish(db, "B", {"r1": "y"}, kinds=("customer",))
    assert not commit(db, claim, next_check=T0 + 9 * DAY)
    assert due.next_due(db) == T0
