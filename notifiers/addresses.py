"""Which e-mail addresses may be written on an envelope: one plain ASCII mailbox, nothing that could be more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from domain.delivery import SendError

Address = NewType("Address", str)

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

# The first that is found is the reason. Lengths are those of RFC 5321; quoted local parts are not supported.
PROBLEMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\A\Z"), "is empty"),
    (re.compile(r"[\s\x00-\x1f\x7f]"), "contains a space, a line break or a control character"),
    (re.compile(r"\A[^@]*\Z"), "has no @"),
    (re.compile(r"[,;]|@.*@"), "names more than one recipient"),
    (re.compile(r"[^\x21-\x7e]"), "has letters beyond ASCII; write the domain in its xn-- form"),
    (re.compile(r"\A.{255}|\A[^@]{65}"), "is too long"),
    (re.compile(rf"\A(?!{ATOM}(\.{ATOM})*@{LABEL}(\.{LABEL})*\Z)"), "is not of the form name@domain"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    reason: str


def deliverable(address: str) -> Address | Refusal:
    """The address, if a server can be asked to deliver to it. Whether the mailbox exists only the server knows."""
    for pattern, problem in PROBLEMS:
        if pattern.search(address):
            return Refusal(reason=f"the address {address[:100]!r} {problem}")
    return Address(address)


def checked(address: str) -> Address:
    """The same for a message about to go out. Raises a permanent `SendError` in the phase "address"."""
    verdict = deliverable(address)
    if isinstance(verdict, Refusal):
        raise SendError(verdict.reason, permanent=True, phase="address")
    return verdict
