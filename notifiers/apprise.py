"""Anything else, through Apprise: a reminder's plain text, to whatever address an administrator names.

Apprise makes its own connections, so `notifiers.http` guards nothing here: only administrators may name addresses. One
address reaches one recipient, so that each delivery has an outcome of its own. Apprise says yes or no; why not it tells
only its log, together with secrets. That log is read here and goes no further.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat

from domain.delivery import Message, Receipt, Reminder, SendError
from notifiers.chat import as_json, refused, unknown_place
from notifiers.http import Answer, Phase
from notifiers.render import render

WIDTH = 4  # each takes a thread
STATUS = re.compile(r"\berror=([1-5][0-9]{2})\b")
NEVER_LEFT = re.compile(
    "NewConnectionError|ConnectTimeout|NameResolutionError|SSLError|Connection refused|Name or service"
)
LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")  # all of them write whole addresses


def compose(reminder: Reminder) -> bytes:
    """What `send` hands to Apprise. The same reminder gives the same bytes."""
    rendered = render(reminder)
    return as_json({"title": rendered.subject, "body": rendered.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseNotifier:
    """`urls`: Apprise's addresses, by the names that deliveries go to."""

    urls: Mapping[str, str] = field(repr=False)
    timeout_s: float = 30.0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[AppriseLine]:
        for name in LOGGERS:
            logging.getLogger(name).addFilter(_EAR)  # the same one is added once, however often it is opened
        logging.getLogger("apprise").setLevel(logging.DEBUG)  # to be heard at all
        yield AppriseLine(self)


class AppriseLine:
    width = WIDTH

    def __init__(self, notifier: AppriseNotifier) -> None:
        self._urls = notifier.urls
        self._timeout_s = notifier.timeout_s

    async def send(self, message: Message) -> Receipt:
        """Hand over one message. Raises `SendError`."""
        url = self._urls.get(message.destination)
        if url is None:
            raise unknown_place("Apprise", message.destination)
        log: list[str] = []
        _log.set(log)
        try:
            async with asyncio.timeout(self._timeout_s):
                taken = await asyncio.to_thread(_notify, url, **json.loads(message.body))
        except TimeoutError:
            raise _unclear("there was no answer in time") from None
        if not taken:
            raise _refusal("\n".join(log))
        return Receipt(code=200, text="taken")


def _notify(url: str, *, title: str, body: str) -> bool:
    target = _target(url)
    try:
        return target.notify(title=title, body=body, body_format=NotifyFormat.TEXT)
    except Exception as failure:  # a service's module may raise anything
        raise _unclear(f"it broke with {type(failure).__name__}") from None


def _target(url: str) -> NotifyBase:
    try:
        target = Apprise.instantiate(url, asset=AppriseAsset(async_mode=False))
    except Exception:
        target = None
    if target is None:
        raise SendError("Apprise does not understand the address; correct it", permanent=True, phase=Phase.ADDRESS)
    if len(target) > 1:
        raise SendError(
            f"the address stands for {len(target)} messages; give each recipient an address, without retry=",
            permanent=True,
            phase=Phase.ADDRESS,
        )
    return target


def _refusal(log: str) -> SendError:
    if status := STATUS.search(log):
        return refused("Apprise's service", Answer(status=int(status[1]), body=b""))
    if NEVER_LEFT.search(log):
        return SendError("Apprise: no connection could be made", phase=Phase.CONNECT)
    return _unclear("it was not taken, and why is unknown")


def _unclear(what: str) -> SendError:
    return SendError(f"Apprise: {what}; it may have arrived", uncertain=True, phase=Phase.ANSWER)


class _Ear(logging.Filter):
    """Keeps what is logged for the message that it is about, and from everybody else."""

    def filter(self, record: logging.LogRecord) -> bool:
        if (log := _log.get()) is not None:
            log.append(record.getMessage())
        return False


_log: ContextVar[list[str] | None] = ContextVar("_log", default=None)
_EAR = _Ear()
