"""Pages by cursor: the position after the last item of the page before, which stays right while others write."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from fastapi import Query
from pydantic import BaseModel

from web.api.problems import Fault, Kind, Problem

LIMIT, LIMIT_MAX = 50, 200

Limit: TypeAlias = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many items a page holds.")]
Cursor: TypeAlias = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """`next`: the `cursor` of the page after this one; null: this is the last."""

    items: list[Item]
    next: str | None = None


def encode(position: Sequence[str | int]) -> str:
    """A cursor from the sort key of the last item."""
    return base64.urlsafe_b64encode(json.dumps(list(position)).encode()).decode().rstrip("=")


UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LAST = 2**63 - 1  # no database numbers further


def _is_one(part: object, type_: type) -> bool:
    """Whether a part of a position is of its type, and may be looked for in a database."""
    match part:
        case str():
            return type_ is str and not UNSTORABLE.search(part)
        case int():
            return type(part) is type_ and abs(part) <= LAST
        case _:
            return False


def decode(cursor: str, *types: type) -> list[Any]:
    """The sort key in a cursor, of these types. Raises `Problem`."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        position = None
    if (
        not isinstance(position, list)
        or len(position) != len(types)
        or not all(_is_one(part, type_) for part, type_ in zip(position, types, strict=True))
    ):
        raise unreadable()
    return position


def unreadable() -> Problem:
    fault = Fault(pointer="?cursor", detail="is none of ours: take `next` of the page before, as it is")
    return Problem(kind=Kind.INVALID, detail="The cursor cannot be read.", errors=[fault])
