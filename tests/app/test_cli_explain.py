"""`relance rules explain`: why, and why not, from files and over the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from domain.person import Person
from domain.record import CUSTOMER, Record
from store import dossiers, people
from store.session import Database
from tests.app.conftest import NOON, Said, Terminal

AT = "2026-11-23T09:00:00+01:00"
PACK = """\
company: Muster AG
timezone: Europe/Zurich
currency: CHF
language: en
---
model:
  customer:
    standing: {enum: [good, at_risk]}
    revenue_12m: {sum: invoice.amount, where: {issued_on: in the last 12 months}}
    cost: {sum: service_cost.amount}
    margin_12m: {subtract: [revenue_12m, cost]}
    margin_share: {divide: [margin_12m, revenue_12m]}
    open_complaints: {count: complaint, where: {status: open}}
    last_interaction: {latest: interaction.at}
  service_cost: {amount: money}
---
rule: standing-at-risk
title: {en: At risk, de: Gefährdet}
for each: contract
when: {status: cancelled}
then: {recommend: hold, say: "Hold", to: owner, set: {standing: at_risk}}
---
rule: profitable
title: Profitable
for each: customer
when: {margin_12m: at least 1000, margin_share: above 0.5}
then: {recommend: win, say: "Win", to: owner}
---
rule: careful
title: Careful
for each: customer
tags: [sales]
rollout: ROLLOUT
when: {standing: at_risk, open_complaints: at least 1, last_interaction: more than 10 days ago}
then: {recommend: hold, say: "Hold", to: owner}
---
rule: either
title: Either
for each: contract
any of:
  - {annual_value: above 100000}
  - {customer.standing: at_risk, end_date: passed}
unless:
  - complaint: {customer: same, status: open}
then: {recommend: win, say: "Win", to: owner}
---
rule: angry
title: Angry
for each: contract
with:
  - complaint: {customer: same, severity: high, status: open, opened_at: in the last 30 days}
  - complaint: {customer: same, count: at least 3}
