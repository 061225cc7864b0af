"""The people who work with customers, and who is meant by `to: owner.manager`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from domain.delivery import Channel
from domain.wishes import Wishes

CHATS: Mapping[str, Channel] = {channel.value: channel for channel in Channel if channel is not Channel.EMAIL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A salesperson, a manager: anyone who gets reminders.

    `language` is a code of ISO 639-1, `timezone` a name of the IANA database, `office` a calendar's name. `chat` is
    where the person hears in a chat: `slack:` and an id of Slack's, or `slack-webhook:`, `teams:`, `mattermost:` or
    `apprise:` and the name of an address in the settings.
    """

    id: str
    name: str
    email: str
    manager: str | None = None
    team: str | None = None
    language: str | None = None
    timezone: str | None = None
    office: str | None = None
    chat: str | None = None
    wishes: Wishes = field(default_factory=Wishes)

    @property
    def chat_address(self) -> tuple[Channel, str] | None:
        """(channel, destination) in a chat; None where there is none, or none that can be read."""
        channel, _, destination = (self.chat or "").partition(":")
        return (CHATS[channel], destination) if channel in CHATS and destination else None


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everyone, by id, with the lead of each team that has one."""

    by_id: Mapping[str, Person] = field(default_factory=dict[str, Person])
    leads: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, people: Iterable[Person]) -> People:
        """Leads follow from the people: a team's lead is the member whom most of the team report to."""
        by_id = {person.id: person for person in people}
        reports: dict[str, dict[str, int]] = {}
        for person in by_id.values():
            if person.team and person.manager in by_id:
                counts = reports.setdefault(person.team, {})
                counts[person.manager] = counts.get(person.manager, 0) + 1
        leads = {team: min(counts, key=lambda lead: (-counts[lead], lead)) for team, counts in reports.items()}
        return cls(by_id=by_id, leads=leads)

    def get(self, person_id: str | None) -> Person | None:
        return self.by_id.get(person_id) if person_id else None

    def by_email(self, address: str) -> Person | None:
        folded = address.casefold()
        return next((p for p in self.by_id.values() if p.email.casefold() == folded), None)

    def addressees(self, names: Iterable[str], *, nobody: str | None) -> tuple[tuple[str, str], ...]:
        """(id, address) of everyone that names reach: people who are still there, and bare addresses.

        Where that is nobody, `nobody`: who gets what belongs to nobody.
        """
        reached = tuple(self._reached(names))
        return reached or tuple(self._reached([nobody] if nobody else []))

    def _reached(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            person = self.get(name)
            if person is not None:
                yield person.id, person.email
            elif "@" in name:
                yield name, name

    def team(self, name: str) -> tuple[Person, ...]:
        return tuple(sorted((p for p in self.by_id.values() if p.team == name), key=lambda p: p.id))

    def manager_of(self, person_id: str | None) -> Person | None:
        person = self.get(person_id)
        return self.get(person.manager) if person else None

    def lead_of(self, person_id: str | None) -> Person | None:
        """The lead of a person's team; the manager where the team has none."""
        person = self.get(person_id)
        if person is None:
            return None
        lead = self.get(self.leads.get(person.team)) if person.team else None
        return lead or self.manager_of(person_id)
