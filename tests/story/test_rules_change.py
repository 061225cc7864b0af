"""Rules come, change and go while their customers stay."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from app.wiring import House, open_store
from domain.recommendation import State
from tests.story.relance import Relance, contract, customer, person

SELLER, NY = "seller@example.com", "nora@example.com"


def ending(days: int, *, say: str = "It ends soon.", rollout: str = "live") -> str:
    return f"""
rule: ending
title: Contract ending
rollout: {rollout}
for each: contract
when: {{status: active, end_date: in the next {days} days}}
then: {{recommend: win, say: "{say}", to: owner}}
"""


def test_a_changed_rule_looks_again_at_whoever_has_its_kinds_and_counts_its_versions(relance: Relance) -> None:
    relance.knows("ending", ending(10)).has(contract("C1", ends="2027-01-07"))
    relance.at("2026-09-02").runs()
    relance.at("2026-09-03").knows("ending", ending(200))
    ran = relance.runs()
    assert ran.evaluated.customers == 1
    assert relance.open() == ["ending C1"]
    (mail,) = relance.mailbox(SELLER)
    assert "(ending@v2)" in mail.text


def test_a_reworded_rule_says_it_anew_only_to_those_it_has_not_told(relance: Relance) -> None:
    relance.knows("ending", ending(200)).has(contract("C1", ends="2027-01-07")).runs()
    relance.at("2026-09-02").knows("ending", ending(200, say="It ends very soon.")).runs()
    relance.at("2026-09-03").has(contract("C2", ends="2027-01-07")).runs()
    old, new = relance.mailbox(SELLER)
    assert ("It ends soon." in old.text, "(ending@v1)" in old.text) == (True, True)
    assert ("It ends very soon." in new.text, "(ending@v2)" in new.text) == (True, True)


def test_a_rule_says_nothing_about_the_time_before_it_was_there(relance: Relance) -> None:
    relance.has(contract("C1", ends="2026-09-20")).runs()
    relance.at("2026-09-15").knows("ending", ending(10)).runs()
    episode = next(episode for episode in relance.chronicle() if episode.about == "ending C1")
    assert episode.opened == date(2026, 9, 15)  # not the tenth


def test_a_restart_with_the_same_rules_looks_at_nobody(relance: Relance) -> None:
    relance.has(contract("C1", ends="2027-01-07")).runs()
    assert relance.restarts().runs().evaluated.customers == 0


def test_a_worker_that_still_has_the_old_rules_stands_aside_and_says_so(
    relance: Relance, caplog: pytest.LogCaptureFixture
) -> None:
    relance.knows("ending", ending(10)).has(contract("C1", ends="2027-01-07"))
    with open_store(relance.house.settings) as db:
        old = House.build(relance.house.settings, db).worker(now=relance.now)
        relance.knows("ending", ending(200))
        assert old.evaluate(now=relance.now).customers == 0
    assert "another rule base went live" in caplog.text
    assert relance.runs().evaluated.raised == 1


def test_a_withdrawn_rule_takes_its_recommendations_with_it(relance: Relance) -> None:
    relance.knows("hello", HELLO).runs()
    assert relance.open() == ["hello K1"]
    relance.at("2026-09-02").forgets("hello").runs()
    assert relance.open() == []
    assert relance.recommendation().state is State.RESOLVED
    assert len(relance.mailbox(SELLER)) == 1


def test_the_unsent_reminder_of_a_withdrawn_rule_is_never_sent(relance: Relance) -> None:
    relance.post.closes()
    relance.knows("hello", HELLO).runs()
    relance.post.opens()
    relance.at("2026-09-02").forgets("hello").runs()
    assert relance.mailbox(SELLER) == []


def test_a_customer_that_is_deleted_takes_its_recommendations_with_it(relance: Relance) -> None:
    relance.knows("hello", HELLO).runs()
    relance.at("2026-09-02").loses("customer", "K1")
    relance.runs()
    assert relance.open() == []


def test_a_shadow_rule_is_recorded_and_mailed_to_nobody(relance: Relance) -> None:
    relance.knows("ending", ending(200, rollout="shadow")).has(contract("C1", ends="2027-01-07"))
    ran = relance.runs()
    assert relance.open() == ["ending C1"]
    assert relance.deliveries() == []
    assert ran.evaluated.unaddressed == []  # silent is not the same as lost


def test_a_draft_rule_is_not_even_recorded(relance: Relance) -> None:
    relance.knows("ending", ending(200, rollout="draft")).has(contract("C1", ends="2027-01-07")).runs()
    assert relance.recommendations() == []


def test_what_is_held_back_is_open_and_mailed_once_the_reason_is_gone(relance: Relance) -> None:
    relance.knows("pitch", PITCH).knows("trouble", TROUBLE)
    relance.has(customer("K1", city="Zurich"), customer("K2", city="Bern", owner="nora"), person("nora")).runs()
    assert relance.open() == ["pitch K1", "pitch K2", "trouble K1"]
    assert [mail.subject for mail in relance.mailbox(SELLER)] == ["Customer K1: Trouble"]
    assert [mail.subject for mail in relance.mailbox(NY)] == ["Customer K2: Pitch"]

    relance.at("2026-09-02").has(customer("K1", city="Bern")).runs()
    assert relance.open() == ["pitch K1", "pitch K2"]
    assert [mail.subject for mail in relance.mailbox(SELLER)] == ["Customer K1: Trouble", "Customer K1: Pitch"]


def test_an_unsent_reminder_that_is_held_back_meanwhile_waits_until_it_is_not(relance: Relance) -> None:
    relance.knows("pitch", PITCH).knows("trouble", TROUBLE)
    relance.post.closes()
    relance.has(customer("K1", city="Bern")).runs()
    relance.at("2026-09-02").has(customer("K1", city="Zurich"))
    relance.post.opens()
    relance.runs()
    assert [mail.subject for mail in relance.mailbox(SELLER)] == ["Customer K1: Trouble"]

    relance.at("2026-09-03").has(customer("K1", city="Bern")).runs()
    relance.now += timedelta(hours=1)
    relance.runs()
    assert [mail.subject for mail in relance.mailbox(SELLER)] == ["Customer K1: Trouble", "Customer K1: Pitch"]


HELLO = """
rule: hello
title: Say hello
for each: customer
when: {city: missing}
then: {recommend: win, say: "Say hello to {{ customer.name }}.", to: owner}
"""
PITCH = """
rule: pitch
title: Pitch
tags: [pitch]
for each: customer
when: {city: present}
then: {recommend: win, say: Sell something., to: owner}
"""
TROUBLE = """
rule: trouble
title: Trouble
for each: customer
when: {city: Zurich}
then: {recommend: hold, say: Sell nothing., to: owner, holds back: {tags: [pitch], about: customer, until: resolved}}
"""
