"""What the chat notifiers share: a reminder cut to size, its lines in words, and the posting of it to a webhook.

A webhook's address is a secret. So a delivery goes to a name that an administrator gave it, and where the address
changes, what waits in the outbox goes to the new one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from domain.delivery import Link, Message, Receipt, Reminder, SendError
from notifiers.addresses import Refusal
from notifiers.http import Answer, Http, Outgoing, Phase, web_address
from notifiers.words import FALLBACK, WORDS, Words

WIDTH = 8  # messages under way at once, each to another place
PATIENCE_S = 30.0  # for whoever asks to be left alone and does not say how long

# Characters and entries of a reminder: more than a rule's author writes, less than any chat takes.
TITLE_LIMIT = 250
WHY_LIMIT = 2_000
TEXT_LIMIT = 400
FACTS_LIMIT = 10
LINES_LIMIT = 10
URL_LIMIT = 3_000
SHORT_WHY_LIMIT = 300

SNOOZES = (Link.SNOOZE_1_DAY, Link.SNOOZE_3_DAYS, Link.SNOOZE_1_WEEK)
BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
# What would end a link early in one markup or the other.
UNSAFE_IN_LINKS = {ord(character): f"%{ord(character):02X}" for character in ' <>()|"`\\'}

Json: TypeAlias = dict[str, Any]
Judge: TypeAlias = Callable[[Answer], Receipt]
"""What an answer means: a receipt, or a `SendError` raised."""


# --- a reminder's texts ---


def words_for(language: str) -> Words:
    return WORDS.get(language, WORDS[FALLBACK])


def trimmed(reminder: Reminder) -> Reminder:
    """Every text on one line and no longer than a chat takes."""
    return replace(
        reminder,
        subject=shortened(reminder.subject, TITLE_LIMIT),
        topic=shortened(reminder.topic, TITLE_LIMIT),
        title=shortened(reminder.title, TITLE_LIMIT),
        due=shortened(reminder.due, TITLE_LIMIT) if reminder.due else None,
        why=shortened(reminder.why, WHY_LIMIT),
        stake=shortened(reminder.stake, TITLE_LIMIT) if reminder.stake else None,
        action=shortened(reminder.action, TITLE_LIMIT),
        facts=tuple(
            (shortened(name, TEXT_LIMIT), shortened(value, TEXT_LIMIT)) for name, value in reminder.facts[:FACTS_LIMIT]
        ),
        instead=tuple(shortened(text, TEXT_LIMIT) for text in reminder.instead[:LINES_LIMIT]),
        rule_title=shortened(reminder.rule_title, TITLE_LIMIT),
        matched=tuple(shortened(text, TEXT_LIMIT) for text in reminder.matched[:LINES_LIMIT]),
        crm_url=reminder.crm_url if reminder.crm_url and len(reminder.crm_url) <= URL_LIMIT else None,
    )


def fitting(reminder: Reminder, write: Callable[[Reminder], Json], *, limit_bytes: int) -> bytes:
    """The first that fits: all of it, then with ever fewer facts, then without the rest that can be looked up.

    Raises a permanent `SendError` where not even the shortest does.
    """
    for shorter in _ever_shorter(trimmed(reminder)):
        body = as_json(write(shorter))
        if len(body) <= limit_bytes:
            return body
    raise SendError("its links alone are longer than a message may be", permanent=True, phase="size")


def _ever_shorter(reminder: Reminder) -> Iterator[Reminder]:
    for count in range(len(reminder.facts), -1, -1):
        yield replace(reminder, facts=reminder.facts[:count])
    bare = replace(reminder, facts=(), matched=(), instead=())
    yield bare
    yield replace(bare, why=shortened(reminder.why, SHORT_WHY_LIMIT))


def shortened(text: str, limit: int) -> str:
    line = BREAKS.sub(" ", text).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def as_json(message: Json) -> bytes:
    """The same message always has the same bytes."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def link_target(url: str) -> str:
    """A URL that ends where it ends, in any markup."""
    return BREAKS.sub("%20", url).translate(UNSAFE_IN_LINKS)


# --- a reminder's lines ---


def kicker(reminder: Reminder, words: Words) -> str:
    """ "WIN · Motor fleet renewal · due Fri 27 Nov" """
    due = f"{words.due} {reminder.due}" if reminder.due else None
    return " · ".join(part for part in (words.verdicts[reminder.verdict], reminder.topic, due) if part)


def rule_line(reminder: Reminder, words: Words) -> str:
    return f"{words.rule} “{reminder.rule_title}” ({reminder.rule}@v{reminder.rule_version}) {words.matched}"


def button_words(words: Words) -> Mapping[Link, str]:
    return {
        Link.DONE: words.done,
        Link.SNOOZE_1_DAY: f"{words.snooze} {words.day_1}",
        Link.SNOOZE_3_DAYS: f"{words.snooze} {words.days_3}",
        Link.SNOOZE_1_WEEK: f"{words.snooze} {words.week_1}",
        Link.DISMISS: words.dismiss,
        Link.WHY: words.trace,
    }


