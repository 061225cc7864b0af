"""The demo's mailbox: every mail can be read, and none can do harm."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage

import pytest

from tests.web.office import MONDAY, heading
from web.mailbox import StoredMail


def mail(number: int, recipient: str, subject: str, *, html: str | None = None) -> StoredMail:
    message = EmailMessage()
    message["From"] = "Relance <reminders@example.com>"
    message["To"] = recipient
    message["Subject"] = subject
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("Bitte anrufen: grüezi")
    if html:
        message.add_alternative(html, subtype="html")
    received_at = MONDAY + timedelta(hours=number)
    return StoredMail(
        id=str(number), recipient=recipient, subject=subject, received_at=received_at, raw=message.as_bytes()
    )


@pytest.fixture
def mailbox(office):
    office.now += timedelta(hours=5)
    office.mails = (
        mail(1, "lena@example.com", "First", html="<html><head></head><body><p>Hallo <b>Zürich</b></p></body></html>"),
        mail(2, "petra@example.com", "Second <i>{{7*7}}</i>"),
        mail(3, "lena@example.com", "Third"),
    )
    return office


def test_an_empty_mailbox_says_when_mail_appears(office):
    assert heading(office.get("/mailbox")) == "No mail yet"


def test_the_newest_mail_comes_first_and_a_person_can_be_chosen(mailbox):
    page = mailbox.get("/mailbox").text
    assert page.index("Third") < page.index("Second") < page.index("First")
    assert "Second &lt;i&gt;{{7*7}}&lt;/i&gt;" in page

    hers = mailbox.get("/mailbox?person=lena@example.com").text
    assert "Third" in hers
    assert "Second" not in hers


def test_a_mail_is_shown_in_a_frame_that_may_do_nothing_but_open_links(mailbox):
    page = mailbox.get("/mailbox/1")
    assert heading(page) == "First"
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text

    body = mailbox.get("/mailbox/1/html")
    assert "<p>Hallo <b>Zürich</b></p>" in body.text
    policy = body.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "sandbox allow-popups" in policy


def test_the_text_and_the_headers_can_be_read(mailbox):
    assert "Bitte anrufen: grüezi" in mailbox.get("/mailbox/1?view=text").text
    assert "Auto-Submitted: auto-generated" in mailbox.get("/mailbox/1?view=source").text


def test_a_mail_without_that_part_says_so(mailbox):
    assert "The message has no such part." in mailbox.get("/mailbox/2").text
    assert mailbox.get("/mailbox/2/html").status_code == 404


def test_a_mail_that_is_not_there(mailbox):
    assert mailbox.get("/mailbox/9").status_code == 404
    assert mailbox.get("/mailbox/1?view=made-up").status_code == 404
