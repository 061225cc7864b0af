from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from domain.record import Dossier, Record, RecordRef, Timeline
from store import dossiers, due
from store.changing import Outcome
from store.session import Database
from tests.store.make import DAY, MINUTE, T0, claim_one, commit, contract, customer, write

NEW, CHANGED, UNCHANGED, DELETED, CONFLICT = Outcome


def settled(db: Database) -> None:
    """Everybody was evaluated, and nobody is due."""
    for claim in due.claim(db, now=T0, limit=100, owner="w1", lease_s=60):
        commit(db, claim)
    assert due.due_count(db, now=T0 + 1000 * DAY) == 0


def test_fields_come_back_exactly_as_written(db: Database) -> None:
    record = contract("C1", text="Käse \x00 \"'%s", yes=True, no=False, one=1, big=10**20, price=Decimal("1.50"))
    write(db, record)

    dossier = dossiers.load(db, "K1")

    assert dossier == Dossier(id="K1", records=(record,))
    assert [type(dossier.records[0].fields[name]) for name in ("yes", "one", "price")] == [bool, int, Decimal]
    assert str(dossier.records[0].fields["price"]) == "1.50"


def test_the_same_record_again_leaves_no_trace(db: Database) -> None:
    assert write(db, customer("K1", name="Muster"), contract("C1", status="active", years=2)) == [NEW, NEW]
    settled(db)
    before = dossiers.timelines(db, {"K1": None})

    again = write(db, contract("C1", years=2, status="active"), customer("K1", name="Muster"), now=T0 + DAY)

    assert again == [UNCHANGED, UNCHANGED]
    assert due.next_due(db) is None
    assert dossiers.timelines(db, {"K1": None}) == before


def test_a_write_replaces_all_fields_and_wakes_its_customer_alone(db: Database) -> None:
    write(db, contract("C1", status="active", years=2), contract("C2", customer="K2"))
    settled(db)

    assert write(db, contract("C1", status="ended"), now=T0 + DAY) == [CHANGED]

    assert dossiers.load(db, "K1") == Dossier(id="K1", records=(contract("C1", status="ended"),))
    assert [claim.dossier for claim in due.claim(db, now=T0 + DAY, limit=9, owner="w", lease_s=1)] == ["K1"]


def test_a_later_write_never_postpones_an_earlier_wake_up(db: Database) -> None:
    write(db, contract("C1", status="a"))
    write(db, contract("C1", status="b"), now=T0 + DAY)
    assert due.next_due(db) == T0


def test_the_last_of_the_same_records_in_one_batch_wins(db: Database) -> None:
    first, second = contract("C1", status="a"), contract("C1", status="b")
    assert write(db, first, second, second) == [NEW, CHANGED, UNCHANGED]
    assert dossiers.load(db, "K1") == Dossier(id="K1", records=(second,))

    settled(db)
    assert write(db, first, second) == [CHANGED, CHANGED]
    assert due.next_due(db) is None  # there and back is nowhere


def test_true_and_one_and_the_text_of_one_are_different(db: Database) -> None:
    write(db, contract("C1", value=1))
    assert write(db, contract("C1", value=True)) == [CHANGED]
    assert write(db, contract("C1", value="1")) == [CHANGED]


def test_a_record_that_moves_wakes_both_customers(db: Database) -> None:
    write(db, contract("C1", "K1"), contract("C9", "K1"), contract("C2", "K2"))
    settled(db)

    assert write(db, contract("C1", "K2"), now=T0 + DAY) == [CHANGED]

    assert sorted(c.dossier for c in due.claim(db, now=T0 + DAY, limit=9, owner="w", lease_s=1)) == ["K1", "K2"]
    moved = dossiers.timelines(db, {"K1": T0, "K2": T0})
    assert moved["K1"].changes == ((T0 + DAY, Dossier(id="K1", records=(contract("C9", "K1"),))),)
    assert [r.id for r in moved["K2"].changes[0][1].records] == ["C1", "C2"]


def test_a_record_without_a_customer_is_a_dossier_of_its_own_until_it_finds_one(db: Database) -> None:
    write(db, contract("C1", customer=None, status="active"))
    assert dossiers.load(db, "contract/C1") is not None

    write(db, contract("C1", customer="K1", status="active"), now=T0 + DAY)

    assert dossiers.load(db, "contract/C1") is None
    assert dossiers.load_many(db, ["contract/C1", "K1", "K7"]).keys() == {"K1"}
    assert dossiers.timelines(db, {"contract/C1": T0 + 2 * DAY}) == {
        "contract/C1": Timeline(dossier=Dossier(id="contract/C1", records=()))
    }


