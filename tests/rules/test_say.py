"""What a rule says: the fields of records, and only they, in the reader's words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.record import Dossier, Record
from rules.loader import load

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RULE = """
company: Muster AG
currency: CHF
---
model:
  vehicle: {model: text, kind: text, facts: text, voice: text, fact: text, contract: ref contract}
  contract: {line: text, ends: date, value: money, vehicle: ref vehicle}
---
rule: r
for each: vehicle
then: {recommend: win, say: "%s"}
"""
VEHICLE = {"model": "Panda", "kind": "small", "facts": "none", "voice": "loud", "fact": "red", "contract": "C1"}
CONTRACT = {"line": "motor", "ends": "2027-01-07", "value": "48200", "vehicle": "V1"}
Say = Callable[..., str]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """What a sentence about a vehicle becomes."""

    def say(sentence: str, *, language: str | None = None, **fields: dict[str, str]) -> str:
        file = tmp_path / "rules.yaml"
        file.write_text(RULE % sentence, encoding="utf-8")
        rulebase = load([file])
        records = [Record(kind=k, id=f"{k[0].upper()}1", customer="K1", fields=f) for k, f in fields.items()]
        decision = rulebase.decide(Dossier(id="K1", records=tuple(records)), now=NOW)
        (match,) = decision.matches
        return rulebase.advise(match, decision.facts, opened_at=NOW, language=language).say

    return say


@pytest.mark.parametrize("field", ["model", "kind", "facts", "voice", "fact"])
def test_a_field_may_have_any_name(field: str, say: Say) -> None:
    assert say(f"a {{{{ vehicle.{field} }}}} one", vehicle=VEHICLE) == f"a {VEHICLE[field]} one"


@pytest.mark.parametrize(
    ("sentence", "language", "said"),
    [
        ("{{ vehicle.contract.line }} until {{ vehicle.contract.ends|day }}", "en", "motor until 7 January 2027"),
        ("{{ vehicle.contract.ends }}: {{ vehicle.contract.value }}", "de", "7. Januar 2027: CHF 48’200"),
        ("{{ vehicle.contract.vehicle.model }} of {{ vehicle.contract }}", "en", "Panda of C1"),
    ],
)
def test_refs_lead_on_to_the_records_they_name(sentence: str, language: str, said: str, say: Say) -> None:
    assert say(sentence, language=language, vehicle=VEHICLE, contract=CONTRACT) == said


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("{{ vehicle.contract }}", "C1"),
        ("{{ vehicle.contract.line }}", "–"),
        ("{{ vehicle.contract.ends|day }}", "–"),
        ("{{ vehicle.contract.vehicle.model }}", "–"),
        ("{{ customer.name }} of {{ owner.name }}", "– of –"),
    ],
)
def test_what_is_not_known_is_a_dash(sentence: str, said: str, say: Say) -> None:
    assert say(sentence, vehicle=VEHICLE) == said
    assert say("{{ vehicle.contract }}", vehicle={"model": "Panda"}) == "–"
