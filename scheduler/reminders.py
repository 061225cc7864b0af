"""A recommendation as the reminder one person reads: fresh facts, their language, their links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.delivery import Link, PersonalLink, Reminder
from domain.followup import FollowUp
from domain.person import People, Person
from domain.recommendation import Advice, Match, Recommendation
from domain.record import CUSTOMER, Dossier
from notifiers.words import FALLBACK, WORDS
from rules.model import Facts
from rules.rule import in_language
from rules.rulebase import RuleBase
from rules.wording import Wording

SUBJECT_LIMIT = 110  # characters of a subject line that people still see


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A reminder, and what it was made of."""

    reminder: Reminder
    recommendation: Recommendation
    advice: Advice
    money: Callable[[Decimal], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderWriter:
    """Writes reminders. `links`: the signed links for (recommendation, person). `crm_url` may hold `{customer}`."""

    base: RuleBase
    links: Callable[[str, str, datetime], Mapping[Link, str]]
    personal: Callable[[Person, datetime], Mapping[PersonalLink, str]]
    crm_url: str | None = None

    def written(
        self,
        recommendation: Recommendation,
        dossier: Dossier,
        *,
        person: str,
        people: People,
        now: datetime,
        language: str | None = None,
        escalation: FollowUp | None = None,
    ) -> Written:
        """In the person's language unless another is asked for. `escalation`: the next step, where one is planned.

        Raises KeyError where the rule or its subject is gone, `Unreadable` where the data is.
        """
        base = self.base
        reader = people.get(person)
        language = language or (reader.language if reader else None) or base.company.language
        facts = base.facts(dossier, now=now, people=people)
        match = Match(rule=recommendation.rule, subject=recommendation.subject)
        advice = base.advise(match, facts, opened_at=recommendation.opened_at, language=language)
        wording = base.wording(facts, language=language)
        rule, this = base.by_id[match.rule], base.subject(match, facts)
        title = in_language(rule.title, language, base.company.language)
        customer = dossier.name
        topic = wording.label(match.subject.kind)
        if match.subject.kind != CUSTOMER:
            topic = f"{topic} {match.subject.id}"
        stake = None if advice.worth is None else wording.voice.money(advice.worth)
        reminder = Reminder(
            language=language,
            subject=_shortened(f"{customer}: {title}" + (f" ({stake})" if stake else "")),
            preheader=advice.say,
            verdict=advice.recommend.value,
            topic=topic,
            due=None if advice.due is None else wording.voice.short_day(advice.due),
            title=f"{customer}: {title}",
            why=advice.say,
            stake=stake,
            action=wording.action(advice.do, customer),
            facts=wording.facts(match.subject.kind, this),
            instead=tuple(wording.action(do, customer) for do in advice.instead),
            rule=rule.id,
            rule_title=title,
            rule_version=recommendation.rule_version,
            matched=tuple(wording.reason_with_value(reason) for reason in base.why(match, facts)),
            recipient=reader.email if reader else person,
            role=_role(reader, people, owner=base.owner(match, facts)),
            links=self.links(recommendation.id, person, now),
            personal=self._personal(reader, person, now),
            escalation=self._escalation(escalation, match, facts, wording) if escalation else None,
            crm_url=self.crm_url.format(customer=dossier.id) if self.crm_url else None,
        )
        return Written(reminder=reminder, recommendation=recommendation, advice=advice, money=wording.voice.money)

    def _personal(self, reader: Person | None, address: str, now: datetime) -> Mapping[PersonalLink, str]:
        """A bare address has no wishes, but may have enough of us."""
        if reader is not None or "@" not in address:
            return self.personal(reader, now) if reader else {}
        all_ = self.personal(Person(id=address, name=address, email=address), now)
        return {PersonalLink.UNSUBSCRIBE: all_[PersonalLink.UNSUBSCRIBE]}

    def _escalation(self, next_: FollowUp, match: Match, facts: Facts, wording: Wording) -> str | None:
        """To whom it goes on, and when; None where that is nobody."""
        steps = self.base.by_id[match.rule].then.escalate
        to = self.base.escalated_to(match, facts, steps[next_.step - 1]) if next_.step <= len(steps) else ()
        if not to:
            return None
        names = [person.name if (person := facts.people.get(who)) else who for who in to]
        words = WORDS.get(wording.voice.language, WORDS[FALLBACK])
        return words.escalates.format(who=", ".join(names), day=wording.voice.short_day(next_.due_at))


def _role(reader: Person | None, people: People, *, owner: str | None) -> str:
    """Why this reader: the word by which the mail says it."""
    if reader is None:
        return "named"
    if reader.id == owner:
        return "owner"
    if people.lead_of(owner) == reader:
        return "lead"
    return "manager" if people.manager_of(owner) == reader else "named"


def _shortened(text: str) -> str:
    return text if len(text) <= SUBJECT_LIMIT else text[: SUBJECT_LIMIT - 1].rstrip() + "…"
