"""What only a browser can tell: keys, focus, width, colours, and where requests go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from pathlib import Path

import pytest

from domain.delivery import Link, PersonalLink
from domain.recommendation import State
from domain.wishes import Way, Wishes
from store.session import Database
from tests.web.office import Office
from tests.web.test_mailbox import mail
from web.words import LOCALES

CHROMIUM = Path("/usr/bin/chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install -e '.[dev]'")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def office(sqlite_url: str) -> Iterator[Office]:
    with Database.connect(sqlite_url) as db:
        office = Office(db=db)
        office.has_a_recommendation()
        yield office


@pytest.fixture
def base(office: Office) -> Iterator[str]:
    with office.serves() as base:
        yield base


@pytest.fixture
def page(browser: playwright.Browser, base: str) -> Iterator[playwright.Page]:
    """A page that ends with an error if the console complained or a request left the host."""
    context = browser.new_context(base_url=base)
    complaints: list[str] = []
    context.on("console", lambda message: complaints.append(message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", lambda request: request.url.startswith(base) or complaints.append(request.url))
    yield context.new_page()
    context.close()
    assert complaints == []


def test_a_link_is_acted_on_with_the_keyboard_alone(office, page):
    page.goto(office.link(Link.DONE))
    page.locator("button:focus").wait_for()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Anna signs")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Marked as done").wait_for()
    assert (office.recommendation.state, office.recommendation.note) == (State.DONE, "Anna signs")


def test_the_button_has_the_focus_so_that_enter_is_enough(office, page):
    page.goto(office.link(Link.SNOOZE_1_DAY))
    page.locator("button:focus").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Snoozed until").wait_for()
    assert office.recommendation.snoozed_until is not None


def test_a_missing_reason_puts_the_focus_on_the_choices_and_keeps_the_way_out_short(office, browser, base):
    with browser.new_context(base_url=base) as context:  # the console reports the status 422
        page = context.new_page()
        page.goto(office.link(Link.DISMISS))
        page.locator("button:focus").wait_for()
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        page.locator("input:focus").wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Marked as not relevant").wait_for()
    assert office.recommendation.note == "not-mine"


def test_everything_works_without_javascript(office, browser, base):
    with browser.new_context(base_url=base, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(office.link(Link.ACT))
        page.get_by_role("button", name="1 week").click()
        page.get_by_role("heading", name="Snoozed until").wait_for()
        page.goto(office.link(Link.ACT))
        page.get_by_role("link", name="Not relevant…").click()
        page.get_by_label("The data is wrong").check()
        page.get_by_role("button").click()
        page.get_by_role("heading", name="Marked as not relevant").wait_for()


def test_settings_and_a_pause_work_on_a_phone_without_scripts(office, browser, base):
    """By keyboard and touch alone, as its reader would."""
    with browser.new_context(base_url=base, java_script_enabled=False, viewport=PHONE) as context:
        page = context.new_page()
        page.goto(office.own(PersonalLink.SETTINGS))
        page.get_by_label("Language").select_option(label="English")
        for day in ("Saturday", "Sunday"):
            page.get_by_label(day).uncheck()
        page.get_by_label("From").fill("18:00")
        page.get_by_label("To", exact=True).fill("07:30")
        page.get_by_label("Time 1").fill("08:00")
        page.get_by_label("“renewal”").select_option(label="In a summary")
        page.get_by_text("Mute single rules").click()
        page.get_by_label("Quote stalled").check()
        page.get_by_label("At most so many messages a day").fill("lots")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Write a whole number").wait_for()
        assert page.get_by_label("From").input_value() == "18:00"
        assert page.get_by_label("Quote stalled").is_checked()
        page.get_by_label("At most so many messages a day").fill("8")
        page.keyboard.press("Enter")
        page.get_by_text("You hear Mon–Fri 07:30–18:00, at most 8 a day, the rest at 08:00.").wait_for()

        page.get_by_role("link", name="Pause all…").click()
        page.get_by_label("Or until a day of your choice").fill("2026-12-24")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Paused until Thu 24 Dec").wait_for()
        page.get_by_role("button", name="End the pause").click()
        page.get_by_text("The pause is over.").wait_for()

        page.get_by_role("link", name="No more mails…").click()
        page.get_by_role("button", name="Stop all mails").click()
        page.get_by_role("button", name="Send me mails again").click()
        page.get_by_role("heading", name="Mails come again to lena@example.com").wait_for()
    assert office.wishes() == Wishes(
        language="en",
        days=frozenset(range(5)),
        quiet=(time(18), time(7, 30)),
        digest_at=(time(8),),
        daily_cap=8,
        muted=frozenset({"quote-stalled"}),
        channels={"renewal": Way.DIGEST},
    )
    assert office.suppressed == []


@pytest.mark.parametrize("language", list(LOCALES))
@pytest.mark.parametrize("link", list(PersonalLink))
def test_a_page_of_ones_own_fits_a_phone_in_every_language(office, page, link, language):
    office.knows("lena", language=language)
    path = office.own(
        link, address="eine.sehr.lange.adresse.von.lena.steiner@vierwaldstaetterseedampfschiff.example.com"
    )
    page.set_viewport_size(PHONE)
    for press in ("nothing", "the last button"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], press
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.evaluate("document.querySelector('a, button, input').className") == "skip"
        if link is not PersonalLink.PAUSE:  # its last button needs a day
            page.get_by_role("button").last.click()


def test_a_wrong_field_has_the_focus_and_every_field_has_a_name(office, browser, base):
    described = "[...document.querySelectorAll('[aria-describedby]')].map(f => f.getAttribute('aria-describedby'))"
    with browser.new_context(base_url=base) as context:  # the console repeats the status of the answer
        page = context.new_page()
        page.goto(office.own(PersonalLink.SETTINGS))
        page.get_by_label("Time zone").fill("Europe/Zurick")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        page.locator("#timezone:focus").wait_for()  # once the page is drawn
        unnamed = "[...document.querySelectorAll('input, select')].filter(f => !f.labels.length && !f.ariaLabel)"
        assert page.evaluate(f"{unnamed}.length") == 0
        ids = {id_ for text in page.evaluate(described) for id_ in text.split()}
        assert ids >= {"timezone-wrong", "timezone-hint", "quiet-hint"}
        assert [id_ for id_ in ids if page.locator(f"#{id_}").count() != 1] == []


def test_a_reload_after_the_press_acts_only_once(office, page):
    page.goto(office.link(Link.SNOOZE_1_DAY))
    page.get_by_role("button").click()
    page.get_by_role("heading", name="Snoozed until").wait_for()
    before = office.recommendation
    page.reload()
    assert office.recommendation == before


@pytest.mark.parametrize("link", list(Link))
def test_a_page_fits_a_phone_and_has_one_heading_and_a_skip_link(office, page, link):
    office.renames_the_customer("Vierwaldstätterseedampfschifffahrtsgesellschaftskapitänsversicherung AG")
    page.set_viewport_size(PHONE)
    page.goto(office.link(link))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate("document.querySelector('a, button, textarea').className") == "skip"
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_pages_follow_the_colours_of_the_browser(office, page):
    page.goto(office.link(Link.ACT))
    colour = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert (light, page.evaluate(colour)) == ("rgb(238, 241, 245)", "rgb(15, 20, 27)")


def test_a_link_in_a_mail_of_the_demo_opens_a_page_that_can_be_acted_on(office, page, base):
    html = f'<html><head></head><body><a href="{base}{office.link(Link.DONE)}">Done</a></body></html>'
    office.mails = (mail(1, "lena@example.com", "Call Muster Logistik AG", html=html),)
    page.goto("/mailbox")
    page.get_by_role("link", name="Call Muster Logistik AG").click()
    with page.expect_popup() as popup:
        page.frame_locator("iframe").get_by_role("link", name="Done").click()
    popup.value.get_by_role("button").click()
    popup.value.get_by_role("heading", name="Marked as done").wait_for()
    assert office.recommendation.state is State.DONE


@pytest.mark.parametrize("path", ["/mailbox", "/mailbox/1", "/mailbox/1?view=text", "/mailbox/1?view=source"])
def test_the_mailbox_fits_a_phone(office, page, path):
    office.mails = tuple(mail(n, f"someone.with.a.long.name.{n}@example.com", "Call " * 20) for n in range(1, 9))
    page.set_viewport_size(PHONE)
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.get_by_role("heading", level=1, include_hidden=True).count() == 1
