"""`relance demo`: an invented company in a temporary folder, with a mail server and a mailbox of its own."""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.cli.output import CommandError, note, say
from app.demo_data import DemoCompany, company
from app.demo_world import PEOPLE
from app.pages import address, listening, serving
from app.settings import Mail, Settings
from app.wiring import House, open_store, utc_now
from scheduler.clock import Clock
from scheduler.dispatch import Dispatched
from scheduler.evaluate import Outcome
from store import dossiers, migrations, people
from store.session import Database
from web.app import create_app
from web.mailbox import StoredMail, create_mailbox

LOOPBACK = "127.0.0.1"
TICK_S = 1.0
BATCH = 1000  # records in a transaction


@dataclass(slots=True)
class Mailbox:
    """The demo's mail server: keeps what arrives, in memory."""

    mails: list[StoredMail] = field(default_factory=list[StoredMail])

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        message = message_from_bytes(raw, policy=policy.default)
        self.mails.append(
            StoredMail(
                id=str(len(self.mails) + 1),
                recipient=envelope.rcpt_tos[0],
                subject=str(message["Subject"]),
                received_at=utc_now(),
                raw=raw,
            )
        )
        return "250 OK"


def run(
    *, customers: int, port: int, seed: int, out: Path | None, stop_signal: Callable[[], Callable[[], None]]
) -> None:
    """Everything, until the stop signal; with `out` the mails go into that folder and nothing keeps running."""
    if out is not None:
        _make_empty(out)
    mailbox = Mailbox()
    with (
        tempfile.TemporaryDirectory(prefix="relance-demo-") as folder,
        listening(LOOPBACK, port) as listener,
        _mail_server(mailbox) as mail_port,
    ):
        settings = _settings(Path(folder), mail_port=mail_port, base_url=address(listener))
        note(f"inventing a company with {customers:,} customers ...")
        invented = company(seed=seed, customers=customers, now=utc_now())
        _write_rules(Path(settings.rules[1]), invented)
        with Database.connect(settings.database) as db:
            migrations.upgrade(db)
        with open_store(settings) as db:
            _fill(db, invented, now=utc_now())
            house = House.build(settings, db)
            evaluated, sent = _first_run(house)
            _summary(invented, evaluated, sent, mailbox)
            if out is not None:
                _leave(out, mailbox)
            else:
                _serve(house, mailbox, listener, stop_signal)


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise CommandError(f"the folder {folder} cannot be made: {failure.strerror}") from None
    if any(folder.iterdir()):
        raise CommandError(f"{folder} is not empty; name another folder with --out")


def _settings(folder: Path, *, mail_port: int, base_url: str) -> Settings:
    return Settings.model_validate(
        {
            "database": f"sqlite:///{folder / 'relance.db'}",
            "rules": ["base", str(folder / "rules")],
            "base_url": base_url,
            "secret_keys": [secrets.token_urlsafe(32)],
            "nobody": PEOPLE[0].id,
            "at_once": 6,  # so that some get a digest and some get mails
            "mail": Mail(host=LOOPBACK, port=mail_port, sender="relance@example.com", name="Relance"),
        }
    )


@contextmanager
def _mail_server(mailbox: Mailbox) -> Generator[int]:
    with _free_port() as port:
        pass
    controller = Controller(mailbox, hostname=LOOPBACK, port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextmanager
def _free_port() -> Generator[int]:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        yield probe.getsockname()[1]


def _write_rules(folder: Path, invented: DemoCompany) -> None:
    folder.mkdir()
    for name, text in invented.rules.items():
        (folder / name).write_text(text, encoding="utf-8")


def _fill(db: Database, invented: DemoCompany, *, now: datetime) -> None:
    people.save(db, invented.people, now=now, source="demo")
    for start in range(0, len(invented.records), BATCH):
        dossiers.upsert(db, invented.records[start : start + BATCH], now=now, source="demo")


def _first_run(house: House) -> tuple[Outcome, Dispatched]:
    now = utc_now()
    worker = house.worker(now=now)
    return worker.evaluate(now=now), worker.dispatch(now=now)


def _summary(invented: DemoCompany, evaluated: Outcome, sent: Dispatched, mailbox: Mailbox) -> None:
    kinds = Counter(record.kind for record in invented.records)
    say(f"{len(invented.people)} people, {', '.join(f'{count:,} {kind}' for kind, count in sorted(kinds.items()))}")
    say(f"{evaluated.customers:,} customers evaluated, {evaluated.raised:,} recommendations, {sent.sent:,} mails sent")
    for recipient, count in sorted(Counter(mail.recipient for mail in mailbox.mails).items()):
        say(f"  {count:>4} to {recipient}")


def _leave(out: Path, mailbox: Mailbox) -> None:
    for mail in mailbox.mails:
        message = message_from_bytes(mail.raw, policy=policy.default)
        html = message.get_body(("html",))
        (out / f"{int(mail.id):04}.eml").write_bytes(mail.raw)
        if html is not None:
            (out / f"{int(mail.id):04}.html").write_text(html.get_content(), encoding="utf-8")
    say(f"the mails are in {out}/")


def _serve(
    house: House, mailbox: Mailbox, listener: socket.socket, stop_signal: Callable[[], Callable[[], None]]
) -> None:
    services = house.services()
    app = create_app(services)
    app.include_router(create_mailbox(lambda: tuple(mailbox.mails)))
    worker = house.worker(now=utc_now())
    stopped = stop_signal()
    pages = serving(app, listener, stopping=services.stopping)
    with worker.at_work(Clock(time=utc_now), tick_s=TICK_S), pages:
        say(f"\nThe mailbox is open:\n\n  {address(listener)}/mailbox\n")
        note("Ctrl-C ends the demo and leaves nothing behind")
        stopped()
