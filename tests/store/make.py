"""What these tests write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from domain.delivery import Delivery, NewDelivery
from domain.person import Person
from domain.recommendation import Act, Advice, Match, Recommendation, State, Verdict, recommendation_id
from domain.record import Record, RecordRef, Scalar
from domain.sorting import Send
from store import dossiers, due, evaluations, outbox, people, recommendations, sorting
from store.changing import Outcome
from store.due import Claim
from store.evaluations import Evaluated
from store.session import Database
from store.sorting import Waiting

T0 = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def customer(id_: str, **fields: Scalar) -> Record:
    return Record(kind="customer", id=id_, customer=None, fields=fields)


def contract(id_: str, customer: str | None = "K1", **fields: Scalar) -> Record:
    return Record(kind="contract", id=id_, customer=customer, fields=fields)


def write(db: Database, *records: Record, now: datetime = T0) -> list[Outcome]:
    return dossiers.upsert(db, records, now=now, source="test")


def claim_one(db: Database, *, now: datetime = T0, owner: str = "w1", lease_s: float = 60) -> Claim:
    (claim,) = due.claim(db, now=now, limit=1, owner=owner, lease_s=lease_s)
    return claim


def recommendation(
    *, dossier: str = "K1", subject: str = "C1", rule: str = "contract-expiring", at: datetime = T0
) -> Recommendation:
    ref = RecordRef(kind="contract", id=subject)
    return Recommendation(
        id=recommendation_id(dossier=dossier, match=Match(rule=rule, subject=ref), opened_at=at),
        dossier=dossier,
        rule=rule,
        rule_version=3,
        subject=ref,
        opened_at=at,
        advice=Advice(
            recommend=Verdict.WIN,
            say="Vertrag läuft aus",
            do="dialog renewal-call",
            instead=("offer-longer-term",),
            worth=Decimal("48200.50"),
            due=date(2026, 11, 27),
            to=("u1", "team Zürich"),
        ),
    )


def reminder(about: Recommendation, *, occurrence: int = 1, due_at: datetime = T0, person: str = "u1") -> NewDelivery:
    return NewDelivery(
        recommendation=about.id,
        person=person,
        destination=f"{person}@example.com",
        occurrence=occurrence,
        due_at=due_at,
    )


def act(
    db: Database,
    before: Recommendation,
    after: Recommendation,
    *,
    deliveries: Sequence[NewDelivery] = (),
    now: datetime,
) -> bool:
    """Somebody with a link in a mail makes of one state the other."""
    did = {State.DONE: Act.DONE, State.DISMISSED: Act.DISMISS, State.OPEN: Act.SNOOZE}[after.state]
    by = after.closed_by or "u1"
    known(db, deliveries)
    return recommendations.act(db, before, after, act=did, by=by, source=f"link:{by}", deliveries=deliveries, now=now)


def raised(db: Database, *opened: Recommendation, deliveries: tuple[NewDelivery, ...] = (), now: datetime = T0) -> None:
    """Customers with these recommendations open and these deliveries queued."""
    for dossier in {r.dossier for r in opened}:
        write(db, customer(dossier, touched=now.isoformat()), now=now)
        commit(
            db,
            claim_one(db, now=now),
            raised=[r for r in opened if r.dossier == dossier],
            deliveries=deliveries,
            now=now,
        )


def commit(
    db: Database,
    claim: Claim,
    *,
    raised: list[Recommendation] | None = None,
    updated: list[Recommendation] | None = None,
    deliveries: tuple[NewDelivery, ...] = (),
    next_check: datetime | None = None,
    now: datetime = T0,
) -> bool:
    known(db, deliveries)
    result = Evaluated(
        claim=claim,
        raised=raised or [],
        updated=updated or [],
        deliveries=deliveries,
        next_check=next_check,
        evaluated_at=now,
        rulebase="sha256:1",
    )
    return evaluations.commit_many(db, [result]) == set()


def known(db: Database, deliveries: Sequence[NewDelivery]) -> None:
    """Whom these deliveries are for is here."""
    readers = {d.person: Person(id=d.person, name=d.person, email=d.destination) for d in deliveries}
    people.save(db, [p for id_, p in readers.items() if id_ not in people.load(db).by_id], now=T0, source="test")


def claimed(
    db: Database, *, now: datetime = T0, owner: str = "w1", lease_s: float = 60, limit: int = 50
) -> list[Delivery]:
    """What is due, of people who have no wishes."""
    while sorting.sort(db, lambda waiting, _: map(_send, waiting), now=now, day_of=lambda _: None):
        pass
    return outbox.claim(db, now=now, owner=owner, lease_s=lease_s, limit=limit)


def _send(waiting: Waiting) -> Send:
    delivery = waiting.delivery
    return Send(delivery=delivery.id, channel=delivery.channel, destination=delivery.destination)


def leased(db: Database, *, now: datetime = T0, owner: str = "w1", lease_s: float = 60) -> Delivery:
    (delivery,) = claimed(db, now=now, owner=owner, lease_s=lease_s)
    return delivery
