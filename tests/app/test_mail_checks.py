"""What `relance doctor` says of mail: whose names stand on it, what the DNS says, and what arrives of a test mail."""

from __future__ import annotations

import mailbox
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from app import mail_checks
from app.doctor import Health
from app.mail_checks import NotLookedUp, aligned, txt_records
from app.settings import Settings
from tests.story.post_office import LOOPBACK, free_port

COVERS_ALL = "From : Subject:Date:To:\r\n\tlist-unsubscribe:List-Unsubscribe-Post"
NO_UNSUBSCRIBE = "from:subject:date"


def signature(headers: str, *, domain: str = "example.com") -> str:
    return f"DKIM-Signature: v=1; a=rsa-sha256; d={domain};\r\n\ts=mail; h={headers}; bh=YWJj; b=YWJj\r\n"


@dataclass(kw_only=True)
class Receiver:
    """A mail server that puts each mail into a Maildir, under the headers of `adds` and, as they all do, its sender."""

    folder: Path
    adds: str = ""
    returns_to: str | None = None  # instead of the sender
    loses: bool = False
    port: int = field(default_factory=free_port)

    @contextmanager
    def open(self):
        box = mailbox.Maildir(self.folder)
        box.add(b"From: relance@example.com\r\nSubject: an older one\r\n\r\ntest-20200101\r\n")
        controller = Controller(self, hostname=LOOPBACK, port=self.port)
        controller.start()
        try:
            yield self
        finally:
            controller.stop()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if not self.loses:
            trace = "" if self.returns_to == "" else f"Return-Path: <{self.returns_to or envelope.mail_from}>\r\n"
            mailbox.Maildir(self.folder).add((trace + self.adds).encode() + envelope.content)
        return "250 2.0.0 queued as 4XyZ"


@pytest.fixture
def tried(company, tmp_path):
    """Sends a test mail through a receiver and reads it back; what the doctor says of it."""

    def run(*options, settings=None, read=True, **receiver):
        with Receiver(folder=tmp_path / "box", **receiver).open() as server:
            terminal = company.relance.having(MAIL__PORT=str(server.port), **(settings or {}))
            arguments = ["--read", f"maildir:{tmp_path}/box"] if read else []
            return terminal("doctor", "--send-to", "it@example.com", *arguments, *options)

    return run


def told(said, *checks):
    """(health, words) of those checks."""
    lines = re.findall(r"^(ok|warning|error) +([a-z ]+): (.*)$", said.out, re.MULTILINE)
    return [(health, words) for health, check, words in lines if check in checks]


ARRIVAL = ("test mail", "dkim", "return path", "authentication")


# --- what arrives ---


def test_a_mail_that_arrives_well_is_said_to_be_well(tried, company):
    said = tried(adds=signature(COVERS_ALL) + "Authentication-Results: mx; spf=pass; dkim=pass (2048) ; dmarc=pass\r\n")
    first, *rest = told(said, *ARRIVAL)
    assert re.fullmatch(
        rf"it@example\.com: {LOOPBACK}:\d+ took it in \d+\.\d\d s: 250 2\.0\.0 queued as 4XyZ", first[1]
    )
    assert rest == [
        ("ok", "arrived"),
        ("ok", "signed with d=example.com s=mail"),
        ("ok", "relance@example.com is aligned with example.com"),
        ("ok", "the receiver found spf=pass, dkim=pass, dmarc=pass"),
    ]
    assert said.code == 0
    assert company.relance("deliveries", "list").out == "nothing was ever queued\n"


def test_a_server_that_signs_nothing_is_an_error_with_the_way_out(tried):
    said = tried()
    assert said.code == 1
    assert told(said, "dkim") == [("error", "it arrived without a DKIM-Signature")]
    assert (
        "\n         let the mail server sign with d=example.com, and name in h= "
        "from:subject:date:list-unsubscribe:list-unsubscribe-post\n"
    ) in said.out
    assert told(said, "authentication") == [("ok", "the receiver added no Authentication-Results; not looked at")]


@pytest.mark.parametrize(
    ("added", "says"),
    [
        (
            signature(NO_UNSUBSCRIBE),
            "signed with d=example.com s=mail, but not its list-unsubscribe, list-unsubscribe-post",
        ),
        (
            signature(COVERS_ALL, domain="provider.net"),
            "signed by provider.net, and nobody signed for example.com",
        ),
    ],
)
def test_a_signature_that_leaves_something_open_is_a_warning(tried, added, says):
    said = tried(adds=added)
    assert (said.code, told(said, "dkim")) == (0, [("warning", says)])


