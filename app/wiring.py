"""The one place that builds things: settings in, a worker and a web application out."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from app.chats import chats
from app.intake import Take
from app.pulling import Source, pull_quietly
from app.settings import Settings, SettingsError, interval
from domain.delivery import Link, PersonalLink
from domain.followup import NewFollowUp
from domain.person import People, Person
from domain.recommendation import Match, Recommendation
from domain.record import Dossier
from domain.watch import UNWATCHED
from notifiers.bounces import return_path
from notifiers.links import Links
from notifiers.mailbox import opened
from notifiers.smtp import SmtpNotifier
from rules import mapping
from rules.alone import alone
from rules.loader import load
from rules.mapping import ImportMap
from rules.model import Unreadable
from rules.rule import Stage, in_language
from rules.rulebase import RuleBase
from scheduler.audit import Auditor
from scheduler.clock import Job
from scheduler.courier import Courier
from scheduler.episodes import planned
from scheduler.evaluate import Rules
from scheduler.ledger import Ledger
from scheduler.postman import Postman
from scheduler.processes import Processes, Unusable, try_out
from scheduler.reminders import ReminderWriter
from scheduler.returns import Returns
from scheduler.worker import Worker
from store import dossiers, people, rulebases
from store.migrations import check_schema
from store.session import Database
from web.services import Condition, Explanation, Inbound, LiveRule, Services

if TYPE_CHECKING:
    from collections.abc import Generator

    from app.metrics import Figures, Span
    from notifiers.webhook import Webhooks


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


def webhooks_of(settings: Settings) -> Webhooks:
    """What signs events and posts them. Raises `SettingsError`."""
    from notifiers.http import Outgoing  # whoever has no subscribers need not wait for HTTP to load
    from notifiers.signing import Sealer
    from notifiers.webhook import TIMEOUT_S, Webhooks

    return Webhooks(
        sealer=Sealer(settings.keys()),
        outgoing=Outgoing(allowed=settings.networks(), timeout_s=TIMEOUT_S),
        source=settings.base_url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything that works on one store, wired together."""

    settings: Settings
    db: Database
    base: RuleBase
    links: Links
    figures: Figures | None = None

    @classmethod
    def build(cls, settings: Settings, db: Database) -> House:
        """Raises `BadRules`, `SettingsError`."""
        return cls(
            settings=settings,
            db=db,
            base=load(settings.rules),
            links=Links(keys=settings.keys(), base_url=settings.base_url),
        )

    def watched(self, span: Span) -> House:
        """The same, with figures of what it does. `span`: what makes traces of it."""
        from app.metrics import Figures  # commands that end soon have none

        return replace(self, figures=Figures(self.db, rulebase=self.base.hash, clock=utc_now, span=span))

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

        def personal(person: Person, now: datetime) -> Mapping[PersonalLink, str]:
            return self.links.personal(person.id, address=person.email, now=now)

        return ReminderWriter(base=self.base, links=links, personal=personal, crm_url=self.settings.crm_url)

    def postman(self) -> Postman:
        """Raises `SettingsError`."""
        mail, keys = self.settings.mail, self.settings.keys()
        bounces = mail.bounces
        return Postman(
            writer=self.writer(),
            sender=mail.sender,
            name=mail.name,
            mail=SmtpNotifier(server=mail.server()),
            chats=chats(self.settings, language=self.base.company.language),
            return_path=(lambda delivery: return_path(bounces, delivery, keys=keys)) if bounces else None,
        )

    def worker(self, *, now: datetime) -> Worker:
        owner, postman = f"{socket.gethostname()}:{os.getpid()}", self.postman()
        return Worker(
            db=self.db,
            rules=self.rules(now=now),
            postman=postman,
            policy=self.settings.policy(),
            auditor=Auditor(db=self.db, heartbeat=self._heartbeat()),
            returns=self.returns(),
            owner=owner,
            courier=Courier(
                db=self.db,
                webhooks=partial(webhooks_of, self.settings),
                postman=postman,
                owner=owner,
                clock=utc_now,
                watch=self.figures or UNWATCHED,
            ),
            ledger=Ledger(db=self.db, keep=self.settings.retention.keep()),
            watch=self.figures or UNWATCHED,
            processes=None if self.settings.processes == 0 else Processes(self.base, count=self.settings.processes),
            jobs=[
                Job(name=f"source {name}", every=source.every, run=partial(self._pull, source))
                for name, source in self.sources().items()
            ],
        )

    def sources(self) -> dict[str, Source]:
        """The foreign databases that are read, by name. Raises `SettingsError`, `BadMapping`."""
        return {
            name: Source(
                name=name,
                url=said.url.get_secret_value(),
                query=said.query,
                watermark=said.watermark,
                every=interval(said.every),
                map_=self._map(f"sources.{name}", said.map, in_parts=said.watermark is not None),
            )
            for name, said in self.settings.sources.items()
        }

    def _pull(self, source: Source, now: datetime) -> None:
        pull_quietly(self.db, source, now=now)

    def _inbound(self) -> dict[str, Inbound]:
        """The systems that post, by name. Raises `SettingsError`, `BadMapping`."""
        from web.api.inbound import key_of  # only a server needs it, and the web framework takes its time to load

        for name, said in self.settings.inbound.items():
            if said.secret is not None and said.header is None:
                try:
                    key_of(said.secret.get_secret_value())
                except ValueError as refusal:
                    raise SettingsError(f"setting inbound.{name}.secret: {refusal}; or name its header") from None
        return {
            name: Inbound(
                take=Take(self._map(f"inbound.{name}", said.map, in_parts=True)),
                rows=said.rows,
                secret=said.secret.get_secret_value() if said.secret else None,
                header=said.header,
            )
            for name, said in self.settings.inbound.items()
        }

    def _map(self, setting: str, named: str, *, in_parts: bool) -> ImportMap:
        """`in_parts`: rows come as they change, never all at once."""
        try:
            map_ = mapping.load(mapping.find(named), self.base.model)
        except mapping.UnknownMap as unknown:
            raise SettingsError(f"setting {setting}.map: {unknown}") from None
        if in_parts and any(plan.fold for plan in map_.plans):
            raise SettingsError(f"setting {setting}.map: {named} makes one record of many rows: it needs them all")
        return map_

    def returns(self) -> Returns | None:
        """Where bounces come back; None where the settings name no mailbox."""
        mail = self.settings.mail
        if mail.bounces is None or mail.bounce_mailbox is None:
            return None
        url = mail.bounce_mailbox.get_secret_value()
        return Returns(mailbox=mail.bounces, keys=self.settings.keys(), open=lambda: opened(url))

    def _heartbeat(self) -> Callable[[], None] | None:
        url = self.settings.heartbeat_url
        if url is None:
            return None
        from notifiers.heartbeat import beat  # few have one, and HTTP takes its time to load
        from notifiers.http import Outgoing

        outgoing = Outgoing(allowed=self.settings.networks())
        return lambda: asyncio.run(beat(url.get_secret_value(), outgoing=outgoing))

    def services(self, *, wrote: Callable[[], None] = lambda: None, beside_worker: bool = False) -> Services:
        """What the pages and the API work with. `wrote`: told after each write; `beside_worker`: one runs here."""
        from notifiers.http import Outgoing  # only pages need it here, and HTTP takes its time to load

        secret, figures = self.settings.slack.signing_secret, self.figures
        return Services(
            clock=utc_now,
            db=self.db,
            links=self.links,
            explain=self.explain,
            language=self.base.company.language,
            zone=self.base.company.zone,
            base=alone(self.base),
            packs=self.settings.rules,
            nobody=self.settings.nobody,
            wrote=wrote,
            followups=self._followups,
            rules=self._live_rules,
            slack_signing_secret=secret.get_secret_value() if secret else None,
            mattermost_keys=self.settings.keys() if self.settings.mattermost.webhooks else (),
            inbound=self._inbound(),
            outgoing=Outgoing(allowed=self.settings.networks()),
            keys=self.settings.keys(),
            base_url=self.settings.base_url,
            provider=self.settings.oidc.provider() if self.settings.oidc else None,
            watch=figures or UNWATCHED,
            metrics=figures.page if figures else bytes,
            last_tick=(lambda: figures.last_tick) if figures and beside_worker else None,
        )

    def _followups(self, recommendation: Recommendation, now: datetime) -> Sequence[NewFollowUp]:
        """What is still to come of a recommendation that is opened again, by the office of its customer's owner."""
        dossier = dossiers.load(self.db, recommendation.dossier)
        if dossier is None or recommendation.rule not in self.base.by_id:
            return ()
        try:
            facts = self.base.facts(dossier, now=now, people=people.load(self.db))
        except Unreadable:
            return ()
        return tuple(planned(recommendation, self.base, facts.at.calendar, now=now))

    def _live_rules(self, language: str) -> Sequence[LiveRule]:
        own = self.base.company.language
        return [
            LiveRule(id=rule.id, title=in_language(rule.title, language, own), tags=rule.tags)
            for rule in self.base.rules
            if rule.rollout.stage is not Stage.DRAFT
        ]

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
        written = self.writer().written(recommendation, dossier, person="", people=known, language=language, now=now)
        reminder = written.reminder
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
