"""Fields worked out from records: each way, exactly, at every moment, and refused where they make no sense.

That random ones agree with the oracle is shown by `test_equivalence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest

from domain.calendar import TICK
from domain.recommendation import Match
from domain.record import Dossier, Record, RecordRef, Timeline
from rules.loader import check, load
from rules.model import Value
from rules.problems import Problems
from rules.rulebase import RuleBase
from rules.stories import run_test

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MODEL = """
company: Muster AG
timezone: Europe/Zurich
currency: CHF
---
model:
  customer: {base: number, factor: number, revenue: money, cost: money, euros: {money: EUR}, since: date, label: text}
  contract:
    value: money
    status: {enum: [draft, active]}
    line: text
    parent: ref contract
    ends: date
  invoice:
    amount: money
    euros: {money: EUR}
    pieces: number
    status: {enum: [open, paid]}
    contract: ref contract
    line: text
    issued_on: date
    sent_at: datetime
    label: text
"""
THEN = "then: {recommend: win, say: Call}\n"
Rules: TypeAlias = Callable[..., RuleBase]
Fields: TypeAlias = dict[str, str]


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    """A rule base of derived fields (`customer: {figure: ...}`, one kind a line) and of rules."""
    loaded: list[RuleBase] = []

    def rules(derived: str, *documents: str) -> RuleBase:
        file = tmp_path / "rules.yaml"
        file.write_text(source(derived, *documents), encoding="utf-8")
        loaded.append(load([file]))
        return loaded[-1]

    yield rules
    for rulebase in loaded:
        rulebase.engine.close()


def source(derived: str, *documents: str) -> str:
    return "---\n".join([MODEL, "model:\n" + "".join(f"  {line}\n" for line in derived.splitlines()), *documents])


def rule(conditions: str, *, kind: str = "customer", then: str = THEN, id_: str = "r") -> str:
    return f"rule: {id_}\nfor each: {kind}\n{conditions}\n{then}"


def unnamed(*records: tuple[str, str, Fields]) -> Dossier:
    """A customer who is known by records alone."""
    return Dossier(id="K1", records=tuple(Record(kind=k, id=i, customer="K1", fields=f) for k, i, f in records))


def customer(*records: tuple[str, str, Fields], **fields: str) -> Dossier:
    own = Record(kind="customer", id="K1", customer=None, fields=fields)
    return Dossier(id="K1", records=(own, *unnamed(*records).records))


def invoices(*fields: Fields) -> list[tuple[str, str, Fields]]:
    return [("invoice", f"I{n}", f) for n, f in enumerate(fields, start=1)]


def contracts(*fields: Fields) -> list[tuple[str, str, Fields]]:
    return [("contract", f"C{n}", f) for n, f in enumerate(fields, start=1)]


def figures(rulebase: RuleBase, dossier: Dossier, name: str = "figure", *, now: datetime = NOW) -> list[Value | None]:
    """The field of each record of the kind that has it."""
    facts = rulebase.facts(dossier, now=now)
    (kind,) = (kind.name for kind in rulebase.model.kinds.values() if name in kind.derived)
    return [fact.get(name) for fact in facts.of[kind]]


def matches(rulebase: RuleBase, dossier: Dossier, *, now: datetime = NOW) -> list[str]:
    return [f"{m.rule} {m.subject.id}" for m in rulebase.decide(dossier, now=now).matches]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# --- over records ---

THREE = invoices(
    {"amount": "100.10", "pieces": "-2", "status": "open", "issued_on": "2026-11-01", "sent_at": "2026-11-23T08:00Z"},
    {"amount": "0.20", "pieces": "7", "status": "paid", "issued_on": "2027-12-01", "sent_at": "2026-11-23T10:30+01:00"},
    {"status": "open", "label": "neither amount nor day"},
)


@pytest.mark.parametrize(
    ("how", "of_three", "of_none"),
    [
        ("{sum: invoice.amount}", Decimal("100.30"), Decimal(0)),
        ("{sum: invoice.pieces}", Decimal(5), Decimal(0)),
        ("{sum: invoice.amount, where: {status: open}}", Decimal("100.10"), Decimal(0)),
        ("{sum: invoice.amount, where: {label: present}}", Decimal(0), Decimal(0)),
        ("{count: invoice}", Decimal(3), Decimal(0)),
        ("{count: invoice, where: {status: open}}", Decimal(2), Decimal(0)),
        ("{count: invoice, where: {status: open, amount: present}}", Decimal(1), Decimal(0)),
        ("{count: invoice, where: {amount: not 0.2}}", Decimal(1), Decimal(0)),
        ("{count: customer}", Decimal(1), Decimal(1)),
        ("{min: invoice.amount}", Decimal("0.20"), None),
        ("{max: invoice.amount}", Decimal("100.10"), None),
        ("{min: invoice.pieces}", Decimal(-2), None),
        ("{max: invoice.pieces, where: {status: open}}", Decimal(-2), None),
        ("{min: invoice.issued_on}", date(2026, 11, 1), None),
        ("{max: invoice.issued_on}", date(2027, 12, 1), None),
        ("{min: invoice.sent_at}", at("2026-11-23T08:00Z"), None),
        ("{max: invoice.sent_at}", at("2026-11-23T09:30Z"), None),
        ("{latest: invoice.issued_on}", date(2027, 12, 1), None),  # it lies ahead
        ("{latest: invoice.issued_on, where: {issued_on: passed}}", date(2026, 11, 1), None),
        ("{latest: invoice.sent_at, where: {status: open}}", at("2026-11-23T08:00Z"), None),
    ],
)
def test_over_the_records_of_a_customer(how: str, of_three: Value, of_none: Value | None, rules: Rules) -> None:
    present, missing = rule("when: {figure: present}"), rule("when: {figure: missing}", id_="m")
    rulebase = rules(f"customer: {{figure: {how}}}", present, missing)

    assert figures(rulebase, customer(*THREE)) == [of_three]
    assert matches(rulebase, customer(*THREE)) == ["r K1"]
    assert figures(rulebase, customer()) == [of_none]
    assert matches(rulebase, customer()) == ["m K1" if of_none is None else "r K1"]


def test_a_customer_who_is_known_by_his_records_alone_has_figures_too(rules: Rules) -> None:
    rulebase = rules("customer: {figure: {sum: invoice.amount}}", rule("when: {figure: 100.3}"))

    assert matches(rulebase, unnamed(*THREE)) == ["r K1"]


def test_a_record_without_a_customer_counts_by_itself(rules: Rules) -> None:
    rulebase = rules("contract: {figure: {count: contract}}", rule("when: {figure: 1}", kind="contract"))
    lone = Dossier(id="contract/C1", records=(Record(kind="contract", id="C1", customer=None, fields={}),))

    assert matches(rulebase, lone) == ["r C1"]


# --- arithmetic ---


@pytest.mark.parametrize(
    ("how", "fields", "expected"),
    [
        ("{add: [base, factor]}", {"base": "1", "factor": "2.5"}, "3.5"),
        ("{add: [base, factor, base, -0.5]}", {"base": "1", "factor": "2"}, "3.5"),
        ("{add: [revenue, 5]}", {"revenue": "0.1"}, "5.1"),
        ("{subtract: [base, factor, 1]}", {"base": "10", "factor": "4"}, "5"),  # from left to right
        ("{subtract: [0, base]}", {"base": "4"}, "-4"),
        ("{multiply: [base, factor, 0.5]}", {"base": "3", "factor": "-4"}, "-6"),
        ("{divide: [base, factor]}", {"base": "1", "factor": "8"}, "0.125"),
        ("{divide: [base, 4, factor]}", {"base": "8", "factor": "2"}, "1"),
        ("{divide: [base, factor]}", {"base": "0", "factor": "8"}, "0"),
        ("{divide: [revenue, cost]}", {"revenue": "5", "cost": "2"}, "2.5"),
        ("{add: [customer.base, 1]}", {"base": "1"}, "2"),
        # missing
        ("{add: [base, factor]}", {"base": "1"}, None),
        ("{subtract: [base, factor]}", {"factor": "1"}, None),
        ("{multiply: [base, 0]}", {}, None),
        ("{divide: [base, factor]}", {"base": "1"}, None),
        ("{divide: [base, factor]}", {"base": "1", "factor": "0"}, None),
        ("{divide: [base, factor]}", {"base": "1", "factor": "-0.00"}, None),
        ("{divide: [base, 2, factor]}", {"base": "0", "factor": "0"}, None),
        ("{divide: [base, 0]}", {"base": "1"}, None),
    ],
)
def test_arithmetic_goes_from_left_to_right_and_is_missing_where_a_part_is(
    how: str, fields: Fields, expected: str | None, rules: Rules
) -> None:
    known = "missing" if expected is None else expected
    rulebase = rules(f"customer: {{figure: {how}}}", rule(f"when: {{figure: {known}}}"))

    assert figures(rulebase, customer(**fields)) == [None if expected is None else Decimal(expected)]
    assert matches(rulebase, customer(**fields)) == ["r K1"]


NINES = "999999999999999999"


@pytest.mark.parametrize(
    ("how", "fields", "expected"),
    [
        ("{add: [base, factor]}", {"base": NINES, "factor": "0.01"}, f"{NINES}.01"),
        ("{add: [base, factor]}", {"base": NINES, "factor": f"{NINES}.99"}, "1999999999999999998.99"),
        ("{subtract: [base, factor]}", {"base": NINES, "factor": "0." + "0" * 99 + "1"},
         "999999999999999998." + "9" * 100),
        ("{multiply: [base, factor]}", {"base": NINES, "factor": NINES}, "999999999999999998000000000000000001"),
        ("{multiply: [base, base, base]}", {"base": f"{NINES}.9"}, str(9999999999999999999**3)[:-3] + "."
         + str(9999999999999999999**3)[-3:]),
        # 28 significant digits, rounded half to even
        ("{divide: [base, 3]}", {"base": "1"}, "0." + "3" * 28),
        ("{divide: [base, 3]}", {"base": "2"}, "0." + "6" * 27 + "7"),
        ("{divide: [base, 3]}", {"base": NINES}, "3" * 18),
        ("{divide: [base, 1]}", {"base": "1." + "0" * 27 + "5"}, "1"),
        ("{divide: [base, 1]}", {"base": "1." + "0" * 26 + "15"}, "1." + "0" * 26 + "2"),
    ],
)  # fmt: skip
def test_results_are_exact_and_quotients_have_28_digits(how: str, fields: Fields, expected: str, rules: Rules) -> None:
    rulebase = rules(
        f"customer: {{figure: {how}}}", rule("when: {figure: present}", then=THEN.replace("}", ", worth: figure}"))
    )
    decision = rulebase.decide(customer(**fields), now=NOW)
    (match,) = decision.matches

    assert figures(rulebase, customer(**fields)) == [Decimal(expected)]
    assert rulebase.advise(match, decision.facts, opened_at=NOW).worth == Decimal(expected)


def test_a_sum_of_thousands_of_the_largest_amounts_is_exact_to_the_cent(rules: Rules) -> None:
    rulebase = rules(
        f"customer: {{total: {{sum: invoice.amount}}, figure: {{subtract: [total, {NINES}, {NINES}]}}}}",
        rule("when: {figure: between 0.03 and 0.03}"),
        rule("when: {figure: above 0.03}", id_="more"),
    )
    three = invoices(*({"amount": f"{NINES}.01"}, {"amount": f"{NINES}.01"}, {"amount": "0.01"}))
    many = invoices(*[{"amount": f"{NINES}.99"}] * 2000)

    assert matches(rulebase, customer(*three)) == ["r K1"]
    assert figures(rulebase, customer(*many), "figure") == [Decimal(f"{NINES}.99") * 2000 - 2 * Decimal(NINES)]


def test_a_third_taken_three_times_is_not_quite_one(rules: Rules) -> None:
    third = "customer: {third: {divide: [1, base]}, figure: {multiply: [third, base]}}"
    rulebase = rules(third, rule("when: {figure: below 1}"), rule("when: {figure: at least 1}", id_="one"))

    assert matches(rulebase, customer(base="3")) == ["r K1"]
    assert matches(rulebase, customer(base="4")) == ["one K1"]


# --- ties, dots, figures of figures ---


def test_this_names_the_record_that_has_the_figure(rules: Rules) -> None:
    rulebase = rules(
        "contract: {figure: {sum: invoice.amount, where: {contract: this, status: open}}}",
        rule("when: {figure: above 10}", kind="contract"),
    )
    dossier = customer(
        *contracts({}, {}, {}),
        *invoices(
            {"contract": "C1", "amount": "7", "status": "open"},
            {"contract": "C1", "amount": "6", "status": "open"},
            {"contract": "C2", "amount": "10", "status": "open"},
            {"contract": "C2", "amount": "99", "status": "paid"},
            {"contract": "C9", "amount": "99", "status": "open"},
            {"amount": "99", "status": "open"},
        ),
    )

    assert figures(rulebase, dossier) == [Decimal(13), Decimal(10), Decimal(0)]
    assert matches(rulebase, dossier) == ["r C1"]


def test_same_is_the_records_value_of_the_same_field_and_nothing_where_it_is_missing(rules: Rules) -> None:
    rulebase = rules(
        "contract: {figure: {count: invoice, where: {line: same}}}", rule("when: {figure: 2}", kind="contract")
    )
    dossier = customer(
        *contracts({"line": "fibre"}, {"line": "Fibre"}, {}), *invoices({"line": "fibre"}, {"line": "fibre"}, {})
    )

    assert figures(rulebase, dossier) == [Decimal(2), Decimal(0), Decimal(0)]
    assert matches(rulebase, dossier) == ["r C1"]


@pytest.mark.parametrize("where", ["", ", where: {line: same}", ", where: {customer: same}"])
def test_a_record_counts_among_those_of_its_own_kind(where: str, rules: Rules) -> None:
    rulebase = rules(f"contract: {{figure: {{sum: contract.value{where}}}}}")

    assert figures(rulebase, customer(*contracts({"line": "a", "value": "1"}, {"line": "a", "value": "2"}))) == [3, 3]


def test_a_customers_own_records_may_be_tied_to_it(rules: Rules) -> None:
    rulebase = rules("customer: {figure: {count: contract, where: {customer: this}}}")

    assert figures(rulebase, customer(*contracts({}, {}))) == [2]


def test_operands_and_conditions_follow_refs(rules: Rules) -> None:
    rulebase = rules(
        "contract: {figure: {divide: [contract.value, customer.revenue]}}\n"
        "customer: {open_pieces: {sum: invoice.pieces, where: {contract.parent.status: active}}}",
        rule("when: {figure: at least 0.5}", kind="contract"),
    )
    known = customer(*contracts({"value": "30"}, {"value": "60"}), revenue="120")
    nested = customer(
        *contracts({"status": "active"}, {"parent": "C1"}, {"parent": "C9"}),
        *invoices(
            {"contract": "C2", "pieces": "5"}, {"contract": "C3", "pieces": "7"}, {"contract": "C1", "pieces": "9"}
        ),
    )

    assert figures(rulebase, known) == [Decimal("0.25"), Decimal("0.5")]
    assert matches(rulebase, known) == ["r C2"]
    assert figures(rulebase, unnamed(*contracts({"value": "30"}))) == [None]
    assert figures(rulebase, nested, "open_pieces") == [5]


def test_figures_feed_figures_in_whatever_order_they_are_written(rules: Rules) -> None:
    rulebase = rules(
        "customer: {ratio: {divide: [margin, total]}, margin: {subtract: [total, cost]}, total: {sum: contract.billed},"
        " big: {count: contract, where: {billed: above 100}}}\n"
        "contract: {billed: {sum: invoice.amount, where: {contract: this}}, share: {divide: [billed, customer.total]}}",
        rule("when: {share: above 0.5, customer.ratio: 0.75, customer.big: 1}", kind="contract"),
        rule("with:\n  - contract: {customer: this, share: below 0.5}", id_="with"),
        rule("unless:\n  - contract: {customer: this, billed: at least 40, count: at least 2}", id_="unless"),
    )
    dossier = customer(
        *contracts({}, {}),
        *invoices({"contract": "C1", "amount": "160"}, {"contract": "C2", "amount": "40"}),
        cost="50",
    )

    assert figures(rulebase, dossier, "share") == [Decimal("0.8"), Decimal("0.2")]
    assert matches(rulebase, dossier) == ["r C1", "with K1"]


# --- the clock ---

WINDOW = "customer: {figure: {sum: invoice.amount, where: {%s}}}"


@pytest.mark.parametrize(
    ("where", "of_invoice", "begin", "end"),
    [
        ("issued_on: in the last 12 months", {"issued_on": "2026-02-28"},
         "2026-02-28T00:00+01:00", "2027-03-01T00:00+01:00"),
        ("issued_on: in the last 30 days", {"issued_on": "2027-03-01"},
         "2027-03-01T00:00+01:00", "2027-04-01T00:00+02:00"),
        ("issued_on: in the next 2 weeks", {"issued_on": "2027-01-07"},
         "2026-12-24T00:00+01:00", "2027-01-08T00:00+01:00"),
        ("issued_on: today", {"issued_on": "2026-11-25"}, "2026-11-25T00:00+01:00", "2026-11-26T00:00+01:00"),
        ("sent_at: in the last 24 hours", {"sent_at": "2026-11-25T10:00+01:00"},
         "2026-11-25T10:00+01:00", "2026-11-26T10:00:00.000001+01:00"),
        ("sent_at: in the next 1 business hour", {"sent_at": "2026-11-25T10:00+01:00"},
         "2026-11-25T09:00+01:00", "2026-11-25T10:00:00.000001+01:00"),
        ("issued_on: anniversary in the next 5 days", {"issued_on": "2020-12-10"},
         "2026-12-05T00:00+01:00", "2026-12-11T00:00+01:00"),
        ("issued_on: passed, sent_at: more than 2 days away",
         {"issued_on": "2026-11-24", "sent_at": "2026-11-30T12:00+01:00"},
         "2026-11-25T00:00+01:00", "2026-11-28T12:00+01:00"),
    ],
)  # fmt: skip
def test_a_record_counts_to_the_microsecond_and_the_next_check_is_when_it_begins_and_ends_to(
    where: str, of_invoice: Fields, begin: str, end: str, rules: Rules
) -> None:
    rulebase = rules(WINDOW.replace("%s", where), rule("when: {figure: above 99}"))
    dossier = customer(*invoices({"amount": "100"} | of_invoice))
    first, after = at(begin), at(end)

    for now, counts in ((first - TICK, 0), (first, 100), (after - TICK, 100), (after, 0)):
        assert figures(rulebase, dossier, now=now) == [counts]
        assert matches(rulebase, dossier, now=now) == ["r K1"] * bool(counts)
    assert rulebase.decide(dossier, now=first - TICK).next_check == first
    assert rulebase.decide(dossier, now=first).next_check == after
    assert rulebase.decide(dossier, now=after - TICK).next_check == after


def test_the_next_check_passes_over_records_that_make_no_difference(rules: Rules) -> None:
    rulebase = rules(WINDOW.replace("%s", "issued_on: in the last 30 days"), rule("when: {figure: at least 100}"))
    dossier = customer(
        *invoices(
            {"amount": "40", "issued_on": "2026-11-01"},  # leaves on 2 December, 100 are left
            {"amount": "60", "issued_on": "2026-11-10"},  # leaves on 11 December
            {"amount": "40", "issued_on": "2026-11-20"},  # leaves on 21 December
            {"amount": "60", "issued_on": "2026-12-15"},  # 100 again
        )
    )
    walked = list(rulebase.replay(Timeline(dossier=dossier), since=NOW, until=at("2028-01-01T00:00Z")))

    assert [(d.now, len(d.matches)) for d in walked] == [
        (NOW, 1),
        (at("2026-12-11T00:00+01:00"), 0),
        (at("2026-12-15T00:00+01:00"), 1),
        (at("2026-12-21T00:00+01:00"), 0),
    ]
    assert walked[-1].next_check is None


def test_time_moves_through_figures_of_figures_and_refs(rules: Rules) -> None:
    """The sum of what was billed per contract falls when an invoice leaves its window."""
    rulebase = rules(
        "contract: {billed: {sum: invoice.amount, where: {contract: this, issued_on: in the last 1 month}}}\n"
        "customer: {total: {sum: contract.billed}, rest: {subtract: [base, total]}}",
        rule("when: {customer.rest: above 0}", kind="contract"),
    )
    dossier = customer(
        *contracts({}), *invoices({"contract": "C1", "amount": "100", "issued_on": "2026-10-31"}), base="100"
    )
    leaves = at("2026-12-01T00:00+01:00")

    assert matches(rulebase, dossier) == []
    assert rulebase.decide(dossier, now=NOW).next_check == leaves
    assert matches(rulebase, dossier, now=leaves) == ["r C1"]


def test_a_day_that_was_worked_out_is_tested_like_a_recorded_one(rules: Rules) -> None:
    rulebase = rules(
        "customer: {last: {latest: invoice.sent_at, where: {status: paid}}}",
        rule("when: {last: missing or more than 90 days ago}"),
    )
    paid = customer(
        *invoices({"status": "paid", "sent_at": "2026-11-01T10:00+01:00"}, {"sent_at": "2026-11-22T10:00Z"})
    )
    quiet = at("2027-01-30T10:00:00.000001+01:00")

    assert matches(rulebase, customer()) == ["r K1"]
    assert matches(rulebase, paid) == []
    assert rulebase.decide(paid, now=NOW).next_check == quiet
    assert (matches(rulebase, paid, now=quiet - TICK), matches(rulebase, paid, now=quiet)) == ([], ["r K1"])


# --- what is said of them ---


def test_an_explanation_has_the_figure_and_says_until_when(rules: Rules) -> None:
    rulebase = rules(
        "customer: {figure: {sum: invoice.amount, where: {issued_on: in the last 30 days}},"
        " share: {divide: [cost, figure]}}",
        rule("when: {figure: at least 100, share: missing}"),
    )
    dossier = customer(*invoices({"amount": "100", "issued_on": "2026-11-01"}))
    match = Match(rule="r", subject=RecordRef(kind="customer", id="K1"))
    figure, share = rulebase.trace(match, rulebase.facts(dossier, now=NOW))

    assert (figure.condition, figure.value, figure.holds) == ("figure: at least 100", Decimal(100), True)
    assert figure.until == at("2026-12-02T00:00+01:00")
    assert (share.value, share.holds, share.until) == (None, True, None)  # there is no cost, whatever the figure
    figure, _ = rulebase.trace(match, rulebase.facts(dossier, now=at("2026-12-02T00:00+01:00")))
    assert (figure.value, figure.holds, figure.until) == (Decimal(0), False, None)


def test_sentences_and_what_is_at_stake_read_figures(rules: Rules) -> None:
    rulebase = rules(
        "customer: {total: {sum: invoice.amount}, in_euros: {sum: invoice.euros}, last: {latest: invoice.issued_on}}\n"
        "contract: {share: {divide: [value, customer.total]}}",
        rule(
            "when: {value: present}",
            kind="contract",
            then="then:\n  recommend: win\n  worth: customer.total\n"
            '  say: "{{ customer.total }}, {{ customer.in_euros|money }}, {{ contract.share|percent }}, '
            '{{ contract.share }}, {{ customer.last|day }}, {{ contract.customer.total }}"\n',
        ),
    )
    dossier = customer(
        *contracts({"value": "300"}), *invoices({"amount": "1200", "euros": "1.5", "issued_on": "2026-11-01"})
    )
    decision = rulebase.decide(dossier, now=NOW)
    advice = rulebase.advise(decision.matches[0], decision.facts, opened_at=NOW)

    assert advice.say == "CHF 1,200, EUR 1.50, 25%, 0.25, 1 November 2026, CHF 1,200"
    assert advice.worth == Decimal(1200)


TESTS = """tests:
  - name: four weeks
    given:
      invoice: [{id: I1, amount: 60, issued_on: 2026-11-01}, {id: I2, amount: 60, issued_on: 2026-11-10}]
    story:
      - {on: 2026-11-01, expect: nothing}
      - {on: 2026-11-10, expect: {raised: K1, worth: 120}}
      - {on: 2026-11-20, change: {invoice: {id: I2, amount: 50}}, expect: {raised: K1, worth: 110}}
      - {on: 2026-12-01, expect: {raised: K1}}
      - {on: 2026-12-02, expect: {raised: [], resolved: K1}}
