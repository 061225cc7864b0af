"""A company's packs on those that ship: what they add, replace, switch off and raise, and where mistakes are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.person import People, Person
from domain.record import Dossier, Record, Scalar
from rules.loader import builtin_packs, check, load
from rules.rulebase import NOBODY, Decision, RuleBase
from rules.stories import run_test

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
INDUSTRY = ("base", "insurance")
PEOPLE = People.of([Person(id="ann", name="Ann", email="ann@example.com", team="north")])
ADDS = {
    "model.yaml": """
model:
  site_visit: {contract: ref contract, on: date}
  contract:
    cost_centre: text
    status: {enum: [paused], groups: {kept: [paused]}}
    line: {enum: [drones]}
    visits: {count: site_visit, where: {contract: this}}
""",
    "rules/visit-due.yaml": """
rule: visit-due
for each: contract
when: {line: drones, status: [active, paused], cost_centre: starts with 47, visits: 0}
then: {recommend: win, say: "Visit {{ contract.policy_number }}", do: call}
""",
}
REPLACES = {
    "rules/renewal.yaml": """
rule: contract-expiring
for each: contract
when: {status: active, end_date: in the next 30 days}
then: {recommend: win, say: Ours, to: team north}
""",
}
CUSTOMER = {"name": "Muster", "segment": "private", "born_on": "1980-11-25", "owner": "ann"}
CONTRACT = {
    "status": "active", "line": "motor", "end_date": "2027-01-07", "auto_renews": False, "cost_centre": "4711",
}  # fmt: skip
QUOTE = {"status": "sent", "sent_at": "2026-10-01T10:00", "amount": "9000"}


class Packs:
    """Folders of a company's own packs, stacked on the built-in ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stacks = 0
        self.loaded: list[RuleBase] = []

    def paths(self, *own: Mapping[str, str], on: tuple[str, ...] = INDUSTRY) -> list[str | Path]:
        """Each pack: the name of a file -> its text."""
        self.stacks += 1
        stack: list[str | Path] = [*on]
        for number, files in enumerate(own, start=1):
            stack.append(self.folder / f"stack{self.stacks}" / f"own{number}")
            for name, text in files.items():
                file = Path(stack[-1]) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text.lstrip("\n"), encoding="utf-8")
        return stack

    def load(self, *own: Mapping[str, str], on: tuple[str, ...] = INDUSTRY) -> RuleBase:
        self.loaded.append(load(self.paths(*own, on=on)))
        return self.loaded[-1]

    def problems(self, *own: Mapping[str, str], on: tuple[str, ...] = INDUSTRY) -> list[tuple[str, int, str]]:
        """(file, line, code) of each."""
        found = check(self.paths(*own, on=on)).problems
        built_in = str(builtin_packs()["base"].parent)
        places = [p.place.file.replace(built_in, "").replace(f"{self.folder}/stack{self.stacks}", "") for p in found]
        return [(file.lstrip("/"), p.place.line, p.code) for file, p in zip(places, found, strict=True)]


@pytest.fixture
def packs(tmp_path: Path) -> Iterator[Packs]:
    stacked = Packs(tmp_path)
    yield stacked
    for rulebase in stacked.loaded:
        rulebase.engine.close()


def only(rule: str, rollout: str) -> Mapping[str, str]:
    """A pack that says nothing but how far a rule reaches."""
    return {f"{rule}.yaml": f"rule: {rule}\nrollout: {rollout}\n"}


def decided(rulebase: RuleBase, people: People = NOBODY, **contract: Scalar) -> Decision:
    records = (
        Record(kind="customer", id="K1", customer=None, fields=CUSTOMER),
        Record(kind="contract", id="C1", customer="K1", fields=CONTRACT | contract),
        Record(kind="quote", id="Q1", customer="K1", fields=QUOTE),
    )
    return rulebase.decide(Dossier(id="K1", records=records), now=NOW, people=people)


def reached(rulebase: RuleBase, people: People = NOBODY, **contract: Scalar) -> dict[str, str]:
    """The rules that hold, and how far each reaches."""
    decision = decided(rulebase, people, **contract)
    return {m.rule: str(decision.limited.get(m, "live")) for m in decision.matches}


def test_the_customer_of_these_tests_meets_rules_of_both_packs(packs: Packs) -> None:
    found = reached(packs.load())

    assert {"contract-expiring", "quote-stalled", "ins-birthday"} <= found.keys()
    assert set(found.values()) == {"live"}


