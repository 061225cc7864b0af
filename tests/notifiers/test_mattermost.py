from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.delivery import Link, Message, Receipt, Reminder, SendError
from notifiers import mattermost
from notifiers.chat import Unverified, WebhookNotifier
from notifiers.links import Links
from notifiers.mattermost import BODY_LIMIT_BYTES, compose, read_press
from notifiers.words import WORDS
from tests.notifiers.chat_servers import LOOPBACK, SECRET, MattermostServer, answer, serving

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
KEYS = ["a key", "an older key"]
PRESS_URL = "https://remind.example.com/chat/mattermost"


def written(reminder: Reminder) -> bytes:
    return compose(reminder, press_url=PRESS_URL, keys=KEYS)


def attachment(reminder: Reminder) -> Any:
    (only,) = json.loads(written(reminder))["attachments"]
    return only


def notifier(server: MattermostServer) -> WebhookNotifier:
    return WebhookNotifier(service=mattermost.WEBHOOKS, webhooks={"sales": server.url()}, outgoing=LOOPBACK)


def message(body: bytes) -> Message:
    return Message(destination="sales", message_id="<k1@example.com>", body=body)


def plain(markdown: str) -> str:
    return re.sub(r"\\(.)", r"\1", markdown)


def test_a_reminder_arrives_with_everything_a_reader_needs(english: Reminder):
    async def scenario() -> None:
        server = MattermostServer()
        async with serving(server), notifier(server).open() as line:
            assert await line.send(message(written(english))) == Receipt(code=200, text="ok")
        assert server.bodies == [written(english)]

    asyncio.run(scenario())
    seen = attachment(english)
    assert seen["fallback"] == english.subject
    assert {"short": True, "title": "Annual premium", "value": "CHF 48,200"} in seen["fields"]
    for said in (
        "WIN · Motor fleet renewal · due Fri 27 Nov",
        f"**{english.title}**",
        f"{english.why} CHF 48,200 is at stake.",
        f"[Start the renewal call]({english.links[Link.ACT]})",
        f"[Open in CRM]({english.crm_url})",
        f"[Full trace]({english.links[Link.WHY]})",
        "- Hand over to the broker desk",
        "- ✓ contract status is active",
    ):
        assert said in plain(seen["text"])


@pytest.mark.parametrize("language", list(WORDS))
def test_every_language_has_its_words(english: Reminder, language: str):
    seen, words = attachment(replace(english, language=language)), WORDS[language]

    assert words.because["owner"] in plain(seen["text"])
    assert [action["name"] for action in seen["actions"]] == [
        words.done,
        *(f"{words.snooze} {span}" for span in (words.day_1, words.days_3, words.week_1)),
        words.dismiss,
    ]


@pytest.mark.parametrize("markup", ["**bold**", "[Open](https://evil.example)", "~~no~~", "`code`", "<b>", "![](x)"])
def test_what_a_customer_is_called_stays_plain_text(english: Reminder, markup: str):
    seen = attachment(replace(english, title=markup, facts=((markup, markup),)))

    for text in (seen["text"], seen["fields"][0]["title"], seen["fields"][0]["value"]):
        assert markup in plain(text)
        assert markup not in text


def test_nothing_a_customer_is_called_wakes_a_channel(english: Reminder):
    text = attachment(replace(english, title="@channel (@all) anna@example.com"))["text"]

    assert not re.search(r"(?<!\w)@(?!\u200b)", text)
    assert "anna@example.com" in text


@pytest.mark.parametrize(
    ("button", "link"),
    [
        ("done", Link.DONE),
        ("snooze1d", Link.SNOOZE_1_DAY),
        ("snooze3d", Link.SNOOZE_3_DAYS),
        ("snooze1w", Link.SNOOZE_1_WEEK),
        ("dismiss", Link.DISMISS),
    ],
)
def test_a_press_tells_who_wants_what_done_about_which_recommendation(
    english: Reminder, links: Links, button: str, link: Link
):
    async def scenario() -> None:
        server = MattermostServer()
        async with serving(server), notifier(server).open() as line:
            await line.send(message(written(english)))
        body = json.dumps(server.press(button)).encode()
        for keys in (KEYS, ["a new key", *KEYS]):
            press = read_press(body, keys=keys)
            assert (press.link, press.user) == (link, "gst7u7g9zbdsbmiesiwkjnuqcw")
            assert press.place == "qmd5oqtwoibz8cuzxzg5ekshgr i9z5t4mygpnzdrdfh7gqrarnjy"
        opened = links.read(press.token, now=NOW)
        assert (opened.recommendation, opened.person, opened.link) == ("7Q", "lara", link)
        with pytest.raises(Unverified):
            read_press(body, keys=["a new key"])  # the keys that signed it were dropped

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "change",
    [
        {"press": "dismiss"},
        {"token": "another"},
        {"signature": ""},
        {"signature": "é"},
        {"signature": None},
        {"signature": "0" * 64},
        {"press": "fly"},
        {"press": None},
        {"token": ["a", "list"]},
        {"token": "\ud800"},
    ],
    ids=str,
)
def test_a_forged_press_is_not_verified(english: Reminder, change: dict[str, Any]):
    server = MattermostServer(posts=[json.loads(written(english))])
    pressed = server.press("done")
    with pytest.raises(Unverified):
        read_press(json.dumps({**pressed, "context": {**pressed["context"], **change}}).encode(), keys=KEYS)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"null", b'{"context": 7}', b"\xff", b"[" * 100_000])
def test_what_mattermost_does_not_send_is_not_read(body: bytes):
    with pytest.raises(Unverified):
        read_press(body, keys=KEYS)


@given(text=st.text(max_size=5000), many=st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_reminder_fits_into_one_post(english: Reminder, text: str, many: int):
    hostile = replace(
        english,
        **dict.fromkeys(("subject", "topic", "title", "why", "stake", "action", "rule_title", "due"), text or "x"),
        facts=((text, text),) * many,
        instead=(text,) * many,
        matched=(text,) * many,
        crm_url=f"https://crm.example.com/{text}",
    )

    assert len(written(hostile)) <= BODY_LIMIT_BYTES
    assert written(hostile) == written(hostile)


@pytest.mark.parametrize(
    ("status", "permanent", "advice"),
    [
        (400, True, "no longer one"),
        (403, True, "administrator"),
        (404, True, "another webhook"),
        (413, True, "too long"),
        (500, False, "tried again"),
        (501, True, "enable incoming webhooks"),
        (202, True, "takes no messages"),
    ],
)
def test_what_a_refusal_means_and_what_to_do_about_it(english: Reminder, status: int, permanent: bool, advice: str):
    async def scenario() -> None:
        server = MattermostServer()
        async with serving(server), notifier(server).open() as line:
            server.will(answer(status, f'{{"id": "web.incoming_webhook", "message": "{SECRET}"}}'))
            with pytest.raises(SendError, match=advice) as failure:
                await line.send(message(written(english)))
            await line.send(message(written(english)))
        error = failure.value
        assert (error.code, error.permanent, error.server_down, error.uncertain) == (status, permanent, False, False)
        assert SECRET not in str(error)

    asyncio.run(scenario())


def test_a_server_that_asks_for_patience_says_for_how_long(english: Reminder):
    async def scenario() -> None:
        server = MattermostServer()
        async with serving(server), notifier(server).open() as line:
            server.will(answer(429, "limit exceeded", Retry_After="1"))
            with pytest.raises(SendError) as failure:
                await line.send(message(written(english)))
        assert (failure.value.code, failure.value.retry_after_s, failure.value.permanent) == (429, 1.0, False)

    asyncio.run(scenario())
