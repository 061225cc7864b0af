"""Local stand-ins for the chats: they check what arrives as the public documentation says, and fail on demand."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import ssl
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from notifiers.http import Outgoing

LOOPBACK = Outgoing(allowed=(ip_network("127.0.0.1/32"),))
IMPATIENT = Outgoing(allowed=LOOPBACK.allowed, timeout_s=0.3)

SECRET = "S3cretS3cretS3cret"  # part of every address and token; nothing that is said or logged may contain it

STALL, CLOSE, CUT, GARBAGE = "stall", "close", "cut", "garbage"
BYTES = {
    CLOSE: b"",
    CUT: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    GARBAGE: f"SSH-2.0-server {SECRET}\r\n\r\n".encode(),
}

Scripted = str | web.Response


@dataclass
class Told:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """Keeps every request. `script`: what the next ones meet instead of being looked at."""

    told: list[Told] = field(default_factory=list)
    script: deque[Scripted] = field(default_factory=deque)
    gate: asyncio.Barrier | None = None  # so many must have come before any is answered
    port: int = 0
    scheme: str = "http"

    def will(self, *answers: Scripted) -> None:
        self.script.extend(answers)

    def url(self, path: str = f"/hooks/{SECRET}") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    @property
    def bodies(self) -> list[bytes]:
        return [told.body for told in self.told]

    def look_at(self, told: Told) -> web.Response:
        return web.Response(text="ok")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        told = Told(path=request.path_qs, headers=dict(request.headers), body=await request.read())
        self.told.append(told)
        if self.gate:
            await self.gate.wait()
        answer = self.script.popleft() if self.script else self.look_at(told)
        if isinstance(answer, web.Response):
            return answer
        if answer == STALL:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.write(BYTES[answer])
        request.transport.close()
        return web.Response()


@asynccontextmanager
async def serving(
    *servers: Server, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[None]:
    """The servers, each on a free port, or on the given one."""
    runners: list[web.AppRunner] = []
    try:
        for server in servers:
            app = web.Application(client_max_size=2**22)
            app.router.add_route("*", "/{path:.*}", server.handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
            server.port = runner.addresses[0][1]
            server.scheme = "https" if tls else "http"
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


def answer(status: int, text: str = "", **headers: str) -> web.Response:
    return web.Response(status=status, text=text, headers={name.replace("_", "-"): v for name, v in headers.items()})


# --- Slack ---

TEXT_LIMITS = {"header": 150, "section": 3000, "field": 2000, "context": 3000, "button": 75, "option": 75}


@dataclass
class SlackServer(Server):
    """chat.postMessage, chat.update and an incoming webhook. `interval_s`: how soon after another one may come."""

    token: str = f"xoxb-{SECRET}"
    signing_secret: str = "8f742231b10e8888abcd99yyyzzz85a5"
    interval_s: float = 0.0
    posted: dict[tuple[str, str], Any] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def look_at(self, told: Told) -> web.Response:
        message = told.json
        if told.path.startswith("/hooks/"):
            check_slack_message(message, interactive=False)
            return web.Response(text="ok")
        if told.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        assert told.headers["Content-Type"] == "application/json; charset=utf-8"
        check_slack_message(message, interactive=told.path == "/api/chat.postMessage")
        channel = message["channel"]
        now = asyncio.get_running_loop().time()
        if now - self.last.get(channel, -1e9) < self.interval_s:
            return answer(429, json.dumps({"ok": False, "error": "ratelimited"}), Retry_After="30")
        self.last[channel] = now
        if told.path == "/api/chat.update":
            if (channel, message["ts"]) not in self.posted:
                return web.json_response({"ok": False, "error": "message_not_found"})
            self.posted[channel, message["ts"]] = message
            return web.json_response({"ok": True, "channel": channel, "ts": message["ts"], "text": message["text"]})
        room, ts = channel.replace("U", "D", 1), f"1503435956.{len(self.posted):06}"
        self.posted[room, ts] = message
        return web.json_response({"ok": True, "channel": room, "ts": ts, "message": message})

    def press(self, action_id: str, *, option: int | None = None, at: int) -> tuple[bytes, dict[str, str]]:
        """What Slack posts when somebody presses a button under the last message, with its headers."""
        (channel, ts), message = list(self.posted.items())[-1]
        elements = [e for block in message["blocks"] if block["type"] == "actions" for e in block["elements"]]
        element = next(e for e in elements if e["action_id"] == action_id)
        chosen = {"selected_option": element["options"][option]} if option is not None else {}
        value = {"value": element["value"]} if "value" in element else {}
        payload = {
            "type": "block_actions",
            "user": {"id": "U0LARA", "username": "lara", "team_id": "T1"},
            "container": {"type": "message", "message_ts": ts, "channel_id": channel},
            "channel": {"id": channel, "name": "sales"},
            "message": {"type": "message", "ts": ts, "text": message["text"], "blocks": message["blocks"]},
            "response_url": "https://hooks.slack.com/actions/T1/1/x",
            "actions": [{"type": element["type"], "action_id": action_id, "block_id": "relance", **value, **chosen}],
        }
        return self.signed(urlencode({"payload": json.dumps(payload)}).encode(), at=at)

    def signed(self, body: bytes, *, at: int) -> tuple[bytes, dict[str, str]]:
        mac = hmac.new(self.signing_secret.encode(), f"v0:{at}:".encode() + body, sha256).hexdigest()
        return body, {"timestamp": str(at), "signature": f"v0={mac}"}


def check_slack_message(message: Any, *, interactive: bool) -> None:
    assert 0 < len(message["text"]) <= 4000
    blocks = message["blocks"]
    assert 0 < len(blocks) <= 50
    for block in blocks:
        assert block["type"] in {"header", "section", "context", "actions"}
        assert len(block.get("block_id", "")) <= 255
        match block["type"]:
            case "header":
                check_slack_text(block["text"], "header", {"plain_text"})
            case "section":
                assert ("text" in block) != ("fields" in block)
                if "text" in block:
                    check_slack_text(block["text"], "section")
                assert 0 < len(block.get("fields", "x")) <= 10
                for text in block.get("fields", ()):
                    check_slack_text(text, "field")
            case "context":
                assert 0 < len(block["elements"]) <= 10
                for text in block["elements"]:
                    check_slack_text(text, "context")
            case "actions":
                assert interactive
                assert 0 < len(block["elements"]) <= 25
                ids = [element["action_id"] for element in block["elements"]]
                assert len(set(ids)) == len(ids)
                assert max(map(len, ids)) <= 255
                for element in block["elements"]:
                    check_slack_element(element)


def check_slack_element(element: Any) -> None:
    if element["type"] == "button":
        check_slack_text(element["text"], "button", {"plain_text"})
        assert len(element.get("value", "")) <= 2000
        assert len(element.get("url", "")) <= 3000
        assert element.get("style", "primary") in {"primary", "danger"}
        return
    assert element["type"] == "static_select"
    check_slack_text(element["placeholder"], "option", {"plain_text"})
    assert 0 < len(element["options"]) <= 100
    for option in element["options"]:
        check_slack_text(option["text"], "option", {"plain_text"})
        assert 0 < len(option["value"]) <= 150


def check_slack_text(text: Any, kind: str, types: set[str] = {"plain_text", "mrkdwn"}) -> None:  # noqa: B006
    assert text["type"] in types
    assert 0 < len(text["text"]) <= TEXT_LIMITS[kind]
    if text["type"] == "mrkdwn":
        bare = re.sub(r"<https?://[^<>|]+\|[^<>]+>|&(amp|lt|gt);", "", text["text"])
        assert not re.search("[&<>]", bare), bare
    else:
        assert "\n" not in text["text"]


# --- Microsoft Teams ---


@dataclass
class TeamsServer(Server):
    """The webhook of a workflow that posts an Adaptive Card."""

    def look_at(self, told: Told) -> web.Response:
        assert told.headers["Content-Type"].startswith("application/json")
        if len(told.body) > 28 * 1024:
            return web.Response(status=413)
        check_teams_message(told.json)
        return web.Response(status=202)


def check_teams_message(message: Any) -> None:
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert card["version"] in {"1.4", "1.5"}
    for element in card["body"]:
        match element["type"]:
            case "RichTextBlock":
                assert element["inlines"]
                assert all(run["type"] == "TextRun" and isinstance(run["text"], str) for run in element["inlines"])
            case "ActionSet":
                assert 0 < len(element["actions"]) <= 6
                for action in element["actions"]:
                    assert action["type"] == "Action.OpenUrl"
                    assert action["title"]
                    assert re.match("https?://", action["url"])
            case other:
                raise AssertionError(other)


# --- Mattermost ---


@dataclass
class MattermostServer(Server):
    """An incoming webhook, and the server that posts a pressed button's context back."""

    posts: list[Any] = field(default_factory=list)

    def look_at(self, told: Told) -> web.Response:
        message = told.json
        assert set(message) <= {"attachments"}
        for attachment in message["attachments"]:
            assert attachment["fallback"]
            for entry in attachment["fields"]:
                assert set(entry) == {"short", "title", "value"}
            for action in attachment["actions"]:
                assert re.fullmatch("[A-Za-z0-9]+", action["id"])
                assert action["type"] == "button"
                assert action["name"]
                assert action["integration"]["url"]
        self.posts.append(message)
        return web.Response(text="ok")

    def press(self, action_id: str) -> dict[str, Any]:
        """What Mattermost posts when somebody presses a button under the last post."""
        actions = self.posts[-1]["attachments"][0]["actions"]
        return {
            "user_id": "gst7u7g9zbdsbmiesiwkjnuqcw",
            "user_name": "lara",
            "channel_id": "qmd5oqtwoibz8cuzxzg5ekshgr",
            "team_id": "pieu7ohjkibntm6jko86jxrgao",
            "post_id": "i9z5t4mygpnzdrdfh7gqrarnjy",
            "trigger_id": "x",
            "type": "button",
            "data_source": "",
            "context": next(a["integration"]["context"] for a in actions if a["id"] == action_id),
        }
