"""The web pages on a socket, beside whatever else the process does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from app.cli.output import CommandError

GOODBYE_S = 10  # for the answers under way when the pages end


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that takes connections at once, though they are answered later. Port 0 takes any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as failure:
        why = str(failure.strerror).partition(" (while")[0]
        raise CommandError(f"{host} port {port}: {why}; name another --port, or 0 for any") from None
    with listener:
        yield listener


def address(listener: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def serving(
    app: Callable[..., Any],
    listener: socket.socket,
    *,
    stopping: threading.Event | None = None,
    trusted_proxies: Sequence[str] = (),
) -> Generator[None]:
    """An application's pages for the length of the block. `trusted_proxies`: who may say whom they forward.

    `stopping` is set before the end, for answers that would not end by themselves.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,  # as everything else logs
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(trusted_proxies),
        timeout_graceful_shutdown=GOODBYE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})  # signals are the command's affair
    thread.start()
    try:
        yield
    finally:
        if stopping is not None:
            stopping.set()
        server.should_exit = True
        thread.join()
