"""Signing in with OpenID Connect, with a provider on a socket, and what must not let anybody in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from domain.access import Role
from store import users
from tests.story.post_office import PostOffice
from tests.story.relance import COMPANY, Relance
from tests.web.identity_provider import (
    CLIENT,
    SECRET,
    IdentityProvider,
    signed,
    signed_by_another_key,
    signed_with_what_is_public,
    unsigned,
)
from tests.web.office import heading
from web.api.app import PREFIX

START = datetime(2026, 9, 1, 6, tzinfo=UTC)
LENA: dict[str, Any] = {"email": "Lena@example.com", "email_verified": True, "name": "Lena Steiner"}
NEW_USERS = {"create_users": True, "role_claim": "groups", "roles": {"sellers": "sales", "bosses": "manager"}}


@dataclass(kw_only=True)
class World:
    company: Relance
    provider: IdentityProvider
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def sets(self, **settings: Any) -> None:
        known = {"issuer": self.provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
        self.company.sets(allowed_networks=["127.0.0.0/8"], oidc=known | settings)

    def get(self, path: str) -> Response:
        return self.company.pages.get(path.removeprefix("http://testserver"), follow_redirects=False)

    def begins(self, then: str = "/account") -> Response:
        return self.get(f"/login/oidc?next={then}")

    def signs_in(self, then: str = "/account") -> Response:
        """All the way: to the provider and back."""
        return self.get(self.provider.authorize(self.begins(then).headers["Location"]))

    def user(self, email: str, **more: Any) -> users.User:
        known = {"name": "Lena", "role": Role.SALES} | more
        return users.add(self.company.db, email=email, **known, source="test", now=START)

    @property
    def me(self) -> dict[str, Any]:
        return self.company.pages.get(f"{PREFIX}/me").json()

    @property
    def users(self) -> list[users.User]:
        return users.listing(self.company.db, limit=100)

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Another browser, and users as they are now are left alone."""
        before = self.users
        self.company.pages.cookies.clear()
        yield
        assert self.users == before
        assert self.me.get("status") == 401


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    own = tmp_path / "rules"
    own.mkdir()
    (own / "company.yaml").write_text(COMPANY, encoding="utf-8")
    company = Relance(database=sqlite_url, packs=["base", str(own)], post=PostOffice(), now=START)
    provider = IdentityProvider(clock=lambda: company.now)
    with company.running(), provider.running():
        world = World(company=company, provider=provider)
        world.sets()
        yield world


def test_a_user_is_known_by_a_verified_address_once_and_by_the_subject_ever_after(world: World) -> None:
    lena = world.user("lena@example.com")
    world.provider.claims = LENA
    begun = world.begins("/r/x%3Fas=done")
    assert begun.status_code == 303
    assert "HttpOnly" in begun.headers["Set-Cookie"]
    back = world.get(world.provider.authorize(begun.headers["Location"]))
    assert (back.status_code, back.headers["Location"]) == (303, "/r/x?as=done")
    assert (world.me["user"], world.me["role"]) == (lena.id, "sales")
    assert "relance_oidc" not in world.company.pages.cookies

    world.company.pages.cookies.clear()
    world.provider.claims = {"email": "married@example.com"}
    world.provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert world.signs_in("//evil.example.com").headers["Location"] == "/account"
    assert world.me["user"] == lena.id
    assert "Sign in with your organisation" in world.company.pages.post("/login", data={"email": "x"}).text


def test_nobody_gets_in_by_an_address_alone(world: World) -> None:
    world.user("lena@example.com", subject='["another", "1"]')
    world.user("petra@example.com")
    for claims in (
        LENA,  # she has another subject
        {"email": "petra@example.com"},
        {"email": "petra@example.com", "email_verified": False},
        {"email": "petra@example.com", "email_verified": "true"},
        {"email": "stranger@example.com", "email_verified": True},
        {"email_verified": True},
        {"email": ["petra@example.com"], "email_verified": True},
    ):
        with world.fresh():
            world.provider.claims = claims
            refused = world.signs_in()
            assert (refused.status_code, heading(refused)) == (403, "You have no account here"), claims


def test_somebody_new_gets_the_role_of_their_group_where_the_settings_allow_it(world: World) -> None:
    world.sets(**NEW_USERS, domains=["Example.com"])
    for refused in (
        LENA,
        LENA | {"groups": ["cleaners"]},
        LENA | {"groups": "sellers", "email_verified": None},
        LENA | {"groups": "sellers", "email": "lena@example.com.evil.org"},
        LENA | {"groups": "sellers", "email": "lena@example.com@evil.org"},
    ):
        with world.fresh():
            world.provider.claims = refused
            assert world.signs_in().status_code == 403, refused
    world.provider.claims = LENA | {"groups": ["cleaners", "bosses", "sellers"]}
    assert world.signs_in().status_code == 303
    assert (world.me["name"], world.me["role"]) == ("Lena Steiner", "sales"), "the first of the settings counts"
    (lena,) = world.users
    assert lena.email == "lena@example.com"
    users.change(world.company.db, lena.id, {"disabled_at": START}, source="test", now=START)
    with world.fresh():
        assert world.signs_in().status_code == 403
    world.sets(create_users=True, roles={"*": "product-manager"})
    world.provider.claims = {"sub": "other", "email": "new@example.org", "email_verified": True, "name": 7}
    assert world.signs_in().status_code == 303
    assert (world.me["name"], world.me["role"]) == ("new@example.org", "product-manager")


