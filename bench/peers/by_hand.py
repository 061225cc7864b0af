"""Functions written by hand: no one but a programmer can read, check or change them, and nothing is faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.company import BenchRule
from bench.peers.peer import Fired, Peer, PlainFacts, by_kind, plain_facts

OPEN = "('new', 'proposal', 'negotiation')"
RULES: Mapping[str, str] = {
    "new-customer": "f['segment'] in ('private', 'sme') and -N <= f['since'] <= 0",
    "weak-corporate": "f['segment'] == 'corporate' and f['score'] < N",
    "ending": "f['status'] == 'active' and not f['auto_renews'] and 0 <= f['end_date'] <= N",
    "cancelled": "f['status'] == 'cancelled' and f['annual_value'] > N",
    "stale": f"f['stage'] in {OPEN} and f['opened_on'] < -N",
    "negotiated": "f['stage'] == 'negotiation' and f['amount'] >= N",
    "old-draft": "f['status'] == 'draft' and f['sent_on'] < -N",
    "big-quote": "f['status'] != 'rejected' and f['amount'] > N",
    "overdue": "f['status'] == 'open' and f['due_date'] < -N",
    "big-invoice": "f['status'] == 'open' and f['amount'] > N",
    "severe": "f['status'] == 'open' and f['severity'] == 'high' and f['opened_on'] < -N",
    "visited": "f['type'] == 'visit' and -N <= f['on'] <= 0",
    "unrenewed": "f['status'] == 'active' and 0 <= f['end_date'] <= N"
    " and not any(o['contract'] == f['id'] and o['type'] == 'renewal' for o in of['opportunity'])",
    "unreminded": "f['status'] == 'open' and f['due_date'] < -N"
    " and not any(o['invoice'] == f['id'] and -30 <= o['on'] <= 0 for o in of['interaction'])",
    "uncalled": "f['status'] == 'sent' and f['sent_on'] < -N"
    " and not any(o['quote'] == f['id'] and o['type'] == 'call' for o in of['interaction'])",
    "unanswered": "f['status'] == 'open' and f['opened_on'] < -N"
    " and not any(o['complaint'] == f['id'] for o in of['interaction'])",
    "unquoted": "f['stage'] == 'proposal' and -N <= f['opened_on'] <= 0"
    " and not any(o['opportunity'] == f['id'] for o in of['quote'])",
    "unsold": f"f['score'] < N and not any(o['stage'] in {OPEN} for o in of['opportunity'])",
    "troubled": "f['status'] == 'active' and 0 <= f['end_date'] <= N"
    " and any(o['status'] == 'open' for o in of['complaint'])"
    " and any(o['contract'] == f['id'] and o['status'] == 'open' for o in of['invoice'])",
    "nearly-won": f"f['stage'] in {OPEN} and f['amount'] >= N"
    " and any(o['opportunity'] == f['id'] and o['status'] == 'sent' for o in of['quote'])"
    " and any(-60 <= o['on'] <= 0 for o in of['interaction'])",
}


def peer(rules: Sequence[BenchRule]) -> Peer[PlainFacts]:
    kinds = {
        kind: [(rule.id, eval(f"lambda f, of: {rule.told(RULES[rule.name])}")) for rule in of_kind]
        for kind, of_kind in by_kind(rules).items()
    }

    def fired(of: PlainFacts) -> Fired:
        return {
            (rule, f["id"]) for kind, tests in kinds.items() for f in of[kind] for rule, holds in tests if holds(f, of)
        }

    return Peer(prepared=plain_facts, fired=fired)
