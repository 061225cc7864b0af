"""Events to a subscriber who is written with nothing of ours, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path
from shutil import which
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from domain.event import Event, EventType
from domain.subscription import Attempt, Envelope, Signing, Subscription
from notifiers import schemas
from notifiers.addresses import Refusal
from notifiers.http import Outgoing
from notifiers.signing import NewSecret, Sealer
from notifiers.webhook import KEPT_BYTES, Webhooks
from tests.notifiers.subscriber import CUT, DRIP, STALL, Subscriber

LOOPBACK = (ip_network("127.0.0.1/32"),)
WEBHOOKS = Webhooks(
    sealer=Sealer(["a key of the settings"]), outgoing=Outgoing(allowed=LOOPBACK), source="https://relance.example"
)
IMPATIENT = replace(WEBHOOKS, outgoing=Outgoing(allowed=LOOPBACK, timeout_s=0.3))
NOW = datetime.now(UTC)  # when something was made, some time before it is used

EVENT = Event(
    id="evt_0d1f8a2b6c7e4f5091a2b3c4",
    seq=7,
    type=EventType.RAISED,
    at=datetime(2026, 11, 23, 7, tzinfo=UTC),
    customer="K1",
    recommendation="0d1f8a2b",
    data={"recommendation": {"say": "Müller „& Söhne“"}},
)


@pytest.fixture
def secret() -> NewSecret:
    return WEBHOOKS.sealer.make(Signing.V1)


@pytest.fixture
def subscriber(secret: NewSecret) -> Iterator[Subscriber]:
    with Subscriber(secrets=[secret.shown]).listening() as subscriber:
        yield subscriber


def subscription(url: str, *secrets: NewSecret, **more: Any) -> Subscription:
    sealed = tuple(each.secret for each in secrets) or (WEBHOOKS.sealer.make(Signing.V1).secret,)
    return Subscription(id="sub_1", owner="u1", url=url, secrets=sealed, created_at=NOW, **more)


def post(to: Subscription, *events: Event, by: Webhooks = WEBHOOKS, now: datetime | None = None) -> list[Attempt]:
    """At the moment when it runs, unless another is given: the reference library asks the clock."""
    at = now or datetime.now(UTC)
    endpoint = by.endpoint(to, now=at)
    assert not isinstance(endpoint, Refusal)

    async def posting() -> list[Attempt]:
        async with by.outgoing.open() as http:
            return [await endpoint.post(http, event, now=at) for event in events or (EVENT,)]

    return asyncio.run(posting())


# --- what arrives ---


def test_an_event_arrives_signed_and_the_attempt_holds_exactly_what_was_sent(
    subscriber: Subscriber, secret: NewSecret
) -> None:
    (attempt,) = post(subscription(subscriber.url, secret))

    (got,) = subscriber.got
    assert got.json == {
        "type": "recommendation.raised",
        "timestamp": "2026-11-23T07:00:00+00:00",
        "data": {"customer": "K1", "recommendation": {"say": "Müller „& Söhne“"}},
    }
    assert got.headers["webhook-id"] == EVENT.id
    assert got.headers["webhook-timestamp"] == f"{int(attempt.at.timestamp())}"
    assert (attempt.request_body, dict(attempt.request_headers)) == (got.body, got.headers)
    assert (attempt.status, attempt.error, attempt.url) == (200, None, subscriber.url)


def test_a_cloudevent_is_one_on_request(subscriber: Subscriber, secret: NewSecret) -> None:
    to = subscription(subscriber.url, secret, envelope=Envelope.CLOUDEVENTS)
    post(to, EVENT, replace(EVENT, customer=None, recommendation=None))

    full, without = subscriber.got
    assert full.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert full.json == {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "https://relance.example",
        "type": "relance.recommendation.raised",
        "subject": "0d1f8a2b",
        "time": "2026-11-23T07:00:00+00:00",
        "datacontenttype": "application/json",
        "dataschema": "https://relance.example/api/v1/schemas/recommendation.raised/1",
        "data": {"customer": "K1", "recommendation": {"say": "Müller „& Söhne“"}},
    }
    assert "subject" not in without.json


def test_during_a_rotation_whoever_knows_the_old_or_the_new_secret_can_verify(subscriber: Subscriber) -> None:
    old, new = WEBHOOKS.sealer.make(Signing.V1), WEBHOOKS.sealer.make(Signing.V1)
    subscriber.secrets = []
    rotated = subscription(subscriber.url, old).rotated(new.secret, overlap=timedelta(hours=1), now=NOW)
    post(rotated)
    post(replace(rotated, secrets=(new.secret, replace(old.secret, until=NOW))))

    both, only_new = subscriber.got
    for known in (old, new):
        Webhook(known.shown).verify(both.body, both.headers)
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    assert len(only_new.headers["webhook-signature"].split(" ")) == 1


def test_v1a_is_verified_with_the_public_key(subscriber: Subscriber) -> None:
    made = WEBHOOKS.sealer.make(Signing.V1A)
    subscriber.secrets = []
    post(subscription(subscriber.url, made, signing=Signing.V1A))

    (got,) = subscriber.got
    scheme, _, signature = got.headers["webhook-signature"].partition(",")
    signed = f"{got.id}.{got.headers['webhook-timestamp']}.".encode() + got.body
    assert scheme == "v1a"
    Ed25519PublicKey.from_public_bytes(b64decode(made.shown.removeprefix("whpk_"))).verify(b64decode(signature), signed)


# --- what is answered ---


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(status: int, subscriber: Subscriber, secret: NewSecret) -> None:
    subscriber.will(status)
    (attempt,) = post(subscription(subscriber.url, secret))
    assert (attempt.status, attempt.error) == (status, None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, {}, "oops"), "it answered 500"),
        ((404, {}, ""), "it answered 404"),
        ((600, {}, ""), "it answered 600"),
        ((302, {"Location": "http://169.254.169.254/"}, ""), "it answered 302, a redirect, which is never followed"),
        ((410, {}, ""), "it answered 410: it is gone for good"),
    ],
)
def test_all_else_is_a_failure_and_no_redirect_is_followed(
    answer: Any, said: str, subscriber: Subscriber, secret: NewSecret
) -> None:
    subscriber.will(answer)
    (attempt,) = post(subscription(subscriber.url, secret))

    assert attempt.error is not None
    assert attempt.error.startswith(said)
    assert (attempt.status, attempt.answer_body, attempt.gone) == (answer[0], answer[2].encode(), answer[0] == 410)
    assert len(subscriber.got) == 1


@pytest.mark.parametrize("answer", [STALL, DRIP])
def test_one_that_does_not_answer_in_time_is_left_alone_for_a_minute(
    answer: str, subscriber: Subscriber, secret: NewSecret
) -> None:
    subscriber.will(answer)
    (attempt,) = post(subscription(subscriber.url, secret), by=IMPATIENT)

    assert (attempt.status, attempt.wait) == (None, timedelta(minutes=1))
    assert attempt.error == "127.0.0.1: there was no answer in time (answer)"
    assert attempt.request_headers["webhook-id"] == EVENT.id


def test_one_that_hangs_up_is_tried_again_as_soon_as_any(subscriber: Subscriber, secret: NewSecret) -> None:
    subscriber.will(CUT)
    failed, then = post(subscription(subscriber.url, secret), EVENT, EVENT)
    assert (failed.wait, failed.error) == (timedelta(), "127.0.0.1: the connection was lost (answer)")
    assert then.error is None


IN_AN_HOUR = "in an hour"


@pytest.mark.parametrize(
    ("status", "header", "quiet_s", "wait_s"),
    [
        (429, None, None, 60),
        (429, "7", 7, 60),
        (429, "120", 120, 120),
        (503, "120", 120, 120),
        (500, None, None, 0),
        (503, IN_AN_HOUR, 3600, 3600),
        (429, "999999999", 86_400, 86_400),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", 86_400, 86_400),
        (503, "Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        (503, "soon", None, 0),
    ],
)
def test_an_endpoint_says_for_how_long_to_leave_it_alone_up_to_a_day(
    status: int, header: str | None, quiet_s: int | None, wait_s: int, subscriber: Subscriber, secret: NewSecret
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    if header == IN_AN_HOUR:
        header = format_datetime(now + timedelta(hours=1), usegmt=True)
    subscriber.will((status, {"Retry-After": header} if header else {}, ""))
    (attempt,) = post(subscription(subscriber.url, secret), now=now)
    assert attempt.quiet == (None if quiet_s is None else timedelta(seconds=quiet_s))
    assert attempt.wait == timedelta(seconds=wait_s)


def test_of_a_huge_answer_only_the_beginning_is_read_and_the_connection_is_closed(
    subscriber: Subscriber, secret: NewSecret
) -> None:
    subscriber.will((200, {}, b"x" * 5_000_000), (200, {}, b"\xff\x00"))
    huge, next_ = post(subscription(subscriber.url, secret), EVENT, EVENT)
    assert (huge.answer_body, huge.error) == (b"x" * KEPT_BYTES, None)
    assert (next_.answer_body, next_.error) == (b"\xff\x00", None)
    assert len(subscriber.connections) == 2


def test_connections_are_kept(subscriber: Subscriber, secret: NewSecret) -> None:
    post(subscription(subscriber.url, secret), *[EVENT] * 5)
    assert len(subscriber.connections) == 1


@pytest.mark.skipif(which("openssl") is None, reason="no openssl to make a certificate with")
def test_an_endpoint_whose_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    files = ("-out", str(tmp_path / "cert.pem"), "-keyout", str(tmp_path / "key.pem"))
    ask = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run([*ask.split(), "-addext", "subjectAltName=IP:127.0.0.1", *files], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Subscriber().listening(tls) as subscriber:
        (attempt,) = post(subscription(subscriber.url))
    assert attempt.error == "127.0.0.1: its certificate is not to be trusted (connect)"
    assert subscriber.got == []


# --- where it may lead ---


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("http://user@example.com/", "the address holds a user or a password"),
        ("https://user:pass@example.com/", "the address holds a user or a password"),
        ("https://:pass@example.com/", "the address holds a user or a password"),
        ("https://example.com/#here", "the address has a fragment"),
        *(
            (f"https://example.com:{port}/", "webhooks do not listen on this port")
            for port in (0, 1, 22, 25, 79, 81, 442, 445, 1023, 2049, 3306, 5432, 6379, 6667, 11211, 27017)
        ),
        ("ftp://example.com/", "the address does not begin with https://"),
        ("https://", "the address does not begin with https://"),
        ("https://example.com:x/", "the address is not a web address"),
        ("javascript:alert(1)", "the address does not begin with https://"),
    ],
)
def test_an_address_that_nothing_may_be_posted_to_is_refused_when_it_is_written_and_when_it_is_used(
    url: str, because: str
) -> None:
    refusal = WEBHOOKS.refusal(url)
    assert refusal is not None
    assert refusal.reason.startswith(because)
    used = WEBHOOKS.endpoint(subscription(url), now=NOW)
    assert isinstance(used, Refusal)
    assert refusal.reason in used.reason
    assert "pass" not in used.reason.removeprefix("nothing can be sent").replace("password", "")


@pytest.mark.parametrize("port", ["", ":443", ":80", ":1024", ":3000", ":8000", ":8443", ":8999", ":9443", ":65535"])
def test_ordinary_ports_are_fine(port: str) -> None:
    assert WEBHOOKS.refusal(f"https://example.com{port}/hook?a=b") is None


def test_plain_http_is_refused_at_once_where_no_network_is_allowed() -> None:
    public = replace(WEBHOOKS, outgoing=Outgoing())
    refusal = public.refusal("http://example.com/")
    assert refusal is not None
    assert refusal.reason.endswith("use https")
    assert WEBHOOKS.refusal("http://crm.internal/") is None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "017700000001"),
        *("１２７.0.0.1", "localhost", "localhost.", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]"),
    ],
)
def test_this_machine_gets_nothing_however_it_is_written(host: str, subscriber: Subscriber) -> None:
    port = subscriber.url.split(":")[2].split("/")[0]
    (attempt,) = post(subscription(f"https://{host}:{port}/hook"), by=replace(WEBHOOKS, outgoing=Outgoing(timeout_s=5)))
    assert attempt.error is not None
    assert (attempt.status, subscriber.got, len(subscriber.connections)) == (None, [], 0)


def test_a_secret_that_cannot_be_opened_any_more_says_whose_and_what_to_do() -> None:
    made = WEBHOOKS.sealer.make(Signing.V1)
    later = replace(WEBHOOKS, sealer=Sealer(["another key of the settings"]))

    refusal = later.endpoint(subscription("https://example.com/", made), now=NOW)

    assert isinstance(refusal, Refusal)
    assert "the secret of subscription sub_1 cannot be opened with any of the secret_keys" in refusal.reason
    assert refusal.reason.endswith("\n\n    relance webhooks rotate-secret sub_1")
    rotated = subscription("https://example.com/", made).rotated(
        later.sealer.make(Signing.V1).secret, overlap=timedelta(hours=1), now=NOW
    )
    assert not isinstance(later.endpoint(rotated, now=NOW), Refusal)


@pytest.mark.parametrize("answer", [200, 500, CUT])
def test_neither_secrets_nor_addresses_are_logged(
    answer: Any, subscriber: Subscriber, secret: NewSecret, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    subscriber.will(answer)
    (attempt,) = post(subscription(f"{subscriber.url}?token=s3cret", secret))
    assert "s3cret" not in caplog.text + (attempt.error or "")
    assert secret.shown not in caplog.text + repr(attempt)


# --- schemas ---


@pytest.mark.parametrize("type_", list(EventType))
def test_each_type_of_event_has_a_schema_with_words_for_every_field_and_an_example_that_is_valid(
    type_: EventType,
) -> None:
    schema = schemas.schema(type_, schemas.VERSIONS[type_])
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for example in schema["examples"]:
        validator.validate(example)
    assert schema["examples"]
    assert list(undescribed(schema)) == []
    json.dumps(schema)


def undescribed(schema: Any, at: str = "") -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        if "$ref" not in inner and not inner.get("description"):
            yield f"{at}/{name}"
        yield from undescribed(inner, f"{at}/{name}")
    for name, inner in schema.get("$defs", {}).items():
        yield from undescribed(inner, f"{at}/$defs/{name}")


@pytest.mark.parametrize(("type_", "version"), [("nothing", 1), ("../secret", 1), ("webhook.test", 0), ("", 1)])
def test_there_is_no_schema_of_what_is_not_sent(type_: str, version: int) -> None:
    assert schemas.schema(type_, version) is None
