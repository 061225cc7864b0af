"""A hundred rules, each said three times, and customers with eight records each to read them on.

A rule is a line of YAML, a line of Python over the same typed facts, and a pattern for bare durable_rules over facts
that were turned into small integers and words beforehand. The two peers are what a programmer would write by hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from domain.record import Dossier, Record, Scalar
from rules.loader import load
from rules.model import Fact, Facts
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

Pattern: TypeAlias = dict[str, Any]
Holds: TypeAlias = Callable[[Fact, Facts, date], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A rule but for one number: `yaml` and `python` name it n."""

    kind: str
    numbers: Sequence[int]
    yaml: str
    python: str
    native: Callable[[int], list[Pattern]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRule:
    """One rule in three languages."""

    id: str
    kind: str
    yaml: str
    python: Holds
    native: list[Pattern]


def _is(kind: str, *terms: Pattern) -> Pattern:
    return {"$and": [{"t": kind}, *terms]}


def _at_least(field: str, bound: int) -> Pattern:
    return {"$gte": {field: bound}}


def _at_most(field: str, bound: int) -> Pattern:
    return {"$lte": {field: bound}}


def _open(field: str = "stage") -> Pattern:
    return {"$or": [{field: "new"}, {field: "proposal"}, {field: "negotiation"}]}


WITHIN = (20, 40, 60, 80, 100)  # days
SINCE = (140, 160, 180, 200, 220)  # days
AMOUNTS = (75_000, 80_000, 85_000, 90_000, 95_000)
SCORES = (4, 6, 8, 10, 12)

SINGLE = (
    Template(
        kind="customer",
        numbers=SCORES,
        yaml="when: {segment: corporate, score: below {n}}",
        python="f['segment'] == 'corporate' and f['score'] < N",
        native=lambda n: [{"s": _is("customer", {"segment": "corporate"}, _at_most("score", n - 1))}],
    ),
    Template(
        kind="customer",
        numbers=SINCE,
        yaml="when: {segment: [private, sme], since: in the last {n} days}",
        python="f['segment'] in ('private', 'sme') and f['since'] <= today <= f['since'] + DAYS",
        native=lambda n: [
            {
                "s": _is(
                    "customer",
                    _at_most("since", 0),
                    _at_least("since", -n),
                    {"$or": [{"segment": "private"}, {"segment": "sme"}]},
                )
            }
        ],
    ),
    Template(
        kind="contract",
        numbers=WITHIN,
        yaml="when: {status: active, auto_renews: no, end_date: in the next {n} days}",
        python="f['status'] == 'active' and not f['auto_renews'] and f['end_date'] - DAYS <= today <= f['end_date']",
        native=lambda n: [
            {
                "s": _is(
                    "contract",
                    {"status": "active"},
                    {"auto_renews": 0},
                    _at_least("end_date", 0),
                    _at_most("end_date", n),
                )
            }
        ],
    ),
    Template(
        kind="contract",
        numbers=AMOUNTS,
        yaml="when: {status: cancelled, annual_value: above {n}}",
        python="f['status'] == 'cancelled' and f['annual_value'] > N",
        native=lambda n: [{"s": _is("contract", {"status": "cancelled"}, _at_least("annual_value", n + 1))}],
    ),
    Template(
        kind="opportunity",
        numbers=SINCE,
        yaml="when: {stage: open, opened_on: more than {n} days ago}",
        python="f['stage'] in ('new', 'proposal', 'negotiation') and today > f['opened_on'] + DAYS",
        native=lambda n: [{"s": _is("opportunity", _at_most("opened_on", -n - 1), _open())}],
    ),
    Template(
        kind="opportunity",
        numbers=AMOUNTS,
        yaml="when: {stage: negotiation, amount: at least {n}}",
        python="f['stage'] == 'negotiation' and f['amount'] >= N",
        native=lambda n: [{"s": _is("opportunity", {"stage": "negotiation"}, _at_least("amount", n))}],
    ),
    Template(
        kind="quote",
        numbers=SINCE,
        yaml="when: {status: draft, sent_on: more than {n} days ago}",
        python="f['status'] == 'draft' and today > f['sent_on'] + DAYS",
        native=lambda n: [{"s": _is("quote", {"status": "draft"}, _at_most("sent_on", -n - 1))}],
    ),
    Template(
        kind="quote",
        numbers=AMOUNTS,
        yaml="when: {status: not rejected, amount: above {n}}",
        python="f['status'] != 'rejected' and f['amount'] > N",
        native=lambda n: [{"s": _is("quote", {"$neq": {"status": "rejected"}}, _at_least("amount", n + 1))}],
    ),
    Template(
        kind="invoice",
        numbers=SINCE,
        yaml="when: {status: open, due_date: more than {n} days ago}",
        python="f['status'] == 'open' and today > f['due_date'] + DAYS",
        native=lambda n: [{"s": _is("invoice", {"status": "open"}, _at_most("due_date", -n - 1))}],
    ),
    Template(
        kind="invoice",
        numbers=AMOUNTS,
        yaml="when: {status: open, amount: above {n}}",
        python="f['status'] == 'open' and f['amount'] > N",
        native=lambda n: [{"s": _is("invoice", {"status": "open"}, _at_least("amount", n + 1))}],
    ),
    Template(
        kind="complaint",
        numbers=SINCE,
        yaml="when: {status: open, severity: high, opened_on: more than {n} days ago}",
        python="f['status'] == 'open' and f['severity'] == 'high' and today > f['opened_on'] + DAYS",
        native=lambda n: [
            {"s": _is("complaint", {"status": "open"}, {"severity": "high"}, _at_most("opened_on", -n - 1))}
        ],
    ),
    Template(
        kind="interaction",
        numbers=WITHIN,
        yaml="when: {type: visit, on: in the last {n} days}",
        python="f['type'] == 'visit' and f['on'] <= today <= f['on'] + DAYS",
        native=lambda n: [{"s": _is("interaction", {"type": "visit"}, _at_most("on", 0), _at_least("on", -n))}],
    ),
)

UNLESS = (
    Template(
        kind="contract",
        numbers=WITHIN,
        yaml="when: {status: active, end_date: in the next {n} days}\n"
        "unless: [opportunity: {contract: this, type: renewal}]",
        python="f['status'] == 'active' and f['end_date'] - DAYS <= today <= f['end_date'] and not any("
        "o['contract'] == f['id'] and o['type'] == 'renewal' for o in facts.of['opportunity'])",
        native=lambda n: [
            {"s": _is("contract", {"status": "active"}, _at_least("end_date", 0), _at_most("end_date", n))},
            {"n$not": _is("!opportunity", {"type": "renewal"}, {"contract": {"s": "key"}})},
        ],
    ),
    Template(
        kind="invoice",
        numbers=SINCE,
        yaml="when: {status: open, due_date: more than {n} days ago}\n"
        "unless: [interaction: {invoice: this, on: in the last 30 days}]",
        python="f['status'] == 'open' and today > f['due_date'] + DAYS and not any("
        "o.get('invoice') == f['id'] and o['on'] <= today <= o['on'] + MONTH for o in facts.of['interaction'])",
        native=lambda n: [
            {"s": _is("invoice", {"status": "open"}, _at_most("due_date", -n - 1))},
            {"n$not": _is("!interaction", _at_most("on", 0), _at_least("on", -30), {"invoice": {"s": "key"}})},
        ],
    ),
    Template(
        kind="quote",
        numbers=SINCE,
        yaml="when: {status: sent, sent_on: more than {n} days ago}\nunless: [interaction: {quote: this, type: call}]",
        python="f['status'] == 'sent' and today > f['sent_on'] + DAYS and not any("
        "o.get('quote') == f['id'] and o['type'] == 'call' for o in facts.of['interaction'])",
        native=lambda n: [
            {"s": _is("quote", {"status": "sent"}, _at_most("sent_on", -n - 1))},
            {"n$not": _is("!interaction", {"type": "call"}, {"quote": {"s": "key"}})},
        ],
    ),
    Template(
        kind="complaint",
        numbers=SINCE,
        yaml="when: {status: open, opened_on: more than {n} days ago}\nunless: [interaction: {complaint: this}]",
        python="f['status'] == 'open' and today > f['opened_on'] + DAYS and not any("
        "o.get('complaint') == f['id'] for o in facts.of['interaction'])",
        native=lambda n: [
            {"s": _is("complaint", {"status": "open"}, _at_most("opened_on", -n - 1))},
            {"n$not": _is("!interaction", {"complaint": {"s": "key"}})},
        ],
    ),
    Template(
        kind="opportunity",
        numbers=WITHIN,
        yaml="when: {stage: proposal, opened_on: in the last {n} days}\nunless: [quote: {opportunity: this}]",
        python="f['stage'] == 'proposal' and f['opened_on'] <= today <= f['opened_on'] + DAYS and not any("
        "o.get('opportunity') == f['id'] for o in facts.of['quote'])",
        native=lambda n: [
            {"s": _is("opportunity", {"stage": "proposal"}, _at_most("opened_on", 0), _at_least("opened_on", -n))},
            {"n$not": _is("!quote", {"opportunity": {"s": "key"}})},
        ],
    ),
    Template(
        kind="customer",
        numbers=SCORES,
        yaml="when: {score: below {n}}\nunless: [opportunity: {customer: this, stage: open}]",
        python="f['score'] < N and not any("
        "o['stage'] in ('new', 'proposal', 'negotiation') for o in facts.of['opportunity'])",
        native=lambda n: [
            {"s": _is("customer", _at_most("score", n - 1))},
            {"n$not": _is("!opportunity", _open(), {"customer": {"s": "key"}})},
        ],
    ),
)

JOINS = (
    Template(
        kind="contract",
        numbers=WITHIN,
        yaml="when: {status: active, end_date: in the next {n} days}\n"
        "with: [complaint: {customer: same, status: open}, invoice: {contract: this, status: open}]",
        python="f['status'] == 'active' and f['end_date'] - DAYS <= today <= f['end_date']"
        " and any(o['status'] == 'open' for o in facts.of['complaint'])"
        " and any(o['contract'] == f['id'] and o['status'] == 'open' for o in facts.of['invoice'])",
        native=lambda n: [
            {"s": _is("contract", {"status": "active"}, _at_least("end_date", 0), _at_most("end_date", n))},
            {"c": _is("complaint", {"status": "open"}, {"customer": {"s": "customer"}})},
            {"i": _is("invoice", {"status": "open"}, {"contract": {"s": "key"}})},
        ],
    ),
    Template(
        kind="opportunity",
        numbers=AMOUNTS,
        yaml="when: {stage: open, amount: at least {n}}\n"
        "with: [quote: {opportunity: this, status: sent}, interaction: {customer: same, on: in the last 60 days}]",
        python="f['stage'] in ('new', 'proposal', 'negotiation') and f['amount'] >= N"
        " and any(o.get('opportunity') == f['id'] and o['status'] == 'sent' for o in facts.of['quote'])"
        " and any(o['on'] <= today <= o['on'] + TWO_MONTHS for o in facts.of['interaction'])",
        native=lambda n: [
            {"s": _is("opportunity", _at_least("amount", n), _open())},
            {"q": _is("quote", {"status": "sent"}, {"opportunity": {"s": "key"}})},
            {"i": _is("interaction", _at_most("on", 0), _at_least("on", -60), {"customer": {"s": "customer"}})},
        ],
    ),
)


def bench_rules() -> Iterator[BenchRule]:
    """60 on one fact, 30 with `unless`, 10 on three facts."""
    for group, templates in (("single", SINGLE), ("unless", UNLESS), ("join", JOINS)):
        for place, template in enumerate(templates):
            for n in template.numbers:
                names = {
                    "N": Decimal(n),
                    "DAYS": timedelta(days=n),
                    "MONTH": timedelta(days=30),
                    "TWO_MONTHS": timedelta(days=60),
                }
                yield BenchRule(
                    id=f"{group}-{place}-{n}",
                    kind=template.kind,
                    yaml=template.yaml.replace("{n}", str(n)),
                    python=eval(f"lambda f, facts, today: {template.python}", names),
                    native=template.native(n),
                )


@contextmanager
def rule_base(rules: Sequence[BenchRule]) -> Generator[RuleBase]:
    """The rules as Relance loads them."""
    say = "then: {recommend: win, say: Have a look}"
    pack = "\n---\n".join([MODEL, *(f"rule: {r.id}\nfor each: {r.kind}\n{r.yaml}\n{say}" for r in rules)])
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


NOTHING = "-"  # durable_rules takes no null, and two missing ids must not join
REFS = {"interaction": ("quote", "invoice", "complaint"), "quote": ("opportunity",)}
DENIED = ("opportunity", "quote", "interaction")  # kinds that a rule may wish absent


def native_facts(facts: Facts) -> list[dict[str, object]]:
    """The same facts as a programmer would hand them to durable_rules: whole numbers, days from today, words."""
    rows = [
        {"t": kind, "key": fact["id"], **dict.fromkeys(REFS.get(kind, ()), NOTHING)}
        | {name: _native(value) for name, value in fact.items() if name != "id"}
        for kind, of_kind in facts.of.items()
        for fact in of_kind
    ]
    # What `none` reads must be asserted before all others.
    copies = [row | {"t": f"!{row['t']}"} for row in rows if row["t"] in DENIED]
    batch = [{"t": "~begin"}, *copies, *rows, {"t": "~end"}]
    return [{"id": number, "sid": "0", **row} for number, row in enumerate(batch)]


def _native(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        return int(value)
    return (value - TODAY).days if isinstance(value, date) else value
