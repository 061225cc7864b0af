from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.bounces import (
    LIMIT_BYTES,
    MAILBOX_LIMIT,
    Fate,
    Ignored,
    Reason,
    Report,
    Why,
    delivery_of,
    read,
    return_path,
)

SAMPLES = {file.stem: file.read_bytes() for file in (Path(__file__).parent / "bounces").glob("*.eml")}
KEYS = ["a key", "an older key"]
MAILBOX = "bounces@relance.example"
DELIVERY = 4711
MESSAGE_ID = "<0c5d1e8f2a9b4c7d8e6f1a2b3c4d5e6f@relance.example>"

REPORTS: dict[str, tuple[Reason, str]] = {
    "amavis-spam": (Reason.REFUSED, "5.7.0"),
    "complaint": (Reason.COMPLAINT, ""),
    "complaint-about-a-virus": (Reason.REFUSED, ""),
    "complaint-redacted": (Reason.COMPLAINT, ""),
    "courier-team-half-arrived": (Reason.ARRIVED, "2.0.0"),
    "exchange-not-allowed": (Reason.REFUSED, "5.7.133"),
    "exchange-online-edge": (Reason.PERMANENT, "5.4.1"),
    "exchange-online-not-found": (Reason.PERMANENT, "5.1.10"),
    "exchange-outsiders-refused": (Reason.REFUSED, "5.7.1"),
    "exchange-quota": (Reason.FULL, "5.2.2"),
    "exchange-too-large": (Reason.REFUSED, "5.3.4"),
    "exim-before-rfc-3464": (Reason.PERMANENT, ""),
    "exim-code-in-words": (Reason.PERMANENT, "5.2.1"),
    "exim-unroutable": (Reason.PERMANENT, "5.0.0"),
    "gmail-no-such-user": (Reason.PERMANENT, "5.1.1"),
    "gmail-too-quickly": (Reason.TEMPORARY, "5.2.1"),
    "gmail-unauthenticated": (Reason.REFUSED, "5.7.26"),
    "mdaemon-like-prose": (Reason.FULL, ""),
    "opensmtpd-error": (Reason.PERMANENT, "5.0.0"),
    "outlook-blocklist": (Reason.REFUSED, "5.7.1"),
    "outlook-mailbox-unavailable": (Reason.PERMANENT, "5.5.0"),
    "postfix-delayed": (Reason.TEMPORARY, "4.2.0"),
    "postfix-expired": (Reason.TEMPORARY, "4.4.1"),
    "postfix-no-such-domain": (Reason.PERMANENT, "5.4.4"),
    "postfix-null-mx": (Reason.PERMANENT, "5.1.0"),
    "postfix-relay-denied": (Reason.REFUSED, "5.7.1"),
    "postfix-sender-unknown": (Reason.REFUSED, "5.1.8"),
    "postfix-unknown-user": (Reason.PERMANENT, "5.1.1"),
    "qmail-no-host": (Reason.PERMANENT, "5.1.2"),
    "qmail-no-mailbox": (Reason.PERMANENT, "5.1.1"),
    "recipient-in-brackets": (Reason.PERMANENT, "5.1.1"),
    "recipient-by-name-alone": (Reason.PERMANENT, "5.1.1"),
    "recipient-named-spam": (Reason.PERMANENT, "5.1.1"),
    "sendmail-quota": (Reason.FULL, "5.2.2"),
    "sendmail-unknown-user": (Reason.PERMANENT, "5.1.1"),
    "spam-said-with-a-wrong-status": (Reason.REFUSED, "5.1.1"),
    "success": (Reason.ARRIVED, "2.1.5"),
    "unreadable-refusal": (Reason.REFUSED, "5.0.0"),
    "utf-8-in-words": (Reason.PERMANENT, "5.1.1"),
    "yahoo-no-account": (Reason.PERMANENT, "5.0.0"),
}
NAMED = {
    "complaint-redacted": ("",),
    "recipient-by-name-alone": ("lara",),
    "recipient-named-spam": ("spam@example.com",),
    "courier-team-half-arrived": ("team@example.com",),
}
IGNORED: dict[str, Why] = {
    "a-person-writes": Why.NOT_A_REPORT,
    "away-and-quotes-a-failure": Why.AUTO_REPLY,
    "away-by-precedence": Why.AUTO_REPLY,
    "away-french": Why.AUTO_REPLY,
    "away-german": Why.AUTO_REPLY,
    "away-gmail": Why.AUTO_REPLY,
    "away-outlook": Why.AUTO_REPLY,
    "away-sieve": Why.AUTO_REPLY,
    "complaint-taken-back": Why.OTHER_FEEDBACK,
    "read-receipt": Why.READ_RECEIPT,
    "ticket-opened": Why.AUTO_REPLY,
}


