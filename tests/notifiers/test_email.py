from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.delivery import Reminder, SendError
from notifiers.calendar import entry, withdrawal
from notifiers.email import compose, message_id, thread_root
from notifiers.render import Rendered, render

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=400)
UNPRINTABLE = [*range(0x20), *range(0x7F, 0xA0)]

SAID: dict[str, Any] = {
    "uid": "7Q@example.com",
    "day": date(2026, 11, 27),
    "title": "Müller & Söhne anrufen, " * 20,
    "organizer": "relance@example.com",
    "attendee": "lara@example.com",
    "stamp": NOW,
}
ENTRY = entry(**SAID, sequence=0, description="METHOD:CANCEL", url="https://remind.example.com/r/x")


def composed(*, subject: str = "Call", html: str = "<p>x</p>", text: str = "x", **more: Any) -> bytes:
    addressed: dict[str, Any] = {
        "sender": "relance@example.com",
        "to": "lara@example.com",
        "message_id": message_id("k1", domain="example.com"),
        "thread_root": thread_root("rec-1", domain="example.com"),
    }
    return compose(Rendered(subject=subject, html=html, text=text), date=NOW, **{**addressed, **more})


def read(mail: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert all(part.defects == [] for part in parsed.walk())
    return parsed


def part(mail: bytes, subtype: str) -> str:
    body = read(mail).get_body((subtype,))
    assert body is not None
    return unified(body.get_content())


def unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def assert_fit_for_the_wire(mail: bytes) -> None:
    assert mail.isascii()
    assert b"\r" not in mail.replace(b"\r\n", b"")
    assert b"\n" not in mail.replace(b"\r\n", b"")
    assert max(map(len, mail.split(b"\r\n"))) <= 998


def test_a_mail_arrives_as_it_was_rendered(german: Reminder, now: datetime):
    rendered = render(german)
    mail = compose(
        rendered,
        sender="relance@example.com",
        sender_name="Relance",
        to="l.steiner@example.com",
        recipient_name="Lukas Müller-Steiner",
        reply_to="team@example.com",
        message_id=message_id("k1", domain="example.com"),
        thread_root=thread_root("7Q", domain="example.com"),
        date=now,
    )
    parsed = read(mail)

    assert parsed["subject"] == german.subject
    assert parsed["from"].addresses == (Address("Relance", "relance", "example.com"),)
    assert parsed["to"].addresses == (Address("Lukas Müller-Steiner", "l.steiner", "example.com"),)
    assert parsed["reply-to"].addresses == (Address("", "team", "example.com"),)
    assert parsed["date"].datetime == now
    assert parsed["auto-submitted"] == "auto-generated"
    assert parsed["x-auto-response-suppress"] == "All"
    assert [p.get_content_type() for p in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert part(mail, "plain") == unified(rendered.text)
    assert part(mail, "html") == unified(rendered.html)
    assert_fit_for_the_wire(mail)


def test_all_mails_about_a_recommendation_are_one_thread_and_each_is_a_mail_of_its_own():
    root = thread_root("rec-1", domain="example.com")
    first, second = (
        read(composed(thread_root=root, message_id=message_id(key, domain="example.com"))) for key in ("k1", "k2")
    )

    assert first["references"] == second["references"] == first["in-reply-to"] == root
    assert first["message-id"] == "<k1@example.com>"
    assert second["message-id"] == "<k2@example.com>"
    assert root not in (first["message-id"], second["message-id"])


def test_a_mail_without_a_root_begins_a_thread_of_its_own():
    assert {"references", "in-reply-to"} & {name.lower() for name in read(composed(thread_root=None))} == set()


def test_a_mail_can_be_unsubscribed_from_with_one_click():
    url = "https://remind.example.com/unsubscribe/" + "WyI3USIsImxhcmEi." * 20
    headers = read(composed(unsubscribe=url))

    assert headers["list-unsubscribe"] == f"<{url}>"
    assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert not any(name.lower().startswith("list-") for name in read(composed()))


@pytest.mark.parametrize("hostile", [">,<mailto:x@example.com>", "\r\nBcc: x@example.com", "\n\nx", "ü\u2028"])
def test_nothing_in_an_unsubscribe_link_makes_two_of_it_or_another_header(hostile: str):
    mail = composed(unsubscribe=f"https://remind.example.com/{hostile}")
    headers = read(mail)

    assert headers.keys() == read(composed(unsubscribe="https://remind.example.com/")).keys()
    assert re.fullmatch(r"<https://remind\.example\.com/[^<>,\s]+>", headers["list-unsubscribe"])
    assert_fit_for_the_wire(mail)


@pytest.mark.parametrize(
    ("calendar", "method"),
    [(ENTRY, "REQUEST"), (withdrawal(**SAID, sequence=1), "CANCEL")],
    ids=["entry", "withdrawal"],
)
def test_a_calendar_entry_is_shown_in_the_mail_and_comes_as_a_file(calendar: bytes, method: str, german: Reminder):
    rendered = render(german)
    mail = composed(html=rendered.html, text=rendered.text, calendar=calendar)
    parsed = read(mail)
    _, _, plain, html, shown, file = parsed.walk()

    assert [p.get_content_type() for p in parsed.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "application/ics",
    ]
    assert shown["content-type"].params == {"charset": "utf-8", "method": method}
    assert shown.get_content().encode() == file.get_content() == calendar
    assert (file.get_filename(), file.get_content_disposition()) == ("invite.ics", "attachment")
    assert unified(plain.get_content()) == unified(rendered.text)
    assert unified(html.get_content()) == unified(rendered.html)
    assert_fit_for_the_wire(mail)
    assert mail == composed(html=rendered.html, text=rendered.text, calendar=calendar)


def test_a_calendar_entry_leaves_the_headers_as_they_are():
    assert read(composed(calendar=ENTRY)).keys() == read(composed()).keys()


def test_an_entry_that_says_not_what_is_to_be_done_with_it_is_refused():
    with pytest.raises(ValueError, match="METHOD"):
        composed(calendar=ENTRY.replace(b"\r\nMETHOD:REQUEST", b""))


def test_the_same_mail_composed_again_has_the_same_bytes(english: Reminder):
    rendered = render(english)

    assert composed(html=rendered.html) == composed(html=rendered.html)


@given(text=TEXT)
@example(text="." + "\n.\n..\n" * 3)
@example(text="x" * 3000)
@example(text="=" * 200)
@example(text="no line end, trailing blanks \t ")
@example(text="--=_relance--\n\n--=_relance\n\n--=_mixed--")
@example(text="From here\nFrom there")
@example(text="👩‍👩‍👧 CHF\u00a048’200 ✓ ≤\r\nlone\rreturn\n\n")
@example(text="\x00\x0b\x0c\x85\u2028")
def test_any_text_arrives_unchanged_but_for_its_line_ends(text: str):
    for mail in (composed(text=text, html=text), composed(text=text, html=text, calendar=ENTRY)):
        assert part(mail, "plain") == unified(text)
        assert part(mail, "html") == unified(text)
        assert_fit_for_the_wire(mail)


@given(subject=TEXT)
@example(subject="Grüße 👩‍👩‍👧 " * 30)
@example(subject="=?utf-8?q?not_an_encoded_word?=")
@example(subject="a" * 2000)
def test_any_subject_arrives_on_one_line(subject: str):
    mail = composed(subject=subject)
    one_line = subject.translate(dict.fromkeys([*UNPRINTABLE, 0x2028, 0x2029], " "))

    assert read(mail)["subject"].split() == one_line.split()
    assert_fit_for_the_wire(mail)
    assert all(len(line) <= 76 for line in mail.split(b"\r\n\r\n")[0].split(b"\r\n"))


@given(name=TEXT)
@example(name='Anna "the \\ fleet" Keller, Head (of) <Fleet>')
@example(name="Zoë\r\nBcc: x@example.com")
def test_no_name_adds_a_recipient_or_a_header(name: str):
    headers = read(composed(recipient_name=name, sender_name=name))

    assert [a.addr_spec for a in headers["to"].addresses] == ["lara@example.com"]
    assert [a.addr_spec for a in headers["from"].addresses] == ["relance@example.com"]
    assert headers.keys() == read(composed()).keys()


@pytest.mark.parametrize("field", ["subject", "message_id", "thread_root"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r", "\r\n\r\n"])
def test_no_line_break_adds_a_header_or_ends_them(field: str, line_end: str):
    mail = composed(**{field: f"<a@b>{line_end}Bcc: x@example.com"})

    assert read(mail).keys() == read(composed()).keys()
    assert part(mail, "plain") == "x"


@pytest.mark.parametrize("field", ["to", "sender", "reply_to"])
def test_an_address_that_would_be_two_is_not_written(field: str):
    with pytest.raises(SendError, match="more than one") as refused:
        composed(**{field: "a@example.com,b@example.com"})
    assert refused.value.permanent
