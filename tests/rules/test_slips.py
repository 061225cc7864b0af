"""Slips of the pen that were once taken in silence, or answered with something untrue."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.loader import check, load

THEN = "then: {recommend: win, say: Call}"


def problems(folder: Path, *packs: str) -> list[str]:
    """What the checker says of packs, a file each: "2 R101 message"."""
    files = [folder / f"pack{number}.yaml" for number, _ in enumerate(packs, start=1)]
    for file, text in zip(files, packs, strict=True):
        file.write_text(text, encoding="utf-8")
    found = check(files).problems
    return [f"{p.place.file.removesuffix('.yaml')[-1]} {p.code} {p.message}" for p in found.errors]


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("worth: 1.2.3", 'R102 customer has no link "1"'),
        ("worth: .", 'R102 customer has no link ""'),
        ("'escalate': {after: 5 days, to: }", 'R002 key "to" is missing'),
        ("holds back: {tags: }", "R201 holds back what?"),
        ("holds back: {tags: [a], until: friday}", 'R201 "friday" is not an end'),
        ("repeat: 'every 2 days, at most 0 times'", "R201 never repeats"),
        ("set: {v: [1]}", 'R201 "[1]" is not a value'),
    ],
)
def test_what_a_rule_says_is_never_half_a_sentence(tmp_path: Path, then: str, said: str) -> None:
    text = f"model: {{customer: {{v: number}}}}\n---\nrule: a\nfor each: customer\n{THEN[:-1]}, {then}}}\n"
    assert problems(tmp_path, text) == [f"1 {said}"]


def test_a_sentence_has_words(tmp_path: Path) -> None:
    rule = "rule: a\nfor each: customer\nthen: {recommend: win, say: ' '}\n"
    assert problems(tmp_path, rule) == ["1 R402 the sentence is empty"]


def test_an_alternative_has_conditions(tmp_path: Path) -> None:
    rule = f"rule: a\nfor each: customer\nany of: [{{name: A}}, {{}}]\n{THEN}\n"
    assert problems(tmp_path, rule) == ["1 R201 an alternative is empty: it would always hold"]


def test_tags_are_words(tmp_path: Path) -> None:
    rule = f"rule: a\nfor each: customer\ntags: {{a: b}}\n{THEN}\n"
    assert problems(tmp_path, rule) == ["1 R201 {a: b} is not a word"]


def test_a_weight_of_nothing_stays_nothing(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(f"rule: a\nfor each: customer\n{THEN[:-1]}, weight: 0}}\n", encoding="utf-8")
    (rule,) = load([file]).rules
    assert rule.then.weight == 0


MONEY = "company: A\ncurrency: CHF\n---\nmodel: {customer: {a: money, b: {money: %s}, c: {add: [a, b]}}}\n"


def test_an_amount_in_the_company_currency_is_one_whether_it_says_so_or_not(tmp_path: Path) -> None:
    assert problems(tmp_path, MONEY % "CHF") == []
    assert problems(tmp_path, MONEY % "EUR") == ["1 R203 these amounts have different currencies"]


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("{add: [v, 1], were: {v: 1}}", 'R001 unknown key "were"'),
        ("{add: [v, 1], where: {v: 1}}", 'R001 unknown key "where"'),
        (
            "{latest: customer.d}",
            "R302 customer.d -> customer.d goes round in a circle: each is worked out from the next",
        ),
    ],
)
def test_a_derived_field_is_read_to_its_end(tmp_path: Path, way: str, said: str) -> None:
    assert problems(tmp_path, f"model: {{customer: {{v: number, d: {way}}}}}\n") == [f"1 {said}"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ref contract", "ref customer"),
        ("money", "{money: EUR}"),
        ("{max: contract.size}", "{max: contract.day}"),
        ("{max: contract.size}", "text"),
        ("number", "{max: contract.day}"),
    ],
)
def test_a_later_pack_keeps_the_type_of_a_field(tmp_path: Path, before: str, after: str) -> None:
    model = f"model:\n  contract: {{size: number, day: date}}\n  customer: {{v: {before}}}\n"
    (said,) = problems(tmp_path, model, f"model: {{customer: {{v: {after}}}}}\n")
    assert said.startswith("2 R104 customer.v is ")


def test_a_later_pack_may_work_out_what_was_recorded_and_the_other_way_round(tmp_path: Path) -> None:
    model = "model:\n  contract: {size: number}\n  customer: {v: %s}\n"
    for before, after in (("number", "{max: contract.size}"), ("{max: contract.size}", "number")):
        assert problems(tmp_path, model % before, f"model: {{customer: {{v: {after}}}}}\n") == []


def test_a_word_is_a_value_or_a_group_in_all_packs(tmp_path: Path) -> None:
    first = "model: {customer: {s: {enum: [x, y], groups: {g: [x]}}}}\n"
    clash = '2 R103 "g" is a value in one pack and a group in another'
    assert problems(tmp_path, first, "model: {customer: {s: {enum: [g]}}}\n") == [clash]
    assert problems(tmp_path, first, "model: {customer: {s: {enum: [z], groups: {g: [z, y]}}}}\n") == []


def test_a_rollout_alone_needs_a_rule_to_change(tmp_path: Path) -> None:
    rule = f"rule: renewal\nfor each: customer\n{THEN}\n"
    said = '2 R002 no earlier pack has a rule "renewl" whose rollout could change'
    assert problems(tmp_path, rule, "rule: renewl\nrollout: draft\n") == [said]


def test_a_rollout_is_not_blamed_for_the_rule_it_changes(tmp_path: Path) -> None:
    rule = f"rule: renewal\nfor each: custmer\n{THEN}\n"
    assert problems(tmp_path, rule, "rule: renewal\nrollout: draft\n") == ['1 R100 no kind "custmer"']
