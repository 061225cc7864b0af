"""Whatever the packs say is said in four languages: every word, every title, every sentence, and nothing mixed."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache

import pytest

from domain.calendar import Unit
from domain.recommendation import Match
from domain.record import CUSTOMER, Dossier, Record, RecordRef
from rules.loader import builtin_packs, load
from rules.model import Enum
from rules.rule import Rule, RuleTest
from rules.rulebase import RuleBase
from rules.say import LOCALES, NOTHING, YES_NO, inside, words
from rules.vocabulary import LANGUAGES
from rules.wording import ACTIONS, PHRASES, UNITS

TRANSLATED = tuple(language for language in LANGUAGES if language != "en")
RULES = {pack: sorted(path.stem for path in (folder / "rules").iterdir()) for pack, folder in builtin_packs().items()}
# Words that stand in one of the languages only.
TELLING = {
    "en": "the is and of with there has nobody ago days months customer contract",
    "de": "der das ist und nicht seit mit den wurde Tagen Monaten Kunde Kunden Vertrag Sie",
    "fr": "les est et depuis avec sans jours mois client contrat du pas une dans",
    "it": "è di del senza con nessuno nessun giorni mesi cliente contratto dato stato",
}
each_rule = pytest.mark.parametrize("id_", [id_ for ids in RULES.values() for id_ in ids])
each_rule_of_an_industry = pytest.mark.parametrize(
    "id_", [id_ for pack in RULES if pack != "base" for id_ in RULES[pack]]
)
each_language = pytest.mark.parametrize("language", LANGUAGES)


@cache
def packs() -> RuleBase:
    """All of them together."""
    return load(["base", *sorted(builtin_packs().keys() - {"base"})])


# --- words ---


def model_words() -> set[str]:
    """Every kind, field, value and group that a model names."""
    found = set(packs().model.kinds)
    for kind in packs().model.kinds.values():
        for name, type_ in kind.fields.items():
            found |= {name, *type_.values, *type_.groups} if isinstance(type_, Enum) else {name}
    return found


def button_words() -> set[str]:
    """Whom the rules hand over to, and what they send."""
    actions = {action for rule in packs().rules for action in (rule.then.do, *rule.then.instead) if action}
    desks = {f"to_{action.removeprefix('handover ')}" for action in actions if action.startswith("handover ")}
    sent = {action.removeprefix("webhook ") for action in actions if action.startswith("webhook ")}
    return {re.sub("[ -]", "_", name) for name in desks | sent}


@pytest.mark.parametrize("language", TRANSLATED)
def test_there_is_a_word_for_whatever_a_pack_names(language: str) -> None:
    assert sorted((model_words() | button_words()) - words(language).keys()) == []


def test_the_languages_know_the_same_words() -> None:
    for language in TRANSLATED:
        assert words(language).keys() == words("de").keys(), language
    assert words("en").keys() <= words("de").keys()


def test_english_reads_as_written_but_for_abbreviations() -> None:
    """`margin_12m` is none that a person would say."""
    assert [word for word in model_words() if re.search(r"\d[a-z]|_", inside(word, "en"))] == []


@each_language
def test_no_word_is_spelled_as_another_country_does(language: str) -> None:
    """ß is not Swiss; a straight apostrophe is none."""
    assert [said for said in words(language).values() if "ß" in said or "'" in said] == []


# --- tables ---


@pytest.mark.parametrize("table", [PHRASES, UNITS, ACTIONS], ids=["phrases", "units", "actions"])
def test_a_table_has_the_same_entries_in_every_language(table: Mapping[str, Mapping[object, object]]) -> None:
    assert tuple(table) == LANGUAGES
    for language, entries in table.items():
        assert entries.keys() == table["en"].keys(), language


def test_every_unit_of_a_span_has_a_name_and_every_language_a_place() -> None:
    assert UNITS["en"].keys() == set(Unit)
    assert tuple(LOCALES) == tuple(YES_NO) == LANGUAGES


@pytest.mark.parametrize("table", [PHRASES, ACTIONS], ids=["phrases", "actions"])
def test_a_phrase_takes_the_same_in_every_language(table: Mapping[str, Mapping[str, str]]) -> None:
    for key, english in table["en"].items():
        for language in TRANSLATED:
            assert sorted(filled(table[language][key])) == sorted(filled(english)), (language, key)


def filled(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


# --- what the rules say ---


@each_rule
def test_a_rule_has_a_title_and_a_sentence_of_its_own_in_every_language(id_: str) -> None:
    rule = packs().by_id[id_]
    for texts in (rule.title, rule.then.say):
        assert tuple(texts) == LANGUAGES
        assert len(set(texts.values())) == len(LANGUAGES)
        for text in texts.values():
            assert placeholders(text) == placeholders(texts["en"]), text
    for language in TRANSLATED:
        assert "'" not in rule.title[language] + rule.then.say[language]


def placeholders(text: str) -> list[str]:
    return sorted("".join(found.split()) for found in re.findall(r"{{.*?}}", text))


@each_language
@each_rule
def test_a_reminder_is_in_one_language(id_: str, language: str) -> None:
    rule = packs().by_id[id_]
    told = {text for match, dossier, now in raised(rule) for text in said(rule, match, dossier, now, language)}
    assert told
    others = " ".join(TELLING[other] for other in LANGUAGES if other != language).lower().split()
    for text in told:
        assert not any(wrong in text for wrong in ("{", "}", "_", "  ", " .", " ,", "ß", "None")), text
        assert set(re.findall(r"[^\W\d]+", text.lower())).isdisjoint(others), text


@each_rule_of_an_industry
def test_a_sentence_shows_no_gap(id_: str) -> None:
    """The base pack's are filled in by its own tests: they use what a record need not have."""
    for match, dossier, now in raised(packs().by_id[id_]):
        facts = packs().facts(dossier, now=now)
        for language in LANGUAGES:
            sentence = packs().advise(match, facts, opened_at=now, language=language).say
            assert sentence.endswith(".")
            assert NOTHING not in sentence


