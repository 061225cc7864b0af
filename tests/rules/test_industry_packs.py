"""The packs of the industries: they stack on `base` and on each other, and their rules hold what they promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from domain.recommendation import Verdict
from domain.record import CUSTOMER
from rules.loader import builtin_packs, check, load
from rules.model import Enum, Model
from rules.operators import Missing, MissingOr
from rules.rule import Condition, Relation, Rule
from rules.rulebase import RuleBase
from rules.say import references
from rules.stories import run_test

PREFIX = {"insurance": "ins-", "telecom": "tel-", "automotive": "auto-"}
PACKS = tuple(PREFIX)
RULES = [
    pytest.param(pack, path.stem, id=path.stem)
    for pack in PACKS
    for path in sorted((builtin_packs()[pack] / "rules").iterdir())
]
T = TypeVar("T")
ZURICH = """
company: Muster AG
timezone: Europe/Zurich
currency: CHF
calendar: zurich
---
calendar: zurich
timezone: Europe/Zurich
hours: {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}
"""
each_pack = pytest.mark.parametrize("pack", PACKS)
each_rule = pytest.mark.parametrize(("pack", "id_"), RULES)


@cache
def stacked(*packs: str) -> RuleBase:
    return load(packs)


def own_rules(pack: str) -> list[Rule]:
    shared = stacked("base").by_id
    return [rule for rule in stacked("base", pack).rules if rule.id not in shared]


def words(model: Model) -> set[str]:
    """Every kind, field, value and group that the model names."""
    found = set(model.kinds)
    for kind in model.kinds.values():
        for name, type_ in kind.fields.items():
            found |= {name, *type_.values, *type_.groups} if isinstance(type_, Enum) else {name}
    return found


# --- the packs ---


@each_pack
def test_a_pack_stacks_on_base_without_a_problem_and_brings_eight_rules_or_more(pack: str) -> None:
    checked = check(["base", pack])
    assert [str(problem) for problem in checked.problems] == []
    assert len(own_rules(pack)) >= 8
    assert all(rule.id.startswith(PREFIX[pack]) and pack in rule.tags for rule in own_rules(pack))


@each_pack
def test_each_rule_has_a_file_of_its_own_name(pack: str) -> None:
    files = sorted(path.stem for path in (builtin_packs()[pack] / "rules").iterdir())
    assert files == [rule.id for rule in own_rules(pack)]


@each_pack
def test_a_pack_knows_whom_to_win_whom_to_hold_and_whom_to_let_go(pack: str) -> None:
    assert {rule.then.recommend for rule in own_rules(pack)} == set(Verdict)


def test_the_packs_stack_in_any_order() -> None:
    reference = stacked("base", *PACKS)
    for order in permutations(PACKS):
        checked = check(["base", *order])
        assert [str(problem) for problem in checked.problems] == [], order
        assert checked.rulebase.by_id.keys() == reference.by_id.keys(), order
        assert words(checked.rulebase.model) == words(reference.model), order


@each_pack
def test_no_two_rules_hold_each_other_back(pack: str) -> None:
    """Else both would be open, and nobody would be reminded of either."""

    def holds_back(one: Rule, other: Rule) -> bool:
        held = one.then.holds_back
        if held is None or not (held.about_customer or one.subject == other.subject):
            return False
        return not set(held.tags).isdisjoint(other.tags)

    for one, other in combinations(stacked("base", pack).rules, 2):
        assert not (holds_back(one, other) and holds_back(other, one)), (one.id, other.id)


# --- the tests beside the rules ---


@pytest.mark.parametrize("company", ["", ZURICH], ids=["no company", "zurich"])
@each_pack
def test_every_test_beside_a_rule_holds(pack: str, company: str, tmp_path: Path) -> None:
    own = tmp_path / "company.yaml"
    own.write_text(company or "model: {}", encoding="utf-8")
    rulebase = load(["base", pack, own])
    assert failures(rulebase, rulebase.rules) == []


def test_every_test_beside_a_rule_holds_with_all_packs_together() -> None:
    rulebase = stacked("base", *PACKS)
    assert failures(rulebase, rulebase.rules) == []


def failures(rulebase: RuleBase, rules: Sequence[Rule]) -> list[str]:
    return [
        f"{failure.rule}: {failure.test}: {failure.message}"
        for rule in rules
        for test in rule.tests
        for failure in run_test(rulebase, rule, test).failures
    ]


@each_rule
def test_every_rule_shows_when_it_raises_when_it_is_quiet_and_a_year_of_its_life(pack: str, id_: str) -> None:
    tests = stacked("base", pack).by_id[id_].tests
    raising = [test for test in tests if any(step.expect and step.expect.open_ for step in test.steps)]
    quiet = [test for test in tests if all(step.expect and step.expect.open_ == frozenset() for step in test.steps)]
    years = [test for test in tests if (test.steps[-1].at - test.steps[0].at).days >= 300]
    assert raising
    assert quiet
    assert any(step.change for test in years for step in test.steps)
    assert any(step.expect and step.expect.resolved for test in years for step in test.steps)


@each_rule
def test_every_condition_is_made_false_by_some_test(pack: str, id_: str) -> None:
    rulebase = stacked("base", pack)
    rule = rulebase.by_id[id_]
    made_false = {condition for test in rule.tests for condition in run_test(rulebase, rule, test).made_false}
    assert set(rule.spelled_out()) - made_false == set()


@each_rule
def test_a_rule_that_lost_any_part_of_its_conditions_fails_its_tests(pack: str, id_: str) -> None:
    """Everything in `when`, `any of`, `with` and `unless` is there for a reason that a test beside the rule knows."""
    rulebase = stacked("base", pack)
    unnoticed = [
        lost
        for lost, other in amputated(rulebase.by_id[id_])
        if not failures(replace(rulebase, rules=tuple(other if r.id == id_ else r for r in rulebase.rules)), [other])
    ]
    assert unnoticed == []


def amputated(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The rule without each of its parts in turn, and what was lost."""
    for lost, when in without_one(rule.when):
        yield str(lost), replace(rule, when=when)
    for index, alternative in enumerate(rule.any_of):
        before, after = rule.any_of[:index], rule.any_of[index + 1 :]
        yield f"any of {index}", replace(rule, any_of=before + after)
        if len(alternative) > 1:
            for lost, rest in without_one(alternative):
                yield f"any of {lost}", replace(rule, any_of=(*before, rest, *after))
    for lost, with_ in without_one(rule.with_):
        yield lost.words, replace(rule, with_=with_)
    for lost, unless in without_one(rule.unless):
        yield lost.words, replace(rule, unless=unless)
    for index, relation in enumerate(rule.with_):
        for lost, changed in loosened(relation):
            yield lost, replace(rule, with_=(*rule.with_[:index], changed, *rule.with_[index + 1 :]))
    for index, relation in enumerate(rule.unless):
        for lost, changed in loosened(relation):
            yield lost, replace(rule, unless=(*rule.unless[:index], changed, *rule.unless[index + 1 :]))


