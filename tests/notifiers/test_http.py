from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
import threading
import traceback
from ipaddress import ip_network
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from domain.delivery import SendError
from notifiers.addresses import Refusal
from notifiers.http import ANSWER_LIMIT_BYTES, Answer, Outgoing, reachable
from tests.notifiers.chat_servers import (
    CLOSE,
    CUT,
    GARBAGE,
    IMPATIENT,
    LOOPBACK,
    SECRET,
    STALL,
    Server,
    answer,
    serving,
)

# How 127.0.0.1 and its like can be written: in a URL, in DNS, in a redirect.
DISGUISES = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "127.0.0.0x1",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
]

DENIED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:0a00:0001::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]

PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:400a:800::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:0808:0808::1",
]


async def refused(outgoing: Outgoing, url: str) -> SendError:
    async with outgoing.open() as http:
        with pytest.raises(SendError) as failure:
            await http.post(url, b"{}")
    return failure.value


def says_of(error: SendError) -> set[str]:
    return {name for name in ("permanent", "uncertain", "server_down") if getattr(error, name)}


@pytest.mark.parametrize("address", DENIED)
def test_an_address_that_is_not_on_the_public_internet_is_denied(address: str):
    verdict = reachable(address)

    assert isinstance(verdict, Refusal)
    assert address in verdict.reason


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_on_the_public_internet_may_be_connected_to(address: str):
    assert not isinstance(reachable(address), Refusal)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:0a01:0203::1"])
def test_an_administrator_opens_a_network_however_its_addresses_are_written(address: str):
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/64"))

    assert not isinstance(reachable(address, allowed=allowed), Refusal)
    assert not isinstance(reachable("fd00::7", allowed=allowed), Refusal)
    assert isinstance(reachable("10.2.0.0", allowed=allowed), Refusal)


@pytest.mark.parametrize("host", DISGUISES)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_this_machine_is_never_connected_to_however_it_is_written(scheme: str, host: str):
    async def scenario() -> None:
        server = Server()
        async with serving(server, host="127.0.0.1"):
            error = await refused(Outgoing(timeout_s=5), f"{scheme}://{host}:{server.port}/{SECRET}")
        assert says_of(error) == {"permanent"}
        assert error.phase == "address"
        assert server.told == []
        assert SECRET not in str(error)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "//example.com/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://example.com:99999/x",
        "https://[::1/x",
        "gopher://127.0.0.1/x",
    ],
)
def test_what_is_no_web_address_is_never_tried(url: str):
    error = asyncio.run(refused(LOOPBACK, url))

    assert says_of(error) == {"permanent"}
    assert error.phase == "address"


