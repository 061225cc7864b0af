"""Fields of the customer that rules set: read by other rules while those that set them hold, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from domain.calendar import TICK
from domain.person import People, Person
from domain.recommendation import Match
from domain.record import Dossier, Record, RecordRef, Timeline
from rules.loader import check, load
from rules.model import Value
from rules.rulebase import NOBODY, RuleBase
from rules.simulate import simulate
from rules.stories import run_test

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MODEL = """
company: Muster AG
timezone: Europe/Zurich
---
model:
  customer:
    standing: {enum: [good, at-risk, lost], groups: {bad: [at-risk, lost]}}
    care: {enum: [light, close]}
    score: number
    review_on: date
    vip: yesno
    label: text
  contract: {ends: date, signed_at: datetime, line: text, label: text, owner: ref user}
  complaint: {status: {enum: [open, closed]}, opened_on: date}
"""
PEOPLE = People.of(
    [
        Person(id="ann", name="Ann", email="ann@example.com", team="north"),
        Person(id="bob", name="Bob", email="bob@example.com", team="south"),
    ]
)
Rules: TypeAlias = Callable[..., RuleBase]
Fields: TypeAlias = dict[str, str]


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    loaded: list[RuleBase] = []

    def rules(*documents: str, model: str = "") -> RuleBase:
        file = tmp_path / "rules.yaml"
        file.write_text(source(*documents, model=model), encoding="utf-8")
        loaded.append(load([file]))
        return loaded[-1]

    yield rules
    for rulebase in loaded:
        rulebase.engine.close()


def source(*documents: str, model: str = "") -> str:
    return "---\n".join([MODEL, *([f"model:\n  {model}\n"] if model else []), *documents])


def rule(
    id_: str, conditions: str, *, sets: str = "", kind: str = "customer", weight: int = 100, more: str = ""
) -> str:
    set_ = f", set: {{{sets}}}" if sets else ""
    then = f"then: {{recommend: hold, say: Look, weight: {weight}{set_}}}"
    return f"rule: {id_}\nfor each: {kind}\n{conditions}\n{then}\n{more}\n"


def customer(*records: tuple[str, str, Fields], **fields: str) -> Dossier:
    own = Record(kind="customer", id="K1", customer=None, fields=fields)
    return Dossier(id="K1", records=(own, *(Record(kind=k, id=i, customer="K1", fields=f) for k, i, f in records)))


def contract(id_: str = "C1", **fields: str) -> tuple[str, str, Fields]:
    return "contract", id_, fields


def complaint(id_: str = "B1", **fields: str) -> tuple[str, str, Fields]:
    return "complaint", id_, {"status": "open"} | fields


def holding(rulebase: RuleBase, dossier: Dossier, *, now: datetime = NOW, people: People = NOBODY) -> list[str]:
    return [m.rule for m in rulebase.decide(dossier, now=now, people=people).matches]


def field(
    rulebase: RuleBase, dossier: Dossier, name: str, *, now: datetime = NOW, people: People = NOBODY
) -> Value | None:
    known = rulebase.facts(dossier, now=now, people=people).customer
    assert known is not None
    return known.get(name)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


COMPLAINS = "with:\n  - complaint: {customer: this, status: open}"
AT_RISK = rule("at-risk", COMPLAINS, sets="standing: at-risk")
READS = rule("reads", "when: {standing: at-risk}")


# --- while it holds ---


def test_while_a_rule_holds_others_read_what_it_sets_in_place_of_what_is_recorded(rules: Rules) -> None:
    rulebase = rules(AT_RISK, READS, rule("good", "when: {standing: good}"))

    assert holding(rulebase, customer(standing="good")) == ["good"]
    assert holding(rulebase, customer(complaint(), standing="good")) == ["at-risk", "reads"]
    assert holding(rulebase, customer(complaint())) == ["at-risk", "reads"]
    assert holding(rulebase, customer(complaint(status="closed"), standing="good")) == ["good"]


def test_conditions_of_every_sort_read_what_is_set(rules: Rules) -> None:
    rulebase = rules(
        AT_RISK,
        rule("linked", "when: {customer.standing: bad}", kind="contract"),
        rule("any", "any of:\n  - {standing: lost}\n  - {standing: bad}"),
        rule("quiet", "when: {standing: not bad}"),
        rule("known", "when: {standing: present}"),
        rule("unknown", "when: {standing: missing}"),
        rule("counted", "with:\n  - contract: {customer: this, customer.standing: at-risk, count: at least 2}"),
        rule("nowhere", "unless:\n  - contract: {customer: this, customer.standing: at-risk}"),
    )
    two = (contract(), contract("C2"))

    assert holding(rulebase, customer(complaint(), *two)) == [
        "any", "at-risk", "counted", "known", "linked", "linked",
    ]  # fmt: skip
    assert holding(rulebase, customer(*two)) == ["nowhere", "unknown"]


@pytest.mark.parametrize(
    ("sets", "name", "value", "test"),
    [
        ("standing: lost", "standing", "lost", "bad"),
        ("vip: yes", "vip", True, "yes"),
        ("vip: no", "vip", False, "no"),
        ("score: -1.50", "score", -1.5, "below 0"),
        ("review_on: 2026-11-24", "review_on", date(2026, 11, 24), "in the next 1 day"),
        ("label: no", "label", "no", "no"),
        ("label: 'null'", "label", "null", "contains ull"),
        ("label: 007", "label", "007", "starts with 00"),
    ],
)
def test_a_field_of_any_type_can_be_set(sets: str, name: str, value: Value, test: str, rules: Rules) -> None:
    rulebase = rules(rule("sets", COMPLAINS, sets=sets), rule("reads", f"when: {{{name}: {test}}}"))

    assert field(rulebase, customer(complaint()), name) == value
    assert holding(rulebase, customer(complaint())) == ["reads", "sets"]
    assert holding(rulebase, customer()) == []


def test_one_rule_may_set_several_fields_and_any_of_its_subjects_does(rules: Rules) -> None:
    rulebase = rules(
        rule("ends", "when: {ends: in the next 30 days}", kind="contract", sets="standing: at-risk, care: close"),
        READS,
        rule("close", "when: {care: close}"),
    )
    later, soon = contract(ends="2027-11-23"), contract("C2", ends="2026-12-01")

    assert holding(rulebase, customer(later, soon)) == ["close", "ends", "reads"]
    assert holding(rulebase, customer(later)) == []


def test_a_customer_who_is_known_by_his_records_alone_is_classified_too(rules: Rules) -> None:
    rulebase = rules(AT_RISK, rule("linked", "when: {customer.standing: at-risk}", kind="complaint"))
    records = (Record(kind="complaint", id="B1", customer="K1", fields={"status": "open"}),)

    assert holding(rulebase, Dossier(id="K1", records=records)) == ["at-risk", "linked"]


def test_a_record_without_a_customer_classifies_nobody(rules: Rules) -> None:
    opened = rule("opened", "when: {status: open}", kind="complaint", sets="standing: lost")
    rulebase = rules(opened, rule("linked", "when: {customer.standing: lost}", kind="complaint"))
    lone = Record(kind="complaint", id="B1", customer=None, fields={"status": "open"})

    assert holding(rulebase, Dossier(id="complaint/B1", records=(lone,))) == ["opened"]


# --- one after the other ---

THREE = (
    # named so that the order of ids is not that of the strata
    rule("c-first", COMPLAINS, sets="standing: at-risk"),
    rule("b-second", "when: {standing: bad}", sets="care: close"),
    rule("a-third", "when: {care: close}", sets="vip: yes"),
    rule("0-last", "when: {vip: yes}"),
)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_a_chain_of_three_is_read_in_strata_whatever_the_order_of_rules(order: tuple[int, ...], rules: Rules) -> None:
    rulebase = rules(*(THREE[n] for n in order))

    assert holding(rulebase, customer(complaint())) == ["0-last", "a-third", "b-second", "c-first"]
    assert holding(rulebase, customer()) == []
    assert [step.key[1] for step in rulebase.strata.steps] == ["standing", "care", "vip"]


def test_strata_go_through_figures_and_back(rules: Rules) -> None:
    rulebase = rules(
        rule("busy", "when: {complaints: at least 2}", sets="standing: at-risk"),
        rule("rated", "when: {standing: at-risk}", sets="score: 10"),
        rule("low", "when: {halved: 5}"),
        model="customer: {complaints: {count: complaint}, halved: {divide: [score, 2]}}",
    )
    two = (complaint(), complaint("B2"))

    assert holding(rulebase, customer(*two, score="80")) == ["busy", "low", "rated"]
    assert field(rulebase, customer(*two, score="80"), "halved") == 5
    assert field(rulebase, customer(complaint(), score="80"), "halved") == 40


# --- which of several ---


@pytest.mark.parametrize(
    ("lost", "risk", "winner"),
    [
        (("a", 100), ("b", 100), "lost"),  # the first by id
        (("b", 100), ("a", 100), "at-risk"),
        (("b", 101), ("a", 100), "lost"),  # the greater weight
        (("a", 99), ("b", 100), "at-risk"),
        (("rule-10", 50), ("rule-9", 50), "lost"),  # ids are words: 10 comes before 9
    ],
)
def test_of_several_rules_that_set_one_field_the_heaviest_wins_then_the_first_by_id(
    lost: tuple[str, int], risk: tuple[str, int], winner: str, rules: Rules
) -> None:
    rulebase = rules(
        rule(lost[0], "when: {score: above 10}", sets="standing: lost", weight=lost[1]),
        rule(risk[0], "when: {score: above 5}", sets="standing: at-risk", weight=risk[1]),
    )

    assert field(rulebase, customer(score="11"), "standing") == winner
    assert field(rulebase, customer(score="7"), "standing") == "at-risk"  # the other does not hold
    assert field(rulebase, customer(score="5", standing="good"), "standing") == "good"


# --- only where it is live ---


@pytest.mark.parametrize(
    ("rollout", "owner", "sets"),
    [
        ("live", None, True),
        ("draft", None, False),
        ("shadow", None, False),
        ("team north", "ann", True),
        ("team north", "bob", False),
        ("team north", "zoe", False),
        ("team north", None, False),
        ("100% of customers", None, True),
        ("0% of customers", None, False),
    ],
)
def test_only_a_rule_that_is_live_for_the_customer_sets_anything(
    rollout: str, owner: str | None, sets: bool, rules: Rules
) -> None:
    rulebase = rules(rule("at-risk", COMPLAINS, sets="standing: at-risk", more=f"rollout: {rollout}"), READS)
    dossier = customer(complaint(), standing="good", **({"owner": owner} if owner else {}))

    assert field(rulebase, dossier, "standing", people=PEOPLE) == ("at-risk" if sets else "good")
    assert holding(rulebase, dossier, people=PEOPLE) == ["at-risk", *(["reads"] if sets else [])]


def test_where_the_heavier_rule_is_a_draft_the_lighter_one_sets_the_field(rules: Rules) -> None:
    rulebase = rules(
        rule("heavy", COMPLAINS, sets="standing: lost", weight=500, more="rollout: draft"),
        rule("light", COMPLAINS, sets="standing: at-risk", weight=1),
    )

    assert field(rulebase, customer(complaint()), "standing") == "at-risk"


def test_a_team_is_that_of_whoever_looks_after_the_subject(rules: Rules) -> None:
    ends = rule("ends", "when: {line: old}", kind="contract", sets="standing: lost", more="rollout: team north")
    rulebase = rules(ends, rule("lost", "when: {standing: lost}"))
    mine, his = contract(line="old", owner="ann"), contract("C2", line="old", owner="bob")

    assert holding(rulebase, customer(his, owner="ann"), people=PEOPLE) == ["ends"]
    assert holding(rulebase, customer(his, mine, owner="bob"), people=PEOPLE) == ["ends", "ends", "lost"]


# --- the clock ---


@pytest.mark.parametrize(
    ("condition", "fields", "begin", "end"),
    [
        ("ends: in the next 30 days", {"ends": "2027-01-07"}, "2026-12-08T00:00+01:00", "2027-01-08T00:00+01:00"),
        ("signed_at: in the last 2 hours", {"signed_at": "2026-11-25T10:00+01:00"},
         "2026-11-25T10:00+01:00", "2026-11-25T12:00:00.000001+01:00"),
    ],
)  # fmt: skip
def test_others_are_decided_anew_when_the_setters_clock_flips_and_the_recorded_value_comes_back(
    condition: str, fields: Fields, begin: str, end: str, rules: Rules
) -> None:
    rulebase = rules(
        rule("ends", f"when: {{{condition}}}", kind="contract", sets="standing: at-risk"),
        READS,
        rule("good", "when: {standing: good}"),
    )
    dossier = customer(contract(**fields), standing="good")
    first, after = at(begin), at(end)

    for now, names in (
        (first - TICK, ["good"]), (first, ["ends", "reads"]), (after - TICK, ["ends", "reads"]), (after, ["good"]),
    ):  # fmt: skip
        assert holding(rulebase, dossier, now=now) == names
    assert rulebase.decide(dossier, now=NOW).next_check == first
    assert rulebase.decide(dossier, now=first).next_check == after
    assert rulebase.decide(dossier, now=after).next_check is None
    told = [f"{e.at.isoformat()} {e.event} {e.match.rule}" for e in simulate(rulebase, dossier, since=NOW, until=after)]
    assert told == [
        f"{NOW.isoformat()} raised good",
        f"{first.isoformat()} resolved good",
        f"{first.isoformat()} raised ends",
        f"{first.isoformat()} raised reads",
        f"{after.isoformat()} resolved ends",
        f"{after.isoformat()} resolved reads",
        f"{after.isoformat()} raised good",
    ]


def test_the_clocks_of_a_chain_are_all_looked_at(rules: Rules) -> None:
    rulebase = rules(
        rule("first", "when: {ends: in the next 30 days}", kind="contract", sets="standing: at-risk"),
        rule("second", "when: {standing: at-risk, review_on: passed}", sets="care: close"),
        rule("third", "when: {care: close}"),
    )
    dossier = customer(contract(ends="2027-01-07"), review_on="2026-12-24")

    walked = [(d.now, len(d.matches)) for d in rulebase.replay(
        Timeline(dossier=dossier), since=NOW, until=at("2028-01-01T00:00Z")
    )]  # fmt: skip

    assert walked == [
        (NOW, 0),
        (at("2026-12-08T00:00+01:00"), 1),
        (at("2026-12-25T00:00+01:00"), 3),
        (at("2027-01-08T00:00+01:00"), 0),
    ]


def test_a_day_that_is_set_has_a_clock_of_its_own(rules: Rules) -> None:
    rulebase = rules(
        rule("review", COMPLAINS, sets="review_on: 2027-01-07"), rule("soon", "when: {review_on: in the next 7 days}")
    )
    begin = at("2026-12-31T00:00+01:00")

    assert rulebase.decide(customer(complaint()), now=NOW).next_check == begin
    assert holding(rulebase, customer(complaint()), now=begin) == ["review", "soon"]
    assert rulebase.decide(customer(review_on="2027-06-01"), now=NOW).next_check == at("2027-05-25T00:00+02:00")


def test_catching_up_goes_through_writes_and_flips_of_the_setter(rules: Rules) -> None:
    """The complaint is answered before the contract comes near its end; then nobody looks for a year."""
    near = rule("near", "when: {ends: in the next 30 days}", kind="contract", sets="standing: lost", weight=200)
    rulebase = rules(AT_RISK, near, READS, rule("lost", "when: {standing: lost}"))
    open_, closed = complaint(), complaint(status="closed")
    timeline = Timeline(
        dossier=customer(open_, contract(ends="2027-01-07")),
        changes=((at("2026-12-20T12:00+01:00"), customer(closed, contract(ends="2027-01-07"))),),
    )

    walked = [(d.now, [m.rule for m in d.matches]) for d in rulebase.replay(
        timeline, since=NOW, until=at("2027-11-23T00:00Z")
    )]  # fmt: skip

    assert walked == [
        (NOW, ["at-risk", "reads"]),
        (at("2026-12-08T00:00+01:00"), ["at-risk", "lost", "near"]),
        (at("2026-12-20T12:00+01:00"), ["lost", "near"]),
        (at("2027-01-08T00:00+01:00"), []),
    ]


# --- what is said of it ---


def test_an_explanation_shows_what_is_set_and_until_when(rules: Rules) -> None:
    near = rule("near", "when: {ends: in the next 60 days}", kind="contract", sets="standing: at-risk")
    rulebase = rules(near, READS)
    match = Match(rule="reads", subject=RecordRef(kind="customer", id="K1"))
    dossier = customer(contract(ends="2027-01-07"), standing="good")

    (reason,) = rulebase.trace(match, rulebase.facts(dossier, now=NOW))

    assert (reason.value, reason.holds, reason.until) == ("at-risk", True, at("2027-01-08T00:00+01:00"))


def test_sentences_read_what_is_set(rules: Rules) -> None:
    says = (
        'rule: says\nfor each: customer\nthen: {recommend: hold, say: "{{ customer.standing }}", worth: customer.score}'
    )
    rulebase = rules(AT_RISK, rule("scores", COMPLAINS, sets="score: 7"), says + "\n")
    decision = rulebase.decide(customer(complaint(), standing="good", score="99"), now=NOW)
    match = next(m for m in decision.matches if m.rule == "says")
    advice = rulebase.advise(match, decision.facts, opened_at=NOW)

    assert (advice.say, advice.worth) == ("at-risk", 7)


def test_tests_beside_a_rule_hear_of_what_others_set(rules: Rules) -> None:
    tests = """tests:
  - name: complains
    given: {customer: {id: K1, standing: good}, complaint: {id: B1, status: open}}
    story:
      - {on: 2026-11-23, expect: {raised: K1}}
      - {on: 2026-11-24, change: {complaint: {id: B1, status: closed}}, expect: {raised: [], resolved: K1}}
