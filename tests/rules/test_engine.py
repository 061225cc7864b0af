"""The engine judges what the compiled reader selected: it agrees, or the customer is reported and the next decided."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.record import Dossier, Record
from rules.engine import Engine
from rules.loader import load
from rules.rulebase import RuleBase, Undecidable

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MODEL = """
model:
  contract: {status: text, size: number, parent: ref contract}
  invoice: {status: text, size: number, contract: ref contract}
  visit: {status: text, size: number}
"""
Rules = Callable[..., RuleBase]


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    """A rule base of rules about contracts, each given by its conditions; they are called r-0, r-1, ..."""
    loaded: list[RuleBase] = []

    def rules(*conditions: str) -> RuleBase:
        documents = [MODEL]
        for number, text in enumerate(conditions):
            documents.append(f"rule: r-{number}\nfor each: contract\n{text}\nthen: {{recommend: win, say: Call}}\n")
        file = tmp_path / "rules.yaml"
        file.write_text("---\n".join(documents), encoding="utf-8")
        loaded.append(load([file]))
        return loaded[-1]

    yield rules
    for rulebase in loaded:
        rulebase.engine.close()


def dossier(*records: tuple[str, str, dict[str, str]]) -> Dossier:
    return Dossier(
        id="K1", records=tuple(Record(kind=kind, id=id_, customer="K1", fields=f) for kind, id_, f in records)
    )


def matches(rulebase: RuleBase, customer: Dossier) -> list[str]:
    return [f"{m.rule} {m.subject.id}" for m in rulebase.decide(customer, now=NOW).matches]


ACTIVE = dossier(("contract", "C1", {"status": "active", "size": "5"}))
DRAFT = dossier(("contract", "C1", {"status": "draft", "size": "5"}))


# --- when the two readers differ ---


def test_a_customer_on_whom_the_two_readers_differ_is_reported_and_the_next_one_decided(rules: Rules) -> None:
    rulebase, other = rules("when: {status: [active, draft]}"), rules("when: {status: draft}")
    vars(rulebase)["engine"] = Engine.of(other.rules)

    with pytest.raises(Undecidable) as reported:
        rulebase.decide(ACTIVE, now=NOW)

    assert str(reported.value) == (
        "the rule engine and the compiled rules disagree: only the engine finds nothing, "
        "only the compiled rules find r-0 for C1"
    )
    assert matches(rulebase, DRAFT) == ["r-0 C1"]


def test_what_only_the_engine_finds_is_an_alarm_too(rules: Rules) -> None:
    rulebase, other = rules("when: {size: above 7}"), rules("when: {size: above 3}")
    vars(rulebase)["engine"] = Engine.of(other.rules)
    two = dossier(("contract", "C1", {"size": "5"}), ("contract", "C2", {"size": "9"}))

    with pytest.raises(Undecidable, match="only the engine finds r-0 for C1, only the compiled rules find nothing"):
        rulebase.decide(two, now=NOW)


# --- when the engine fails ---


@contextmanager
def poisoned(rulebase: RuleBase) -> Generator[None]:
    """Facts about contracts hold what the engine's reader cannot read."""
    ruleset = rulebase.engine.rulesets[0]
    healthy = ruleset.form
    ruleset.form = healthy.replace('"_1":1', '"_1":1e300')
    yield
    ruleset.form = healthy


def test_facts_cut_short_are_a_failure_and_never_nothing_found(rules: Rules) -> None:
    rulebase = rules("when: {status: active}")

    with poisoned(rulebase), pytest.raises(Undecidable, match="stopped in the middle of the facts"):
        rulebase.decide(ACTIVE, now=NOW)

    assert matches(rulebase, ACTIVE) == ["r-0 C1"]
    assert matches(rulebase, DRAFT) == []


def test_after_any_number_of_failures_the_next_customer_is_decided(rules: Rules) -> None:
    """A failure that left its state behind would reach the engine's limit of 1,024."""
    rulebase = rules("when: {status: active}")

    with poisoned(rulebase):
        for _ in range(1_100):
            with pytest.raises(Undecidable):
                rulebase.decide(ACTIVE, now=NOW)

    assert matches(rulebase, ACTIVE) == ["r-0 C1"]


