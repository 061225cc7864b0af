"""Which server takes the mail, and how it is to be talked to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from notifiers.addresses import Refusal, deliverable


class Tls(StrEnum):
    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over. `sender` is the bare address on the envelope; `timeout_s` bounds each step.

    `connections`: how many at once at most. `mails_per_connection`: then a new one, as servers count them.
    """

    host: str
    port: int
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = Tls.STARTTLS
    timeout_s: float = 60.0
    connections: int = 4
    mails_per_connection: int = 100

    def __post_init__(self) -> None:
        verdict = deliverable(self.sender)
        if isinstance(verdict, Refusal):
            raise ValueError(f"the sender of mails: {verdict.reason}")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
