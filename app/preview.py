"""The mail that a rule would cause, without sending or recording anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from app.wiring import House
from domain.delivery import Channel, Delivery, DeliveryState
from domain.recommendation import Match, Recommendation, recommendation_id
from domain.record import RecordRef
from notifiers.render import render
from rules.problems import unknown
from store import dossiers, people, rulebases

ANYBODY = "reader@example.com"  # stands for the reader where the rule reaches nobody


class NothingToShow(Exception):
    """There is no such rule, customer or record; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A mail. `holds`: whether the rule is true for the subject at that moment."""

    subject: str
    html: str
    text: str
    raw: bytes
    recipient: str
    holds: bool


def preview_mail(
    house: House, rule_id: str, customer: str, *, subject: str | None, language: str | None, now: datetime
) -> Preview:
    """Raises `NothingToShow`, and `Unreadable` where the customer's data is."""
    base = house.base
    rule = base.by_id.get(rule_id)
    if rule is None:
        raise NothingToShow(unknown("rule", rule_id, base.by_id))
    dossier = dossiers.load(house.db, customer)
    if dossier is None:
        raise NothingToShow(f'there is no customer "{customer}"')
    known = people.load(house.db)
    decision = base.decide(dossier, now=now, people=known)
    facts = decision.facts
    matching = [m for m in decision.matches if m.rule == rule_id and subject in (None, m.subject.id)]
    ids = [str(f["id"]) for f in facts.of.get(rule.subject, ())]
    if subject is not None and subject not in ids:
        raise NothingToShow(f"{customer} has no {rule.subject} {subject}; it has {', '.join(ids) or 'none'}")
    if not ids:
        raise NothingToShow(f"{customer} has no {rule.subject}")
    match = matching[0] if matching else Match(rule=rule_id, subject=RecordRef(kind=rule.subject, id=subject or ids[0]))
    live = rulebases.current(house.db)
    advice = base.advise(match, facts, opened_at=now, language=language)
    recommendation = Recommendation(
        id=recommendation_id(dossier=dossier.id, match=match, opened_at=now),
        dossier=dossier.id,
        rule=rule_id,
        rule_version=live.versions.get(rule_id, 1) if live else 1,
        subject=match.subject,
        opened_at=now,
        advice=advice,
    )
    person = next((p for p in advice.to if known.get(p)), "")
    reader = known.get(person)
    postman = house.postman()
    reminder = postman.writer.write(recommendation, dossier, person=person, people=known, now=now, language=language)
    rendered = render(replace(reminder, recipient=reader.email if reader else ANYBODY))
    delivery = Delivery(
        id=0,
        key="preview",
        recommendation=recommendation.id,
        person=person,
        destination=reader.email if reader else ANYBODY,
        channel=Channel.EMAIL,
        occurrence=0,
        state=DeliveryState.READY,
        due_at=now,
    )
    return Preview(
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        raw=postman.mail(delivery, recommendation, rendered, reader=reader, now=now),
        recipient=delivery.destination,
        holds=bool(matching),
    )