def test_one_good_signature_among_several_is_enough(tried):
    others = signature(NO_UNSUBSCRIBE, domain="provider.net") + signature(NO_UNSUBSCRIBE)
    said = tried(adds=others + signature(COVERS_ALL, domain="mail.example.com"))
    assert told(said, "dkim") == [("ok", "signed with d=mail.example.com s=mail")]


def test_a_return_path_of_somebody_else_is_a_warning(tried):
    said = tried(returns_to="bounce-1@provider.net")
    assert told(said, "return path") == [
        ("warning", "bounce-1@provider.net is not aligned with example.com: SPF speaks for somebody else")
    ]
    said = tried(returns_to="")
    assert told(said, "return path") == [("ok", "the receiver added no Return-Path; not looked at")]


@pytest.mark.parametrize(
    ("results", "health"),
    [
        ("mx; spf=softfail smtp.mailfrom=x; dkim=pass", "warning"),
        ("mx; dkim=none; spf=none", "warning"),
        ("mx; SPF=pass; dkim=fail (bad signature)", "error"),
        ("mx; dmarc=permerror", "error"),
    ],
)
def test_what_the_receiver_found_is_believed_of_the_header_on_top_alone(tried, results, health):
    forged = "Authentication-Results: mx; spf=pass; dkim=pass; dmarc=pass\r\n"
    said = tried(adds=f"Authentication-Results: {results}\r\n{forged}")
    ((found, _),) = told(said, "authentication")
    assert found == health


def test_a_mail_that_does_not_arrive_is_an_error(tried):
    said = tried("--wait", "0", loses=True)
    assert said.code == 1
    _, (health, words) = told(said, "test mail")
    assert (health, bool(re.fullmatch(r"test-\d{20} did not arrive within 0 s", words))) == ("error", True)


def test_a_report_that_quotes_the_test_mail_is_not_the_test_mail(tried):
    said = tried("--wait", "0", adds="From: MAILER-DAEMON@mx\r\nSubject: Undelivered\r\n\r\n")
    assert [health for health, _ in told(said, "test mail")] == ["ok", "error"]


def test_without_read_the_mail_is_sent_and_nothing_more_is_said(tried):
    said = tried(read=False)
    assert [health for health, _ in told(said, *ARRIVAL)] == ["ok"]
    assert said.code == 0


def test_a_recipient_that_is_refused_is_an_error(company):
    company.post.refuses["it@example.com"] = "550 no such mailbox"
    said = company.relance("doctor", "--send-to", "it@example.com")
    assert said.code == 1
    assert told(said, "test mail") == [("error", f"{LOOPBACK}:{company.post.port} refused (rcpt): 550 no such mailbox")]


def test_a_mailbox_that_cannot_be_read_is_said_before_anything_is_sent(company, tmp_path):
    for url, words in (
        (f"maildir:{tmp_path}/nowhere", f"{tmp_path}/nowhere is no Maildir: it needs the folders new, cur and tmp"),
        (f"imaps://it:hunter2@{LOOPBACK}:{free_port()}/INBOX", "Connection refused"),
        ("pop3://it:hunter2@example.com", "'pop3' is no kind of mailbox"),
    ):
        said = company.relance("doctor", "--send-to", "it@example.com", "--read", url)
        assert said.code == 1
        ((health, said_words),) = told(said, "test mail")
        assert health == "error"
        assert words in said_words
        assert "hunter2" not in said.out + said.err
    assert company.post.mails == []


def test_without_keys_nothing_is_sent_and_the_rest_is_examined(company):
    said = company.relance.having(SECRET_KEYS="")("doctor", "--send-to", "it@example.com")
    assert (said.code, told(said, "test mail")) == (1, [("error", "nothing was sent")])
    assert company.post.mails == []


def test_what_does_not_go_together_is_refused(company):
    company.relance("doctor", "--read", "maildir:box").refuses(
        "error: --read goes with --send-to: it reads back what was sent"
    )
    company.relance("doctor", "--send-to", "nobody").refuses("error: --send-to: the address 'nobody' has no @")


# --- what the settings tell ---


