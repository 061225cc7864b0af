"""Workers that are killed at any moment lose nothing, and what may have arrived twice is listed.

Real processes, a real mail server, a real database. Every kill answers to an event: so many mails seen by the server,
customers seen leased in the database. Time passes between two kills by telling the next worker so.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import text

from app.settings import Mail, Settings
from app.wiring import House, utc_now
from domain.delivery import DeliveryState
from domain.record import CUSTOMER, Record
from store import dossiers, outbox, recommendations
from store.session import Database
from tests.app.conftest import Terminal
from tests.story.post_office import LOOPBACK, PostOffice

WIDTH = 2 * Mail().connections  # on each connection one mail waits for its receipt while the next is announced
CUSTOMERS = 360
LEASES_END = timedelta(minutes=11)  # longer than any lease, and than the pause before a resend
PACK = """\
model: {customer: {segment: text}}
---
rule: greet
title: Greet
for each: customer
when: {segment: corporate}
then: {recommend: win, say: "Say hello to {{ customer.name }}.", do: call, to: owner, due: today}
"""


@dataclass(kw_only=True)
class Trap(PostOffice):
    """Counts down mails; at the last one it strikes, at one of three moments of the conversation."""

    countdown: int = 0
    moment: str = ""
    strike: Callable[[], None] = lambda: None

    def set(self, countdown: int, moment: str, strike: Callable[[], None]) -> None:
        self.countdown, self.moment, self.strike = countdown, moment, strike

    def _reached(self, moment: str) -> bool:
        if moment != self.moment:
            return False
        self.countdown -= 1
        return self.countdown == 0

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        envelope.mail_from = address
        if self._reached("before the body"):
            self.strike()
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        if self._reached("before the answer"):
            self.strike()
        elif self._reached("after the answer"):
            asyncio.get_running_loop().call_soon(self.strike)
        return answer

    @property
    def ids(self) -> Counter[str]:
        """How often each Message-ID arrived."""
        return Counter(message_id(raw) for _, raw in self.mails)

    @property
    def recipients(self) -> set[str]:
        return {recipient for recipient, _ in self.mails}


def message_id(raw: bytes) -> str:
    return str(message_from_bytes(raw)["Message-ID"])


MOMENTS = ("before the body", "before the answer", "after the answer")


@dataclass(kw_only=True)
class Office:
    """Workers on one database: started, killed at an event, and what is known afterwards."""

    relance: Terminal
    db: Database
    post: Trap
    kills: int = 0
    in_flight: set[str] = field(default_factory=set[str])
    listed: set[str] = field(default_factory=set[str])

    def starts(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return self.relance.start("worker", *arguments, stdout=subprocess.DEVNULL, stderr=log)

    @property
    def log(self) -> Path:
        return self.relance.folder / "worker.log"

    def kill_while_sending(self, *arguments: str, workers: int, mails: int, moment: str) -> None:
        """Kill every worker at the n-th mail."""
        struck = threading.Event()
        processes: list[subprocess.Popen[bytes]] = []
        ready = threading.Event()

        def strike() -> None:
            ready.wait()
            for process in processes:
                os.kill(process.pid, signal.SIGKILL)
            struck.set()

        self.post.set(mails, moment, strike)
        processes += [self.starts(*arguments) for _ in range(workers)]
        ready.set()
        self._buries(processes)
        assert struck.is_set(), f"the workers ended before mail {mails}: {self.log.read_text()}"

    def kill_while_evaluating(self, *arguments: str, workers: int) -> None:
        """Kill every worker as soon as one is seen to hold customers, or at its first mail if that came before."""
        processes: list[subprocess.Popen[bytes]] = []
        self.post.set(1, "before the body", lambda: [os.kill(p.pid, signal.SIGKILL) for p in processes])
        processes += [self.starts(*arguments) for _ in range(workers)]
        owners = [owner(process) for process in processes]
        while not self._held(owners) and all(process.poll() is None for process in processes):
            time.sleep(0.001)
        for process in processes:
            process.kill()
        self._buries(processes)

    def _held(self, owners: list[str]) -> int:
        with self.db.read() as connection:
            held = connection.execute(text("SELECT lease_owner FROM customers WHERE lease_owner IS NOT NULL"))
            return sum(row.lease_owner in owners for row in held)

    def _buries(self, processes: list[subprocess.Popen[bytes]]) -> None:
        assert [process.wait() for process in processes] == [-signal.SIGKILL] * len(processes)
        self.kills += 1
        self.post.set(0, "", lambda: None)
        with self.db.read() as connection:
            rows = connection.execute(text("SELECT lease_owner, message_id FROM outbox WHERE state = 'sending'")).all()
        for process in processes:
            began = [row.message_id for row in rows if row.lease_owner == owner(process)]
            assert len(began) <= WIDTH, "a worker has no more mails in flight than its line is wide"
            self.in_flight.update(began)
        self.looks_at_the_list()

    def looks_at_the_list(self) -> None:
        """What an administrator reads under `relance deliveries list --state unknown`."""
        uncertain = outbox.listing(self.db, states=[DeliveryState.UNKNOWN])
        self.listed.update(delivery.message_id for delivery in uncertain if delivery.message_id)

    def runs_to_the_end(self, at: datetime) -> None:
        """Until whatever was uncertain has been sent again."""
        for step in range(3):
            process = self.starts("--once", "--at", (at + step * LEASES_END).isoformat())
            assert process.wait() == 0, self.log.read_text()
            self.looks_at_the_list()


def owner(process: subprocess.Popen[bytes]) -> str:
    return f"{socket.gethostname()}:{process.pid}"


def written(db: Database, pack: str, customers: int, *, now: datetime) -> House:
    """Customers with something to say about each, and the rules published, all at one moment."""
    house = House.build(Settings.model_validate({"rules": [pack], "secret_keys": ["a key for tests only"]}), db)
    house.rules(now=now)
    dossiers.upsert(db, [customer(n) for n in range(customers)], now=now, source="test")
    return house


def customer(number: int, *, name: str = "") -> Record:
    fields = {"name": name or f"Customer {number}", "owner": f"seller-{number}@example.com", "segment": "corporate"}
    return Record(kind=CUSTOMER, id=f"K{number}", customer=f"K{number}", fields=fields)


def raised(db: Database) -> dict[str, tuple[object, ...]]:
    return {
        r.id: (r.dossier, r.rule, r.subject, r.opened_at, r.state) for r in recommendations.listing(db, limit=10_000)
    }


@pytest.fixture
def office(relance, database_url):
    relance.writes("greet.yaml", PACK)
    post = Trap()
    terminal = relance.having(
        DATABASE=database_url,
        RULES='["greet.yaml"]',
        TICK_S="0.1",
        MAIL__HOST=LOOPBACK,
        MAIL__PORT=str(post.port),
        MAIL__SENDER="relance@example.com",
    )
    with Database.connect(database_url) as db, post.open():
        yield Office(relance=terminal, db=db, post=post)


KILLS = {"sqlite": 20, "postgresql": 6}


def test_nothing_is_lost_and_what_may_come_twice_is_listed_however_often_workers_are_killed(
    office, sqlite_template, tmp_path
):
    kills = KILLS[office.db.engine.dialect.name]
    chance = random.Random(kills)
    start = utc_now() - timedelta(minutes=1)
    pack = str(office.relance.folder / "greet.yaml")
    written(office.db, pack, CUSTOMERS, now=start)

    # Two that keep running, as they do in service ...
    office.kill_while_evaluating(workers=1)
    office.kill_while_sending(workers=2, mails=chance.randint(2, 30), moment=chance.choice(MOMENTS))
    # ... and the others with the time moved on, so that leases end.
    at = utc_now()
    while office.kills < kills:
        at += LEASES_END
        arguments, workers = ("--once", "--at", at.isoformat()), chance.choice((1, 1, 2))
        if chance.random() < 0.3:
            some = chance.sample(range(CUSTOMERS), 100)
            renamed = [customer(n, name=f"Customer {n} after {office.kills} kills") for n in some]
            dossiers.upsert(office.db, renamed, now=at, source="test")
            office.kill_while_evaluating(*arguments, workers=workers)
        else:
            mails, moment = chance.randint(1, 25), chance.choice(MOMENTS)
            office.kill_while_sending(*arguments, workers=workers, mails=mails, moment=moment)
    assert len(office.post.recipients) < CUSTOMERS, "there was something left to lose"
    office.runs_to_the_end(at + LEASES_END)

    still_unknown = {d.destination for d in outbox.listing(office.db, states=[DeliveryState.UNKNOWN])}
    expected = {f"seller-{n}@example.com" for n in range(CUSTOMERS)}
    assert expected - office.post.recipients <= still_unknown, "nothing is lost"
    assert office.post.recipients <= expected
    assert outbox.counts(office.db).keys() <= {DeliveryState.SENT, DeliveryState.UNKNOWN}

    assert office.in_flight, "some were in flight at a kill"
    assert office.in_flight <= office.listed, "what is uncertain is listed"
    twice = {id_ for id_, count in office.post.ids.items() if count > 1}
    assert twice <= office.in_flight, "nothing else comes twice"
    assert len({raw for _, raw in office.post.mails}) == len(office.post.ids), "a mail that comes again is the same"

    reference = tmp_path / "reference.db"
    shutil.copy(sqlite_template, reference)
    with Database.connect(f"sqlite:///{reference}") as untouched:
        written(untouched, pack, CUSTOMERS, now=start).worker(now=start).evaluate(now=at)
        assert raised(office.db) == raised(untouched)


def test_a_worker_that_is_told_to_stop_finishes_what_is_in_flight_and_gives_the_rest_back(office):
    written(office.db, str(office.relance.folder / "greet.yaml"), 150, now=utc_now() - timedelta(minutes=1))
    in_flight, told = threading.Event(), threading.Event()

    def wait() -> None:
        in_flight.set()
        told.wait()

    office.post.set(3, "before the answer", wait)
    process = office.starts()
    assert in_flight.wait(timeout=60), office.log.read_text()
    process.send_signal(signal.SIGTERM)
    told.set()
    assert process.wait() == 0, office.log.read_text()

    sent = len(office.post.mails)
    assert 3 <= sent < outbox.CLAIM_LIMIT, "it stops soon, but not in the middle of a mail"
    assert outbox.counts(office.db) == {DeliveryState.SENT: sent, DeliveryState.READY: 150 - sent}
    with office.db.read() as connection:
        for table in ("customers", "outbox"):
            leased = text(f"SELECT count(*) FROM {table} WHERE lease_owner IS NOT NULL")
            assert connection.execute(leased).scalar() == 0

    assert office.starts("--once").wait() == 0
    assert set(office.post.ids.values()) == {1}
    assert len(office.post.recipients) == 150
