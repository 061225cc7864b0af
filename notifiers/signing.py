"""Signatures as Standard Webhooks wants them, and how the secrets behind them are kept.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.subscription import Secret, Signing

SECRET, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
SECRET_BYTES = 32
PURPOSE = b"relance.webhook-secrets.1"  # so that these keys open nothing else, and no other use of them opens these


class Unopenable(Exception):
    """A stored secret was sealed with a key that the settings do not name any more."""


class Sign(Protocol):
    """The signature of a message, with the scheme that it was made by in front."""

    def __call__(self, message: bytes, /) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """`shown`: what the receiver verifies with, a secret or a public key: the one time that a secret is seen."""

    secret: Secret
    shown: str = field(repr=False)


class Sealer:
    """Keeps secrets so that the database alone gives nothing away. The first key seals, all open."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = MultiFernet([_derived(key) for key in keys])

    def make(self, signing: Signing) -> NewSecret:
        if signing is Signing.V1:
            text = SECRET + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
            return NewSecret(secret=Secret(sealed=self._seal(text)), shown=text)
        key = Ed25519PrivateKey.generate()
        public = PUBLIC + b64encode(key.public_key().public_bytes_raw()).decode()
        sealed = self._seal(PRIVATE + b64encode(key.private_bytes_raw()).decode())
        return NewSecret(secret=Secret(sealed=sealed, public=public), shown=public)

    def opened(self, secret: Secret) -> Sign:
        """Raises `Unopenable`."""
        try:
            text = self._keys.decrypt(secret.sealed).decode()
        except InvalidToken:
            raise Unopenable from None
        prefix, _, key = text.partition("_")
        return SIGNS[f"{prefix}_"](b64decode(key))

    def _seal(self, text: str) -> str:
        return self._keys.encrypt(text.encode()).decode()


def _derived(key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return Fernet(urlsafe_b64encode(derived))


def _v1(key: bytes) -> Sign:
    return lambda message: "v1," + b64encode(hmac.digest(key, message, "sha256")).decode()


def _v1a(key: bytes) -> Sign:
    private = Ed25519PrivateKey.from_private_bytes(key)
    return lambda message: "v1a," + b64encode(private.sign(message)).decode()


SIGNS = {SECRET: _v1, PRIVATE: _v1a}
