"""Common Expression Language, the one in Rust: one compiled program for all rules, executed once for a customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import cel  # pyright: ignore[reportMissingImports]

from bench.company import BenchRule
from bench.peers.peer import Fired, Peer, PlainFacts, by_kind, fired_in, plain_facts
from domain.record import Dossier

OPEN = "['new', 'proposal', 'negotiation']"
RULES: Mapping[str, str] = {
    "new-customer": "f.segment in ['private', 'sme'] && f.since <= 0 && f.since >= -N",
    "weak-corporate": "f.segment == 'corporate' && f.score < N",
    "ending": "f.status == 'active' && !f.auto_renews && f.end_date >= 0 && f.end_date <= N",
    "cancelled": "f.status == 'cancelled' && f.annual_value > N",
    "stale": f"f.stage in {OPEN} && f.opened_on < -N",
    "negotiated": "f.stage == 'negotiation' && f.amount >= N",
    "old-draft": "f.status == 'draft' && f.sent_on < -N",
    "big-quote": "f.status != 'rejected' && f.amount > N",
    "overdue": "f.status == 'open' && f.due_date < -N",
    "big-invoice": "f.status == 'open' && f.amount > N",
    "severe": "f.status == 'open' && f.severity == 'high' && f.opened_on < -N",
    "visited": "f.type == 'visit' && f.on <= 0 && f.on >= -N",
    "unrenewed": "f.status == 'active' && f.end_date >= 0 && f.end_date <= N"
    " && !opportunity.exists(o, o.contract == f.id && o.type == 'renewal')",
    "unreminded": "f.status == 'open' && f.due_date < -N"
    " && !interaction.exists(o, o.invoice == f.id && o.on <= 0 && o.on >= -30)",
    "uncalled": "f.status == 'sent' && f.sent_on < -N && !interaction.exists(o, o.quote == f.id && o.type == 'call')",
    "unanswered": "f.status == 'open' && f.opened_on < -N && !interaction.exists(o, o.complaint == f.id)",
    "unquoted": "f.stage == 'proposal' && f.opened_on <= 0 && f.opened_on >= -N"
    " && !quote.exists(o, o.opportunity == f.id)",
    "unsold": f"f.score < N && !opportunity.exists(o, o.stage in {OPEN})",
    "troubled": "f.status == 'active' && f.end_date >= 0 && f.end_date <= N"
    " && complaint.exists(o, o.status == 'open')"
    " && invoice.exists(o, o.contract == f.id && o.status == 'open')",
    "nearly-won": f"f.stage in {OPEN} && f.amount >= N"
    " && quote.exists(o, o.opportunity == f.id && o.status == 'sent')"
    " && interaction.exists(o, o.on <= 0 && o.on >= -60)",
}

Facts: TypeAlias = tuple[PlainFacts, Any]
"""(the facts, the same as a cel.Context)"""


def peer(rules: Sequence[BenchRule]) -> Peer[Facts]:
    kinds = by_kind(rules)
    ids = {kind: [rule.id for rule in of_kind] for kind, of_kind in kinds.items()}
    rows = (
        f"{kind}.map(f, [{', '.join(rule.told(RULES[rule.name]) for rule in of_kind)}])"
        for kind, of_kind in kinds.items()
    )
    table = cel.compile(f"[{', '.join(rows)}]")

    def prepared(dossier: Dossier) -> Facts:
        facts = plain_facts(dossier)
        return facts, cel.Context(facts)

    def fired(prepared: Facts) -> Fired:
        facts, context = prepared
        return fired_in(table.execute(context), ids, facts)

    return Peer(prepared=prepared, fired=fired)
