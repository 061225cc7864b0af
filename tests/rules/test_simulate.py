"""What time will bring if nobody writes or acts: to which customers, and whom it will reach."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from domain.person import People, Person
from domain.record import Dossier, Record
from rules.loader import load
from rules.rulebase import NOBODY, RuleBase
from rules.simulate import Event, Outlook, foresee, reminders, simulate, summed

SINCE, UNTIL = datetime(2026, 5, 1, 9, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)
PEOPLE = People.of(
    [
        Person(id="ann", name="Ann", email="ann@example.com", manager="boss", team="north"),
        Person(id="bob", name="Bob", email="bob@example.com", manager="boss", team="south", office="auckland"),
        Person(id="boss", name="Boss", email="boss@example.com"),
    ]
)
MODEL = """
model:
  contract: {ends: date}
  visit: {on: date}
---
calendar: auckland
timezone: Pacific/Auckland
"""
EXPIRING = """
---
rule: expiring
tags: [sales]
for each: contract
when: {ends: in the next 30 days}
then: {recommend: win, say: Call, to: TO}
rollout: ROLLOUT
"""
VISITED = """
---
rule: visited
for each: visit
when: {on: in the next 10 days}
then: {recommend: hold, say: Wait, holds back: {tags: [sales]}}
"""
Rules = Callable[..., RuleBase]


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    def rules(*more: str, to: str = "owner", rollout: str = "live") -> RuleBase:
        text = MODEL + EXPIRING.replace("TO", to).replace("ROLLOUT", rollout) + "".join(more)
        (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
        return load([tmp_path / "rules.yaml"])

    return rules


def customer(id_: str = "K1", *, owner: str | None = "ann", visit: str | None = None, **contracts: str) -> Dossier:
    records = [Record(kind="customer", id=id_, customer=None, fields={"owner": owner} if owner else {})]
    records += [Record(kind="contract", id=c, customer=id_, fields={"ends": ends}) for c, ends in contracts.items()]
    if visit:
        records.append(Record(kind="visit", id="V1", customer=id_, fields={"on": visit}))
    return Dossier(id=id_, records=tuple(records))


def foreseen(
    rulebase: RuleBase, dossier: Dossier, *, people: People = PEOPLE, nobody: str | None = None
) -> list[Event]:
    return list(foresee(rulebase, dossier, since=SINCE, until=UNTIL, people=people, nobody=nobody))


def told(events: list[Event], rule: str = "expiring") -> list[str]:
    return [f"{e.day} {e.event} {e.match.subject.id}" for e in events if e.match.rule == rule]


def test_what_is_open_at_the_beginning_is_told_apart_from_what_time_raises(rules: Rules) -> None:
    events = foreseen(rules(), customer(C1="2026-05-20", C2="2026-06-20"))

    assert told(events) == [
        "2026-05-01 open C1",
        "2026-05-21 resolved C1",
        "2026-05-21 raised C2",
        "2026-06-21 resolved C2",
    ]
    assert [event.reminds for event in events] == [(), (), ("ann",), ()]


def test_what_is_held_back_reminds_nobody_until_the_other_has_ended(rules: Rules) -> None:
    events = foreseen(rules(VISITED), customer(C1="2026-06-20", visit="2026-05-24"))

    assert told(events) == ["2026-05-21 raised C1", "2026-05-25 reminded C1", "2026-06-21 resolved C1"]
    raised, reminded, _ = (event for event in events if event.match.rule == "expiring")
    assert (raised.to, raised.held_back_by, raised.reminds) == (("ann",), ("visited",), ())
    assert (reminded.held_back_by, reminded.reminds) == ((), ("ann",))


def test_what_is_held_back_stays_quiet_whatever_else_happens_meanwhile(rules: Rules) -> None:
    events = foreseen(rules(VISITED), customer(C1="2026-06-20", C2="2026-05-22", visit="2026-05-24"))

    assert told(events) == [
        "2026-05-01 open C2",
        "2026-05-21 raised C1",
        "2026-05-23 resolved C2",
        "2026-05-25 reminded C1",
        "2026-06-21 resolved C1",
    ]


def test_what_is_held_back_after_somebody_heard_of_it_reminds_nobody_again(rules: Rules) -> None:
    events = foreseen(rules(VISITED), customer(C1="2026-06-20", visit="2026-06-10"))

    assert told(events) == ["2026-05-21 raised C1", "2026-06-21 resolved C1"]
    assert told(events, "visited") == ["2026-05-31 raised V1", "2026-06-11 resolved V1"]


@pytest.mark.parametrize("rollout", ["shadow", "draft", "team south", "0% of customers"])
def test_of_a_rule_that_is_not_live_it_says_what_would_happen_if_it_were(rules: Rules, rollout: str) -> None:
    live = foreseen(rules(), customer(C1="2026-06-20"))
    events = foreseen(rules(rollout=rollout), customer(C1="2026-06-20"))

    assert [(e.at, e.event, e.to) for e in events] == [(e.at, e.event, e.to) for e in live]
    reach = {"team south": "other team", "0% of customers": "other customers"}.get(rollout, rollout)
    assert {event.reach for event in events} == {reach}


def test_the_owners_team_decides_whether_a_rule_of_one_team_is_live(rules: Rules) -> None:
    assert {e.reach for e in foreseen(rules(rollout="team north"), customer(C1="2026-06-20"))} == {"live"}


def test_whoever_left_is_sent_nothing_and_what_is_left_goes_to_who_was_named_for_it(rules: Rules) -> None:
    gone = customer(C1="2026-06-20", owner="gone")

    assert [e.reminds for e in foreseen(rules(), gone)] == [(), ()]
    assert [e.reminds for e in foreseen(rules(), gone, nobody="boss")] == [("boss",), ()]
    assert foreseen(rules(to="desk@example.com"), gone)[0].reminds == ("desk@example.com",)


def test_a_day_is_that_of_the_customers_office(rules: Rules) -> None:
    raised, _ = foreseen(rules(), customer(C1="2026-06-20", owner="bob"))

    assert raised.day == date(2026, 5, 21)
    assert raised.at == datetime(2026, 5, 20, 12, tzinfo=UTC), "midnight in Auckland"


def test_simulate_knows_raised_and_resolved_alone(rules: Rules) -> None:
    known = customer(C1="2026-05-20", C2="2026-06-20", visit="2026-05-24")
    events = [e for e in simulate(rules(VISITED), known, since=SINCE, until=UNTIL) if e.match.rule == "expiring"]

    assert told(events)[:2] == ["2026-05-01 raised C1", "2026-05-21 resolved C1"]
    assert {event.event for event in events} == {"raised", "resolved"}


# --- many customers ---


def outlook(rulebase: RuleBase, *dossiers: Dossier, people: People = PEOPLE) -> Outlook:
    adding_up = Outlook()
    for dossier in dossiers:
        for event in foreseen(rulebase, dossier, people=people):
            adding_up.add(event)
    return adding_up


def test_a_recommendation_to_two_people_is_one_and_two_reminders(rules: Rules) -> None:
    adding_up = outlook(rules(to="[owner, owner.manager]"), customer(C1="2026-06-20"))

    ((_, figures),) = summed(adding_up.events, lambda cell: cell.rule).items()
    assert figures == {"raised": 1, "resolved": 1, "reminders": 2, "held_back": 0, "unaddressed": 0}
    per_person = summed(adding_up.shares, lambda cell: cell.person)
    assert {who: (f["raised"], f["reminders"]) for who, f in per_person.items()} == {"ann": (1, 1), "boss": (1, 1)}


def test_the_busiest_day_is_the_first_with_most_reminders(rules: Rules) -> None:
    adding_up = outlook(
        rules(),
        customer("K1", C1="2026-06-20", C2="2026-06-25"),
        customer("K2", C3="2026-06-20", C4="2026-06-25"),
        customer("K3", C5="2026-06-28", owner="bob"),
    )

    (sent,) = reminders(adding_up.shares, lambda cell: cell.rule).values()
    assert (sent.count, sent.people, sent.busiest) == (5, 2, date(2026, 5, 21))
    assert sent.on_busiest is not None
    assert (sent.on_busiest.count, sent.on_busiest.people) == (2, 1)


def test_what_is_open_at_the_beginning_belongs_to_no_day(rules: Rules) -> None:
    adding_up = outlook(rules(), customer(C1="2026-05-20"))

    assert [(cell.day, dict(f)) for cell, f in adding_up.events.items()] == [
        (None, {"open": 1, "reminders": 0}),
        (date(2026, 5, 21), {"resolved": 1, "reminders": 0}),
    ]
    assert reminders(adding_up.shares, lambda cell: cell.rule)["expiring"].count == 0


def test_what_nobody_can_be_told_is_counted_as_that(rules: Rules) -> None:
    adding_up = outlook(rules(), customer(C1="2026-06-20", owner=None), people=NOBODY)

    (cell,) = (cell for cell, figures in adding_up.shares.items() if figures["unaddressed"])
    assert (cell.day, cell.person) == (date(2026, 5, 21), None)
