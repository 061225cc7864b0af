"""What the review of a rule base finds: names that lead nowhere, tests that fail, rules that cannot be meant so."""

# ruff: noqa: E501 - what is printed stands here as it is printed

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.person import People, Person
from domain.record import Dossier, Record
from rules.loader import builtin_packs, check, load
from rules.problems import Problem, Problems
from rules.review import Looked, review, single
from rules.stories import run_test
from tests.rules import oracle, strategies
from tests.rules.strategies import TYPES, Company, cases, companies, literals, moments, office, starts

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
MODEL = """
company: Muster AG
timezone: Europe/Zurich
---
model:
  customer: {segment: {enum: [sme, corporate]}, standing: {enum: [good, at-risk]}, revenue: {sum: invoice.amount}}
  contract:
    status: {enum: [draft, active, cancelled, expired], groups: {live: [draft, active], over: [cancelled, expired]}}
    end_date: date
    signed_at: datetime
    annual_value: money
    auto_renews: yesno
    label: text
    unpaid: {sum: invoice.amount, where: {contract: this}}
  opportunity: {contract: ref contract, stage: {enum: [new, won]}, amount: number}
  invoice: {contract: ref contract, amount: money}
"""
THEN = "then: {recommend: win, say: Call}"

Reviewed = Callable[..., Problems]


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[Path]]:
    """The model and some texts as files rules.yaml, rules2.yaml, ..., each a pack of its own."""

    def write(*texts: str) -> list[Path]:
        paths = [tmp_path / "model.yaml"]
        paths[0].write_text(MODEL, encoding="utf-8")
        for number, text in enumerate(texts, start=1):
            paths.append(tmp_path / f"rules{number if number > 1 else ''}.yaml")
            paths[-1].write_text(textwrap.dedent(text).strip("\n") + "\n", encoding="utf-8")
        return paths

    return write


@pytest.fixture
def reviewed(files: Callable[..., list[Path]]) -> Reviewed:
    """Everything but W503, which has tests of its own."""

    def run(*texts: str, **known: object) -> Problems:
        return Problems(p for p in review(check(files(*texts)), **known) if p.code != "W503")

    return run


def rule(text: str, *, id_: str = "renewal", kind: str = "contract", then: str = THEN) -> str:
    return f"rule: {id_}\nfor each: {kind}\n{textwrap.dedent(text).strip()}\n{then}\n"


def told(problems: Problems) -> list[str]:
    return [f"{Path(p.place.file).name}:{p.place.line}: {p.code} {p.message}" for p in problems]


@pytest.mark.parametrize("packs", [["base"], [name for name in builtin_packs() if name != "base"]], ids=["base", "all"])
def test_nothing_is_to_be_said_of_the_packs_that_ship(packs: list[str]) -> None:
    assert told(review(check(dict.fromkeys(["base", *packs])))) == []


def test_findings_stand_in_the_order_of_their_places_each_with_a_way_out(files: Callable[..., list[Path]]) -> None:
    found = review(check(files(rule("when: {status: actve}"), rule("when: {annual_value: between 9 and 3}", id_="b"))))

    assert [(Path(p.place.file).name, p.place.line, p.code) for p in found] == [
        ("rules.yaml", 3, "R202"),
        ("rules2.yaml", 1, "W503"),
        ("rules2.yaml", 3, "W501"),
    ]
    assert all(p.help for p in found)


# --- R401: dialogs ---

DIALOG = "dialog: renewal-call\n---\n"
ASKS = "then: {recommend: win, say: Call, do: dialog renewal-cal, or: [call, dialog lost]}"


def test_a_dialog_that_nobody_described_is_named_with_the_nearest(reviewed: Reviewed) -> None:
    process = (
        "---\nprocess: renewal\nstages:\n  - {stage: new, next: [lost]}\n  - {stage: lost, ask: dialog renewl-call}\n"
    )

    first, second, third = reviewed(DIALOG + rule("", then=ASKS) + process)

    assert str(first).replace(first.place.file, "rules.yaml") == textwrap.dedent(
        """\
        rules.yaml:6:47: error[R401] no dialog "renewal-cal"
            6 | then: {recommend: win, say: Call, do: dialog renewal-cal, or: [call, dialog lost]}
              |                                              ^^^^^^^^^^^
              = help: did you mean "renewal-call"? allowed: renewal-call"""
    ).replace("6:47", f"{first.place.line}:{first.place.column}")
    assert first.place.text[first.place.column - 1 :].startswith("renewal-cal,")
    assert (second.code, second.message) == ("R401", 'no dialog "lost"')
    assert (third.message, third.place.text) == (
        'no dialog "renewl-call"',
        "  - {stage: lost, ask: dialog renewl-call}",
    )


