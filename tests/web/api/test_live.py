"""Hearing of what changes while it happens, from a server that is really there."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from app.pages import listening, serving
from domain.access import Role
from tests.story.relance import contract, customer
from tests.web.api.office import PREFIX, Api, Caller
from web.api import live


@dataclass(kw_only=True)
class Stream:
    """What one listener is told. `last_id`: of the last event that had one, as a browser keeps it."""

    connection: HTTPConnection
    answer: HTTPResponse
    last_id: str | None = None

    def next(self) -> dict[str, Any] | None:
        """The next event; None: the server ended."""
        while line := self.answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            if name == "data":
                assert self.answer.readline() == b"\n"
                return json.loads(value)
            if name == "retry" or line == ":":
                assert self.answer.readline() == b"\n"
        return None

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@dataclass(kw_only=True)
class Server:
    port: int
    feed: live.Feed

    @contextmanager
    def heard_by(self, caller: Caller, *, after: str | None = None) -> Generator[Stream]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {caller.token}"} | ({"Last-Event-ID": after} if after else {})
        connection.request("GET", f"{PREFIX}/live", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.headers.get_content_type()) == (200, "text/event-stream")
        assert answer.readline() == b"retry: 2000\n"
        assert answer.readline() == b"\n"
        stream = Stream(connection=connection, answer=answer)
        try:
            yield stream
        finally:
            stream.close()


@contextmanager
def served(api: Api) -> Generator[Server]:
    app = api.company.pages.app
    stopping = app.state.services.stopping
    (feed,) = [route.app.state.feed for route in app.routes if getattr(route, "path", "") == PREFIX]
    with listening("127.0.0.1", 0) as listener, serving(app, listener, stopping=stopping):
        yield Server(port=listener.getsockname()[1], feed=feed)


def test_whoever_listens_hears_of_the_customers_they_see_and_of_no_others(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.02)
    company, stranger = api.company, api.as_(Role.SALES, person="stranger")
    company.has(customer("K1"), customer("K2", owner="stranger"))
    assert api.integrator.get("/live").status_code == 403
    assert api.sales.get("/live", headers={"Last-Event-ID": "x"}).status_code == 422
    with served(api) as server:
        with (
            server.heard_by(api.sales) as sales,
            server.heard_by(stranger) as other,
            server.heard_by(api.admin) as all_,
        ):
            company.has(contract("C1", ends="2026-11-15"))
            changed = {"type": "record.changed", "customer": "K1", "kind": "contract", "id": "C1"}
            assert sales.next() == all_.next() == changed
            company.runs()
            raised = sales.next()
            assert raised is not None
            assert (raised["type"], raised["customer"]) == ("recommendation.raised", "K1")
            assert all_.next() == raised
            company.has(customer("K2", owner="stranger", city="Bern"))
            assert other.next() == {"type": "record.changed", "customer": "K2", "kind": "customer", "id": "K2"}
            done = api.sales.post(f"/recommendations/{raised['recommendation']}/done")
            assert done.status_code == 200
            assert sales.next() == {**raised, "type": "recommendation.acted"}
            last = sales.last_id

        # whoever comes back is told what was missed, and then goes on
        company.has(customer("K1", city="Bern"), customer("K2", owner="stranger", city="Basel"))
        with server.heard_by(api.sales, after=last) as sales:
            assert sales.next() == {"type": "record.changed", "customer": "K1", "kind": "customer", "id": "K1"}
            company.has(customer("K1", city="Basel"))
            assert sales.next() == {"type": "record.changed", "customer": "K1", "kind": "customer", "id": "K1"}

        # too much at once: read everything again
        with server.heard_by(api.sales) as sales:
            company.has(*(customer(f"N{n}", owner="mate") for n in range(1_100)))
            assert sales.next() == {"type": "reload"}
            company.has(customer("K1"))
            assert sales.next() == {"type": "record.changed", "customer": "K1", "kind": "customer", "id": "K1"}
        with server.heard_by(api.sales, after="0-0") as sales:
            assert sales.next() == {"type": "reload"}

        # a stream does not keep the server from ending, and ends itself
        sales = server.heard_by(api.sales)
        stream = sales.__enter__()
    assert stream.next() is None
    sales.__exit__(None, None, None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("uvicorn")]


def test_a_listener_who_is_too_slow_is_told_to_read_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUEUED_MAX", 3)
    listener = live.Listener(owners=None)
    for number in range(5):
        listener.tell(str(number))
    assert [listener.queue.get_nowait() for _ in range(listener.queue.qsize())] == [live.RELOAD, None]
    assert listener.ended


def test_silence_is_interrupted_by_a_heartbeat(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.01)
    with served(api) as server, server.heard_by(api.sales) as sales:
        assert sales.answer.readline() == b":\n"
        assert [each.owners for each in server.feed.listeners] == [frozenset({"seller", "mate", "boss"})]
