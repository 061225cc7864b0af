"""Conditions, actions and facts in a reader's own words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.calendar import Span, Unit
from domain.recommendation import Match
from domain.record import Dossier, Record, RecordRef
from rules.loader import load
from rules.rulebase import RuleBase
from rules.say import NO_BREAK_SPACE
from rules.wording import Wording

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MODEL = """
company: Muster AG
currency: CHF
---
model:
  customer: {segment: {enum: [private, sme, corporate]}, city: text, marketing_consent: yesno, amount: money}
  contract:
    status: {enum: [draft, active, cancelled]}
    stage: {enum: [new, proposal, won, lost], groups: {open: [new, proposal]}}
    end_date: date
    city: text
    score: number
    amount: money
    auto_renews: yesno
  opportunity: {contract: ref contract, product: text, type: {enum: [new, renewal]}, closed_on: date}
---
rule: r
for each: contract
"""
Worded = Callable[..., Wording]
Reasons = Callable[[str, str], list[str]]


def said_in(rulebase: RuleBase, language: str) -> tuple[Wording, list[str]]:
    """The wording, and every reason for a rule about a contract with nothing recorded, in words."""
    contract = Record(kind="contract", id="C1", customer="K1", fields={})
    facts = rulebase.facts(Dossier(id="K1", records=(contract,)), now=NOW)
    wording = rulebase.wording(facts, language=language)
    match = Match(rule="r", subject=RecordRef(kind="contract", id="C1"))
    # French sets a colon apart by a space that does not break; here it is written as it is read.
    said = [wording.reason(reason).replace(NO_BREAK_SPACE, " ") for reason in rulebase.trace(match, facts)]
    return wording, said


@pytest.fixture
def reasons(tmp_path: Path) -> Reasons:
    def reasons(conditions: str, language: str) -> list[str]:
        file = tmp_path / "rules.yaml"
        file.write_text(f"{MODEL}{conditions}\nthen: {{recommend: win, say: Call}}\n", encoding="utf-8")
        return said_in(load([file]), language)[1]

    return reasons


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Wording]:
    file = tmp_path_factory.mktemp("worded") / "rules.yaml"
    file.write_text(f"{MODEL}then: {{recommend: win, say: Call}}\n", encoding="utf-8")
    return lambda language: said_in(load([file]), language)[0]


@pytest.mark.parametrize(
    ("condition", "english", "german", "french", "italian"),
    [
        ("status: active", "Status is active", "Status ist aktiv", "Statut : actif", "Stato: attivo"),
        (
            "status: none of draft, cancelled",
            "Status is not draft or cancelled",
            "Status ist nicht Entwurf oder gekündigt",
            "Statut : autre que brouillon ou annulé",
            "Stato: qualsiasi tranne bozza o annullato",
        ),
        ("stage: open", "Stage is open", "Phase ist offen", "Stade : ouvert", "Stadio: aperto"),
        (
            "end_date: in the next 1 year",
            "End date is in the next 1 year",
            "Ende liegt innerhalb von 1 Jahr ab jetzt",
            "Date de fin : d’ici 1 an",
            "Data di fine: entro 1 anno",
        ),
        (
            "end_date: in the last 2 months",
            "End date was in the last 2 months",
            "Ende lag in den letzten 2 Monaten",
            "Date de fin : il y a 2 mois au plus",
            "Data di fine: non più di 2 mesi fa",
        ),
        (
            "end_date: more than 5 business days ago",
            "End date was more than 5 business days ago",
            "Ende war vor mehr als 5 Arbeitstagen",
            "Date de fin : il y a plus de 5 jours ouvrables",
            "Data di fine: più di 5 giorni lavorativi fa",
        ),
        (
            "end_date: more than 3 weeks away",
            "End date is more than 3 weeks away",
            "Ende liegt in mehr als 3 Wochen",
            "Date de fin : dans plus de 3 semaines",
            "Data di fine: tra più di 3 settimane",
        ),
        (
            "end_date: passed",
            "End date has passed",
            "Ende ist vorbei",
            "Date de fin : dans le passé",
            "Data di fine: nel passato",
        ),
        (
            "end_date: before 2027-01-08",
            "End date is before 8 January 2027",
            "Ende liegt vor dem 8. Januar 2027",
            "Date de fin : avant le 8 janvier 2027",
            "Data di fine: prima dell’8 gennaio 2027",
        ),
        (
            "end_date: after 2027-01-11",
            "End date is after 11 January 2027",
            "Ende liegt nach dem 11. Januar 2027",
            "Date de fin : après le 11 janvier 2027",
            "Data di fine: dopo l’11 gennaio 2027",
        ),
        (
            "end_date: anniversary in the next 5 days",
            "End date has its anniversary in the next 5 days",
            "Ende jährt sich in den nächsten 5 Tagen",
            "Date de fin : anniversaire d’ici 5 jours",
            "Data di fine: ricorrenza entro 5 giorni",
        ),
        (
            "end_date: missing or in the next 90 days",
            "End date is missing or is in the next 90 days",
            "Ende fehlt oder liegt in den nächsten 90 Tagen",
            "Date de fin : donnée manquante ou d’ici 90 jours",
            "Data di fine: dato mancante o entro 90 giorni",
        ),
        (
            "city: present",
            "City is known",
            "Ort ist bekannt",
            "Localité : donnée disponible",
            "Località: dato disponibile",
        ),
        (
            "amount: above 20000",
            "Amount is above CHF 20,000",
            "Betrag liegt über CHF 20’000",
            "Montant : au-dessus de CHF 20\u202f000",
            "Importo: superiore a CHF 20’000",
        ),
        (
            "score: between 1 and 2.5",
            "Score is between 1 and 2.5",
            "Punkte liegt zwischen 1 und 2.5",
            "Points : entre 1 et 2,5",
            "Punteggio: tra 1 e 2.5",
        ),
        (
            "auto_renews: no",
            "Auto renews: no",
            "Verlängert sich automatisch: nein",
            "Renouvellement automatique : non",
            "Rinnovo automatico: no",
        ),
        (
            "customer.marketing_consent: yes",
            "Customer marketing consent: yes",
            "Kunde Werbeeinwilligung: ja",
            "Accord pour la publicité (client) : oui",
            "Consenso alla pubblicità (cliente): sì",
        ),
    ],
)
def test_a_condition_is_said_in_every_language(
    condition: str, english: str, german: str, french: str, italian: str, reasons: Reasons
) -> None:
    when = f"when:\n  {condition}"
    assert reasons(when, "en") == [english]
    assert reasons(when, "de") == [german]
    assert reasons(when, "fr") == [french]
    assert reasons(when, "it") == [italian]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            [
                "there is a contract with status active",
                "there is no opportunity with type renewal, closed on was in the last 1 day",
                "there is no contract with auto renews yes, the same city: the number is at least 2",
            ],
        ),
        (
            "de",
            [
                "es gibt: Vertrag mit Status aktiv",
                "es gibt nicht: Verkaufschance mit Typ Verlängerung, geschlossen am lag innerhalb von 1 Tag bis jetzt",
                "es gibt nicht: Vertrag mit verlängert sich automatisch ja, Ort gleich: die Anzahl ist mindestens 2",
            ],
        ),
        (
            "fr",
            [
                "avec contrat (statut : actif)",
                "sans opportunité (type : renouvellement, date de clôture : il y a 1 jour au plus)",
                "sans contrat (renouvellement automatique : oui, même localité), nombre : au moins 2",
            ],
        ),
        (
            "it",
            [
                "con contratto (stato: attivo)",
                "senza opportunità (tipo: rinnovo, data di chiusura: non più di 1 giorno fa)",
                "senza contratto (rinnovo automatico: sì, località in comune), numero: almeno 2",
            ],
        ),
    ],
)
def test_what_there_is_and_is_not_is_said_in_every_language(language: str, said: list[str], reasons: Reasons) -> None:
    conditions = (
        "with:\n  - contract: {customer: same, status: active}\n"
        "unless:\n  - opportunity: {contract: this, type: renewal, closed_on: in the last 1 day}\n"
        "  - contract: {customer: same, city: same, auto_renews: yes, count: at least 2}"
    )
    assert reasons(conditions, language) == said


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("language", ["en", "de", "fr", "it"])
def test_a_span_counts_one_and_many(language: str, unit: Unit, worded: Worded) -> None:
    span = worded(language).span
    one, many = (span(Span(count=n, unit=unit)).removeprefix(f"{n} ") for n in (1, 2))
    assert one.isprintable()
    assert (one == many) is (one == "mois")


@pytest.mark.parametrize(
    ("do", "english", "german", "french", "italian"),
    [
        ("call", "Call Muster AG", "Muster AG anrufen", "Appeler Muster AG", "Chiamare Muster AG"),
        (
            "handover inside sales",
            "Hand over to inside sales",
            "Übergeben an den Innendienst",
            "Transmettre au service interne",
            "Affidare al servizio interno",
        ),
        (
            "handover Team Nord",
            "Hand over to Team Nord",
            "Übergeben an Team Nord",
            "Transmettre à Team Nord",
            "Affidare a Team Nord",
        ),
        (
            "webhook send-payment-link",
            "Send payment link",
            "Zahlungslink senden",
            "Envoyer un lien de paiement",
            "Inviare un link di pagamento",
        ),
        ("open https://crm.example", "Open the page", "Seite öffnen", "Ouvrir la page", "Aprire la pagina"),
        (None, "Open", "Öffnen", "Ouvrir", "Aprire"),
    ],
)
def test_a_button_says_what_it_does(
    do: str | None, english: str, german: str, french: str, italian: str, worded: Worded
) -> None:
    said = [worded(language).action(do, "Muster AG") for language in ("en", "de", "fr", "it")]
    assert said == [english, german, french, italian]


def test_a_language_that_is_not_spoken_is_answered_in_english(reasons: Reasons) -> None:
    assert reasons("when:\n  end_date: passed", "rm") == ["End date has passed"]