# --- adding ---


def test_a_pack_adds_kinds_fields_values_figures_and_rules(packs: Packs) -> None:
    rulebase = packs.load(ADDS)

    assert reached(rulebase) == reached(packs.load())
    assert reached(rulebase, line="drones").keys() - reached(rulebase).keys() == {"visit-due"}
    assert "visit-due" in reached(rulebase, line="drones", status="paused")
    assert "contract-expiring" not in reached(rulebase, status="paused")  # it still asks for `active`
    assert rulebase.by_id["visit-due"].place.file.endswith("own1/rules/visit-due.yaml")


def test_what_ships_holds_what_it_promises_under_a_companys_additions(packs: Packs) -> None:
    rulebase = packs.load(ADDS)

    failures = [
        failure for rule in rulebase.rules for test in rule.tests for failure in run_test(rulebase, rule, test).failures
    ]

    assert failures == []


def test_a_later_pack_reads_what_an_earlier_one_of_the_company_added(packs: Packs) -> None:
    local = {
        "a.yaml": "model:\n  contract: {status: {enum: [frozen], groups: {kept: [frozen]}}}\n---\n"
        "rule: kept\nfor each: contract\nwhen: {status: kept, visits: 0}\nthen: {recommend: hold, say: Kept}\n"
    }
    rulebase = packs.load(ADDS, local)

    assert "kept" in reached(rulebase, status="paused")
    assert "kept" in reached(rulebase, status="frozen")
    assert "kept" not in reached(rulebase, status="active")


# --- replacing ---


def test_a_pack_replaces_a_rule_by_its_id_and_nothing_of_the_old_one_is_left(packs: Packs) -> None:
    rulebase = packs.load(ADDS, REPLACES)
    rule = rulebase.by_id["contract-expiring"]

    assert "contract-expiring" not in reached(rulebase)
    assert "contract-expiring" in reached(rulebase, end_date="2026-12-07", auto_renews=True)
    assert (rule.tags, rule.unless, rule.tests, rule.then.repeat) == ((), (), (), None)
    assert [r.id for r in rulebase.rules] == sorted({r.id for r in packs.load(ADDS).rules})


def test_the_last_of_several_packs_that_replace_a_rule_stands(packs: Packs) -> None:
    local = {"a.yaml": REPLACES["rules/renewal.yaml"].replace("30 days", "60 days").replace("Ours", "Local")}
    rulebase = packs.load(REPLACES, local)
    decision = decided(rulebase)
    match = next(m for m in decision.matches if m.rule == "contract-expiring")

    assert rulebase.advise(match, decision.facts, opened_at=NOW).say == "Local"
    assert "contract-expiring" not in reached(packs.load(local, REPLACES))


# --- only the rollout ---


@pytest.mark.parametrize(
    ("rollout", "reach"),
    [
        ("draft", "draft"),
        ("shadow", "shadow"),
        ("0% of customers", "other customers"),
        ("100% of customers", "live"),
        ("team south", "other team"),
        ("team north", "live"),
        ("live", "live"),
    ],
)
def test_a_rule_is_switched_off_or_restricted_by_nothing_but_a_rollout(rollout: str, reach: str, packs: Packs) -> None:
    before, after = packs.load(), packs.load(only("quote-stalled", rollout))

    assert reached(after, PEOPLE) == reached(before, PEOPLE) | {"quote-stalled": reach}
    was, is_ = before.by_id["quote-stalled"], after.by_id["quote-stalled"]
    assert (is_.when, is_.unless, is_.then, is_.tests) == (was.when, was.unless, was.then, was.tests)


def test_what_one_pack_switches_off_a_later_one_raises_again(packs: Packs) -> None:
    off, on = only("ins-birthday", "draft"), only("ins-birthday", "live")

    assert reached(packs.load(off))["ins-birthday"] == "draft"
    assert reached(packs.load(off, on))["ins-birthday"] == "live"
    assert reached(packs.load(on, off))["ins-birthday"] == "draft"


def test_a_rule_of_the_companys_own_is_restricted_by_a_later_pack(packs: Packs) -> None:
    assert reached(packs.load(ADDS, only("visit-due", "shadow")), line="drones")["visit-due"] == "shadow"


