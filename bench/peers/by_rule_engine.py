"""rule-engine (Python): a rule is asked about each fact, which carries the customer's other facts with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import rule_engine  # pyright: ignore[reportMissingImports]

from bench.company import BenchRule
from bench.peers.peer import Fired, Peer, PlainFact, by_kind, plain_facts
from domain.record import Dossier

OPEN = "['new', 'proposal', 'negotiation']"
RULES: Mapping[str, str] = {
    "new-customer": "segment in ['private', 'sme'] and since <= 0 and since >= -N",
    "weak-corporate": "segment == 'corporate' and score < N",
    "ending": "status == 'active' and not auto_renews and end_date >= 0 and end_date <= N",
    "cancelled": "status == 'cancelled' and annual_value > N",
    "stale": f"stage in {OPEN} and opened_on < -N",
    "negotiated": "stage == 'negotiation' and amount >= N",
    "old-draft": "status == 'draft' and sent_on < -N",
    "big-quote": "status != 'rejected' and amount > N",
    "overdue": "status == 'open' and due_date < -N",
    "big-invoice": "status == 'open' and amount > N",
    "severe": "status == 'open' and severity == 'high' and opened_on < -N",
    "visited": "type == 'visit' and on <= 0 and on >= -N",
    "unrenewed": "status == 'active' and end_date >= 0 and end_date <= N"
    " and not $any([o for o in opportunity if o['contract'] == id and o['type'] == 'renewal'])",
    "unreminded": "status == 'open' and due_date < -N"
    " and not $any([o for o in interaction if o['invoice'] == id and o['on'] <= 0 and o['on'] >= -30])",
    "uncalled": "status == 'sent' and sent_on < -N"
    " and not $any([o for o in interaction if o['quote'] == id and o['type'] == 'call'])",
    "unanswered": "status == 'open' and opened_on < -N and not $any([o for o in interaction if o['complaint'] == id])",
    "unquoted": "stage == 'proposal' and opened_on <= 0 and opened_on >= -N"
    " and not $any([o for o in quote if o['opportunity'] == id])",
    "unsold": f"score < N and not $any([o for o in opportunity if o['stage'] in {OPEN}])",
    "troubled": "status == 'active' and end_date >= 0 and end_date <= N"
    " and $any([o for o in complaint if o['status'] == 'open'])"
    " and $any([o for o in invoice if o['contract'] == id and o['status'] == 'open'])",
    "nearly-won": f"stage in {OPEN} and amount >= N"
    " and $any([o for o in quote if o['opportunity'] == id and o['status'] == 'sent'])"
    " and $any([o for o in interaction if o['on'] <= 0 and o['on'] >= -60])",
}

Facts: TypeAlias = list[tuple[str, PlainFact]]
"""(kind, a fact's own fields beside the lists of each kind)"""


def prepared(dossier: Dossier) -> Facts:
    facts = plain_facts(dossier)
    return [(kind, {**facts, **fact}) for kind, of_kind in facts.items() for fact in of_kind]


def peer(rules: Sequence[BenchRule]) -> Peer[Facts]:
    context = rule_engine.Context(resolver=lambda fact, name: fact[name], mapping_attribute_lookup=False)
    kinds = {
        kind: [(rule.id, rule_engine.Rule(rule.told(RULES[rule.name]), context)) for rule in of_kind]
        for kind, of_kind in by_kind(rules).items()
    }

    def fired(facts: Facts) -> Fired:
        return {(id_, fact["id"]) for kind, fact in facts for id_, rule in kinds[kind] if rule.matches(fact)}

    return Peer(prepared=prepared, fired=fired)
