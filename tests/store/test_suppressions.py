"""Nothing is sent to an address that bounced or whose reader has had enough; a reader counts before a server."""

from __future__ import annotations

from store import suppressions
from store.session import Database
from store.suppressions import Suppression, Why
from tests.store.make import DAY, T0


def said(address: str, reason: Why, *, day: int = 0) -> Suppression:
    return Suppression(address=address, reason=reason, detail=f"on day {day}", since=T0 + day * DAY)


def test_an_address_is_suppressed_however_it_is_spelt(db: Database) -> None:
    assert suppressions.add(db, said("Anna@Example.com", Why.BOUNCED), source="test")
    assert suppressions.of(db, ["ANNA@example.com", "ben@example.com"]).keys() == {"anna@example.com"}
    assert suppressions.lift(db, "anna@EXAMPLE.com", now=T0, source="test")
    assert suppressions.of(db, ["anna@example.com"]) == {}
    assert not suppressions.lift(db, "anna@example.com", now=T0, source="test")


def test_what_was_said_first_stays_but_for_what_a_reader_says(db: Database) -> None:
    suppressions.add(db, said("a@example.com", Why.BOUNCED), source="test")
    assert not suppressions.add(db, said("a@example.com", Why.BOUNCED, day=1), source="test")
    assert suppressions.add(db, said("a@example.com", Why.UNSUBSCRIBED, day=2), source="test")
    assert not suppressions.add(db, said("a@example.com", Why.BOUNCED, day=3), source="test")
    (found,) = suppressions.listing(db)
    assert (found.reason, found.since) == (Why.UNSUBSCRIBED, T0 + 2 * DAY)


def test_the_latest_are_listed_first(db: Database) -> None:
    for day, name in enumerate("abc"):
        suppressions.add(db, said(f"{name}@example.com", Why.COMPLAINT, day=day), source="test")
    assert [s.address[0] for s in suppressions.listing(db, limit=2)] == ["c", "b"]
