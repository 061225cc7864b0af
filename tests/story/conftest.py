from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pytest

from tests.story.post_office import PostOffice
from tests.story.real_data import EXAMPLES
from tests.story.relance import Relance, customer, muster, person


class Company(Protocol):
    """Starts the company of one of the examples, at a moment; on SQLite unless a database is named."""

    def __call__(self, example: str, now: datetime, *, database: str | None = None) -> Relance: ...


@pytest.fixture
def relance(database_url: str, tmp_path: Path) -> Iterator[Relance]:
    """A company with a seller, her boss, and one customer of hers."""
    with muster(database_url, tmp_path) as relance:
        relance.has(person("seller", manager="boss"), person("boss", language="de"), customer("K1"))
        yield relance


@pytest.fixture
def company(sqlite_template: Path, tmp_path: Path) -> Iterator[Company]:
    with ExitStack() as running:

        def start(example: str, now: datetime, *, database: str | None = None) -> Relance:
            number = len(list(tmp_path.glob("*.db")))
            database = database or f"sqlite:///{shutil.copy(sqlite_template, tmp_path / f'{number}.db')}"
            packs = ["base", str(EXAMPLES / example / "rules")]
            service = Relance(database=database, packs=packs, post=PostOffice(), now=now)
            return running.enter_context(service.running())

        yield start
