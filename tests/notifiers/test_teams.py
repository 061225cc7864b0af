from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.delivery import Link, Message, Receipt, Reminder, SendError
from notifiers import teams
from notifiers.chat import WebhookNotifier
from notifiers.teams import BODY_LIMIT_BYTES, compose
from notifiers.words import WORDS
from tests.notifiers.chat_servers import LOOPBACK, SECRET, TeamsServer, answer, check_teams_message, serving


def notifier(server: TeamsServer) -> WebhookNotifier:
    return WebhookNotifier(service=teams.WEBHOOKS, webhooks={"sales": server.url()}, outgoing=LOOPBACK)


def message(body: bytes, to: str = "sales") -> Message:
    return Message(destination=to, message_id="<k1@example.com>", body=body)


def body_of(reminder: Reminder) -> list[Any]:
    return json.loads(compose(reminder))["attachments"][0]["content"]["body"]


def texts(reminder: Reminder) -> list[str]:
    """Each paragraph of the card."""
    blocks = [element for element in body_of(reminder) if element["type"] == "RichTextBlock"]
    return ["".join(run["text"] for run in block["inlines"]) for block in blocks]


def links(reminder: Reminder) -> dict[str, str]:
    sets = [element for element in body_of(reminder) if element["type"] == "ActionSet"]
    return {action["title"]: action["url"] for actions in sets for action in actions["actions"]}


def test_a_reminder_arrives_with_everything_a_reader_needs(english: Reminder):
    async def scenario() -> None:
        server = TeamsServer()
        async with serving(server), notifier(server).open() as line:
            assert await line.send(message(compose(english))) == Receipt(code=202, text="the workflow took it")
        assert server.bodies == [compose(english)]

    asyncio.run(scenario())
    seen = texts(english)
    assert seen[:3] == [
        "WIN · Motor fleet renewal · due Fri 27 Nov",
        english.title,
        f"{english.why} CHF 48,200 is at stake.",
    ]
    for said in ("Annual premium  CHF 48,200", "• Hand over to the broker desk", "✓ contract status is active"):
        assert said in seen


def test_every_button_is_a_link_and_leads_where_it_says(english: Reminder):
    to = english.links

    assert links(english) == {
        "Start the renewal call": to[Link.ACT],
        "Open in CRM": english.crm_url,
        "Done": to[Link.DONE],
        "Not relevant…": to[Link.DISMISS],
        "Full trace": to[Link.WHY],
        "Snooze 1 day": to[Link.SNOOZE_1_DAY],
        "Snooze 3 days": to[Link.SNOOZE_3_DAYS],
        "Snooze 1 week": to[Link.SNOOZE_1_WEEK],
    }


@pytest.mark.parametrize("language", list(WORDS))
def test_every_language_has_its_words(english: Reminder, language: str):
    said, words = replace(english, language=language), WORDS[language]

    assert words.because["owner"] in texts(said)
    assert {words.done, words.dismiss, f"{words.snooze} {words.day_1}"} <= set(links(said))


def test_what_a_customer_is_called_stays_plain_text(english: Reminder):
    named = replace(english, title="**[Open](https://evil.example)** {{DATE(2026-01-01T00:00:00Z)}}")
    runs = [run for block in body_of(named) for run in block.get("inlines", ()) if "evil" in run["text"]]

    # Markdown is not looked for in a TextRun, but in a TextBlock and a FactSet it is.
    assert [(run["type"], run["text"]) for run in runs] == [("TextRun", named.title)]
    assert {element["type"] for element in body_of(named)} == {"RichTextBlock", "ActionSet"}


def test_a_card_that_would_be_too_large_loses_its_facts_first(english: Reminder):
    wordy = replace(english, facts=tuple((f"fact {n}", "💶" * 350) for n in range(10)), matched=("💶" * 350,) * 9)
    seen = texts(wordy)
    kept = [text for text in seen if text.startswith("fact ")]

    assert 0 < len(kept) < 10
    assert [text[:6] for text in kept] == [f"fact {n}" for n in range(len(kept))]  # from the end
    assert len([text for text in seen if text.startswith("✓ 💶")]) == 9
    assert len(compose(wordy)) <= BODY_LIMIT_BYTES


