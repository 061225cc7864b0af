"""Values as JSON carries them, and as a person reads them where they stand as written."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal


def plain(value: object) -> object:
    """A value as JSON carries it: exact numbers, dates and moments in ISO 8601."""
    match value:
        case Decimal() if value == value.to_integral_value():
            return int(value)
        case Decimal():
            near = float(value)
            return near if Decimal(repr(near)) == value else value
        case datetime() | date():
            return value.isoformat()
        case tuple() | list():
            return [plain(v) for v in value]
        case _:
            return value


def shown(value: object) -> str:
    """A value of a condition, as `plain` gives it, for a person."""
    match value:
        case None:
            return "missing"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)