def test_dialogs_of_any_pack_count_and_a_stack_without_any_keeps_them_elsewhere(reviewed: Reviewed) -> None:
    asks = rule("", then="then: {recommend: win, say: Call, do: dialog renewal-call}")

    assert told(reviewed(asks, "dialog: renewal-call\n")) == []
    assert told(reviewed(asks)) == []


def test_a_dialog_may_stand_in_a_file_that_cannot_be_read(reviewed: Reviewed) -> None:
    assert [p.code for p in reviewed(DIALOG + rule("", then=ASKS), "dialog: [lost")] == ["Y001"]


# --- R403: teams and users ---

PEOPLE = People.of(
    [
        Person(id="lena", name="Lena", email="lena@example.com", team="zurich"),
        Person(id="marc", name="Marc", email="marc@example.com", team="bern"),
    ]
)


@pytest.mark.parametrize(
    ("text", "message", "way_out"),
    [
        ("to: team zurch", 'no team "zurch"', 'did you mean "zurich"?'),
        ("to: 'owner, otherwise team zurch'", 'no team "zurch"', 'did you mean "zurich"?'),
        ("to: [owner, user lean]", 'no user "lean"', 'did you mean "lena"?'),
        ("escalate: {after: 2 days, to: user lean}", 'no user "lean"', 'did you mean "lena"?'),
        (
            "escalate: [{after: 2 days, to: owner}, {after: 4 days, to: [owner, team zurch]}]",
            'no team "zurch"',
            'did you mean "zurich"?',
        ),
    ],
)
def test_a_team_or_user_that_nobody_knows_is_named_with_the_nearest(
    text: str, message: str, way_out: str, reviewed: Reviewed
) -> None:
    ruled = rule("", then=f"then: {{recommend: win, say: Call, {text}}}")

    (problem,) = reviewed(ruled, people=PEOPLE)

    assert (problem.code, problem.message) == ("R403", message)
    marked = problem.place.text[problem.place.column - 1 :][: problem.place.length]
    assert marked == message.split('"')[1]
    assert way_out in (problem.help or "")
    assert told(reviewed(ruled)) == [], "nobody is known"


def test_the_team_of_a_rollout_is_looked_up_where_it_was_written_last(reviewed: Reviewed) -> None:
    of_base = rule("rollout: team berm")

    assert told(reviewed(of_base, people=PEOPLE)) == ['rules.yaml:3: R403 no team "berm"']
    assert told(reviewed(of_base, "rule: renewal\nrollout: team bern", people=PEOPLE)) == []
    assert told(reviewed(of_base, "rule: renewal\nrollout: team zurch", people=PEOPLE)) == [
        'rules2.yaml:2: R403 no team "zurch"'
    ]


def test_people_that_are_known_are_fine(reviewed: Reviewed) -> None:
    to = "[owner, owner.manager, team lead, team bern, user marc, chief@example.com]"

    assert told(reviewed(rule("", then=f"then: {{recommend: win, say: Call, to: {to}}}"), people=PEOPLE)) == []


# --- R404: tests beside the rules ---


def test_a_test_that_fails_is_an_error_at_its_step_but_the_rules_decide_all_the_same(
    files: Callable[..., list[Path]],
) -> None:
    story = """
    when: {status: active}
    tests:
      - name: over a year
        given: {contract: {id: C1, status: active}}
        story:
          - {on: 2026-11-01, expect: {raised: C1}}
          - {on: 2026-12-01, expect: nothing}
    """
    paths = files(rule(story))

    (problem,) = review(check(paths))

    assert str(problem).replace(problem.place.file, "rules.yaml") == textwrap.dedent(
        """\
        rules.yaml:9:32: error[R404] over a year: on 2026-12-01 expected nothing, open is C1
            9 |       - {on: 2026-12-01, expect: nothing}
              |                                  ^^^^^^^
              = help: change the rule, or what the test expects of it"""
    ).replace("9:32", f"{problem.place.line}:{problem.place.column}")
    rulebase = load(paths)
    contract = Record(kind="contract", id="C1", customer="K1", fields={"status": "active"})
    assert len(rulebase.decide(Dossier(id="K1", records=(contract,)), now=NOW).matches) == 1
    rulebase.engine.close()


