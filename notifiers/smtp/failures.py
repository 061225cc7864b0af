"""What an answer means, or that none came. It depends on where it happened.

Up to DATA nothing was handed over. Once the body has left, only an answer tells: without one the message may have been
taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from domain.delivery import SendError
from notifiers.mail_server import SmtpServer

HANGS_UP = 421
OF_THE_SERVER = frozenset({HANGS_UP, 530})  # 530: it wants a login first. No message would fare better
TOO_LARGE = 552  # the one answer to MAIL that is about the message, as its size is told there
ANSWER_LIMIT = 200  # characters of a server's words that are kept


class Phase(StrEnum):
    CONNECT = "connect"
    STARTTLS = "starttls"
    EHLO = "ehlo"
    AUTH = "auth"
    SIZE = "size"  # the server has said what it takes, and this message is not that
    EIGHT_BIT = "8bitmime"
    UTF8 = "smtputf8"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"


OPENING = frozenset({Phase.CONNECT, Phase.STARTTLS, Phase.EHLO, Phase.AUTH})
# A refusal here is about this message; in an earlier phase it would meet every message alike.
OF_THE_MESSAGE = frozenset({Phase.RCPT, Phase.DATA, Phase.BODY})
# The first digit of a yes. Which of the codes it is makes no difference: a 251 forwards, a 252 will see.
YES: Mapping[Phase, int] = {Phase.RSET: 2, Phase.MAIL: 2, Phase.RCPT: 2, Phase.DATA: 3, Phase.BODY: 2}


def is_yes(code: int, phase: Phase) -> bool:
    return code // 100 == YES[phase]


def refused(server: SmtpServer, code: int, text: str, phase: Phase) -> SendError:
    """The server answered, and it was not yes."""
    understood = 400 <= code < 600
    too_large = phase is Phase.MAIL and code == TOO_LARGE
    about_the_message = understood and (too_large or (phase in OF_THE_MESSAGE and code not in OF_THE_SERVER))
    # A server may repeat what it was sent, and that is the password here.
    words = "" if phase is Phase.AUTH else f" {in_short(text)}"
    return SendError(
        f"{server} refused ({phase}): {code}{words}",
        permanent=about_the_message and code >= 500,
        uncertain=phase is Phase.BODY and not understood,
        server_down=not about_the_message,
        code=code,
        phase=phase,
    )


def unanswered(server: SmtpServer, why: Exception, phase: Phase) -> SendError:
    """There was no answer."""
    return SendError(
        f"{server} failed ({phase}): {in_short(str(why))}",
        uncertain=phase is Phase.BODY,
        server_down=True,
        phase=phase,
    )


def unfit(server: SmtpServer, why: str, phase: Phase) -> SendError:
    """The server was not asked: it had said what it does not take."""
    return SendError(f"{server} does not take it ({phase}): {why}", permanent=True, phase=phase)


def in_short(words: str) -> str:
    """On one line, and nothing in it that a log or a database would stumble over."""
    return " ".join("".join(each if each.isprintable() else " " for each in words).split())[:ANSWER_LIMIT]
