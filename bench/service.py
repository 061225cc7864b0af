"""A real `relance serve` on a real database, with one rule that reminds each customer's owner, and a token for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.sink import HOST, wait_for
from domain.access import Role
from domain.person import Person
from store import people, users
from store.session import Database

OWNERS = 160
RULES = """
company: Bench
timezone: Europe/Zurich
---
model: {customer: {segment: text}}
---
rule: greet
title: Greet
for each: customer
when: {segment: corporate}
then: {recommend: win, say: "Say hello to {{ customer.name }}.", to: owner}
"""


@dataclass(kw_only=True)
class Service:
    """The process, started and killed at will. `token` may do anything."""

    environment: Mapping[str, str]
    port: int
    token: str
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/api/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("relance")), "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=dict(self.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self.port)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def owners() -> list[Person]:
    return [Person(id=f"u{n}", name=f"Owner {n}", email=f"u{n}@example.com") for n in range(OWNERS)]


def environment(db: Database, folder: Path, *, mail_port: int) -> dict[str, str]:
    """The settings of a process on this database; its rules are written into the folder."""
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    return {
        **os.environ,
        "RELANCE_DATABASE": db.engine.url.render_as_string(hide_password=False),
        "RELANCE_RULES": f'["{folder}"]',
        "RELANCE_SECRET_KEYS": '["a key for this bench only"]',
        "RELANCE_MAIL__HOST": HOST,
        "RELANCE_MAIL__PORT": str(mail_port),
    }


@contextmanager
def service(db: Database, folder: Path, *, mail_port: int) -> Generator[Service]:
    """Running for the length of the block."""
    now = datetime.now(UTC)
    people.save(db, owners(), now=now, source="bench")
    admin = users.add(db, email="bench@example.com", name="Bench", role=Role.ADMIN, source="bench", now=now)
    _, token = users.issue(db, user=admin.id, name="bench", source="bench", now=now)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    running = Service(
        environment=environment(db, folder, mail_port=mail_port)
        | {"RELANCE_AT_ONCE": "1000000", "RELANCE_ALLOWED_NETWORKS": f'["{HOST}/32"]'},
        port=port,
        token=token,
    )
    running.start()
    try:
        yield running
    finally:
        running.kill()


def customer(number: int) -> dict[str, Any]:
    """A customer of whom its owner is told at once."""
    fields = {"name": f"Customer {number}", "owner": f"u{number % OWNERS}", "segment": "corporate"}
    return {"kind": "customer", "id": f"K{number}", "fields": fields}
