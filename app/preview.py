"""Messages as they would go out, to be looked at or handed over as a test. Nothing of it is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import SecretStr

from app.chats import chats
from app.settings import Settings, SettingsError, Slack, Webhooks
from app.wiring import House
from domain.delivery import Channel, Delivery, DeliveryState, HeldBack, Message, PersonalLink, Reminder
from domain.person import People, Person
from domain.recommendation import Advice, Match, Recommendation, State, recommendation_id
from domain.record import RecordRef
from notifiers import email
from notifiers.bounces import return_path
from notifiers.render import Rendered, render, render_digest
from rules.model import Facts
from rules.problems import unknown
from rules.rulebase import RuleBase
from scheduler.digests import DigestWriter
from scheduler.reminders import Written
from store import dossiers, people, recommendations, rulebases

ANYBODY = "reader@example.com"  # stands for the reader where the rule reaches nobody
ANY_PLACE = "READER"  # the same in a chat
OPEN_LIMIT = 100_000  # recommendations that are looked through for a digest
NO_DELIVERY = 0  # the number in the return path of what is no delivery: a report about it is nobody's
TEST = "[Test]"

MAIL_FORMS = (".html", ".txt", ".eml")
CHAT_FORMS = (".json",)


class NothingToShow(Exception):
    """There is no such rule, customer, record or person, or nothing to tell; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a reminder is to be about. `subject`: the record's id, where the customer has several."""

    rule: str
    customer: str
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A message. `forms`: how it may be written to a file, by the file's ending.

    `to`: an address, or a place as in `Person.chat`. `holds`: whether the rule is true for the subject at that moment.
    """

    subject: str
    to: str
    message: Message
    forms: Mapping[str, bytes]
    holds: bool = True


def without_secrets(settings: Settings) -> Settings:
    """The same, with a key to sign links with where there is none: what it signs opens nothing."""
    key = SecretStr("stands for a key where there is none")
    return settings if settings.secret_keys else settings.model_copy(update={"secret_keys": [key]})


# --- a reminder ---


def preview_reminder(
    house: House,
    about: About,
    *,
    channel: Channel = Channel.EMAIL,
    to: str | None = None,
    language: str | None = None,
    now: datetime,
) -> Preview:
    """The reminder that a rule would cause, for its first reader.

    `to`: whom it goes to instead, as a test: an address, or a place in a chat.
    Raises `NothingToShow`, `Unreadable` where the customer's data is, and `SettingsError`.
    """
    base = house.base
    if about.rule not in base.by_id:
        raise NothingToShow(unknown("rule", about.rule, base.by_id))
    dossier = dossiers.load(house.db, about.customer)
    if dossier is None:
        raise NothingToShow(f'there is no customer "{about.customer}"')
    known = people.load(house.db)
    decision = base.decide(dossier, now=now, people=known)
    matching = [m for m in decision.matches if m.rule == about.rule and about.subject in (None, m.subject.id)]
    match = matching[0] if matching else _match(base, about, decision.facts)
    live = rulebases.current(house.db)
    opened_at = now.astimezone(UTC)  # as a worker's clock has it: the id follows from how it is written
    recommendation = Recommendation(
        id=recommendation_id(dossier=dossier.id, match=match, opened_at=opened_at),
        dossier=dossier.id,
        rule=about.rule,
        rule_version=live.versions.get(about.rule, 1) if live else 1,
        subject=match.subject,
        opened_at=opened_at,
        advice=base.advise(match, decision.facts, opened_at=opened_at, language=language),
    )
    reader = _reader(known, recommendation.advice, channel, to)
    delivery = _delivery(recommendation, reader, channel=channel, to=to, now=now)
    written = house.writer().written(
        recommendation, dossier, person=delivery.person, people=known, now=now, language=language
    )
    written = replace(written, reminder=_addressed(written.reminder, delivery.destination, test=to is not None))
    holds = bool(matching)
    if channel is not Channel.EMAIL:
        return _in_chat(house, delivery, written.reminder, holds=holds)
    if to is not None and reader is not None:  # nothing would ever take its entry out of the calendar again
        reader = replace(reader, wishes=replace(reader.wishes, calendar=False))
    return _by_mail(house, delivery, written, reader, holds=holds, now=now)


def _match(base: RuleBase, about: About, facts: Facts) -> Match:
    """What the rule would be about if it held."""
    kind = base.by_id[about.rule].subject
    ids = [str(record["id"]) for record in facts.of.get(kind, ())]
    if about.subject is not None and about.subject not in ids:
        raise NothingToShow(f"{about.customer} has no {kind} {about.subject}; it has {', '.join(ids) or 'none'}")
    if not ids:
        raise NothingToShow(f"{about.customer} has no {kind}")
    return Match(rule=about.rule, subject=RecordRef(kind=kind, id=about.subject or ids[0]))


def _reader(known: People, advice: Advice, channel: Channel, to: str | None) -> Person | None:
    """Whom the rule reaches first, or who is known by the address or place that it goes to instead."""
    if to is None:
        return next((person for person in map(known.get, advice.to) if person), None)
    if channel is Channel.EMAIL:
        return known.by_email(to)
    return next((person for person in known.by_id.values() if person.chat == f"{channel}:{to}"), None)


def _delivery(
    recommendation: Recommendation, reader: Person | None, *, channel: Channel, to: str | None, now: datetime
) -> Delivery:
    """One that no outbox holds."""
    chat, _, place = (reader.chat or "").partition(":") if reader else ("", "", "")
    if channel is Channel.EMAIL:
        destination = to or (reader.email if reader else ANYBODY)
    else:
        destination = to or (place if chat == channel else ANY_PLACE)
    return Delivery(
        id=NO_DELIVERY,
        key=numbered("preview", now),
        recommendation=recommendation.id,
        person=reader.id if reader else to or "",
        destination=destination,
        channel=channel,
        occurrence=0,
        state=DeliveryState.READY,
        wanted_at=now,
        due_at=now,
    )


def _addressed(reminder: Reminder, to: str, *, test: bool) -> Reminder:
    mark = f"{TEST} " if test else ""
    return replace(reminder, recipient=to, subject=f"{mark}{reminder.subject}", title=f"{mark}{reminder.title}")


def _by_mail(
    house: House, delivery: Delivery, written: Written, reader: Person | None, *, holds: bool, now: datetime
) -> Preview:
    letter = house.postman().reminder_mail(house.db, delivery, written, reader=reader, now=now)
    return mail_preview(render(written.reminder), letter.message, holds=holds)


def _in_chat(house: House, delivery: Delivery, reminder: Reminder, *, holds: bool) -> Preview:
    compose = _composer(house.settings, delivery.channel, language=house.base.company.language)
    body = compose(reminder, delivery.destination)
    return chat_preview(delivery.channel, delivery.destination, reminder.subject, body, holds=holds)


def _composer(settings: Settings, channel: Channel, *, language: str) -> Callable[[Reminder, str], bytes]:
    """What the service composes with, set up or not: no message holds a token or a webhook's address."""
    somewhere = {"anywhere": SecretStr("https://chat.example.com/")}
    webhooks = Webhooks(webhooks=somewhere)
    slack = Slack(token=SecretStr("xoxb-stands-for-one"), webhooks=somewhere)
    every = settings.model_copy(update={"slack": slack, "teams": webhooks, "mattermost": webhooks})
    return chats(every, language=language)[channel].compose