def resolving(monkeypatch: pytest.MonkeyPatch, *lookups: list[str]) -> None:
    """A name server of our own: each look-up of "rebinding.example" gives the next addresses, the last for ever."""
    left, real = list(lookups), socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *args, **more)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("addresses", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_of_a_names_two_addresses_only_the_permitted_one_is_connected_to(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
):
    async def scenario() -> None:
        resolving(monkeypatch, addresses)
        permitted, forbidden = Server(), Server()
        async with serving(permitted, host="127.0.0.1"):
            async with serving(forbidden, host="127.0.0.2", port=permitted.port), LOOPBACK.open() as http:
                await http.post(f"http://rebinding.example:{permitted.port}/", b"{}")
            async with serving(forbidden, host="127.0.0.2"):
                await refused(LOOPBACK, f"http://rebinding.example:{forbidden.port}/")
        assert len(permitted.told) == 1
        assert forbidden.told == []

    asyncio.run(scenario())


def test_a_name_that_points_inside_at_the_second_look_up_is_refused_then(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        server, inside = Server(), Server()
        async with serving(server), serving(inside, host="127.0.0.2", port=server.port):
            url = f"http://rebinding.example:{server.port}/"
            async with LOOPBACK.open() as http:
                await http.post(url, b"{}")
            error = await refused(LOOPBACK, url)
        assert says_of(error) == {"permanent"}
        assert (len(server.told), len(inside.told)) == (1, 0)

    asyncio.run(scenario())


def test_a_name_is_looked_up_once_for_all_who_wait_for_it(monkeypatch: pytest.MonkeyPatch):
    looked_up: list[str] = []

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        looked_up.append(host)
        everybody_asked.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            url = f"http://rebinding.example:{server.port}/"
            posts = [asyncio.create_task(http.post(url, b"{}")) for _ in range(50)]
            for _ in range(20):
                await asyncio.sleep(0)
            everybody_asked.set()
            await asyncio.gather(*posts)
            assert (len(server.told), looked_up) == (50, ["rebinding.example"])

    everybody_asked = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        asyncio.run(scenario())


def test_a_name_with_nothing_but_forbidden_addresses_is_refused_for_good(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        resolving(monkeypatch, ["10.0.0.1", "127.0.0.2", "169.254.169.254"])
        error = await refused(LOOPBACK, "https://rebinding.example/")
        assert says_of(error) == {"permanent"}
        assert "to the allowed networks" in str(error)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_an_answer_points_to_is_not_followed(status: int):
    async def scenario() -> None:
        server, elsewhere = Server(), Server()
        async with serving(server, elsewhere), LOOPBACK.open() as http:
            server.will(answer(status, Location=elsewhere.url()))
            assert (await http.post(server.url(), b"{}")).status == status
        assert elsewhere.told == []

    asyncio.run(scenario())


def test_a_proxy_and_a_login_in_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    async def scenario() -> None:
        server, proxy = Server(), Server()
        async with serving(server, proxy):
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url("/"))
            netrc = tmp_path / "netrc"
            netrc.write_text("machine 127.0.0.1 login me password secret\n")
            monkeypatch.setenv("NETRC", str(netrc))
            async with LOOPBACK.open() as http:
                await http.post(server.url(), b"{}")
        assert proxy.told == []
        assert [told.headers.get("Authorization") for told in server.told] == [None]

    asyncio.run(scenario())


def test_a_cookie_is_not_kept():
    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            server.will(answer(200, Set_Cookie="who=me; Path=/"))
            for _ in range(2):
                await http.post(server.url(), b"{}")
        assert [told.headers.get("Cookie") for told in server.told] == [None, None]

    asyncio.run(scenario())


def test_the_bytes_are_sent_as_they_are_and_the_connection_is_kept_for_the_next():
    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            for _ in range(2):
                assert await http.post(server.url("/a?b=c%2Fd%2B"), "{“é”}".encode()) == Answer(status=200, body=b"ok")
        assert server.bodies == ["{“é”}".encode()] * 2
        assert {told.headers["Content-Type"] for told in server.told} == {"application/json; charset=utf-8"}

    asyncio.run(scenario())


def test_of_an_endless_answer_only_the_beginning_is_read():
    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            server.will(answer(200, "x" * 3_000_000))
            got = await http.post(server.url(), b"{}")
            assert got.body == b"x" * ANSWER_LIMIT_BYTES
            assert (await http.post(server.url(), b"{}")).body == b"ok"

    asyncio.run(scenario())


def test_a_small_answer_does_not_unpack_into_a_large_one():
    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            server.will(answer(200, "packed", Content_Encoding="gzip"))
            assert (await http.post(server.url(), b"{}")).body == b"packed"
        assert [told.headers["Accept-Encoding"] for told in server.told] == ["identity"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("30", 30.0), ("0", 0.0), ("1.5", 1.5), ("999999999", 86_400.0), ("-1", None), ("", None), ("soon", None)],
)
def test_how_long_to_wait_is_read_from_the_answer(header: str, wait_s: float | None):
    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            server.will(answer(429, Retry_After=header))
            assert (await http.post(server.url(), b"{}")).retry_after_s == wait_s

    asyncio.run(scenario())


@pytest.mark.parametrize("only_server", [False, True])
@pytest.mark.parametrize("fault", [STALL, CLOSE, CUT, GARBAGE])
def test_without_an_answer_a_message_may_have_been_taken_and_the_next_one_goes_through(fault: str, only_server: bool):
    async def scenario() -> None:
        server = Server()
        async with serving(server), (IMPATIENT if fault is STALL else LOOPBACK).open() as http:
            server.will(fault)
            with pytest.raises(SendError) as failure:
                await http.post(server.url(), b"{}", only_server=only_server)
            assert (await http.post(server.url(), b"{}")).status == 200
        assert says_of(failure.value) == {"uncertain"} | ({"server_down"} if only_server else set())
        assert failure.value.phase == "answer"

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b", "x" * 70, "no-such-host.invalid"])
def test_a_message_that_never_left_is_worth_another_try(host: str):
    async def scenario() -> None:
        server = Server()
        async with serving(server):
            pass  # nobody listens there any more
        error = await refused(LOOPBACK, f"http://{host}:{server.port}/{SECRET}")
        assert says_of(error) == set()
        assert error.phase == "connect"
        assert str(error).startswith(host)

    asyncio.run(scenario())


def test_a_server_that_accepts_and_says_nothing_over_tls_is_given_up_before_the_message_leaves():
    async def scenario() -> None:
        held: list[asyncio.StreamWriter] = []
        async with await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0) as server:
            error = await refused(IMPATIENT, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            for writer in held:
                writer.close()
        assert says_of(error) == set()
        assert error.phase == "connect"

    asyncio.run(scenario())


def test_a_cancelled_message_does_not_confuse_the_next_one():
    async def scenario() -> None:
        server = Server()
        async with serving(server), LOOPBACK.open() as http:
            server.will(STALL)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await http.post(server.url(), b"1")
            assert (await http.post(server.url(), b"2")).status == 200
        assert server.bodies == [b"1", b"2"]

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    if which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = (folder / "cert.pem", folder / "key.pem")
    ask = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made[0]), "-keyout", str(made[1]))
    subprocess.run([*ask.split(), *names], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_server_whose_certificate_is_trusted_gets_the_message(
    trusted: bool, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def scenario() -> None:
        server = Server()
        async with serving(server, tls=context):
            if trusted:
                async with LOOPBACK.open() as http:
                    assert (await http.post(server.url(), b"{}")).status == 200
            else:
                error = await refused(LOOPBACK, server.url())
                assert says_of(error) == set()
                assert "certificate" in str(error)
        assert len(server.told) == int(trusted)

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", [STALL, CLOSE, CUT, GARBAGE])
def test_a_secret_in_the_address_is_neither_said_nor_logged(fault: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        server = Server()
        async with serving(server):
            server.will(fault)
            error = await refused(IMPATIENT, server.url())
        shown = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
        assert SECRET not in shown

    asyncio.run(scenario())
