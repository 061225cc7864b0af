from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.delivery import Reminder
from notifiers.links import Links

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def links() -> Links:
    return Links(["a key", "an older key"], "https://remind.example.com")


@pytest.fixture
def english(links: Links) -> Reminder:
    return Reminder(
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
            ("Annual premium", "CHF 48,200"),
            ("Loss ratio, 3 years", "41% (portfolio 63%)"),
            ("Last contact", "12 August, Anna Keller, phone"),
            ("Contact", "Anna Keller, Head of Fleet, +41 44 000 00 00"),
        ),
        instead=("Send the renewal offer by email instead", "Hand over to the broker desk"),
        rule="contract-expiring",
        rule_title="Contract expiring without renewal",
        rule_version=12,
        matched=(
            "contract FL-20418 ends in 45 days (≤ 90)",
            "contract status is active",
            "no renewal opportunity is open or won",
            "contract does not renew by itself",
            "not held back by any other rule",
        ),
        recipient="l.steiner@example.com",
        role="owner",
        links=links.for_person("7Q", "lara", now=NOW),
        crm_url="https://crm.example.com/accounts/1042",
    )


@pytest.fixture
def german(english: Reminder) -> Reminder:
    return replace(
        english,
        language="de",
        subject="Flottenpolice der Muster Logistik AG endet in 45 Tagen, keine Verlängerung offen (CHF 48’200/Jahr)",
        preheader="Vorschlag: Anna Keller diese Woche anrufen.",
        topic="Verlängerung Motorfahrzeugflotte",
        due="Fr. 27 Nov.",
        title="Muster Logistik AG wegen Verlängerung der Flottenpolice anrufen",
        why="Die Flottenpolice endet in 45 Tagen, und es ist keine Verlängerung in Arbeit. "
        "Es geht um CHF 48’200 pro Jahr.",
        stake="CHF 48’200",
        action="Verlängerungsgespräch starten",
        facts=(
            ("Police", "FL-20418, Flotte (23 Fahrzeuge)"),
            ("Ende", "7. Januar 2027 (Kündigungsfrist 30 Tage)"),
            ("Jahresprämie", "CHF 48’200"),
            ("Schadenquote 3 Jahre", "41% (Bestand 63%)"),
            ("Letzter Kontakt", "12. August, Anna Keller, Telefon"),
            ("Kontakt", "Anna Keller, Leiterin Fuhrpark, +41 44 000 00 00"),
        ),
        instead=("Verlängerungsofferte per E-Mail senden", "An das Makler-Team übergeben"),
        rule_title="Vertrag läuft ohne Verlängerung aus",
        matched=(
            "Vertrag FL-20418 endet in 45 Tagen (≤ 90)",
            "Vertragsstatus ist aktiv",
            "keine offene oder gewonnene Verlängerung",
            "verlängert sich nicht von selbst",
            "von keiner anderen Regel zurückgehalten",
        ),
    )