def test_deleting_wakes_the_customer_and_what_is_not_there_is_not_deleted(db: Database) -> None:
    write(db, contract("C1"), contract("C2"))
    settled(db)
    c1, c7 = RecordRef(kind="contract", id="C1"), RecordRef(kind="contract", id="C7")

    assert dossiers.delete(db, [c1, c7, c1], now=T0 + DAY, source="test") == [DELETED, UNCHANGED, UNCHANGED]

    assert dossiers.load(db, "K1") == Dossier(id="K1", records=(contract("C2"),))
    assert due.next_due(db) == T0 + DAY
    assert write(db, contract("C1"), now=T0 + 2 * DAY) == [NEW]


def test_a_timeline_is_the_dossier_at_a_moment_and_after_every_later_write(db: Database) -> None:
    def k1(*records: Record) -> Dossier:
        return Dossier(id="K1", records=records)

    muster, old, new, other = customer("K1"), contract("C1", v="1"), contract("C1", v="2"), contract("C2")
    write(db, old, muster)
    write(db, new, now=T0 + MINUTE)
    write(db, other, now=T0 + DAY)
    dossiers.delete(db, [new.ref], now=T0 + 2 * DAY, source="test")
    states = [
        (T0, k1(old, muster)),
        (T0 + MINUTE, k1(new, muster)),
        (T0 + DAY, k1(new, other, muster)),
        (T0 + 2 * DAY, k1(other, muster)),
    ]

    def timeline(since):
        return dossiers.timelines(db, {"K1": since})["K1"]

    assert timeline(None) == timeline(T0 - DAY) == Timeline(dossier=k1(), changes=tuple(states))
    assert timeline(T0 + MINUTE) == Timeline(dossier=states[1][1], changes=tuple(states[2:]))
    assert timeline(T0 + DAY + MINUTE) == Timeline(dossier=states[2][1], changes=tuple(states[3:]))
    assert timeline(T0 + 9 * DAY) == Timeline(dossier=states[3][1])


def test_timelines_of_many_customers_each_begin_at_their_own_moment(db: Database) -> None:
    for day in range(4):
        write(db, *(contract(f"C{k}", f"K{k}", day=day) for k in range(3)), now=T0 + day * DAY)

    found = dossiers.timelines(db, {"K0": None, "K1": T0 + DAY, "K2": T0 + 2 * DAY, "K9": T0})

    states = {id_: [found[id_].dossier, *(dossier for _, dossier in found[id_].changes)] for id_ in found}
    days = {id_: [r.fields["day"] for dossier in states[id_] for r in dossier.records] for id_ in states}
    assert days == {"K0": [0, 1, 2, 3], "K1": [1, 2, 3], "K2": [2, 3]}


def test_one_batch_may_hold_more_records_than_a_statement_takes_parameters(db: Database) -> None:
    many = [contract(f"C{n}", f"K{n % 900}", n=n) for n in range(33_000)]
    assert set(write(db, *many)) == {NEW}
    assert set(write(db, *many)) == {UNCHANGED}
    assert dossiers.counts(db) == {"contract": 33_000}
    assert len(dossiers.load_many(db, [f"K{n}" for n in range(70_000)])) == 900


def test_ids_come_in_pages(db: Database) -> None:
    write(db, *(contract(f"C{k}", f"K{k}") for k in range(5)))
    assert dossiers.ids(db, limit=3) == ["K0", "K1", "K2"]
    assert dossiers.ids(db, after="K2", limit=3) == ["K3", "K4"]


@pytest.mark.parametrize("round_", range(3))
def test_many_writers_of_the_same_new_records_lose_nothing(db: Database, round_: int) -> None:
    def writer(number: int) -> list[Outcome]:
        records = [contract(f"C{n}", f"K{number}", by=number) for n in range(50)]
        return write(db, *(records if number % 2 else reversed(records)), now=T0 + number * MINUTE)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(writer, range(4)))

    assert sum(outcome.count(NEW) for outcome in outcomes) == 50
    assert sum(outcome.count(CHANGED) for outcome in outcomes) == 150
    owners = dossiers.load_many(db, [f"K{number}" for number in range(4)])
    assert [len(dossier.records) for dossier in owners.values()] == [50]


def test_a_write_between_claim_and_commit_is_not_lost(db: Database) -> None:
    write(db, contract("C1", status="active"))
    claim = claim_one(db)
    write(db, contract("C1", status="ended"))

    assert not commit(db, claim, next_check=T0 + DAY)

    assert claim_one(db, owner="w2").version == claim.version + 1