SETTER = """
rule: late-payer
for each: customer
when: {segment: sme}
then: {recommend: hold, say: Wait, set: {standing: at-risk}}
---
"""


def test_a_test_sees_what_its_rule_rests_on(reviewed: Reviewed) -> None:
    """Derived fields that it tests or only says, and what other rules set."""
    text = SETTER + rule(
        """
        when: {customer.standing: at-risk, customer.revenue: above 10}
        tests:
          - name: raises
            today: 2026-11-23
            given:
              customer: {id: K1, segment: sme}
              contract: {id: C1}
              invoice: [{id: I1, contract: C1, amount: 5}, {id: I2, amount: 8}]
            expect: {raised: C1, worth: 5}
        """,
        then="then: {recommend: win, say: Call, worth: contract.unpaid}",
    )

    assert told(reviewed(text)) == []
    assert told(reviewed(text.replace("worth: 5", "worth: 6"))) == [
        "rules.yaml:16: R404 raises: C1: expected worth 6, it is 5"
    ]


def test_a_test_is_not_blamed_for_another_rule_that_cannot_be_read(reviewed: Reviewed) -> None:
    on_it = rule(
        """
        when: {customer.standing: at-risk}
        tests:
          - {name: raises, today: 2026-11-23, given: {customer: {segment: sme}, contract: {id: C1}}, expect: {raised: C1}}
        """
    )
    by_itself = rule(
        """
        when: {status: active}
        tests:
          - {name: raises, today: 2026-11-23, given: {contract: {id: C1}}, expect: {raised: C1}}
        """,
        id_="other",
    )

    assert told(reviewed(SETTER + on_it)) == []
    found = reviewed(SETTER.replace("sme", "smee") + on_it + "---\n" + by_itself)
    assert [p.code for p in found] == ["R202", "R404"]
    assert found[1].message.startswith("raises: on 2026-11-23 expected C1")
    assert [p.code for p in reviewed(by_itself, "rule: [broken")] == ["Y001"], "it may hold the model"


def test_a_rule_alone_is_tested_as_among_all_others() -> None:
    rulebase = load(["base", "insurance", "telecom", "automotive"])
    for each in rulebase.rules:
        small = single(rulebase, each)
        assert len(small.rules) < 5
        for case in each.tests:
            outcome = run_test(small, each, case)
            assert outcome.failures == ()
            assert outcome.made_false <= run_test(rulebase, each, case).made_false
    rulebase.engine.close()


# --- R107: more than the engine takes ---


def relations(part: str, count: int, more: str = "") -> str:
    lines = "".join(f"  - opportunity: {{contract: this, amount: at least {n}{more}}}\n" for n in range(count))
    return f"{part}:\n{lines}"


def decided(paths: list[Path], *, of: str) -> int:
    opportunities = [
        Record(kind="opportunity", id=f"O{n}", customer="K1", fields={"contract": of, "amount": str(100 + n)})
        for n in range(3)
    ]
    contract = Record(kind="contract", id="C1", customer="K1", fields={})
    rulebase = load(paths)
    matches = rulebase.decide(Dossier(id="K1", records=(contract, *opportunities)), now=NOW).matches
    rulebase.engine.close()
    return len(matches)


@pytest.mark.parametrize(("part", "most", "of"), [("with", 15, "C1"), ("unless", 59, "C2")])
def test_a_rule_of_more_relations_than_the_engine_takes_is_an_error_when_it_is_loaded(
    part: str, most: int, of: str, files: Callable[..., list[Path]]
) -> None:
    assert decided(files(rule(relations(part, most))), of=of) == 1

    (problem,) = check(files(rule(relations(part, most + 1)))).problems

    assert (problem.code, problem.place.line) == ("R107", 3)
    assert problem.message == f"{most + 1} relations in `{part}` are more than the engine takes: {most} in this rule"
    assert "count: at least 1" in (problem.help or "")
    assert decided(files(rule(relations(part, most + 20, ", count: at least 1"))), of=of) == 1


# --- W501: what can never be true ---

