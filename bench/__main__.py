"""`python -m bench [NAME ...]`: all benchmarks, or those named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from bench import api, authoring, delivery, engines, import_, kills, sweep, upserts_killed

BENCHMARKS: Mapping[str, Callable[[], None]] = {
    "authoring": authoring.main,
    "engines": engines.main,
    "sweep": sweep.main,
    "import": import_.main,
    "delivery": delivery.main,
    "api": api.main,
    "kills": kills.main,
    "upserts-killed": upserts_killed.main,
}
ON_REQUEST = {"kills", "upserts-killed"}  # each takes a quarter of an hour


def main(names: list[str]) -> None:
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"bench: there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names or (name for name in BENCHMARKS if name not in ON_REQUEST):
        BENCHMARKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
