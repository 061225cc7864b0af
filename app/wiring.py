"""The one place that builds things: settings in, a worker and a web application out."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.settings import Settings, SettingsError
from domain.delivery import Link
from domain.person import People
from domain.recommendation import Match, Recommendation
from domain.record import Dossier
from notifiers.links import Links
from notifiers.smtp import SmtpNotifier
from rules.loader import load
from rules.model import Unreadable
from rules.rulebase import RuleBase
from scheduler.dispatch import Postman
from scheduler.evaluate import Rules
from scheduler.processes import Processes, Unusable, try_out
from scheduler.reminders import ReminderWriter
from scheduler.worker import Worker
from store import dossiers, people, rulebases
from store.migrations import check_schema
from store.session import Database
from web.services import Condition, Explanation, Services

if TYPE_CHECKING:
    from collections.abc import Generator


def utc_now() -> datetime:
    """The clock of the running service. Everything below takes the time as an argument."""
    return datetime.now(UTC)


def database(settings: Settings) -> Database:
    """The database that the settings name, with whatever schema it has. Raises `SettingsError`."""
    try:
        return Database.connect(settings.database)
    except ValueError as refusal:
        raise SettingsError(f"setting database: {refusal}") from None


@contextmanager
def open_store(settings: Settings) -> Generator[Database]:
    """The store, with its schema as this version needs it.

    Raises `SettingsError`, `StoreUnavailable`, `SchemaOutdated`.
    """
    with database(settings) as db:
        check_schema(db)
        yield db


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything that works on one store, wired together."""

    settings: Settings
    db: Database
    base: RuleBase
    links: Links

    @classmethod
    def build(cls, settings: Settings, db: Database) -> House:
        """Raises `BadRules`, `SettingsError`."""
        return cls(
            settings=settings,
            db=db,
            base=load(settings.rules),
            links=Links(keys=settings.keys(), base_url=settings.base_url),
        )

    def rules(self, *, now: datetime) -> Rules:
        """The rule base, published if it is new and can be built. Raises `SettingsError`."""
        if self.settings.processes != 0 and rulebases.live_hash(self.db) != self.base.hash:
            self._try_out()
        published = rulebases.publish(
            self.db,
            hash=self.base.hash,
            rules={rule.id: rule.hash for rule in self.base.rules},
            kinds=self.base.reads(),
            now=now,
        )
        nobody = self.settings.nobody
        if nobody and people.load(self.db).get(nobody) is None:
            raise SettingsError(f'setting nobody: there is no person "{nobody}"')
        return Rules(base=self.base, published=published, nobody=nobody)

    def _try_out(self) -> None:
        """The rule engine may end or hang a process that builds rules: never this one, and never once they are live."""
        try:
            try_out(self.base)
        except Unusable as failure:
            raise SettingsError(
                f"setting rules: {failure}. Nothing was published: the rules that were live before stay so. "
                "Take back what was changed last, or leave out one pack after the other to find the one it lies in"
            ) from None

    def writer(self) -> ReminderWriter:
        def links(recommendation: str, person: str, now: datetime) -> Mapping[Link, str]:
            return self.links.for_person(recommendation, person, now=now)

        return ReminderWriter(base=self.base, links=links, crm_url=self.settings.crm_url)

    def postman(self) -> Postman:
        mail = self.settings.mail
        return Postman(writer=self.writer(), sender=mail.sender, name=mail.name)

    def worker(self, *, now: datetime) -> Worker:
        return Worker(
            db=self.db,
            rules=self.rules(now=now),
            postman=self.postman(),
            notifier=SmtpNotifier(server=self.settings.mail.server()),
            owner=f"{socket.gethostname()}:{os.getpid()}",
            processes=None if self.settings.processes == 0 else Processes(self.base, count=self.settings.processes),
        )

    def services(self) -> Services:
        return Services(
            clock=utc_now,
            db=self.db,
            links=self.links,
            explain=self.explain,
            language=self.base.company.language,
            zone=self.base.company.zone,
        )

    def explain(self, recommendation: Recommendation, /, *, language: str, now: datetime) -> Explanation:
        """What the pages behind a link show. Where the rule or the record is gone, what was said when it was raised."""
        known = people.load(self.db)
        dossier = dossiers.load(self.db, recommendation.dossier) or Dossier(id=recommendation.dossier, records=())
        try:
            return self._explain(recommendation, dossier, known, language=language, now=now)
        except (KeyError, Unreadable):
            advice = recommendation.advice
            return Explanation(
                customer=dossier.name,
                title=f"{dossier.name}: {recommendation.subject}",
                sentence=advice.say,
                action=None,
                due=advice.due.isoformat() if advice.due else None,
                stake=str(advice.worth) if advice.worth is not None else None,
                facts=(),
                conditions=(),
                rule=recommendation.rule,
                rule_title=recommendation.rule,
                rule_version=recommendation.rule_version,
            )

    def _explain(
        self, recommendation: Recommendation, dossier: Dossier, known: People, *, language: str, now: datetime
    ) -> Explanation:
        reminder = self.writer().write(recommendation, dossier, person="", people=known, language=language, now=now)
        match = Match(rule=recommendation.rule, subject=recommendation.subject)
        facts = self.base.facts(dossier, now=now, people=known)
        wording = self.base.wording(facts, language=language)
        return Explanation(
            customer=dossier.name,
            title=reminder.title,
            sentence=reminder.why,
            action=reminder.action if recommendation.advice.do else None,
            due=reminder.due,
            stake=reminder.stake,
            facts=reminder.facts,
            instead=reminder.instead,
            conditions=tuple(
                Condition(text=wording.reason(r), value=wording.reason_value(r), holds=r.holds)
                for r in self.base.trace(match, facts)
            ),
            rule=reminder.rule,
            rule_title=reminder.rule_title,
            rule_version=reminder.rule_version,
        )
