"""The one way out over HTTP: where it may lead, how long it may take, how much of an answer is read.

An address is checked where its socket is made, when every name has been looked up. A name that means something else at
the second look-up, an IP literal in whatever spelling, an IPv4 address within an IPv6 one: all of them end up there.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractStreamWriter, ResolveResult
from yarl import URL

from domain.delivery import SendError
from notifiers.addresses import Refusal

Network: TypeAlias = IPv4Network | IPv6Network
AddrInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` gives them; the last holds the address and the port."""

ANSWER_LIMIT_BYTES = 262_144  # Slack repeats the message it took; nobody has more to say
PATIENCE_LIMIT_S = 86_400.0  # whoever asks for more is asked again after a day
IDLE_S = 5.0  # less than servers wait before they hang up, so that a message seldom meets a closed connection
HEADERS = {
    "Accept-Encoding": "identity",  # so that a small answer cannot unpack into a large one
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Relance",
}

# Written out: `ipaddress.is_global` says yes to 6to4, NAT64 and multicast addresses, and changes between versions.
DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "means this machine"),
        ("127.0.0.0/8", "is a loopback address"),
        ("10.0.0.0/8", "is private"),
        ("172.16.0.0/12", "is private"),
        ("192.168.0.0/16", "is private"),
        ("100.64.0.0/10", "is private to a carrier"),
        ("169.254.0.0/16", "is link-local"),
        ("192.0.0.0/24", "is reserved"),
        ("192.0.2.0/24", "is reserved for documentation"),
        ("192.88.99.0/24", "is reserved"),
        ("198.18.0.0/15", "is reserved for benchmarks"),
        ("198.51.100.0/24", "is reserved for documentation"),
        ("203.0.113.0/24", "is reserved for documentation"),
        ("224.0.0.0/4", "is a multicast address"),
        ("240.0.0.0/4", "is reserved"),
        ("::/128", "means this machine"),
        ("::1/128", "is a loopback address"),
        ("fc00::/7", "is private"),
        ("fe80::/10", "is link-local"),
        ("fec0::/10", "is private"),
        ("ff00::/8", "is a multicast address"),
        ("2001::/23", "is reserved"),  # Teredo, which tunnels to any IPv4 address, ORCHID, benchmarks
        ("2001:db8::/32", "is reserved for documentation"),
        ("3fff::/20", "is reserved for documentation"),
        ("::/3", "is reserved"),  # all that is global lies in 2000::/3
        ("4000::/2", "is reserved"),
        ("8000::/1", "is reserved"),
    )
)

# IPv6 networks whose addresses stand for an IPv4 address, and how many bits come after it.
EMBEDDING: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)


class Phase(StrEnum):
    ADDRESS = "address"  # it was not even tried
    CONNECT = "connect"
    ANSWER = "answer"  # the message has left: without an answer it may have been taken


# What is said of a failure; never in the library's words, which name the whole URL. The first that fits.
SAID: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "there was no answer in time"),
    (aiohttp.InvalidURL, "this is not a host that can be connected to"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not to be trusted"),
    (aiohttp.ClientSSLError, "no secure connection could be made"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorError, "no connection could be made"),
    (aiohttp.ClientResponseError, "its answer is not HTTP"),
    (Exception, "the connection was lost"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`retry_after_s`: how long it asks to be left alone. `body`: its beginning, as far as it was to be read.

    `headers` are the answer's, `asked` those of the request, with all that were added to them on the way.
    """

    status: int
    body: bytes
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    asked: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)


class NoAnswer(SendError):
    """The time was up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """How messages leave. `timeout_s` bounds a whole exchange, from the look-up of the name to the end of the answer.

    `allowed`: networks that an administrator opens although they are denied, and to which plain http may go as well.
    """

    timeout_s: float = 10.0
    allowed: tuple[Network, ...] = ()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Http]:
        """Connections are kept for the next message until this ends."""
        secure = await asyncio.to_thread(ssl.create_default_context)  # it reads all the machine's certificates
        guards = {"https": self._guarded, "http": self._only_allowed}
        sessions = {
            scheme: aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    socket_factory=guard,
                    use_dns_cache=False,
                    resolver=_OneLookUp(),
                    limit=0,  # callers know how many at once make sense for whom
                    keepalive_timeout=IDLE_S,
                    ssl=secure,
                ),
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
                headers=HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # no proxy, no .netrc
                auto_decompress=False,
            )
            for scheme, guard in guards.items()
        }
        try:
            yield Http(sessions)
        finally:
            for session in sessions.values():
                await session.close()

    def _guarded(self, info: AddrInfo) -> socket.socket:
        return _socket(info, reachable(str(info[4][0]), allowed=self.allowed))

    def _only_allowed(self, info: AddrInfo) -> socket.socket:
        address = _decoded(str(info[4][0]))
        if not any(address in network for network in self.allowed):
            return _socket(info, Refusal(reason="plain http leads only to networks that the settings allow; use https"))
        return _socket(info, address)


