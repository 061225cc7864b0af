"""The API of a company, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.story.post_office import PostOffice
from tests.story.relance import COMPANY, Relance
from tests.web.api.office import Api


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    with _company(database_url, tmp_path) as api:
        yield api


@pytest.fixture
def sqlite_api(sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
    """For what has nothing to do with the database."""
    with _company(sqlite_url, tmp_path) as api:
        yield api


@contextmanager
def _company(database: str, folder: Path) -> Iterator[Api]:
    own = folder / "rules"
    own.mkdir()
    (own / "company.yaml").write_text(COMPANY, encoding="utf-8")
    start = datetime(2026, 9, 1, 6, tzinfo=UTC)
    service = Relance(database=database, packs=["base", str(own)], post=PostOffice(), now=start)
    with service.running() as company:
        yield Api(company=company)
