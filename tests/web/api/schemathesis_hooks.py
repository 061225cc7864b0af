"""What schemathesis does not know by itself."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """A value that is no list is sent as the one line there is."""
    lines = value if isinstance(value, list) else [value]
    return "\n".join(map(json.dumps, lines)).encode()