def token_of(reminder: Reminder, link: Link) -> str:
    """A signed link's last part: it says who may do what about which recommendation."""
    return reminder.links[link].rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button under a message was pressed.

    `token`: of one of the message's signed links; it tells the recommendation and whom the message was for.
    `link`: what was pressed. `user`: who pressed, by the chat's own id. `place`: the message, as its receipt names it.
    """

    token: str
    link: Link
    user: str
    place: str


class Unverified(Exception):
    """What came in is not from the chat, or too old, or not what it sends; the text says which."""


# --- what an answer means ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What a refusal means, and what to do about it."""

    advice: str
    permanent: bool = False
    server_down: bool = False
    uncertain: bool = False


AGAIN = Trouble(advice="it will be tried again")
ELSEWHERE = Trouble(advice="it points elsewhere; put its real address into the settings", permanent=True)

# What every web server means by these; a service says more in a table of its own.
STATUSES: Mapping[int, Trouble] = {
    **dict.fromkeys((301, 302, 303, 307, 308), ELSEWHERE),
    400: Trouble(advice="it does not understand the message", permanent=True),
    401: Trouble(
        advice="the address or its secret is wrong; make a new one and put it into the settings", permanent=True
    ),
    403: Trouble(advice="it does not let us in; make a new address and put it into the settings", permanent=True),
    404: Trouble(advice="there is no such place any more; put the right address into the settings", permanent=True),
    408: AGAIN,
    410: Trouble(advice="the place is gone; put the right address into the settings", permanent=True),
    413: Trouble(advice="the message is too long for it", permanent=True),
    425: AGAIN,
}


def refused(service: str, answer: Answer, *, statuses: Mapping[int, Trouble] | None = None) -> SendError:
    """What an answer other than yes means, by its status."""
    if answer.status == 429:
        return too_fast(service, answer)
    other = AGAIN if answer.status >= 500 else Trouble(advice="it takes no messages at this address", permanent=True)
    trouble = {**STATUSES, **(statuses or {})}.get(answer.status, other)
    return troubled(service, f"{answer.status}", trouble, code=answer.status)


def too_fast(service: str, answer: Answer) -> SendError:
    wait_s = PATIENCE_S if answer.retry_after_s is None else answer.retry_after_s
    return SendError(
        f"{service} asks to wait {wait_s:g} s before the next message there",
        retry_after_s=wait_s,
        code=answer.status,
        phase="rate",
    )


def troubled(service: str, said: str, trouble: Trouble, *, code: int) -> SendError:
    return SendError(
        f"{service} refused ({said}): {trouble.advice}",
        permanent=trouble.permanent,
        server_down=trouble.server_down,
        uncertain=trouble.uncertain,
        code=code,
        phase=Phase.ANSWER,
    )


# --- posting ---


class Turns:
    """One message after the other at each place, with a pause between them; none while it asks to be left alone.

    It lasts as long as a line. After that the outbox knows by `retry_after_s` when to come back.
    """

    def __init__(self, *, pause_s: float) -> None:
        self._pause_s = pause_s
        self._places: dict[str, _Place] = {}

    @asynccontextmanager
    async def at(self, place: str) -> AsyncGenerator[None]:
        """Raises `SendError` where the place is to be left alone."""
        clock = asyncio.get_running_loop().time
        turn = self._places.setdefault(place, _Place())
        async with turn.lock:
            if (left_s := turn.closed_until_s - clock()) > 0:
                raise SendError(f"{place} asked to wait another {left_s:.0f} s", retry_after_s=left_s, phase="rate")
            await asyncio.sleep(turn.free_at_s - clock())
            try:
                yield
            except SendError as error:
                turn.closed_until_s = clock() + (error.retry_after_s or 0)
                raise
            finally:
                turn.free_at_s = clock() + self._pause_s


@dataclass(slots=True)
class _Place:
    """Times are those of the event loop."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at_s: float = 0.0
    closed_until_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A chat that takes messages at webhooks. `pause_s`: between two messages at one of them."""

    name: str
    judge: Judge
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookNotifier:
    """Posts to the webhooks of one service. `webhooks`: their addresses, by the names that deliveries go to."""

    service: Service
    webhooks: Mapping[str, str] = field(repr=False)
    outgoing: Outgoing = field(default_factory=Outgoing)

    def __post_init__(self) -> None:
        """Raises ValueError where an address is none."""
        for name, url in self.webhooks.items():
            verdict = web_address(url)
            if isinstance(verdict, Refusal):
                raise ValueError(f"{self.service.name}, webhook {name!r}: {verdict.reason}")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[WebhookLine]:
        async with self.outgoing.open() as http:
            yield WebhookLine(self, http)


class WebhookLine:
    width = WIDTH

    def __init__(self, notifier: WebhookNotifier, http: Http) -> None:
        self._service = notifier.service
        self._webhooks = notifier.webhooks
        self._http = http
        self._turns = Turns(pause_s=notifier.service.pause_s)

    async def send(self, message: Message) -> Receipt:
        """Post one message to the webhook of that name. Raises `SendError`."""
        url = self._webhooks.get(message.destination)
        if url is None:
            raise unknown_place(self._service.name, message.destination)
        async with self._turns.at(message.destination):
            return self._service.judge(await self._http.post(url, message.body))


def unknown_place(service: str, destination: str) -> SendError:
    return SendError(
        f"{service}: the settings have no address named {shortened(destination, 100)!r}; add it there",
        permanent=True,
        phase=Phase.ADDRESS,
    )