@given(text=st.text(max_size=5000), many=st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_card_is_small_enough_for_teams(english: Reminder, text: str, many: int):
    hostile = replace(
        english,
        **dict.fromkeys(("subject", "topic", "title", "why", "stake", "action", "rule_title", "due"), text or "x"),
        facts=((text, text),) * many,
        instead=(text,) * many,
        matched=(text,) * many,
        crm_url=f"https://crm.example.com/{text}",
    )
    body = compose(hostile)

    assert len(body) <= BODY_LIMIT_BYTES
    check = json.loads(body)
    for element in check["attachments"][0]["content"]["body"]:
        for action in element.get("actions", ()):
            action["title"] = action["title"] or "x"
    check_teams_message(check)


def test_links_longer_than_a_whole_card_are_an_error_that_says_so(english: Reminder):
    endless = replace(english, links=dict.fromkeys(Link, "https://remind.example.com/r/" + "x" * 9000))
    with pytest.raises(SendError, match="links alone") as failure:
        compose(endless)
    assert failure.value.permanent


@pytest.mark.parametrize(
    ("status", "permanent", "advice"),
    [
        (400, True, "turned off"),
        (401, True, "triggered by anyone"),
        (403, True, "triggered by anyone"),
        (404, True, "make a new one"),
        (405, True, "takes no messages"),
        (408, False, "tried again"),
        (413, True, "too long"),
        (500, False, "tried again"),
        (502, False, "tried again"),
        (302, True, "real address"),
    ],
)
def test_what_a_refusal_means_and_what_to_do_about_it(english: Reminder, status: int, permanent: bool, advice: str):
    async def scenario() -> None:
        server = TeamsServer()
        async with serving(server), notifier(server).open() as line:
            server.will(answer(status, f'{{"error": {{"message": "{SECRET}"}}}}'))
            with pytest.raises(SendError, match=advice) as failure:
                await line.send(message(compose(english)))
            await line.send(message(compose(english)))
        error = failure.value
        assert (error.code, error.permanent, error.server_down, error.uncertain) == (status, permanent, False, False)
        assert SECRET not in str(error)

    asyncio.run(scenario())


def test_a_workflow_that_asks_for_patience_is_left_alone(english: Reminder):
    async def scenario() -> None:
        server = TeamsServer()
        async with serving(server):
            webhooks = {"sales": server.url("/1"), "service": server.url("/2")}
            sending = WebhookNotifier(service=teams.WEBHOOKS, webhooks=webhooks, outgoing=LOOPBACK)
            async with sending.open() as line:
                server.will(answer(429))
                for _ in range(2):
                    with pytest.raises(SendError) as failure:
                        await line.send(message(compose(english)))
                    assert failure.value.retry_after_s == pytest.approx(30, abs=5)
                await line.send(message(compose(english), "service"))
        assert [told.path for told in server.told] == ["/1", "/2"]

    asyncio.run(scenario())


def test_a_name_without_an_address_says_where_to_add_it(english: Reminder):
    async def scenario() -> None:
        server = TeamsServer()
        async with serving(server), notifier(server).open() as line:
            with pytest.raises(SendError, match="no address named 'marketing'") as failure:
                await line.send(message(compose(english), "marketing"))
        assert failure.value.permanent
        assert server.told == []

    asyncio.run(scenario())


def test_an_address_that_is_none_is_refused_with_the_settings():
    with pytest.raises(ValueError, match="webhook 'sales'") as refusal:
        WebhookNotifier(service=teams.WEBHOOKS, webhooks={"sales": f"htps://{SECRET}"})
    assert SECRET not in str(refusal.value)
