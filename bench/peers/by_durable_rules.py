"""durable_rules (C) on its own: all rules in one ruleset, the facts of one customer in one batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import durable_rules_engine as durable

from bench.company import BenchRule
from bench.peers.peer import Fired, Peer, plain_facts
from domain.record import Dossier

Pattern: TypeAlias = dict[str, Any]
DENIED = ("opportunity", "quote", "interaction")  # kinds that a rule may wish absent


def _is(kind: str, *terms: Pattern) -> Pattern:
    return {"$and": [{"t": kind}, *terms]}


def _subject(kind: str, *terms: Pattern) -> Pattern:
    return {"s": _is(kind, *terms)}


def _no(kind: str, *terms: Pattern) -> Pattern:
    return {"none$not": _is(f"!{kind}", *terms)}


def _above(field: str, bound: float) -> Pattern:
    return {"$gt": {field: bound}}


def _at_least(field: str, bound: float) -> Pattern:
    return {"$gte": {field: bound}}


def _below(field: str, bound: float) -> Pattern:
    return {"$lt": {field: bound}}


def _within(field: str, low: int, high: int) -> tuple[Pattern, Pattern]:
    return {"$gte": {field: low}}, {"$lte": {field: high}}


def _any(field: str, *values: str) -> Pattern:
    return {"$or": [{field: value} for value in values]}


def _same(field: str, of_subject: str = "key") -> Pattern:
    return {field: {"s": of_subject}}


OPEN = _any("stage", "new", "proposal", "negotiation")
ACTIVE, UNPAID = {"status": "active"}, {"status": "open"}
RULES: Mapping[str, Callable[[int], list[Pattern]]] = {
    "new-customer": lambda n: [_subject("customer", *_within("since", -n, 0), _any("segment", "private", "sme"))],
    "weak-corporate": lambda n: [_subject("customer", {"segment": "corporate"}, _below("score", n))],
    "ending": lambda n: [_subject("contract", ACTIVE, {"auto_renews": False}, *_within("end_date", 0, n))],
    "cancelled": lambda n: [_subject("contract", {"status": "cancelled"}, _above("annual_value", n))],
    "stale": lambda n: [_subject("opportunity", _below("opened_on", -n), OPEN)],
    "negotiated": lambda n: [_subject("opportunity", {"stage": "negotiation"}, _at_least("amount", n))],
    "old-draft": lambda n: [_subject("quote", {"status": "draft"}, _below("sent_on", -n))],
    "big-quote": lambda n: [_subject("quote", {"$neq": {"status": "rejected"}}, _above("amount", n))],
    "overdue": lambda n: [_subject("invoice", UNPAID, _below("due_date", -n))],
    "big-invoice": lambda n: [_subject("invoice", UNPAID, _above("amount", n))],
    "severe": lambda n: [_subject("complaint", {"status": "open"}, {"severity": "high"}, _below("opened_on", -n))],
    "visited": lambda n: [_subject("interaction", {"type": "visit"}, *_within("on", -n, 0))],
    "unrenewed": lambda n: [
        _subject("contract", ACTIVE, *_within("end_date", 0, n)),
        _no("opportunity", {"type": "renewal"}, _same("contract")),
    ],
    "unreminded": lambda n: [
        _subject("invoice", UNPAID, _below("due_date", -n)),
        _no("interaction", *_within("on", -30, 0), _same("invoice")),
    ],
    "uncalled": lambda n: [
        _subject("quote", {"status": "sent"}, _below("sent_on", -n)),
        _no("interaction", {"type": "call"}, _same("quote")),
    ],
    "unanswered": lambda n: [
        _subject("complaint", {"status": "open"}, _below("opened_on", -n)),
        _no("interaction", _same("complaint")),
    ],
    "unquoted": lambda n: [
        _subject("opportunity", {"stage": "proposal"}, *_within("opened_on", -n, 0)),
        _no("quote", _same("opportunity")),
    ],
    "unsold": lambda n: [_subject("customer", _below("score", n)), _no("opportunity", OPEN, _same("customer"))],
    "troubled": lambda n: [
        _subject("contract", ACTIVE, *_within("end_date", 0, n)),
        {"c": _is("complaint", {"status": "open"}, _same("customer", "customer"))},
        {"i": _is("invoice", UNPAID, _same("contract"))},
    ],
    "nearly-won": lambda n: [
        _subject("opportunity", _at_least("amount", n), OPEN),
        {"q": _is("quote", {"status": "sent"}, _same("opportunity"))},
        {"i": _is("interaction", *_within("on", -60, 0), _same("customer", "customer"))},
    ],
}


def prepared(dossier: Dossier) -> str:
    """The batch as JSON, in the order in which durable_rules must get it."""
    rows = [
        {**fact, "t": kind, "key": fact["id"], "customer": dossier.id}
        for kind, of_kind in plain_facts(dossier).items()
        for fact in of_kind
    ]
    # What `none` reads must be asserted before all others.
    copies = [row | {"t": f"!{row['t']}"} for row in rows if row["t"] in DENIED]
    batch = [{"t": "~begin"}, *copies, *rows, {"t": "~end"}]
    return json.dumps([row | {"id": number, "sid": "0"} for number, row in enumerate(batch)])


def peer(rules: Sequence[BenchRule]) -> Peer[str]:
    definition: dict[str, object] = {rule.id: {"all": RULES[rule.name](rule.n)} for rule in rules}
    definition["~end"] = {"all": [{"e": {"t": "~end"}}], "pri": 1000}  # a state that nothing fired in cannot be deleted
    handle = durable.create_ruleset("bench", json.dumps(definition))

    def fired(batch: str) -> Fired:
        found: Fired = set()
        _, offset = durable.assert_facts(handle, batch)
        answer = durable.start_action_for_state(handle, offset)
        message = answer[1] if answer else None
        while message:
            found.update((rule, bound["s"]["key"]) for rule, bound in json.loads(message).items() if rule != "~end")
            message = durable.complete_and_start_action(handle, offset)
        durable.delete_state(handle, "0")
        return found

    return Peer(prepared=prepared, fired=fired)
