"""The whole service as a story sees it: records go in, mails arrive, buttons are pressed, and time passes when told.

Everything is real: the database, the SMTP server, the pages. The clock stands still unless a story moves it.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from app.importing import ImportReport, StoreSink, import_file
from app.settings import Mail as MailSettings
from app.settings import Settings
from app.wiring import House, open_store
from domain.delivery import Delivery, DeliveryState, Link
from domain.person import People, Person
from domain.recommendation import Recommendation, State
from domain.record import CUSTOMER, Record, RecordRef, Scalar, Timeline
from domain.wishes import Wishes
from rules.mapping import load as load_map
from rules.rulebase import NOBODY, Decision, RuleBase
from scheduler.dispatch import Dispatched
from scheduler.evaluate import Outcome
from scheduler.worker import Worker
from store import dossiers, due, outbox, people, recommendations
from store.session import Database
from tests.story.post_office import LOOPBACK, PostOffice
from web.app import create_app

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have the successor of httpx
    from fastapi.testclient import TestClient

ZURICH = ZoneInfo("Europe/Zurich")
BASE_URL = "http://testserver"

COMPANY = """
company: Muster AG
timezone: Europe/Zurich
currency: CHF
language: en
calendar: zurich
---
calendar: zurich
timezone: Europe/Zurich
---
calendar: new-york
timezone: America/New_York
"""


# --- what the company writes ---


def customer(id_: str, *, owner: str | None = "seller", **fields: Scalar) -> Record:
    named = {"name": f"Customer {id_}"} | ({"owner": owner} if owner else {})
    return Record(kind=CUSTOMER, id=id_, customer=None, fields=named | fields)


def contract(id_: str, *, ends: str, customer: str | None = "K1", status: str = "active", **fields: Scalar) -> Record:
    fields = {"status": status, "end_date": ends, "auto_renews": False, "product": "Fleet policy"} | fields
    return Record(kind="contract", id=id_, customer=customer, fields=fields)


def person(id_: str, **more: Any) -> Person:
    known: dict[str, Any] = {"name": id_.capitalize(), "email": f"{id_}@example.com", "language": "en"}
    return Person(id=id_, **known | more)


# --- where it works ---


@contextmanager
def muster(database: str, folder: Path) -> Generator[Relance]:
    """Muster AG in Zurich, on a database, on the morning of 1 September 2026. Its own rules lie in the folder."""
    own = folder / "rules"
    own.mkdir()
    (own / "company.yaml").write_text(COMPANY, encoding="utf-8")
    start = datetime(2026, 9, 1, 6, tzinfo=UTC)
    service = Relance(database=database, packs=["base", str(own)], post=PostOffice(), now=start)
    with service.running() as relance:
        yield relance


# --- what comes of it ---


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail as it lies in somebody's mailbox."""

    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        return self.message["Subject"]

    @property
    def id(self) -> str:
        return self.message["Message-ID"]

    @cached_property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return body.get_content()

    @property
    def links(self) -> list[str]:
        return re.findall(rf"{BASE_URL}(/r/\S+)", self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run did."""

    evaluated: Outcome
    dispatched: Dispatched


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A recommendation as a chronicle has it: local days."""

    about: str
    state: State
    opened: date
    ended: date | None
    missed: bool = False

    @classmethod
    def of(cls, recommendation: Recommendation) -> Episode:
        return cls(
            about=about(recommendation),
            state=recommendation.state,
            opened=local_day(recommendation.opened_at),
            ended=local_day(recommendation.ended_at) if recommendation.ended_at else None,
            missed=recommendation.missed,
        )


def about(recommendation: Recommendation) -> str:
    return f"{recommendation.rule} {recommendation.subject.id}"


def local_day(moment: datetime) -> date:
    return moment.astimezone(ZURICH).date()


@dataclass(frozen=True, kw_only=True)
class Interrupted(RuleBase):
    """A rule base that takes its time: something happens after a customer was claimed, before the decision is saved."""

    meanwhile: Callable[[], object]

    @classmethod
    def by(cls, base: RuleBase, meanwhile: Callable[[], object]) -> Interrupted:
        return cls(**{own.name: getattr(base, own.name) for own in fields(base)}, meanwhile=meanwhile)

    def replay(
        self, timeline: Timeline, *, since: datetime, until: datetime, people: People = NOBODY
    ) -> Iterator[Decision]:
        self.meanwhile()
        return super().replay(timeline, since=since, until=until, people=people)


@dataclass(kw_only=True)
class Relance:
    """One company's service. `packs`: its rules, the company's own folder last.

    `processes`, `at_once` and whatever else is in `more`: as in the settings.
    """

    database: str
    packs: Sequence[str]
    post: PostOffice
    now: datetime
    nobody: str | None = None
    processes: int = 0
    at_once: int | None = None
    more: dict[str, object] = field(default_factory=dict[str, object])
    house: House = field(init=False)
    worker: Worker = field(init=False)
    pages: TestClient = field(init=False)
    _open: ExitStack = field(init=False, default_factory=ExitStack)

    @contextmanager
    def running(self) -> Generator[Relance]:
        with self.post.open(), self._open:
            yield self.restarts()

    @property
    def db(self) -> Database:
        return self.house.db

    # --- what happens ---

    def at(self, moment: str) -> Relance:
        """It is this moment by the clock in Zurich; of a day, eight in the morning."""
        local = datetime.fromisoformat(moment if "T" in moment else f"{moment}T08:00")
        self.now = local.replace(tzinfo=ZURICH).astimezone(self.now.tzinfo)
        return self

    def has(self, *written: Record | Person) -> Relance:
        """People and records are written, now."""
        if persons := [new for new in written if isinstance(new, Person)]:
            people.save(self.db, persons, now=self.now, source="story")
        if records := [new for new in written if isinstance(new, Record)]:
            dossiers.upsert(self.db, records, now=self.now, source="story")
        return self

    def imports(self, file: Path, map_: Path, *, report_to: Path | None = None) -> ImportReport:
        """A file is imported, now."""
        sink = StoreSink(db=self.db, now=self.now, source=f"import {file.name}")
        return import_file(
            file, name=file.name, map_=load_map(map_, self.house.base.model), sink=sink, report_to=report_to
        )

    def loses(self, kind: str, id_: str) -> None:
        dossiers.delete(self.db, [RecordRef(kind=kind, id=id_)], now=self.now, source="story")

    def runs(self, *, meanwhile: Callable[[], object] | None = None) -> Ran:
        """One run of the worker; `meanwhile` happens once, between a claim and its commit."""
        worker = self.worker
        if meanwhile is not None:
            happenings = iter([meanwhile])
            base = Interrupted.by(self.house.base, lambda: next(happenings, lambda: None)())
            worker = replace(worker, rules=replace(worker.rules, base=base), processes=None)
        return Ran(evaluated=worker.evaluate(now=self.now), dispatched=worker.dispatch(now=self.now))

    def runs_in_two_workers_at_once(self) -> list[Ran]:
        """Two processes' worth of workers, each with its own connections, rules and line to the mail server."""
        start = threading.Barrier(2)

        def work(name: str) -> Ran:
            with open_store(self.house.settings) as db:
                worker = replace(House.build(self.house.settings, db).worker(now=self.now), owner=name)
                start.wait(10)
                return Ran(evaluated=worker.evaluate(now=self.now), dispatched=worker.dispatch(now=self.now))

        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(work, ("one", "two")))

    def restarts(self) -> Relance:
        """The process ends and another one begins, with the rules and settings as they are now."""
        self._open.close()
        settings = Settings.model_validate(
            {
                "database": self.database,
                "rules": list(self.packs),
                "base_url": BASE_URL,
                "secret_keys": ["a key that only stories know"],
                "nobody": self.nobody,
                "processes": self.processes,
                "at_once": self.at_once,
                "mail": MailSettings(host=LOOPBACK, port=self.post.port, sender="relance@example.com", timeout_s=10),
                **self.more,
            }
        )
        self.house = House.build(settings, self._open.enter_context(open_store(settings)))
        self.worker = self.house.worker(now=self.now)
        if self.worker.processes is not None:
            self._open.enter_context(self.worker.processes)
        services = replace(self.house.services(), clock=lambda: self.now)
        self.pages = self._open.enter_context(TestClient(create_app(services), base_url=BASE_URL))
        return self

    def forget_person(self, who: str) -> None:
        """Somebody leaves: nothing knows them any more."""
        with self.db.begin() as connection:
            connection.execute(text("DELETE FROM people WHERE id = :id"), {"id": who})

    def knows(self, name: str, rule: str) -> Relance:
        """The company writes a rule into its own pack, and the service restarts."""
        (Path(self.packs[-1]) / f"{name}.yaml").write_text(rule, encoding="utf-8")
        return self.restarts()

    def forgets(self, name: str) -> Relance:
        (Path(self.packs[-1]) / f"{name}.yaml").unlink()
        return self.restarts()

    def sets(self, **settings: object) -> Relance:
        """An administrator changes settings, and the service restarts."""
        self.more |= settings
        return self.restarts()

    # --- what people do ---

    def wishes(self, who: str, **wishes: Any) -> Relance:
        """Somebody says what they want to hear, now."""
        people.wish(self.db, who, Wishes(**wishes), now=self.now, source="test")
        return self

    def clicks(self, mail: Mail, button: str, **form: str) -> str:
        """Somebody opens a button's page and presses; the page that comes back."""
        path = self.address(mail, button)
        before = self.recommendations()
        assert self.pages.get(path).status_code == 200
        assert self.recommendations() == before, "opening a page changed something"
        return self.pages.post(path, data=form).text

    def address(self, mail: Mail, button: str) -> str:
        """Where a button of a mail leads."""
        for path in mail.links:
            if self.house.links.read(path.removeprefix("/r/"), now=self.now).link == Link(button):
                return path
        raise AssertionError(f"the mail has no button {button}")

    # --- what is to be seen ---

    def open(self) -> list[str]:
        """What is open, as "rule subject"."""
        return sorted(about(r) for r in self.recommendations() if r.state is State.OPEN)

    def chronicle(self) -> list[Episode]:
        """Everything there ever was, in order of its beginning."""
        return sorted(map(Episode.of, self.recommendations()), key=lambda episode: (episode.opened, episode.about))

    def recommendations(self) -> list[Recommendation]:
        return recommendations.listing(self.db, limit=100_000)

    def open_subjects(self, rule: str) -> set[str]:
        """The ids of what a rule has open."""
        return {r.subject.id for r in self.recommendations() if r.rule == rule and r.state is State.OPEN}

    def recommendation(self) -> Recommendation:
        """The only one."""
        (only,) = self.recommendations()
        return only

    def mailbox(self, address: str) -> list[Mail]:
        """What has arrived there, in order."""
        return [Mail(raw=raw) for recipient, raw in self.post.mails if recipient == address]

    def deliveries(self, *states: DeliveryState, limit: int = 1000) -> list[Delivery]:
        """In one of these states; all of them unless states are named."""
        return outbox.listing(self.db, states=states or None, limit=limit)

    def failed(self) -> dict[str, str]:
        """The customers that could not be evaluated, and why."""
        return {failure.dossier: failure.reason for failure in due.failed(self.db)}
