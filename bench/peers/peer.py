"""What every peer is made of, and the facts as their users would read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeAlias, TypeVar

from bench.company import TODAY, BenchRule
from domain.record import Dossier

P = TypeVar("P")
PlainFact: TypeAlias = dict[str, Any]
PlainFacts: TypeAlias = dict[str, list[PlainFact]]
"""kind -> its records"""
Fired: TypeAlias = set[tuple[str, str]]
"""(rule, id of the subject)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer(Generic[P]):
    """An engine with all rules in it. `prepared` may do whatever needs no rule; `fired` is the engine's own work."""

    prepared: Callable[[Dossier], P]
    fired: Callable[[P], Fired]


def _days(recorded: Any) -> int:
    return date.fromisoformat(recorded).toordinal() - TODAY.toordinal()


READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("since", "end_date", "opened_on", "sent_on", "due_date", "on"), _days),
    **dict.fromkeys(("amount", "annual_value"), float),
}
NO_REFS: Mapping[str, PlainFact] = {  # most engines have no missing values, and two of them must not join
    "quote": {"opportunity": "-"},
    "interaction": {"quote": "-", "invoice": "-", "complaint": "-"},
}


def plain_facts(dossier: Dossier) -> PlainFacts:
    """Dates as days from today, amounts as floats: what every engine compares fastest."""
    of: PlainFacts = {}
    for record in dossier.records:
        fact: PlainFact = {"id": record.id, **NO_REFS.get(record.kind, {})}
        for name, recorded in record.fields.items():
            reader = READERS.get(name)
            fact[name] = reader(recorded) if reader else recorded
        of.setdefault(record.kind, []).append(fact)
    return of


def by_kind(rules: Iterable[BenchRule]) -> dict[str, list[BenchRule]]:
    kinds: dict[str, list[BenchRule]] = {}
    for rule in rules:
        kinds.setdefault(rule.kind, []).append(rule)
    return kinds


def fired_in(table: Iterable[Sequence[Sequence[bool]]], kinds: Mapping[str, list[str]], facts: PlainFacts) -> Fired:
    """From a row of answers for each fact of each kind, one for each rule."""
    return {
        (rule, fact["id"])
        for (kind, ids), rows in zip(kinds.items(), table, strict=True)
        for fact, row in zip(facts[kind], rows, strict=True)
        for rule, holds in zip(ids, row, strict=True)
        if holds
    }