def test_a_rule_that_is_replaced_after_it_was_switched_off_is_live(packs: Packs) -> None:
    rulebase = packs.load(only("contract-expiring", "draft"), REPLACES)

    assert reached(rulebase, end_date="2026-12-07")["contract-expiring"] == "live"


def test_a_replaced_rule_may_be_switched_off_in_its_turn(packs: Packs) -> None:
    rulebase = packs.load(REPLACES, only("contract-expiring", "draft"))

    assert reached(rulebase, end_date="2026-12-07")["contract-expiring"] == "draft"


# --- the hash ---


def test_the_hash_names_exactly_what_the_packs_add_up_to(packs: Packs) -> None:
    stacks = [
        (), (ADDS,), (REPLACES,), (ADDS, REPLACES), (only("quote-stalled", "draft"),),
        (only("quote-stalled", "shadow"),), (only("payment-overdue", "draft"),),
        ({"c.yaml": "company: Muster AG\ntimezone: Europe/Zurich\n"},),
        ({"c.yaml": "calendar: zurich\ntimezone: Europe/Zurich\n"},),
    ]  # fmt: skip
    hashes = [packs.load(*stack).hash for stack in stacks]

    assert len(set(hashes)) == len(stacks)
    assert [packs.load(*stack).hash for stack in stacks[:3]] == hashes[:3]


@pytest.mark.parametrize(
    "line",
    ["# a comment", "notes: why it is so", "tests: []", "tests: [{name: a, today: 2026-11-23, expect: nothing}]"],
)
def test_notes_tests_and_comments_leave_the_hash_as_it_is(line: str, packs: Packs) -> None:
    plain = packs.load(REPLACES).hash

    assert packs.load({"rules/renewal.yaml": f"{REPLACES['rules/renewal.yaml']}{line}\n"}).hash == plain


def test_how_a_pack_is_cut_into_files_does_not_matter(packs: Packs) -> None:
    one = {"all.yaml": "---\n".join(ADDS.values())}

    assert reached(packs.load(one), line="drones") == reached(packs.load(ADDS), line="drones")


# --- mistakes ---


def test_a_mistake_is_shown_in_the_file_that_has_it(packs: Packs) -> None:
    found = packs.problems(
        ADDS
        | {"rules/bad.yaml": "rule: bad\nfor each: contract\nwhen: {cost_center: x}\nthen: {recommend: win, say: A}\n"},
        {
            "model.yaml": "model:\n  contract: {end_date: text}\n",
            "rules/off.yaml": "rule: quote-stalled\nrollout: drft\n",
            "rules/own.yaml": "rule: visit-due\nfor each: site_vist\nthen: {recommend: win, say: A}\n",
        },
    )

    assert found == [
        ("own1/rules/bad.yaml", 3, "R101"),
        ("own2/model.yaml", 2, "R104"),
        ("own2/rules/off.yaml", 2, "R201"),
        ("own2/rules/own.yaml", 2, "R100"),
    ]


def test_a_later_pack_cannot_pull_a_rule_of_its_own_model_from_under_an_earlier_one(packs: Packs) -> None:
    """What an earlier pack reads as one type stays of that type; the rules of that pack are still read."""
    recorded = {"model.yaml": "model:\n  quote:\n    amount: {count: order}\n    sent_at: {latest: order.placed_on}\n"}
    found = packs.problems(recorded)

    assert ("own1/model.yaml", 4, "R104") in found


def test_a_rule_that_a_pack_spoils_is_left_as_the_earlier_pack_wrote_it(packs: Packs) -> None:
    spoiled = {"a.yaml": "rule: quote-stalled\nfor each: quote\nwhen: {status: snet}\nthen: {recommend: win, say: A}\n"}
    checked = check(packs.paths(spoiled))

    assert [p.code for p in checked.problems] == ["R202"]
    assert checked.rulebase.by_id["quote-stalled"].place.file.startswith(str(builtin_packs()["base"]))


def test_within_one_pack_an_id_stands_once_even_for_its_rollout(packs: Packs) -> None:
    twice = ADDS | {"rules/zz-off.yaml": "rule: visit-due\nrollout: draft\n"}

    assert packs.problems(twice) == [("own1/rules/zz-off.yaml", 1, "R106")]


def test_an_industry_without_its_base_misses_what_the_base_declares(packs: Packs) -> None:
    found = packs.problems(on=("insurance",))

    assert found
    assert {file.split("/")[0] for file, _, _ in found} == {"insurance"}
