from __future__ import annotations

import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from string import Formatter

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.delivery import Link, PersonalLink, Reminder
from notifiers.render import render
from notifiers.words import WORDS, Words

TEXTS = {"subject", "preheader", "topic", "due", "title", "stake", "action", "rule", "rule_title", "recipient"}


class Page(HTMLParser):
    """What a reader meets: the visible text, each link's words and target, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: dict[str, str | None] = {}
        self._words: list[str] = []
        self._link_starts_at: int | None = None
        self._hidden: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "title"):
            self._hidden = tag
        if tag == "a":
            self._link_starts_at = len(self._words)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        if tag == "a":
            words = "".join(self._words[self._link_starts_at :]).replace("\xa0", " ")
            self.links[words] = self.tags_named("a")[-1].get("href")

    def handle_data(self, data: str) -> None:
        if self._hidden is None:
            self._words.append(data)

    def tags_named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self) -> str:
        return " ".join("".join(self._words).split())


PERSONAL = {link: f"https://remind.example.com/me/{link}" for link in PersonalLink}


def test_every_button_leads_where_it_says(english: Reminder):
    to = english.links

    assert Page(render(english).html).links == {
        "Start the renewal call": to[Link.ACT],
        "Open in CRM ↗": "https://crm.example.com/accounts/1042",
        "Done": to[Link.DONE],
        "Snooze 1 day": to[Link.SNOOZE_1_DAY],
        "3 days": to[Link.SNOOZE_3_DAYS],
        "1 week": to[Link.SNOOZE_1_WEEK],
        "Not relevant…": to[Link.DISMISS],
        "Full trace": to[Link.WHY],
    }


def test_opening_the_mail_fetches_nothing(english: Reminder):
    html = render(english).html
    page = Page(html)

    assert {tag for tag, _ in page.tags} & {"img", "link", "script", "iframe", "object", "form", "input"} == set()
    assert not re.search(r"url\(|@import|src=|background=", html)


def test_the_mail_says_everything_the_reminder_says(english: Reminder):
    text = Page(render(english).html).text

    for words in (
        english.topic,
        "due Fri 27 Nov",
        english.title,
        "no renewal opportunity is open. CHF 48,200 is at stake.",
        *(word for fact in english.facts for word in fact),
        *english.instead,
        "Rule Contract expiring without renewal (contract-expiring@v12) matched because:",
        *(f"✓ {condition}" for condition in english.matched),
        "Sent to you as account owner.",
        "Sent to l.steiner@example.com because you own this customer.",
    ):
        assert words in text


def test_the_reader_is_told_who_hears_of_it_next_and_where_to_change_what_they_hear(english: Reminder):
    told = render(replace(english, escalation="After 5 business days this goes to Anna Frei.", personal=PERSONAL))

    for text in (Page(told.html).text, told.text):
        assert "Sent to you as account owner. After 5 business days this goes to Anna Frei." in text
    for link, words in (
        (PersonalLink.SETTINGS, "Notification settings"),
        (PersonalLink.PAUSE, "Pause all until…"),
    ):
        assert Page(told.html).links[words] == PERSONAL[link]
        assert f"\n{words}: {PERSONAL[link]}" in told.text
    assert PERSONAL[PersonalLink.UNSUBSCRIBE] not in told.html + told.text


def test_the_stake_stands_out_once_whether_or_not_the_reason_names_it(english: Reminder, german: Reminder):
    for reminder, sentence in ((english, "CHF 48,200 is at stake."), (german, "Es geht um CHF 48’200 pro Jahr.")):
        rendered = render(replace(reminder, facts=()))
        assert re.findall(r"<strong style=[^>]*nowrap[^>]*>([^<]*)", rendered.html) == [reminder.stake]
        assert Page(rendered.html).text.count(sentence) == 1
        assert rendered.text.count(sentence) == 1


def test_styles_are_inline_for_mail_programs_that_drop_style_sheets(english: Reminder):
    html = render(english).html

    assert re.search(r'<a class="btn" [^>]*style="[^"]*background: #0b5cad', html)
    assert html.count("<style") == 2  # Outlook's, and the media queries for phones and dark mode
    assert "prefers-color-scheme:dark" in html


def test_a_section_without_content_is_left_out(english: Reminder):
    bare = render(replace(english, facts=(), instead=(), crm_url=None, due=None, stake=None))

    for words in ("Key facts", "Or instead", "Open in CRM", "due", "at stake"):
        assert words not in Page(bare.html).text
        assert words.casefold() not in bare.text.casefold()


def test_the_plain_text_reads_like_the_mail(english: Reminder):
    to = english.links
    assert (
        render(english).text
        == f"""\