class Http:
    """Asks and posts, and never follows where an answer points to."""

    def __init__(self, sessions: Mapping[str, aiohttp.ClientSession]) -> None:
        self._sessions = sessions

    async def get(self, url: str) -> Answer:
        """What is there. Raises `SendError` as `post` does."""
        return await self.post(url, b"", method="GET")

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        only_server: bool = False,
        read_bytes: int = ANSWER_LIMIT_BYTES,
    ) -> Answer:
        """Whatever answer there is. Raises `SendError` where there is none; its text names the host and no more.

        `only_server`: all messages go there, so that they would fail alike. `read_bytes`: how much of an answer is
        read.
        """
        address = web_address(url)
        if isinstance(address, Refusal):
            raise SendError(address.reason, permanent=True, phase=Phase.ADDRESS)
        message = _Message(body)
        try:
            async with self._sessions[address.scheme].request(
                method, address, data=message, headers=headers, allow_redirects=False
            ) as response:
                return Answer(
                    status=response.status,
                    body=await _start(response.content, read_bytes),
                    retry_after_s=_patience(response.headers.get("Retry-After")),
                    headers=response.headers,
                    asked=response.request_info.headers,
                )
        except (aiohttp.ClientError, OSError, UnicodeError) as failure:  # UnicodeError: the host cannot be a name
            raise _lost(failure, message.phase, host=str(address.host), only_server=only_server) from None


@lru_cache(maxsize=1024)  # endpoints are posted to again and again
def web_address(url: str) -> URL | Refusal:
    """The address, if it can be posted to. Whether it may be, its IP address tells. A reason never repeats the URL."""
    try:
        address = URL(url)
    except ValueError:
        return Refusal(reason="the address is not a web address")
    if address.scheme not in ("https", "http") or not address.host:
        return Refusal(reason="the address does not begin with https:// and a host")
    return address


def reachable(address: str, *, allowed: Collection[Network] = ()) -> IPv4Address | IPv6Address | Refusal:
    """The IP address that would answer there, if it may be connected to."""
    ip = _decoded(address)
    if any(ip in network for network in allowed):
        return ip
    for network, what in DENIED:
        if ip in network:
            return Refusal(reason=f"{address} {what}; to send there all the same, add it to the allowed networks")
    return ip


def _decoded(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address)
    for network, shift in EMBEDDING:
        if ip in network:
            return IPv4Address((int(ip) >> shift) & 0xFFFF_FFFF)
    return ip


class _Forbidden(OSError):
    """No socket is made for this address; its text says why."""


def _socket(info: AddrInfo, verdict: IPv4Address | IPv6Address | Refusal) -> socket.socket:
    if isinstance(verdict, Refusal):
        raise _Forbidden(verdict.reason)
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


class _OneLookUp(aiohttp.ThreadedResolver):
    """Looks a name up once for all who wait for it: one that nobody answers for holds one thread, not all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._under_way: dict[tuple[str, int, int], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        asked = (host, port, family)
        if asked not in self._under_way:
            task = asyncio.create_task(super().resolve(host, port, family))
            task.add_done_callback(lambda _: self._under_way.pop(asked))
            self._under_way[asked] = task
        return await asyncio.shield(self._under_way[asked])


class _Message(aiohttp.BytesPayload):
    """Knows whether it has left. The library's own tracing, which knows it too, costs a fifth of all messages."""

    phase = Phase.CONNECT

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.phase = Phase.ANSWER
        await super().write_with_length(writer, content_length)


async def _start(content: aiohttp.StreamReader, limit_bytes: int) -> bytes:
    read = await content.read(limit_bytes)
    while len(read) < limit_bytes and not content.at_eof():
        read += await content.read(limit_bytes - len(read))
    return read


def _patience(header: str | None) -> float | None:
    """Seconds. The other form is a date, which `notifiers.webhook` reads: it knows what time it is."""
    said = header is not None and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", header)
    return min(float(said[0]), PATIENCE_LIMIT_S) if said else None


def _lost(failure: Exception, phase: Phase, *, host: str, only_server: bool) -> SendError:
    """There was no answer."""
    cause = getattr(failure, "os_error", None)
    if isinstance(cause, _Forbidden):
        return SendError(f"{host}: {cause}", permanent=True, phase=Phase.ADDRESS)
    said = next(words for kind, words in SAID if isinstance(failure, kind))
    if isinstance(failure, aiohttp.InvalidURL):
        return SendError(f"{host}: {said}", permanent=True, phase=Phase.ADDRESS)
    kind = NoAnswer if isinstance(failure, TimeoutError) else SendError
    return kind(f"{host}: {said} ({phase})", uncertain=phase is Phase.ANSWER, server_down=only_server, phase=phase)
