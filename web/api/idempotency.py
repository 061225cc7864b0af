"""The header `Idempotency-Key`: whoever does not know whether a request came through sends it again, as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, TypeAlias

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from store import idempotency
from store.idempotency import Answer, Reused
from store.session import Database
from web.api.access import Caller
from web.api.problems import Kind, Problem

REPLAYED = "Idempotent-Replayed"

Key: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,200}$",
        description="The same key with the same request gets the same answer for 24 hours, and writes once.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a route answers."""

    body: BaseModel
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def answer(self) -> Answer:
        return Answer(status=self.status, headers=self.headers, body=self.body.model_dump_json())


Write: TypeAlias = Callable[[Database], Reply]
"""Writes over the database it is given, and says what to answer; raises `Problem` where nothing is to be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """This request, which is done once however often it comes. Without a key it is done each time."""

    key: str | None
    fingerprint: str

    def __call__(self, caller: Caller, write: Write) -> Response:
        """The answer, and word to the worker that something was written. Raises `Problem`."""
        answer = self._answer(caller.db, write, source=caller.actor.user, now=caller.now)
        if not answer.replayed:
            caller.services.wrote()
        headers = dict(answer.headers) | ({REPLAYED: "true"} if answer.replayed else {})
        return Response(answer.body, status_code=answer.status, headers=headers, media_type="application/json")

    def _answer(self, db: Database, write: Write, *, source: str, now: datetime) -> Answer:
        if self.key is None:
            return write(db).answer()
        asked = idempotency.Request(source=source, key=self.key, fingerprint=self.fingerprint)
        try:
            return idempotency.once(db, asked, lambda within: write(within).answer(), now=now)
        except Reused:
            detail = "This Idempotency-Key was used for another request: take a new key for each request."
            raise Problem(kind=Kind.REUSED, detail=detail) from None


async def once(request: Request, key: Key = None) -> Once:
    target = f"{request.method} {request.scope['path']}?".encode() + request.scope["query_string"]
    return Once(key=key, fingerprint=hashlib.sha256(target + b"\n" + await request.body()).hexdigest())


Idempotent: TypeAlias = Annotated[Once, Depends(once)]
"""Comes after the route's `Requires`, so that whoever may not write learns nothing of keys."""