"""
    rulebase = rules(AT_RISK, rule("reads", "when: {standing: at-risk}", more=tests))
    reads = rulebase.by_id["reads"]

    assert [run_test(rulebase, reads, test).failures for test in reads.tests] == [()]


# --- what makes no sense ---

Found: TypeAlias = tuple[str, str, str]
"""(code, what is marked, message)"""


def found(tmp_path: Path, text: str) -> list[Found]:
    """(code, what is marked, message) of every problem; each names a way out."""
    file = tmp_path / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    problems = check([file]).problems
    assert [p for p in problems if not p.help] == []
    return [
        (p.code, p.place.text[p.place.column - 1 : p.place.column - 1 + p.place.length], p.message) for p in problems
    ]


@pytest.mark.parametrize(
    ("sets", "code", "marked", "message"),
    [
        ("standing: risky", "R202", "risky", '"risky" is not one of its values'),
        ("standing: bad", "R202", "bad", '"bad" is not one of its values'),  # a group is not one value
        ("standing: At-risk", "R202", "At-risk", '"At-risk" is not one of its values'),
        ("score: many", "R201", "many", '"many" is not a number'),
        ("review_on: tomorrow", "R201", "tomorrow", '"tomorrow" is not a date like 2027-01-07'),
        ("vip: on", "R201", "on", '"on" is neither yes nor no'),
        ("score: ~", "R201", "~", '"~" is not a value'),
        ("label: [a, b]", "R201", "[a, b]", '"[a, b]" is not a value'),
        ("standin: lost", "R101", "standin", 'customer has no field "standin"'),
        ("ends: 2027-01-07", "R101", "ends", 'customer has no field "ends"'),  # that of contracts
        ("name: Muster", "R201", "name", "name cannot be set: it is who the customer is"),
        ("owner: ann", "R201", "owner", "owner cannot be set: it is who the customer is"),
        ("id: K2", "R201", "id", "id cannot be set: it is who the customer is"),
        ("complaints: 5", "R201", "complaints", "complaints cannot be set: it is derived"),
    ],
)
def test_what_cannot_be_set_is_refused_at_its_place(
    sets: str, code: str, marked: str, message: str, tmp_path: Path
) -> None:
    text = source(rule("r", COMPLAINS, sets=sets), model="customer: {complaints: {count: complaint}}")

    ((found_code, found_marked, found_message),) = found(tmp_path, text)

    assert (found_code, found_marked.rstrip("}")) == (code, marked)
    assert found_message.startswith(message)


STANDING = "customer.standing -> customer.standing goes round in a circle: each is worked out from the next"


@pytest.mark.parametrize(
    "conditions",
    [
        "when: {standing: not lost}",
        "when: {standing: missing}",
        "when: {standing: missing or good}",
        "any of:\n  - {score: above 5}\n  - {standing: present}",
        "unless:\n  - contract: {customer: this, customer.standing: good}",
        "with:\n  - complaint: {customer: this, customer.standing: good}",
    ],
)
def test_a_rule_that_tests_what_it_sets_is_refused_at_its_place(conditions: str, tmp_path: Path) -> None:
    text = source(rule("own", conditions, sets="standing: lost"))

    assert found(tmp_path, text) == [("R302", "rule", STANDING)]


def test_rules_that_set_what_each_other_tests_are_refused_and_the_circle_is_named(tmp_path: Path) -> None:
    text = source(
        rule("a", "when: {care: close}", sets="standing: at-risk"),
        rule("b", "unless:\n  - contract: {customer: this, customer.standing: at-risk}", sets="care: light"),
    )

    ((code, marked, message),) = found(tmp_path, text)

    assert (code, marked) == ("R302", "rule")
    assert message.startswith("customer.standing -> customer.care -> customer.standing goes round in a circle")


def test_a_circle_through_a_figure_is_refused(tmp_path: Path) -> None:
    text = source(
        rule("busy", "when: {bad_ones: above 0}", sets="standing: at-risk"),
        model="customer: {bad_ones: {count: contract, where: {customer.standing: bad}}}",
    )

    ((code, _, message),) = found(tmp_path, text)

    assert code == "R302"
    assert "customer.bad_ones -> customer.standing -> customer.bad_ones" in message


def test_a_draft_is_no_way_out_of_a_circle(tmp_path: Path) -> None:
    """It could be raised to live at any time."""
    text = source(rule("own", "when: {standing: missing}", sets="standing: lost", more="rollout: draft"))

    assert [code for code, _, _ in found(tmp_path, text)] == ["R302"]


def test_records_are_not_tied_by_what_rules_set(tmp_path: Path) -> None:
    text = source(rule("sets", COMPLAINS, sets="label: x"), rule("tied", "with:\n  - contract: {label: same}"))

    assert found(tmp_path, text) == [("R301", "rule", "label is set by rules")]
