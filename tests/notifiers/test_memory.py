from __future__ import annotations

import asyncio

import pytest

from domain.delivery import Message, SendError
from notifiers.memory import MemoryNotifier


def message(to: str) -> Message:
    return Message(destination=to, message_id=f"<{to}>", body=b"x")


def test_what_was_sent_can_be_looked_up_by_recipient():
    async def scenario() -> None:
        notifier = MemoryNotifier()
        async with notifier.open() as line:
            for to in ("lara@example.com", "tim@example.com", "lara@example.com"):
                assert (await line.send(message(to))).code == 250

        assert notifier.sent_to("lara@example.com") == [message("lara@example.com")] * 2
        assert len(notifier.sent) == 3

    asyncio.run(scenario())


def test_it_fails_as_often_as_it_was_told_and_then_takes_the_message():
    async def scenario() -> None:
        notifier = MemoryNotifier()
        notifier.fail(SendError("busy", phase="rcpt", code=451), times=2)
        async with notifier.open() as line:
            for _ in range(2):
                with pytest.raises(SendError, match="busy"):
                    await line.send(message("lara@example.com"))
            await line.send(message("lara@example.com"))

        assert len(notifier.sent) == 1

    asyncio.run(scenario())


def test_it_refuses_the_addresses_that_a_mail_server_would_never_see():
    async def scenario() -> None:
        async with MemoryNotifier().open() as line:
            with pytest.raises(SendError, match="no @"):
                await line.send(message("lara"))

    asyncio.run(scenario())
