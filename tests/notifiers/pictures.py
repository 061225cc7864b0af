"""Mails to look at, and a browser to look at them with.

`python -m tests.notifiers.pictures FOLDER` saves a picture of each mail there, light and dark, wide and on a phone.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from domain.delivery import Digest, DigestCustomer, DigestItem, HeldBack, PersonalLink, Reminder
from notifiers.links import Links
from notifiers.render import Rendered, Withdrawal, render, render_digest, render_withdrawal
from notifiers.words import WORDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

CHROMIUM = Path("/usr/bin/chromium")
WIDE: ViewportSize = {"width": 680, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LINKS = Links(["a key", "an older key"], "https://remind.example.com")
PERSONAL: Mapping[PersonalLink, str] = {
    link: f"https://remind.example.com/me/{link}?token=lara" for link in PersonalLink
}


REMINDER = Reminder(
    language="en",
    subject="Fleet policy of Muster Logistik AG ends in 45 days, no renewal open (CHF 48,200/yr)",
    preheader="Suggested: call Anna Keller this week. Done, snooze or dismiss from this email.",
    verdict="win",
    topic="Motor fleet renewal",
    due="Fri 27 Nov",
    title="Call Muster Logistik AG about renewing the fleet policy",
    why="The fleet policy ends in 45 days and no renewal opportunity is open.",
    stake="CHF 48,200",
    action="Start the renewal call",
    facts=(
        ("Policy", "FL-20418, fleet (23 vehicles)"),
        ("Ends", "7 January 2027 (notice period: 30 days)"),
        ("Loss ratio, 3 years", "41% (portfolio 63%)"),
        ("Contact", "Anna Keller, Head of Fleet, +41 44 000 00 00"),
    ),
    instead=("Send the renewal offer by email instead", "Hand over to the broker desk"),
    rule="contract-expiring",
    rule_title="Contract expiring without renewal",
    rule_version=12,
    matched=("contract FL-20418 ends in 45 days (≤ 90)", "no renewal opportunity is open or won"),
    recipient="l.steiner@example.com",
    role="owner",
    links=LINKS.for_person("7Q", "lara", now=NOW),
    personal=PERSONAL,
    escalation="After 5 business days this goes to Anna Frei.",
    crm_url="https://crm.example.com/accounts/1042",
)


def item(title: str, why: str, action: str) -> DigestItem:
    return DigestItem(title=title, why=why, action=action, links=LINKS.for_person(title, "lara", now=NOW))


HELVETIA = DigestCustomer(
    name="Helvetia Parts SA",
    verdict="win",
    stake="CHF 96,000",
    overdue=1,
    due="Fri 20 Nov",
    held_back=(),
    items=(
        item("Quote Q-3312 has stalled", "sent 16 days ago, opened twice, no answer.", "Call the buyer"),
        item("Offer SD-WAN", "owns fibre since May; 64 % of similar customers added it.", "Start the pitch"),
    ),
    crm_url="https://crm.example.com/accounts/1",
)
MUSTER = DigestCustomer(
    name="Muster Logistik AG",
    verdict="win",
    stake="CHF 48,200",
    overdue=0,
    due="Fri 27 Nov",
    held_back=(),
    items=(item("Fleet policy ends in 45 days", "no renewal opportunity is open.", "Start the renewal call"),),
    crm_url="https://crm.example.com/accounts/2",
)
BIANCHI = DigestCustomer(
    name="Garage Bianchi",
    verdict="hold",
    stake="CHF 41,700",
    overdue=0,
    due=None,
    held_back=(("Offer SD-WAN", "Complaint open"), ("Offer 5G backup", "Complaint open"), ("Upsell", "Unpaid invoice")),
    items=(item("Answer the complaint first", "order 88-410 was not delivered by 17 Nov.", "Open the complaint"),),
)
NORD_BAU = DigestCustomer(
    name="Nord-Bau GmbH",
    verdict="let go",
    stake=None,
    overdue=0,
    due="Fri 4 Dec",
    held_back=(),
    items=(item("Let the contract run out", "margin negative in 3 of the last 4 years.", "Decide"),),
)
DIGEST = Digest(
    language="en",
    day="Monday 23 November 2026",
    things=9,
    at_customers=6,
    stake="CHF 212,400",
    due_today=3,
    overdue=1,
    customers=(HELVETIA, MUSTER, BIANCHI, NORD_BAU),
    more=2,
    more_stake="CHF 26,500",
    held_back={HeldBack.CHOSEN: 1, HeldBack.CAP: 3, HeldBack.FLOOD: 5},
    cap=9,
    recipient="l.steiner@example.com",
    personal=PERSONAL,
)

UNBROKEN = "Vierwaldstätterseedampfschifffahrtsgesellschaftskapitänsversicherungsgenossenschaft"
CROWDED = replace(
    DIGEST,
    things=60,
    at_customers=60,
    customers=tuple(
        replace(MUSTER, name=f"{name} {n}", held_back=((UNBROKEN, UNBROKEN),), items=(item(f"{name} {n}", name, name),))
        for n in range(20)
        for name in (UNBROKEN, "<b>x</b> & Söhne", "Müller & Partner Treuhand, Steuern und Wirtschaftsprüfung AG")
    ),
)
BARE = replace(
    DIGEST,
    things=1,
    at_customers=1,
    stake=None,
    due_today=0,
    overdue=0,
    customers=(replace(NORD_BAU, due=None),),
    more=0,
    more_stake=None,
    held_back={},
    cap=None,
    personal={},
)
WITHDRAWAL = Withdrawal(
    language="en",
    title="Call Muster Logistik AG about renewing the fleet policy",
    state="done",
    by="Lara Steiner",
    recipient="l.steiner@example.com",
    personal=PERSONAL,
)


def mails() -> Iterator[tuple[str, Rendered]]:
    """Every kind of mail in every language, and the digests that are hard to lay out, each with a name."""
    for language in WORDS:
        yield f"reminder.{language}", render(replace(REMINDER, language=language))
        yield f"digest.{language}", render_digest(replace(DIGEST, language=language))
        yield f"withdrawal.{language}", render_withdrawal(replace(WITHDRAWAL, language=language))
    yield "digest.crowded", render_digest(CROWDED)
    yield "digest.bare", render_digest(BARE)


@contextmanager
def browser() -> Generator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        yield browser
        browser.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as window:
        for size, viewport in (("wide", WIDE), ("phone", PHONE)):
            for scheme in SCHEMES:
                page = window.new_page(viewport=viewport, color_scheme=scheme)
                for name, mail in mails():
                    page.set_content(mail.html)
                    page.screenshot(path=folder / f"{name}.{size}.{scheme}.png", full_page=True)
                page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