NEVER = {
    "annual_value: between 9 and 3": 'annual_value is never "between 9 and 3"',
    "status: none of live, over": 'status is never "none of live, over"',
    "auto_renews: none of yes, no": 'auto_renews is never "none of yes, no"',
    "status: draft & active": 'status is never "draft" and "active" at once',
    "status: live & over": 'status is never "live" and "over" at once',
    "status: draft & not live": 'status is never "draft" and "not live" at once',
    "auto_renews: yes & no": 'auto_renews is never "yes" and "no" at once',
    "annual_value: above 5 & below 5": 'annual_value is never "above 5" and "below 5" at once',
    "annual_value: above 5 & at most 5": 'annual_value is never "above 5" and "at most 5" at once',
    "annual_value: 5 & not 5.0": 'annual_value is never "5" and "not 5.0" at once',
    "annual_value: between 1 and 2 & between 3 and 4": 'annual_value is never "between 1 and 2" and "between 3 and 4" at once',
    "end_date: before 2026-01-01 & after 2026-12-31": 'end_date is never "before 2026-01-01" and "after 2026-12-31" at once',
    "end_date: before 2026-01-02 & after 2026-01-01": 'end_date is never "before 2026-01-02" and "after 2026-01-01" at once',
    "signed_at: before 2026-01-02 & after 2026-01-01": 'signed_at is never "before 2026-01-02" and "after 2026-01-01" at once',
    "signed_at: 2026-01-02 & after 2026-01-02": 'signed_at is never "2026-01-02" and "after 2026-01-02" at once',
    "end_date: in the next 30 days & more than 10 days ago": 'end_date is never "in the next 30 days" and "more than 10 days ago" at once',
    "end_date: in the next 3 months & more than 3 months away": 'end_date is never "in the next 3 months" and "more than 3 months away" at once',
    "end_date: in the last 2 weeks & more than 14 days ago": 'end_date is never "in the last 2 weeks" and "more than 14 days ago" at once',
    "end_date: in the last 28 days & more than 1 month ago": 'end_date is never "in the last 28 days" and "more than 1 month ago" at once',
    "end_date: passed & in the next 5 business days": 'end_date is never "passed" and "in the next 5 business days" at once',
    "end_date: today & passed": 'end_date is never "today" and "passed" at once',
    "signed_at: in the last 90 minutes & more than 2 hours ago": 'signed_at is never "in the last 90 minutes" and "more than 2 hours ago" at once',
    "label: missing & x": 'label is never "missing" and "x" at once',
    "label: missing & not x": 'label is never "missing" and "not x" at once',
    "label: missing & present": 'label is never "missing" and "present" at once',
    "label: present & missing": 'label is never "present" and "missing" at once',
    "label: missing or x & y": 'label is never "missing or x" and "y" at once',
    "label: starts with ab & starts with ac": 'label is never "starts with ab" and "starts with ac" at once',
    "label: abc & contains x": 'label is never "abc" and "contains x" at once',
    "customer.segment: sme & corporate": 'customer.segment is never "sme" and "corporate" at once',
}  # fmt: skip
PERHAPS = [
    "annual_value: at least 5 & at most 5",
    "annual_value: above 5 & below 5.0000000000000000000000000000000000001",
    "annual_value: above 99999999999999999.99999999999999999999 & below 99999999999999999.999999999999999999999999",
    "status: draft & live",
    "status: none of draft, active & none of cancelled",
    "end_date: before 2026-01-03 & after 2026-01-01",
    "end_date: in the next 30 days & more than 10 days away",
    "end_date: in the next 1 month & more than 28 days away",
    "end_date: in the last 1 month & more than 30 days ago",
    "end_date: in the next 30 days & in the last 30 days",
    "end_date: in the next 30 days & today",
    "end_date: in the last 3 business days & more than 4 days ago",
    "end_date: in the next 5 days & before 1900-01-01",
    "end_date: anniversary in the next 400 days & more than 5 days away",
    "signed_at: today & passed",
    "signed_at: in the next 5 days & more than 0 days ago",
    "signed_at: 2026-01-02T23:30:00Z & 2026-01-03",
    "label: missing & missing or x",
    "label: missing or x & missing or y",
    "label: starts with AB & starts with abc",
    "label: starts with ab & contains x",
    "label: starts with ab & not ab~",
    "label: x & x",
]


