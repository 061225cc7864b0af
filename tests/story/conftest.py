from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.story.post_office import PostOffice
from tests.story.relance import COMPANY, Relance, customer, person


@pytest.fixture
def relance(database_url: str, tmp_path: Path) -> Iterator[Relance]:
    """A company with a seller, her boss, and one customer of hers."""
    own = tmp_path / "rules"
    own.mkdir()
    (own / "company.yaml").write_text(COMPANY, encoding="utf-8")
    start = datetime(2026, 9, 1, 6, tzinfo=UTC)
    with Relance.running(database=database_url, packs=["base", str(own)], post=PostOffice(), now=start) as relance:
        relance.has(person("seller", manager="boss"), person("boss", language="de"), customer("K1"))
        yield relance
