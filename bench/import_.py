"""What an import costs: 100,000 rows of CSV through a mapping, new and then unchanged, beside bare sqlite3.

The peer reads the same file and inserts its cells as they are, all in one transaction: no typed values, no history,
nobody woken. It is as fast as an import could possibly be.
"""

from __future__ import annotations

import csv
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import ParamSpec

from app.importing import StoreSink, import_file
from bench.company import NOW, TODAY, rule_base
from bench.databases import databases
from bench.table import show
from rules import mapping
from rules.mapping import ImportMap
from store.changing import Outcome

ROWS = 100_000
HEADER = ("Contract", "Customer", "Status", "Ends on", "Annual value", "Renews")
MAP = """
map: Contracts
dates: 31.12.2026
numbers: 1'234.56
records:
  - kind: contract
    id: Contract
    customer: {column: Customer, required: yes}
    fields:
      status: {column: Status, case: lower}
      end_date: Ends on
      annual_value: Annual value
      auto_renews: Renews
"""
COMMAND = "python -m bench import"

P = ParamSpec("P")


def main() -> None:
    with TemporaryDirectory(prefix="relance-bench-") as name, rule_base([]) as base:
        folder = Path(name)
        file, map_file = folder / "contracts.csv", folder / "map.yaml"
        _write(file)
        map_file.write_text(MAP, encoding="utf-8")
        map_ = mapping.load(map_file, base.model)
        rows = [("bare sqlite3, executemany", *_rate(_bare, file, folder / "bare.db"))]
        for database, db in databases():
            sink = StoreSink(db=db, now=NOW, source="bench")
            rows += [
                (f"Relance, {database}, {outcome}", *_rate(_import, file, map_, sink, outcome))
                for outcome in (Outcome.NEW, Outcome.UNCHANGED)
            ]
    show(f"{ROWS:,} rows of CSV, {len(HEADER)} columns", ("", "rows/s", "seconds"), rows, command=COMMAND)


def _write(file: Path) -> None:
    dice = random.Random(0)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(HEADER)
        for number in range(ROWS):
            ends = TODAY + timedelta(days=dice.randint(-300, 900))
            value = f"{dice.randint(100, 200_000):,}.{dice.randint(0, 99):02}".replace(",", "'")
            status, renews = dice.choice(("Active", "Cancelled")), dice.choice(("yes", "no"))
            writer.writerow((f"C{number}", f"K{number // 2}", status, ends.strftime("%d.%m.%Y"), value, renews))


def _bare(file: Path, into: Path) -> None:
    with closing(sqlite3.connect(into)) as db, db, file.open(encoding="utf-8", newline="") as lines:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE contract (id TEXT PRIMARY KEY, customer, status, ends, value, renews)")
        rows = csv.reader(lines)
        next(rows)
        db.executemany("INSERT INTO contract VALUES (?, ?, ?, ?, ?, ?)", rows)


def _import(file: Path, map_: ImportMap, sink: StoreSink, outcome: Outcome) -> None:
    report = import_file(file, name=file.name, map_=map_, sink=sink)
    assert report.written == Counter({("contract", outcome): ROWS}), report


def _rate(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> tuple[str, str]:
    begin = perf_counter()
    work(*args, **kwargs)
    seconds = perf_counter() - begin
    return f"{ROWS / seconds:,.0f}", f"{seconds:.2f}"
