"""Who may do what: every route against every role, and ways around it that must not work."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from httpx import Response
from starlette.routing import Mount
from starlette.types import Message

from domain.access import ROLES, Permission, Role, granted
from store import users
from store.tables import audit as audited
from tests.story.relance import customer
from tests.web.api.office import PREFIX, Api, Caller
from web.api.app import requires_of, routes_of
from web.headers import HEADERS
from web.security import demo, mattermost_signed, personal_link, public, signed_link, slack_signed
from web.signed_in import session
from web.vitals import scraper

PAGES = {scraper, public, signed_link, personal_link, slack_signed, mattermost_signed, demo, session}
PASSWORD = "correct horse battery"
EXISTING = {"customer": "K1", "customer_id": "K1", "person": "seller", "kind": "customer"}

# Permissions have nothing to do with the database.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(app: FastAPI, method: str, path: str, *, token: str | None = None) -> Answered:
    """One request to the application itself, that hangs up as soon as an answer begins that does not end."""

    async def asked() -> Answered:
        sent: list[Message] = []
        begun = asyncio.Event()
        body: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": False}]

        async def receive() -> Message:
            if body:
                return body.pop()
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            begun.set()

        headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
        headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.0"}, "http_version": "1.1"}
        scope |= {"method": method, "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"root_path": "", "headers": headers, "client": ("192.0.2.7", 1), "server": ("testserver", 80)}
        await app(scope, receive, send)
        start, *rest = sent
        return Answered(
            status=start["status"],
            headers={name.decode().lower(): value.decode() for name, value in start["headers"]},
            body=b"".join(message.get("body", b"") for message in rest),
        )

    return asyncio.run(asked())


def filled(path: str, existing: dict[str, str] | None = None) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: (existing or {}).get(found[1], "1"), path)


def sub_application(app: FastAPI) -> FastAPI:
    (mount,) = (route for route in app.routes if isinstance(route, Mount))
    assert isinstance(mount.app, FastAPI)
    return mount.app


def calls(app: FastAPI) -> list[tuple[APIRoute, str]]:
    return [(route, method) for route in routes_of(app) for method in sorted(route.methods or ())]


@on_one_database
def test_every_route_lets_in_who_has_its_permission_and_nobody_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody: 401. Without the permission: 403, the same whether the object exists. With it: anything else."""
    api.company.has(customer("K1"))
    app = api.company.pages.app
    assert isinstance(app, FastAPI)
    logging.disable(logging.CRITICAL)  # some of what is asked for makes no sense
    monkeypatch.setattr(users, "USED_EVERY", timedelta(days=1))
    roles = {role: api.as_(role) for role in Role}
    user = users.by_token(api.company.db, roles[Role.SALES].token or "", now=api.company.now)
    assert user is not None
    known = EXISTING | {"user": user.user, "token": user.token or ""}
    seen: set[Permission | None] = set()
    try:
        for route, method in calls(sub_application(app)):
            asks, what = requires_of(route), f"{method} {route.path}"
            missing, there = PREFIX + filled(route.path), PREFIX + filled(route.path, known)
            if asks is None:
                assert public in {d.call for d in route.dependant.dependencies}, f"{what} states nothing"
                assert ask(app, method, missing).status not in (401, 403), what
                continue
            seen.add(asks.permission)
            refused = [ask(app, method, path) for path in (missing, there)]
            assert {answer.status for answer in refused} == {401}, what
            assert len({answer.body for answer in refused}) == 1, what
            scoped = api.as_(Role.ADMIN, scopes=frozenset(set(Permission) - {asks.permission}))
            for caller, permissions in [
                *((roles[role], granted(role)) for role in Role),
                (scoped, scoped_to(asks.permission)),
            ]:
                if asks.permission is None or asks.permission in permissions:
                    answer = ask(app, method, missing, token=caller.token)
                    assert answer.status not in (401, 403), f"{what}: {answer}"
                    assert answer.status < 500, f"{what}: {answer}"
                else:
                    refused = [ask(app, method, path, token=caller.token) for path in (missing, there)]
                    assert {answer.status for answer in refused} == {403}, what
                    assert len({answer.body for answer in refused}) == 1, what
    finally:
        logging.disable(logging.NOTSET)
    assert seen >= {None, Permission.USERS_MANAGE, Permission.TOKENS_MANAGE}


def scoped_to(without: Permission | None) -> frozenset[Permission]:
    return frozenset(set(Permission) - {without})


