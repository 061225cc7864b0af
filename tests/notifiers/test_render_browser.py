"""What only a browser can tell of a mail: its width, its contrast, and what a screen reader meets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from notifiers.render import Rendered
from tests.notifiers.pictures import CHROMIUM, PHONE, SCHEMES, browser, mails

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install -e '.[dev]'")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")

MAILS = dict(mails())
READABLE = 4.5  # WCAG 2.2, 1.4.3

# Every visible text with its colour and that of the first opaque ground below it, as [text, contrast].
CONTRASTS = """() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = colour => {
        const [r, g, b] = channels(colour).slice(0, 3).map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const opaque = colour => (channels(colour)[3] ?? 1) === 1;
    const ground = e => {
        const colour = getComputedStyle(e).backgroundColor;
        return opaque(colour) ? colour : ground(e.parentElement);
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const seen = [];
    while (texts.nextNode()) {
        const e = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !e.checkVisibility()) continue;
        const [light, dark] = [luminance(getComputedStyle(e).color), luminance(ground(e))].sort((a, b) => b - a);
        seen.push([texts.currentNode.data, (light + 0.05) / (dark + 0.05)]);
    }
    return seen;
}"""

# What a mail program frames a mail in is not the mail's own affair.
FRAME_OF_A_PAGE = ("landmark-one-main", "region")


@pytest.fixture(scope="module")
def window() -> Iterator[playwright.Browser]:
    with browser() as window:
        yield window


@pytest.fixture
def page(window: playwright.Browser) -> Iterator[playwright.Page]:
    """A phone's page that ends with an error if the mail fetched anything."""
    with window.new_context(viewport=PHONE) as context:
        requests: list[str] = []
        context.on("request", lambda request: requests.append(request.url))
        yield context.new_page()
        assert requests == []


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_a_mail_fits_a_phone_and_can_be_read_in_light_and_dark(page: playwright.Page, mail: Rendered):
    page.set_content(mail.html)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 4
        assert [(text, ratio) for text, ratio in contrasts if ratio < READABLE] == []


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_a_screen_reader_meets_one_title_headings_in_order_and_links_that_tell_what_they_do(
    page: playwright.Page, mail: Rendered
):
    page.set_content(mail.html)

    assert page.title() == mail.subject
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert set(levels[1:]) <= {2}
    assert page.locator("table:not([role=presentation]):not(:has(th[scope=row]))").count() == 0
    assert page.evaluate("document.querySelector('table').lang") == page.evaluate("document.documentElement.lang")
    links = page.evaluate("[...document.querySelectorAll('a')].map(a => [a.ariaLabel || a.textContent, a.href])")
    assert len({name for name, _ in links}) == len({(name, url) for name, url in links})


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_axe_finds_nothing_to_object_to(page: playwright.Page, mail: Rendered):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    page.set_content(mail.html)

    rules = {rule: {"enabled": False} for rule in FRAME_OF_A_PAGE}
    found = axe.Axe().run(page, options={"rules": rules}).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in found] == []
