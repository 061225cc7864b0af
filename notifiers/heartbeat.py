"""A sign of life for whoever watches from outside: no sign, and somebody is called."""

from __future__ import annotations

from domain.delivery import SendError
from notifiers.http import Outgoing, Phase


async def beat(url: str, *, outgoing: Outgoing) -> None:
    """One request to a URL, which is a secret. Raises `SendError` where it was not taken."""
    async with outgoing.open() as http:
        answer = await http.post(url, b"")
    if not 200 <= answer.status < 300:
        raise SendError(f"the heartbeat was answered {answer.status}", code=answer.status, phase=Phase.ANSWER)
