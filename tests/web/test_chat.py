"""Buttons pressed in Slack and Mattermost: the real messages, signed as these chats sign them, over real HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode
from urllib.request import Request, urlopen

import pytest
from httpx import Response

from domain.delivery import Link, Reminder
from domain.recommendation import State
from notifiers import mattermost, slack
from notifiers.links import Links
from tests.notifiers.chat_servers import MattermostServer, SlackServer
from tests.web.office import CALL, MATTERMOST_KEYS, MONDAY, SLACK_SECRET, Office, heading

SNOOZES = (Link.SNOOZE_1_DAY, Link.SNOOZE_3_DAYS, Link.SNOOZE_1_WEEK)
FORM = "application/x-www-form-urlencoded"


def reminder(
    office: Office, *, person: str = "lena", recommendation: str = CALL, links: Links | None = None
) -> Reminder:
    return Reminder(
        language="en",
        subject="Call Muster Logistik AG",
        preheader="",
        verdict="win",
        topic="Contract",
        due=None,
        title="Call Muster Logistik AG",
        why="The fleet policy ends in 45 days.",
        stake=None,
        action="Start the renewal call",
        facts=(),
        instead=(),
        rule="contract-expiring",
        rule_title="Contract expiring",
        rule_version=12,
        matched=(),
        recipient=f"{person}@example.com",
        role="owner",
        links=(links or office.links).for_person(recommendation, person, now=MONDAY),
    )


@contextmanager
def listening() -> Iterator[tuple[str, list[Any]]]:
    """Where Slack is answered: an address on loopback, and what was said there."""
    said: list[Any] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/actions/T1/1/x", said
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Slack:
    """Presses buttons under the message that was posted, and sees what it is told."""

    office: Office
    answer_url: str
    said: list[Any]
    path: str = "/chat/slack"
    user: str = "U0LARA"

    def request(self, link: Link, *, at: datetime | None = None, **about: Any) -> tuple[bytes, dict[str, str]]:
        message = json.loads(slack.compose(reminder(self.office, **about), channel="C1"))
        server = SlackServer(signing_secret=SLACK_SECRET, posted={("C1", "1.0"): message})
        at_s = int((at or self.office.now).timestamp())
        chosen = {"action_id": slack.SNOOZE, "option": SNOOZES.index(link)} if link in SNOOZES else {"action_id": link}
        body, _ = server.press(**chosen, at=at_s)
        payload = json.loads(parse_qs(body.decode())["payload"][0]) | {"response_url": self.answer_url}
        return self.signed(urlencode({"payload": json.dumps(payload)}).encode(), at_s=at_s)

    def signed(self, body: bytes, *, at_s: int) -> tuple[bytes, dict[str, str]]:
        _, headers = SlackServer(signing_secret=SLACK_SECRET).signed(body, at=at_s)
        return body, {
            "Content-Type": FORM,
            "X-Slack-Request-Timestamp": headers["timestamp"],
            "X-Slack-Signature": headers["signature"],
        }

    def text(self, answer: Response) -> str:
        assert (answer.status_code, answer.content) == (200, b"")
        told = self.said.pop()
        assert {**told, "text": ""} == {"response_type": "ephemeral", "replace_original": False, "text": ""}
        return told["text"]


@dataclass
class Mattermost:
    office: Office
    path: str = "/chat/mattermost"
    said: list[Any] = field(default_factory=list)

    def request(self, link: Link, **about: Any) -> tuple[bytes, dict[str, str]]:
        body = mattermost.compose(
            reminder(self.office, **about), press_url="https://remind.example.com/chat/mattermost", keys=MATTERMOST_KEYS
        )
        pressed = MattermostServer(posts=[json.loads(body)]).press(link.replace("-", ""))
        return json.dumps(pressed).encode(), {"Content-Type": "application/json"}

    def text(self, answer: Response) -> str:
        assert answer.status_code == 200
        assert set(answer.json()) == {"ephemeral_text"}
        return re.sub(r"\\(.)", r"\1", answer.json()["ephemeral_text"])


Chat = Slack | Mattermost


@pytest.fixture
def in_slack(office: Office) -> Iterator[Slack]:
    with listening() as (url, said):
        yield Slack(office=office, answer_url=url, said=said)


@pytest.fixture
def in_mattermost(office: Office) -> Mattermost:
    return Mattermost(office=office)


@pytest.fixture(params=["slack", "mattermost"])
def chat(request: pytest.FixtureRequest, in_slack: Slack, in_mattermost: Mattermost) -> Chat:
    return in_slack if request.param == "slack" else in_mattermost


def post(chat: Chat, body: bytes, headers: dict[str, str]) -> Response:
    return chat.office.client.post(chat.path, content=body, headers=headers)


def press(chat: Chat, link: Link, **about: Any) -> str:
    """Press a button; gives what whoever pressed is told."""
    return chat.text(post(chat, *chat.request(link, **about))).replace("\u00a0", " ")


# --- what a press does ---


def test_done_in_a_chat_is_done(chat):
    assert press(chat, Link.DONE) == "Marked as done"
    done = chat.office.recommendation
    assert (done.state, done.closed_by, done.closed_at, done.note) == (State.DONE, "lena", chat.office.now, None)


def test_pressing_twice_is_harmless_and_says_so(chat):
    press(chat, Link.DONE)
    before = chat.office.recommendation
    chat.office.now += timedelta(minutes=2)
    assert press(chat, Link.DONE) == "Already done by you, 10:02"
    assert press(chat, Link.DONE, person="petra") == "Bereits von Lena Steiner erledigt, 10:02"
    assert press(chat, Link.SNOOZE_1_DAY) == "Already done by you, 10:02"
    assert press(chat, Link.DISMISS) == "Already done by you, 10:02"
    assert chat.office.recommendation == before


@pytest.mark.parametrize(("link", "day"), list(zip(SNOOZES, (24, 26, 30), strict=True)))
def test_a_snooze_in_a_chat_reminds_again_at_its_end(chat, link, day):
    until = datetime(2026, 11, day, 9, 2, tzinfo=UTC)
    assert press(chat, link).startswith("Snoozed until ")
    assert press(chat, link).startswith("Already snoozed until ")
    assert chat.office.recommendation.snoozed_until == until
    (delivery,) = chat.office.deliveries
    assert (delivery.person, delivery.due_at) == ("lena", until)


def test_not_relevant_needs_a_reason_and_gives_the_page_for_it(chat):
    said, url = press(chat, Link.DISMISS).rsplit(" ", 1)
    assert said == "Please say why it is not relevant, on this page:"
    assert chat.office.recommendation.state is State.OPEN
    assert heading(chat.office.get(url.removeprefix("http://testserver"))).startswith("Why is “Call")


def test_an_expired_link_says_so_in_its_readers_language_and_changes_nothing(chat):
    chat.office.now += timedelta(days=30)
    said = press(chat, Link.DONE, person="petra")
    assert said.startswith("Dieser Link ist abgelaufen. Links in Erinnerungen gelten nur eine Zeit lang.")
    assert chat.office.recommendation.state is State.OPEN


def test_a_link_whose_key_was_dropped_has_expired_too(chat):
    said = press(chat, Link.DONE, links=Links(["a key of long ago"], "http://testserver"))
    assert said.startswith("This link has expired.")
    assert chat.office.recommendation.state is State.OPEN


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"recommendation": "deleted"}, "This reminder no longer exists."),
        ({"person": "left"}, "We do not know you any more."),
    ],
)
def test_what_or_who_is_gone_is_said(chat, about, said):
    assert press(chat, Link.DONE, **about).startswith(said)
    assert chat.office.recommendation.state is State.OPEN


def test_in_slack_a_press_is_in_the_name_of_whoever_pressed(in_slack):
    office = in_slack.office
    office.knows("petra", chat="slack:U0LARA")
    assert press(in_slack, Link.DONE, person="lena") == "Als erledigt markiert"
    assert office.recommendation.closed_by == "petra"
    assert press(in_slack, Link.DONE, person="left") == "Bereits von Ihnen erledigt, 10:02"


def test_what_is_done_in_a_chat_is_taken_back_on_the_page(chat):
    press(chat, Link.DONE)
    chat.office.press(chat.office.link(Link.DONE), undo="1")
    assert chat.office.recommendation.state is State.OPEN


def test_a_name_is_no_markup_in_a_chat(chat):
    chat.office.knows("petra", name="*<!channel>* & `Co`")
    press(chat, Link.DONE, person="petra")
    answer = post(chat, *chat.request(Link.DONE))
    said = chat.said[-1]["text"] if chat.said else answer.json()["ephemeral_text"]
    assert "<!channel>" not in said
    assert "`Co`" not in said or isinstance(chat, Slack)


def test_slack_is_answered_although_what_was_done_cannot_be_told(in_slack, caplog):
    in_slack.answer_url = "http://127.0.0.1:1/actions/secret"
    answer = post(in_slack, *in_slack.request(Link.DONE))
    assert (answer.status_code, answer.content) == (200, b"")
    assert in_slack.office.recommendation.state is State.DONE
    assert "was not told" in caplog.text
    assert "secret" not in caplog.text


def test_opening_a_link_in_slack_is_answered_and_does_nothing(in_slack):
    answer = post(in_slack, *in_slack.request(Link.ACT))
    assert (answer.status_code, in_slack.said) == (200, [])
    assert in_slack.office.recommendation.state is State.OPEN


# --- two at once ---


def at_once(office: Office, *requests: tuple[str, bytes, dict[str, str]]) -> None:
    """All of them leave at the same moment, over real connections."""
    start = threading.Barrier(len(requests))

    def send(request: tuple[str, bytes, dict[str, str]]) -> int:
        path, body, headers = request
        start.wait()
        with urlopen(Request(base + path, body, headers), timeout=30) as answer:
            answer.read()
            return answer.status

    with office.serves() as base, ThreadPoolExecutor(len(requests)) as threads:
        assert set(threads.map(send, requests)) == {200}


def test_of_two_presses_at_once_one_counts(chat):
    office = chat.office
    lenas, petras = chat.request(Link.DONE), chat.request(Link.DONE, person="petra")
    at_once(office, (chat.path, *lenas), (chat.path, *petras), (chat.path, *lenas), (chat.path, *petras))
    done = office.recommendation
    assert done.state is State.DONE
    assert done.closed_by in ("lena", "petra")


def test_the_same_snooze_pressed_at_once_reminds_once(chat):
    snooze = chat.request(Link.SNOOZE_1_DAY)
    at_once(chat.office, *[(chat.path, *snooze)] * 4)
    (delivery,) = chat.office.deliveries
    assert delivery.due_at == chat.office.recommendation.snoozed_until


# --- who may press ---

Forge = Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]

SLACK_FORGERIES: dict[str, Forge] = {
    "no signature": lambda body, headers: (body, {"Content-Type": FORM}),
    "of nothing": lambda body, headers: (b"", headers),
    "another's": lambda body, headers: (body, {**headers, "X-Slack-Signature": "v0=" + "0" * 64}),
    "altered": lambda body, headers: (body.replace(b"done", b"dismiss"), headers),
    "made fresh": lambda body, headers: (body, {**headers, "X-Slack-Request-Timestamp": "1795424651"}),
}
MATTERMOST_FORGERIES: dict[str, Forge] = {
    "no signature": lambda body, headers: (body.replace(b"signature", b"seal"), headers),
    "of nothing": lambda body, headers: (b"", headers),
    "another's": lambda body, headers: (re.sub(rb'("signature": ")[^"]+', rb"\g<1>" + b"0" * 64, body), headers),
    "altered": lambda body, headers: (body.replace(b'"done"', b'"snooze-1w"'), headers),
    "not JSON": lambda body, headers: (body[:-1], headers),
}


def refused(chat: Chat, body: bytes, headers: dict[str, str]) -> None:
    before = chat.office.recommendation
    answer = post(chat, body, headers)
    assert answer.status_code == 401
    assert "Lena" not in answer.text
    assert chat.said == []
    assert chat.office.recommendation == before


@pytest.mark.parametrize("forge", SLACK_FORGERIES.values(), ids=list(SLACK_FORGERIES))
def test_what_slack_did_not_sign_changes_nothing(in_slack, forge):
    refused(in_slack, *forge(*in_slack.request(Link.DONE)))


@pytest.mark.parametrize("forge", MATTERMOST_FORGERIES.values(), ids=list(MATTERMOST_FORGERIES))
def test_what_does_not_stand_behind_a_button_of_ours_changes_nothing(in_mattermost, forge):
    refused(in_mattermost, *forge(*in_mattermost.request(Link.DONE)))


def test_whoever_set_the_chat_up_reads_why_a_press_was_refused(in_slack, caplog):
    body, headers = in_slack.request(Link.DONE)
    refused(in_slack, body, {**headers, "X-Slack-Signature": "v0=wrong"})
    assert "/chat/slack: refused: the request was not signed by Slack" in caplog.text
    assert SLACK_SECRET not in caplog.text


def test_a_request_of_slacks_is_too_old_after_five_minutes(in_slack):
    request = in_slack.request(Link.DONE)
    in_slack.office.now += timedelta(minutes=5, seconds=1)
    refused(in_slack, *request)


def test_a_signed_request_that_is_no_press_is_refused(in_slack):
    refused(in_slack, *in_slack.signed(b"payload=x", at_s=int(MONDAY.timestamp())))


def test_a_request_that_is_sent_again_changes_nothing_more(chat):
    request = chat.request(Link.DONE)
    post(chat, *request)
    before = chat.office.recommendation
    chat.office.now += timedelta(minutes=3)
    assert post(chat, *request).status_code == 200
    assert chat.office.recommendation == before


def test_a_chat_that_is_not_set_up_has_no_address(office):
    office.slack_signing_secret, office.mattermost_keys = None, ()
    request = Mattermost(office=office).request(Link.DONE)
    office.__post_init__()
    for path in ("/chat/slack", "/chat/mattermost"):
        assert office.client.post(path, content=request[0], headers=request[1]).status_code == 404
    assert office.recommendation.state is State.OPEN


def test_reading_the_address_of_a_chat_does_nothing(chat):
    assert chat.office.get(chat.path).status_code == 405
    assert chat.office.client.head(chat.path).status_code == 405


def test_more_than_a_chat_ever_sends_is_refused(chat):
    body, headers = chat.request(Link.DONE)
    assert post(chat, body + b" " * 262_144, headers).status_code == 413
