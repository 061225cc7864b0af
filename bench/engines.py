"""What it costs to decide: a hundred rules, by Relance and by everybody else, beside Python written by hand.

All must fire the same rules on the same records; else nothing is measured.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from time import process_time
from typing import Any, TypeVar

from bench.company import NOW, BenchRule, bench_rules, dossier, rule_base
from bench.peers import by_hand
from bench.peers.peer import Fired, Peer
from bench.table import show
from domain.record import Dossier
from rules.rulebase import RuleBase

CUSTOMERS = 10_000
ROUNDS = 3  # the fastest counts: whatever else the machine does only ever adds
PACKAGES = {  # (the version whose figures are in the README, customers: fewer where all would take minutes)
    "zen-engine": ("2.1.3", CUSTOMERS),
    "durable-rules": ("2.0.28", CUSTOMERS),
    "clipspy": ("1.0.6", CUSTOMERS),
    "common-expression-language": ("0.10.0", CUSTOMERS),
    "rule-engine": ("5.1.0", 2_000),
}
COMMAND = "python -m bench engines"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A peer, and the customers it is asked about: the first of all."""

    name: str
    peer: Peer[Any]
    customers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU seconds for a customer: from what was prepared, and from the recorded dossier."""

    name: str
    prepared_s: float
    whole_s: float


def main() -> None:
    rules = list(bench_rules())
    dossiers = [dossier(number) for number in range(CUSTOMERS)]
    by_hand_, *others = entrants = list(_entrants(rules))
    with rule_base(rules) as base:
        fired = [{(match.rule, match.subject.id) for match in base.decide(each, now=NOW).matches} for each in dossiers]
    never = {rule.id for rule in rules} - {rule for each in fired for rule, _ in each}
    assert not never, f"these rules fire for nobody, so nothing is compared: {sorted(never)}"
    for entrant in entrants:
        _same(entrant, dossiers, fired)

    measure = _cost(by_hand_, dossiers)
    costs = sorted((_cost(entrant, dossiers) for entrant in others), key=lambda cost: cost.whole_s)

    def row(cost: Cost) -> tuple[str, ...]:
        prepared, whole = measure.prepared_s / cost.prepared_s, measure.whole_s / cost.whole_s
        rates = (f"{1 / cost.prepared_s:,.0f}", f"{prepared:.2f}", f"{1 / cost.whole_s:,.0f}", f"{whole:.2f}")
        return (cost.name, *rates, f"{cost.whole_s * 1e6:.0f}")

    firings, idle = sum(map(len, fired)) / CUSTOMERS, sum(not each for each in fired) / CUSTOMERS
    show(
        f"{CUSTOMERS:,} customers with 8 records each, 100 rules, {firings:.1f} firings a customer "
        f"and none at all for {idle:.0%}, one core",
        ("customers/s", "facts prepared", "of by hand", "from the dossier", "of by hand", "us each"),
        [*map(row, (*_own(rules, dossiers), measure, *costs))],
        command=COMMAND,
    )


def _entrants(rules: Sequence[BenchRule]) -> Iterator[Entrant]:
    """Python by hand, then those that are installed; of the others, how to have them."""
    yield Entrant(name="Python by hand", peer=by_hand.peer(rules), customers=CUSTOMERS)
    for package, (tried, customers) in PACKAGES.items():
        try:
            name = f"{package} {version(package)}"
        except PackageNotFoundError:
            print(f"{package} is not installed and left out: pip install {package}=={tried}")
            continue
        peer = importlib.import_module(f"bench.peers.by_{package.replace('-', '_')}").peer(rules)
        fewer = f", {customers:,} customers" if customers < CUSTOMERS else ""
        yield Entrant(name=name + fewer, peer=peer, customers=customers)


def _same(entrant: Entrant, dossiers: Sequence[Dossier], fired: Sequence[Fired]) -> None:
    """Raises AssertionError unless a peer fires as Relance does."""
    for each, ours in zip(dossiers[: entrant.customers], fired, strict=False):
        theirs = entrant.peer.fired(entrant.peer.prepared(each))
        assert ours == theirs, f"{entrant.name}, customer {each.id}: {sorted(ours ^ theirs)}"


def _cost(entrant: Entrant, dossiers: Sequence[Dossier]) -> Cost:
    peer, asked = entrant.peer, dossiers[: entrant.customers]
    prepared = [peer.prepared(each) for each in asked]
    return Cost(
        name=entrant.name,
        prepared_s=min(_seconds(prepared, peer.fired) for _ in range(ROUNDS)),
        whole_s=min(_seconds(asked, lambda each: peer.fired(peer.prepared(each))) for _ in range(ROUNDS)),
    )


def _own(rules: Sequence[BenchRule], dossiers: Sequence[Dossier]) -> Iterator[Cost]:
    """What the whole decision costs, next check included; what is prepared is the reading, taken off it.

    Relance remembers values that it read and questions that it asked its engine. So each time begins with a rule base
    that remembers nothing, and is followed by one in which all is known.
    """

    def first_and_again(work: Callable[[RuleBase, Dossier], object]) -> tuple[float, float]:
        with rule_base(rules) as base:
            base.decide(dossier(CUSTOMERS), now=NOW)  # compiles the rules
            first_s, again_s = (_seconds(dossiers, lambda each: work(base, each)) for _ in range(2))
        return first_s, again_s

    whole = [first_and_again(lambda base, each: base.decide(each, now=NOW)) for _ in range(ROUNDS)]
    reading = [first_and_again(lambda base, each: base.facts(each, now=NOW)) for _ in range(ROUNDS)]
    for pass_, name in enumerate(("Relance", "Relance, all known")):
        whole_s, reading_s = (min(each[pass_] for each in rounds) for rounds in (whole, reading))
        yield Cost(name=name, prepared_s=whole_s - reading_s, whole_s=whole_s)


def _seconds(items: Sequence[T], work: Callable[[T], object]) -> float:
    """CPU seconds for one of them."""
    gc.collect()
    gc.freeze()  # else collections walk through all customers again and again, as no worker holds them
    begin = process_time()
    for item in items:
        work(item)
    return (process_time() - begin) / len(items)