def said(rule: Rule, match: Match, dossier: Dossier, now: datetime, language: str) -> Iterator[str]:
    """Everything a reminder takes from its rule."""
    facts = packs().facts(dossier, now=now)
    wording = packs().wording(facts, language=language)
    advice = packs().advise(match, facts, opened_at=now, language=language)
    yield rule.title[language]
    yield wording.label(rule.subject)
    yield advice.say
    for action in (advice.do, *advice.instead):
        yield wording.action(action, "Muster AG")
    for name, value in wording.facts(rule.subject, packs().subject(match, facts)):
        yield f"{name}: {value}"
    for reason in packs().trace(match, facts):
        yield wording.reason_with_value(reason)


def raised(rule: Rule) -> Iterator[tuple[Match, Dossier, datetime]]:
    """What the tests beside a rule expect to be open, with the data as it stands then."""
    for test in rule.tests:
        for index, step in enumerate(test.steps):
            for id_ in (step.expect and step.expect.open_) or ():
                match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=id_))
                yield match, as_told(test, steps=index + 1), step.at


def as_told(test: RuleTest, *, steps: int) -> Dossier:
    """The records of a test after so many of its steps."""
    records: dict[tuple[str, str], dict[str, str]] = {(CUSTOMER, "K1"): {}}
    for told in (test.given, *(step.change for step in test.steps[:steps])):
        for kind, raws in told.items():
            for raw in raws:
                fields = {name: str(value) for name, value in raw.items() if name != "id"}
                records.setdefault((kind, str(raw["id"])), {}).update(fields)
    return Dossier(
        id="K1",
        records=tuple(
            Record(kind=kind, id=id_, customer=None if kind == CUSTOMER else "K1", fields=fields)
            for (kind, id_), fields in records.items()
        ),
    )
