from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.delivery import Link, Message, Receipt, Reminder, SendError
from notifiers import slack
from notifiers.chat import Unverified, WebhookNotifier
from notifiers.links import Links, Opened
from notifiers.slack import SlackNotifier, compose, compose_closed, compose_for_webhook, read_press, verify
from notifiers.words import WORDS
from tests.notifiers.chat_servers import LOOPBACK, SECRET, SlackServer, answer, check_slack_message, serving

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
AT = int(NOW.timestamp())


def notifier(server: SlackServer, **more: Any) -> SlackNotifier:
    return SlackNotifier(
        **{"token": server.token, "outgoing": LOOPBACK, "api": server.url("/api"), "pause_s": 0, **more}
    )


def message(body: bytes, channel: str = "C1") -> Message:
    return Message(destination=channel, message_id="<k1@example.com>", body=body)


def texts(body: bytes) -> str:
    """All that a reader sees, with Slack's escapes undone."""

    def walk(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["text"]] if isinstance(part.get("text"), str) else []
            return own + [text for value in part.values() for text in walk(value)]
        return [text for value in part for text in walk(value)] if isinstance(part, list) else []

    seen = "\n".join(walk(json.loads(body)["blocks"]))
    return seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def says_of(error: SendError) -> set[str]:
    return {name for name in ("permanent", "uncertain", "server_down") if getattr(error, name)}


def test_a_reminder_arrives_with_everything_a_reader_needs(english: Reminder):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server), notifier(server).open() as line:
            assert await line.send(message(compose(english, channel="C1"))) == Receipt(
                code=200, text="C1 1503435956.000000"
            )
        (told,) = server.told
        seen = texts(told.body)
        assert told.path == "/api/chat.postMessage"
        assert told.json["text"] == english.subject
        for said in (
            english.title,
            "WIN · Motor fleet renewal · due Fri 27 Nov",
            f"{english.why} CHF 48,200 is at stake.",
            "*Annual premium*\nCHF 48,200",
            "• Hand over to the broker desk",
            "✓ contract status is active",
            "Rule “Contract expiring without renewal” (contract-expiring@v12) matched because:",
            "Sent to you as account owner.",
            f"<{english.links[Link.WHY]}|Full trace>",
        ):
            assert said in seen

    asyncio.run(scenario())


def test_every_button_says_what_it_does(english: Reminder, links: Links):
    (actions,) = [block for block in json.loads(compose(english, channel="C1"))["blocks"] if block["type"] == "actions"]
    by_id = {element["action_id"]: element for element in actions["elements"]}

    assert list(by_id) == ["act", "done", "snooze", "dismiss", "crm"]
    assert (by_id["act"]["text"]["text"], by_id["act"]["url"]) == (english.action, english.links[Link.ACT])
    assert (by_id["crm"]["text"]["text"], by_id["crm"]["url"]) == ("Open in CRM", english.crm_url)
    assert [o["text"]["text"] for o in by_id["snooze"]["options"]] == ["Snooze 1 day", "Snooze 3 days", "Snooze 1 week"]
    for link in (Link.DONE, Link.DISMISS):
        opened = links.read(by_id[link]["value"], now=NOW)
        assert opened == Opened(recommendation="7Q", person="lara", link=link)


def test_a_webhook_has_links_where_there_is_nobody_to_hear_of_a_press(english: Reminder):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server):
            sending = WebhookNotifier(service=slack.WEBHOOKS, webhooks={"sales": server.url()}, outgoing=LOOPBACK)
            async with sending.open() as line:
                assert (await line.send(message(compose_for_webhook(english), "sales"))).code == 200
        (told,) = server.told
        assert "actions" not in {block["type"] for block in told.json["blocks"]}
        for link in Link:
            assert f"<{english.links[link]}|" in texts(told.body)
        assert f"<{english.crm_url}|Open in CRM>" in texts(told.body)

    asyncio.run(scenario())


@pytest.mark.parametrize("language", list(WORDS))
@pytest.mark.parametrize("write", [lambda r: compose(r, channel="C1"), compose_for_webhook])
def test_every_language_has_its_words(english: Reminder, language: str, write: Callable[[Reminder], bytes]):
    seen, words = texts(write(replace(english, language=language))), WORDS[language]

    for said in (words.verdicts["win"], words.done, words.day_1, words.dismiss, words.why_me, words.because["owner"]):
        assert said in seen


