"""Events to subscribers, on both databases and over real sockets, by a clock that stands still unless it is moved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from ipaddress import ip_network
from typing import Any, cast

import pytest

from domain.access import Role
from domain.event import EventType, NewEvent
from domain.subscription import (
    BREAKS_AFTER,
    Signing,
    Subscription,
    WebhookDelivery,
    WebhookState,
)
from notifiers.http import Outgoing
from notifiers.memory import MemoryNotifier
from notifiers.signing import Sealer
from notifiers.webhook import Webhooks
from scheduler.courier import DELAYS, Courier, Posted, next_attempt
from scheduler.postman import Postman
from store import audit, events, subscriptions, users, webhooks
from store.audit import Wanted
from store.session import Database
from tests.notifiers.subscriber import STALL, Subscriber

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LOOPBACK = (ip_network("127.0.0.1/32"),)
GATE_S = 20.0  # nothing waits as long unless it waits for what it must not


@dataclass(kw_only=True)
class Office:
    """A store with subscribers, and a courier. `now` is by the clock that everything goes by."""

    db: Database
    now: datetime = NOW
    timeout_s: float = 10.0
    keys: tuple[str, ...] = ("a key of the settings",)
    mail: MemoryNotifier = field(default_factory=MemoryNotifier)
    _stack: ExitStack = field(default_factory=ExitStack)
    _count: int = 0

    def webhooks(self) -> Webhooks:
        outgoing = Outgoing(allowed=LOOPBACK, timeout_s=self.timeout_s)
        return Webhooks(sealer=Sealer(self.keys), outgoing=outgoing, source="https://relance.example")

    def courier(self, owner: str = "w1", **more: Any) -> Courier:
        postman = Postman(writer=cast(Any, None), sender="relance@example.com", name="Relance", mail=self.mail)
        return Courier(
            db=self.db,
            webhooks=self.webhooks,
            postman=postman,
            owner=owner,
            clock=lambda: self.now,
            random=lambda: 0.5,
            **more,
        )

    def subscriber(self, id_: str = "sub_1", *, owner: str = "u1", **more: Any) -> Subscriber:
        made = self.webhooks().sealer.make(Signing.V1)
        subscriber = self._stack.enter_context(Subscriber(secrets=[made.shown], looks_at_the_clock=False).listening())
        new = Subscription(id=id_, owner=owner, url=subscriber.url, secrets=(made.secret,), created_at=self.now, **more)
        subscriptions.add(self.db, new, source="test", now=self.now)
        return subscriber

    def happens(self, *customers: str | None, **more: Any) -> list[str]:
        """An event about each customer; their ids."""
        new: list[NewEvent] = []
        for customer in customers:
            self._count += 1
            given: dict[str, Any] = {"type": EventType.RAISED, "at": self.now, "customer": customer} | more
            new.append(NewEvent(key=f"{self._count}", data={"number": self._count}, **given))
        with self.db.begin() as connection:
            events.emit(connection, new)
            return [events._id(each) for each in new]  # pyright: ignore[reportPrivateUsage]

    def runs(self, *, after: timedelta = timedelta()) -> Posted:
        self.now += after
        return self.courier().run(now=self.now)

    def known(self, id_: str = "sub_1") -> Subscription:
        found = subscriptions.get(self.db, id_)
        assert found is not None
        return found

    def log(self, id_: str = "sub_1") -> list[WebhookDelivery]:
        return webhooks.listing(self.db, id_, limit=10_000)[::-1]

    def states(self, id_: str = "sub_1") -> list[WebhookState]:
        return [delivery.state for delivery in self.log(id_)]


@pytest.fixture
def office(db: Database) -> Iterator[Office]:
    office = Office(db=db)
    with office._stack:  # pyright: ignore[reportPrivateUsage]
        yield office


# --- when it is tried again: pure ---


def test_what_fails_is_tried_again_after_5_seconds_and_then_ever_more_seldom_for_three_days() -> None:
    waits = [(next_attempt(n, at=NOW, wait=timedelta(), random=0.5) or NOW) - NOW for n in range(1, len(DELAYS) + 1)]
    assert waits[:7] == [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR]
    assert 71 * HOUR < sum(waits, timedelta()) <= 72 * HOUR
    assert next_attempt(len(DELAYS) + 1, at=NOW, wait=timedelta(), random=0.5) is None


def test_retries_are_spread_by_a_fifth_and_never_come_sooner_than_asked() -> None:
    assert next_attempt(2, at=NOW, wait=timedelta(), random=0.0) == NOW + 4 * MINUTE
    assert next_attempt(2, at=NOW, wait=timedelta(), random=1.0) == NOW + 6 * MINUTE
    assert next_attempt(1, at=NOW, wait=MINUTE, random=0.5) == NOW + MINUTE
    assert next_attempt(2, at=NOW, wait=MINUTE, random=0.5) == NOW + 5 * MINUTE


# --- the way of an event ---


def test_an_event_goes_to_whoever_asks_for_it_and_after_a_failure_again_with_the_same_id(office: Office) -> None:
    all_ = office.subscriber()
    only = office.subscriber("sub_2", types=(EventType.ACTED,), tags=("a", "b"), teams=("bern",), products=("p",))
    all_.will(500)
    asked = {"type": EventType.ACTED, "tags": ("b",), "team": "bern", "product": "p"}
    ids = office.happens("K1", **asked)
    for other in ({"tags": ("c",)}, {"team": "zurich"}, {"product": None}, {"type": EventType.RAISED}, {"tags": ()}):
        ids += office.happens("K2", **asked | other)

    assert office.runs() == Posted(delivered=6, retried=1)
    assert only.ids == ids[:1]
    (failed, *_) = [d for d in office.log() if d.state is WebhookState.READY]
    assert (failed.attempts, failed.last_status, failed.due_at) == (1, 500, office.now + 5 * SECOND)
    assert office.runs() == Posted()
    assert office.runs(after=5 * SECOND) == Posted(delivered=1)
    assert sorted(all_.ids) == sorted([*ids, failed.event.id])

    found = webhooks.get(office.db, "sub_1", failed.id)
    assert found is not None
    delivery, (first, second) = found
    assert (delivery.state, delivery.attempts, delivery.settled_at) == (WebhookState.DELIVERED, 2, office.now)
    assert (first.status, first.error, second.status, second.error) == (500, "it answered 500", 200, None)
    assert first.request_body == second.request_body
    assert first.request_headers["webhook-id"] == second.request_headers["webhook-id"] == failed.event.id
    assert first.request_headers["webhook-timestamp"] != second.request_headers["webhook-timestamp"]
    assert first.request_headers["webhook-signature"] != second.request_headers["webhook-signature"]


def test_what_fails_for_three_days_is_given_up_and_goes_again_on_request(office: Office) -> None:
    subscriber = office.subscriber()
    subscriber.will(*[500] * (len(DELAYS) + 1))
    ids = office.happens("K1")
    for attempt in range(len(DELAYS) + 1):
        office.runs()
        (delivery,) = office.log()
        assert delivery.attempts == attempt + 1
        office.now = max(delivery.due_at, office.known().open_until or NOW)
    assert office.states() == [WebhookState.FAILED]
    assert len(subscriber.got) == 13

    subscriber.script.clear()
    assert webhooks.replay_failed(office.db, office.known(), now=office.now) == 1
    assert office.runs() == Posted(delivered=1)
    assert subscriber.ids == ids * 14


def test_a_timeout_and_a_429_are_left_alone_for_as_long_as_they_need(office: Office) -> None:
    office.timeout_s = 0.3
    subscriber = office.subscriber()
    subscriber.will(STALL)
    office.happens("K1")
    office.runs()
    assert office.log()[0].due_at == office.now + MINUTE

    subscriber.will((429, {"Retry-After": "7200"}, ""))
    office.runs(after=MINUTE)
    office.happens("K2")
    assert office.runs(after=HOUR) == Posted()  # nor is anything else sent meanwhile
    assert office.runs(after=HOUR) == Posted(delivered=2)


def test_replayed_events_keep_their_ids_and_what_was_missed_while_disabled_is_sent(office: Office) -> None:
    subscriber = office.subscriber(types=(EventType.RAISED,))
    before = office.happens("K1", "K2")
    office.runs()
    office.happens("K3")

    def change(to: Callable[[Subscription], Subscription]) -> None:
        subscriptions.change(office.db, "sub_1", to, source="test", now=office.now)

    change(lambda known: known.disabled(at=office.now, reason="by hand"))
    office.now += MINUTE
    missed = office.happens("K4")
    office.happens("K5", type=EventType.ACTED)
    assert office.states() == [WebhookState.DELIVERED] * 2 + [WebhookState.CANCELLED]
    assert office.runs() == Posted()
    change(Subscription.enabled)
    assert office.runs() == Posted()

    known = office.known()
    assert webhooks.replay_since(office.db, known, office.now, now=office.now) == 1
    assert office.runs() == Posted(delivered=1)
    assert subscriber.ids[2:] == missed
    assert webhooks.replay_event(office.db, known, before[0], now=office.now) == 1
    assert webhooks.replay_event(office.db, known, before[0], now=office.now) == 0  # it waits already
    assert webhooks.replay_event(office.db, known, "evt_of_nobody", now=office.now) is None
    assert office.runs() == Posted(delivered=1)
    assert subscriber.ids[3:] == before[:1]
    assert webhooks.replay_since(office.db, known, NOW, now=office.now) == 4
    assert webhooks.replay_since(office.db, known, office.now + SECOND, now=office.now) == 0


def test_everything_since_is_replayed_page_by_page(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "REPLAY_PAGE", 3)
    office.happens(*"abcd")
    office.now += MINUTE
    office.happens(*"efgh")
    office.subscriber()
    assert webhooks.replay_since(office.db, office.known(), NOW, now=office.now) == 8
    assert [delivery.event.customer for delivery in office.log()] == list("abcdefgh")


def test_with_strict_order_a_customers_events_wait_for_each_other_and_for_no_other_customers(office: Office) -> None:
    subscriber = office.subscriber(ordered=True)
    subscriber.will(500)
    first, second, other, third, *nobody = office.happens("K1", "K1", "K2", "K1", None, None)

    assert office.runs() == Posted(delivered=3, retried=1)
    assert sorted(subscriber.ids) == sorted([first, other, *nobody])
    assert office.runs(after=SECOND) == Posted()
    assert office.runs(after=4 * SECOND) == Posted(delivered=3)
    assert subscriber.ids[4:] == [first, second, third]


# --- the breaker ---


def test_a_broken_endpoint_is_probed_by_one_message_at_ever_longer_intervals_until_it_works(office: Office) -> None:
    subscriber = office.subscriber()
    subscriber.will(*[500] * BREAKS_AFTER)
    office.happens(*[f"K{n}" for n in range(BREAKS_AFTER)])
    office.runs()
    assert (office.known().failures, office.known().open_until) == (BREAKS_AFTER, office.now + 30 * SECOND)
    waiting = office.happens("K6", "K7", "K8")
    assert office.runs(after=29 * SECOND) == Posted()

    for pause in (MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 10 * MINUTE, 10 * MINUTE):
        office.now = office.known().open_until or NOW
        subscriber.will(500)
        assert office.runs() == Posted(retried=1)
        assert office.known().open_until == office.now + pause
    assert office.runs(after=10 * MINUTE) == Posted(delivered=BREAKS_AFTER + len(waiting))
    assert (office.known().failures, office.known().open_until, office.known().last_error) == (0, None, None)


def test_opening_the_breaker_costs_no_attempts_of_what_still_waits(office: Office) -> None:
    subscriber = office.subscriber()
    subscriber.will(*[500] * 200)
    office.happens(*[f"K{n}" for n in range(200)])

    office.runs()

    assert [d.attempts for d in office.log()].count(0) >= 200 - webhooks.AT_ONCE - BREAKS_AFTER
    assert (office.known().failures, office.known().open_until) == (BREAKS_AFTER, office.now + 30 * SECOND)


def test_two_workers_share_the_breaker_the_places_at_an_endpoint_and_never_a_delivery(office: Office) -> None:
    office.subscriber().will(*[500] * 100)
    office.happens(*[f"K{n}" for n in range(100)])

    def claim(owner: str, *, at_once: int = 32) -> list[int]:
        claimed = webhooks.claim(office.db, "sub_1", now=office.now, owner=owner, lease_s=60, at_once=at_once)
        return [delivery.id for delivery in claimed.deliveries] if claimed else []

    assert len(claim("one", at_once=20)) == 20
    assert len(claim("two")) == 12
    assert claim("two") == []
    webhooks.release(office.db, owner="one")
    assert len(claim("two")) == 20
    assert webhooks.due(office.db, now=office.now) == ["sub_1"]
    webhooks.release(office.db, owner="two")

    assert office.runs().retried >= BREAKS_AFTER
    office.now += 30 * SECOND
    assert len(claim("one")) == 1
    assert claim("two") == []  # the probe is on its way


def test_what_a_worker_took_and_never_settled_is_sent_by_another_when_the_lease_is_over(office: Office) -> None:
    subscriber = office.subscriber()
    ids = office.happens("K1")
    lost = webhooks.claim(office.db, "sub_1", now=office.now, owner="lost", lease_s=60)
    assert lost is not None
    assert office.runs(after=59 * SECOND) == Posted()
    assert office.runs(after=SECOND) == Posted(delivered=1)
    assert subscriber.ids == ids


def test_one_dead_endpoint_of_ten_keeps_the_nine_from_nothing(office: Office) -> None:
    dead = office.subscriber("sub_0")
    nine = [office.subscriber(f"sub_{n}") for n in range(1, 10)]
    dead.gate = threading.Event()
    told = _told_when(nine, each=50, then=dead.gate.set)
    office.timeout_s = GATE_S

    office.happens(*[f"K{n}" for n in range(50)])
    office.runs()

    assert told.is_set(), "some of the nine waited for the dead one"
    assert [len(subscriber.got) for subscriber in nine] == [50] * 9
    assert dead.most_at_once <= webhooks.AT_ONCE


def _told_when(subscribers: Sequence[Subscriber], *, each: int, then: Callable[[], None]) -> threading.Event:
    """Set, and `then` is done, once each subscriber has got so many."""
    told = threading.Event()

    def watch() -> None:
        for _ in range(int(GATE_S / 2 / 0.01)):
            if all(len(subscriber.got) >= each for subscriber in subscribers):
                told.set()
                break
            threading.Event().wait(0.01)
        then()

    threading.Thread(target=watch).start()
    return told


# --- given up ---


def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once_and_its_owner_is_told(office: Office) -> None:
    owner = users.add(office.db, email="it@example.com", name="IT", role=Role.INTEGRATOR, source="test", now=office.now)
    subscriber = office.subscriber(owner=owner.id)
    subscriber.will(410)
    office.happens("K1")
    office.runs()
    office.happens("K2")

    assert office.runs(after=DAY) == Posted()
    known = office.known()
    assert (known.disabled_at, known.disabled_reason) == (office.now - DAY, "it answered 410: it is gone for good")
    assert office.states() == [WebhookState.FAILED]
    (mail,) = office.mail.sent_to("it@example.com")
    text = message_from_bytes(mail.body, policy=policy.default).get_body(("plain",))
    assert text is not None
    assert "sub_1 (127.0.0.1" in text.get_content()
    assert "relance webhooks enable sub_1" in text.get_content()
    assert "/hook" not in text.get_content()
    (entry, *_) = audit.listing(office.db, Wanted(kind="subscription"), limit=10)
    assert (entry.action, entry.source, entry.subject) == ("subscription.disabled", "worker", "sub_1")


def test_five_days_of_unbroken_failure_disable_an_endpoint_and_cancel_what_waits(office: Office) -> None:
    subscriber = office.subscriber()
    subscriber.will(*[500] * 2000)
    office.happens("K1")
    began = office.now
    while office.known().disabled_at is None:
        assert office.now - began < 6 * DAY
        office.happens("K1")
        office.runs(after=12 * HOUR)
    assert (office.known().disabled_at or NOW) - (office.known().failing_since or NOW) == 5 * DAY
    assert (office.known().disabled_reason or "").startswith("it failed for 5 days: it answered 500")
    assert WebhookState.READY not in office.states()
    assert WebhookState.CANCELLED in office.states()


def test_with_a_key_lost_nothing_is_sent_no_attempt_is_counted_and_it_is_said(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.subscriber()
    office.happens("K1", "K2")
    kept, office.keys = office.keys, ("another key of the settings",)

    assert office.runs() == Posted()
    assert "the secret of subscription sub_1 cannot be opened" in caplog.text
    assert "relance webhooks rotate-secret sub_1" in (office.known().last_error or "")
    assert [(d.state, d.attempts) for d in office.log()] == [(WebhookState.READY, 0)] * 2
    office.keys = kept
    assert office.runs(after=10 * MINUTE) == Posted(delivered=2)


def test_a_subscription_that_is_removed_while_something_is_on_its_way_leaves_nothing_behind(office: Office) -> None:
    office.subscriber()
    office.happens("K1")
    claimed = webhooks.claim(office.db, "sub_1", now=office.now, owner="w1", lease_s=60)
    assert claimed is not None
    assert subscriptions.remove(office.db, "sub_1", source="test", now=office.now)
    assert not subscriptions.remove(office.db, "sub_1", source="test", now=office.now)
    assert office.log() == []
    office.happens("K1")
    assert office.runs() == Posted()


# --- at work ---


def test_a_running_courier_posts_what_happens_and_finishes_what_is_on_its_way_when_it_is_stopped(
    office: Office,
) -> None:
    fast, slow = office.subscriber("sub_1"), office.subscriber("sub_2")
    slow.gate = threading.Event()
    with office.courier().at_work(tick_s=0.01):
        office.happens("K1")
        both = _told_when([fast, slow], each=1, then=lambda: None)
        assert both.wait(GATE_S)
        _told_when([], each=0, then=slow.gate.set)
    assert office.states("sub_1") == office.states("sub_2") == [WebhookState.DELIVERED]


def test_a_courier_outlives_a_database_that_cannot_be_used_for_a_while(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    broken = replace(office.courier(), db=Database.connect("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    logged = threading.Event()
    with caplog.at_level("ERROR"), broken.at_work(tick_s=0.01):
        for _ in range(1000):
            if "cannot be used" in caplog.text:
                logged.set()
                break
            threading.Event().wait(0.01)
    broken.db.close()
    assert logged.is_set()
