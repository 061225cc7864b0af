"""A customer over whom the rule engine crashes or hangs, a worker process that is killed, rules that cannot be built:
the others get their reminders, what went wrong is listed, and the service goes on."""

from __future__ import annotations

import os
import select
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.doctor import examine
from app.settings import SettingsError
from app.wiring import utc_now
from scheduler import processes
from scheduler.processes import Processes
from store import dossiers, due, people, rulebases
from store.session import Database
from tests.app.conftest import Terminal
from tests.poison import Poisoned, Unbuildable, poisoned, says
from tests.story.post_office import LOOPBACK, PostOffice
from tests.story.relance import COMPANY, Relance, contract, customer, person

SELLER = "seller@example.com"


@pytest.fixture
def isolated(relance: Relance) -> Iterator[Relance]:
    """Decisions are made in two processes, and a customer with the product "crash" crashes the one that decides."""
    with Processes(Poisoned.of(relance.house.base), count=2, limit_s=1.0) as two:
        relance.worker = replace(relance.worker, processes=two)
        yield relance


def sold(relance: Relance, *sellers: str) -> None:
    """Each has a customer with a contract that expires."""
    for seller in sellers:
        relance.has(person(seller), customer(f"K-{seller}", owner=seller))
        relance.has(contract(f"C-{seller}", ends="2027-01-07", customer=f"K-{seller}"))


def arrived(relance: Relance) -> list[str]:
    return sorted(recipient.partition("@")[0] for recipient, _ in relance.post.mails)


# --- customers ---


@pytest.mark.parametrize("poison", ["crash", "hang", "killed", "broken"])
def test_the_others_get_their_reminders_and_the_one_is_listed_until_it_is_corrected(
    isolated: Relance, poison: str
) -> None:
    isolated.has(contract("C1", ends="2027-01-07", product=poison))
    sold(isolated, "anna", "zoe")
    ran = isolated.at("2026-10-09").runs()
    assert arrived(isolated) == ["anna", "zoe"]
    assert ran.evaluated.failed == list(isolated.failed().items())
    assert isolated.failed().keys() == {"K1"}
    assert says(poison, isolated.failed()["K1"])
    found = examine(isolated.house.settings, now=isolated.now)
    (listed,) = [finding.says for finding in found if finding.check == "customer"]
    assert listed == f"K1 could not be evaluated: {isolated.failed()['K1']}"

    isolated.now += timedelta(minutes=59)
    sold(isolated, "lena")
    assert isolated.runs().evaluated.failed == []  # not in a tight loop
    assert arrived(isolated) == ["anna", "lena", "zoe"]
    isolated.now += timedelta(minutes=1)
    assert len(isolated.runs().evaluated.failed) == 1

    isolated.has(contract("C1", ends="2027-01-07", product="Fleet policy")).runs()
    assert isolated.failed() == {}
    assert len(isolated.mailbox(SELLER)) == 1


def test_processes_decide_as_this_process_does(sqlite_template: Path, tmp_path: Path) -> None:
    (tmp_path / "company.yaml").write_text(COMPANY, encoding="utf-8")
    seen: list[tuple[object, ...]] = []
    for count in (0, 2):
        database = shutil.copy(sqlite_template, tmp_path / f"{count}.db")
        service = Relance(
            database=f"sqlite:///{database}",
            packs=["base", str(tmp_path)],
            post=PostOffice(),
            now=datetime(2026, 9, 1, 6, tzinfo=UTC),
            processes=count,
        )
        with service.running() as relance:
            relance.has(person("seller", manager="boss"), person("boss", language="de"))
            for number in range(80):
                ends = datetime(2026, 10, 1) + timedelta(days=3 * number)  # noqa: DTZ001 - a day
                relance.has(customer(f"K{number}", owner="seller" if number % 3 else None))
                relance.has(contract(f"C{number}", ends=ends.date().isoformat(), customer=f"K{number}"))
            relance.has(contract("C7", ends="next spring", customer="K7"))
            outcomes = [relance.runs().evaluated, relance.at("2026-10-20").runs().evaluated]
            relance.has(contract("C9", ends="2028-01-07", customer="K9"))
            outcomes.append(relance.at("2026-12-01").runs().evaluated)
            deliveries = sorted((d.key, d.destination, d.due_at) for d in relance.deliveries())
            seen.append((outcomes, relance.recommendations(), deliveries, relance.failed(), due.next_due(relance.db)))
    here, elsewhere = seen
    assert here == elsewhere
    assert here[1]


