"""The API of a company, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.story.relance import muster
from tests.web.api.office import Api


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    with muster(database_url, tmp_path) as company:
        yield Api(company=company)


@pytest.fixture
def sqlite_api(sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
    """For what has nothing to do with the database."""
    with muster(sqlite_url, tmp_path) as company:
        yield Api(company=company)