def _listed(kind: str, count: int) -> list[tuple[str, str, dict[str, str]]]:
    return [(kind, f"{kind[0].upper()}{n}", {"status": "active", "size": "500"}) for n in range(count)]


# --- size ---


def test_many_rules_are_spread_over_rulesets_and_all_of_them_decided(rules: Rules) -> None:
    rulebase = rules(*(f"when: {{size: at least {n}}}" for n in range(100)))

    assert len(rulebase.engine.rulesets) == 4
    assert len(matches(rulebase, ACTIVE)) == 6
    assert len(matches(rulebase, dossier(("contract", "C1", {"size": "99"})))) == 100


def test_rules_with_many_relations_share_a_ruleset_with_fewer_others(rules: Rules) -> None:
    exceptions = "\n".join(f"  - invoice: {{contract: this, size: above {n}}}" for n in range(9))
    rulebase = rules(*[f"unless:\n{exceptions}"] * 12)

    assert len(rulebase.engine.rulesets) == 2
    assert len(matches(rulebase, ACTIVE)) == 12


def test_one_rule_may_have_more_alternatives_than_a_ruleset_holds(rules: Rules) -> None:
    rulebase = rules("any of:\n" + "\n".join(f"  - {{size: {n}}}\n  - {{size: above {n}}}" for n in range(100)))

    assert matches(rulebase, ACTIVE) == ["r-0 C1"]
    assert matches(rulebase, dossier(("contract", "C1", {"size": "-1"}))) == []


def test_a_customer_with_hundreds_of_records_is_no_multiplication_table(rules: Rules) -> None:
    """300 * 300 * 300 combinations fit; it takes one of them."""
    rulebase = rules(
        "with:\n  - invoice: {customer: same, status: active}\n  - visit: {customer: same}\n  - visit: {status: same}"
    )
    customer = dossier(*_listed("contract", 300), *_listed("invoice", 300), *_listed("visit", 300))

    assert len(matches(rulebase, customer)) == 300


# --- relations ---


def test_one_record_may_be_what_several_relations_ask_for(rules: Rules) -> None:
    rulebase = rules(
        "with:\n  - invoice: {contract: this, status: open}\n  - invoice: {contract: this, size: above 1000}"
    )

    def invoice(id_: str, status: str, size: str) -> tuple[str, str, dict[str, str]]:
        return ("invoice", id_, {"contract": "C1", "status": status, "size": size})

    contract = ("contract", "C1", dict[str, str]())
    assert matches(rulebase, dossier(contract, invoice("I1", "open", "2000"))) == ["r-0 C1"]
    assert matches(rulebase, dossier(contract, invoice("I1", "open", "1"), invoice("I2", "paid", "2000"))) == ["r-0 C1"]
    assert matches(rulebase, dossier(contract, invoice("I1", "open", "1"), invoice("I2", "paid", "1"))) == []


def test_a_record_is_no_relation_of_its_own(rules: Rules) -> None:
    rulebase = rules("with:\n  - contract: {status: same}", "with:\n  - contract: {parent: this}")
    own = ("contract", "C1", {"status": "active", "parent": "C1"})

    assert matches(rulebase, dossier(own)) == []
    assert matches(rulebase, dossier(own, ("contract", "C2", {"status": "active", "parent": "C1"}))) == [
        "r-0 C1",
        "r-0 C2",
        "r-1 C1",
    ]


def test_records_that_look_alike_are_each_others_relations_whatever_their_number(rules: Rules) -> None:
    rulebase = rules("with:\n  - contract: {status: same, size: 5}", "unless:\n  - contract: {status: same}")
    for count in range(1, 6):
        alike = [("contract", f"C{n}", {"status": "active", "size": "5"}) for n in range(count)]

        wanted = [f"r-0 C{n}" for n in range(count)] if count > 1 else ["r-1 C0"]
        assert matches(rulebase, dossier(*alike)) == wanted


def test_nothing_is_tied_by_a_value_that_is_missing(rules: Rules) -> None:
    rulebase = rules("with:\n  - contract: {status: same}", "unless:\n  - contract: {status: same}")

    assert matches(rulebase, dossier(("contract", "C1", {}), ("contract", "C2", {}))) == ["r-1 C1", "r-1 C2"]
