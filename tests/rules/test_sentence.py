"""A rule in plain words: a sales manager reads what it does, in English and in German, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from domain.calendar import At, Calendar
from rules.loader import builtin_packs, check, load
from rules.operators import PHRASES
from rules.rule import Condition, Rule
from rules.rulebase import RuleBase
from rules.say import Voice
from rules.sentence import German, sentence
from rules.wording import Wording, inside
from tests.rules.strategies import Company, companies

Say = Callable[..., str]
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
BASE = {
    ("complaint-open", "en"): """
        For each complaint whose status is open: tell the owner to hold on to the customer: call, or else
        hand over to customer service; due in 1 business day. At stake is the customer's lifetime value; it
        reminds again every 2 business days, at most 5 times; after 3 business days it goes to the owner's
        manager; while it is open, whatever is tagged sales or pitch is held back for the same customer.
    """,
    ("contract-expiring", "en"): """
        For each contract whose status is active, whose end date is in the next 90 days and that
        does not renew automatically, unless there is an opportunity for it whose type is renewal
        and whose stage is open, or there is an opportunity for it whose type is renewal, whose
        stage is won and whose date closed is missing or was in the last 6 months: tell the owner to
        win the customer: call, or else hand over to inside sales; due in 4 business days. At stake
        is the contract's annual value; it reminds again every 14 days, at most 3 times; after 5
        business days it goes to the owner's manager.
    """,
    ("lead-unworked", "en"): """
        For each lead whose status is new and whose date created was more than 4 business hours ago, unless
        there is an interaction for it whose direction is out: tell the owner (otherwise the team lead) by
        chat and in the inbox to win the customer: call, or else hand over to inside sales; due today. At
        stake is the lead's expected value; it reminds again every business day, at most 5 times; after 4
        business hours it goes to the team lead.
    """,
    ("negative-margin", "en"): """
        For each customer whose "margin in 12 months" is below CHF 0, whose number of years with a negative margin is at
        least 3 and whose "since" was more than 3 years ago, unless there is an opportunity of this
        customer whose stage is open and whose amount is above CHF 20,000: tell the owner's manager
        in the digest to let the customer go: call; due in 10 business days. At stake is the
        customer's "margin in 12 months"; it reminds again every 6 months, at most 2 times; while it is open,
        whatever is tagged pitch is held back for the same customer.
    """,
    ("opportunity-idle", "en"): """
        For each opportunity whose stage is open and whose date opened was more than 21 days ago,
        unless there is an interaction for it whose date was in the last 21 days, or there is a
        quote for it whose status is open: tell the owner to win the customer: call, or else hand
        over to inside sales; due in 2 business days. At stake is the opportunity's amount; it
        reminds again every 10 days, at most 3 times; after 10 business days it goes to the owner's
        manager.
    """,
    ("order-late", "en"): """
        For each order whose status is open and whose promised date has passed, unless there is a delivery
        for it whose status is delivered: tell the owner to hold on to the customer: call, or else hand over
        to logistics; due today. At stake is the order's amount; it reminds again every 5 business days, at
        most 4 times; after 5 business days it goes to the owner's manager; while it is open, whatever is
        tagged sales or pitch is held back for the same customer.
    """,
    ("payment-overdue", "en"): """
        For each invoice whose status is open, whose due date was more than 30 days ago and whose amount is
        at least CHF 500, unless there is a complaint for it whose status is open: tell the owner to hold on
        to the customer: call, or else hand over to accounting; due in 2 business days. At stake is the
        invoice's amount; it reminds again every 14 days, at most 3 times; after 10 business days it goes to
        the owner's manager; while it is open, whatever is tagged pitch is held back for the same customer.
    """,
    ("quote-stalled", "en"): """
        For each quote whose status is sent, whose date sent was more than 14 days ago and whose amount is
        at least CHF 5,000, unless there is an interaction for it whose direction is in and whose date was
        in the last 14 days, or there is an order for it: tell the owner to win the customer: call; due
        tomorrow. At stake is the quote's amount; it reminds again every 7 days, at most 2 times; after 15
        business days it goes to the owner's manager.
    """,
    ("complaint-open", "de"): """
        Für jede Reklamation, deren Status offen ist, geht an den Betreuer die Empfehlung, den Kunden zu
        halten: anrufen oder sonst an customer service übergeben; fällig in 1 Arbeitstag. Es geht um das,
        was unter «Kunde: Kundenwert» steht; erinnert wird erneut im Abstand von 2 Arbeitstagen, höchstens
        5-mal; nach 3 Arbeitstagen geht sie an den Vorgesetzten des Betreuers; solange sie offen ist, wird
        für denselben Kunden zurückgehalten, was mit sales oder pitch gekennzeichnet ist.
    """,
    ("contract-expiring", "de"): """
        Für jeden Vertrag, dessen Status aktiv ist, dessen Ende in den nächsten 90 Tagen liegt und
        der sich nicht automatisch verlängert, es sei denn, es gibt dazu eine Verkaufschance, deren
        Typ Verlängerung ist und deren Phase offen ist, oder es gibt dazu eine Verkaufschance, deren
        Typ Verlängerung ist, deren Phase gewonnen ist und deren «geschlossen am» fehlt oder in den
        letzten 6 Monaten lag, geht an den Betreuer die Empfehlung, den Kunden zu gewinnen: anrufen
        oder sonst an inside sales übergeben; fällig in 4 Arbeitstagen. Es geht um das, was unter
        «Jahreswert» steht; erinnert wird erneut im Abstand von 14 Tagen, höchstens 3-mal; nach 5
        Arbeitstagen geht sie an den Vorgesetzten des Betreuers.
    """,
    ("lead-unworked", "de"): """
        Für jeden Interessenten, dessen Status neu ist und dessen «erstellt am» vor mehr als 4
        Arbeitsstunden war, es sei denn, es gibt dazu einen Kontakt, dessen Richtung ausgehend ist, geht an
        den Betreuer (sonst an die Teamleitung) per Chat und im Posteingang die Empfehlung, den Kunden zu
        gewinnen: anrufen oder sonst an inside sales übergeben; fällig heute. Es geht um das, was unter
        «erwarteter Wert» steht; erinnert wird erneut im Abstand von 1 Arbeitstag, höchstens 5-mal; nach 4
        Arbeitsstunden geht sie an die Teamleitung.
    """,
    ("negative-margin", "de"): """
        Für jeden Kunden, dessen «Marge 12 Monate» unter CHF 0 liegt, dessen «Jahre mit negativer
        Marge» mindestens 3 ist und dessen «seit» vor mehr als 3 Jahren war, es sei denn, es gibt
        eine Verkaufschance dieses Kunden, deren Phase offen ist und deren Betrag über CHF 20’000
        liegt, geht an den Vorgesetzten des Betreuers in der Sammelmail die Empfehlung, den Kunden
        loszulassen: anrufen; fällig in 10 Arbeitstagen. Es geht um das, was unter «Marge 12 Monate»
        steht; erinnert wird erneut im Abstand von 6 Monaten, höchstens 2-mal; solange sie offen
        ist, wird für denselben Kunden zurückgehalten, was mit pitch gekennzeichnet ist.
    """,
    ("opportunity-idle", "de"): """
        Für jede Verkaufschance, deren Phase offen ist und deren «eröffnet am» vor mehr als 21 Tagen
        war, es sei denn, es gibt dazu einen Kontakt, dessen «am» in den letzten 21 Tagen lag, oder
        es gibt dazu eine Offerte, deren Status offen ist, geht an den Betreuer die Empfehlung, den
        Kunden zu gewinnen: anrufen oder sonst an inside sales übergeben; fällig in 2 Arbeitstagen.
        Es geht um das, was unter «Betrag» steht; erinnert wird erneut im Abstand von 10 Tagen,
        höchstens 3-mal; nach 10 Arbeitstagen geht sie an den Vorgesetzten des Betreuers.
    """,
    ("order-late", "de"): """
        Für jeden Auftrag, dessen Status offen ist und dessen «zugesagt auf» vorbei ist, es sei denn, es
        gibt dazu eine Lieferung, deren Status geliefert ist, geht an den Betreuer die Empfehlung, den
        Kunden zu halten: anrufen oder sonst an logistics übergeben; fällig heute. Es geht um das, was unter
        «Betrag» steht; erinnert wird erneut im Abstand von 5 Arbeitstagen, höchstens 4-mal; nach 5
        Arbeitstagen geht sie an den Vorgesetzten des Betreuers; solange sie offen ist, wird für denselben
        Kunden zurückgehalten, was mit sales oder pitch gekennzeichnet ist.
    """,
    ("payment-overdue", "de"): """
        Für jede Rechnung, deren Status offen ist, deren «fällig am» vor mehr als 30 Tagen war und deren
        Betrag mindestens CHF 500 ist, es sei denn, es gibt dazu eine Reklamation, deren Status offen ist,
        geht an den Betreuer die Empfehlung, den Kunden zu halten: anrufen oder sonst an accounting
        übergeben; fällig in 2 Arbeitstagen. Es geht um das, was unter «Betrag» steht; erinnert wird erneut
        im Abstand von 14 Tagen, höchstens 3-mal; nach 10 Arbeitstagen geht sie an den Vorgesetzten des
        Betreuers; solange sie offen ist, wird für denselben Kunden zurückgehalten, was mit pitch
        gekennzeichnet ist.
    """,
    ("quote-stalled", "de"): """
        Für jede Offerte, deren Status gesendet ist, deren «gesendet am» vor mehr als 14 Tagen war und deren
        Betrag mindestens CHF 5’000 ist, es sei denn, es gibt dazu einen Kontakt, dessen Richtung eingehend
        ist und dessen «am» in den letzten 14 Tagen lag, oder es gibt dazu einen Auftrag, geht an den
        Betreuer die Empfehlung, den Kunden zu gewinnen: anrufen; fällig morgen. Es geht um das, was unter
        «Betrag» steht; erinnert wird erneut im Abstand von 7 Tagen, höchstens 2-mal; nach 15 Arbeitstagen
        geht sie an den Vorgesetzten des Betreuers.
    """,
}
MODEL = """\
company: Muster AG
currency: CHF
---
model:
  customer:
    segment: {enum: [private, sme, corporate]}
    since: date
    score: number
    mood: {enum: [fine, on_ice]}
  contract:
    status: {enum: [draft, active, expired], groups: {open: [draft, active]}}
    end_date: date
    created_at: datetime
    annual_value: money
    notice_days: number
    auto_renews: yesno
    paperless: yesno
    line: text
    previous: ref contract
    product: text
  complaint:
    contract: ref contract
    status: {enum: [new, closed]}
    opened_at: datetime
    product: text
  zeppelin:
    contract: ref contract
    colour: text
