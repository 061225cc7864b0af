"""What is logged can be read by programs, and holds nobody's address, number or secret."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.logs import JsonLines, Lines, TextLines, mask

DIGITS = st.text("0123456789", min_size=2, max_size=2)
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
LOCAL = "abcdefghijklmnopqrstuvwxyzäöüß0123456789._+-!#$%&'/=?^{|}~".replace("'", "")
PHONES = ("+41 44 {} {} {}", "+4144{}{}{}", "0041 44 {} {} {}", "044 {} {} {}", "(044) {} {} {}", "+1 (555) 1{}-{}{}")
NOTHING_SECRET = (
    "2026-11-23T09:00:00+01:00",
    "customer K1 of 10000000 at 127.0.0.1:2525, 0.0.0.0:8000 and 192.168.100.200",
    "worth 48200.50, 0.123456789 of it",
    "4bf92f3577b34da6a3ce929d0e0e4736 00000000000000000000000000000001",
    "/api/v1/me/password /r/{token} /me/{token}",
    "sqlite:///relance.db: schema 0003, needed 0003",
    "delivery 1: 127.0.0.1:25 failed (connect): Connection refused",
)


def tokens(length: int) -> st.SearchStrategy[str]:
    return st.text(BASE64, min_size=length, max_size=length)


@st.composite
def secrets(draw: st.DrawFn) -> tuple[str, str]:
    """Something that must not be read in a log, and the part of it that would give it away."""
    token = draw(tokens(43))
    local = "x" + draw(st.text(LOCAL, min_size=3, max_size=20)) + "x"
    phone = draw(st.sampled_from(PHONES)).format(*(draw(DIGITS) for _ in range(3)))
    return draw(
        st.sampled_from(
            [
                (f"{local}@example.com", local),
                (f"{local}@localhost", local),
                (phone, phone[2:]),
                (f"rel_{token}", token),
                (f"whsec_{token}=", token),
                (f"Bearer {token}", token),
                (f"authorization: BEARER  {token}", token),
                (f"https://relance.example/r/{token}.{token}?as=done", token),
                (f"/me/{token}.{token}", token),
                (f"postgresql://relance:{token}@db/relance", token),
                (f"xoxb-{token}", token),
            ]
        )
    )


def record(message: str, *args: object, failure: Exception | None = None, **beside: Any) -> logging.LogRecord:
    try:
        raise failure or ValueError
    except Exception:
        raised = sys.exc_info() if failure else None
    made = logging.LogRecord("relance.test", logging.INFO, __file__, 1, message, args, raised)
    vars(made).update(beside)
    return made


@settings(max_examples=300)
@given(secret=secrets(), around=st.sampled_from(["{}", "<{}>", 'said "{}"', "({})", "to={}, then", "{}\n{}", "ä {}."]))
def test_nothing_secret_is_logged_wherever_it_stands(secret: tuple[str, str], around: str) -> None:
    text, gives_away = secret
    said = around.format(text, text)
    for read in (TextLines().format, lambda made: str(json.loads(JsonLines().format(made)))):
        for made in (
            record(said.replace("%", "%%")),
            record("%s and %r", said, said),
            record("failed", failure=RuntimeError(said)),
            record("beside", address=said, raised=[said]),
        ):
            assert gives_away not in read(made)


@pytest.mark.parametrize("text", NOTHING_SECRET)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert mask(text) == text


def test_what_is_masked_still_says_what_it_was() -> None:
    said = f"lena.steiner@example.com +41 44 668 18 00 rel_{'x' * 43} Bearer y whsec_{'z' * 24}"
    assert mask(said) == "l***@example.com +*** rel_*** Bearer *** whsec_***"


@pytest.mark.parametrize("lines", [TextLines(), JsonLines()])
def test_an_event_is_one_line_whatever_it_says(lines: Lines) -> None:
    assert "\n" not in lines.format(record("one\nFAKE two\r\nthree", customer="K1\nK2"))


def test_as_json_an_event_is_an_object_with_the_ids_of_what_it_is_about() -> None:
    document = json.loads(JsonLines().format(record("sent", delivery=7, raised=["r1"], trace="4bf9", source=None)))
    assert document.pop("at").endswith("+00:00")
    assert document == {
        "level": "INFO",
        "logger": "relance.test",
        "message": "sent",
        "delivery": 7,
        "raised": ["r1"],
        "trace": "4bf9",
        "source": None,
    }
    failed = json.loads(JsonLines().format(record("failed", failure=RuntimeError("why"))))
    assert failed["exception"].endswith("RuntimeError: why")


def test_as_text_the_ids_stand_behind_the_message() -> None:
    assert (
        TextLines()
        .format(record("sent", delivery=7, trace="4bf9"))
        .endswith(" INFO relance.test sent delivery=7 trace=4bf9")
    )