def conditions(pair: str) -> str:
    """`end_date: passed & today` as a rule that asks for both; quotes make dates of moments words of YAML."""
    field, both = pair.split(": ", 1)
    first, *second = (f'"{test}"' for test in both.split(" & "))
    return f"when:\n  {field}: {first}\n" + "".join(f"any of:\n  - {field}: {test}\n" for test in second)


@pytest.mark.parametrize("pair", NEVER)
def test_conditions_that_no_value_fulfils_are_a_warning(pair: str, reviewed: Reviewed) -> None:
    (problem,) = reviewed(rule(conditions(pair)))

    assert (problem.code, problem.message) == ("W501", f"renewal can never be true: {NEVER[pair]}")
    last = pair.split(": ", 1)[1].split(" & ")[-1]
    assert problem.place.text[problem.place.column - 1 :] == f'"{last}"'


@pytest.mark.parametrize("pair", PERHAPS)
def test_conditions_that_some_value_fulfils_are_none(pair: str, reviewed: Reviewed) -> None:
    assert told(reviewed(rule(conditions(pair)))) == []


def test_only_where_every_alternative_is_impossible_the_rule_is(reviewed: Reviewed) -> None:
    def found(third: str) -> list[str]:
        alternatives = f"any of:\n  - {{status: draft}}\n  - {{status: expired, label: x}}\n  - {{{third}}}"
        return told(reviewed(rule(f"when: {{status: active}}\n{alternatives}")))

    assert found("label: x") == []
    assert found("annual_value: between 9 and 3") == [
        'rules.yaml:5: W501 renewal can never be true: status is never "active" and "draft" at once'
    ]


@pytest.mark.parametrize(
    ("part", "relation", "message"),
    [
        ("with", "count: below 0", 'renewal can never be true, for its `with`: no number is "below 0"'),
        ("with", "count: between 1.2 and 1.8", 'renewal can never be true, for its `with`: no number is "between 1.2 and 1.8"'),
        ("with", "amount: between 9 and 3", 'renewal can never be true, for its `with`: amount is never "between 9 and 3"'),
        ("with", "amount: between 9 and 3, count: above 0", 'renewal can never be true, for its `with`: amount is never "between 9 and 3"'),
        ("with", "amount: between 9 and 3, count: 0", None),
        ("with", "count: at least 0", None),
        ("with", "count: {none of: [0, 1, 2]}", None),
        ("unless", "stage: not new", None),
        ("unless", "count: missing", 'this `unless` holds back nothing: no number is "missing"'),
        ("unless", "count: at most -1", 'this `unless` holds back nothing: no number is "at most -1"'),
        ("unless", "stage: 'none of new, won'", 'this `unless` holds back nothing: stage is never "none of new, won"'),
        ("unless", "count: at least 0", 'renewal can never be true, for its `unless`: any number is "at least 0"'),
        ("unless", "count: missing or above 2", None),
        ("unless", "count: below 1", None),
    ],
)  # fmt: skip
def test_relations_that_come_out_the_same_whatever_there_is(
    part: str, relation: str, message: str | None, reviewed: Reviewed
) -> None:
    found = reviewed(rule(f"{part}:\n  - opportunity: {{contract: this, {relation}}}"))

    assert told(found) == ([] if message is None else [f"rules.yaml:4: W501 {message}"])


RANDOM = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def reviewed_text(text: str) -> Problems:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(text, encoding="utf-8")
        return review(check([file]))


def possible(type_: str) -> st.SearchStrategy[object]:
    return st.one_of(literals(type_), moments()) if type_ == "datetime" else literals(type_)


@settings(RANDOM, max_examples=400)
@given(data=st.data())
def test_no_value_at_any_moment_fulfils_two_conditions_that_are_said_to_exclude_each_other(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(sorted(set(TYPES.values()) - {"enum"})))
    (first, said), (second, also) = (data.draw(strategies.tests(type_)) for _ in range(2))
    model = f"company: A\ntimezone: Europe/Zurich\n---\nmodel:\n  contract: {{field: {type_}}}\n---\n"
    text = rule(f"when:\n  field: {said}\nany of:\n  - field: {also}")
    if not any(p.code == "W501" for p in reviewed_text(model + text)):
        return
    at = office(data.draw(st.sampled_from(["zurich", "sydney", "nightshift", "weekend"])))
    for _ in range(30):
        now = oracle.micros(data.draw(starts(at)))
        value = data.draw(st.one_of(possible(type_), near(type_, now, at, [first, second])))
        assert not (oracle.holds(first, value, now, at) and oracle.holds(second, value, now, at))


