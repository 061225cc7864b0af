"""The rules that every company starts with hold what they promise, in every company that takes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.recommendation import Match, Verdict
from domain.record import Dossier, Record
from rules.loader import builtin_packs, check, load
from rules.rule import Rule, RuleTest
from rules.rulebase import RuleBase
from rules.say import NOTHING
from rules.stories import run_test
from rules.vocabulary import LANGUAGES

RULES = (
    "complaint-open",
    "contract-expiring",
    "lead-unworked",
    "negative-margin",
    "opportunity-idle",
    "order-late",
    "payment-overdue",
    "quote-stalled",
)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
COMPANIES = {
    "none": "",
    "zurich": """
        company: Muster AG
        timezone: Europe/Zurich
        currency: CHF
        language: de
        calendar: zurich
        ---
        calendar: zurich
        timezone: Europe/Zurich
        hours: {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}
        """,
    "honolulu": "{company: Pacific Goods, timezone: Pacific/Honolulu, currency: USD}",
    "kiritimati": "{company: First Light, timezone: Pacific/Kiritimati, currency: AUD}",
}
# A subject of each rule's kind with nothing in it but what the sentences use.
SAID = {
    "complaint": {"subject": "Wrong parts", "opened_at": "2026-11-20T10:00:00+00:00"},
    "customer": {"margin_12m": "-4200", "margin_negative_years": "3"},
    "opportunity": {"amount": "18000", "product": "Managed Wi-Fi", "stage": "proposal"},
    "contract": {"product": "Managed Wi-Fi", "end_date": "2027-01-07"},
    "invoice": {"amount": "2400", "due_date": "2026-09-30"},
    "lead": {"source": "website", "created_at": "2026-11-20T10:00:00+00:00"},
    "order": {"product": "Managed Wi-Fi", "promised_date": "2026-11-20"},
    "quote": {"amount": "12000", "opens": "3", "sent_at": "2026-10-20T10:00:00+00:00"},
}


@pytest.fixture(scope="module", params=list(COMPANIES.values()), ids=list(COMPANIES))
def rulebase(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RuleBase:
    """The pack as a company takes it."""
    own = tmp_path_factory.mktemp("company") / "company.yaml"
    text = "\n".join(line.removeprefix(" " * 8) for line in request.param.splitlines())
    own.write_text(text or "model: {}", encoding="utf-8")
    return load(["base", own])


@pytest.fixture(scope="module")
def base() -> RuleBase:
    return load(["base"])


def ending(rule: Rule, *, raising: bool) -> Iterator[RuleTest]:
    """The tests beside a rule that expect something to be raised, or nothing, in their last word."""
    for test in rule.tests:
        expected = test.steps[-1].expect
        if expected is not None and expected.open_ is not None and bool(expected.open_) is raising:
            yield test


def test_the_pack_has_no_problems_and_holds_the_eight_first_rules() -> None:
    checked = check(["base"])
    assert [str(problem) for problem in checked.problems] == []
    assert tuple(rule.id for rule in checked.rulebase.rules) == RULES


def test_each_rule_has_a_file_of_its_own_name() -> None:
    assert tuple(sorted(path.stem for path in (builtin_packs()["base"] / "rules").iterdir())) == RULES


def test_every_test_beside_a_rule_holds_in_every_company(rulebase: RuleBase) -> None:
    outcomes = [run_test(rulebase, rule, test) for rule in rulebase.rules for test in rule.tests]
    assert [failure for outcome in outcomes for failure in outcome.failures] == []


@pytest.mark.parametrize("id_", RULES)
def test_every_rule_shows_when_it_raises_when_it_is_quiet_and_a_year_of_its_life(base: RuleBase, id_: str) -> None:
    rule = base.by_id[id_]
    assert list(ending(rule, raising=True))
    assert list(ending(rule, raising=False))
    years = [test for test in rule.tests if (test.steps[-1].at - test.steps[0].at).days >= 300]
    assert any(step.expect and step.expect.resolved for test in years for step in test.steps)


@pytest.mark.parametrize("id_", RULES)
def test_a_rule_that_lost_a_condition_or_an_exception_fails_its_tests(id_: str, tmp_path: Path) -> None:
    """Every line of `when` and `unless` is there for a reason that a test beside the rule knows."""
    file = builtin_packs()["base"] / "rules" / f"{id_}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    for number in range(lines.index("when:\n") + 1, lines.index("then:\n")):
        if lines[number] == "unless:\n":
            continue
        kept = "".join(line for n, line in enumerate(lines) if n != number).replace("when:\nthen:", "then:")
        changed = tmp_path / "changed.yaml"
        changed.write_text(kept, encoding="utf-8")
        weaker = load(["base", changed])
        rule = weaker.by_id[id_]
        assert any(run_test(weaker, rule, test).failures for test in rule.tests), (
            f"nobody would miss {lines[number].strip()!r}"
        )


@pytest.mark.parametrize("id_", RULES)
def test_every_rule_says_what_to_do_to_whom_and_what_is_at_stake(base: RuleBase, id_: str) -> None:
    rule = base.by_id[id_]
    assert rule.tags
    assert rule.then.do
    assert rule.then.to
    assert rule.then.due
    assert rule.then.worth
    assert rule.then.repeat
    assert rule.then.escalate or rule.then.recommend is Verdict.LET_GO  # nobody is waiting for that


@pytest.mark.parametrize("id_", RULES)
def test_every_rule_fills_in_every_field_in_every_language(base: RuleBase, id_: str) -> None:
    rule = base.by_id[id_]
    subject = Record(kind=rule.subject, id="X1", customer="K1", fields=SAID[rule.subject])
    facts = base.facts(Dossier(id="K1", records=(subject,)), now=NOW)
    match = Match(rule=id_, subject=subject.ref)

    said = [base.advise(match, facts, opened_at=NOW, language=language).say for language in LANGUAGES]

    for sentence in said:
        assert NOTHING not in sentence
        assert "{" not in sentence
        assert sentence.endswith(".")


def test_a_later_pack_may_replace_a_rule_and_add_fields_and_values(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "model: {contract: {line: {enum: [motor, fleet]}, vehicles: number}}", encoding="utf-8"
    )
    (tmp_path / "quote.yaml").write_text(
        "{rule: quote-stalled, title: Ours, for each: quote, when: {status: sent}, then: {recommend: win, say: Call.}}",
        encoding="utf-8",
    )
    rulebase = load(["base", tmp_path])
    assert len(rulebase.rules) == len(RULES)
    assert rulebase.by_id["quote-stalled"].title == {"": "Ours"}
    assert {"motor", "service"} <= set(rulebase.model.kinds["contract"].fields["line"].values)  # type: ignore[attr-defined]
