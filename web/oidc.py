"""Signing in with OpenID Connect: the authorization code flow with PKCE.

What was begun is kept in a cookie of its own, signed and good for ten minutes, so that nobody can be led into somebody
else's account, and an answer is good for the browser that asked alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast
from urllib.parse import quote, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from itsdangerous import BadData
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from domain.access import IdentityProvider
from domain.delivery import SendError
from notifiers.http import Answer, Http, Outgoing
from notifiers.links import serializer
from store import users
from store.users import User
from web.security import public
from web.services import Services, services_of
from web.signed_in import HOME, cookie_name, enter, set_cookie
from web.trouble import Trouble, TroubleKind

COOKIE = "relance_oidc"
SALT = "relance.oidc"
LASTING = timedelta(minutes=10)
BACK = "/login/oidc/back"
SCOPE = "openid email profile"
LEEWAY_S = 60  # how far clocks may be apart
NAME_LIMIT = 200

# Those with a public key: with a shared secret, or with none, anybody could sign who knows what is public.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})

log = logging.getLogger("relance.web")

router = APIRouter(dependencies=[Depends(public)])


class Untrusted(Exception):
    """The provider's answer is not one to sign somebody in by; the text says why."""


FAILURES = (Untrusted, SendError, JoseError, ValueError, TypeError, KeyError)
"""Whatever may come of an answer that is not as the standard has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was sent along to the provider, and where to go when they are back."""

    state: str
    nonce: str
    verifier: str
    then: str


@router.get("/login/oidc")
def begin(request: Request, then: Annotated[str, Query(alias="next")] = HOME) -> Response:
    services = services_of(request)
    provider = _provider(services)
    begun = Begun(
        state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48), then=then
    )
    try:
        metadata = asyncio.run(_discover(services, provider))
        url = prepare_grant_uri(
            metadata["authorization_endpoint"],
            provider.client_id,
            "code",
            redirect_uri=_back(services),
            scope=SCOPE,
            state=begun.state,
            nonce=begun.nonce,
            code_challenge=create_s256_code_challenge(begun.verifier),
            code_challenge_method="S256",
        )
    except FAILURES as failure:
        raise _failed(failure) from None
    answer = RedirectResponse(url, status_code=303)
    _keep(answer, services, begun, until=services.clock() + LASTING)
    return answer


@router.get(BACK)
def back(request: Request, state: str = "", code: str = "", error: str = "", iss: str | None = None) -> Response:
    """They are back from the provider. Nobody is asked twice with one answer: the cookie ends here."""
    services = services_of(request)
    provider = _provider(services)
    begun = _begun(request, services, now=services.clock())
    try:
        if begun is None or not secrets.compare_digest(state.encode(), begun.state.encode()):
            raise Untrusted("it was not begun in this browser, or too long ago")
        if error or not code:
            raise Untrusted(f"the provider says {error[:100]!r}")
        if iss not in (None, provider.issuer):
            raise Untrusted(f"another issuer answered: {iss!r}")
        claims = asyncio.run(_claims(services, provider, code=code, begun=begun))
    except FAILURES as failure:
        raise _failed(failure) from None
    user = _user(services, provider, claims)
    if user is None or user.disabled_at is not None:
        raise Trouble(TroubleKind.NO_ACCOUNT)
    answer = enter(request, user, then=begun.then)
    set_cookie(answer, services, COOKIE, "", lasting=timedelta(0))
    return answer


# --- whom it is about ---


def _user(services: Services, provider: IdentityProvider, claims: Mapping[str, Any]) -> User | None:
    """By subject, else by an address that the provider has verified, else somebody new where that is wanted."""
    subject = json.dumps([provider.issuer, claims["sub"]])
    known = users.by_subject(services.db, subject)
    email = _printable(claims.get("email"))
    if known is not None or claims.get("email_verified") is not True or not email:
        return known
    if provider.domains and email.rpartition("@")[2].lower() not in provider.domains:
        return None
    known, now = users.by_email(services.db, email), services.clock()
    if known is not None and known.subject is None:
        return users.change(services.db, known.id, {"subject": subject}, source="oidc", now=now)
    role = provider.role_for(_values(claims.get(provider.role_claim or "")))
    if known is not None or role is None or not provider.create_users:
        return None  # the address belongs to another subject now: that is for an admin to settle
    try:
        return users.add(
            services.db,
            email=email,
            name=_printable(claims.get("name")) or email,
            role=role,
            subject=subject,
            source="oidc",
            now=now,
        )
    except users.Taken:  # twice at the same time
        return users.by_subject(services.db, subject)