"""


def test_tests_beside_a_rule_work_figures_out(rules: Rules) -> None:
    rulebase = rules(
        WINDOW.replace("%s", "issued_on: in the last 30 days"),
        rule("when: {figure: above 100}", then=THEN.replace("}", ", worth: figure}") + TESTS),
    )

    outcomes = [run_test(rulebase, rulebase.by_id["r"], test) for test in rulebase.by_id["r"].tests]

    assert [outcome.failures for outcome in outcomes] == [()]


# --- a recorded value ---


@pytest.mark.parametrize("recorded", ["500", "five hundred", ""])
def test_a_recorded_value_of_a_derived_field_is_ignored(recorded: str, rules: Rules) -> None:
    rulebase = rules("customer: {figure: {sum: invoice.amount}}", rule("when: {figure: 0}"))

    assert matches(rulebase, customer(figure=recorded)) == ["r K1"]
    assert figures(rulebase, customer(*THREE, figure=recorded)) == [Decimal("100.30")]


def test_an_import_refuses_a_value_for_a_derived_field_and_keeps_the_rest(rules: Rules) -> None:
    rulebase = rules("customer: {figure: {sum: invoice.amount}}")

    kept, (refused,) = rulebase.model.canonical("customer", {"figure": "500", "base": "1.50", "label": "x"})

    assert kept == {"base": "1.5", "label": "x"}
    assert (refused.field, refused.value) == ("figure", "500")
    assert refused.message == "figure of customer is derived, it cannot be recorded"


# --- what makes no sense ---


Found: TypeAlias = tuple[str, str, str]
"""(code, what is marked, message)"""


def problems(tmp_path: Path, text: str) -> Problems:
    file = tmp_path / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    return check([file]).problems


def found(problems: Problems) -> list[Found]:
    """(code, what is marked, message) of each."""
    return [
        (p.code, p.place.text[p.place.column - 1 : p.place.column - 1 + p.place.length], p.message) for p in problems
    ]


@pytest.mark.parametrize(
    ("how", "field", "message"),
    [
        ("sum", "label", "sum takes a number, but invoice.label is text"),
        ("sum", "issued_on", "sum takes a number, but invoice.issued_on is a date"),
        ("sum", "contract", "sum takes a number, but invoice.contract is a reference"),
        (
            "min",
            "status",
            "min takes a number or a date or a date with time, but invoice.status is one of a few values",
        ),
        ("max", "id", "max takes a number or a date or a date with time, but invoice.id is text"),
        ("latest", "amount", "latest takes a date or a date with time, but invoice.amount is an amount of money"),
    ],
)
def test_of_some_fields_there_is_no_sum_or_extreme(how: str, field: str, message: str, tmp_path: Path) -> None:
    derived = source(f"customer: {{x: {{{how}: invoice.{field}}}}}")

    assert found(problems(tmp_path, derived)) == [("R203", f"invoice.{field}", message)]


@pytest.mark.parametrize(
    ("how", "code", "marked", "message"),
    [
        ("{sum: invoce.amount}", "R100", "invoce", 'no kind "invoce"'),
        ("{sum: invoice.amuont}", "R101", "amuont", 'invoice has no field "amuont"'),
        ("{sum: invoice}", "R103", "invoice", '"invoice" is nothing to sum'),
        ("{count: invoice.amount}", "R103", "invoice.amount", '"invoice.amount" is nothing to count'),
        ("{count: [invoice]}", "R103", "[invoice]", '"[invoice]" is nothing to count'),
        ("{add: [base]}", "R103", "[base]", "add takes a list of fields"),
        ("{divide: base}", "R103", "base", "divide takes a list of fields"),
        ("{add: [base, label]}", "R203", "label", "label is text"),
        ("{subtract: [since, 1]}", "R203", "since", "since is a date"),
        ("{add: [base, bose]}", "R101", "bose", 'customer has no field "bose"'),
        ("{add: [base, label.base]}", "R102", "label.base", 'customer has no link "label"'),
        ("{add: [base, [1, 2]]}", "R101", "[1, 2]", 'customer has no field "[1, 2]"'),
        # where
        ("{count: invoice, where: {stauts: open}}", "R101", "stauts", 'invoice has no field "stauts"'),
        ("{count: invoice, where: {status: opne}}", "R202", "opne", '"opne" is not a value of status'),
        ("{count: invoice, where: {amount: today}}", "R203", "today",
         '"today" tests a date or a date with time, but amount is an amount of money'),
        ("{count: invoice, where: {amount: abve 5}}", "R201", "abve 5", '"abve 5" is not a number'),
        ("{count: invoice, where: {contract: this}}", "R301", "contract",
         "contract of invoice does not name a customer"),
        ("{count: invoice, where: {amount: same}}", "R101", "amount",
         'customer has no field "amount" to be the same as'),
        ("{count: invoice, where: {count: above 1}}", "R101", "count", 'invoice has no field "count"'),
        ("{count: invoice, where: open}", "R201", "open", "`where` is a map"),
        ("{count: invoice, were: {status: open}}", "R001", "were", 'unknown key "were"'),
        ("{sum: invoice.amount, count: invoice}", "R001", "sum", 'unknown key "sum"'),
        # money
        ("{add: [revenue, euros]}", "R203", "[revenue, euros]", "these amounts have different currencies"),
        ("{subtract: [euros, revenue, 5]}", "R203", "[euros, revenue, 5]", "these amounts have different currencies"),
        ("{divide: [revenue, euros]}", "R203", "[revenue, euros]", "these amounts have different currencies"),
        ("{multiply: [revenue, cost]}", "R203", "[revenue, cost]", "amounts of money multiplied"),
        ("{multiply: [revenue, in_euros]}", "R203", "[revenue, in_euros]", "amounts of money multiplied"),
        ("{add: [revenue, in_euros]}", "R203", "[revenue, in_euros]", "these amounts have different currencies"),
    ],
)  # fmt: skip
def test_a_figure_that_makes_no_sense_is_one_problem_at_its_place(
    how: str, code: str, marked: str, message: str, tmp_path: Path
) -> None:
    reported = problems(tmp_path, source(f"customer: {{x: {how}, in_euros: {{sum: invoice.euros}}}}"))

    assert found(reported) == [(code, marked, message)]
    assert all(problem.help for problem in reported)


@pytest.mark.parametrize(
    ("derived", "problem"),
    [
        ("contract: {x: {add: [value, customer.bose]}}", ("R101", "customer.bose", 'customer has no field "bose"')),
        ("customer: {name: {count: invoice}}", ("R104", "{count: invoice}", "name of customer is recorded")),
        ("customer: {base: {latest: invoice.sent_at}}",
         ("R104", "{latest: invoice.sent_at}", "customer.base is a number already, it cannot become a date with time")),
        ("customer: {Sum: {count: invoice}}", ("R103", "Sum", '"Sum" cannot name a field')),
        ("contract: {x: {count: invoice}, y: {count: contract, where: {x: same}}}", ("R301", "x", "x is derived")),
    ],
)  # fmt: skip
def test_the_name_of_a_figure_and_what_it_is_tied_by_are_checked(derived: str, problem: Found, tmp_path: Path) -> None:
    assert found(problems(tmp_path, source(derived))) == [problem]


@pytest.mark.parametrize(
    ("how", "type_"),
    [
        ("{divide: [revenue, cost]}", "a number"),
        ("{divide: [revenue, 4]}", "an amount of money"),
        ("{multiply: [revenue, base]}", "an amount of money"),
        ("{add: [revenue, cost, 5]}", "an amount of money"),
        ("{add: [base, 5]}", "a number"),
        ("{sum: invoice.amount}", "an amount of money"),
        ("{sum: invoice.pieces}", "a number"),
        ("{count: invoice}", "a number"),
        ("{min: invoice.issued_on}", "a date"),
        ("{latest: invoice.sent_at}", "a date with time"),
    ],
)
def test_a_figure_has_a_type_like_any_field(how: str, type_: str, tmp_path: Path) -> None:
    text = source(f"customer: {{x: {how}}}", rule("when: {x: starts with 1}"))

    message = f'"starts with 1" tests text, but x is {type_}'
    assert found(problems(tmp_path, text)) == [("R203", "starts with 1", message)]


@pytest.mark.parametrize(
    ("derived", "marked", "circle"),
    [
        ("customer: {x: {add: [x, 1]}}", "x", "customer.x -> customer.x"),
        ("customer: {x: {add: [y, 1]}, y: {subtract: [x, 1]}}", "x", "customer.x -> customer.y -> customer.x"),
        ("customer: {x: {sum: contract.y}}\ncontract: {y: {add: [value, customer.x]}}",
         "x", "customer.x -> contract.y -> customer.x"),
        ("customer: {x: {count: contract, where: {y: above 1}}}\ncontract: {y: {add: [value, customer.x]}}",
         "x", "customer.x -> contract.y -> customer.x"),
        ("contract: {y: {count: contract, where: {y: above 1}}}", "y", "contract.y -> contract.y"),
        ("contract: {y: {count: contract, where: {parent.y: above 1}}}", "y", "contract.y -> contract.y"),
    ],
)  # fmt: skip
def test_figures_that_rest_on_each_other_are_refused_at_the_place_of_one(
    derived: str, marked: str, circle: str, tmp_path: Path
) -> None:
    message = f"{circle} goes round in a circle: each is worked out from the next"

    reported = problems(tmp_path, source(derived))

    assert found(reported) == [("R302", marked, message)]
    assert reported[0].help == "let one of them rest on something that is recorded"


def test_every_circle_is_found_and_what_is_outside_still_worked_out(tmp_path: Path) -> None:
    derived = "customer: {a: {add: [b, 1]}, b: {add: [a, 1]}, c: {add: [c, 1]}, d: {add: [c, 1]}, e: {add: [base, 1]}}"

    assert [code for code, _, _ in found(problems(tmp_path, source(derived)))] == ["R302", "R302"]
    steps = check([tmp_path / "rules.yaml"]).rulebase.strata.steps
    assert ("customer", "e") in [step.key for step in steps]


def test_a_test_may_give_what_is_worked_out_in_place_of_the_records_behind_it(tmp_path: Path) -> None:
    (tmp_path / "1-rule.yaml").write_text(
        "model: {customer: {spent: number}}\n---\nrule: big\nfor each: customer\nwhen: {spent: at least 5}\n"
        + THEN
        + """