---
"""
RULE = "rule: r\nfor each: {kind}\n{more}then: {{recommend: {verdict}, say: Hello, to: {to}{then}}}\n"


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """What a rule is in words; `kind` is its subject, `more` stands before `then`."""

    def say(
        language: str,
        *,
        kind: str = "contract",
        more: str = "",
        verdict: str = "win",
        to: str = "owner",
        then: str = "",
        after: str = "",
    ) -> str:
        file = tmp_path / "rules.yaml"
        more, then = f"{more}\n" if more else "", f", {then}" if then else ""
        text = RULE.format(kind=kind, more=more, verdict=verdict, to=to, then=then)
        file.write_text(f"{MODEL}{text}{after}", encoding="utf-8")
        rulebase = load([file])
        return spoken(rulebase.rules[0], rulebase, language)

    return say


def spoken(rule: Rule, rulebase: RuleBase, language: str) -> str:
    voice = Voice(at=At.of(NOW, Calendar()), language=language, currency="CHF")
    return sentence(rule, Wording(voice=voice, model=rulebase.model))


# --- whole rules ---


@pytest.mark.parametrize(("rule", "language"), BASE, ids=lambda part: part)
def test_a_rule_of_the_base_pack_is_said_in_plain_words(rule: str, language: str) -> None:
    rulebase = load(["base"])
    assert spoken(rulebase.by_id[rule], rulebase, language) == " ".join(BASE[rule, language].split())


def test_every_rule_of_the_base_pack_is_said() -> None:
    assert {rule for rule, _ in BASE} == set(load(["base"]).by_id)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=100)
@given(company=companies())
def test_every_rule_has_a_sentence_that_names_each_field_it_tests(
    tmp_path_factory: pytest.TempPathFactory, company: Company
) -> None:
    file = tmp_path_factory.mktemp("company") / "rules.yaml"
    file.write_text(company.text, encoding="utf-8")
    rulebase = check([file]).rulebase
    for rule in rulebase.rules:
        for language in ("en", "de"):
            said = spoken(rule, rulebase, language)
            assert said.endswith(".")
            assert "  " not in said
            assert not re.search(r"\{\w*\}", said.replace("{x}", ""))  # {x} is a value of the random rules
            for condition in every_condition(rule):
                for word in named(condition, language):
                    assert word in said, (word, said)


def every_condition(rule: Rule) -> Iterator[Condition]:
    yield from rule.conditions()
    for relation in (*rule.with_, *rule.unless):
        yield from relation.conditions


def named(condition: Condition, language: str) -> Iterator[str]:
    for part in (*(ref for ref, _ in condition.link.refs), condition.link.field):
        yield "date" if (language, part) == ("en", "at") else inside(part, language)


# --- tests ---

# As written -> (in English, in German), both after "whose end date", "dessen Ende" and the like.
TESTS = {
    "annual_value: above 1000": ("annual value is above CHF 1,000", "Jahreswert über CHF 1’000 liegt"),
    "annual_value: below 1000": ("annual value is below CHF 1,000", "Jahreswert unter CHF 1’000 liegt"),
    "annual_value: at least 1000": ("annual value is at least CHF 1,000", "Jahreswert mindestens CHF 1’000 ist"),
    "annual_value: at most 1000": ("annual value is at most CHF 1,000", "Jahreswert höchstens CHF 1’000 ist"),
    "annual_value: between 1 and 2.5": (
        "annual value is between CHF 1 and CHF 2.50",
        "Jahreswert zwischen CHF 1 und CHF 2.50 liegt",
    ),
    "notice_days: 30": ('"notice days" is 30', "«Kündigungsfrist in Tagen» 30 ist"),
    "line: starts with CH": ("line starts with CH", "Sparte mit CH beginnt"),
    "line: contains fibre": ("line contains fibre", "Sparte fibre enthält"),
    "line: fibre": ("line is fibre", "Sparte fibre ist"),
    "end_date: in the next 90 days": ("end date is in the next 90 days", "Ende in den nächsten 90 Tagen liegt"),
    "end_date: in the next 1 week": ("end date is in the next 1 week", "Ende innerhalb von 1 Woche ab jetzt liegt"),
    "end_date: in the last 90 days": ("end date was in the last 90 days", "Ende in den letzten 90 Tagen lag"),
    "end_date: in the last 1 day": ("end date was in the last 1 day", "Ende innerhalb von 1 Tag bis jetzt lag"),
    "end_date: more than 2 months ago": ("end date was more than 2 months ago", "Ende vor mehr als 2 Monaten war"),
    "end_date: more than 60 days away": ("end date is more than 60 days away", "Ende in mehr als 60 Tagen liegt"),
    "end_date: passed": ("end date has passed", "Ende vorbei ist"),
    "end_date: today": ("end date is today", "Ende heute ist"),
    "end_date: before 2027-01-31": ("end date is before 31 January 2027", "Ende vor dem 31. Januar 2027 liegt"),
    "end_date: after 2027-01-31": ("end date is after 31 January 2027", "Ende nach dem 31. Januar 2027 liegt"),
    "end_date: anniversary in the next 5 days": (
        "end date has its anniversary in the next 5 days",
        "Ende sich in den nächsten 5 Tagen jährt",
    ),
    "end_date: 2027-01-31": ("end date is 31 January 2027", "Ende der 31. Januar 2027 ist"),
    "end_date: missing or in the next 2 years": (
        "end date is missing or is in the next 2 years",
        "Ende fehlt oder in den nächsten 2 Jahren liegt",
    ),
    "created_at: not 2027-01-31": (
        "date created is not 31 January 2027",
        "«erstellt am» nicht der 31. Januar 2027 ist",
    ),
    "created_at: more than 4 business hours ago": (
        "date created was more than 4 business hours ago",
        "«erstellt am» vor mehr als 4 Arbeitsstunden war",
    ),
    "status: open": ("status is open", "Status offen ist"),
    "status: [draft, expired]": ("status is draft or expired", "Status Entwurf oder abgelaufen ist"),
    "status: not draft": ("status is not draft", "Status nicht Entwurf ist"),
    "status: missing": ("status is missing", "Status fehlt"),
    "status: present": ("status is known", "Status bekannt ist"),
    "paperless: yes": ('"paperless" is yes', "«paperless» ja ist"),
    "customer.segment: sme": ("customer's segment is SME", "«Kunde: Segment» KMU ist"),
    "customer.since: missing": ('customer\'s "since" is missing', "«Kunde: seit» fehlt"),
}


@pytest.mark.parametrize("written", TESTS)
def test_every_test_has_words(say: Say, written: str) -> None:
    english, german = TESTS[written]
    assert (
        say("en", more=f"when: {{{written}}}")
        == f"For each contract whose {english}: tell the owner to win the customer."
    )
    assert say("de", more=f"when: {{{written}}}") == (
        f"Für jeden Vertrag, dessen {german}, geht an den Betreuer die Empfehlung, den Kunden zu gewinnen."
    )


def test_every_phrase_of_the_grammar_is_among_them() -> None:
    for phrase in PHRASES:
        pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(phrase.words))
        assert any(re.search(f": {pattern}$", written) for written in TESTS), phrase.words


def test_a_yes_or_no_may_have_words_of_its_own(say: Say) -> None:
    assert say("en", more="when: {auto_renews: yes}").startswith("For each contract that renews automatically: tell")
    assert say("de", more="when: {auto_renews: no}").startswith(
        "Für jeden Vertrag, der sich nicht automatisch verlängert, geht"
    )
    assert 'whose "auto renews" is missing' in say("en", more="when: {auto_renews: missing}")


# --- the other parts ---

# As written -> (part of the English, part of the German sentence).
PARTS = {
    "any of: [{status: open}, {status: expired, line: a}]": (
        "each contract (1) whose status is open or (2) whose status is expired and whose line is a: tell",
        "jeden Vertrag, (1) dessen Status offen ist "
        "oder (2) dessen Status abgelaufen ist und dessen Sparte a ist, geht",
    ),
    "any of: [{status: open}]": ("each contract whose status is open: tell", "Vertrag, dessen Status offen ist, geht"),
    "when: {line: b}\nany of: [{status: open}, {line: a}]": (
        "whose line is b and (1) whose status is open or (2) whose line is a: tell",
        "dessen Sparte b ist und (1) dessen Status offen ist oder (2) dessen Sparte a ist, geht",
    ),
    "with: [{complaint: {contract: this}}, {zeppelin: {contract: this, colour: red}}]": (
        "each contract, provided there is a complaint for it, and there is a zeppelin for it whose colour is red: tell",
        "jeden Vertrag, vorausgesetzt, es gibt dazu eine Reklamation, und es gibt dazu einen Eintrag «zeppelin», "
        "dessen «colour» red ist, geht",
    ),
    "unless: [{complaint: {customer: same, product: same, status: new, opened_at: passed}}]": (
        "unless there is a complaint of the same customer with the same product whose status is new "
        "and whose date opened has passed: tell",
        "es sei denn, es gibt eine Reklamation desselben Kunden mit derselben Angabe unter «Produkt», "
        "deren Status neu ist und deren «eröffnet am» vorbei ist, geht",
    ),
    "unless: [{contract: {previous: this, auto_renews: yes}}]": (
        "unless there is another contract whose previous is this contract and that renews automatically: tell",
        "es sei denn, es gibt einen weiteren Vertrag, dessen «vorheriger» dieser Vertrag ist "
        "und der sich automatisch verlängert, geht",
    ),
    "with: [{complaint: {contract: this, status: new, count: at least 3}}]": (
        "provided the number of complaints for it whose status is new is at least 3: tell",
        "vorausgesetzt, die Anzahl der zugehörigen Einträge «Reklamation», deren Status neu ist, "
        "ist mindestens 3, geht",
    ),
    "unless: [{contract: {customer: same, auto_renews: no, count: above 1}}]": (
        'unless the number of other contracts of the same customer whose "auto renews" is no is above 1: tell',
        "es sei denn, die Anzahl der weiteren Einträge «Vertrag» desselben Kunden, "
        "deren «verlängert sich automatisch» nein ist, liegt über 1, geht",
    ),
}
THEN = {
    "do: call, or: [handover inside sales, dialog renewal-call, webhook a.b, 'open https://a.ch']": (
        "to win the customer: call, or else hand over to inside sales, or else go through the dialog "
        '"renewal-call", or else send the event "a.b", or else open https://a.ch.',
        "den Kunden zu gewinnen: anrufen oder sonst an inside sales übergeben oder sonst den Dialog «renewal-call» "
        "durchgehen oder sonst das Ereignis «a.b» melden oder sonst https://a.ch öffnen.",
    ),
    "channel: [email, chat, inbox, digest]": (
        "tell the owner by e-mail, by chat, in the inbox and in the digest to win",
        "geht an den Betreuer per E-Mail, per Chat, im Posteingang und in der Sammelmail die Empfehlung",
    ),
    "due: today": ("customer; due today.", "gewinnen; fällig heute."),
    "due: tomorrow": ("; due tomorrow.", "; fällig morgen."),
    "due: in 1 business day": ("; due in 1 business day.", "; fällig in 1 Arbeitstag."),
    "due: 10 days before end_date": (
        "; due 10 days before the contract's end date.",
        "; fällig mit 10 Tagen Vorlauf auf den Tag, der unter «Ende» steht.",
    ),
    "worth: contract.annual_value": (
        "At stake is the contract's annual value.",
        "Es geht um das, was unter «Jahreswert» steht.",
    ),
    "worth: customer.score": ("At stake is the customer's score.", "Es geht um das, was unter «Kunde: Punkte» steht."),
    "worth: 18000": ("At stake is CHF 18,000.", "Es geht um CHF 18’000."),
    "weight: 150": ("Its weight is 150%.", "Ihr Gewicht ist 150 %."),
    "repeat: every 14 days": ("It reminds again every 14 days.", "Erinnert wird erneut im Abstand von 14 Tagen."),
    "repeat: 'every 1 week, at most 1 time'": (
        "It reminds again every week, at most once.",
        "Erinnert wird erneut im Abstand von 1 Woche, höchstens einmal.",
    ),
    "repeat: 'every 2 hours, at most 3 times', escalate: {after: 1 day, to: team lead}": (
        "It reminds again every 2 hours, at most 3 times; after 1 day it goes to the team lead.",
        "Erinnert wird erneut im Abstand von 2 Stunden, höchstens 3-mal; nach 1 Tag geht sie an die Teamleitung.",
    ),
    "escalate: [{after: 5 days, to: owner.manager}, {after: 2 weeks, to: [team north, a@b.ch]}]": (
        "After 5 days it goes to the owner's manager; after 2 weeks it goes to team north and a@b.ch.",
        "Nach 5 Tagen geht sie an den Vorgesetzten des Betreuers; "
        "nach 2 Wochen geht sie an das Team north und an a@b.ch.",
    ),
    "holds back: {tags: [sales, pitch]}": (
        "While it is open, whatever is tagged sales or pitch is held back for the same customer.",
        "Solange sie offen ist, wird für denselben Kunden zurückgehalten, was mit sales oder pitch gekennzeichnet ist.",
    ),
    "holds back: {tags: sales, about: this}": (
        "held back for the same contract.",
        "wird für denselben Vertrag zurückgehalten, was mit sales gekennzeichnet ist.",
    ),
    "set: {mood: on_ice}": (
        "While this holds, the customer's mood is on ice.",
        "Solange das zutrifft, gilt für den Kunden: «mood» ist on ice.",
    ),
}
ROLLOUTS = {
    "draft": ("This is a draft and does nothing yet.", "Die Regel ist ein Entwurf und bewirkt noch nichts."),
    "shadow": (
        "For now it is only recorded, and nobody is told.",
        "Vorerst wird sie nur aufgezeichnet, und niemand erfährt davon.",
    ),
    "20% of customers": (
        "For now it reaches only 20% of the customers.",
        "Vorerst erreicht sie nur 20 % der Kunden.",
    ),
    "team north": (
        "For now it reaches only the customers of team north.",
        "Vorerst erreicht sie nur die Kunden des Teams north.",
    ),
}


@pytest.mark.parametrize("written", PARTS)
def test_every_way_to_choose_records_is_said(say: Say, written: str) -> None:
    english, german = PARTS[written]
    assert english in say("en", more=written)
    assert german in say("de", more=written)


@pytest.mark.parametrize("written", THEN)
def test_every_part_of_what_is_recommended_is_said(say: Say, written: str) -> None:
    english, german = THEN[written]
    assert english in say("en", then=written)
    assert german in say("de", then=written)


@pytest.mark.parametrize("stage", ROLLOUTS)
def test_it_is_said_how_far_a_rule_reaches(say: Say, stage: str) -> None:
    english, german = ROLLOUTS[stage]
    assert say("en", after=f"rollout: {stage}\n").endswith(english)
    assert say("de", after=f"rollout: {stage}\n").endswith(german)


def test_a_rule_without_conditions_is_about_every_record(say: Say) -> None:
    assert say("en") == "For each contract: tell the owner to win the customer."
    assert say("de") == "Für jeden Vertrag geht an den Betreuer die Empfehlung, den Kunden zu gewinnen."


def test_a_kind_whose_gender_is_unknown_is_a_record(say: Say) -> None:
    assert say("de", kind="zeppelin", more="when: {colour: red}").startswith(
        "Für jeden Eintrag «zeppelin», dessen «colour» red ist, geht"
    )


def test_what_belongs_to_a_customer_is_the_customers(say: Say) -> None:
    more = "with: [{complaint: {customer: this, status: new}}]"
    assert "provided there is a complaint of this customer whose status is new" in say("en", kind="customer", more=more)
    assert "es gibt eine Reklamation dieses Kunden, deren Status neu ist" in say("de", kind="customer", more=more)


def test_the_day_of_a_date_is_named(say: Say) -> None:
    due = {"more": "when: {end_date: today}", "then": "due: on the day"}
    assert say("en", **due).endswith("; due on the day of the contract's end date.")
    assert say("de", **due).endswith("; fällig an dem Tag, der unter «Ende» steht.")
    due["more"] = "when: {end_date: anniversary in the next 5 days}"
    assert say("en", **due).endswith("; due on the anniversary of the contract's end date.")
    assert say("de", **due).endswith("; fällig am Jahrestag des Tages, der unter «Ende» steht.")


VERDICTS = {
    "win": ("to win the customer.", "den Kunden zu gewinnen."),
    "hold": ("to hold on to the customer.", "den Kunden zu halten."),
    "let go": ("to let the customer go.", "den Kunden loszulassen."),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_it_is_said_what_becomes_of_the_customer(say: Say, verdict: str) -> None:
    english, german = VERDICTS[verdict]
    assert english in say("en", verdict=verdict)
    assert german in say("de", verdict=verdict)


def test_everybody_who_is_told_is_named(say: Say) -> None:
    to = "[owner.manager, 'user u1, otherwise team lead', a@b.ch]"
    assert say("en", to=to).startswith(
        "For each contract: tell the owner's manager, user u1 (otherwise the team lead) and a@b.ch to win"
    )
    assert say("de", to=to).startswith(
        "Für jeden Vertrag geht an den Vorgesetzten des Betreuers, an die Person u1 (sonst an die Teamleitung) "
        "und an a@b.ch die Empfehlung,"
    )


def test_a_language_without_a_grammar_of_its_own_is_said_in_english(say: Say) -> None:
    assert say("fr").startswith("For each contract: tell")


def test_a_german_kind_is_declined_as_it_is_called() -> None:
    kinds = {kind for pack in builtin_packs() for kind in check(["base", pack]).rulebase.model.kinds}
    for kind in kinds & set(German.ACCUSATIVE):
        noun = German.ACCUSATIVE[kind].partition(" ")[2]
        assert noun.startswith(inside(kind, "de")), kind
