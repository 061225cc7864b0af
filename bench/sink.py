"""A mail server that takes everything and keeps nothing, in a process of its own, and answers late if asked to."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

HOST = "127.0.0.1"
GREETING = b"220 sink ESMTP\r\n"
ANSWERS: Mapping[bytes, bytes] = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000000\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}
YES = b"250 ok\r\n"
DOT = b"\r\n.\r\n"
START_LIMIT_S = 10.0


@contextmanager
def sink(*, delay_s: float = 0.0) -> Generator[tuple[str, int]]:
    """(what it is, its port). Postfix's smtp-sink where there is one and nothing is to be late, else one of our own."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")
    if program is not None and not delay_s:
        as_nobody = ("-u", "nobody") if os.geteuid() == 0 else ()
        with subprocess.Popen([program, *as_nobody, f"{HOST}:{port}", "100"]) as process:
            try:
                wait_for(port)
                yield "Postfix's smtp-sink", port
            finally:
                process.terminate()
        return
    own = multiprocessing.get_context("spawn").Process(target=_serve, args=(port, delay_s), daemon=True)
    own.start()
    try:
        wait_for(port)
        yield "one of our own", port
    finally:
        own.terminate()
        own.join()


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            return socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class _Session(asyncio.Protocol):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._received = bytearray()
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say(GREETING)

    def data_received(self, data: bytes) -> None:
        received, answers = self._received, b""
        received += data
        while (end := received.find(DOT if self._in_body else b"\n")) >= 0:
            if self._in_body:
                del received[: end + len(DOT)]
                self._in_body = False
                answers += YES
            else:
                verb = bytes(received[:4]).upper()
                del received[: end + 1]
                self._in_body = verb == b"DATA"
                answers += ANSWERS.get(verb, YES)
        if answers:
            self._say(answers)

    def _say(self, answers: bytes) -> None:
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, answers)
        else:
            self._transport.write(answers)


def _serve(port: int, delay_s: float) -> None:
    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Session(delay_s), HOST, port, backlog=100)
        await server.serve_forever()

    asyncio.run(forever())
