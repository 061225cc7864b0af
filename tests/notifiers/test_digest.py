from __future__ import annotations

from dataclasses import fields, replace
from string import Formatter

import jinja2
import pytest

from domain.delivery import Digest, DigestCustomer, DigestItem, HeldBack, Link, PersonalLink
from notifiers.render import Withdrawal, render_digest, render_withdrawal
from notifiers.words import WORDS, Counted, Words
from tests.notifiers.pictures import BARE, CROWDED, DIGEST, MUSTER, PERSONAL, WITHDRAWAL
from tests.notifiers.test_render import Page

HEADLINES = {
    "en": (
        "Nothing to do today",
        "1 thing worth doing today, at 1 customer",
        "2 things worth doing today, at 1 customer",
        "9 things worth doing today, at 6 customers",
    ),
    "de": (
        "Heute ist nichts zu tun",
        "1 Sache, die sich heute lohnt, bei 1 Kunden",
        "2 Dinge, die sich heute lohnen, bei 1 Kunden",
        "9 Dinge, die sich heute lohnen, bei 6 Kunden",
    ),
    "fr": (
        "Rien à faire aujourd’hui",
        "1 action utile aujourd’hui, chez 1 client",
        "2 actions utiles aujourd’hui, chez 1 client",
        "9 actions utiles aujourd’hui, chez 6 clients",
    ),
    "it": (
        "Niente da fare oggi",
        "1 cosa utile da fare oggi, presso 1 cliente",
        "2 cose utili da fare oggi, presso 1 cliente",
        "9 cose utili da fare oggi, presso 6 clienti",
    ),
}


def text_of(digest: Digest) -> str:
    return Page(render_digest(digest).html).text


@pytest.mark.parametrize("language", list(WORDS))
def test_the_headline_counts_and_is_the_subject(language: str):
    for headline, (things, customers) in zip(HEADLINES[language], ((0, 0), (1, 1), (2, 1), (9, 6)), strict=True):
        rendered = render_digest(replace(DIGEST, language=language, things=things, at_customers=customers))

        assert rendered.subject == headline
        assert f">{headline}</h1>" in rendered.html
        assert rendered.text.startswith(f"{headline}\n===")


@pytest.mark.parametrize(
    ("language", "lead"),
    [
        ("en", ("1 is due today, 2 are overdue.", "2 are due today, 1 is overdue.")),
        ("de", ("1 ist heute fällig, 2 sind überfällig.", "2 sind heute fällig, 1 ist überfällig.")),
        ("fr", ("1 arrive à échéance aujourd’hui, 2 sont en retard.", "2 arrivent à échéance aujourd’hui, 1 est en")),
        ("it", ("1 scade oggi, 2 sono in ritardo.", "2 scadono oggi, 1 è in ritardo.")),
    ],
)
def test_what_is_due_is_counted_in_every_language(language: str, lead: tuple[str, str]):
    for said, (due, overdue) in zip(lead, ((1, 2), (2, 1)), strict=True):
        assert said in text_of(replace(DIGEST, language=language, due_today=due, overdue=overdue))


@pytest.mark.parametrize("read", [text_of, lambda digest: render_digest(digest).text], ids=["html", "text"])
def test_the_digest_says_everything_that_is_to_be_said(read):
    text = read(DIGEST)

    for words in (
        "Monday 23 November 2026",
        "sorted by value at stake",
        "CHF 212,400 is at stake. 3 are due today, 1 is overdue.",
        *(words for c in DIGEST.customers for words in (c.name, c.stake or "", *(i.title for i in c.items))),
        "Quote Q-3312 has stalled — sent 16 days ago, opened twice, no answer.",
        "1 overdue · due Fri 20 Nov",
        "Held back by “Complaint open”: Offer SD-WAN, Offer 5G backup",
        "Held back by “Unpaid invoice”: Upsell",
        "WIN",
        "HOLD",
        "LET GO",
        "2 more customers (CHF 26,500) are left out to keep this short.",
        "9 are here instead of in messages of their own: 1 because you or the rule chose so, "
        "3 beyond your daily limit of 9, 5 because so many came at once.",
        "Sent to l.steiner@example.com to bring your reminders together.",
    ):
        assert words in text


def test_customers_stay_in_the_order_they_are_given():
    text = text_of(DIGEST)

    assert [text.index(c.name) for c in DIGEST.customers] == sorted(text.index(c.name) for c in DIGEST.customers)


def test_each_thing_can_be_acted_on_from_the_mail_and_says_which_it_is():
    page = Page(render_digest(replace(DIGEST, customers=(MUSTER,))).html)
    (item,) = MUSTER.items

    assert [(a.get("aria-label"), a["href"]) for a in page.tags_named("a")] == [
        (None, MUSTER.crm_url),
        ("Start the renewal call: Fleet policy ends in 45 days", item.links[Link.ACT]),
        ("Done: Fleet policy ends in 45 days", item.links[Link.DONE]),
        ("Snooze 3 days: Fleet policy ends in 45 days", item.links[Link.SNOOZE_3_DAYS]),
        ("Not relevant… Fleet policy ends in 45 days", item.links[Link.DISMISS]),
        ("Why? Fleet policy ends in 45 days", item.links[Link.WHY]),
        (None, PERSONAL[PersonalLink.SETTINGS]),
        (None, PERSONAL[PersonalLink.PAUSE]),
    ]


