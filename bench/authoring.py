"""What an author waits for: a thousand rules checked beside PyYAML reading the same files, and the first help text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.table import show

FILES, RULES_EACH = 20, 50
RUNS = 5
RULE = """
rule: contract-expiring-{n}
title: Contract {n} expiring without a renewal
for each: contract
when:
  status: active
  end_date: in the next {days} days
  annual_value: above {amount}
  customer.segment: [sme, corporate]
unless:
  - opportunity: {{contract: this, type: renewal, stage: open}}
then:
  recommend: win
  say: "The contract over {{{{ contract.annual_value|money }}}} ends on {{{{ contract.end_date|day }}}}, says rule {n}."
  do: call
  to: owner
  due: in 4 business days
  worth: contract.annual_value
"""
YAML_ALONE = """
import sys, yaml
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        list(yaml.load_all(file, yaml.CSafeLoader))
"""
COMMAND = "python -m bench authoring"


def main() -> None:
    with TemporaryDirectory(prefix="relance-bench-") as name:
        folder = Path(name)
        files = [folder / f"rules-{file}.yaml" for file in range(FILES)]
        for file, path in enumerate(files):
            numbers = range(file * RULES_EACH, (file + 1) * RULES_EACH)
            rules = (RULE.format(n=n, days=30 + n % 60, amount=1000 * n) for n in numbers)
            path.write_text("---".join(rules), encoding="utf-8")
        relance = [str(Path(sys.executable).with_name("relance"))]
        commands: Sequence[tuple[str, str, Sequence[str]]] = (
            (f"relance rules check, {FILES * RULES_EACH:,} rules", "1.00", [*relance, "rules", "check", "base", name]),
            ("PyYAML alone reads them", "", [sys.executable, "-c", YAML_ALONE, *map(str, files)]),
            ("relance --help", "0.15", [*relance, "--help"]),
            ("python -c pass", "", [sys.executable, "-c", "pass"]),
        )
        rows = [(what, f"{_seconds(command, folder):.2f}", limit) for what, limit, command in commands]
    show(
        f"authoring: the best of {RUNS} runs, the process's start included",
        ("", "seconds", "limit"),
        rows,
        command=COMMAND,
    )


def _seconds(command: Sequence[str], folder: Path) -> float:
    """Of the fastest run. The command speaks of warnings, so it may end with any code but that of a crash."""
    environment = {**os.environ, "RELANCE_DATABASE": f"sqlite:///{folder / 'none.db'}"}
    best = float("inf")
    for _ in range(RUNS):
        begin = perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        best = min(best, perf_counter() - begin)
        if done.returncode not in (0, 1):
            sys.exit(f"bench: {' '.join(command)} ended with {done.returncode}: {done.stderr.decode()}")
    return best
