"""The sign-in page and one's account, and what attackers try there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from httpx import Response

from app.pages import address, listening, serving
from domain.access import Role
from notifiers.links import serializer
from store import sessions, users
from tests.story.post_office import PostOffice
from tests.story.relance import COMPANY, Relance
from tests.web.office import heading
from tests.web.test_browser import CHROMIUM, PHONE, browser, playwright
from web.api.app import PREFIX
from web.signed_in import COOKIE, HOME, SALT, local
from web.words import LOCALES

__all__ = ["browser"]

START = datetime(2026, 9, 1, 6, tzinfo=UTC)
EMAIL, PASSWORD = "lena@example.com", "correct horse battery"
KEY = "a key that only stories know"

# What is tried here has nothing to do with the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)


@pytest.fixture
def company(database_url: str, tmp_path: Path) -> Iterator[Relance]:
    own = tmp_path / "rules"
    own.mkdir()
    (own / "company.yaml").write_text(COMPANY, encoding="utf-8")
    company = Relance(database=database_url, packs=["base", str(own)], post=PostOffice(), now=START)
    with company.running():
        users.add(
            company.db, email=EMAIL, name="Lena", role=Role.SALES, password=PASSWORD, source="test", now=company.now
        )
        yield company


def enters(company: Relance, *, email: str = EMAIL, password: str = PASSWORD, **more: str) -> Response:
    headers = {name: more.pop(name) for name in ("Origin", "Sec-Fetch-Site") if name in more}
    form = {"email": email, "password": password} | more
    return company.pages.post("/login", data=form, headers=headers, follow_redirects=False)


def presses(company: Relance, path: str = HOME, *, csrf: str | None = None, **form: str | list[str]) -> Response:
    csrf = shown_csrf(company) if csrf is None else csrf
    return company.pages.post(path, data={"csrf": csrf, **form}, follow_redirects=False)


def shown_csrf(company: Relance) -> str:
    return re.findall('name="csrf" value="(.+?)"', company.pages.get(HOME).text)[0]


def is_in(company: Relance) -> bool:
    return company.pages.get(f"{PREFIX}/me").status_code == 200


def test_whoever_signs_in_is_led_back_to_where_they_wanted_to_go(company: Relance) -> None:
    asked = company.pages.get(f"{HOME}?x=a%26b", follow_redirects=False)
    assert (asked.status_code, asked.headers["Location"]) == (303, f"/login?next={HOME}%3Fx%3Da%2526b")
    form = company.pages.get(asked.headers["Location"])
    assert heading(form) == "Sign in"
    assert f'name="next" value="{HOME}?x=a%26b"' in form.text
    led = enters(company, next=f"{HOME}?x=a%26b")
    assert (led.status_code, led.headers["Location"]) == (303, f"{HOME}?x=a%26b")
    page = company.pages.get(HOME)
    assert (heading(page), "You are signed in as Lena. Role: Sales" in page.text) == ("Your account", True)
    already = company.pages.get("/login?next=/r/x", follow_redirects=False)
    assert (already.status_code, already.headers["Location"]) == (303, "/r/x")
    out = presses(company, "/logout")
    assert (out.headers["Location"], 'relance_session=""' in out.headers["Set-Cookie"]) == ("/login", True)
    assert not is_in(company)


def test_nobody_is_led_to_another_site(company: Relance) -> None:
    for path in ("/", "/account", "/r/x?as=done&y=%2F", "/me/~x#y"):
        assert local(path) == path
    for elsewhere in (
        "",
        "https://evil.example.com",
        "//evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "/\t/evil.example.com",
        "/x\\..\\evil",
        "/\r\nSet-Cookie: x=y",
        "javascript:alert(1)",
        " //evil.example.com",
        "/é",
        "/" + "x" * 3000,
    ):
        assert local(elsewhere) == HOME, elsewhere
    assert enters(company, next="//evil.example.com").headers["Location"] == HOME
    moved = company.pages.get("/login?next=https://evil.example.com", follow_redirects=False)
    assert moved.headers["Location"] == HOME


def test_the_cookie_is_out_of_reach_of_scripts_and_over_https_of_everybody_else(company: Relance) -> None:
    attributes = "HttpOnly; Max-Age=604800; Path=/; SameSite=lax"
    kept = enters(company).headers["Set-Cookie"]
    assert re.fullmatch(rf"relance_session=[\w.-]+; {attributes}", kept)
    company.sets(base_url="https://relance.example.com")
    kept = enters(company).headers["Set-Cookie"]
    assert re.fullmatch(rf"__Host-relance_session=[\w.-]+; {attributes}; Secure", kept)


def test_a_planted_cookie_is_worthless_after_the_login(company: Relance) -> None:
    mallory = users.add(company.db, email="m@example.com", name="M", role=Role.SALES, source="test", now=START)
    secret = sessions.begin(company.db, mallory.id, now=START)
    planted = serializer([KEY], SALT).dumps(secret)
    company.pages.cookies[COOKIE] = planted
    assert is_in(company)
    company.pages.cookies.clear()
    kept = company.pages.post(
        "/login", data={"email": EMAIL, "password": PASSWORD}, headers={"Cookie": f"{COOKIE}={planted}"}
    ).history[0]
    assert planted not in kept.headers["Set-Cookie"]
    assert sessions.whose(company.db, secret, now=START) is None


def test_a_forged_cookie_opens_nothing(company: Relance) -> None:
    enters(company)
    good = company.pages.cookies[COOKIE]
    lena = users.by_email(company.db, EMAIL)
    assert lena is not None
    secret = serializer([KEY], SALT).loads(good)
    for forged in (
        good[:-1],
        good + "x",
        secret,
        "x",
        "é".encode().decode("latin-1"),
        serializer(["another key of nobody"], SALT).dumps(secret),
        serializer([KEY], "relance.link").dumps(secret),
        serializer([KEY], SALT).dumps("guessed"),
        serializer([KEY], SALT).dumps([lena.id, None]),
        serializer([KEY], SALT).dumps(None),
    ):
        headers = {"Cookie": f"{COOKIE}={forged}".encode("latin-1")}
        company.pages.cookies.clear()
        assert company.pages.get(f"{PREFIX}/me", headers=headers).status_code == 401, forged
        assert company.pages.get(HOME, headers=headers).url.path == "/login"
    assert company.pages.get(f"{PREFIX}/me", headers={"Cookie": f"{COOKIE}={good}"}).status_code == 200


def test_keys_are_rotated_without_signing_anybody_out(company: Relance) -> None:
    enters(company)
    cookie = company.pages.cookies[COOKIE]
    for keys, status in (([f"a new one of {KEY}", KEY], 200), ([f"a new one of {KEY}"], 401)):
        company.sets(secret_keys=keys)
        assert company.pages.get(f"{PREFIX}/me", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == status


def test_a_form_of_another_site_or_of_another_session_changes_nothing(company: Relance) -> None:
    for foreign in ({"Origin": "https://evil.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert enters(company, **foreign).status_code == 403, "not even to sign in: it would be the attacker's account"
    assert not is_in(company)
    enters(company)
    before = shown_csrf(company)
    enters(company)
    for csrf in ("", before, "é"):
        for path in (HOME, "/logout"):
            refused = presses(company, path, csrf=csrf, name="x", days="30")
            assert (refused.status_code, heading(refused)) == (403, "This form cannot be used any more")
    assert users.token_listing(company.db, limit=9) == []
    assert is_in(company)
    company.pages.cookies.clear()
    assert presses(company, csrf=before, name="x", days="30").headers["Location"] == "/login"


def test_after_five_wrong_passwords_the_account_waits_and_says_how_long(company: Relance) -> None:
    for email in (EMAIL, "nobody@example.com"):
        said = [enters(company, email=email, password="wrong") for _ in range(6)]
        assert [answer.status_code for answer in said] == [403] * 5 + [429]
        assert "The address or the password is wrong." in said[0].text
        assert said[0].text.count(email) == 1
        assert "Too many attempts. Try again in 1 min." in said[-1].text
        assert said[-1].headers["Retry-After"] == "30"
    assert enters(company).status_code == 429, "now not even with the right one"
    assert enters(company, email=EMAIL.upper()).status_code == 429, "the same account"
    company.now += timedelta(seconds=30)
    assert enters(company).status_code == 303
    assert enters(company, password="wrong").status_code == 403, "and it starts afresh"


def test_a_token_is_made_shown_once_used_and_revoked(company: Relance) -> None:
    enters(company)
    assert presses(company, name="", days="30").status_code == 422
    made = presses(company, name="<b>nightly</b>", days="30", scopes=["rules:read", "records:read"])
    (text,) = re.findall(r"<code>(rel_[\w-]{43})</code>", made.text)
    assert "&lt;b&gt;nightly&lt;/b&gt;" in made.text
    page = company.pages.get(HOME).text
    assert text not in page
    assert "records:read, rules:read" in page
    company.pages.cookies.clear()
    me = company.pages.get(f"{PREFIX}/me", headers={"Authorization": f"Bearer {text}"})
    assert me.json()["permissions"] == ["records:read", "rules:read"]
    enters(company)
    (token,) = users.token_listing(company.db, limit=9)
    for wrong in ({"days": "400"}, {"days": "30", "scopes": "users:manage"}, {"days": "30", "scopes": "x"}):
        assert presses(company, name="x", **wrong).status_code == 404
    assert presses(company, revoke=token.id).status_code == 303
    assert company.pages.get(f"{PREFIX}/me", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert "nightly" not in company.pages.get(HOME).text
    users.change(company.db, token.user, {"role": Role.INTEGRATOR}, source="test", now=company.now)
    enters(company)
    assert "Your API tokens" not in company.pages.get(HOME).text
    assert presses(company, name="x", days="30").status_code == 404


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
def test_who_is_forwarded_counts_only_where_the_proxy_is_trusted(company: Relance, trusted: tuple[str, ...]) -> None:
    """A header that anybody can send must not make somebody else of them."""
    with (
        listening("127.0.0.1", 0) as listener,
        serving(company.pages.app, listener, trusted_proxies=trusted),
        httpx.Client(base_url=address(listener) + PREFIX, headers={"Authorization": "Bearer rel_guessed"}) as client,
    ):
        said = [client.get("/me", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code for n in range(21)]
    assert said == [401] * 20 + [401 if trusted else 429]


# --- in a browser ---

in_a_browser = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")


@in_a_browser
def test_signing_in_works_without_scripts_by_keyboard_in_every_language_and_look(
    company: Relance, browser: playwright.Browser
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    with listening("127.0.0.1", 0) as listener, serving(company.pages.app, listener):
        base = address(listener)
        with browser.new_context(base_url=base, java_script_enabled=False) as context:
            page = context.new_page()
            page.goto("/account")
            page.locator("#email:focus").wait_for()
            page.keyboard.type(EMAIL)
            page.keyboard.press("Tab")
            page.keyboard.type("wrong")
            page.keyboard.press("Enter")
            page.get_by_role("alert").get_by_text("is wrong").wait_for()
            page.locator("#password:focus").wait_for()
            page.keyboard.type(PASSWORD)
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="Your account").wait_for()
            page.get_by_label("What is it for?").fill("nightly import")
            page.get_by_role("button", name="Make a token").click()
            page.get_by_text("It is not shown again.").wait_for()
            page.get_by_role("button", name="Revoke “nightly import”").click()
            page.get_by_text("You have none.").wait_for()
            for name in ("nightly import", "a-very-long-name-" * 8):
                page.get_by_label("What is it for?").fill(name)
                page.get_by_role("button", name="Make a token").click()
            signed_in = context.cookies()
        for number, language in enumerate(LOCALES):
            look = {"viewport": PHONE, "locale": language, "color_scheme": ["light", "dark"][number % 2]}
            for cookies, path in ((signed_in, "/account"), ([], "/login")):
                with browser.new_context(base_url=base, bypass_csp=True, **look) as context:  # axe is a script
                    context.add_cookies(cookies)
                    page = context.new_page()
                    page.goto(path)
                    assert page.locator("html").get_attribute("lang") == language
                    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
                    if number < 2:  # each look once: only the words differ between languages
                        assert axe.Axe().run(page, options=rules).response["violations"] == [], (language, path)
