"""What `relance doctor` says of mail: the server, whose names stand on it, and what arrives of a mail that is sent."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TypeAlias

from app.doctor import Finding, Health
from app.preview import envelope_sender
from app.settings import Mail, Settings, SettingsError
from app.trial import Trial, hand_over, trial
from domain.delivery import Channel, SendError
from notifiers.mailbox import MailboxError, opened
from notifiers.smtp import SmtpNotifier, SmtpServer

DNS_LIMIT_S = 2.0
LOOK_AGAIN_S = 1.0  # whether the test mail has arrived

LOCAL = frozenset({"localhost", "localdomain", "local", "internal", "intranet", "lan", "test", "example", "invalid"})
RESERVED = frozenset({"example.com", "example.net", "example.org"})
SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})  # below the code of a country
NOBODYS = frozenset({"localhost", "localhost.localdomain"})

# RFC 8058 asks for the last two; receivers offer to unsubscribe only where they are signed.
SIGNED = ("from", "subject", "date", "list-unsubscribe", "list-unsubscribe-post")
RESULT = re.compile(r"\b(spf|dkim|dmarc)=([a-z]+)")

LookUp: TypeAlias = Callable[[str], Sequence[str]]
"""The TXT records of a name, none where it has none. Raises `NotLookedUp`."""


class NotLookedUp(Exception):
    """No DNS server was asked, or none answered in time; the message says which."""


def examine(settings: Settings, *, look_up: LookUp | None = None) -> Iterator[Finding]:
    """What the settings and the DNS tell. No mail is sent. `look_up`: instead of `txt_records`."""
    mail = settings.mail
    yield _answers(mail.server())
    yield _sender(mail)
    yield from _bounces(settings)
    yield from _published(mail, look_up or txt_records)


# --- what the settings tell ---


def _answers(server: SmtpServer) -> Finding:
    try:
        asyncio.run(_knock(server))
    except SendError as refusal:
        do = "check the settings under `mail`"
        return Finding(check="mail", health=Health.ERROR, says=str(refusal), do=do)
    return Finding(check="mail", health=Health.OK, says=f"{server.host}:{server.port} answers")


async def _knock(server: SmtpServer) -> None:
    async with SmtpNotifier(server=server).open() as line:
        await line.check()


def _sender(mail: Mail) -> Finding:
    domain = domain_of(mail.sender)
    if domain in NOBODYS:
        says = f"mails come from {mail.sender}, which nobody can answer and few servers take"
        return Finding(check="sender", health=Health.WARNING, says=says, do="set `mail.sender` to an address of yours")
    passes_on = _is_address(mail.host) or "." not in mail.host  # to whom, the settings do not tell
    let = f"let the SPF record of {domain} include it, and let it sign with d={domain}"
    do = None if passes_on or aligned(mail.host, domain) else f"{mail.host} is not of {domain}: {let}"
    return Finding(check="sender", health=Health.OK, says=f"{mail.sender} through {mail.host}", do=do)


def _bounces(settings: Settings) -> Iterator[Finding]:
    mail = settings.mail
    if mail.bounces and settings.secret_keys:
        try:
            envelope_sender(settings)
        except SettingsError as refusal:
            yield Finding(check="bounces", health=Health.ERROR, says=str(refusal), do="no mail is sent until then")
    if mail.bounces and not mail.bounce_mailbox:
        says = f"bounces go to {mail.bounces}, and nobody reads them"
        do = "set `mail.bounce_mailbox` to the mailbox where they arrive, as in imaps://user:password@host/INBOX"
        yield Finding(check="bounces", health=Health.WARNING, says=says, do=do)
    if mail.bounce_mailbox and not mail.bounces:
        says = "a mailbox is read for bounces, and none go there"
        do = "set `mail.bounces` to the address whose mail arrives there"
        yield Finding(check="bounces", health=Health.WARNING, says=says, do=do)
    if mail.bounces and not aligned(domain_of(mail.bounces), domain_of(mail.sender)):
        says = f"bounces go to {mail.bounces}, so SPF does not speak for {domain_of(mail.sender)}"
        do = f"take an address at {domain_of(mail.sender)} or below, or have every mail signed with DKIM"
        yield Finding(check="bounces", health=Health.WARNING, says=says, do=do)
    if mail.bounces and mail.bounce_mailbox:
        yield _mailbox(mail.bounce_mailbox.get_secret_value(), mail.bounces)


def _mailbox(url: str, address: str) -> Finding:
    try:
        with opened(url):
            return Finding(check="bounces", health=Health.OK, says=f"go to {address}, and the mailbox opens")
    except MailboxError as failure:
        do = "check `mail.bounce_mailbox`: until then bounces are not read"
        return Finding(check="bounces", health=Health.ERROR, says=str(failure), do=do)


# --- what the DNS tells ---


def _published(mail: Mail, look_up: LookUp) -> Iterator[Finding]:
    sender, envelope = domain_of(mail.sender), domain_of(mail.bounces or mail.sender)
    try:
        for domain in (sender, envelope):
            if not _is_public(domain):
                raise NotLookedUp(f"{domain} is not a public domain")
        yield _spf(envelope, look_up(envelope), mail.host)
        yield _dmarc(sender, look_up)
    except NotLookedUp as why:
        yield Finding(check="dns", health=Health.OK, says=f"SPF and DMARC not looked at: {why}")


def _spf(domain: str, records: Sequence[str], host: str) -> Finding:
    found = [record for record in records if record.split(" ")[0].lower() == "v=spf1"]
    if not found:
        mechanism = f"ip4:{host}" if _is_address(host) else f"a:{host}"
        do = f"publish a TXT record of {domain} that names the servers, as in\n\n  v=spf1 {mechanism} ~all\n"
        return Finding(check="spf", health=Health.WARNING, says=f"{domain} has no SPF record", do=do)
    if len(found) > 1:
        says = f"{domain} has {len(found)} SPF records, which counts as none"
        return Finding(check="spf", health=Health.ERROR, says=says, do="make one of them")
    (record,) = found
    if {"+all", "all"} & set(record.lower().split()):
        says = f"everybody may send as {domain}: {record}"
        return Finding(check="spf", health=Health.WARNING, says=says, do="end it with ~all or -all")
    return Finding(check="spf", health=Health.OK, says=f"{domain}: {record}")


def _dmarc(domain: str, look_up: LookUp) -> Finding:
    for name in dict.fromkeys((domain, organizational(domain))):
        for record in look_up(f"_dmarc.{name}"):
            if record.lower().startswith("v=dmarc1"):
                return Finding(check="dmarc", health=Health.OK, says=f"{name}: {record}")
    do = f"publish a TXT record of _dmarc.{organizational(domain)}, to begin with\n\n  v=DMARC1; p=none\n"
    return Finding(check="dmarc", health=Health.WARNING, says=f"{domain} has no DMARC record", do=do)


def txt_records(name: str) -> list[str]:
    """By dnspython, where it is installed: the standard library asks for addresses alone. Raises `NotLookedUp`."""
    if find_spec("dns") is None:
        raise NotLookedUp("no resolver is installed; one is: pip install dnspython")
    resolver = import_module("dns.resolver")
    try:
        answer = resolver.resolve(name, "TXT", lifetime=DNS_LIMIT_S)
    except (resolver.NXDOMAIN, resolver.NoAnswer):
        return []
    except import_module("dns.exception").DNSException as failure:
        raise NotLookedUp(f"no DNS server answered within {DNS_LIMIT_S:g} s ({type(failure).__name__})") from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


# --- what arrives ---


def try_out(
    settings: Settings, to: str, *, read: str | None = None, wait_s: float = 60.0, now: datetime
) -> Iterator[Finding]:
    """Send a test mail. `read`: a mailbox to read it back from, as in `notifiers.mailbox`, within `wait_s`."""
    try:
        sent = trial(settings, Channel.EMAIL, to, now=now)
        if read is not None:
            with opened(read):
                pass  # what cannot be read is said before anything is sent
        done = hand_over(settings, Channel.EMAIL, sent.message)
        says = f"{to}: {settings.mail.server()} took it in {done.took_s:.2f} s: {done.receipt.code} {done.receipt.text}"
        yield Finding(check="test mail", health=Health.OK, says=says)
        arrived = _read_back(read, sent, settings.mail, wait_s=wait_s) if read is not None else None
    except SettingsError as failure:
        yield Finding(check="test mail", health=Health.ERROR, says="nothing was sent", do=str(failure))
        return
    except SendError as failure:
        yield Finding(check="test mail", health=Health.ERROR, says=str(failure), do="check the settings under `mail`")
        return
    except MailboxError as failure:
        yield Finding(check="test mail", health=Health.ERROR, says=str(failure), do="check --read")
        return
    if arrived is not None:
        yield from what_arrived(arrived, sender=settings.mail.sender)
    elif read is not None:
        yield Finding(
            check="test mail",
            health=Health.ERROR,
            says=f"{sent.number} did not arrive within {wait_s:g} s",
            do=f"look into the log of {settings.mail.host} and among the junk mail, or wait longer with --wait",
        )


def _read_back(url: str, sent: Trial, mail: Mail, *, wait_s: float) -> bytes | None:
    """The test mail as it arrived. A report about it names its number too, but comes from somebody else."""
    until = time.monotonic() + wait_s
    while True:
        with opened(url) as box:
            for _, raw in box.waiting():
                if sent.number.encode() in raw and parseaddr(str(_head(raw)["From"]))[1] == mail.sender:
                    return raw
        left_s = until - time.monotonic()
        if left_s <= 0:
            return None
        time.sleep(min(LOOK_AGAIN_S, left_s))


def what_arrived(raw: bytes, *, sender: str) -> Iterator[Finding]:
    """What a mail of ours shows once it has arrived."""
    head, domain = _head(raw), domain_of(sender)
    yield Finding(check="test mail", health=Health.OK, says="arrived")
    yield from _signatures(head, domain)
    yield _return_path(head, domain)
    yield _authentication(head)


def _signatures(head: Message, domain: str) -> Iterator[Finding]:
    signatures = [_tags(str(value)) for value in head.get_all("DKIM-Signature", [])]
    sign = f"let the mail server sign with d={domain}, and name in h= {':'.join(SIGNED)}"
    if not signatures:
        yield Finding(check="dkim", health=Health.ERROR, says="it arrived without a DKIM-Signature", do=sign)
        return
    ours = [tags for tags in signatures if aligned(tags.get("d", ""), domain)]
    if not ours:
        says = f"signed by {', '.join(tags.get('d', '-') for tags in signatures)}, and nobody signed for {domain}"
        yield Finding(check="dkim", health=Health.WARNING, says=says, do=sign)
        return
    best = min(ours, key=lambda tags: len(_unsigned(tags)))
    says = f"signed with d={best['d']} s={best.get('s', '-')}"
    if missing := _unsigned(best):
        says = f"{says}, but not its {', '.join(missing)}"
        yield Finding(check="dkim", health=Health.WARNING, says=says, do=sign)
    else:
        yield Finding(check="dkim", health=Health.OK, says=says)


def _unsigned(tags: Mapping[str, str]) -> list[str]:
    covered = {name.lower() for name in tags.get("h", "").split(":")}
    return [name for name in SIGNED if name not in covered]


def _return_path(head: Message, domain: str) -> Finding:
    if head["Return-Path"] is None:
        says = "the receiver added no Return-Path; not looked at"
        return Finding(check="return path", health=Health.OK, says=says)
    address = parseaddr(str(head["Return-Path"]))[1]
    if aligned(domain_of(address), domain):
        return Finding(check="return path", health=Health.OK, says=f"{address} is aligned with {domain}")
    says = f"{address} is not aligned with {domain}: SPF speaks for somebody else"
    do = f"set `mail.bounces` to an address at {domain} or below, and have the server leave it as it is"
    return Finding(check="return path", health=Health.WARNING, says=says, do=do)


def _authentication(head: Message) -> Finding:
    """What the receiver found, in the header on top: those below may be anybody's."""
    results = dict(RESULT.findall(str(head["Authentication-Results"]).lower()))
    if not results:
        says = "the receiver added no Authentication-Results; not looked at"
        return Finding(check="authentication", health=Health.OK, says=says)
    says = f"the receiver found {', '.join(f'{method}={result}' for method, result in results.items())}"
    failed = {"fail", "permerror"} & set(results.values())
    health = Health.ERROR if failed else Health.OK if set(results.values()) == {"pass"} else Health.WARNING
    do = None if health is Health.OK else "what is not pass makes mail junk: correct the DNS records, or what signs"
    return Finding(check="authentication", health=health, says=says, do=do)


def _head(raw: bytes) -> Message:
    return BytesHeaderParser().parsebytes(raw)


def _tags(value: str) -> dict[str, str]:
    """`a=rsa-sha256; d=example.com; h=from:to` without its white space."""
    pairs = (tag.partition("=") for tag in "".join(value.split()).split(";"))
    return {name: content for name, _, content in pairs if name}


# --- domains ---


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def aligned(one: str, other: str) -> bool:
    """As DMARC sees it, relaxed: both belong to one organization."""
    return organizational(one) == organizational(other)


def organizational(domain: str) -> str:
    """mail.example.co.uk -> example.co.uk. By rule of thumb: the list of public suffixes changes every week."""
    labels = domain.lower().rstrip(".").split(".")
    below_country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL
    return ".".join(labels[-3:] if below_country else labels[-2:])


def _is_public(domain: str) -> bool:
    return "." in domain and domain.rpartition(".")[2] not in LOCAL and organizational(domain) not in RESERVED


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
