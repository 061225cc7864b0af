"""What explanations say beyond a condition: it adds up to the very value, and to the very truth, that the rules saw."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.recommendation import Match
from domain.record import RecordRef
from rules.explain import Explainer, Origin, Reason, first_failing
from rules.loader import load
from rules.model import Facts, Value
from rules.rule import Aggregate, Condition, Relation, Rule
from rules.rulebase import RuleBase
from tests.rules.strategies import cases, companies, starts

CUSTOMERS = 3  # of each rule base

random_companies = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@random_companies
@given(data=st.data())
def test_what_lies_behind_a_condition_is_what_the_rules_saw(data: st.DataObject) -> None:
    company = data.draw(companies())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(company.text, encoding="utf-8")
        rulebase = load([file])
    for _ in range(CUSTOMERS):
        now = data.draw(starts(company.offices["u1"]))
        case = data.draw(cases(company, now))
        if not case.unique:  # a match names its subject by its id; neither a file nor a database holds one twice
            continue
        facts = rulebase.facts(case.dossier, now=now, people=company.people)
        for match, explainer in subjects(rulebase, facts):
            reasons = tuple(explainer.reasons())
            assert (first_failing(reasons) is None) is rulebase.holds(match, facts)
            for reason in reasons:
                if isinstance(reason.about, Condition):
                    explains(explainer.origin(reason.about), reason.value)
                else:
                    relates(explainer, reason, reason.about)


def subjects(rulebase: RuleBase, facts: Facts) -> Iterator[tuple[Match, Explainer]]:
    for rule in rulebase.rules:
        for this in facts.of.get(rule.subject, ()):
            match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=str(this["id"])))
            yield match, Explainer(rule=rule, this=this, facts=facts, horizon=rulebase.horizon)


def explains(origin: Origin | None, value: Value | tuple[str, ...] | None) -> None:
    """The parts of an origin come to the value."""
    if origin is None:
        return
    parts = origin.parts
    values = [part.value for part in parts]
    match origin.by:
        case Rule() as rule:
            assert rule.then.sets[origin.field[1]] == value
        case by if isinstance(by.how, Aggregate):
            match by.how.way:
                case "count":
                    assert (values, len(parts)) == ([None] * len(parts), value)
                case "sum":
                    assert sum((v for v in values if isinstance(v, Decimal)), Decimal(0)) == value
                case _:
                    assert (values[0] if values else None) == value
        case by:
            assert len(parts) == len(by.how.operands)
            assert value is None or None not in values
            for part in parts:
                explains(part.origin, part.value)


def relates(explainer: Explainer, reason: Reason, relation: Relation) -> None:
    """The records it found fulfil all of a relation, and the nearest one all but something."""
    found = explainer.found(relation)
    assert tuple(related.ref.id for related in found) == reason.value
    for related in found:
        assert all(check.holds for check in related.checks)
        for check in related.checks:
            explains(check.origin, check.value)
    nearest = explainer.nearest(reason)
    if nearest is not None:
        assert not reason.holds
        assert not all(check.holds for check in nearest.checks)
        assert nearest.ref.id not in {related.ref.id for related in found}