def near(type_: str, now: int, at: oracle.Office, given_: list[oracle.Test]) -> st.SearchStrategy[object]:
    """Days and moments about as far from now as the tests ask for."""
    spans = [
        t[1:] for t in (t[1] if t[0] == "missing or" else t for t in given_) if len(t) == 3 and isinstance(t[2], str)
    ]
    if type_ not in ("date", "datetime") or not spans:
        return possible(type_)

    def value(span: tuple[int, str], sign: int, nudge: int) -> object:
        count, unit = span
        if unit.startswith("business"):
            instant = now + sign * count * oracle.DAY
        else:
            instant = oracle.shift(now, sign * count, unit, at.zone)
        moment = oracle.moment(instant + nudge)
        return moment if type_ == "datetime" else moment.astimezone(at.zone).date()

    nudges = [-oracle.DAY, -oracle.HOUR, -1, 0, 1, oracle.HOUR, oracle.DAY]
    return st.builds(value, st.sampled_from(spans), st.sampled_from([-1, 0, 1]), st.sampled_from(nudges))


@settings(RANDOM, max_examples=150)
@given(data=st.data())
def test_random_rules_do_as_the_review_says(data: st.DataObject) -> None:
    """One that can never be true never fires, one that is the same as another fires with it, whatever there is."""
    company = data.draw(companies())
    found = [p for p in reviewed_text(company.text) if p.code in ("W501", "W502")]
    for _ in range(6 if found else 0):
        case = data.draw(cases(company, data.draw(starts(company.offices["u1"]))))
        world = case.world.at(oracle.micros(data.draw(starts(case.world.office))))
        fired = oracle.decide(world)
        for problem in found:
            agrees(problem, company, world, fired)


def agrees(problem: Problem, company: Company, world: oracle.World, fired: frozenset[tuple[str, str]]) -> None:
    id_ = problem.message.split(" ")[0]
    if problem.code == "W502":
        other = re.findall(r"same conditions as (\S+) in", problem.message)[0]
        assert {subject for r, subject in fired if r == id_} == {subject for r, subject in fired if r == other}
    elif "holds back nothing" in problem.message:
        before = company.text.splitlines()[: problem.place.line - 1]
        begins = max(n for n, line in enumerate(before) if line.startswith("rule: "))
        each = next(r for r in company.book.rules if r.id == before[begins].removeprefix("rule: "))
        relation = each.unless[len(before) - 1 - before.index("unless:", begins)]
        assert not any(oracle.exists(world, relation, this) for this in world.of(each.kind))
    else:
        assert id_ not in {r for r, _ in fired}


# --- W502: the same as another rule ---


def test_a_rule_with_the_conditions_of_another_is_a_warning_however_it_is_written(reviewed: Reviewed) -> None:
    one = """
    when: {status: [draft, active], end_date: in the next 90 days, annual_value: above 1e3, label: [a, b]}
    any of: [{auto_renews: no}, {customer.segment: sme}]
    unless:
      - opportunity: {contract: this, stage: new, count: at least 2}
      - invoice: {contract: this}
    """
    other = """
    unless:
      - invoice: {contract: this}
      - opportunity: {count: {at least: 2}, stage: [new], contract: this}
    any of: [{customer.segment: {is: sme}}, {auto_renews: "no"}]
    when: {label: {is: [b, a]}, annual_value: {above: 1000}, end_date: {in the next: 90 days}, status: live}
    """
    found = reviewed(rule(one), rule(other, id_="winback"))

    (message,) = told(found)
    assert message.startswith("rules2.yaml:1: W502 winback has the same conditions as renewal in ")
    assert message.endswith("/rules.yaml:1")


@pytest.mark.parametrize(
    "other",
    [
        rule("when: {status: active, label: x}", id_="b"),
        rule("when: {status: draft}", id_="b"),
        rule("when: {status: not active}", id_="b"),
        rule("when: {status: missing or active}", id_="b"),
        rule("with:\n  - contract: {customer: same, status: active}", id_="b"),
        rule("when: {status: active}\nrollout: shadow", id_="b"),
        rule("when: {status: active}\nrollout: team bern", id_="b"),
    ],
)
def test_other_conditions_and_rules_that_are_being_tried_are_not_the_same(other: str, reviewed: Reviewed) -> None:
    assert told(reviewed(rule("when: {status: active}"), other)) == []