tests:
  - {name: enough, today: 2026-11-23, given: {customer: {spent: 5}}, expect: {raised: K1}}
  - name: more and more
    given: {customer: {spent: 4}}
    story:
      - {on: 2026-11-23, expect: nothing}
      - {on: 2026-11-24, change: {customer: {id: K1, spent: 6}}, expect: {raised: K1}}
"""
    )
    (tmp_path / "2-company.yaml").write_text(
        "model:\n  invoice: {pieces: number}\n  customer: {spent: {add: [half, half]}, half: {sum: invoice.pieces}}\n"
    )
    checked = check([tmp_path / "1-rule.yaml", tmp_path / "2-company.yaml"])
    assert [str(problem) for problem in checked.problems] == []
    (rule,) = checked.rulebase.rules

    outcomes = [run_test(checked.rulebase, rule, test) for test in rule.tests]

    assert [outcome.failures for outcome in outcomes] == [(), ()]
    invoice = Record(kind="invoice", id="R1", customer="K1", fields={"pieces": "3"})
    dossier = Dossier(
        id="K1", records=(Record(kind="customer", id="K1", customer=None, fields={"spent": "1"}), invoice)
    )
    assert [m.rule for m in checked.rulebase.decide(dossier, now=NOW).matches] == ["big"]  # six, whatever is recorded
    checked.rulebase.engine.close()