def test_the_same_reminder_has_the_same_bytes(english: Reminder):
    assert compose(english, channel="C1") == compose(replace(english), channel="C1")
    assert compose_for_webhook(english) == compose_for_webhook(replace(english))


HOSTILE = st.text(alphabet=st.one_of(st.sampled_from("<>&@#!|*_~`\n\x00👩‍👩‍👧ß"), st.characters()), max_size=5000)


@given(text=HOSTILE, many=st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_text_is_too_long_for_slack_or_becomes_markup(english: Reminder, text: str, many: int):
    said = text if any(c.isprintable() and c != " " for c in text) else "x"  # a rule's own texts are never blank
    hostile = replace(
        english,
        **dict.fromkeys(("subject", "topic", "title", "why", "stake", "action", "rule_title", "due"), said),
        facts=((text, text),) * many,
        instead=(text,) * many,
        matched=(text,) * many,
        crm_url=f"https://crm.example.com/{text}",
    )

    check_slack_message(json.loads(compose(hostile, channel="C1")), interactive=True)
    check_slack_message(json.loads(compose_for_webhook(hostile)), interactive=False)


def test_nothing_a_customer_is_called_wakes_a_channel(english: Reminder):
    named = replace(english, why="<!channel> <@U123> <https://evil.example|Open in CRM> & Co", stake=None)

    assert b"&lt;!channel&gt; &lt;@U123&gt; &lt;https://evil.example|Open in CRM&gt; &amp; Co" in compose(
        named, channel="C1"
    )


# --- how fast ---


def test_a_channel_gets_one_message_at_a_time_and_others_do_not_wait_for_it(english: Reminder):
    async def scenario() -> None:
        server = SlackServer(interval_s=0.1)  # the server's own clock tells whether they came too fast
        async with serving(server), notifier(server, pause_s=0.12).open() as line:
            await asyncio.gather(
                *(line.send(message(compose(english, channel=c), c)) for c in ("C1", "C2", "C1", "C2", "C1"))
            )
        assert sorted(told.json["channel"] for told in server.told) == ["C1", "C1", "C1", "C2", "C2"]
        assert {told.json["channel"] for told in server.told[:2]} == {"C1", "C2"}

    asyncio.run(scenario())


def test_a_channel_that_asks_for_patience_is_left_alone_and_others_are_not(english: Reminder):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server), notifier(server).open() as line:
            server.will(answer(429, '{"ok": false, "error": "ratelimited"}', Retry_After="30"))
            asked = await failing(line, message(compose(english, channel="C1"), "C1"))
            await line.send(message(compose(english, channel="C2"), "C2"))
            left_alone = await failing(line, message(compose(english, channel="C1"), "C1"))
        assert (asked.code, asked.retry_after_s, says_of(asked)) == (429, 30.0, set())
        assert left_alone.retry_after_s is not None
        assert 0 < left_alone.retry_after_s <= 30
        assert says_of(left_alone) == set()
        assert [told.json["channel"] for told in server.told] == ["C1", "C2"]

    asyncio.run(scenario())


# --- what goes wrong ---


async def failing(line: Any, sent: Message) -> SendError:
    with pytest.raises(SendError) as failure:
        await line.send(sent)
    return failure.value


def no(error: str) -> str:
    return json.dumps({"ok": False, "error": error})