then: {recommend: hold, say: "Hold", to: owner}
"""
K1 = {
    "customer": {"id": "K1", "owner": "lena"},
    "contract": [
        {"id": "C1", "status": "active", "end_date": "2027-01-07", "auto_renews": False, "annual_value": 48200},
        {"id": "C2", "status": "cancelled", "end_date": "2026-05-01"},
    ],
    "opportunity": [
        {"id": "O1", "contract": "C1", "type": "renewal", "stage": "lost"},
        {"id": "O2", "contract": "C2", "type": "renewal", "stage": "won"},
        {"id": "O3", "contract": "C2", "type": "renewal", "stage": "proposal"},
    ],
    "complaint": [
        {"id": "M1", "status": "closed", "severity": "high", "opened_at": "2026-11-20T10:00:00+01:00"},
        {"id": "M2", "status": "new", "severity": "low", "opened_at": "2026-09-21T10:00:00+02:00"},
    ],
    "invoice": [
        *({"id": f"R{n:02}", "amount": 100, "issued_on": f"2026-{n % 12:02}-01"} for n in range(1, 12)),
        {"id": "R12", "amount": 900, "issued_on": "2026-08-15"},
        {"id": "R13", "amount": 5000, "issued_on": "2020-08-15"},
    ],
    "service_cost": [{"id": "S1", "amount": 500}, {"id": "S2", "amount": 250}],
    "interaction": [
        {"id": "I1", "at": "2026-11-01T14:30:00+01:00"},
        {"id": "I2", "at": "2026-11-16T14:30:00+01:00"},
    ],
}
K2 = {"customer": {"id": "K2", "owner": "lena"}, "contract": [{"id": "C3", "end_date": "7.1.27"}]}
Explain = Callable[..., Said]


def records(known: dict[str, Any]) -> list[Record]:
    customer = known["customer"]["id"]
    return [
        Record(kind=kind, id=r["id"], customer=None if kind == CUSTOMER else customer, fields=without_id(r))
        for kind, of_kind in known.items()
        for r in ([of_kind] if kind == CUSTOMER else of_kind)
    ]


def without_id(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "id"}


@pytest.fixture(params=["files", "sqlite_url", "postgresql_url"], ids=["files", "sqlite", "postgresql"])
def explain(request: pytest.FixtureRequest, relance: Terminal) -> Explain:
    """Asked about the same customers in a file and in a database, where it has to say the same."""
    if request.param == "files":
        lines = (
            {"customer": k["customer"], "records": {n: r for n, r in k.items() if n != CUSTOMER}} for k in (K1, K2)
        )
        relance.writes("dossiers.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
        terminal, options = relance, ("--rules", "base", "--rules", "pack", "--dossiers", "dossiers.jsonl")
    else:
        url = request.getfixturevalue(request.param)
        with Database.connect(url) as db:
            dossiers.upsert(db, [*records(K1), *records(K2)], now=NOON, source="test")
        terminal, options = relance.having(DATABASE=url, RULES='["base", "pack"]'), ()

    def run(rule: str, *arguments: str, at: str = AT, rollout: str = "live") -> Said:
        relance.writes("pack/company.yaml", PACK.replace("ROLLOUT", rollout))
        return terminal("rules", "explain", rule, *options, "--at", at, *arguments)

    return run


# --- conditions, and the records behind them ---


def test_why_names_each_condition_with_its_value_and_until_when_it_holds(explain: Explain) -> None:
    said = explain("contract-expiring", "--customer", "K1", "--subject", "C1")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "contract-expiring holds for contract C1 of K1\n"
        "  ✓ status: active  (active)\n"
        "  ✓ end_date: in the next 90 days  (2027-01-07, until 2027-01-08T00:00:00+01:00)\n"
        "  ✓ auto_renews: no  (no)\n"
        "  ✓ unless opportunity: {contract: this, type: renewal, stage: open}  (none)\n"
        "  ✓ unless opportunity: {contract: this, type: renewal, stage: won, "
        "closed_on: missing or in the last 6 months}  (none)\n"
        "  would stop on 8 January 2027, if nothing changes\n"
        "  goes to lena\n"
        "  held back by complaint-open\n"
    )


def test_why_not_marks_what_fails_first_and_says_when_it_would_fire(explain: Explain) -> None:
    said = explain("contract-expiring", "--customer", "K1", "--subject", "C1", at="2026-08-01T09:00:00+02:00")
    assert said.out == (
        "contract-expiring does not hold for contract C1 of K1\n"
        "  ✓ status: active  (active)\n"
        "  ✗ end_date: in the next 90 days  (2027-01-07, until 2026-10-09T00:00:00+02:00)   <- the first that fails\n"
        "  ✓ auto_renews: no  (no)\n"
        "  ✓ unless opportunity: {contract: this, type: renewal, stage: open}  (none)\n"
        "  ✓ unless opportunity: {contract: this, type: renewal, stage: won, "
        "closed_on: missing or in the last 6 months}  (none)\n"
        "  would fire on 9 October 2026, if nothing changes\n"
        "  would go to lena\n"
        "  would be held back by complaint-open\n"
    )


def test_each_record_that_an_unless_found_is_shown_with_what_was_tested(explain: Explain) -> None:
    said = explain("contract-expiring", "--customer", "K1", "--subject", "C2")
    assert said.out == (
        "contract-expiring does not hold for contract C2 of K1\n"
        "  ✗ status: active  (cancelled)   <- the first that fails\n"
        "  ✗ end_date: in the next 90 days  (2026-05-01)\n"
        "  ✗ auto_renews: no  (missing)\n"
        "  ✗ unless opportunity: {contract: this, type: renewal, stage: open}  (O3)\n"
        "      opportunity O3\n"
        "        ✓ contract: this  (C2)\n"
        "        ✓ type: renewal  (renewal)\n"
        "        ✓ stage: open  (proposal)\n"
        "  ✗ unless opportunity: {contract: this, type: renewal, stage: won, "
        "closed_on: missing or in the last 6 months}  (O2)\n"
        "      opportunity O2\n"
        "        ✓ contract: this  (C2)\n"
        "        ✓ type: renewal  (renewal)\n"
        "        ✓ stage: won  (won)\n"
        "        ✓ closed_on: missing or in the last 6 months  (missing)\n"
        "  time alone will not change this\n"
        "  would go to lena\n"
        "  would be held back by complaint-open\n"
    )


def test_a_with_that_finds_nothing_names_the_record_that_comes_nearest(explain: Explain) -> None:
    said = explain("angry", "--customer", "K1", "--subject", "C1")
    assert said.out == (
        "angry does not hold for contract C1 of K1\n"
        "  ✗ with complaint: {customer: same, severity: high, status: open, opened_at: in the last 30 days}  (none)"
        "   <- the first that fails\n"
        "      nearest: complaint M1\n"
        "        ✓ customer: same  (K1)\n"
        "        ✓ severity: high  (high)\n"
        "        ✗ status: open  (closed)\n"
        "        ✓ opened_at: in the last 30 days  (2026-11-20T10:00:00+01:00)\n"
        "  ✗ with complaint: {customer: same, count: at least 3}  (M1, M2)\n"
        "      complaint M1\n"
        "        ✓ customer: same  (K1)\n"
        "      complaint M2\n"
        "        ✓ customer: same  (K1)\n"
        "  time alone will not change this\n"
        "  would go to lena\n"
    )


def test_of_any_of_the_alternative_that_holds_takes_the_others_out_of_the_question(explain: Explain) -> None:
    said = explain("either", "--customer", "K1", "--subject", "C2")
    assert said.out == (
        "either does not hold for contract C2 of K1\n"
        "  ✗ any of (1): annual_value: above 100000  (missing)\n"
        "  ✓ any of (2): customer.standing: at_risk  (at_risk)\n"
        "      customer.standing: set by the rule standing-at-risk\n"
        "        contract C2\n"
        "  ✓ any of (2): end_date: passed  (2026-05-01)\n"
        "  ✗ unless complaint: {customer: same, status: open}  (M2)   <- the first that fails\n"
        "      complaint M2\n"
        "        ✓ customer: same  (K1)\n"
        "        ✓ status: open  (new)\n"
        "  time alone will not change this\n"
        "  would go to lena\n"
    )


# --- where values come from ---


def test_a_derived_field_is_traced_to_its_records_each_once(explain: Explain) -> None:
    said = explain("profitable", "--customer", "K1")
    invoices = "".join(f"            invoice R{number:02}  (100)\n" for number in range(1, 11))
    assert said.out == (
        "profitable holds for customer K1 of K1\n"
        "  ✓ margin_12m: at least 1000  (1250, until 2027-03-02T00:00:00+01:00)\n"
        "      customer.margin_12m: {subtract: [revenue_12m, cost]}\n"
        "        revenue_12m  (2000)\n"
        "          customer.revenue_12m: {sum: invoice.amount, where: {issued_on: in the last 12 months}}\n"
        f"{invoices}"
        "            and 2 more\n"
        "        cost  (750)\n"
        "          customer.cost: {sum: service_cost.amount}\n"
        "            service_cost S1  (500)\n"
        "            service_cost S2  (250)\n"
        "  ✓ margin_share: above 0.5  (0.625, until 2027-05-02T00:00:00+02:00)\n"
        "      customer.margin_share: {divide: [margin_12m, revenue_12m]}\n"
        "        margin_12m  (1250)\n"
        "          customer.margin_12m: as above\n"
        "        revenue_12m  (2000)\n"
        "          customer.revenue_12m: as above\n"
        "  would stop on 2 March 2027, if nothing changes\n"
        "  goes to lena\n"
    )


def test_a_classification_is_traced_to_the_rule_that_set_it_and_a_latest_to_the_latest(explain: Explain) -> None:
    said = explain("careful", "--customer", "K1")
    assert said.out == (
        "careful does not hold for customer K1 of K1\n"
        "  ✓ standing: at_risk  (at_risk)\n"
        "      customer.standing: set by the rule standing-at-risk\n"
        "        contract C2\n"
        "  ✓ open_complaints: at least 1  (1)\n"
        "      customer.open_complaints: {count: complaint, where: {status: open}}\n"
        "        complaint M2\n"
        "  ✗ last_interaction: more than 10 days ago  "
        "(2026-11-16T14:30:00+01:00, until 2026-11-26T14:30:00.000001+01:00)   <- the first that fails\n"
        "      customer.last_interaction: {latest: interaction.at}\n"
        "        interaction I2  (2026-11-16T14:30:00+01:00)\n"
        "        interaction I1  (2026-11-01T14:30:00+01:00)\n"
        "  would fire on 26 November 2026, 14:30 CET, if nothing changes\n"
        "  would go to lena\n"
        "  would be held back by complaint-open\n"
    )


# --- whom it reaches ---


@pytest.mark.parametrize(
    ("rollout", "says"),
    [
        ("live", "goes to lena"),
        ("draft", "would go to lena, if it were live: the rule is a draft"),
        ("shadow", "would go to lena, if it were live: the rule is a shadow"),
        ("team zurich", "would go to lena, if it were live for this customer: the rule is for another team"),
        (
            "0% of customers",
            "would go to lena, if it were live for this customer: the rule is for a percentage of customers",
        ),
    ],
)
def test_it_says_whom_it_reaches_and_why_it_does_not(explain: Explain, rollout: str, says: str) -> None:
    said = explain("careful", "--customer", "K1", at="2026-11-27T09:00:00+01:00", rollout=rollout)
    assert said.out.startswith("careful holds for customer K1 of K1\n")
    assert said.out.splitlines()[-2:] == [f"  {says}", "  held back by complaint-open"]


# --- in a reader's language ---


def test_in_german(explain: Explain) -> None:
    said = explain("contract-expiring", "--customer", "K1", "--lang", "de", "--subject", "C1")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "contract-expiring trifft zu auf Vertrag C1 von K1\n"
        "  ✓ Status ist aktiv  (aktiv)\n"
        "  ✓ Ende liegt in den nächsten 90 Tagen  (7. Januar 2027, bis 8. Januar 2027)\n"
        "  ✓ Verlängert sich automatisch: nein  (nein)\n"
        "  ✓ es gibt nicht: Verkaufschance mit Typ Verlängerung, Phase offen  (–)\n"
        "  ✓ es gibt nicht: Verkaufschance mit Typ Verlängerung, Phase gewonnen, "
        "geschlossen am fehlt oder lag in den letzten 6 Monaten  (–)\n"
        "  endete am 8. Januar 2027, wenn sich nichts ändert\n"
        "  geht an lena\n"
        "  zurückgehalten von complaint-open\n"
    )


def test_the_records_behind_a_condition_in_german(explain: Explain) -> None:
    said = explain("angry", "--customer", "K1", "--lang", "de", "--subject", "C1")
    assert said.out == (
        "angry trifft nicht zu auf Vertrag C1 von K1\n"
        "  ✗ es gibt: Reklamation mit Schwere hoch, Status offen, eröffnet am lag in den letzten 30 Tagen  (–)"
        "   <- das erste, was nicht zutrifft\n"
        "      am nächsten: Reklamation M1\n"
        "        ✓ Kunde: gleich  (K1)\n"
        "        ✓ Schwere ist hoch  (hoch)\n"
        "        ✗ Status ist offen  (geschlossen)\n"
        "        ✓ Eröffnet am lag in den letzten 30 Tagen  (20. November 2026, 10:00)\n"
        "  ✗ es gibt: Reklamation: die Anzahl ist mindestens 3  (M1, M2)\n"
        "      Reklamation M1\n"
        "        ✓ Kunde: gleich  (K1)\n"
        "      Reklamation M2\n"
        "        ✓ Kunde: gleich  (K1)\n"
        "  die Zeit allein ändert daran nichts\n"
        "  ginge an lena\n"
    )


def test_what_a_value_was_worked_out_from_in_words(explain: Explain) -> None:
    lines = explain("profitable", "--customer", "K1", "--lang", "en").out.splitlines()
    assert lines[1:6] == [
        "  ✓ Margin in 12 months is at least CHF 1,000  (CHF 1,250, until 2 March 2027)",
        "      Margin in 12 months: the difference",
        "        revenue 12m  (CHF 2,000)",
        "          Revenue 12m: the sum of amount over: invoice with issued on was in the last 12 months",
        "            invoice R01  (CHF 100)",
    ]
    assert lines[15] == "            and 2 more"
    careful = explain("careful", "--customer", "K1", "--lang", "de").out.splitlines()
    assert careful[2:6] == [
        "      Kundenlage: gesetzt von der Regel standing-at-risk",
        "        Vertrag C2",
        "  ✓ Open complaints ist mindestens 1  (1)",
        "      Open complaints: die Anzahl: Reklamation mit Status offen",
    ]


# --- as a document ---


def test_explain_as_json_is_one_document(explain: Explain) -> None:
    said = explain("either", "--customer", "K1", "--subject", "C2", "--json")
    assert (said.code, said.err) == (0, "")
    (subject,) = said.document.pop("subjects")
    assert {n: v for n, v in said.document.items() if n != "subjects"} == {
        "schema": 1,
        "now": AT,
        "rule": "either",
        "customer": "K1",
    }
    assert subject == {
        "subject": {"kind": "contract", "id": "C2"},
        "holds": False,
        "flips_at": None,
        "reach": "live",
        "to": ["lena"],
        "held_back_by": [],
        "conditions": [
            {
                "condition": "annual_value: above 100000",
                "part": "any of",
                "alternative": 0,
                "value": None,
                "holds": False,
                "until": None,
                "origin": None,
            },
            {
                "condition": "customer.standing: at_risk",
                "part": "any of",
                "alternative": 1,
                "value": "at_risk",
                "holds": True,
                "until": None,
                "origin": {
                    "field": "customer.standing",
                    "by": "set by the rule standing-at-risk",
                    "parts": [{"of": "contract C2", "value": None, "origin": None}],
                    "more": 0,
                },
            },
            {
                "condition": "end_date: passed",
                "part": "any of",
                "alternative": 1,
                "value": "2026-05-01",
                "holds": True,
                "until": None,
                "origin": None,
            },
            {
                "condition": "unless complaint: {customer: same, status: open}",
                "part": "unless",
                "value": ["M2"],
                "holds": False,
                "until": None,
                "records": [
                    {
                        "kind": "complaint",
                        "id": "M2",
                        "conditions": [
                            {"condition": "customer: same", "value": "K1", "holds": True, "origin": None},
                            {"condition": "status: open", "value": "new", "holds": True, "origin": None},
                        ],
                    }
                ],
                "more": 0,
                "nearest": None,
            },
        ],
    }


def test_the_document_names_the_nearest_record_and_says_conditions_in_the_language(explain: Explain) -> None:
    (subject,) = explain("angry", "--customer", "K1", "--subject", "C1", "--json", "--lang", "de").document["subjects"]
    nearest = subject["conditions"][0]["nearest"]
    assert (nearest["id"], [c["condition"] for c in nearest["conditions"] if not c["holds"]]) == (
        "M1",
        ["Status ist offen"],
    )


# --- the rule itself ---


def test_without_a_customer_it_says_what_the_rule_does_in_both_languages(explain: Explain) -> None:
    said = explain("either")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "Either\n"
        "For each contract (1) whose annual value is above CHF 100,000 or (2) whose customer's standing is at risk and "
        "whose end date has passed, unless there is a complaint of the same customer whose status is open: tell the "
        "owner to win the customer.\n"
        "\n"
        "Either\n"
        "Für jeden Vertrag, (1) dessen Jahreswert über CHF 100’000 liegt oder (2) dessen «Kunde: Kundenlage» gefährdet "
        "ist und dessen Ende vorbei ist, es sei denn, es gibt eine Reklamation desselben Kunden, deren Status offen "
        "ist, geht an den Betreuer die Empfehlung, den Kunden zu gewinnen.\n"
    )
    assert explain("either", "--lang", "de").out == said.out.partition("\n\n")[2]
    german = said.out.splitlines()[-1]
    assert explain("either", "--lang", "de", "--json").document == {
        "schema": 1,
        "rule": "either",
        "sentence": {"de": german},
    }


def test_a_title_is_in_the_sentences_language(explain: Explain) -> None:
    english, german = explain("standing-at-risk").out.split("\n\n")
    assert (english.splitlines()[0], german.splitlines()[0]) == ("At risk", "Gefährdet")


def test_source_prints_the_python_that_a_rule_becomes(explain: Explain) -> None:
    said = explain("contract-expiring", "--source")
    assert said.code == 0
    compile(said.out, "source", "exec")
    assert "# opportunity: {contract: this, type: renewal, stage: open}" in said.out


# --- what there is nothing to say of ---


def test_a_customer_without_such_a_record_is_no_mystery(explain: Explain) -> None:
    said = explain("lead-unworked", "--customer", "K1")
    assert (said.code, said.out) == (0, "K1 has no lead: lead-unworked looks at every lead.\n")
    german = explain("lead-unworked", "--customer", "K1", "--lang", "de")
    assert german.out == "K1 hat keinen Eintrag «Interessent»: lead-unworked betrachtet jeden davon.\n"


def test_names_that_are_not_there_are_refused_with_a_suggestion(explain: Explain) -> None:
    assert (
        'error: there is no rule "contract-expirin"; did you mean "contract-expiring"?'
        in explain("contract-expirin", "--customer", "K1").err
    )
    assert 'customer "K9"' in explain("contract-expiring", "--customer", "K9").err
    explain("contract-expiring", "--customer", "K1", "--subject", "C9").refuses(
        "error: K1 has no contract C9; it has C1, C2"
    )
    explain("contract-expiring", "--customer", "K1", at="noon").refuses(
        'error: --at "noon" is not a moment; write one like 2026-11-23T09:00:00+01:00'
    )
    explain("contract-expiring", "--lang", "xx").refuses('error: --lang "xx": there are words in en and de')


def test_a_customer_whose_data_cannot_be_read_is_said_to_be_that(explain: Explain) -> None:
    explain("contract-expiring", "--customer", "K2").refuses(
        'error: contract C3: end_date "7.1.27" is not a date like 2027-01-07', code=1
    )


# --- with the people of a database ---


@pytest.fixture
def office(relance: Terminal, database_url: str) -> Explain:
    """Lena works in Tokyo, in the team pacific; Boss is her manager."""
    with Database.connect(database_url) as db:
        dossiers.upsert(db, records(K1), now=NOON, source="test")
        lena = Person(id="lena", name="Lena", email="l@example.com", manager="boss", team="pacific", office="tokyo")
        people.save(db, [lena, Person(id="boss", name="Boss", email="b@example.com")], now=NOON, source="test")
    terminal = relance.having(DATABASE=database_url, RULES='["base", "pack"]')

    def run(rule: str, *arguments: str, rollout: str = "live") -> Said:
        calendar = "---\ncalendar: tokyo\ntimezone: Asia/Tokyo\n"
        relance.writes("pack/company.yaml", PACK.replace("ROLLOUT", rollout) + calendar)
        return terminal("rules", "explain", rule, "--at", AT, *arguments)

    return run


def test_a_rule_is_read_in_the_office_of_the_customers_owner(office: Explain) -> None:
    (subject,) = office("contract-expiring", "--customer", "K1", "--subject", "C1", "--json").document["subjects"]
    assert subject["flips_at"] == "2027-01-08T00:00:00+09:00"
    lines = office("contract-expiring", "--customer", "K1", "--subject", "C1").out.splitlines()
    assert lines[-3] == "  would stop on 8 January 2027, if nothing changes"


def test_the_team_of_the_owner_decides_whether_a_rule_of_a_team_reaches_the_customer(office: Explain) -> None:
    assert "  would go to lena\n" in office("careful", "--customer", "K1", rollout="team pacific").out
    assert "the rule is for another team" in office("careful", "--customer", "K1", rollout="team zurich").out


def test_a_customer_or_a_database_that_is_not_there_is_refused(office: Explain) -> None:
    office("contract-expiring", "--customer", "K9").refuses('error: there is no customer "K9"')
