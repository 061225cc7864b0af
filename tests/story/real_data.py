"""Real files that are kept beside the project, and the examples that import them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
EXAMPLES = ROOT / "examples"


def data(name: str) -> Path:
    file = DATA / name
    if not file.exists():
        pytest.skip(f"{file} is not here: real data is kept beside the project")
    return file


def rows_of(file: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file, each with its line."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.DictReader(opened)
        return [(reader.line_num, row) for row in reader]
