"""What is asked for in a query, in types of its own."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from fastapi import Query
from pydantic import BeforeValidator, Field, WithJsonSchema

from store import people
from web.api.access import Caller
from web.api.users import LINE
from web.words import known_language

AMOUNT = r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$"
DOSSIER = LINE.replace("200", "401")  # a record that has no customer is one of its own: KIND/ID

Exactly: TypeAlias = Annotated[str | None, Query(pattern=LINE, max_length=200)]
CustomerId: TypeAlias = Annotated[str, Field(pattern=DOSSIER, max_length=401, examples=["K1"])]


class Language(StrEnum):
    EN = "en"
    DE = "de"
    FR = "fr"
    IT = "it"


InLanguage: TypeAlias = Annotated[
    Language | None, Query(description="Of what is said; the caller's own or the company's unless given.")
]


def language_of(caller: Caller, asked: Language | None) -> str:
    """The language that was asked for, else the caller's own, else the company's."""
    if asked is not None:
        return asked
    person = people.load(caller.db).get(caller.actor.person) if caller.actor.person else None
    return known_language(person.language if person else None) or caller.services.language


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) and len(value) == 10 else "")
    except ValueError:
        raise ValueError("is no day; write one like 2026-11-23") from None


def _amount(value: Any) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(AMOUNT, value):
        raise ValueError("is no amount; write one like 10000 or 10000.50")
    return Decimal(value)


Day: TypeAlias = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Amount: TypeAlias = Annotated[
    Decimal, BeforeValidator(_amount), WithJsonSchema({"type": "string", "pattern": AMOUNT, "examples": ["10000"]})
]
