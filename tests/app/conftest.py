"""The command `relance` as a user meets it: a folder, an environment, what it prints and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from app.cli import main
from app.wiring import utc_now
from domain.person import Person
from domain.record import CUSTOMER, Record
from store import dossiers, people
from store.session import Database
from tests.story.post_office import LOOPBACK, PostOffice

RELANCE = Path(sys.executable).with_name("relance")
NOON = datetime(2026, 11, 23, 11, tzinfo=UTC)
COMPANY = """\
company: Muster AG
timezone: Europe/Zurich
currency: CHF
language: en
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def refuses(self, message: str, code: int = 2) -> None:
        """It printed this alone, on stderr, and ended with this code."""
        assert (self.out, self.err, self.code) == ("", message + "\n", code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Calling it runs a command in this process; `run` and `start` make a process of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return kept | {f"RELANCE_{name}": value for name, value in self.settings.items()}

    def having(self, **settings: str) -> Terminal:
        """The same with other settings in the environment; an empty one is taken away."""
        return replace(self, settings={k: v for k, v in (self.settings | settings).items() if v})

    def writes(self, name: str, content: str | bytes) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def __call__(self, *arguments: str, stdin: str = "") -> Said:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        code = 0
        with (
            contextlib.chdir(self.folder),
            patch.dict(os.environ, self.env, clear=True),
            patch.object(sys, "argv", ["relance", *arguments]),
            patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Said(code=code, out=_text(out), err=_text(err))

    def run(self, *arguments: str, stdin: bytes = b"") -> Said:
        done = subprocess.run(
            [RELANCE, *arguments], cwd=self.folder, env=self.env, input=stdin, capture_output=True, check=False
        )
        return Said(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def start(self, *arguments: str, env: Mapping[str, str] = {}, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([RELANCE, *arguments], cwd=self.folder, env={**self.env, **env}, **options)


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@pytest.fixture
def relance(tmp_path: Path) -> Terminal:
    """In an empty folder with a pack `pack` that says where the company is. There is no database."""
    folder = tmp_path / "here"
    folder.mkdir()
    terminal = Terminal(folder=folder, settings={"SECRET_KEYS": '["a key for tests only"]'})
    terminal.writes("pack/company.yaml", COMPANY)
    return terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A database with people and records, written at `now`, and the mail server that its reminders go to."""

    relance: Terminal
    db: Database
    post: PostOffice
    now: datetime

    def has(self, *records: Record, now: datetime | None = None) -> None:
        dossiers.upsert(self.db, records, now=now or self.now, source="test")

    def has_people(self, *persons: Person) -> None:
        people.save(self.db, persons, now=self.now, source="test")

    def has_an_expiring_contract(self, customer: str = "K1", *, owner: str = "lena") -> None:
        self.has(
            Record(
                kind=CUSTOMER, id=customer, customer=customer, fields={"name": f"Muster {customer}", "owner": owner}
            ),
            Record(
                kind="contract",
                id=f"C-{customer}",
                customer=customer,
                fields={
                    "status": "active",
                    "auto_renews": False,
                    "end_date": (self.now + timedelta(days=45)).date().isoformat(),
                    "annual_value": 48200,
                },
            ),
        )


@pytest.fixture
def post() -> PostOffice:
    """A mail server that nobody has opened yet."""
    return PostOffice()


@pytest.fixture
def company(relance: Terminal, sqlite_url: str, post: PostOffice) -> Iterator[Company]:
    """Lena, one customer of hers, and a contract that expires on 7 January 2027; the mail server is open."""
    with _company(relance, sqlite_url, post, now=NOON) as company:
        yield company


@pytest.fixture
def company_today(relance: Terminal, sqlite_url: str, post: PostOffice) -> Iterator[Company]:
    """The same as of today, for commands that read the clock."""
    with _company(relance, sqlite_url, post, now=utc_now()) as company:
        yield company


@contextlib.contextmanager
def _company(relance: Terminal, database_url: str, post: PostOffice, *, now: datetime) -> Iterator[Company]:
    terminal = relance.having(
        DATABASE=database_url,
        RULES='["base", "pack"]',
        BASE_URL="http://relance.example",
        MAIL__HOST=LOOPBACK,
        MAIL__PORT=str(post.port),
        MAIL__SENDER="relance@example.com",
    )
    with Database.connect(database_url) as db, post.open():
        company = Company(relance=terminal, db=db, post=post, now=now)
        company.has_people(Person(id="lena", name="Lena Steiner", email="lena@example.com"))
        company.has_an_expiring_contract()
        yield company