@on_one_database
def test_every_page_states_who_may_use_it_and_every_answer_keeps_strangers_and_scripts_out(api: Api) -> None:
    app = api.company.pages.app
    assert isinstance(app, FastAPI)
    pages = [context.original_route for context in iter_route_contexts(app.routes)]
    assert {"/login", "/logout", "/account", "/r/{token}", "/me/{token}"} <= {getattr(p, "path", "") for p in pages}
    for route in pages:
        if isinstance(route, Mount):
            assert route.path == PREFIX, "nothing else is mounted: what it states would be unknown"
            continue
        assert isinstance(route, APIRoute)
        stated = {dependency.call for dependency in flattened(route.dependant)} & PAGES
        assert len(stated) == 1, f"{route.path} states {stated or 'nothing'}"
    asked = [(method, filled(route.path)) for route, method in calls(app)]
    asked += [(method, PREFIX + filled(route.path)) for route, method in calls(sub_application(app))]
    asked += [("GET", "/no/such/page"), ("GET", f"{PREFIX}/no/such/route"), ("DELETE", "/login")]
    for method, path in asked:
        for token in (None, api.admin.token):
            headers = ask(app, method, path, token=token).headers
            assert set(map(str.lower, HEADERS)) <= set(headers), f"{method} {path}"
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'"), f"{method} {path}"
            assert not re.search(r"unsafe-|https?:|//|\*", policy), f"{method} {path}: {policy}"


def flattened(dependant: object) -> list:
    dependencies = getattr(dependant, "dependencies", [])
    return [*dependencies, *(inner for outer in dependencies for inner in flattened(outer))]


def test_a_role_brings_what_it_says_and_an_integrator_reads_nothing() -> None:
    assert ROLES.keys() == set(Role)
    assert granted(Role.ADMIN) == set(Permission)
    assert granted(Role.SALES) < granted(Role.MANAGER)
    reads = {permission for permission in granted(Role.INTEGRATOR) if permission.value.endswith(":read")}
    assert reads == {Permission.RULES_READ}
    assert granted(Role.ADMIN, frozenset({Permission.RULES_READ})) == {Permission.RULES_READ}
    assert granted(Role.SALES, frozenset({Permission.USERS_MANAGE})) == frozenset()


# --- sessions ---


def signs_in(api: Api, role: Role = Role.ADMIN, *, password: str = PASSWORD) -> users.User:
    """Somebody of this role signs in with the browser of the test."""
    now, db, email = api.company.now, api.company.db, f"{role}@example.com"
    user = users.by_email(db, email) or users.add(
        db, email=email, name="X", role=role, password=password, source="test", now=now
    )
    assert enters(api, email, password).status_code == 303
    return user


def enters(api: Api, email: str, password: str = PASSWORD, **more: str) -> Response:
    form = {"email": email, "password": password} | more
    return api.company.pages.post("/login", data=form, follow_redirects=False)