@pytest.mark.parametrize(
    ("status", "text", "meaning", "advice"),
    [
        (200, no("channel_not_found"), {"permanent"}, "invite the app"),
        (200, no("not_in_channel"), {"permanent"}, "invite the app"),
        (200, no("is_archived"), {"permanent"}, "archived"),
        (200, no("msg_too_long"), {"permanent"}, "does not understand"),
        (200, no("restricted_action"), {"permanent"}, "administrator"),
        (200, no("invalid_auth"), {"server_down"}, "install the app again"),
        (200, no("token_revoked"), {"server_down"}, "install the app again"),
        (200, no("missing_scope"), {"server_down"}, "chat:write"),
        (200, no("service_unavailable"), {"server_down"}, "tried again"),
        (200, no("internal_error"), {"uncertain"}, "may have been posted"),
        (200, no("fatal_error"), {"uncertain"}, "may have been posted"),
        (200, no("something_new"), set[str](), "something_new"),
        (200, no(f"{SECRET} in a new place"), set[str](), "tried again"),
        (200, no("ratelimited"), set[str](), "wait 30 s"),
        (200, '{"ok": true}', {"uncertain"}, "unreadable"),
        (200, '{"ok": tru', {"uncertain"}, "unreadable"),
        (200, "[" * 100_000, {"uncertain"}, "unreadable"),
        (200, "[]", {"uncertain"}, "unreadable"),
        (200, "", {"uncertain"}, "unreadable"),
        (500, "", {"server_down"}, "tried again"),
        (503, "<html>", {"server_down"}, "tried again"),
        (302, "", {"permanent"}, "settings"),
        (404, "", {"permanent"}, "settings"),
    ],
)
def test_what_a_refusal_means_and_what_to_do_about_it(
    english: Reminder, status: int, text: str, meaning: set[str], advice: str
):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server), notifier(server).open() as line:
            server.will(answer(status, text))
            error = await failing(line, message(compose(english, channel="C1"), "C1"))
            await line.send(message(compose(english, channel="C2"), "C2"))
        assert says_of(error) == meaning
        assert advice in str(error)
        assert SECRET not in str(error)
        assert error.code == status

    asyncio.run(scenario())


def test_a_wrong_token_is_no_fault_of_the_message(english: Reminder):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server), notifier(server, token="xoxb-wrong").open() as line:
            assert says_of(await failing(line, message(compose(english, channel="C1")))) == {"server_down"}

    asyncio.run(scenario())


@pytest.mark.parametrize("token", ["", "xoxb-1\r\nX: y", "xoxb-é", "two words"])
def test_a_token_that_cannot_be_one_is_refused_with_the_settings(token: str):
    with pytest.raises(ValueError, match="token"):
        SlackNotifier(token=token)


@pytest.mark.parametrize(
    ("status", "text", "meaning"),
    [
        (403, "action_prohibited", {"permanent"}),
        (404, "channel_not_found", {"permanent"}),
        (410, "channel_is_archived", {"permanent"}),
        (403, "invalid_token", {"permanent"}),
        (400, "invalid_payload", {"permanent"}),
        (404, "no_service", {"permanent"}),
        (500, "rollup_error", set[str]()),
        (502, "", set[str]()),
    ],
)
def test_what_a_webhooks_refusal_means(english: Reminder, status: int, text: str, meaning: set[str]):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server):
            sending = WebhookNotifier(service=slack.WEBHOOKS, webhooks={"sales": server.url()}, outgoing=LOOPBACK)
            async with sending.open() as line:
                server.will(answer(status, text))
                error = await failing(line, message(compose_for_webhook(english), "sales"))
        assert (says_of(error), error.code) == (meaning, status)

    asyncio.run(scenario())


# --- buttons that are pressed ---


@pytest.mark.parametrize(
    ("action", "option", "link"),
    [
        ("done", None, Link.DONE),
        ("dismiss", None, Link.DISMISS),
        ("snooze", 0, Link.SNOOZE_1_DAY),
        ("snooze", 1, Link.SNOOZE_3_DAYS),
        ("snooze", 2, Link.SNOOZE_1_WEEK),
    ],
)
def test_a_press_tells_who_wants_what_done_about_which_recommendation(
    english: Reminder, links: Links, action: str, option: int | None, link: Link
):
    async def scenario() -> None:
        server = SlackServer()
        async with serving(server), notifier(server).open() as line:
            receipt = await line.send(message(compose(english, channel="U1"), "U1"))
        body, headers = server.press(action, option=option, at=AT)
        verify(body, **headers, secret=server.signing_secret, now=NOW)
        press = read_press(body)
        assert press is not None
        assert (press.link, press.user, press.place) == (link, "U0LARA", receipt.text)
        opened = links.read(press.token, now=NOW)
        assert (opened.recommendation, opened.person) == ("7Q", "lara")

    asyncio.run(scenario())


