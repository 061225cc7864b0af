"""The open recommendations of one person as a digest: by customer, the most valuable first, what is held back named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from babel.dates import format_date

from domain.delivery import Digest, DigestCustomer, DigestItem, HeldBack
from domain.person import People, Person
from domain.recommendation import Recommendation, Verdict
from rules.model import Unreadable
from rules.rule import in_language
from rules.say import LOCALES
from scheduler.reminders import ReminderWriter, Written
from scheduler.sorting import zone_of
from store import dossiers, recommendations
from store.session import Database

CUSTOMERS_SHOWN = 25  # Gmail cuts what is longer than 102 kB
CAREFUL_FIRST = (Verdict.HOLD, Verdict.LET_GO, Verdict.WIN)  # whoever is to be held on to is not pitched to


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestWriter:
    """Writes digests out of what reminders say."""

    reminders: ReminderWriter

    def write(
        self,
        db: Database,
        items: Mapping[str, HeldBack],
        about: Sequence[Recommendation],
        *,
        person: Person,
        people: People,
        now: datetime,
        language: str | None = None,
    ) -> Digest | None:
        """`items`: why each stands here, by recommendation.

        What cannot be read is left out. None: nothing is left.
        """
        base = self.reminders.base
        language = language or person.language or base.company.language
        today = now.astimezone(zone_of(person, base)).date()
        ids = {recommendation.dossier for recommendation in about}
        known, running = dossiers.load_many(db, ids), recommendations.running(db, ids)
        by_customer: dict[str, list[_Item]] = defaultdict(list)
        for recommendation in about:
            if recommendation.dossier not in known:
                continue
            try:
                written = self.reminders.written(
                    recommendation,
                    known[recommendation.dossier],
                    person=person.id,
                    people=people,
                    now=now,
                    language=language,
                )
            except (KeyError, Unreadable):
                continue
            by_customer[recommendation.dossier].append(_Item(written=written, today=today))
        if not by_customer:
            return None
        customers = sorted(
            (_Customer(name=known[id_].name, items=sorted(found, key=_value)) for id_, found in by_customer.items()),
            key=lambda customer: (-customer.worth, customer.name),
        )
        every = [item for customer in customers for item in customer.items]
        shown, more = customers[:CUSTOMERS_SHOWN], customers[CUSTOMERS_SHOWN:]
        return Digest(
            language=language,
            day=format_date(today, "full", locale=LOCALES.get(language, "en_GB")),
            things=len(every),
            at_customers=len(customers),
            stake=_stake(every),
            due_today=sum(item.due == today for item in every),
            overdue=sum(item.overdue for item in every),
            customers=tuple(
                customer.laid_out(self._held(running.get(customer.dossier, ()), person, language)) for customer in shown
            ),
            more=len(more),
            more_stake=_stake([item for customer in more for item in customer.items]),
            held_back=Counter(items[item.written.recommendation.id] for item in every),
            cap=person.wishes.daily_cap,
            recipient=person.email,
            personal=self.reminders.personal(person, now),
        )

    def _held(self, running: Sequence[Recommendation], person: Person, language: str) -> Iterator[tuple[str, str]]:
        """What rules hold back from a person at a customer, and the rule that does."""
        for recommendation in running:
            if person.id in recommendation.advice.to:
                for rule in recommendation.advice.held_back_by:
                    yield self._title(recommendation.rule, language), self._title(rule, language)

    def _title(self, rule: str, language: str) -> str:
        base = self.reminders.base
        known = base.by_id.get(rule)
        return in_language(known.title, language, base.company.language) if known else rule


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    written: Written
    today: date

    @property
    def worth(self) -> Decimal:
        return self.written.advice.worth or Decimal(0)

    @property
    def due(self) -> date | None:
        return self.written.advice.due

    @property
    def overdue(self) -> bool:
        return self.due is not None and self.due < self.today

    def laid_out(self) -> DigestItem:
        reminder = self.written.reminder
        return DigestItem(title=reminder.rule_title, why=reminder.why, action=reminder.action, links=reminder.links)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Customer:
    name: str
    items: list[_Item]

    @property
    def worth(self) -> Decimal:
        return sum((item.worth for item in self.items), Decimal(0))

    @property
    def dossier(self) -> str:
        return self.items[0].written.recommendation.dossier

    def laid_out(self, held_back: Iterator[tuple[str, str]]) -> DigestCustomer:
        first = self.items[0].written.reminder
        verdicts = {item.written.reminder.verdict for item in self.items}
        dues = [(item.due, item.written.reminder.due) for item in self.items if item.due is not None]
        return DigestCustomer(
            name=self.name,
            verdict=next(verdict.value for verdict in CAREFUL_FIRST if verdict.value in verdicts),
            stake=_stake(self.items),
            overdue=sum(item.overdue for item in self.items),
            due=min(dues)[1] if dues else None,
            held_back=tuple(dict.fromkeys(held_back)),
            items=tuple(item.laid_out() for item in self.items),
            crm_url=first.crm_url,
        )


def _value(item: _Item) -> tuple[Decimal, datetime]:
    return -item.worth, item.written.recommendation.opened_at


def _stake(items: Sequence[_Item]) -> str | None:
    """What all of them are worth together, as people write it; None where nothing says."""
    known = [item for item in items if item.written.advice.worth is not None]
    return known[0].written.money(sum((item.worth for item in known), Decimal(0))) if known else None