# --- a digest ---


def preview_digest(house: House, person: str, *, language: str | None = None, now: datetime) -> Preview:
    """The digest that a person would get of everything that is open for them. Raises `NothingToShow`."""
    db, known = house.db, people.load(house.db)
    reader = known.get(person)
    if reader is None:
        raise NothingToShow(unknown("person", person, known.by_id))
    found = recommendations.listing(db, state=State.OPEN, limit=OPEN_LIMIT)
    about = [r for r in found if _is_told(r, reader, known, nobody=house.settings.nobody, now=now)]
    digest = DigestWriter(reminders=house.writer()).write(
        db,
        {recommendation.id: HeldBack.CHOSEN for recommendation in about},
        about,
        person=reader,
        people=known,
        now=now,
        language=language,
    )
    if digest is None:
        raise NothingToShow(f"nothing is open for {person}: no digest would be sent")
    rendered = render_digest(digest)
    return mail_preview(
        rendered,
        composed(
            house.settings,
            rendered,
            to=reader.email,
            name=reader.name,
            unsubscribe=digest.personal[PersonalLink.UNSUBSCRIBE],
            number=numbered("preview", now),
            now=now,
        ),
    )


def _is_told(
    recommendation: Recommendation, person: Person, known: People, *, nobody: str | None, now: datetime
) -> bool:
    """Whether the person hears of it: it reaches them, and nobody hid it, no rule and no wish."""
    advice = recommendation.advice
    if advice.held_back_by or recommendation.is_snoozed(now) or recommendation.rule in person.wishes.muted:
        return False
    return any(id_ == person.id for id_, _ in known.addressees(advice.to, nobody=nobody))


# --- pieces ---


def composed(
    settings: Settings,
    rendered: Rendered,
    *,
    to: str,
    name: str | None = None,
    unsubscribe: str,
    number: str,
    now: datetime,
) -> Message:
    """A mail that is no delivery of the outbox. Raises `SettingsError`."""
    sender = settings.mail.sender
    message_id = email.message_id(number, domain=sender.rpartition("@")[2])
    body = email.compose(
        rendered,
        sender=sender,
        sender_name=settings.mail.name,
        to=to,
        recipient_name=name,
        message_id=message_id,
        unsubscribe=unsubscribe,
        date=now,
    )
    return Message(destination=to, message_id=message_id, body=body, sender=envelope_sender(settings))


def envelope_sender(settings: Settings) -> str | None:
    """Where its bounce goes; None: to the sender. Raises `SettingsError`."""
    bounces, keys = settings.mail.bounces, settings.keys()
    try:
        return return_path(bounces, NO_DELIVERY, keys=keys) if bounces else None
    except ValueError as refusal:
        raise SettingsError(f"setting mail.bounces: {refusal}") from None


def mail_preview(rendered: Rendered, message: Message, *, holds: bool = True) -> Preview:
    forms = zip(MAIL_FORMS, (rendered.html.encode(), rendered.text.encode(), message.body), strict=True)
    return Preview(subject=rendered.subject, to=message.destination, message=message, forms=dict(forms), holds=holds)


def chat_preview(channel: Channel, to: str, subject: str, body: bytes, *, holds: bool = True) -> Preview:
    message = Message(destination=to, message_id="", body=body)
    forms = zip(CHAT_FORMS, (body,), strict=True)
    return Preview(subject=subject, to=f"{channel}:{to}", message=message, forms=dict(forms), holds=holds)


def numbered(what: str, now: datetime) -> str:
    return f"{what}-{now:%Y%m%d%H%M%S%f}"
