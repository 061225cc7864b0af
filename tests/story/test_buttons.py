"""The buttons of a mail, from the mailbox through the pages and back into the next run."""

from __future__ import annotations

from domain.recommendation import State
from tests.story.relance import Mail, Relance, contract

SELLER, BOSS = "seller@example.com", "boss@example.com"

FOR_TWO = """
rule: two-of-us
title: {en: Something for two, de: Etwas für zwei}
for each: contract
when: {status: active}
then:
  recommend: win
  say: {en: Talk to each other., de: Sprecht miteinander.}
  to: [owner, owner.manager]
"""


def reminded(relance: Relance) -> Mail:
    relance.has(contract("C1", ends="2027-01-07"))
    relance.at("2026-10-09").runs()
    (mail,) = relance.mailbox(SELLER)
    return mail


def test_done_from_the_mail_is_all_there_is_to_do(relance: Relance) -> None:
    mail = reminded(relance)
    assert "Marked as done" in relance.clicks(mail, "done", note="Anna signs")

    ran = relance.at("2026-10-10").runs()
    assert ran.evaluated.customers == 1  # whoever acts has the customer looked at again
    assert (ran.evaluated.raised, ran.evaluated.queued, ran.dispatched.claimed) == (0, 0, 0)
    assert len(relance.mailbox(SELLER)) == 1
    done = relance.recommendation()
    assert (done.state, done.closed_by, done.note) == (State.DONE, "seller", "Anna signs")


def test_every_link_of_a_mail_opens_and_changes_nothing(relance: Relance) -> None:
    mail = reminded(relance)
    before = relance.recommendation()
    assert len(mail.links) == 7
    for path in mail.links:
        page = relance.pages.get(path)
        assert page.status_code == 200
        assert "Customer K1" in page.text
    assert relance.recommendation() == before


def test_pressing_twice_says_so_and_changes_nothing(relance: Relance) -> None:
    mail = reminded(relance)
    relance.clicks(mail, "done", note="first")
    before = relance.recommendation()
    assert "Already done by you" in relance.at("2026-10-10").clicks(mail, "done", note="second")
    assert relance.recommendation() == before


def test_of_two_people_the_second_reads_in_her_language_who_was_faster(relance: Relance) -> None:
    relance.knows("two", FOR_TWO)
    relance.has(contract("C1", ends="2028-01-07")).runs()
    (english,), (german,) = relance.mailbox(SELLER), relance.mailbox(BOSS)
    relance.clicks(english, "done")

    relance.at("2026-09-02")
    assert "Bereits von Seller erledigt" in relance.clicks(german, "dismiss", reason="not-mine")
    assert relance.recommendation().state is State.DONE
    relance.runs()
    assert (len(relance.mailbox(SELLER)), len(relance.mailbox(BOSS))) == (1, 1)


def test_the_page_still_explains_when_the_contract_is_gone(relance: Relance) -> None:
    mail = reminded(relance)
    relance.at("2026-10-10").loses("contract", "C1")
    relance.runs()
    page = relance.pages.get(relance.address(mail, "act")).text
    assert "Customer K1" in page
    assert relance.recommendation().state is State.RESOLVED


def test_a_mail_from_before_a_restart_works_after_it(relance: Relance) -> None:
    mail = reminded(relance)
    relance.restarts()
    assert "Marked as done" in relance.clicks(mail, "done")