def test_relations_that_must_and_must_not_exist_are_not_the_same(reviewed: Reviewed) -> None:
    related = "{part}:\n  - opportunity: {{contract: this}}"

    assert told(reviewed(rule(related.format(part="with")), rule(related.format(part="unless"), id_="b"))) == []


# --- W503: tests ---


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ([], "renewal is live without a test that raises, and without one that stays quiet"),
        (["{raised: C1}"], "renewal is live without a test that stays quiet"),
        (["nothing"], "renewal is live without a test that raises"),
        (["{raised: C1}", "nothing"], None),
    ],
)
def test_a_live_rule_has_a_test_that_raises_and_one_that_stays_quiet(
    expected: list[str], message: str | None, files: Callable[..., list[Path]]
) -> None:
    cases_ = "".join(f"  - {{name: a, today: 2026-11-23, given: {{}}, expect: {e}}}\n" for e in expected)
    text = rule(f"tests:\n{cases_}" if cases_ else "")

    def said(text: str) -> list[str]:
        return [p.message for p in review(check(files(text))) if p.code == "W503"]

    assert said(text) == ([] if message is None else [message])
    assert said(text + "rollout: draft\n") == []


def test_the_steps_of_a_story_count(files: Callable[..., list[Path]]) -> None:
    story = """
    when: {end_date: in the next 9 days}
    tests:
      - name: over a year
        given: {contract: {id: C1, end_date: 2026-12-01}}
        story: [{on: 2026-11-01, expect: nothing}, {on: 2026-11-25, expect: {raised: C1}}]
    """
    assert told(review(check(files(rule(story))))) == []


# --- W504, W505: the data ---


def contracts(count: int, **fields: str) -> list[Record]:
    return [Record(kind="contract", id=f"C{n}", customer="K1", fields=fields) for n in range(count)]


def test_a_field_that_no_record_has_is_a_warning_that_says_how_many_were_looked_at(reviewed: Reviewed) -> None:
    text = rule("when: {label: x, end_date: passed}\nunless:\n  - opportunity: {contract: this}")
    records = [
        *contracts(1200, end_date="2026-01-01", label=""),
        Record(kind="opportunity", id="O1", customer="K1", fields={}),
    ]

    assert told(reviewed(text, looked=Looked(records=records, at_all=True))) == [
        "rules.yaml:3: W504 label is filled in none of the records: 1,200 of contract were looked at",
        "rules.yaml:5: W504 contract is filled in none of the records: 1 of opportunity were looked at",
    ]


def test_a_few_records_of_many_say_nothing(reviewed: Reviewed) -> None:
    text = rule("when: {label: x}")

    assert told(reviewed(text, looked=Looked(records=contracts(99), at_all=False))) == []
    assert len(reviewed(text, looked=Looked(records=contracts(100), at_all=False))) == 1
    assert told(reviewed(text, looked=Looked(records=[], at_all=True))) == []


def test_derived_fields_and_those_that_rules_set_are_not_expected_in_the_data(reviewed: Reviewed) -> None:
    text = SETTER + rule("when: {customer.standing: at-risk, unpaid: above 5, id: C1, customer: K1}")
    customer = Record(kind="customer", id="K1", customer=None, fields={"segment": "sme"})

    assert told(reviewed(text, looked=Looked(records=[customer, *contracts(100)], at_all=True))) == []


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("status: [active, draft]", ["draft"]),
        ("status: {none of: [cancelled, active]}", ["cancelled"]),
        ("status: over", ["over"]),
        ("status: live", []),
        ("status: [live, expired]", ["expired"]),
        ("status: missing or expired", ["expired"]),
        ("status: {is: expired}", ["expired"]),
        ("status: present", []),
    ],
)
def test_a_value_that_no_record_has_is_a_warning_where_there_are_many_records(
    condition: str, values: list[str], reviewed: Reviewed
) -> None:
    text = rule(f"when: {{{condition}}}")

    def found(count: int) -> list[str]:
        return told(reviewed(text, looked=Looked(records=contracts(count, status="active"), at_all=True)))

    assert found(100) == [
        f"rules.yaml:3: W505 status is {value} in none of the records: 100 of contract were looked at"
        for value in values
    ]
    assert found(99) == []
