"""What `data` holds, by type of event: a JSON Schema each, TYPE.VERSION.json.

Within a version fields may be added; whatever else changes makes a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from domain.event import EventType

FOLDER = Path(__file__).parent
VERSIONS: Mapping[EventType, int] = dict.fromkeys(EventType, 1)  # those that are sent now
PATH = "/api/v1/schemas"  # where they are served


@cache
def schema(type_: str, version: int) -> Mapping[str, Any] | None:
    """The schema, complete; None: there is no such type or version."""
    if type_ not in VERSIONS or not 1 <= version <= VERSIONS[EventType(type_)]:
        return None
    found = _read(f"{type_}.{version}")
    shared = {"recommendation": _read("recommendation.1")} if "recommendation" in found["properties"] else {}
    return found | ({"$defs": shared} if shared else {})


def _read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
