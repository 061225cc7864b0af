"""While nobody acts: reminded again, escalated in steps, and quiet as soon as somebody does."""

from __future__ import annotations

from domain.followup import FollowUpKind
from store import followups
from tests.story.relance import Relance, contract, customer, person

RULE = """
rule: ending
title: Contract ending
tags: [sales]
for each: contract
when: {status: active, end_date: in the next 90 days}
then:
  recommend: win
  say: "It ends soon."
  to: owner
  repeat: every 14 days, at most 2 times
  escalate:
    - {after: 5 business days, to: owner.manager}
    - {after: 20 days, to: [team board, boss@example.com]}
"""
SELLER, LEAD, BOARD, BOSS = "seller@example.com", "lead@example.com", "board1@example.com", "boss@example.com"


def begun(relance: Relance) -> Relance:
    """The contract's recommendation is raised on 9 October 2026, a Friday."""
    relance.has(person("seller", manager="lead"), person("lead"), person("board1", team="board"))
    relance.knows("ending", RULE).knows("quiet", "rule: contract-expiring\nrollout: draft\n")
    return relance.at("2026-10-01").has(customer("K1"), contract("C1", ends="2027-01-07")).at("2026-10-09")


def heard(relance: Relance, *days: str) -> dict[str, list[str]]:
    """Who has got a mail on which day, when the worker runs on these."""
    found: dict[str, list[str]] = {}
    for day in days:
        before = {who: len(relance.mailbox(who)) for who in (SELLER, LEAD, BOARD, BOSS)}
        relance.at(day).runs()
        for who, count in before.items():
            found.setdefault(who, []).extend([day] * (len(relance.mailbox(who)) - count))
    return {who: days_ for who, days_ in found.items() if days_}


def press(relance: Relance, button: str, **form: str) -> None:
    relance.clicks(relance.mailbox(SELLER)[-1], button, **form)


OCTOBER = [f"2026-10-{day:02}" for day in range(9, 32)] + [f"2026-11-{day:02}" for day in range(1, 31)]


def test_nobody_acts(relance: Relance) -> None:
    assert heard(begun(relance), *OCTOBER) == {
        SELLER: ["2026-10-09", "2026-10-23", "2026-11-06"],
        LEAD: ["2026-10-17"],  # five business days are over when the fifth is
        BOARD: ["2026-10-29"],
        BOSS: ["2026-10-29"],
    }


def test_the_mail_says_to_whom_it_goes_on_and_when(relance: Relance) -> None:
    begun(relance).runs()
    (mail,) = relance.mailbox(SELLER)
    assert "Goes on to Lead on Fri 16 Oct unless somebody acts." in mail.text
    relance.at("2026-10-17").runs()
    assert "Goes on to Board1, Boss on Thu 29 Oct" in relance.mailbox(LEAD)[0].text


def test_q14_a_worker_that_was_away_makes_up_for_the_missed_repeats_by_one(relance: Relance) -> None:
    begun(relance).runs()
    assert heard(relance.restarts(), "2026-11-20", "2026-12-03", "2026-12-04") == {
        SELLER: ["2026-11-20", "2026-12-04"],
        LEAD: ["2026-11-20"],
        BOARD: ["2026-11-20"],
        BOSS: ["2026-11-20"],
    }


def test_who_acts_stops_all_of_it(relance: Relance) -> None:
    begun(relance).runs()
    press(relance.at("2026-10-12"), "done")
    assert heard(relance, *OCTOBER[5:]) == {}


def test_the_episodes_end_stops_all_of_it(relance: Relance) -> None:
    begun(relance).runs()
    relance.at("2026-10-12").has(contract("C1", ends="2028-01-07"))
    assert heard(relance, *OCTOBER[3:]) == {}


def test_a_snooze_puts_it_off_until_its_end(relance: Relance) -> None:
    begun(relance).runs()
    press(relance.at("2026-10-15"), "snooze-1w")
    heard_of = heard(relance, *OCTOBER[6:20])
    assert heard_of[LEAD] == ["2026-10-22"]
    assert heard_of[SELLER] == ["2026-10-22", "2026-10-23"]  # the snooze ends, and the rule repeats


def test_taking_back_what_was_done_begins_anew(relance: Relance) -> None:
    begun(relance).runs()
    relance.at("2026-10-12")
    press(relance, "done")
    press(relance, "done", undo="yes")
    (open_,) = relance.recommendations()
    assert {f.kind for f in followups.of(relance.db, open_.id)} == {FollowUpKind.REPEAT, FollowUpKind.ESCALATE}
    assert heard(relance, *OCTOBER[3:14])[LEAD] == ["2026-10-20"]


def test_what_is_held_back_is_neither_repeated_nor_escalated(relance: Relance) -> None:
    begun(relance)
    relance.knows("hold", HOLDING).runs()
    relance.at("2026-10-12").has(contract("C2", ends="2030-01-01", product="complaint")).runs()
    assert LEAD not in heard(relance, *OCTOBER[4:20])


HOLDING = """
rule: hold
title: Hold
for each: contract
when: {product: complaint}
then: {recommend: hold, say: "Hold it.", to: owner, holds back: {tags: [sales], about: customer, until: resolved}}
"""
