"""zen-engine (Rust): one compiled expression for all rules, evaluated once for a customer.

Its decision graphs answer the same several times slower, and an expression for each rule twenty times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import zen  # pyright: ignore[reportMissingImports]

from bench.company import BenchRule
from bench.peers.peer import Fired, Peer, PlainFacts, by_kind, fired_in, plain_facts

OPEN = "['new', 'proposal', 'negotiation']"
RULES: Mapping[str, str] = {
    "new-customer": "f.segment in ['private', 'sme'] and f.since <= 0 and f.since >= -N",
    "weak-corporate": "f.segment == 'corporate' and f.score < N",
    "ending": "f.status == 'active' and not f.auto_renews and f.end_date >= 0 and f.end_date <= N",
    "cancelled": "f.status == 'cancelled' and f.annual_value > N",
    "stale": f"f.stage in {OPEN} and f.opened_on < -N",
    "negotiated": "f.stage == 'negotiation' and f.amount >= N",
    "old-draft": "f.status == 'draft' and f.sent_on < -N",
    "big-quote": "f.status != 'rejected' and f.amount > N",
    "overdue": "f.status == 'open' and f.due_date < -N",
    "big-invoice": "f.status == 'open' and f.amount > N",
    "severe": "f.status == 'open' and f.severity == 'high' and f.opened_on < -N",
    "visited": "f.type == 'visit' and f.on <= 0 and f.on >= -N",
    "unrenewed": "f.status == 'active' and f.end_date >= 0 and f.end_date <= N"
    " and not some(opportunity as o, o.contract == f.id and o.type == 'renewal')",
    "unreminded": "f.status == 'open' and f.due_date < -N"
    " and not some(interaction as o, o.invoice == f.id and o.on <= 0 and o.on >= -30)",
    "uncalled": "f.status == 'sent' and f.sent_on < -N"
    " and not some(interaction as o, o.quote == f.id and o.type == 'call')",
    "unanswered": "f.status == 'open' and f.opened_on < -N and not some(interaction as o, o.complaint == f.id)",
    "unquoted": "f.stage == 'proposal' and f.opened_on <= 0 and f.opened_on >= -N"
    " and not some(quote as o, o.opportunity == f.id)",
    "unsold": f"f.score < N and not some(opportunity as o, o.stage in {OPEN})",
    "troubled": "f.status == 'active' and f.end_date >= 0 and f.end_date <= N"
    " and some(complaint as o, o.status == 'open')"
    " and some(invoice as o, o.contract == f.id and o.status == 'open')",
    "nearly-won": f"f.stage in {OPEN} and f.amount >= N"
    " and some(quote as o, o.opportunity == f.id and o.status == 'sent')"
    " and some(interaction as o, o.on <= 0 and o.on >= -60)",
}


def peer(rules: Sequence[BenchRule]) -> Peer[PlainFacts]:
    kinds = by_kind(rules)
    ids = {kind: [rule.id for rule in of_kind] for kind, of_kind in kinds.items()}
    rows = (
        f"map({kind} as f, [{', '.join(rule.told(RULES[rule.name]) for rule in of_kind)}])"
        for kind, of_kind in kinds.items()
    )
    table = zen.compile_expression(f"[{', '.join(rows)}]")

    def fired(facts: PlainFacts) -> Fired:
        return fired_in(table.evaluate(facts), ids, facts)

    return Peer(prepared=plain_facts, fired=fired)