@pytest.mark.parametrize("offered", [(), (PersonalLink.SETTINGS,), (PersonalLink.PAUSE, PersonalLink.UNSUBSCRIBE)])
def test_only_the_personal_links_that_there_are_stand_in_the_foot(offered: tuple[PersonalLink, ...]):
    rendered = render_digest(replace(DIGEST, personal={link: PERSONAL[link] for link in offered}))

    for link, words in (
        (PersonalLink.SETTINGS, "Notification settings"),
        (PersonalLink.PAUSE, "Pause all until…"),
    ):
        assert Page(rendered.html).links.get(words) == (PERSONAL[link] if link in offered else None)
        assert (f"\n{words}: {PERSONAL[link]}" in rendered.text) == (link in offered)


def test_what_there_is_nothing_to_say_about_is_left_out():
    bare = render_digest(BARE)

    for words in ("stake.", "due", "Held back", "more customer", "instead of", "Open in CRM", "CHF", "None"):
        assert words not in Page(bare.html).text
        assert words not in bare.text
    assert Page(render_digest(DIGEST).html).text.count("due Fri") == 3  # Bianchi has no due day


def test_one_left_out_and_one_held_back_are_told_as_one():
    text = text_of(replace(DIGEST, more=1, more_stake=None, held_back={HeldBack.FLOOD: 1, HeldBack.CAP: 0}))

    assert "1 more customer is left out to keep this short." in text
    assert "1 is here instead of in a message of its own: 1 because so many came at once." in text


def test_a_limit_that_was_lifted_meanwhile_is_not_numbered():
    assert "own: 3 beyond your daily limit." in text_of(replace(DIGEST, held_back={HeldBack.CAP: 3}, cap=None))


def test_sixty_customers_are_all_there():
    rendered = render_digest(CROWDED)
    text = Page(rendered.html).text

    for customer in CROWDED.customers:
        assert customer.name in text
        assert f"\n{customer.name}  [WIN]  CHF 48,200\n" in rendered.text


@pytest.mark.parametrize(
    "hostile", ["<b>x", "{{ 7*7 }}", "{recipient}", "{n}", "%(x)s", "</td><script>", '" onclick="x']
)
def test_texts_of_a_digest_show_literally_whatever_they_contain(hostile: str):
    thing = replace(MUSTER.items[0], title=hostile, why=hostile, action=hostile)
    customer = replace(
        MUSTER, name=hostile, stake=hostile, due=hostile, held_back=((hostile, hostile),), items=(thing,)
    )
    elsewhere = replace(customer, crm_url=None, stake=None, due=None, held_back=(), items=())
    digest = replace(
        DIGEST, day=hostile, stake=hostile, customers=(customer, elsewhere), more_stake=hostile, recipient=hostile
    )
    rendered = render_digest(digest)
    page, harmless = Page(rendered.html), Page(render_digest(replace(DIGEST, customers=(MUSTER,))).html)

    assert page.text.count(hostile) == 14
    assert rendered.text.count(hostile) == 13  # no preheader there
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
    assert not any("onclick" in attributes for _, attributes in page.tags)


def test_the_list_of_mails_shows_what_comes_first():
    assert ">Quote Q-3312 has stalled · Fleet policy ends in 45 days · Answer the complaint first" in (
        render_digest(DIGEST).html
    )


def test_a_digest_without_a_link_fails_instead_of_going_out_with_a_dead_one():
    thing = DigestItem(title="t", why="w", action="a", links={})

    with pytest.raises(jinja2.UndefinedError, match="act"):
        render_digest(replace(DIGEST, customers=(replace(MUSTER, items=(thing,)),)))


@pytest.mark.parametrize(
    ("language", "subject", "because"),
    [
        ("en", "No longer needed: {}", "Done by Lara Steiner. The entry leaves your calendar."),
        ("de", "Nicht mehr nötig: {}", "Erledigt von Lara Steiner. Der Eintrag verschwindet aus Ihrem Kalender."),
        ("fr", "Plus nécessaire\u00a0: {}", "Terminé par Lara Steiner. L’entrée disparaît de votre agenda."),
        ("it", "Non più necessario: {}", "Fatto da Lara Steiner. La voce scompare dal Suo calendario."),
        ("rm", "No longer needed: {}", "Done by Lara Steiner. The entry leaves your calendar."),
    ],
)
def test_a_withdrawal_says_what_is_no_longer_needed_and_why(language: str, subject: str, because: str):
    rendered = render_withdrawal(replace(WITHDRAWAL, language=language))

    assert rendered.subject == subject.format(WITHDRAWAL.title)
    for text in (Page(rendered.html).text, rendered.text):
        assert because in text
        assert WITHDRAWAL.title in text
        assert "l.steiner@example.com" in text


def test_a_withdrawal_that_nobody_caused_names_nobody():
    gone: Withdrawal = replace(WITHDRAWAL, state="resolved", by="")

    assert "\nNo longer needed: what it was about has changed. The entry" in render_withdrawal(gone).text


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_translations_of_a_digest_leave_room_for_the_same_things(words: Words):
    def gaps(said: object) -> object:
        match said:
            case str():
                return {name for _, name, _, _ in Formatter().parse(said) if name is not None}
            case Counted():
                return gaps(said.one), gaps(said.many)
            case _:
                return None

    for f in fields(Words):
        assert gaps(getattr(words, f.name)) == gaps(getattr(WORDS["en"], f.name)), f.name
    assert {reason: gaps(said) for reason, said in words.here_because.items()} == {
        HeldBack.CHOSEN: {"n"},
        HeldBack.CAP: {"n", "limit"},
        HeldBack.FLOOD: {"n"},
    }


def test_every_verdict_has_its_colour():
    for verdict, style in (("win", "pill win"), ("hold", "pill hold"), ("let go", "pill letgo")):
        customer: DigestCustomer = replace(MUSTER, verdict=verdict)
        assert f'class="{style}"' in render_digest(replace(DIGEST, customers=(customer,))).html