Call Muster Logistik AG about renewing the fleet policy
=======================================================
[WIN]  Motor fleet renewal · due Fri 27 Nov

The fleet policy ends in 45 days and no renewal opportunity is open. CHF 48,200 is at stake.

Start the renewal call: {to[Link.ACT]}

Done: {to[Link.DONE]}
Snooze 1 day: {to[Link.SNOOZE_1_DAY]}
Snooze 3 days: {to[Link.SNOOZE_3_DAYS]}
Snooze 1 week: {to[Link.SNOOZE_1_WEEK]}
Not relevant…: {to[Link.DISMISS]}
Open in CRM: https://crm.example.com/accounts/1042

KEY FACTS
- Policy: FL-20418, fleet (23 vehicles)
- Ends: 7 January 2027 (notice period: 30 days)
- Annual premium: CHF 48,200
- Loss ratio, 3 years: 41% (portfolio 63%)
- Last contact: 12 August, Anna Keller, phone
- Contact: Anna Keller, Head of Fleet, +41 44 000 00 00

OR INSTEAD
- Send the renewal offer by email instead
- Hand over to the broker desk

WHY AM I GETTING THIS?
Rule "Contract expiring without renewal" (contract-expiring@v12) matched because:
  ✓ contract FL-20418 ends in 45 days (≤ 90)
  ✓ contract status is active
  ✓ no renewal opportunity is open or won
  ✓ contract does not renew by itself
  ✓ not held back by any other rule
Sent to you as account owner.
Full trace: {to[Link.WHY]}

--
Sent to l.steiner@example.com because you own this customer."""
    )


@pytest.mark.parametrize(
    "hostile", ["<b>x", "{{ 7*7 }}", "{% raw %}", "{recipient}", "%(x)s", "</td><script>", '" onclick="x', "&lt;"]
)
def test_texts_show_literally_whatever_they_contain(english: Reminder, hostile: str):
    everywhere = replace(
        english,
        **{f.name: hostile for f in fields(Reminder) if f.name in TEXTS},
        why=f"why {hostile}",
        facts=((hostile, hostile),),
        instead=(hostile,),
        matched=(hostile,),
    )
    rendered = render(everywhere)
    page, harmless = Page(rendered.html), Page(render(english).html)

    assert page.text.count(hostile) == 13
    assert rendered.text.count(hostile) == 12  # no preheader there
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
    assert not any("onclick" in attributes for _, attributes in page.tags)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_any_title_survives(english: Reminder, text: str):
    html = render(replace(english, title=text)).html

    assert " ".join(text.split()) in Page(html).text


@pytest.mark.parametrize("role", ["owner", "manager", "lead", "named"])
@pytest.mark.parametrize("verdict", ["win", "hold", "let go"])
@pytest.mark.parametrize("language", list(WORDS))
def test_every_language_has_words_for_every_role_and_verdict(english: Reminder, language: str, role: str, verdict: str):
    html = render(replace(english, language=language, role=role, verdict=verdict)).html

    words = WORDS[language]
    assert f'<html lang="{language}"' in html
    for said in (words.verdicts[verdict], words.because[role], words.facts, words.why_me):
        assert " ".join(said.split()) in Page(html).text


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_translations_leave_room_for_the_same_things(words: Words):
    def gaps(text: str) -> list[str]:
        return [name for _, name, _, _ in Formatter().parse(text) if name is not None]

    assert gaps(words.at_stake) == ["stake"]
    assert [gaps(text) for text in words.sent_to.values()] == [["recipient"]] * 4


def test_an_unknown_language_gets_an_english_frame(english: Reminder):
    html = render(replace(english, language="rm")).html

    assert '<html lang="rm"' in html
    assert "Why am I getting this?" in html


def test_a_reminder_without_a_link_fails_instead_of_going_out_with_a_dead_button(english: Reminder):
    links = {link: url for link, url in english.links.items() if link is not Link.DONE}

    with pytest.raises(jinja2.UndefinedError, match="done"):
        render(replace(english, links=links))