def examined(look_up=lambda name: [], **mail):
    settings = Settings.model_validate({"mail": {"port": free_port(), "host": LOOPBACK, **mail}})
    found = list(mail_checks.examine(settings, look_up=look_up))
    return {finding.check: finding for finding in found if finding.check != "mail"}


def test_the_sender_that_nobody_set_is_a_warning():
    sender = examined()["sender"]
    assert (sender.health, sender.do) == (Health.WARNING, "set `mail.sender` to an address of yours")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "mail.acme.ch", "acme.ch"])
def test_a_server_of_ones_own_needs_no_word(host):
    sender = examined(sender="relance@acme.ch", host=host)["sender"]
    assert (sender.health, sender.do) == (Health.OK, None)


def test_a_providers_server_is_to_be_let_send():
    sender = examined(sender="relance@acme.ch", host="smtp.provider.invalid")["sender"]
    assert sender.health is Health.OK
    assert sender.do == (
        "smtp.provider.invalid is not of acme.ch: let the SPF record of acme.ch include it, and let it sign with "
        "d=acme.ch"
    )


def test_bounces_that_nobody_reads_and_a_mailbox_without_bounces_are_warnings(tmp_path):
    read = f"maildir:{tmp_path}"
    unread = examined(sender="relance@acme.ch", bounces="bounces@acme.ch")["bounces"]
    assert (unread.health, unread.says) == (Health.WARNING, "bounces go to bounces@acme.ch, and nobody reads them")
    unwritten = examined(sender="relance@acme.ch", bounce_mailbox=read)["bounces"]
    assert (unwritten.health, unwritten.says) == (Health.WARNING, "a mailbox is read for bounces, and none go there")
    broken = examined(sender="relance@acme.ch", bounces="bounces@acme.ch", bounce_mailbox=read)["bounces"]
    assert (broken.health, "is no Maildir" in broken.says) == (Health.ERROR, True)
    for part in ("new", "cur", "tmp"):
        (tmp_path / part).mkdir()
    well = examined(sender="relance@acme.ch", bounces="bounces@acme.ch", bounce_mailbox=read)["bounces"]
    assert (well.health, well.says) == (Health.OK, "go to bounces@acme.ch, and the mailbox opens")


def test_an_address_for_bounces_that_no_number_fits_into_is_an_error():
    keys = {"secret_keys": ["a key for tests only"]}
    mail = {"sender": "relance@acme.ch", "bounces": f"{'b' * 60}@acme.ch", "host": LOOPBACK, "port": free_port()}
    found = mail_checks.examine(Settings.model_validate(keys | {"mail": mail}), look_up=lambda name: [])
    assert "setting mail.bounces: the mailbox for reports: " in next(f.says for f in found if f.check == "bounces")


def test_bounces_to_another_company_are_a_warning():
    findings = examined(sender="relance@acme.ch", bounces="bounces@provider.net")
    assert findings["bounces"].says.startswith("bounces go to bounces@provider.net")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("acme.ch", "acme.ch", True),
        ("bounces.acme.ch", "mail.ACME.ch", True),
        ("acme.ch", "acme.com", False),
        ("notacme.ch", "acme.ch", False),
        ("acme.co.uk", "other.co.uk", False),
        ("mail.acme.co.uk", "acme.co.uk", True),
        ("", "acme.ch", False),
    ],
)
def test_domains_are_aligned_where_they_belong_to_one_organization(one, other, together):
    assert aligned(one, other) is together


# --- what the DNS tells ---

GOOD = {"acme.ch": ["google-site-verification=x", "v=spf1 mx -all"], "_dmarc.acme.ch": ["v=DMARC1; p=reject"]}


def published(records, **mail):
    return examined(lambda name: records.get(name, []), **({"sender": "relance@acme.ch"} | mail))


def test_records_that_are_there_are_shown():
    found = published(GOOD)
    assert (found["spf"].health, found["spf"].says) == (Health.OK, "acme.ch: v=spf1 mx -all")
    assert (found["dmarc"].health, found["dmarc"].says) == (Health.OK, "acme.ch: v=DMARC1; p=reject")


def test_a_subdomain_is_under_the_dmarc_of_its_organization():
    found = published(GOOD | {"crm.acme.ch": ["v=spf1 mx ~all"]}, sender="relance@crm.acme.ch")
    assert found["dmarc"].says == "acme.ch: v=DMARC1; p=reject"


