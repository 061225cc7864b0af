"""The application on both databases, each test with its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store.session import Database
from tests.web.office import Office


@pytest.fixture
def office(db: Database) -> Iterator[Office]:
    office = Office(db=db)
    office.has_a_recommendation()
    with office.client:
        yield office
