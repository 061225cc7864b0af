"""CLIPS (C) by clipspy: the facts of one customer in, run, the facts out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import clips  # pyright: ignore[reportMissingImports]
from clips._clips import lib  # pyright: ignore[reportMissingImports]
from clips.facts import Fact  # pyright: ignore[reportMissingImports]

from bench.company import BenchRule, dossier
from bench.peers.peer import Fired, Peer, PlainFacts, plain_facts

OPEN = '"new"|"proposal"|"negotiation"'
RULES: Mapping[str, str] = {
    "new-customer": '(customer (id ?id) (segment "private"|"sme") (since ?n&:(<= -N ?n 0)))',
    "weak-corporate": '(customer (id ?id) (segment "corporate") (score ?n&:(< ?n N)))',
    "ending": '(contract (id ?id) (status "active") (auto_renews FALSE) (end_date ?n&:(<= 0 ?n N)))',
    "cancelled": '(contract (id ?id) (status "cancelled") (annual_value ?n&:(> ?n N)))',
    "stale": f"(opportunity (id ?id) (stage {OPEN}) (opened_on ?n&:(< ?n -N)))",
    "negotiated": '(opportunity (id ?id) (stage "negotiation") (amount ?n&:(>= ?n N)))',
    "old-draft": '(quote (id ?id) (status "draft") (sent_on ?n&:(< ?n -N)))',
    "big-quote": '(quote (id ?id) (status ~"rejected") (amount ?n&:(> ?n N)))',
    "overdue": '(invoice (id ?id) (status "open") (due_date ?n&:(< ?n -N)))',
    "big-invoice": '(invoice (id ?id) (status "open") (amount ?n&:(> ?n N)))',
    "severe": '(complaint (id ?id) (status "open") (severity "high") (opened_on ?n&:(< ?n -N)))',
    "visited": '(interaction (id ?id) (type "visit") (on ?n&:(<= -N ?n 0)))',
    "unrenewed": '(contract (id ?id) (status "active") (end_date ?n&:(<= 0 ?n N)))'
    ' (not (opportunity (contract ?id) (type "renewal")))',
    "unreminded": '(invoice (id ?id) (status "open") (due_date ?n&:(< ?n -N)))'
    " (not (interaction (invoice ?id) (on ?m&:(<= -30 ?m 0))))",
    "uncalled": '(quote (id ?id) (status "sent") (sent_on ?n&:(< ?n -N)))'
    ' (not (interaction (quote ?id) (type "call")))',
    "unanswered": '(complaint (id ?id) (status "open") (opened_on ?n&:(< ?n -N))) (not (interaction (complaint ?id)))',
    "unquoted": '(opportunity (id ?id) (stage "proposal") (opened_on ?n&:(<= -N ?n 0)))'
    " (not (quote (opportunity ?id)))",
    "unsold": f"(customer (id ?id) (score ?n&:(< ?n N))) (not (opportunity (stage {OPEN})))",
    "troubled": '(contract (id ?id) (status "active") (end_date ?n&:(<= 0 ?n N)))'
    ' (exists (complaint (status "open"))) (exists (invoice (contract ?id) (status "open")))',
    "nearly-won": f"(opportunity (id ?id) (stage {OPEN}) (amount ?n&:(>= ?n N)))"
    ' (exists (quote (opportunity ?id) (status "sent"))) (exists (interaction (on ?m&:(<= -60 ?m 0))))',
}


def peer(rules: Sequence[BenchRule]) -> Peer[PlainFacts]:
    # 1.0.6 keeps every fact for ever, as it calls this with one argument too many: each run is slower than the last.
    Fact.__del__ = lambda self: lib.ReleaseFact(self._fact)  # pyright: ignore[reportPrivateUsage]
    engine = clips.Environment()
    found: Fired = set()
    engine.define_function(lambda rule, id_: found.add((rule, id_)), name="fired")
    example = plain_facts(dossier(0))
    for kind, (fact, *_) in example.items():
        engine.build(f"(deftemplate {kind} {' '.join(f'(slot {name})' for name in fact)})")
    for rule in rules:
        engine.build(f'(defrule {rule.id} {rule.told(RULES[rule.name])} => (fired "{rule.id}" ?id))')
    templates = {kind: engine.find_template(kind) for kind in example}

    def fired(facts: PlainFacts) -> Fired:
        found.clear()
        for kind, of_kind in facts.items():
            for fact in of_kind:
                templates[kind].assert_fact(**fact)
        engine.run()
        engine.reset()
        return found.copy()

    return Peer(prepared=plain_facts, fired=fired)
