"""The floors of the house. import-linter keeps who may import whom; this keeps whose packages they are."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("room", ["domain", "rules", "scheduler", "notifiers", "store", "web", "app"])
def test_each_package_that_is_imported_is_ours(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / room / "__init__.py"
