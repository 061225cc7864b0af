from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from domain.subscription import SECRET_LIMIT, Secret, Signing, Subscription, TooManySecrets
from notifiers.signing import Sealer, Unopenable

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD, NEW = "an old key of the settings", "a new key of the settings"


def subscription(*secrets: Secret) -> Subscription:
    return Subscription(id="sub_1", owner="u1", url="https://example.com/", secrets=secrets, created_at=NOW)


@pytest.mark.parametrize("body", ["", "{}", '{"name":"Müller „Söhne“ 😀"}', "x" * 100_000])
def test_a_v1_signature_is_what_the_reference_library_makes(body: str) -> None:
    sealer = Sealer([NEW])
    made = sealer.make(Signing.V1)

    signature = sealer.opened(made.secret)(f"evt_1.{NOW.timestamp():.0f}.{body}".encode())

    assert signature == Webhook(made.shown).sign("evt_1", NOW, body)


def test_a_v1a_signature_is_verified_with_the_public_key_alone_and_covers_every_byte() -> None:
    sealer = Sealer([NEW])
    made = sealer.make(Signing.V1A)
    assert made.shown == made.secret.public
    public = Ed25519PublicKey.from_public_bytes(b64decode(made.shown.removeprefix("whpk_")))

    scheme, _, signature = sealer.opened(made.secret)(b"evt_1.1.{}").partition(",")

    assert scheme == "v1a"
    public.verify(b64decode(signature), b"evt_1.1.{}")
    with pytest.raises(InvalidSignature):
        public.verify(b64decode(signature), b"evt_1.1.{ }")


def test_each_secret_is_another_one_with_256_bits() -> None:
    shown = {Sealer([NEW]).make(Signing.V1).shown for _ in range(20)}
    assert len(shown) == 20
    assert {len(b64decode(each.removeprefix("whsec_"))) for each in shown} == {32}


@pytest.mark.parametrize("signing", list(Signing))
def test_a_key_of_the_settings_is_replaced_without_losing_what_it_sealed(signing: Signing) -> None:
    before = Sealer([OLD]).make(signing).secret

    both = Sealer([NEW, OLD])
    assert both.opened(before)(b"x") == Sealer([OLD]).opened(before)(b"x")
    since = both.make(signing).secret
    assert Sealer([NEW]).opened(since)(b"x") == both.opened(since)(b"x")
    with pytest.raises(Unopenable):
        Sealer([NEW]).opened(before)


def test_what_is_stored_or_printed_by_mistake_holds_no_secret() -> None:
    made = Sealer([NEW]).make(Signing.V1)
    assert made.shown.removeprefix("whsec_") not in repr(made) + made.secret.sealed
    with pytest.raises(InvalidToken):
        Fernet("YSBuZXcga2V5IG9mIHRoZSBzZXR0aW5nc18gICAgICA=").decrypt(made.secret.sealed)


def test_after_a_rotation_the_old_secret_signs_as_well_for_as_long_as_was_said() -> None:
    first, second, third = (Sealer([NEW]).make(Signing.V1).secret for _ in range(3))

    rotated = subscription(first).rotated(second, overlap=24 * HOUR, now=NOW)
    assert [secret.until for secret in rotated.secrets] == [None, NOW + 24 * HOUR]
    assert [secret.is_valid(NOW + 25 * HOUR) for secret in rotated.secrets] == [True, False]

    sooner = rotated.rotated(third, overlap=HOUR, now=NOW)
    assert [secret.until for secret in sooner.secrets] == [None, NOW + HOUR, NOW + HOUR]
    assert sooner.rotated(first, overlap=24 * HOUR, now=NOW + 2 * HOUR).secrets == (
        first,
        replace(third, until=NOW + 26 * HOUR),
    )


def test_a_stolen_secret_is_worth_nothing_at_once() -> None:
    first, second = (Sealer([NEW]).make(Signing.V1).secret for _ in range(2))
    assert subscription(first).rotated(second, overlap=timedelta(), now=NOW).secrets == (second,)


def test_no_more_secrets_are_valid_at_once_than_fit_into_a_header() -> None:
    secret = Sealer([NEW]).make(Signing.V1).secret
    full = subscription(*[replace(secret, until=NOW + HOUR) for _ in range(SECRET_LIMIT)])
    with pytest.raises(TooManySecrets, match="5 secrets are valid at once and no more: wait until 2026-11-23T09"):
        full.rotated(secret, overlap=HOUR, now=NOW)
    assert full.rotated(secret, overlap=timedelta(), now=NOW).secrets == (secret,)