@pytest.mark.parametrize("action", ["act", "crm"])
def test_opening_a_link_asks_for_nothing(english: Reminder, action: str):
    server = SlackServer(posted={("C1", "1.0"): json.loads(compose(english, channel="C1"))})

    assert read_press(server.press(action, at=AT)[0]) is None


def test_slacks_own_example_is_verified():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    verify(
        body,
        timestamp="1531420618",
        signature="v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        secret="8f742231b10e8888abcd99yyyzzz85a5",
        now=datetime.fromtimestamp(1531420618, UTC),
    )


@pytest.mark.parametrize("late", [timedelta(minutes=5), -timedelta(minutes=5)])
def test_a_request_is_fresh_for_five_minutes(late: timedelta):
    server = SlackServer()
    body, headers = server.signed(b"payload=x", at=AT)

    verify(body, **headers, secret=server.signing_secret, now=NOW + late)
    with pytest.raises(Unverified, match="too old"):
        verify(body, **headers, secret=server.signing_secret, now=NOW + late * 1.01)


@pytest.mark.parametrize(
    "forged",
    [
        {"body": b"payload=y"},
        {"body": b""},
        {"timestamp": str(AT + 1)},
        {"timestamp": ""},
        {"timestamp": "now"},
        {"timestamp": "१"},
        {"timestamp": "1" * 400},
        {"signature": ""},
        {"signature": "v0="},
        {"signature": "v1=" + "0" * 64},
        {"signature": "v0=é"},
        {"secret": "another"},
    ],
    ids=str,
)
def test_a_forged_request_is_not_verified(forged: dict[str, Any]):
    server = SlackServer()
    body, headers = server.signed(b"payload=x", at=AT)
    with pytest.raises(Unverified):
        verify(**{"body": body, **headers, "secret": server.signing_secret, "now": NOW, **forged})


def test_without_a_secret_nothing_is_verified():
    body, headers = SlackServer(signing_secret="").signed(b"payload=x", at=AT)
    with pytest.raises(ValueError, match="secret"):
        verify(body, **headers, secret="", now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"payload=%",
        b"\xff\xfe",
        *(
            urlencode({"payload": text}).encode()
            for text in (
                "[]",
                "7",
                "null",
                "{}",
                '{"type": "block_actions"}',
                '{"type": "block_actions", "actions": []}',
                '{"type": "block_actions", "actions": [7]}',
                '{"type": "block_actions", "actions": [{"action_id": "fly", "value": "x"}]}',
                '{"type": "block_actions", "actions": [{"selected_option": {"a": 1}}], "message": {"blocks": []}}',
            )
        ),
    ],
)
def test_what_slack_does_not_send_is_not_read(body: bytes):
    with pytest.raises(Unverified):
        read_press(body)


def test_other_interactions_ask_for_nothing():
    assert read_press(urlencode({"payload": '{"type": "view_closed"}'}).encode()) is None


# --- done by ---


@pytest.mark.parametrize("language", list(WORDS))
@pytest.mark.parametrize("state", ["done", "dismissed", "resolved"])
def test_a_message_says_who_closed_it_and_loses_its_buttons(english: Reminder, language: str, state: str):
    async def scenario() -> None:
        server = SlackServer()
        body = compose(english, channel="U1")
        async with serving(server), notifier(server).open() as line:
            receipt = await line.send(message(body, "U1"))
            closed = compose_closed(body, receipt=receipt.text, language=language, state=state, name="Lara & Tim")
            assert await line.update(message(closed, "U1")) == receipt
        (posted,) = server.posted.values()
        assert "actions" not in {block["type"] for block in posted["blocks"]}
        seen = texts(closed)
        assert WORDS[language].closed[state].format(name="Lara & Tim") in seen
        assert english.title in seen

    asyncio.run(scenario())


def test_a_message_that_is_gone_cannot_be_changed(english: Reminder):
    async def scenario() -> None:
        server = SlackServer()
        body = compose_closed(
            compose(english, channel="C1"), receipt="C1 1.0", language="en", state="done", name="Lara"
        )
        async with serving(server), notifier(server).open() as line:
            with pytest.raises(SendError, match="message is gone") as failure:
                await line.update(message(body))
        assert says_of(failure.value) == {"permanent"}

    asyncio.run(scenario())