def writes(api: Api, **headers: str | bytes) -> Response:
    """The browser makes a token through the API."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.company.pages.post(f"{PREFIX}/tokens", json={"name": "made"}, headers=sent)


def test_a_write_with_a_cookie_needs_the_csrf_token_of_that_very_session(api: Api) -> None:
    signs_in(api, Role.SALES)
    other = api.nobody.get("/me").json()["csrf"]
    signs_in(api)
    me = api.nobody.get("/me").json()
    assert (me["role"], me["token"]) == ("admin", None)
    own = me["csrf"]
    assert own != other
    for refused in (
        writes(api),
        writes(api, X_CSRF_Token=""),
        writes(api, X_CSRF_Token=other),
        writes(api, X_CSRF_Token=own[:-1]),
        writes(api, X_CSRF_Token="é".encode()),
        writes(api, X_CSRF_Token=own, Origin="https://evil.example.com"),
        writes(api, X_CSRF_Token=own, Origin="null"),
        writes(api, X_CSRF_Token=own, Sec_Fetch_Site="cross-site"),
        writes(api, X_CSRF_Token=own, Sec_Fetch_Site="same-site"),
    ):
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:relance:problem:forbidden")
    assert api.nobody.get("/tokens").json()["items"] == []
    for accepted in (
        writes(api, X_CSRF_Token=own),
        writes(api, X_CSRF_Token=own, Origin="http://testserver"),
        writes(api, X_CSRF_Token=own, Sec_Fetch_Site="same-origin", Origin="http://testserver"),
    ):
        assert accepted.status_code == 201, accepted.text
    # A token needs none, and beside a cookie it is the token that counts, a bad one too.
    for token, status in ((api.as_(Role.MANAGER).token, 201), (api.integrator.token, 403), ("rel_bad", 401)):
        assert writes(api, Authorization=f"Bearer {token}").status_code == status
        assert writes(api, Authorization=f"Bearer {token}", X_CSRF_Token=own).status_code == status
    assert writes(api, Authorization="Basic eDp5", X_CSRF_Token=own).status_code == 401


@on_one_database
def test_whoever_is_disabled_or_demoted_is_out_at_once_and_can_come_back(api: Api) -> None:
    user = signs_in(api, Role.MANAGER)
    csrf = api.nobody.get("/me").json()["csrf"]
    token = Caller(company=api.company, token=writes(api, X_CSRF_Token=csrf).json()["token"])
    assert token.get("/me").status_code == 200
    assert api.admin.patch(f"/users/{user.id}", json={"disabled": True}).json()["disabled_at"]
    assert [api.nobody.get("/me").status_code, token.get("/me").status_code] == [401, 401]
    refused = enters(api, user.email)
    assert (refused.status_code, "This account is disabled" in refused.text) == (403, True)
    assert "This account is disabled" not in enters(api, user.email, "not the password").text
    assert api.admin.patch(f"/users/{user.id}", json={"disabled": False}).json()["disabled_at"] is None
    assert enters(api, user.email).status_code == 303
    assert api.admin.patch(f"/users/{user.id}", json={"role": "sales"}).json()["role"] == "sales"
    assert [api.nobody.get("/me").status_code, token.get("/me").status_code] == [401, 401]


def test_bad_tokens_are_counted_by_address_and_refused_for_a_minute_while_good_ones_pass(api: Api) -> None:
    guess = Caller(company=api.company, token="rel_guessed")
    assert [guess.get("/me").status_code for _ in range(20)] == [401] * 20
    refused = guess.get("/users")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert api.nobody.get("/me").status_code == 401, "no token is no guess"
    assert api.sales.get("/me").status_code == 200
    api.company.now += timedelta(minutes=1)
    assert guess.get("/me").status_code == 401


# --- users ---


def test_an_admin_keeps_the_users(api: Api) -> None:
    new = {"email": "Petra@Example.com", "name": "Petra Frei", "role": "sales", "person": "seller"}
    made = api.admin.post("/users", json=new | {"password": PASSWORD})
    assert made.status_code == 201
    petra = made.json()
    assert petra["email"] == "petra@example.com"
    pages, cursor = [], ""
    while cursor is not None:
        page = api.admin.get(f"/users?limit=1{cursor}").json()
        pages += [user["email"] for user in page["items"]]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert pages == ["admin.none.0@example.com", "petra@example.com"]

    path = f"/users/{petra['id']}"
    changed = api.admin.patch(path, json={"role": "manager", "person": None, "name": None}).json()
    assert changed == petra | {"role": "manager", "person": None}
    assert api.admin.put(f"{path}/password", json={"password": "another one of mine"}).status_code == 204
    assert enters(api, "petra@example.com", "another one of mine").status_code == 303

    for method, where, body, status in (
        ("POST", "/users", new, 409),
        ("POST", "/users", new | {"email": "x@example.com", "password": "petra frei 2026"}, 409),
        ("POST", "/users", new | {"email": "x@example.com", "person": "ghost"}, 409),
        ("POST", "/users", new | {"email": "x@example.com", "role": "root"}, 422),
        ("POST", "/users", new | {"email": "x\0@example.com"}, 422),
        ("POST", "/users", new | {"email": "x@example.com", "password": "short"}, 422),
        ("PATCH", path, {"person": "ghost"}, 409),
        ("PATCH", path, {"email": "other@example.com"}, 422),
        ("PATCH", "/users/ghost", {"name": "X"}, 404),
        ("PUT", "/users/ghost/password", {"password": PASSWORD}, 404),
        ("PUT", f"{path}/password", {"password": "petra@example.com"}, 409),
    ):
        answer = api.admin(method, where, json=body)
        assert answer.status_code == status, answer.text
        assert "short" not in answer.text.replace("shortest", "")
        assert "petra frei 2026" not in answer.text
    assert api.admin.get("/users?cursor=x").status_code == 422


def test_the_last_admin_stays(api: Api) -> None:
    me = api.admin.get("/me").json()["user"]
    for change in ({"disabled": True}, {"role": "manager"}):
        refused = api.admin.patch(f"/users/{me}", json=change)
        assert (refused.status_code, refused.json()["detail"]) == (
            409,
            "This is the last admin: make somebody else one first.",
        )
    second = api.admin.post("/users", json={"email": "b@example.com", "name": "B", "role": "admin"}).json()["id"]
    assert api.admin.patch(f"/users/{me}", json={"role": "manager"}).status_code == 200
    assert api.admin.get("/users").status_code == 401, "demoted, and so without this token"
    assert users.get(api.company.db, second) is not None


def test_nobody_gives_away_what_they_do_not_have(api: Api) -> None:
    """A token for users alone must not become an admin by making one, or by taking one over."""
    narrow = api.as_(Role.ADMIN, scopes=frozenset({Permission.USERS_MANAGE, Permission.TOKENS_MANAGE}))
    admin = api.admin.get("/me").json()["user"]
    new = {"email": "x@example.com", "name": "X", "role": "admin"}
    for refused in (
        narrow.post("/users", json=new),
        narrow.put(f"/users/{admin}/password", json={"password": PASSWORD}),
        narrow.patch(f"/users/{admin}", json={"name": "Mine"}),
        narrow.post("/tokens", json={"name": "t", "scopes": ["audit:read"]}),
        api.sales.post("/tokens", json={"name": "t", "scopes": ["users:manage"]}),
        api.admin.post("/tokens", json={"name": "t", "scopes": ["users:manage"], "user": sales_user(api)}),
    ):
        assert refused.status_code == 403, refused.text
    made = narrow.post("/tokens", json={"name": "t"}).json()
    assert made["scopes"] == ["tokens:manage", "users:manage"]
    made = narrow.post("/tokens", json={"name": "t", "user": sales_user(api)}).json()
    assert made["scopes"] == ["tokens:manage"]


def sales_user(api: Api) -> str:
    return api.sales.get("/me").json()["user"]


# --- tokens ---


def test_tokens_are_ones_own_and_an_admins_are_everybodys(api: Api) -> None:
    made = api.sales.post("/tokens", json={"name": "mine", "scopes": ["rules:read"], "days": 30}).json()
    text = made.pop("token")
    assert (api.company.now + timedelta(days=30)).isoformat().startswith(made["expires_at"].removesuffix("Z"))
    mine = Caller(company=api.company, token=text)
    assert mine.get("/me").json()["permissions"] == ["rules:read"]
    assert mine.get("/tokens").status_code == 403
    assert made["id"] in {token["id"] for token in api.sales.get("/tokens").json()["items"]}
    assert text not in api.sales.get("/tokens").text
    manager = api.as_(Role.MANAGER)
    assert made["id"] not in manager.get("/tokens").text
    for refused in (
        manager.delete(f"/tokens/{made['id']}"),
        manager.delete("/tokens/ghost"),
        manager.post("/tokens", json={"name": "t", "user": made["user"]}),
        manager.post("/tokens", json={"name": "t", "user": "ghost"}),
        api.admin.post("/tokens", json={"name": "t", "user": "ghost"}),
    ):
        assert refused.status_code == 404
    for days in (0, 366, 10**30):
        assert api.sales.post("/tokens", json={"name": "t", "days": days}).status_code == 422
    assert mine.get("/me").status_code == 200
    assert made["id"] in api.admin.get("/tokens").text
    assert [api.admin.delete(f"/tokens/{made['id']}").status_code for _ in range(2)] == [204, 204]
    assert mine.get("/me").status_code == 401
    for_system = api.admin.post("/tokens", json={"name": "for it", "user": api.integrator.get("/me").json()["user"]})
    assert Caller(company=api.company, token=for_system.json()["token"]).get("/me").json()["role"] == "integrator"


def test_every_change_is_audited_and_says_no_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    new = {"email": "x@example.com", "name": "X", "role": "sales", "password": PASSWORD}
    user = api.admin.post("/users", json=new).json()["id"]
    api.admin.put(f"/users/{user}/password", json={"password": "another one of mine"})
    enters(api, "x@example.com", "wrong one of mine")
    enters(api, "x@example.com", "another one of mine")
    csrf = api.nobody.get("/me").json()["csrf"]
    token = writes(api, X_CSRF_Token=csrf).json()
    api.admin.delete(f"/tokens/{token['id']}")
    cookie = api.company.pages.cookies["relance_session"]
    with api.company.db.read() as connection:
        entries = list(connection.execute(audited.select().order_by(audited.c.seq)))
    by_admin = api.admin.get("/me").json()["token"]
    assert [(entry.action, entry.source, entry.trace is not None) for entry in entries[-5:]] == [
        ("user.created", f"token:{by_admin}", True),
        ("user.password-set", f"token:{by_admin}", True),
        ("session.begun", f"user:{user}", False),
        ("token.issued", f"user:{user}", True),
        ("token.revoked", f"token:{by_admin}", True),
    ]
    assert json.loads(entries[-5].after)["role"] == "sales"
    said = "\n".join(map(str, entries)) + caplog.text
    for secret in (PASSWORD, "of mine", "argon2", token["token"], csrf, cookie):
        assert secret not in said
