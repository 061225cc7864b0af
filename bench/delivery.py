"""What a mail costs from the reminder to the server's yes: by Relance and others, to a server that takes all.

Rendering is the same for all. Laying it out as a mail and handing it over is each one's own work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

from bench.company import NOW
from bench.peers.mailers import HOST, MAILERS, SENDER, Mails, connection_per_mail
from bench.sink import sink
from bench.table import show
from domain.delivery import Link, Message, Reminder
from notifiers import email
from notifiers.links import Links
from notifiers.render import render
from notifiers.smtp import SmtpLine, SmtpNotifier, SmtpServer, Tls

LATE_S = 0.01
MAILS, LATE_MAILS_OF_PEERS = 1_000, 100
ROUNDS = 3  # the fastest counts: whatever else the machine does only ever adds
COMMAND = "python -m bench delivery"

Mailer = Callable[[Mails, int], None]


def main() -> None:
    base = _reminder()
    entrants = [("Relance", relance), ("Relance, nothing sent", nobody), *_peers()]
    servers: list[str] = []
    best: dict[tuple[str, bool], float] = {}
    for late in (False, True):
        with sink(delay_s=LATE_S if late else 0.0) as (server, port):
            servers.append(server)
            for name, mailer in entrants * ROUNDS:
                count = MAILS if mailer in (relance, nobody) or not late else LATE_MAILS_OF_PEERS
                best[name, late] = max(best.get((name, late), 0.0), _rate(mailer, base, count, port))

    def row(name: str) -> Iterator[str]:
        yield name
        for late in (False, True):
            yield f"{best[name, late]:,.0f}"
            yield f"{best[name, late] / best['Relance', late]:.2f}"

    after = f"{LATE_S * 1000:.0f} ms an answer"
    show(
        f"Mails/s, rendering included, to {servers[0]}; and to {servers[1]} that takes {after}",
        ("", "mails/s", "of Relance", after, "of Relance"),
        [tuple(row(name)) for name, _ in entrants],
        command=COMMAND,
    )


def relance(mails: Mails, port: int) -> None:
    server = SmtpServer(host=HOST, port=port, sender=SENDER, tls=Tls.NONE)
    waiting = _messages(mails)

    async def send() -> None:
        async with SmtpNotifier(server=server).open() as line, asyncio.TaskGroup() as group:
            for _ in range(line.width):
                group.create_task(one_after_the_other(line))

    async def one_after_the_other(line: SmtpLine) -> None:
        for message in waiting:
            await line.send(message)

    asyncio.run(send())


def nobody(mails: Mails, _port: int) -> None:
    """What is left if handing over costs nothing: a limit, not a way to send."""
    for _ in _messages(mails):
        pass


def _messages(mails: Mails) -> Iterator[Message]:
    for number, (to, rendered) in enumerate(mails):
        id_ = email.message_id(f"{number:032}", domain="example.com")
        root = email.thread_root(f"{number}", domain="example.com")
        body = email.compose(rendered, sender=SENDER, to=to, message_id=id_, thread_root=root, date=NOW)
        yield Message(destination=to, message_id=id_, body=body)


def _peers() -> Iterator[tuple[str, Mailer]]:
    """Those that are installed; of the others, how to have them."""
    yield f"aiosmtplib {version('aiosmtplib')}, a connection for each", connection_per_mail
    for package, (tried, mailer) in MAILERS.items():
        try:
            yield f"{package} {version(package)}, one connection", mailer
        except PackageNotFoundError:
            print(f"{package} is not installed and left out: pip install {package}=={tried}")


def _rate(mailer: Mailer, base: Reminder, count: int, port: int) -> float:
    begin = perf_counter()
    mailer(_mails(base, count), port)
    return count / (perf_counter() - begin)


def _mails(base: Reminder, count: int) -> Mails:
    """No two of them alike."""
    for number in range(count):
        yield f"p{number}@example.com", render(replace(base, topic=f"Contract FL-{number}", stake=f"CHF {number:,}"))


def _reminder() -> Reminder:
    links = Links(["a key of the bench"], "https://relance.example.com").for_person("7Q", "lara", now=NOW)
    return Reminder(
        language="en",
        subject="Contract FL-20418 of Muster Logistik AG ends in 45 days, no renewal open",
        preheader="Suggested: call Anna Keller this week. Done, snooze or dismiss from this email.",
        verdict="win",
        topic="Contract FL-20418",
        due="Fri 27 Nov",
        title="Call Muster Logistik AG about the renewal of the fleet contract",
        why="The contract ends on 7 January 2027 and nobody is working on a renewal.",
        stake="CHF 48,200",
        action="Start the renewal call",
        facts=(
            ("Contract", "FL-20418, fleet (23 vehicles)"),
            ("Ends", "7 January 2027 (notice period: 30 days)"),
            ("Annual value", "CHF 48,200"),
            ("Last contact", "12 August, Anna Keller, phone"),
            ("Contact", "Anna Keller, Head of Fleet, +41 44 000 00 00"),
        ),
        instead=("Send the renewal offer by email instead", "Hand over to the broker desk"),
        rule="contract-expiring",
        rule_title="Contract expiring without a renewal",
        rule_version=12,
        matched=("contract FL-20418 ends in 45 days", "its status is active", "no renewal is open or won"),
        recipient="l.steiner@example.com",
        role="owner",
        links={link: links[link] for link in Link},
        crm_url="https://crm.example.com/accounts/1042",
    )
