"""What comes back: whose mail it was, and what a report says about the address it went to.

The envelope sender of each mail names its delivery and is signed, so a report needs no reading to be matched, and
nobody can silence an address by guessing. Nothing here is ever answered.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_string
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from enum import StrEnum

from flufl.bounce import all_failures

from notifiers.addresses import Refusal, deliverable
from notifiers.smtp.failures import in_short

LIMIT_BYTES = 1024 * 1024  # of a mail; what it reports stands at its beginning
OVERLONG = re.compile(r"^(.{998}).+", re.MULTILINE)  # beyond what RFC 5322 lets a line have
HEADER_LIMIT = 2000  # characters
PROSE_LIMIT = 4000  # characters
PARTS_LIMIT = 200  # a report has a few, and one for each recipient

# --- the return path ---

PURPOSE = "relance.return-path"  # a signature made for anything else with the same key is not one of ours
SIGNATURE_DIGITS = 12  # 48 bits, in hex: some servers lower-case what they are given
MAILBOX_LIMIT = 64 - len("+") - len(str(2**63)) - len("-") - SIGNATURE_DIGITS  # octets before the @, of RFC 5321's 64


def return_path(mailbox: str, delivery: int, *, keys: Sequence[str]) -> str:
    """The envelope sender of a delivery: "bounces@x.example" -> "bounces+71-0f3a9c52b7de@x.example".

    The first key signs. Raises ValueError where there is none, or the mailbox leaves no room or is not an address.
    """
    problem = deliverable(mailbox)
    if isinstance(problem, Refusal):
        raise ValueError(f"the mailbox for reports: {problem.reason}")
    if not keys or not all(keys):
        raise ValueError("signed return paths need at least one key, and none may be empty")
    name, _, domain = mailbox.partition("@")
    if len(name) > MAILBOX_LIMIT:
        raise ValueError(f"the mailbox for reports: {name!r} is longer than {MAILBOX_LIMIT} characters")
    return f"{name}+{delivery}-{_signature(str(delivery), keys[0])}@{domain}"


def delivery_of(address: str, *, mailbox: str, keys: Sequence[str]) -> int | None:
    """The delivery that a return path names. None: not one of ours, or altered; any of the keys will do."""
    name, _, domain = mailbox.lower().partition("@")
    plain = address.strip().strip("<>").replace('"', "").replace("\\", "").lower()
    pattern = rf"{re.escape(name)}\+([0-9]{{1,19}})-([0-9a-f]{{{SIGNATURE_DIGITS}}})@{re.escape(domain)}"
    match = re.fullmatch(pattern, plain)
    if match is None:
        return None
    delivery, signature = match.groups()
    genuine = any(hmac.compare_digest(signature, _signature(delivery, key)) for key in keys)
    return int(delivery) if genuine else None


def _signature(delivery: str, key: str) -> str:
    return hmac.new(key.encode(), f"{PURPOSE} {delivery}".encode(), "sha256").hexdigest()[:SIGNATURE_DIGITS]


# --- what a report says ---


class Reason(StrEnum):
    """What became of a mail, the mildest first."""

    ARRIVED = "arrived"  # or was passed on to where nothing is reported
    TEMPORARY = "temporary"  # delayed, greylisted, no answer from the server
    FULL = "full"  # the mailbox has no room
    REFUSED = "refused"  # about the message or about us, or nobody can tell
    PERMANENT = "permanent"  # no such address or domain, or the mailbox is closed
    COMPLAINT = "complaint"  # a reader called it unwanted


MILDEST_FIRST = list(Reason)


class Why(StrEnum):
    """Why a mail is nothing to act upon."""

    AUTO_REPLY = "an automatic reply"
    READ_RECEIPT = "a receipt for having been read"
    OTHER_FEEDBACK = "feedback that is not a complaint"
    NOT_A_REPORT = "not a report about a mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a mail at one recipient. What the report does not tell is empty.

    `recipient` is whom it was for at last, `original` whom it was sent to; they differ where mail is forwarded.
    `status` is of RFC 3463 ("5.1.1"); `said` are the server's own words, on one line.
    """

    reason: Reason
    recipient: str = ""
    original: str = ""
    action: str = ""
    status: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a server or a reader says about a mail of ours.

    `fates`: never empty, the mildest first. `message_id`: of our mail. `return_paths`: addresses one of which may be
    the return path it had.
    """

    fates: tuple[Fate, ...]
    message_id: str | None
    return_paths: tuple[str, ...]

    @property
    def reason(self) -> Reason:
        """The mildest: a team's address is not dead while one of the team can be reached."""
        return self.fates[0].reason

    def delivery(self, *, mailbox: str, keys: Sequence[str]) -> int | None:
        """Which delivery it is about, if its return path came back with it."""
        read = (delivery_of(address, mailbox=mailbox, keys=keys) for address in self.return_paths)
        return next((delivery for delivery in read if delivery is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    why: Why


ADDRESS = re.compile(r"""(?:"[^\s"<>@]{1,80}"|[^\s"<>,;:()@\[\]]{1,80})@[^\s"<>,;:()@\[\]]{1,255}""")
CAME_TO = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To")
RETURNED_ID = re.compile(r"^Message-ID:\s*(<[^<>\s]{1,250}>)", re.IGNORECASE | re.MULTILINE)
RETURNED_PATH = re.compile(r"^(?:Return-Path|Original-Mail-From):(.{1,400})", re.IGNORECASE | re.MULTILINE)


def read(raw: bytes) -> Report | Ignored:
    """What a mail reports. Anything at all may be given; no more than `LIMIT_BYTES` of it is looked at."""
    # Latin-1 keeps each byte as a character: nothing is lost, and headers are plain strings whatever they hold.
    text = OVERLONG.sub(r"\1", raw[:LIMIT_BYTES].decode("latin-1").replace("\r\n", "\n"))
    try:
        mail = message_from_string(text)
        parts = list(mail.walk())
    except RecursionError:  # parts within parts without end
        return Ignored(why=Why.NOT_A_REPORT)
    if len(parts) > PARTS_LIMIT:
        return Ignored(why=Why.NOT_A_REPORT)
    found = _notification(parts) or _feedback(parts) or _other(mail, parts)
    if isinstance(found, Why):
        return Ignored(why=found)
    body = text.partition("\n\n")[2]
    message_id = RETURNED_ID.search(body)
    places = [*(_header(mail, name) for name in CAME_TO), *RETURNED_PATH.findall(body)]
    return Report(
        fates=tuple(sorted(found, key=lambda fate: MILDEST_FIRST.index(fate.reason))),
        message_id=message_id[1] if message_id else None,
        return_paths=tuple(dict.fromkeys(address for place in places for address in ADDRESS.findall(place))),
    )


# --- RFC 3464: what servers report ---

ACTIONS_OF_SUCCESS = frozenset({"delivered", "relayed", "expanded"})


def _notification(parts: Sequence[Message]) -> list[Fate]:
    blocks = [block for part in parts if part.get_content_type() == "message/delivery-status" for block in part.walk()]
    in_prose = _prose(parts) if blocks else ""
    return [fate for block in blocks if (fate := _fate(block, in_prose)) is not None]


def _fate(block: Message, in_prose: str) -> Fate | None:
    """What the fields about one recipient say. None: they are about something else."""
    recipient, original = _address(block, "Final-Recipient"), _address(block, "Original-Recipient")
    action = next(iter(re.findall(r"[a-z]+", _header(block, "Action").lower())), "")
    if not (recipient or original) or not (action or block["Status"]):
        return None
    said = re.sub(r"^[\w.-]+ *; *", "", _header(block, "Diagnostic-Code"))
    status = _status(_header(block, "Status"), said)
    if not said and status[2:] not in MEANINGS:
        said = in_prose
    return Fate(
        reason=_reason(action, status, said),
        recipient=recipient or original,
        original=original,
        action=action,
        status=status,
        said=in_short(said),
    )


def _address(block: Message, name: str) -> str:
    """Of "rfc822; lara@example.com"; some leave the type out, or the domain, and some write brackets."""
    text = _header(block, name)
    return in_short(next(iter(ADDRESS.findall(text)), text.rpartition(";")[2].strip()))


# --- RFC 5965: what readers report ---

# "fraud" and "virus" are about what it says; the reader may still want to hear from us.
FEEDBACK: Mapping[str, Reason] = {
    "abuse": Reason.COMPLAINT,
    "fraud": Reason.REFUSED,
    "virus": Reason.REFUSED,
    "other": Reason.REFUSED,
}


def _feedback(parts: Sequence[Message]) -> list[Fate] | Why | None:
    for part in parts:
        if part.get_content_type() == "message/feedback-report":
            fields = _fields(part)
            kind = _header(fields, "Feedback-Type").lower()
            if kind not in FEEDBACK:
                return Why.OTHER_FEEDBACK
            recipient = _address(fields, "Original-Rcpt-To")
            return [Fate(reason=FEEDBACK[kind], recipient=recipient, action=kind, said=in_short(_prose(parts)))]
    return None


def _fields(part: Message) -> Message:
    """The fields that a part holds. The parser takes them for the header of a mail within."""
    return next((within for within in part.walk() if within["Feedback-Type"]), part)


# --- everything else ---

ROBOT_HEADERS = ("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Autogenerated", "X-Auto-Reply-From")
PRECEDENCE_OF_ROBOTS = frozenset({"bulk", "junk", "list", "auto_reply"})
SUBJECT_OF_ROBOTS = re.compile(
    r"^\W*((re|aw|antw)\s*:\s*)?(out of (the )?office|automatic reply|auto[- ]?(reply|response)|autoreply|away from"
    r"|on (vacation|leave|holiday)|vacation|automatische (antwort|abwesenheit)|abwesen|nicht im b.{1,2}ro"
    r"|r.{1,2}ponse automatique|absen(t|ce)|message d.absence|risposta automatica|fuori (sede|ufficio)|assenza"
    r"|automatisch antwoord|afwezig|respuesta autom|fuera de la oficina|resposta autom)",
    re.IGNORECASE,
)
SENT_BY_SERVER = re.compile(r"mailer[-_ ]?daemon|postmaster|mail[-_ ]?(delivery|system|admin|service)", re.IGNORECASE)


def _other(mail: Message, parts: Sequence[Message]) -> list[Fate] | Why:
    if any(part.get_content_type() == "message/disposition-notification" for part in parts):
        return Why.READ_RECEIPT
    robot = _is_auto_reply(mail)
    by_server = mail["X-Failed-Recipients"] or SENT_BY_SERVER.search(_header(mail, "From"))
    if robot and not by_server:
        return Why.AUTO_REPLY
    return list(_recognised(mail, parts)) or (Why.AUTO_REPLY if robot else Why.NOT_A_REPORT)


def _is_auto_reply(mail: Message) -> bool:
    submitted = _header(mail, "Auto-Submitted").lower()
    return (
        (submitted != "" and not submitted.startswith("no"))
        or any(mail[name] for name in ROBOT_HEADERS)
        or _header(mail, "Precedence").lower() in PRECEDENCE_OF_ROBOTS
        or SUBJECT_OF_ROBOTS.search(_subject(mail)) is not None
    )


def _recognised(mail: Message, parts: Sequence[Message]) -> Iterator[Fate]:
    """The reports of servers that keep to no standard."""
    # Its detectors stumble over some junk, such as a mail without a sender: then they have recognised nothing, and the
    # traceback that it would log is of no use to anybody.
    logging.getLogger("flufl.bounce").disabled = True
    try:
        delayed, failed = all_failures(mail)
    except Exception:
        return
    said = _prose(parts)
    status = _status("", said)
    for addresses, action in ((delayed, "delayed"), (failed, "failed")):
        for address in sorted(addresses):
            yield Fate(
                reason=_reason(action, status, said),
                recipient=in_short(address.decode("ascii", "replace")),
                action=action,
                status=status,
                said=in_short(said),
            )


# --- what the words and numbers mean ---

STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")

# Subject and detail of RFC 3463, RFC 7505 and what large providers use. Anything else that fails is REFUSED.
MEANINGS: Mapping[str, Reason] = {
    **dict.fromkeys(("1.1", "1.2", "1.3", "1.6", "1.10", "2.1", "4.4", "4.310"), Reason.PERMANENT),
    "2.2": Reason.FULL,
    **dict.fromkeys(("3.1", "3.2", "4.1", "4.2", "4.3", "4.5", "4.7"), Reason.TEMPORARY),
}
ABOUT_US = re.compile(r"5\.(7\.\d+|1\.[78])")  # policy, or the sender's address

MAILBOX = r"\b(user|recipient|mailbox|account|address|alias)\b"
DOMAIN = r"\b(domain|host)( name)?\b"
NEARBY = r"((?![.!?;] ).){0,60}"  # within the sentence

# The first that is found counts, before the status, which many servers set without care. What is said about spam or
# about us goes before what is said about the address: an address kept by mistake costs less than one given up.
SAYINGS: tuple[tuple[Reason, re.Pattern[str]], ...] = tuple(
    (reason, re.compile("|".join(phrases), re.IGNORECASE))
    for reason, phrases in (
        (
            Reason.FULL,
            (
                r"quota",
                rf"(mail|in)box\b{NEARBY}\bfull\b",
                r"full (mail|in)box",
                r"exceeded.{0,20}storage",
                r"out of storage",
            ),
        ),
        (
            Reason.TEMPORARY,
            (r"gr[ae]y-?list", r"temporar(y|ily)", r"try again (later|in )", r"at a rate that", r"too (quickly|many)"),
        ),
        (
            Reason.REFUSED,
            (
                r"\bspam|unsolicited|bulk mail|black-?list|block-? ?list|blocked|reputation|dnsbl|\brbl\b|policy",
                r"virus|malware|attachment|content|too (large|big)|\bsize\b",
                r"dmarc|dkim|\bspf\b|authenticat|relay(ing)? (access )?denied|(unable|not permitted) to relay",
                r"sender.{0,40}(reject|denied|unknown|invalid|verif|not )|client host|\bhelo\b|reverse dns|\bptr\b",
            ),
        ),
        (
            Reason.PERMANENT,
            (
                rf"(unknown|no such|invalid|bad|non-?existent|not a (valid|known)) (\w+ )?({MAILBOX}|{DOMAIN})",
                rf"{MAILBOX}{NEARBY}(unknown|not found|n.t exist|not exist|no longer|invalid|rejected: access denied)",
                rf"{MAILBOX}{NEARBY}(disabled|inactive|deactivated|suspended|closed|unavailable|not available)",
                rf"{DOMAIN}.{{0,10}}(unknown|not found|n.t exist|not exist)|unroute?able|nxdomain|null ?mx",
                r"find any host|recipientnotfound|no (mailbox|account|user)\b|n.t have an? .{0,40}account",
            ),
        ),
    )
)
NAMES = re.compile(rf"{ADDRESS.pattern}|https?://\S+")  # an address may be spam@, and a link lead to /policy


def _reason(action: str, status: str, said: str) -> Reason:
    if action in ACTIONS_OF_SUCCESS:
        return Reason.ARRIVED
    words = NAMES.sub(" ", said)
    meant = MEANINGS.get(status[2:], Reason.REFUSED)
    reason = next((reason for reason, pattern in SAYINGS if pattern.search(words)), meant)
    if action == "delayed" or status.startswith("4"):
        return Reason.FULL if reason is Reason.FULL else Reason.TEMPORARY
    return Reason.REFUSED if reason is Reason.PERMANENT and ABOUT_US.fullmatch(status) else reason


def _status(told: str, said: str) -> str:
    """The status as told, or the one among the words where that is missing or says nothing ("5.0.0")."""
    found = [match[0] for match in STATUS.finditer(f"{told} {said}")]
    return next((each for each in found if not each.endswith(".0.0")), found[0] if found else "")


# --- text ---

# From here on it is our own mail again.
RETURNED_TEXT = re.compile(
    r"^(-+ .*\b(copy|original|below|returned)\b.*|(Return-Path|Received): .*)$", re.IGNORECASE | re.MULTILINE
)


def _prose(parts: Sequence[Message]) -> str:
    """What is written for people, without the mail that comes back with it."""
    for part in parts:
        if part.get_content_type() == "text/plain" and not part.is_multipart():
            payload = part.get_payload(decode=True)
            text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
            return " ".join(RETURNED_TEXT.split(text, maxsplit=1)[0][:PROSE_LIMIT].split())
    return ""


def _header(part: Message, name: str) -> str:
    """A header on one line. Empty: there is none."""
    value = str(part.get(name, ""))[:HEADER_LIMIT]
    return " ".join(value.encode("latin-1", "replace").decode("utf-8", "replace").split())


def _subject(mail: Message) -> str:
    subject = _header(mail, "Subject")
    try:
        return str(make_header(decode_header(subject)))
    except (MessageError, LookupError, ValueError):  # it claims an encoding that it has not
        return subject