# --- rules ---


@pytest.mark.parametrize("poison", ["crash", "hang", "broken"])
def test_rules_that_cannot_be_built_are_not_published_and_the_live_ones_stay(
    relance: Relance, monkeypatch: pytest.MonkeyPatch, poison: str
) -> None:
    monkeypatch.setattr(processes, "BUILD_LIMIT_S", 1.0)
    live = relance.house.base
    base = Unbuildable.of(live, poison=poison, hash="sha256:another")
    house = replace(relance.house, settings=relance.house.settings.model_copy(update={"processes": 1}), base=base)
    with pytest.raises(SettingsError) as refused:
        house.rules(now=relance.now)
    reason, _, way_out = str(refused.value).removeprefix("setting rules: ").partition(". Nothing was published")
    assert says(poison, reason, of="building the rules")
    assert "Take back what was changed last" in way_out
    assert rulebases.live_hash(relance.db) == live.hash

    sold(relance, "anna")
    relance.at("2026-10-09").runs()
    assert arrived(relance) == ["anna"]


def test_rules_that_are_live_are_not_tried_out_again(relance: Relance) -> None:
    base = Unbuildable.of(relance.house.base, poison="broken")
    settings = relance.house.settings.model_copy(update={"processes": 1})
    replace(relance.house, settings=settings, base=base).rules(now=relance.now)


# --- the service, as it is run ---


@dataclass(kw_only=True)
class Awaited(PostOffice):
    """Says when so many mails have come."""

    count: int
    come: threading.Event = field(default_factory=threading.Event)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        if len(self.mails) == self.count:
            self.come.set()
        return answer


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_running_worker_survives_what_happens_to_its_processes_and_leaves_none_behind(
    database_url: str, tmp_path: Path
) -> None:
    others, start = 120, utc_now() - timedelta(minutes=1)
    (tmp_path / "company.yaml").write_text(COMPANY, encoding="utf-8")
    post = Awaited(count=others)
    settings = {
        "DATABASE": database_url,
        "RULES": '["base", "company.yaml"]',
        "SECRET_KEYS": '["a key for tests only"]',
        "TICK_S": "0.1",
        "AT_ONCE": "1000",
        "MAIL__HOST": LOOPBACK,
        "MAIL__PORT": str(post.port),
        "MAIL__SENDER": "relance@example.com",
    }
    terminal = Terminal(folder=tmp_path, settings=settings)
    ends = (start + timedelta(days=45)).date().isoformat()
    with Database.connect(database_url) as db, post.open():
        people.save(db, [person("seller")], now=start, source="story")
        records = [customer(f"K{n}") for n in range(others + 1)]
        records += [contract(f"C{n}", ends=ends, customer=f"K{n}") for n in range(others)]
        records.append(contract("C-crash", ends=ends, customer=f"K{others}", product="crash"))
        dossiers.upsert(db, records, now=start, source="story")
        with (tmp_path / "log").open("w") as log:
            worker = terminal.start("worker", env=poisoned(tmp_path), stderr=log)
            assert post.come.wait(timeout=120), (tmp_path / "log").read_text()
            at_work = [os.pidfd_open(pid) for pid in children(worker.pid)]
            worker.send_signal(signal.SIGTERM)
            assert worker.wait() == 0
        (failure,) = due.failed(db)
    assert failure.dossier == f"K{others}"
    assert says("crash", failure.reason)
    assert f"customer K{others} could not be evaluated" in (tmp_path / "log").read_text()
    for process in at_work:
        ended, _, _ = select.select([process], [], [], 60)
        assert ended
        os.close(process)
