"""What a delivery carries: fresh facts in the reader's language, as the bytes of a mail or of a chat's message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain.delivery import Channel, Delivery, Link, Message, PersonalLink, Purpose, Reminder, SendError
from domain.followup import FollowUpKind
from domain.person import People, Person
from domain.recommendation import Recommendation, State
from notifiers import calendar, email
from notifiers.base import Notifier
from notifiers.render import Rendered, Withdrawal, render, render_digest, render_withdrawal
from rules.model import Unreadable
from rules.rule import in_language
from scheduler.digests import DigestWriter
from scheduler.reminders import ReminderWriter, Written
from scheduler.sorting import hears_from
from store import dossiers, followups, outbox, recommendations
from store.session import Database


class Unwanted(Exception):
    """Nothing is left to send; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message, and the number of the calendar entry in it."""

    message: Message
    entry: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One kind of chat. `compose`: a reminder for a destination; `close`: what an update makes of a sent message."""

    notifier: Notifier
    compose: Callable[[Reminder, str], bytes]
    close: Callable[[Delivery, Recommendation, People], bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postman:
    """Turns deliveries into letters.

    `sender`: the bare address mails come from; `name`: what stands beside it; `return_path`: where the bounce of a
    delivery goes, by its number.
    """

    writer: ReminderWriter
    sender: str
    name: str
    mail: Notifier
    chats: Mapping[Channel, Chat] = field(default_factory=dict[Channel, Chat])
    return_path: Callable[[int], str] | None = None

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]

    def notifier(self, channel: Channel) -> Notifier:
        """Raises a permanent `SendError` where the settings have none."""
        return self.mail if channel is Channel.EMAIL else self._chat(channel).notifier

    def _chat(self, channel: Channel) -> Chat:
        chat = self.chats.get(channel)
        if chat is None:
            raise SendError(f"{channel} is not set up: it has no settings", permanent=True, phase="settings")
        return chat

    def letter(self, db: Database, delivery: Delivery, *, people: People, now: datetime) -> Letter:
        """One that was composed before has its bytes already: a resend is byte-identical.

        Raises `Unwanted`, and `SendError` where the data cannot be read or the channel is not set up.
        """
        if delivery.body is not None:
            return self._letter(delivery, delivery.body, entry=delivery.entry)
        try:
            return LETTERS[delivery.purpose](self, db, delivery, people, now)
        except KeyError:
            raise Unwanted("the rule or its subject is gone") from None
        except Unreadable as failure:
            said = f"the customer's data cannot be read: {failure}"
            raise SendError(said, permanent=True, phase="render") from None

    def hears_from(self, person: Person, now: datetime) -> datetime:
        """The first moment, from now on, at which a person may be disturbed."""
        return hears_from(person, self.writer.base, now)

    # --- by purpose ---

    def _reminder(self, db: Database, delivery: Delivery, people: People, now: datetime) -> Letter:
        recommendation = self._recommendation(db, delivery)
        dossier = dossiers.load(db, recommendation.dossier)
        if dossier is None:
            raise Unwanted("the customer is gone")
        planned = followups.of(db, recommendation.id)
        written = self.writer.written(
            recommendation,
            dossier,
            person=delivery.person,
            people=people,
            now=now,
            escalation=next((step for step in planned if step.kind is FollowUpKind.ESCALATE), None),
        )
        if delivery.channel is not Channel.EMAIL:
            return self._letter(delivery, self._chat(delivery.channel).compose(written.reminder, delivery.destination))
        reader = people.get(delivery.person)
        return self.reminder_mail(db, delivery, written, reader=reader, now=now)

    def reminder_mail(
        self, db: Database, delivery: Delivery, written: Written, *, reader: Person | None, now: datetime
    ) -> Letter:
        """A reminder as a mail, with an entry for the calendar where the reader wants one."""
        entry = None
        attached = None
        if reader is not None and reader.wishes.calendar and written.advice.due is not None:
            last = outbox.last_entry(db, written.recommendation.id, person=reader.id)
            entry = 0 if last is None else last + 1
            attached = calendar.entry(
                uid=self._uid(written.recommendation),
                sequence=entry,
                day=written.advice.due,
                title=written.reminder.title,
                description=written.reminder.why,
                url=written.reminder.links[Link.ACT],
                organizer=self.sender,
                attendee=delivery.destination,
                stamp=now,
            )
        body = self._mail(
            delivery,
            render(written.reminder),
            reader=reader,
            personal=written.reminder.personal,
            thread_root=self._thread(written.recommendation),
            attached=attached,
            now=now,
        )
        return self._letter(delivery, body, entry=entry)

    def _digest(self, db: Database, delivery: Delivery, people: People, now: datetime) -> Letter:
        person = people.get(delivery.person)
        if person is None:
            raise Unwanted(f"{delivery.person} is not here any more")
        items = outbox.items(db, delivery.id)
        about = [r for r in recommendations.get_many(db, items).values() if _is_wanted(r, person, now)]
        digest = DigestWriter(reminders=self.writer).write(db, items, about, person=person, people=people, now=now)
        if digest is None:
            raise Unwanted("nothing that it named is left to do")
        body = self._mail(
            delivery, render_digest(digest), reader=person, personal=digest.personal, thread_root=None, now=now
        )
        return self._letter(delivery, body)

    def _withdrawal(self, db: Database, delivery: Delivery, people: People, now: datetime) -> Letter:
        recommendation = self._recommendation(db, delivery)
        dossier = dossiers.load(db, recommendation.dossier)
        reader = people.get(delivery.person)
        base = self.writer.base
        language = (reader.language if reader else None) or base.company.language
        rule = base.by_id.get(recommendation.rule)
        named = in_language(rule.title, language, base.company.language) if rule else recommendation.rule
        title = f"{dossier.name if dossier else recommendation.dossier}: {named}"
        by = people.get(recommendation.closed_by)
        personal = self.writer.personal(reader, now) if reader else {}
        attached = calendar.withdrawal(
            uid=self._uid(recommendation),
            sequence=delivery.occurrence,
            day=recommendation.advice.due or now.date(),
            title=title,
            organizer=self.sender,
            attendee=delivery.destination,
            stamp=now,
        )
        said = Withdrawal(
            language=language,
            title=title,
            state=recommendation.state,
            by=by.name if by else recommendation.closed_by or "",
            recipient=delivery.destination,
            personal=personal,
        )
        body = self._mail(
            delivery,
            render_withdrawal(said),
            reader=reader,
            personal=personal,
            thread_root=self._thread(recommendation),
            attached=attached,
            now=now,
        )
        return self._letter(delivery, body, entry=delivery.occurrence)

    def _update(self, db: Database, delivery: Delivery, people: People, now: datetime) -> Letter:
        chat = self._chat(delivery.channel)
        sent = outbox.get(db, delivery.occurrence)
        if chat.close is None or sent is None or sent.body is None or sent.receipt is None:
            raise Unwanted("the message cannot be changed")
        return self._letter(delivery, chat.close(sent, self._recommendation(db, delivery), people))

    # --- pieces ---

    def _recommendation(self, db: Database, delivery: Delivery) -> Recommendation:
        found = recommendations.get(db, delivery.recommendation or "")
        if found is None:
            raise Unwanted("the recommendation is gone")
        return found

    def _mail(
        self,
        delivery: Delivery,
        rendered: Rendered,
        *,
        reader: Person | None,
        personal: Mapping[PersonalLink, str],
        thread_root: str | None,
        attached: bytes | None = None,
        now: datetime,
    ) -> bytes:
        return email.compose(
            rendered,
            sender=self.sender,
            sender_name=self.name,
            to=delivery.destination,
            recipient_name=reader.name if reader else None,
            message_id=self._message_id(delivery),
            thread_root=thread_root,
            unsubscribe=personal.get(PersonalLink.UNSUBSCRIBE),
            calendar=attached,
            date=now,
        )

    def _letter(self, delivery: Delivery, body: bytes, *, entry: int | None = None) -> Letter:
        bounces = self.return_path if delivery.channel is Channel.EMAIL else None
        message = Message(
            destination=delivery.destination,
            message_id=self._message_id(delivery),
            body=body,
            sender=bounces(delivery.id) if bounces else None,
        )
        return Letter(message=message, entry=entry)

    def _message_id(self, delivery: Delivery) -> str:
        return delivery.message_id or email.message_id(delivery.key, domain=self.domain)

    def _thread(self, recommendation: Recommendation) -> str:
        return email.thread_root(recommendation.id, domain=self.domain)

    def _uid(self, recommendation: Recommendation) -> str:
        return f"{recommendation.id}@{self.domain}"


LETTERS: Mapping[Purpose, Callable[[Postman, Database, Delivery, People, datetime], Letter]] = {
    Purpose.REMINDER: Postman._reminder,  # pyright: ignore[reportPrivateUsage]
    Purpose.DIGEST: Postman._digest,  # pyright: ignore[reportPrivateUsage]
    Purpose.WITHDRAWAL: Postman._withdrawal,  # pyright: ignore[reportPrivateUsage]
    Purpose.UPDATE: Postman._update,  # pyright: ignore[reportPrivateUsage]
}


def _is_wanted(recommendation: Recommendation, person: Person, now: datetime) -> bool:
    muted = recommendation.rule in person.wishes.muted
    return recommendation.state is State.OPEN and not recommendation.is_snoozed(now) and not muted
