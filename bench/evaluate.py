"""What it costs to decide: 10,000 customers, 100 rules, beside Python written by hand and bare durable_rules.

All three must fire the same rules on the same records; else nothing is measured.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from time import process_time
from typing import TypeAlias, TypeVar

import durable_rules_engine as durable

from bench.company import NOW, TODAY, BenchRule, bench_rules, dossier, native_facts, rule_base
from bench.table import show
from rules.model import Facts
from rules.rulebase import NOBODY

CUSTOMERS = 10_000
ROUNDS = 3  # the fastest counts: whatever else the machine does only ever adds
COMMAND = "python -m bench evaluate"

T = TypeVar("T")
Fired: TypeAlias = set[tuple[str, str]]
"""(rule, id of the subject)"""


def main() -> None:
    rules = list(bench_rules())
    with rule_base(rules) as base:
        dossiers = [dossier(number) for number in range(CUSTOMERS)]
        facts = [base.facts(each) for each in dossiers]
        at = base.at(facts[0], NOW, NOBODY)
        decisions = [base.decide(each, now=NOW) for each in dossiers]
        fired: list[Fired] = [{(m.rule, m.subject.id) for m in decision.matches} for decision in decisions]
        by_hand = _ByHand(rules)
        bare = _Bare(rules)
        native = [native_facts(each) for each in facts]
        _same(fired, [by_hand.fired(each) for each in facts], rules, "Python by hand")
        _same(fired, [bare.fired(each) for each in native], rules, "bare durable_rules")

        gc.freeze()  # else collections walk through all customers again and again, as no worker holds them
        index = {rule.id: number for number, rule in enumerate(base.rules)}
        found = [{(index[rule], subject) for rule, subject in each} for each in fired]
        whole_s = _fastest(dossiers, lambda each: base.decide(each, now=NOW))
        parts_s = {
            "reading facts": _fastest(dossiers, base.facts),
            "selecting": _fastest(facts, lambda each: base.compiled.select(each, at)),
            "engine": _fastest(list(zip(found, facts, strict=True)), lambda each: base.engine.judge(*each, at)),
        }
        parts_s["clocks, next check"] = whole_s - sum(parts_s.values())
        by_hand_s = _fastest(facts, by_hand.fired)
        bare_s = _fastest(native, bare.fired)
        bare.close()

    firings = sum(map(len, fired)) / CUSTOMERS
    show(
        f"{CUSTOMERS:,} customers with 8 records each, 100 rules, {firings:.1f} firings a customer, one core",
        ("", "customers/s", "us each"),
        [
            ("Relance: read, select, engine, next check", *_rate(whole_s)),
            *((f"  of it {part}", "", f"{s / CUSTOMERS * 1e6:.0f}") for part, s in parts_s.items()),
            ("bare durable_rules, facts prepared", *_rate(bare_s)),
            ("Python by hand, facts read", *_rate(by_hand_s)),
        ],
        command=COMMAND,
    )


class _ByHand:
    """The rules as functions, kind by kind."""

    def __init__(self, rules: Sequence[BenchRule]) -> None:
        self.by_kind = {kind: [(r.id, r.python) for r in rules if r.kind == kind] for kind in {r.kind for r in rules}}

    def fired(self, facts: Facts) -> Fired:
        return {
            (rule, str(fact["id"]))
            for kind, rules in self.by_kind.items()
            for fact in facts.of[kind]
            for rule, holds in rules
            if holds(fact, facts, TODAY)
        }


class _Bare:
    """All rules in one ruleset, and nothing around it."""

    def __init__(self, rules: Sequence[BenchRule]) -> None:
        definition: dict[str, object] = {rule.id: {"all": rule.native} for rule in rules}
        definition["~end"] = {"all": [{"e": {"t": "~end"}}], "pri": 1000}
        self.handle = durable.create_ruleset("bench", json.dumps(definition))

    def fired(self, batch: list[dict[str, object]]) -> Fired:
        found: Fired = set()
        _, offset = durable.assert_facts(self.handle, json.dumps(batch))
        answer = durable.start_action_for_state(self.handle, offset)
        message = answer[1] if answer else None
        while message:
            found.update((rule, bound["s"]["key"]) for rule, bound in json.loads(message).items() if rule != "~end")
            message = durable.complete_and_start_action(self.handle, offset)
        durable.delete_state(self.handle, "0")
        return found

    def close(self) -> None:
        durable.delete_ruleset(self.handle)


def _same(ours: list[Fired], theirs: list[Fired], rules: Sequence[BenchRule], who: str) -> None:
    """Raises AssertionError unless both fired alike, and every rule at least once."""
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert mine == other, f"{who}, customer {number}: {sorted(mine ^ other)}"
    never = {rule.id for rule in rules} - {rule for each in ours for rule, _ in each}
    assert not never, f"these rules fire for nobody, so nothing is compared: {sorted(never)}"


def _fastest(items: Sequence[T], work: Callable[[T], object]) -> float:
    """CPU seconds for all of them."""

    def once() -> float:
        begin = process_time()
        for item in items:
            work(item)
        return process_time() - begin

    return min(once() for _ in range(ROUNDS))


def _rate(seconds: float) -> tuple[str, str]:
    return f"{CUSTOMERS / seconds:,.0f}", f"{seconds / CUSTOMERS * 1e6:.0f}"