def report(name: str) -> Report:
    found = read(SAMPLES[name])
    assert isinstance(found, Report), found
    return found


# --- the return path ---


@settings(deadline=None)
@given(delivery=st.integers(0, 2**63 - 1), name=st.from_regex(rf"\A[A-Za-z0-9.]{{1,{MAILBOX_LIMIT}}}\Z"))
def test_a_return_path_names_its_delivery_and_fits_into_64_octets(delivery: int, name: str):
    mailbox = f"{name.replace('.', 'x')}@relance.example"

    path = return_path(mailbox, delivery, keys=KEYS)

    assert delivery_of(path, mailbox=mailbox, keys=KEYS) == delivery
    assert len(path.partition("@")[0]) <= 64


@pytest.mark.parametrize("change", [str.lower, str.upper, "<{}>".format, " {} ".format])
def test_a_return_path_survives_how_servers_rewrite_it(change: Callable[[str], str]):
    path = return_path(MAILBOX, DELIVERY, keys=KEYS)
    assert delivery_of(change(path), mailbox=MAILBOX, keys=KEYS) == DELIVERY


@pytest.mark.parametrize("quoted", ['"{}"@{}', '<"{}"@{}>'])
def test_a_quoted_return_path_is_read(quoted: str):
    name, _, domain = return_path(MAILBOX, DELIVERY, keys=KEYS).partition("@")
    assert delivery_of(quoted.format(name, domain), mailbox=MAILBOX, keys=KEYS) == DELIVERY
    assert delivery_of(quoted.format(name.replace("+", "\\+"), domain), mailbox=MAILBOX, keys=KEYS) == DELIVERY


@settings(deadline=None)
@given(place=st.integers(0, 100), letter=st.sampled_from("0123456789abcdefxyz+-@. "))
def test_an_altered_return_path_names_nothing(place: int, letter: str):
    path = return_path(MAILBOX, DELIVERY, keys=KEYS)
    place %= len(path)
    altered = path[:place] + letter + path[place + 1 :]
    if altered.strip() != path:
        assert delivery_of(altered, mailbox=MAILBOX, keys=KEYS) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        MAILBOX,
        "bounces+4711@relance.example",
        "bounces+4711-@relance.example",
        "bounces+4711-000000000000@relance.example",
        "bounces+04711-73e0a82b0592@relance.example",
        "bounces+٤٧١١-73e0a82b0592@relance.example",
    ],
)
def test_a_guessed_return_path_names_nothing(address: str):
    assert delivery_of(address, mailbox=MAILBOX, keys=KEYS) is None


def test_an_older_key_is_still_read_and_a_strange_one_is_not():
    older = return_path(MAILBOX, DELIVERY, keys=["an older key"])
    assert delivery_of(older, mailbox=MAILBOX, keys=KEYS) == DELIVERY
    assert delivery_of(return_path(MAILBOX, DELIVERY, keys=["theirs"]), mailbox=MAILBOX, keys=KEYS) is None
    assert return_path(MAILBOX, DELIVERY, keys=KEYS) != older


