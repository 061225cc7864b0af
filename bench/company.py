"""A hundred rules of Relance, and customers with eight records each. `bench/peers` has the rules in other languages."""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.record import Dossier, Record, Scalar
from rules.loader import load
from rules.rulebase import RuleBase

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
TODAY = NOW.date()

MODEL = """
company: Bench
timezone: Europe/Zurich
---
model:
  customer: {segment: {enum: [private, sme, corporate]}, score: number, since: date}
  contract: {status: {enum: [active, cancelled, expired]}, end_date: date, annual_value: money, auto_renews: yesno}
  opportunity:
    contract: ref contract
    type: {enum: [new, renewal, upsell]}
    stage: {enum: [new, proposal, negotiation, won, lost], groups: {open: [new, proposal, negotiation]}}
    opened_on: date
    amount: money
  quote: {opportunity: ref opportunity, status: {enum: [draft, sent, accepted, rejected]}, sent_on: date, amount: money}
  invoice: {contract: ref contract, status: {enum: [open, paid]}, due_date: date, amount: money}
  complaint: {status: {enum: [open, closed]}, severity: {enum: [low, medium, high]}, opened_on: date}
  interaction:
    invoice: ref invoice
    quote: ref quote
    complaint: ref complaint
    type: {enum: [call, mail, visit]}
    on: date
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRule:
    """A rule, the same in every language but for its number."""

    name: str
    n: int
    kind: str
    yaml: str

    @property
    def id(self) -> str:
        return f"{self.name}-{self.n}"

    def told(self, text: str) -> str:
        """A text in which the number is called N."""
        return re.sub(r"\bN\b", str(self.n), text)


WITHIN = (20, 40, 60, 80, 100)  # days
SINCE = (140, 160, 180, 200, 220)  # days
AMOUNTS = (75_000, 80_000, 85_000, 90_000, 95_000)
SCORES = (4, 6, 8, 10, 12)

# Twelve on one record, six with `unless`, two that join three kinds: each with five numbers.
TEMPLATES: Mapping[str, tuple[str, Sequence[int], str]] = {
    "new-customer": ("customer", SINCE, "when: {segment: [private, sme], since: in the last N days}"),
    "weak-corporate": ("customer", SCORES, "when: {segment: corporate, score: below N}"),
    "ending": ("contract", WITHIN, "when: {status: active, auto_renews: no, end_date: in the next N days}"),
    "cancelled": ("contract", AMOUNTS, "when: {status: cancelled, annual_value: above N}"),
    "stale": ("opportunity", SINCE, "when: {stage: open, opened_on: more than N days ago}"),
    "negotiated": ("opportunity", AMOUNTS, "when: {stage: negotiation, amount: at least N}"),
    "old-draft": ("quote", SINCE, "when: {status: draft, sent_on: more than N days ago}"),
    "big-quote": ("quote", AMOUNTS, "when: {status: not rejected, amount: above N}"),
    "overdue": ("invoice", SINCE, "when: {status: open, due_date: more than N days ago}"),
    "big-invoice": ("invoice", AMOUNTS, "when: {status: open, amount: above N}"),
    "severe": ("complaint", SINCE, "when: {status: open, severity: high, opened_on: more than N days ago}"),
    "visited": ("interaction", WITHIN, "when: {type: visit, on: in the last N days}"),
    "unrenewed": (
        "contract",
        WITHIN,
        "when: {status: active, end_date: in the next N days}\nunless: [opportunity: {contract: this, type: renewal}]",
    ),
    "unreminded": (
        "invoice",
        SINCE,
        "when: {status: open, due_date: more than N days ago}\n"
        "unless: [interaction: {invoice: this, on: in the last 30 days}]",
    ),
    "uncalled": (
        "quote",
        SINCE,
        "when: {status: sent, sent_on: more than N days ago}\nunless: [interaction: {quote: this, type: call}]",
    ),
    "unanswered": (
        "complaint",
        SINCE,
        "when: {status: open, opened_on: more than N days ago}\nunless: [interaction: {complaint: this}]",
    ),
    "unquoted": (
        "opportunity",
        WITHIN,
        "when: {stage: proposal, opened_on: in the last N days}\nunless: [quote: {opportunity: this}]",
    ),
    "unsold": ("customer", SCORES, "when: {score: below N}\nunless: [opportunity: {customer: this, stage: open}]"),
    "troubled": (
        "contract",
        WITHIN,
        "when: {status: active, end_date: in the next N days}\n"
        "with: [complaint: {customer: same, status: open}, invoice: {contract: this, status: open}]",
    ),
    "nearly-won": (
        "opportunity",
        AMOUNTS,
        "when: {stage: open, amount: at least N}\n"
        "with: [quote: {opportunity: this, status: sent}, interaction: {customer: same, on: in the last 60 days}]",
    ),
}


def bench_rules() -> Iterator[BenchRule]:
    for name, (kind, numbers, yaml) in TEMPLATES.items():
        for n in numbers:
            yield BenchRule(name=name, n=n, kind=kind, yaml=yaml)


@contextmanager
def rule_base(rules: Sequence[BenchRule]) -> Generator[RuleBase]:
    """The rules as Relance loads them."""
    say = "then: {recommend: win, say: Have a look}"
    pack = "\n---\n".join([MODEL, *(f"rule: {r.id}\nfor each: {r.kind}\n{r.told(r.yaml)}\n{say}" for r in rules)])
    with TemporaryDirectory(prefix="relance-bench-") as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(pack, encoding="utf-8")
        base = load([file])
    try:
        yield base
    finally:
        base.engine.close()


# --- customers ---


def dossier(number: int) -> Dossier:
    """A customer with eight records; the same number is the same customer."""
    dice = random.Random(number)
    id_ = f"K{number}"

    def day(first: int, last: int) -> str:
        return (TODAY + timedelta(days=dice.randint(first, last))).isoformat()

    def amount() -> str:
        return f"{dice.randint(100, 100_000)}.00"

    def one_of(*words: str) -> str:
        return dice.choice(words)

    contract, opportunity, quote, invoices = f"C{number}", f"O{number}", f"Q{number}", (f"I{number}a", f"I{number}b")
    complaint = f"B{number}"
    fields: Mapping[tuple[str, str], Mapping[str, Scalar]] = {
        ("customer", id_): {
            "name": f"Customer {number}",
            "segment": one_of("private", "private", "sme", "corporate"),
            "score": dice.randint(0, 100),
            "since": day(-2000, -1),
        },
        ("contract", contract): {
            "status": one_of("active", "active", "active", "cancelled", "expired"),
            "end_date": day(-100, 700),
            "annual_value": amount(),
            "auto_renews": dice.random() < 0.5,
        },
        ("opportunity", opportunity): {
            "contract": contract,
            "type": one_of("new", "renewal", "upsell"),
            "stage": one_of("new", "proposal", "negotiation", "won", "won", "won", "lost", "lost"),
            "opened_on": day(-260, -1),
            "amount": amount(),
        },
        ("quote", quote): {
            **({"opportunity": opportunity} if dice.random() < 0.7 else {}),
            "status": one_of("draft", "sent", "sent", "accepted", "rejected"),
            "sent_on": day(-240, -1),
            "amount": amount(),
        },
        **{
            ("invoice", invoice): {
                "contract": contract,
                "status": one_of("open", "paid", "paid", "paid", "paid"),
                "due_date": day(-240, 60),
                "amount": amount(),
            }
            for invoice in invoices
        },
        ("complaint", complaint): {
            "status": one_of("open", "closed", "closed", "closed"),
            "severity": one_of("low", "medium", "high"),
            "opened_on": day(-300, -1),
        },
        ("interaction", f"N{number}"): {
            **dice.choice(({"quote": quote}, {"invoice": invoices[0]}, {"complaint": complaint}, {})),
            "type": one_of("call", "mail", "mail", "visit"),
            "on": day(-400, -1),
        },
    }
    return Dossier(
        id=id_,
        records=tuple(
            Record(kind=kind, id=own, customer=None if kind == "customer" else id_, fields=values)
            for (kind, own), values in fields.items()
        ),
    )
