"""What is lost and what comes twice when workers are killed at any moment: real workers, a real server, `kill -9`.

Two workers send to a server that remembers the Message-ID of everything it took. Again and again one of them is killed,
after a time nobody chose, and another started. In the end time passes, so that leases and pauses are over, and one more
worker does the rest.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.databases import databases
from bench.service import customer, environment, owners
from bench.sink import ANSWERS, DOT, GREETING, HOST, YES
from bench.table import show
from domain.delivery import DeliveryState
from domain.record import Record
from store import dossiers, outbox, people
from store.session import Database

MAILS = int(os.environ.get("RELANCE_MAILS", "16000"))
KILLS = int(os.environ.get("RELANCE_KILLS", "100"))
WORKERS = 2
LIVES_S = (1.5, 4.0)  # from the start of a worker to its end; it takes a second to be at work
LATER = timedelta(minutes=11)  # longer than any lease, and than the pause before a resend
SEED = 7
MESSAGE_ID = re.compile(rb"^Message-ID: (<[^>]+>)\r$", re.MULTILINE)
COMMAND = "python -m bench kills"


@dataclass(slots=True)
class Server:
    """Takes everything, and remembers how often it took which mail."""

    port: int = 0
    taken: Counter[bytes] = field(default_factory=Counter[bytes])

    @contextmanager
    def running(self) -> Generator[None]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, HOST, 0), loop).result()
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        try:
            while line := await reader.readline():
                command = line[:4].upper().strip()
                writer.write(ANSWERS.get(command, YES))
                if command == b"DATA":
                    mail = await reader.readuntil(DOT)
                    found = MESSAGE_ID.search(mail)
                    assert found is not None
                    self.taken[found[1]] += 1
                    writer.write(YES)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def main() -> None:
    rows = [(name, *map(str, _tried(db))) for name, db in databases()]
    head = ("", "mails", "kills", "lost", "resent", "twice", "twice beyond resends", "unknown, unlisted", "seconds")
    show(f"{KILLS} times kill -9, {WORKERS} workers", head, rows, command=COMMAND)


def _tried(db: Database) -> Iterator[int]:
    begun = time.monotonic()
    server = Server()
    with TemporaryDirectory(prefix="relance-bench-") as folder, server.running():
        now = datetime.now().astimezone()
        _fill(db, now)
        settings = environment(db, Path(folder), mail_port=server.port) | {
            "RELANCE_AT_ONCE": str(MAILS),
            "RELANCE_TICK_S": "0.2",
            "RELANCE_PROCESSES": "0",
        }
        kills = _kill(settings)
        unlisted = 0
        for round_ in range(1, 4):  # leases end, resends are due, and so are the resends of the last round
            unlisted += _unlisted(db, server)
            _run("--once", "--at", (now + round_ * LATER).isoformat(), environment=settings).wait()
        yield from _figures(db, server, kills, unlisted)
        yield round(time.monotonic() - begun)


def _fill(db: Database, now: datetime) -> None:
    people.save(db, owners(), now=now, source="bench")
    written = [Record(customer=None, **customer(number)) for number in range(MAILS)]
    dossiers.upsert(db, written, now=now, source="bench")


def _kill(environment: dict[str, str]) -> int:
    """Two at work, and every now and then one of them is not any more. Ends early once everything is sent."""
    chance = random.Random(SEED)
    workers = [(_run(environment=environment), time.monotonic()) for _ in range(WORKERS)]
    kills = 0
    while kills < KILLS:
        place = chance.randrange(WORKERS)
        process, born = workers[place]
        time.sleep(max(0.0, born + chance.uniform(*LIVES_S) - time.monotonic()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        workers[place] = (_run(environment=environment), time.monotonic())
    for process, _ in workers:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return kills + len(workers)


def _run(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("relance")), "worker", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _unlisted(db: Database, server: Server) -> int:
    """Mails that arrived, and of which the outbox neither says so nor that it does not know."""
    may_have = {
        delivery.message_id
        for delivery in outbox.listing(db, limit=10 * MAILS)
        if delivery.state in (DeliveryState.SENT, DeliveryState.UNKNOWN, DeliveryState.SENDING)
    }
    return sum(message_id.decode() not in may_have for message_id in server.taken)


def _figures(db: Database, server: Server, kills: int, unlisted: int) -> Iterator[int]:
    deliveries = outbox.listing(db, limit=10 * MAILS)
    resent = {d.message_id for d in deliveries if d.attempts > 1}
    twice = {message_id.decode() for message_id, count in server.taken.items() if count > 1}
    arrived = {message_id.decode() for message_id in server.taken}
    yield len(deliveries)
    yield kills
    yield sum(d.message_id not in arrived for d in deliveries if d.state is not DeliveryState.UNKNOWN)
    yield len(resent)
    yield len(twice)
    yield sum(count > 2 for count in server.taken.values()) + len(twice - resent)
    yield unlisted
