"""A company with two people, one customer and one open recommendation, behind the real application."""

from __future__ import annotations

import re
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import uvicorn
from fastapi import FastAPI
from httpx import Response

from domain.delivery import Delivery, DeliveryState, Link, PersonalLink
from domain.followup import FollowUp, FollowUpKind, NewFollowUp
from domain.person import Person
from domain.recommendation import Advice, Recommendation, Verdict
from domain.record import CUSTOMER, Record, RecordRef
from domain.wishes import Wishes
from notifiers.http import Outgoing
from notifiers.links import Links
from rules.loader import load
from rules.rulebase import RuleBase
from store import dossiers, due, evaluations, followups, outbox, people, recommendations, suppressions
from store.session import Database
from web.app import create_app
from web.mailbox import StoredMail, create_mailbox
from web.services import Condition, Explanation, LiveRule, Services

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have the successor of httpx
    from fastapi.testclient import TestClient

MONDAY = datetime(2026, 11, 23, 9, 2, 30, tzinfo=UTC)  # 10:02 in Zurich
CALL = "R1"

SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
MATTERMOST_KEYS = ("a key for Mattermost", "an older key")
LOOPBACK = Outgoing(allowed=(ip_network("127.0.0.1/32"),))
RULES = {
    "contract-expiring": {"en": "Contract expiring", "de": "Vertrag läuft aus"},
    "quote-stalled": {"en": "Quote stalled", "de": "Offerte stockt"},
}
TAGS = {"contract-expiring": ("renewal",), "quote-stalled": ("pipeline", "sales")}

LENA = Person(id="lena", name="Lena Steiner", email="lena@example.com", language="en", timezone="Europe/Zurich")
PETRA = Person(id="petra", name="Petra Frei", email="petra@example.com", language="de", timezone="Europe/Zurich")


def explain_from(db: Database) -> Callable[..., Explanation]:
    def explain(recommendation: Recommendation, /, *, language: str, now: datetime) -> Explanation:
        dossier = dossiers.load(db, recommendation.dossier)
        assert dossier is not None
        return Explanation(
            customer=dossier.name,
            title=f"Call {dossier.name}",
            sentence="The fleet policy ends in 45 days.",
            action="Start the renewal call",
            due="Fri 27 Nov",
            stake="CHF 48,200",
            facts=(("Policy", "FL-20418"), ("Contact", "Anna Keller, Head of Fleet, +41 44 000 00 00")),
            instead=("Hand over to the broker desk",),
            conditions=(
                Condition(text="contract ends in the next 90 days", value="7 Jan 2027", holds=True),
                Condition(text="contract does not renew by itself", value="yes", holds=False),
            ),
            rule=recommendation.rule,
            rule_title="Contract expiring",
            rule_version=recommendation.rule_version,
        )

    return explain


@cache
def base_rules() -> RuleBase:
    return load(["base"])


def rules_of(language: str) -> list[LiveRule]:
    return [LiveRule(id=id_, title=titles.get(language, titles["en"]), tags=TAGS[id_]) for id_, titles in RULES.items()]


def planned(recommendation: Recommendation, now: datetime) -> list[NewFollowUp]:
    """A second reminder after three days."""
    return [
        NewFollowUp(recommendation=recommendation.id, kind=FollowUpKind.REPEAT, step=1, due_at=now + timedelta(days=3))
    ]