@pytest.mark.parametrize(
    ("mailbox", "keys", "complaint"),
    [
        ("bounces", KEYS, "the mailbox for reports.*has no @"),
        ("b" * (MAILBOX_LIMIT + 1) + "@relance.example", KEYS, "longer than 31"),
        (MAILBOX, [], "at least one key"),
        (MAILBOX, ["a key", ""], "none may be empty"),
    ],
)
def test_settings_that_make_no_return_path_are_named(mailbox: str, keys: list[str], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        return_path(mailbox, DELIVERY, keys=keys)


# --- what a report says ---


def test_every_sample_is_expected():
    assert set(SAMPLES) == {*REPORTS, *IGNORED}


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_report_says_what_became_of_which_mail(name: str, line_end: bytes):
    found = read(SAMPLES[name].replace(b"\n", line_end))

    assert isinstance(found, Report), found
    assert (found.reason, found.fates[0].status) == REPORTS[name]
    assert found.delivery(mailbox=MAILBOX, keys=KEYS) == DELIVERY
    assert found.message_id == MESSAGE_ID
    to = found.fates[0].original or found.fates[0].recipient
    assert to in NAMED.get(name, ("lara@example.com", "lara@exmaple.com"))


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_not_a_report_is_left_alone_and_it_says_why(name: str):
    assert read(SAMPLES[name]) == Ignored(why=IGNORED[name])


def test_the_fields_about_a_recipient_are_all_there():
    assert report("postfix-unknown-user").fates == (
        Fate(
            reason=Reason.PERMANENT,
            recipient="lara@example.com",
            original="lara@example.com",
            action="failed",
            status="5.1.1",
            said="550 5.1.1 <lara@example.com>: Recipient address rejected: User unknown in relay recipient table",
        ),
    )


def test_a_forwarded_address_keeps_both_names():
    (fate,) = report("sendmail-unknown-user").fates
    assert (fate.original, fate.recipient) == ("lara@example.com", "lara@mail.example.com")


def test_a_team_is_not_given_up_for_one_who_left():
    found = report("courier-team-half-arrived")
    assert [(fate.recipient, fate.reason) for fate in found.fates] == [
        ("lara@example.com", Reason.ARRIVED),
        ("ghost@example.com", Reason.PERMANENT),
    ]
    assert found.reason is Reason.ARRIVED


def test_the_words_of_our_own_mail_are_not_those_of_the_server():
    assert b"policy on spam" in SAMPLES["exim-before-rfc-3464"]
    (fate,) = report("exim-before-rfc-3464").fates
    assert fate.reason is Reason.PERMANENT
    assert "spam" not in fate.said


def test_a_forged_report_names_no_delivery():
    forged = SAMPLES["postfix-unknown-user"].replace(b"73e0a82b0592", b"73e0a82b0593")
    found = read(forged)
    assert isinstance(found, Report)
    assert found.delivery(mailbox=MAILBOX, keys=KEYS) is None


# --- junk ---


@settings(deadline=None)
@given(raw=st.binary(max_size=3000))
def test_random_bytes_are_nothing_to_worry_about(raw: bytes):
    assert isinstance(read(raw), Report | Ignored)


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(SAMPLES)), seed=st.integers(0, 2**32), changes=st.integers(1, 30))
def test_a_damaged_report_is_read_or_left_alone(name: str, seed: int, changes: int):
    chance = random.Random(seed)
    raw = bytearray(SAMPLES[name])
    for _ in range(changes):
        place = chance.randrange(len(raw) + 1)
        match chance.randrange(4):
            case 0:
                raw[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del raw[place : place + chance.randrange(60)]
            case 2:
                raw[place:place] = chance.choice(
                    (b"\n\n", b"\x00", b"=?utf-8?b?=ff?=", b"--=_report", b"\xff\xfe", b"%s")
                )
            case _:
                raw[place:place] = raw[(start := chance.randrange(len(raw) + 1)) : start + chance.randrange(300)]
    assert isinstance(read(bytes(raw)), Report | Ignored)


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(5000)),
        b"Content-Type: message/rfc822\n\n" * 5000,
        SAMPLES["success"].replace(
            b"\nStatus: 2", b"\n\nFinal-Recipient: x@y\nAction: failed\n" * 300 + b"\nStatus: 2"
        ),
        b"From: MAILER-DAEMON@x\n\nYour message to:\n" + b"a" * LIMIT_BYTES,
        b"To: " + b"a" * LIMIT_BYTES,
        b"Subject: =?\xffso-8859-1?q?hello?=\n\n",
        b"From: postmaster@x\nSubject: =?nonsense?b?====?=\nContent-Type: text/plain; charset=no\n\n\xff",
    ],
    ids=[
        "parts in parts",
        "mails in mails",
        "hundreds of recipients",
        "a line without end",
        "a header without end",
        "an encoding that has no name",
        "encodings that do not exist",
    ],
)
def test_mails_made_to_break_readers_break_nothing(raw: bytes):
    assert isinstance(read(raw), Ignored)


def test_no_more_than_a_megabyte_is_looked_at():
    late = b"X: y\n" * (LIMIT_BYTES // 5 + 1) + SAMPLES["postfix-unknown-user"]
    assert read(late) == Ignored(why=Why.NOT_A_REPORT)


def test_a_mail_without_a_sender_is_left_alone_without_a_word(caplog: pytest.LogCaptureFixture):
    assert read(b"Subject: hello\n\nhello\n") == Ignored(why=Why.NOT_A_REPORT)
    assert caplog.records == []
