"""What a rule says: the fields of records, and only they, in the reader's words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from domain.calendar import At, Calendar
from domain.record import Dossier, Record
from rules.loader import load
from rules.say import Voice

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RULE = """
company: Muster AG
currency: CHF
---
model:
  vehicle: {model: text, kind: text, facts: text, voice: text, fact: text, contract: ref contract}
  contract:
    line: text
    ends: date
    at: datetime
    value: money
    share: number
    stage: {enum: [proposal, not_ours]}
    vehicle: ref vehicle
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


@pytest.mark.parametrize(
    ("sentence", "fields", "french", "italian"),
    [
        ("ends|day", {"ends": "2027-02-01"}, "1er février 2027", "1° febbraio 2027"),
        ("ends|day", {"ends": "2027-02-11"}, "11 février 2027", "11 febbraio 2027"),
        ("ends|month", {"ends": "2027-02-01"}, "février 2027", "febbraio 2027"),
        ("ends|ago", {"ends": "2026-11-20"}, "il y a 3 jours", "3 giorni fa"),
        ("at", {"at": "2026-11-20T09:30Z"}, "20 novembre 2026, 09:30", "20 novembre 2026, 09:30"),
        ("value|money", {"value": "1234567"}, "CHF 1\u202f234\u202f567", "CHF 1’234’567"),
        ("value|money", {"value": "48.5"}, "CHF 48,50", "CHF 48.50"),
        ("share|percent", {"share": "0.85"}, "85%", "85%"),
        ("share|number", {"share": "12345.5"}, "12\u202f345,5", "12’345.5"),
        ("stage", {"stage": "proposal"}, "proposition", "proposta"),
        ("stage", {"stage": "not_ours"}, "not ours", "not ours"),
    ],
)
def test_values_are_written_as_people_in_switzerland_write_them(
    sentence: str, fields: dict[str, str], french: str, italian: str, say: Say
) -> None:
    for language, said in (("fr", french), ("it", italian)):
        assert (
            say(f"{{{{ vehicle.contract.{sentence} }}}}", language=language, vehicle=VEHICLE, contract=fields) == said
        )


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("en", "Fri 1 Jan", "Sat 2 Jan"),
        ("de", "Fr. 1. Jan.", "Sa. 2. Jan."),
        ("fr", "ven. 1er janv.", "sam. 2 janv."),
        ("it", "ven 1° gen", "sab 2 gen"),
    ],
)
def test_a_day_is_short_in_every_language(language: str, first: str, second: str) -> None:
    voice = Voice(at=At.of(NOW, Calendar()), language=language, currency="CHF")
    assert [voice.short_day(date(2027, 1, day)) for day in (1, 2)] == [first, second]


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2027-03-07", "Il 7 marzo 2027, prima del 7 marzo 2027, fino al 7 marzo 2027"),
        ("2027-03-08", "L’8 marzo 2027, prima dell’8 marzo 2027, fino all’8 marzo 2027"),
        ("2027-03-11", "L’11 marzo 2027, prima dell’11 marzo 2027, fino all’11 marzo 2027"),
        ("2027-03-18", "Il 18 marzo 2027, prima del 18 marzo 2027, fino al 18 marzo 2027"),
    ],
)
def test_an_italian_article_meets_the_number_behind_it(day: str, said: str, say: Say) -> None:
    sentence = "Il {0}, prima del {0}, fino al {0}".format("{{ vehicle.contract.ends|day }}")
    assert say(sentence, language="it", vehicle=VEHICLE, contract={"ends": day}) == said


def test_the_spaces_of_french_marks_never_break(say: Say) -> None:
    said = say("« {{ vehicle.model }} » : lequel ?  Celui-ci ; voilà !", language="fr", vehicle=VEHICLE)
    assert said == "«\xa0Panda\xa0»\xa0: lequel\xa0? Celui-ci\xa0; voilà\xa0!"


def test_a_sentence_is_on_one_line_whatever_it_is_filled_with(say: Say) -> None:
    assert say(" a {{ vehicle.model }} one ", vehicle={"model": "Pan\u2028da\r\n\x0b\x85 II"}) == "a Pan da II one"