def test_spf_is_asked_of_the_domain_that_bounces_go_to():
    found = published(GOOD | {"b.acme.ch": ["v=spf1 a -all"]}, bounces="bounces@b.acme.ch")
    assert found["spf"].says == "b.acme.ch: v=spf1 a -all"


@pytest.mark.parametrize(
    ("records", "health", "do"),
    [
        ([], Health.WARNING, "v=spf1 ip4:127.0.0.1 ~all"),
        (["v=spf10 all"], Health.WARNING, "v=spf1 ip4:127.0.0.1 ~all"),
        (["v=spf1 a -all", "V=SPF1 mx -all"], Health.ERROR, "make one of them"),
        (["v=spf1 +all"], Health.WARNING, "end it with ~all or -all"),
    ],
)
def test_an_spf_record_that_does_not_help_comes_with_the_way_out(records, health, do):
    spf = published({"acme.ch": records})["spf"]
    assert spf.health is health
    assert do in (spf.do or "")


def test_without_a_dmarc_record_one_is_proposed():
    dmarc = published({})["dmarc"]
    assert (dmarc.health, dmarc.says) == (Health.WARNING, "acme.ch has no DMARC record")
    assert "_dmarc.acme.ch" in (dmarc.do or "")


def test_where_no_dns_answers_it_is_said_not_to_have_been_looked_at():
    def silent(name):
        raise NotLookedUp("no DNS server answered within 2 s (LifetimeTimeout)")

    dns = examined(silent, sender="relance@acme.ch")["dns"]
    assert (dns.health, dns.says) == (
        Health.OK,
        "SPF and DMARC not looked at: no DNS server answered within 2 s (LifetimeTimeout)",
    )


@pytest.mark.parametrize("domain", ["acme.local", "intranet", "acme.test", "mail.example.com", "localhost"])
def test_names_that_no_dns_knows_are_not_asked_for(domain):
    def never(name):
        raise AssertionError(name)

    assert examined(never, sender=f"relance@{domain}")["dns"].says == (
        f"SPF and DMARC not looked at: {domain} is not a public domain"
    )


def test_without_a_resolver_it_is_said_which_one_to_install(monkeypatch):
    monkeypatch.setattr("app.mail_checks.find_spec", lambda name: None)
    with pytest.raises(NotLookedUp, match="no resolver is installed; one is: pip install dnspython"):
        txt_records("acme.ch")


@contextmanager
def name_server(resolver, answers):
    """A DNS server in a thread, which the resolver asks from now on; what it is asked for and does not know is lost."""
    message, rrset = (pytest.importorskip(f"dns.{part}") for part in ("message", "rrset"))
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind((LOOPBACK, 0))
        resolver.nameservers, resolver.port = [LOOPBACK], listener.getsockname()[1]

        def serve():
            while True:
                asked, whence = listener.recvfrom(512)
                if not asked:
                    return
                query = message.from_wire(asked)
                name = query.question[0].name.to_text(omit_final_dot=True)
                if name in answers:
                    answer = message.make_response(query)
                    if answers[name]:
                        answer.answer.append(rrset.from_text(f"{name}.", 60, "IN", "TXT", *answers[name]))
                    else:
                        answer.set_rcode(3)  # there is no such name
                    listener.sendto(answer.to_wire(), whence)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            with socket.socket(type=socket.SOCK_DGRAM) as end:
                end.sendto(b"", (LOOPBACK, resolver.port))
            thread.join()


def test_records_are_read_whole_from_a_name_server_and_silence_is_not_waited_for(monkeypatch):
    resolver = pytest.importorskip("dns.resolver", reason="dnspython is not installed")
    asking = resolver.Resolver(configure=False)
    monkeypatch.setattr(resolver, "default_resolver", asking)
    monkeypatch.setattr(mail_checks, "DNS_LIMIT_S", 0.2)
    with name_server(asking, {"acme.ch": ['"v=spf1 " "mx -all"', '"other"'], "nobody.ch": []}):
        assert sorted(txt_records("acme.ch")) == ["other", "v=spf1 mx -all"]
        assert txt_records("nobody.ch") == []
        with pytest.raises(NotLookedUp, match=r"no DNS server answered within 0\.2 s"):
            txt_records("silent.ch")
    asking.nameservers = []
    with pytest.raises(NotLookedUp):
        txt_records("acme.ch")