MANY_MINUTES = {name: int((START + timedelta(minutes=m)).timestamp()) for name, m in (("past", -5), ("future", 5))}
UNTRUSTED: dict[str, dict[str, Any]] = {  # `says`: what the log tells whoever set it up
    "another issuer": {"claims": {"iss": "https://evil.example.com"}},
    "for another client": {"claims": {"aud": "another"}},
    "for several, authorised for another": {"claims": {"aud": [CLIENT, "another"], "azp": "another"}},
    "for several, authorised for none": {"claims": {"aud": ["another", CLIENT]}},
    "expired": {"claims": {"exp": MANY_MINUTES["past"]}, "says": "ExpiredToken"},
    "without an end": {"claims": {"exp": None}},
    "not yet valid": {"claims": {"nbf": MANY_MINUTES["future"]}, "says": "not yet valid"},
    "of the future": {"claims": {"iat": MANY_MINUTES["future"]}, "says": "in the future"},
    "another nonce": {"claims": {"nonce": "replayed"}},
    "no nonce": {"claims": {"nonce": None}},
    "no subject": {"claims": {"sub": None}},
    "an empty subject": {"claims": {"sub": ""}},
    "a subject that is no text": {"claims": {"sub": 7}},
    "another key": {"sign": signed_by_another_key, "says": "BadSignature"},
    "no signature": {"sign": unsigned, "says": "'none' is not allowed"},
    "the public key as a secret": {"sign": signed_with_what_is_public, "says": "'HS256' is not allowed"},
    "no token at all": {"sign": lambda _: "nonsense", "says": "DecodeError"},
    "no key of that name": {"metadata": {"jwks_uri": "http://127.0.0.1:9/"}, "says": "no connection could be made"},
    "metadata of another issuer": {"metadata": {"issuer": "https://evil.example.com"}, "says": "names another issuer"},
    "an algorithm that is not announced": {
        "metadata": {"id_token_signing_alg_values_supported": ["ES256"]},
        "says": "'RS256' is",
    },
    "a token endpoint inside": {
        "metadata": {"token_endpoint": "http://10.0.0.1/token"},
        "says": "plain http leads only",
    },
    "nonsense for algorithms": {"metadata": {"id_token_signing_alg_values_supported": 7}, "says": "TypeError"},
}


def test_what_the_provider_says_is_checked(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.user("lena@example.com")
    url = world.begins().headers["Location"]
    cookie = world.company.pages.cookies["relance_oidc"]
    for what, wrong in UNTRUSTED.items():
        with world.fresh():
            world.company.pages.cookies["relance_oidc"] = cookie
            world.provider.claims = LENA | wrong.get("claims", {})
            world.provider.metadata = wrong.get("metadata", {})
            world.provider.sign = wrong.get("sign", signed)
            caplog.clear()
            refused = world.get(world.provider.authorize(url))
            assert (refused.status_code, heading(refused)) == (403, "Signing in did not work"), what
            assert wrong.get("says", "claim") in caplog.text, what
            assert SECRET not in caplog.text
    world.provider.claims, world.provider.metadata, world.provider.sign = LENA, {}, signed
    assert world.get(world.provider.authorize(url)).status_code == 303, "otherwise it would have been well"


def test_an_answer_is_good_once_for_the_browser_that_asked_and_for_ten_minutes(world: World) -> None:
    world.user("lena@example.com")
    world.provider.claims = LENA
    for method in ("another browser", "another state", "a forged cookie", "too late", "an error", "another issuer"):
        with world.fresh():
            back = world.provider.authorize(world.begins().headers["Location"])
            cookies = world.company.pages.cookies
            match method:
                case "another browser":
                    cookies.clear()
                case "another state":
                    back = back.replace("state=", "state=x")
                case "a forged cookie":
                    cookies["relance_oidc"] = cookies["relance_oidc"][:-2]
                case "too late":
                    world.company.now += timedelta(minutes=10)
                case "an error":
                    back = back.replace("code=", "error=access_denied&x=")
                case _:
                    back = back.replace("realm", "other")
            assert world.get(back).status_code == 403, method
    world.company.pages.cookies.clear()
    back = world.provider.authorize(world.begins().headers["Location"])
    asked_before = world.company.pages.cookies["relance_oidc"]
    assert world.get(back).status_code == 303
    with world.fresh():
        world.company.pages.cookies["relance_oidc"] = asked_before
        assert world.get(back).status_code == 403, "the provider takes a code once"


def test_a_provider_that_cannot_be_reached_gives_a_plain_page(world: World) -> None:
    world.sets(issuer="http://127.0.0.1:9/realm")
    assert heading(world.begins()) == "Signing in did not work"
    world.sets(issuer="http://192.0.2.1/realm")
    assert heading(world.begins()) == "Signing in did not work"
    world.company.sets(oidc=None)
    assert world.begins().status_code == 404
    assert "organisation" not in world.company.pages.get("/login").text
