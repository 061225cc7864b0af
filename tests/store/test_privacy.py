"""Whoever is erased is gone, whatever is under way; and what is kept long enough goes too."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from domain.access import Role
from domain.delivery import DeliveryState, Receipt, SendError
from domain.event import EventType, about
from domain.person import Person
from domain.record import RecordRef
from domain.retention import Keep
from domain.wishes import Wishes
from store import (
    audit,
    chain,
    dossiers,
    due,
    erasure,
    evaluations,
    events,
    outbox,
    people,
    privacy,
    recommendations,
    retention,
    suppressions,
    users,
)
from store import idempotency as answers
from store import sessions as signed_in
from store.audit import Wanted
from store.changing import Outcome
from store.evaluations import Evaluated
from store.idempotency import Answer, Request
from store.privacy import Of, Subject
from store.session import Database
from store.suppressions import Suppression, Why
from store.tables import (
    digest_items,
    metadata,
    record_history,
    subscriptions,
    webhook_attempts,
    webhook_deliveries,
)
from store.tables import (
    outbox as outbox_table,
)
from tests.store.make import (
    DAY,
    MINUTE,
    T0,
    act,
    claim_one,
    claimed,
    commit,
    contract,
    customer,
    leased,
    raised,
    recommendation,
    reminder,
    write,
)

KEY, OLD_KEY = "a key for tests only", "the key of last year"
KEYS = (KEY, OLD_KEY)
K1, LENA = Subject(of=Of.CUSTOMER, id="K1"), Subject(of=Of.PERSON, id="lena")
PERSONAL = "Muster"  # stands in everything that is kept about K1
SUBSCRIPTION = {
    "id": "s1",
    "owner": "u1",
    "url": "https://x.example",
    "description": "",
    **dict.fromkeys(("types", "tags", "teams", "products", "secrets"), "[]"),
    "envelope": "standard",
    "signing": "v1",
    "ordered": False,
    "failures": 0,
    "created_at": T0,
}


def everything(db: Database) -> str:
    """All that the database holds, as one text."""
    found: list[str] = []
    with db.read() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                found += [value.decode() if isinstance(value, bytes) else str(value) for value in row]
    return "\n".join(found)


def erased(db: Database, subject: Subject, *, key: str = KEY) -> dict[str, int]:
    gone = erasure.erase(db, subject, reason="asked for", source="user:admin", key=key, now=T0 + DAY)
    return dict(gone)


def a_long_story(db: Database) -> None:
    """Everything that can be kept about a customer: records that moved, mails, a digest, events, answers."""
    with db.begin() as connection:
        connection.execute(insert(subscriptions), SUBSCRIPTION)
    lena = Person(id="lena", name="Lena Steiner", email="lena@example.com")
    people.save(db, [lena, Person(id="u1", name="Anna", email="u1@example.com")], now=T0, source="test")
    write(db, customer("K1", name=PERSONAL, owner="lena"), contract("C1", note=PERSONAL))
    write(db, customer("K2", name="Beispiel"), contract("C2", customer="K2"))
    first = replace(recommendation(), advice=replace(recommendation().advice, say=f"Call {PERSONAL}", to=("lena",)))
    other = recommendation(dossier="K2", subject="C2")
    for claim in (claim_one(db), claim_one(db)):
        mine = first if claim.dossier == "K1" else other
        commit(db, claim, raised=[mine], deliveries=(reminder(mine, person="lena"),))
    with db.begin() as connection:
        events.emit(connection, [about(EventType.RAISED, r, at=T0) for r in (first, other)])
        rows = connection.execute(select(webhook_deliveries)).all()
        for row in rows:
            name = PERSONAL if row.customer == "K1" else "Beispiel"
            attempt = {"delivery": row.id, "at": T0, "duration_ms": 1, "url": "https://x.example"}
            attempt |= {"request_headers": "{}", "request_body": name.encode()}
            connection.execute(insert(webhook_attempts), attempt)
    mine, others = sorted(claimed(db), key=lambda delivery: delivery.recommendation != first.id)
    for delivery, name in ((mine, PERSONAL), (others, "Beispiel")):
        body = f"Subject: {name}\n\nDear Lena, call {name}."
        assert outbox.sending(db, delivery, message_id="<1@x>", body=body.encode(), now=T0)
    outbox.failed(db, mine, SendError(f"550 <lena@example.com> {PERSONAL}", permanent=True, phase="rcpt"), now=T0)
    outbox.sent(db, others, Receipt(code=250, text="ok"), now=T0)
    a_digest(db, first.id, other.id)
    act(db, first, first.done(by="lena", at=T0, note=f"{PERSONAL} agreed"), now=T0)
    write(db, contract("C1", customer="K2", note="moved"), now=T0 + MINUTE)
    request = Request(source="u9", key="k", fingerprint="f")
    answers.once(db, request, lambda _: Answer(status=200, headers={}, body='{"id":"K1","name":"Muster"}'), now=T0)


def a_digest(db: Database, *named: str, state: DeliveryState = DeliveryState.SENT) -> int:
    row = {"key": f"digest {state}", "purpose": "digest", "person": "lena", "destination": "lena@example.com"}
    row |= {"channel": "email", "occurrence": 0, "state": state, "wanted_at": T0, "due_at": T0, "attempts": 1}
    row |= {"resends": 0, "fence": 0, "body": f"Subject: 2\n\n{PERSONAL} and Beispiel".encode()}
    with db.begin() as connection:
        digest = connection.execute(insert(outbox_table).returning(outbox_table.c.id), row).scalar_one()
        connection.execute(insert(digest_items), [{"digest": digest, "recommendation": r, "why": "cap"} for r in named])
    return digest


def test_all_that_is_kept_about_a_customer_is_handed_out_and_erased_for_good(db: Database) -> None:
    a_long_story(db)
    chain.seal(db)
    kept = privacy.export(db, K1, keys=KEYS)
    assert kept is not None
    assert {name: len(rows) for name, rows in kept.parts.items()} == {
        "status": 1,
        "records": 1,
        "history": 3,
        "recommendations": 1,
        "followups": 0,
        "deliveries": 1,
        "digests": 1,
        "webhook attempts": 1,
        "webhook deliveries": 2 + 1,
        "events": 3,
        "answers": 1,
        "audit": 4,
    }
    assert kept.parts["deliveries"][0]["body"] == f"{PERSONAL}\n\nDear Lena, call {PERSONAL}."
    assert "Beispiel" not in str(kept.parts)
    assert not {"salt", "hash", "password"} & {name for rows in kept.parts.values() for row in rows for name in row}
    weighed = privacy.weigh(db, K1)

    assert erased(db, K1) == dict(weighed)

    left = everything(db)
    assert PERSONAL not in left
    assert '"K1"' not in left
    assert "K1" not in left.split("\n")
    assert "Beispiel" in left
    assert dossiers.load(db, "K2") is not None
    assert privacy.weigh(db, K1) == {}
    verified = chain.verify(db, late=T0)
    assert (verified.faults, verified.emptied) == ((), weighed["audit"])
    (tombstone,) = audit.listing(db, Wanted(action="customer.erased"), limit=9)
    assert (tombstone.source, tombstone.after) == ("user:admin", {"reason": "asked for", "erased": dict(weighed)})
    assert privacy.erasures(db, K1, keys=KEYS) == [T0 + DAY]
    assert privacy.erasures(db, Subject(of=Of.CUSTOMER, id="K2"), keys=KEYS) == []
    assert privacy.erasures(db, K1, keys=["another key"]) == []
    assert erased(db, K1) == {}


def test_all_that_is_kept_about_a_person_is_handed_out_and_erased_for_good(db: Database) -> None:
    a_long_story(db)
    people.wish(db, "lena", Wishes(daily_cap=3), now=T0, source="link:lena")
    suppressions.add(db, Suppression(address="lena@example.com", reason=Why.BOUNCED, since=T0), source="bounce")
    user = users.add(
        db, email="l.steiner@example.com", name="Lena Steiner", role=Role.SALES, person="lena", source="test", now=T0
    )
    signed_in.begin(db, user.id, now=T0)
    token, _ = users.issue(db, user=user.id, name="Lena's", source=f"user:{user.id}", now=T0)
    write(db, customer("K3"), now=T0)
    dossiers.upsert(db, [customer("K3", name="by her")], now=T0, source=f"token:{token.id}")
    chain.seal(db)
    kept = privacy.export(db, LENA, keys=KEYS)
    assert kept is not None
    assert {name: len(rows) for name, rows in kept.parts.items() if rows} == {
        "person": 1,
        "wishes": 1,
        "deliveries": 3,
        "webhook deliveries": 1,
        "events": 1,
        "users": 1,
        "sessions": 1,
        "tokens": 1,
        "suppressions": 1,
        "audit": 6,
        "acts": 5,
    }
    assert not {"salt", "hash", "password"} & {name for rows in kept.parts.values() for row in rows for name in row}
    assert "id" not in kept.parts["sessions"][0]

    erased(db, LENA, key=OLD_KEY)

    left = everything(db)
    for gone in ("Steiner", "lena@example.com", "l.steiner@example.com", user.id, token.id, "link:lena"):
        assert gone not in left
    assert privacy.weigh(db, LENA) == {}
    assert chain.verify(db, late=T0).faults == ()
    assert privacy.erasures(db, LENA, keys=KEYS) == [T0 + DAY]
    after = [entry.after for entry in audit.listing(db, Wanted(customer="K3"), limit=9)]
    assert {"name": "by her"} in after, "what she did to what is kept about others stays"
    assert recommendations.get(db, recommendation().id) is not None


@pytest.mark.parametrize("meanwhile", ["evaluated", "sent", "acted", "written"])
def test_nothing_that_is_under_way_brings_a_customer_back(db: Database, meanwhile: str) -> None:
    """Somebody holds what they have read before, and goes on after the customer was erased."""
    about_k1 = recommendation()
    raised(db, about_k1, deliveries=(reminder(about_k1),))
    write(db, customer("K1", touched="again"))
    claim, delivery = claim_one(db, owner="w2"), leased(db)
    erased(db, K1)

    match meanwhile:
        case "evaluated":
            late = replace(recommendation(rule="late"), id="late")
            assert not commit(db, claim, raised=[late], deliveries=(reminder(late),))
        case "sent":
            assert not outbox.sending(db, delivery, message_id="<1@x>", body=b"Dear", now=T0)
            assert not outbox.sent(db, delivery, Receipt(code=250, text="ok"), now=T0)
        case "acted":
            assert not act(db, about_k1, about_k1.done(by="u1", at=T0), now=T0)
        case _:
            refs = [RecordRef(kind="customer", id="K1")]
            assert dossiers.delete(db, refs, now=T0, source="test") == [Outcome.UNCHANGED]
    assert privacy.weigh(db, K1) == {}


def test_a_digest_that_is_being_written_is_written_again_without_whoever_was_erased(db: Database) -> None:
    first, other = recommendation(), recommendation(dossier="K2", subject="C2")
    raised(db, first, other)
    people.save(db, [Person(id="lena", name="Lena", email="lena@example.com")], now=T0, source="test")
    digest = a_digest(db, first.id, other.id, state=DeliveryState.READY)
    held = leased(db)
    erased(db, K1)
    assert not outbox.sending(db, held, message_id="<1@x>", body=PERSONAL.encode(), now=T0)
    again = leased(db)
    assert (again.id, again.body) == (digest, None)
    assert outbox.items(db, digest).keys() == {other.id}


def test_nothing_is_queued_for_a_person_who_was_erased_meanwhile(db: Database) -> None:
    people.save(db, [Person(id="lena", name="Lena", email="lena@example.com")], now=T0, source="test")
    write(db, customer("K1", owner="somebody"))
    claim, mine = claim_one(db), recommendation()
    erased(db, LENA)
    result = Evaluated(
        claim=claim,
        raised=[mine],
        deliveries=[reminder(mine, person="lena")],
        next_check=None,
        evaluated_at=T0,
        rulebase="sha256:1",
    )
    assert evaluations.commit_many(db, [result]) == set()
    assert recommendations.get(db, mine.id) == mine
    assert privacy.weigh(db, LENA) == {}


def test_others_write_evaluate_and_send_while_somebody_is_erased(db: Database) -> None:
    """Nobody waits for the other in a ring, and after the last erasure nothing is left."""
    rounds, numbers = 12, itertools.count()

    def writes() -> None:
        at = T0 + timedelta(seconds=next(numbers))
        write(db, customer("K1", touched=at.isoformat(), owner="lena"), contract("C1", touched=at.isoformat()), now=at)
        people.save(db, [Person(id="lena", name="Lena", email="lena@example.com")], now=T0, source="test")

    def evaluates() -> None:
        for claim in due.claim(db, now=T0 + DAY, limit=1, owner=str(next(numbers)), lease_s=1):
            mine = recommendation(at=T0 + timedelta(seconds=next(numbers)))
            decided = {"next_check": None, "evaluated_at": T0, "rulebase": "sha256:1"}
            deliveries = [reminder(mine, person="lena")]
            evaluations.commit_many(db, [Evaluated(claim=claim, raised=[mine], deliveries=deliveries, **decided)])

    def sends() -> None:
        for delivery in claimed(db, now=T0 + DAY, limit=2):
            outbox.sending(db, delivery, message_id="<1@x>", body=b"Dear", now=T0)

    works: list[Callable[[], object]] = [writes, evaluates, sends, lambda: erased(db, K1), lambda: erased(db, LENA)]
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(lambda work=work: [work() for _ in range(rounds)]) for work in works]:
            done.result()
    for subject in (K1, LENA):
        erased(db, subject)
        assert privacy.weigh(db, subject) == {}
    while chain.seal(db):
        pass
    assert chain.verify(db, late=T0).faults == ()


def count(db: Database, table: Any) -> int:
    with db.read() as connection:
        return len(connection.execute(select(table)).all())


def test_what_was_kept_long_enough_goes_and_nothing_that_is_still_needed(db: Database) -> None:
    a_long_story(db)
    with db.begin() as connection:
        connection.execute(update(webhook_deliveries).values(state="delivered", settled_at=T0))
        (waiting, *_) = connection.scalars(select(webhook_deliveries.c.event)).all()
        undelivered = update(webhook_deliveries).where(webhook_deliveries.c.event == waiting)
        connection.execute(undelivered.values(state="ready", settled_at=None))
    told = count(db, events.events)

    def swept(days: float, **keep: Any) -> dict[str, int]:
        nothing = dict.fromkeys(("webhook_attempts", "events", "bodies"))
        return dict(retention.sweep(db, Keep(**nothing | keep), now=T0 + timedelta(days=days)))

    assert retention.sweep(db, Keep(), now=T0 + 29 * DAY) == {}
    assert swept(31, webhook_attempts=30) == {"webhook attempts": 2}
    assert swept(91, events=90) == {"events": told - 1}
    assert swept(91, bodies=90) == {"bodies of messages": 3}
    assert PERSONAL in everything(db), "in the history of records"
    # C1 was written and then left K1; K1 was not evaluated since, so both versions are needed.
    before = dossiers.timelines(db, {"K1": T0, "K2": T0})
    assert swept(400, history=30) == {}
    assert dossiers.timelines(db, {"K1": T0, "K2": T0}) == before
    for claim in (claim_one(db, now=T0 + DAY), claim_one(db, now=T0 + DAY)):
        commit(db, claim, now=T0 + DAY)
    since = {"K1": T0 + DAY, "K2": T0 + DAY}
    before = dossiers.timelines(db, since)
    rows = count(db, record_history)
    assert swept(400, history=30) == {"versions of records": 1}
    assert (count(db, record_history), dossiers.timelines(db, since)) == (rows - 1, before)

    assert swept(400, recommendations=30) == {}, "their episodes run"
    write(db, customer("K2", touched="1"), now=T0 + 2 * DAY)
    over = recommendation(dossier="K2", subject="C2").end(at=T0 + 2 * DAY)
    commit(db, claim_one(db, now=T0 + 2 * DAY), updated=[over], now=T0 + 2 * DAY)
    assert swept(400, recommendations=30) == {"recommendations": 1}
    assert recommendations.get(db, over.id) is None
    assert swept(400, records={"contract": 365, "lead": 10}) == {"records: contract": 2}
    k2 = dossiers.load(db, "K2")
    assert k2 is not None
    assert [record.kind for record in k2.records] == ["customer"]
    (deleted, *_) = audit.listing(db, Wanted(source="retention"), limit=9)
    assert deleted.action == "record.deleted"