def _values(claim: object) -> frozenset[str]:
    values = claim if isinstance(claim, list) else [claim]
    return frozenset(value for value in values if isinstance(value, str))


def _printable(claim: object) -> str:
    return "".join(c for c in claim if c.isprintable())[:NAME_LIMIT].strip() if isinstance(claim, str) else ""


# --- what the provider is asked ---


async def _claims(services: Services, provider: IdentityProvider, *, code: str, begun: Begun) -> Mapping[str, Any]:
    """What the provider says of them, checked. Raises one of `FAILURES`."""
    async with (services.outgoing or Outgoing()).open() as http:
        metadata = await _metadata(http, provider)
        token = await _token(http, provider, metadata, code=code, verifier=begun.verifier, back=_back(services))
        keys = KeySet.import_key_set(cast("Any", _object(await http.get(metadata["jwks_uri"]))))
    allowed = ALGORITHMS.intersection(metadata.get("id_token_signing_alg_values_supported", ["RS256"]))
    decoded = jwt.decode(token, keys, algorithms=allowed)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": provider.client_id},
            "sub": {"essential": True},
        },
        params={"nonce": begun.nonce, "client_id": provider.client_id},
    )
    claims.validate(now=int(services.clock().timestamp()), leeway=LEEWAY_S)
    return claims


async def _discover(services: Services, provider: IdentityProvider) -> Mapping[str, Any]:
    async with (services.outgoing or Outgoing()).open() as http:
        return await _metadata(http, provider)


async def _metadata(http: Http, provider: IdentityProvider) -> Mapping[str, Any]:
    metadata = _object(await http.get(get_well_known_url(provider.issuer, external=True)))
    if metadata.get("issuer") != provider.issuer:
        raise Untrusted("its metadata names another issuer")
    return metadata


async def _token(
    http: Http, provider: IdentityProvider, metadata: Mapping[str, Any], *, code: str, verifier: str, back: str
) -> str:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    secret = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
    if "client_secret_basic" in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    else:
        form |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
    answer = await http.post(metadata["token_endpoint"], urlencode(form).encode(), headers=headers)
    return str(_object(answer)["id_token"])


def _object(answer: Answer) -> dict[str, Any]:
    found = json.loads(answer.body) if answer.status == 200 else None
    if not isinstance(found, dict):
        raise Untrusted(f"it answered {answer.status}, or with no JSON object")
    return found


# --- the cookie ---


def _keep(answer: Response, services: Services, begun: Begun, *, until: datetime) -> None:
    kept = [begun.state, begun.nonce, begun.verifier, begun.then, int(until.timestamp())]
    set_cookie(answer, services, COOKIE, serializer(services.keys, SALT).dumps(kept), lasting=LASTING)


def _begun(request: Request, services: Services, *, now: datetime) -> Begun | None:
    cookie = request.cookies.get(cookie_name(services, COOKIE), "")
    try:
        state, nonce, verifier, then, until_s = serializer(services.keys, SALT).loads(cookie)
    except BadData:
        return None
    if now >= datetime.fromtimestamp(until_s, UTC):
        return None
    return Begun(state=state, nonce=nonce, verifier=verifier, then=then)


def _back(services: Services) -> str:
    return services.base_url.rstrip("/") + BACK


def _provider(services: Services) -> IdentityProvider:
    assert services.provider is not None, "without one these routes are not there"
    return services.provider


def _failed(failure: Exception) -> Trouble:
    """Whoever set it up reads in the log what is wrong; a stranger learns nothing."""
    log.warning("signing in by OpenID Connect failed: %s: %s", type(failure).__name__, failure)
    return Trouble(TroubleKind.SIGN_IN_FAILED)
