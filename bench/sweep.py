"""What a sweep costs: 1,000 customers that changed among 10,000 and among 100,000, and when nothing is due.

A sweep must not depend on how many customers there are: the limit is on the ratio of the two times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from time import perf_counter

from bench.company import NOW, bench_rules, dossier, rule_base
from bench.databases import databases
from bench.table import show
from rules.rulebase import RuleBase
from scheduler.evaluate import Rules, evaluate_due
from store import dossiers, rulebases
from store.session import Database

DUE = 1_000
SIZES = (10_000, 100_000)
ROUNDS = 5  # the fastest counts: whatever else the machine does only ever adds
RATIO_LIMIT = 1.3
SOURCE = "bench"
COMMAND = "python -m bench sweep"

# The columns of each table that name a customer or a record, and the others.
TABLES = {
    "customers": (("id",), ("version", "check_at", "evaluated_at", "rulebase")),
    "records": (("id", "dossier", "customer"), ("kind", "fields", "updated_at")),
    "record_history": (("id", "dossier", "customer"), ("kind", "fields", "recorded_at", "source")),
}


def main() -> None:
    rows: list[tuple[str, ...]] = []
    with rule_base(list(bench_rules())) as base:
        for name, db in databases():
            rules, clock, due_s = _fill(db, base), _clock(), list[float]()
            for size in _growing(db):
                due_s.append(min(_changed(db, rules, next(clock)) for _ in range(ROUNDS)))
                idle_s = min(_sweep(db, rules, next(clock), due=0) for _ in range(ROUNDS))
                rate = f"{DUE / due_s[-1]:,.0f}"
                rows.append((f"{name}, {size:,} customers", f"{due_s[-1]:.2f}", rate, f"{idle_s * 1000:.2f}"))
            rows.append((f"{name}, ratio (at most {RATIO_LIMIT})", f"{due_s[-1] / due_s[0]:.2f}", "", ""))
    show(
        f"A sweep with {DUE:,} customers due, 100 rules, 8 records a customer, one process",
        ("", "seconds", "due/s", "nothing due, ms"),
        rows,
        command=COMMAND,
    )


def _clock() -> Iterator[datetime]:
    """Moments of one day, so that only those are due who changed."""
    return (NOW + timedelta(minutes=minute) for minute in count(1))


def _fill(db: Database, base: RuleBase) -> Rules:
    """The customers that will change, evaluated once."""
    records = [record for number in range(DUE) for record in dossier(number).records]
    dossiers.upsert(db, records, now=NOW, source=SOURCE)
    own = {rule.id: rule.hash for rule in base.rules}
    kinds = base.reads()
    rules = Rules(base=base, published=rulebases.publish(db, hash=base.hash, rules=own, kinds=kinds, now=NOW))
    _sweep(db, rules, NOW, due=DUE)
    return rules


def _growing(db: Database) -> Iterator[int]:
    """The number of customers, after each time that copies under other names have been added."""
    copies = 0
    for size in SIZES:
        first, copies = copies + 1, size // DUE - 1
        with db.begin() as connection:
            for table, (names, others) in TABLES.items():
                renamed = ", ".join(f"{name} || '-' || number" for name in names)
                connection.exec_driver_sql(
                    f"WITH RECURSIVE copy(number) AS ("
                    f"SELECT {first} UNION ALL SELECT number + 1 FROM copy WHERE number < {copies}) "
                    f"INSERT INTO {table} ({', '.join((*names, *others))}) "
                    f"SELECT {renamed}, {', '.join(others)} FROM {table}, copy WHERE id NOT LIKE '%%-%%'"
                )
            connection.exec_driver_sql("ANALYZE")
        yield size


def _changed(db: Database, rules: Rules, now: datetime) -> float:
    """Seconds of a sweep after the customers have changed."""
    customers = [dossier(number).records[0] for number in range(DUE)]
    changed = [replace(c, fields={**c.fields, "score": (int(c.fields["score"]) + now.minute) % 100}) for c in customers]
    dossiers.upsert(db, changed, now=now, source=SOURCE)
    return _sweep(db, rules, now, due=DUE)


def _sweep(db: Database, rules: Rules, now: datetime, *, due: int) -> float:
    """Seconds until nothing is due any more."""
    begin, evaluated = perf_counter(), 0
    while outcome := evaluate_due(db, rules, now=now, owner="bench").customers:
        evaluated += outcome
    seconds = perf_counter() - begin
    assert evaluated == due, f"{evaluated} customers were due, not {due}"
    return seconds