def loosened(relation: Relation) -> Iterator[tuple[str, Relation]]:
    """The relation without each of its conditions, and without its ties, but that to the customer: it always holds."""
    for lost, conditions in without_one(relation.conditions):
        yield f"{lost} in {relation.words}", replace(relation, conditions=conditions)
    for lost, ties in without_one(relation.ties):
        if lost[0] != CUSTOMER:
            yield f"{lost[0]} in {relation.words}", replace(relation, ties=ties)


def without_one(items: tuple[T, ...]) -> Iterator[tuple[T, tuple[T, ...]]]:
    for index, item in enumerate(items):
        yield item, items[:index] + items[index + 1 :]


# --- what the rules say and do ---


@each_rule
def test_every_rule_says_why_it_is_there_what_to_do_and_what_is_at_stake(pack: str, id_: str) -> None:
    rule = stacked("base", pack).by_id[id_]
    document = yaml.safe_load((builtin_packs()[pack] / "rules" / f"{id_}.yaml").read_text(encoding="utf-8"))
    assert document["notes"]
    assert rule.then.do
    assert rule.then.to
    assert rule.then.due
    assert rule.then.worth is not None
    assert not any(action.startswith("dialog ") for action in (rule.then.do, *rule.then.instead))


@each_rule
def test_a_sentence_uses_only_what_the_rule_makes_sure_of(pack: str, id_: str) -> None:
    """So that no gap shows in it, whatever else is missing in a company's data."""
    rule = stacked("base", pack).by_id[id_]
    sure = known(rule.when)
    if rule.any_of:
        sure |= set[str].intersection(*(known(alternative) for alternative in rule.any_of))
    for sentence in rule.then.say.values():
        for name, *fields in references(sentence):
            path = ".".join(fields if name == rule.subject else (name, *fields))
            assert any(f"{link}.".startswith(f"{path}.") for link in sure) or (not fields), f"{path}: {sentence}"


def known(conditions: Sequence[Condition]) -> set[str]:
    """The fields that have a value wherever these conditions hold."""
    return {str(c.link) for c in conditions if not isinstance(c.test, Missing | MissingOr)}