@dataclass(kw_only=True)
class Office:
    """The application, its clock, and what a person sees and presses."""

    db: Database
    now: datetime = MONDAY
    links: Links = field(default_factory=lambda: Links(["a key for tests"], "http://testserver"))
    mails: Sequence[StoredMail] = ()
    slack_signing_secret: str | None = SLACK_SECRET
    mattermost_keys: Sequence[str] = MATTERMOST_KEYS
    app: FastAPI = field(init=False)
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(
            Services(
                clock=lambda: self.now,
                db=self.db,
                links=self.links,
                explain=explain_from(self.db),
                language="en",
                zone=ZoneInfo("Europe/Zurich"),
                base=base_rules(),
                followups=planned,
                rules=rules_of,
                slack_signing_secret=self.slack_signing_secret,
                mattermost_keys=self.mattermost_keys,
                outgoing=LOOPBACK,
            )
        )
        self.app.include_router(create_mailbox(lambda: self.mails))
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def has_a_recommendation(self) -> None:
        """One customer with one recommendation, raised for both people."""
        people.save(self.db, [LENA, PETRA], now=self.now, source="test")
        customer = Record(kind=CUSTOMER, id="K1", customer=None, fields={"name": "Muster Logistik AG"})
        dossiers.upsert(self.db, [customer], now=self.now, source="test")
        raised = Recommendation(
            id=CALL,
            dossier="K1",
            rule="contract-expiring",
            rule_version=12,
            subject=RecordRef(kind=CUSTOMER, id="K1"),
            opened_at=self.now,
            advice=Advice(
                recommend=Verdict.WIN,
                say="",
                do="call",
                worth=Decimal(48200),
                due=date(2026, 11, 27),
                to=("lena", "petra"),
            ),
        )
        self.evaluates(raised=[raised])

    def renames_the_customer(self, name: str) -> None:
        renamed = Record(kind=CUSTOMER, id="K1", customer=None, fields={"name": name})
        dossiers.upsert(self.db, [renamed], now=self.now, source="test")

    def moves_to_an_unknown_zone(self, person_id: str) -> None:
        self.knows(person_id, timezone="Mars/Olympus")

    def says(self, do: str | None) -> None:
        """The rule's next best action changes."""
        self.renames_the_customer("Muster Logistik AG (new)")
        before = self.recommendation
        self.evaluates(updated=[replace(before, advice=replace(before.advice, do=do))])

    def evaluates(self, **decided: Sequence[Recommendation]) -> None:
        (claim,) = due.claim(self.db, now=self.now, limit=1, owner="test", lease_s=60)
        decision = evaluations.Evaluated(claim=claim, next_check=None, evaluated_at=self.now, rulebase="1", **decided)
        assert not evaluations.commit_many(self.db, [decision])

    def settles_itself(self) -> None:
        """The rule stops being true."""
        customer = Record(kind=CUSTOMER, id="K1", customer=None, fields={"name": "Muster Logistik AG", "renewed": True})
        dossiers.upsert(self.db, [customer], now=self.now, source="test")
        self.evaluates(updated=[self.recommendation.end(at=self.now)])

    def link(self, link: Link, *, person: str = "lena", recommendation: str = CALL) -> str:
        """The path that a mail links to."""
        url = self.links.for_person(recommendation, person, now=MONDAY)[link]
        return url.removeprefix("http://testserver")

    def own(self, link: PersonalLink, *, person: str = "lena", address: str | None = None) -> str:
        """The path of a link about a person's own wishes."""
        urls = self.links.personal(person, address=address or f"{person}@example.com", now=MONDAY)
        return urls[link].removeprefix("http://testserver")

    def knows(self, person_id: str, **changes: str) -> None:
        """What is recorded of a person changes."""
        person = next(p for p in (LENA, PETRA) if p.id == person_id)
        people.save(self.db, [replace(person, **changes)], now=self.now, source="test")

    def wishes(self, person_id: str = "lena") -> Wishes:
        return people.load(self.db).by_id[person_id].wishes

    @property
    def suppressed(self) -> list[str]:
        return [suppression.address for suppression in suppressions.listing(self.db)]

    def get(self, path: str, **options: object) -> Response:
        return self.client.get(path, **options)

    def press(self, path: str, **fields: str | Sequence[str]) -> Response:
        """Press the page's button and follow to the answer."""
        return self.client.post(path, data=fields)

    @property
    def recommendation(self) -> Recommendation:
        found = recommendations.get(self.db, CALL)
        assert found is not None
        return found

    @property
    def deliveries(self) -> list[Delivery]:
        return outbox.listing(self.db, states=[DeliveryState.QUEUED])

    @property
    def followups(self) -> list[FollowUp]:
        return followups.of(self.db, CALL)

    @contextmanager
    def serves(self) -> Iterator[str]:
        """The application on a free port of loopback; gives its base URL."""
        config = uvicorn.Config(self.app, log_level="critical", access_log=False, timeout_graceful_shutdown=10)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:  # a request waits in its backlog for the start
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()


def heading(response: Response) -> str:
    """The one h1 of a page, as its reader sees it."""
    (found,) = re.findall(r"<h1.*?>(.*?)</h1>", response.text, re.DOTALL)
    return " ".join(found.replace("\u00a0", " ").split())
