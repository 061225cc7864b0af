"""`relance rules`: check, test and explain, on files and on the database."""

from __future__ import annotations

import json

import pytest

from domain.person import Person
from domain.record import CUSTOMER, Record
from tests.app.test_cli_files import K1, K2, UNDATED

AT = "2026-11-23T09:00:00+01:00"

RULE = """\
rule: big-customer
title: Big customer
for each: customer
when:
  lifetime_value: above 1000
then: {recommend: win, say: "Hello", do: call, to: owner, due: today}
"""
TESTED = (
    RULE
    + """\
tests:
  - name: raises above a thousand
    today: 2026-11-23
    given: {customer: {id: K1, lifetime_value: 1001}}
    expect: {raised: K1}
  - name: stays quiet below
    today: 2026-11-23
    given: {customer: {id: K1, lifetime_value: 999}}
    expect: nothing
"""
)


@pytest.fixture
def check(relance):
    def run(text, *options):
        relance.writes("own/rule.yaml", text)
        return relance("rules", "check", "base", "own", *options)

    return run


# --- check ---


def test_a_rule_base_without_problems_says_so(relance):
    said = relance("rules", "check", "base")
    assert (said.code, said.err) == (0, "")
    assert said.out == "6 rules read, no problems\n"


def test_the_rules_of_the_settings_are_checked_unless_others_are_named(relance):
    assert relance.having(RULES='["base", "pack"]')("rules", "check").code == 0
    assert relance.having(RULES='["nowhere"]')("rules", "check").code == 1


BAD_RULES = {
    "broken YAML": (
        "rule: x\nwhen: [\n",
        [
            "own/rule.yaml:2:8: error[Y001] not YAML: did not find expected node content",
            "      = help: check the indentation, brackets and quotes here and on the line above",
        ],
    ),
    "an unknown field": (
        RULE.replace("lifetime_value", "lifetime_valu"),
        [
            'own/rule.yaml:5:3: error[R101] customer has no field "lifetime_valu"',
            "    5 |   lifetime_valu: above 1000",
            "      |   ^^^^^^^^^^^^^",
            '      = help: did you mean "lifetime_value"?',
        ],
    ),
    "an unknown key": (
        RULE.replace("for each:", "for eech:"),
        ['own/rule.yaml:3:1: error[R001] unknown key "for eech"', '      = help: did you mean "for each"?'],
    ),
    "a date that is no date": (
        RULE.replace("lifetime_value: above 1000", "since: before 2026-02-30"),
        ['own/rule.yaml:5:17: error[R201] "2026-02-30" is not a date'],
    ),
    "another encoding": (
        RULE.replace("Big", "Gröss").encode("latin-1"),
        ["own/rule.yaml:2:1: error[Y001] is not UTF-8: byte 28 is 0xf6", "      = help: save the file as UTF-8"],
    ),
    "nonsense": (
        bytes(range(1, 256)) * 40,
        ["own/rule.yaml:2:1: error[Y001] is not UTF-8: byte 127 is 0x80"],
    ),
    "words": ("Lorem ipsum dolor sit amet\n", ["own/rule.yaml:1:1: error[Y001] is not a document"]),
    "an empty file": ("", ["own:1:1: error[Y001] holds no rules"]),
    "nesting without end": ("[" * 5000 + "]" * 5000, ["own/rule.yaml:1:"]),
}


@pytest.mark.parametrize("case", BAD_RULES)
def test_bad_rules_are_shown_with_their_place_and_the_way_out(check, case):
    text, shown = BAD_RULES[case]
    said = check(text)
    assert (said.code, said.err) == (1, "")
    for line in shown:
        assert line in said.out
    assert "Traceback" not in said.out


def test_every_problem_is_found_in_one_pass(check):
    text = RULE.replace("lifetime_value", "lifetime_valu").replace("due: today", "due: todai").replace("win", "wim")
    said = check(text)
    assert said.out.splitlines()[-1].endswith("6 rules read, 3 errors, 0 warnings")


def test_problems_as_json_are_one_document(check):
    said = check(RULE.replace("lifetime_value", "lifetime_valu"), "--format", "json")
    assert (said.code, said.err) == (1, "")
    assert said.document == {
        "rules": 6,
        "problems": [
            {
                "code": "R101",
                "severity": "error",
                "message": 'customer has no field "lifetime_valu"',
                "help": 'did you mean "lifetime_value"?',
                "file": "own/rule.yaml",
                "line": 5,
                "column": 3,
                "length": 13,
            }
        ],
    }
    assert check(RULE, "--format", "json").document == {"rules": 7, "problems": []}


def test_problems_for_github_are_one_annotation_each(check):
    said = check(RULE.replace("lifetime_value", "lifetime_valu"), "--format", "github")
    assert (said.code, said.err) == (1, "")
    assert said.out == ('::error file=own/rule.yaml,line=5,col=3::R101 customer has no field "lifetime_valu"\n')
    assert check(RULE, "--format", "github").out == ""


def test_a_file_of_rules_that_says_a_percent_or_two_lines_stays_one_annotation(check):
    said = check(RULE.replace("lifetime_value", '"100%\\nof it"'), "--format", "github")
    assert said.out == '::error file=own/rule.yaml,line=5,col=3::R101 customer has no field "100%25%0Aof it"\n'


def test_a_pack_that_is_not_there_is_named_with_those_that_are(relance):
    said = relance("rules", "check", "bas")
    assert said.code == 1
    assert "bas:1:1: error[Y001] there is no such pack" in said.out
    assert 'did you mean "base"?' in said.out


def test_a_folder_without_rules_is_a_problem(relance):
    (relance.folder / "empty").mkdir()
    said = relance("rules", "check", "empty")
    assert said.code == 1
    assert "empty:1:1: error[Y001] holds no rules" in said.out


# --- test ---


def test_the_tests_beside_the_rules_are_played(relance):
    relance.writes("own/rule.yaml", TESTED)
    said = relance("rules", "test", "base", "own")
    assert (said.code, said.out, said.err) == (0, "38 tests of 7 rules, 0 failed\n", "")


def test_only_rules_and_tests_with_a_word_in_their_name(relance):
    relance.writes("own/rule.yaml", TESTED)

    def played(name):
        return relance("rules", "test", "base", "own", "-k", name).out

    assert played("big-customer") == "2 tests of 7 rules, 0 failed\n"
    assert played("above a thousand") == "1 test of 7 rules, 0 failed\n"
    relance("rules", "test", "base", "-k", "nosuch").refuses('error: no rule and no test has "nosuch" in its name')


def test_a_failing_test_says_where_it_stands_and_what_is_different(relance):
    relance.writes("own/rule.yaml", TESTED.replace("lifetime_value: 999", "lifetime_value: 1999"))
    said = relance("rules", "test", "base", "own", "-k", "big-customer")
    assert (said.code, said.err) == (1, "")
    assert said.out == (
        "own/rule.yaml:15: big-customer: stays quiet below: on 2026-11-23 expected nothing, open is K1\n"
        "2 tests of 7 rules, 1 failed\n"
    )


def test_coverage_lists_the_conditions_that_no_test_ever_made_false(relance):
    narrower = TESTED.replace("lifetime_value:", "segment: corporate, lifetime_value:")
    relance.writes("own/rule.yaml", narrower.replace("  segment: corporate,", "  segment: corporate\n ", 1))
    said = relance("rules", "test", "base", "own", "--coverage")
    assert said.code == 0
    assert said.out == (
        "38 tests of 7 rules, 0 failed\nNo test ever made these false:\n  big-customer: segment: corporate\n"
    )
    hint = relance("rules", "test", "base", "own")
    assert hint.err == "not every condition was made false by a test (1); --coverage lists them\n"


def test_rules_that_cannot_be_read_are_not_tested(relance):
    relance.writes("own/rule.yaml", RULE.replace("lifetime_value", "lifetime_valu"))
    said = relance("rules", "test", "base", "own")
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith('help: did you mean "lifetime_value"?\n\n1 error\n')


# --- explain, from files ---


@pytest.fixture
def explain(relance):
    relance.writes("dossiers.jsonl", "".join(json.dumps(d) + "\n" for d in (K1, K2, UNDATED)))

    def run(rule, *arguments, at=AT):
        files = ("--rules", "base", "--rules", "pack", "--dossiers", "dossiers.jsonl")
        return relance("rules", "explain", rule, *files, "--at", at, *arguments)

    return run


def test_why_names_each_condition_with_its_value_and_until_when_it_holds(explain):
    said = explain("contract-expiring", "--customer", "K1")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "contract-expiring holds for contract C1 of K1\n"
        "  ✓ status: active  (active)\n"
        "  ✓ end_date: in the next 90 days  (2027-01-07, until 2027-01-08T00:00:00+01:00)\n"
        "  ✓ auto_renews: no  (no)\n"
        "  ✓ unless opportunity: {contract: this, type: renewal, stage: open}  (none)\n"
        "  ✓ unless opportunity: {contract: this, type: renewal, stage: won}  (none)\n"
        "  would stop on 8 January 2027, 00:00 CET, if nothing changes\n"
    )


def test_why_not_marks_the_first_condition_that_fails_and_says_when_it_would_begin(explain):
    said = explain("contract-expiring", "--customer", "K1", at="2026-08-01T09:00:00+02:00")
    lines = said.out.splitlines()
    assert lines[0] == "contract-expiring does not hold for contract C1 of K1"
    assert lines[2] == (
        "  ✗ end_date: in the next 90 days  (2027-01-07, until 2026-10-09T00:00:00+02:00)   <- the first that fails"
    )
    assert said.out.count("the first that fails") == 1
    assert lines[-1] == "  would begin on 9 October 2026, 00:00 CEST, if nothing changes"


def test_where_time_alone_changes_nothing_it_says_so(explain):
    said = explain("complaint-open", "--customer", "K2")
    assert said.out.splitlines()[-1] == "  time alone will not change this"


def test_explain_can_be_asked_about_one_record(explain):
    both = explain("contract-expiring", "--customer", "K2").out
    assert [line for line in both.splitlines() if " of K2" in line] == [
        "contract-expiring holds for contract C9 of K2",
        "contract-expiring holds for contract C2 of K2",
    ]
    one = explain("contract-expiring", "--customer", "K2", "--subject", "C2").out
    assert "C2 of K2" in one
    assert "C9" not in one


def test_explain_as_json_is_one_document(explain):
    said = explain("contract-expiring", "--customer", "K1", "--json", at="2026-08-01T09:00:00+02:00")
    (subject,) = said.document.pop("subjects")
    assert said.document | {"subjects": []} == {
        "schema": 1,
        "now": "2026-08-01T09:00:00+02:00",
        "rule": "contract-expiring",
        "customer": "K1",
        "subjects": [],
    }
    conditions = subject.pop("conditions")
    assert subject == {
        "subject": {"kind": "contract", "id": "C1"},
        "holds": False,
        "flips_at": "2026-10-09T00:00:00+02:00",
    }
    assert conditions[1] == {
        "condition": "end_date: in the next 90 days",
        "part": "when",
        "value": "2027-01-07",
        "holds": False,
        "until": "2026-10-09T00:00:00+02:00",
    }
    assert [condition["part"] for condition in conditions] == ["when"] * 3 + ["unless"] * 2


def test_source_prints_the_python_that_a_rule_becomes(explain):
    said = explain("contract-expiring", "--source")
    assert said.code == 0
    compile(said.out, "source", "exec")
    assert "# opportunity: {contract: this, type: renewal, stage: open}" in said.out


def test_a_customer_without_such_a_record_is_no_mystery(explain):
    said = explain("lead-unworked", "--customer", "K1")
    assert (said.code, said.out) == (0, "K1 has no lead: lead-unworked looks at every lead.\n")


def test_names_that_are_not_there_are_refused_with_a_suggestion(explain):
    explain("contract-expirin", "--customer", "K1").refuses(
        'error: there is no rule "contract-expirin"; did you mean "contract-expiring"? allowed: complaint-open, '
        "contract-expiring, lead-unworked, order-late, payment-overdue, quote-stalled"
    )
    explain("contract-expiring", "--customer", "K9").refuses(
        'error: there is no readable customer "K9" in dossiers.jsonl'
    )
    explain("contract-expiring", "--customer", "K2", "--subject", "C1").refuses(
        "error: K2 has no contract C1; it has C9, C2"
    )
    explain("contract-expiring").refuses(
        "error: name the customer with --customer, or ask for the generated Python with --source"
    )
    explain("contract-expiring", "--customer", "K1", at="noon").refuses(
        'error: --at "noon" is not a moment; write one like 2026-11-23T09:00:00+01:00'
    )


def test_a_customer_whose_data_cannot_be_read_is_said_to_be_that(explain):
    explain("contract-expiring", "--customer", "K3").refuses(
        'error: contract C3: end_date "7.1.27" is not a date like 2027-01-07', code=1
    )


# --- explain, over the database ---


def test_explain_reads_the_database_unless_a_file_is_named(company):
    said = company.relance("rules", "explain", "contract-expiring", "--customer", "K1", "--at", AT)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("contract-expiring holds for contract C-K1 of K1\n")


def test_explain_reads_a_rule_in_the_office_of_the_customers_owner(company):
    company.relance.writes(
        "pack/company.yaml",
        "company: Muster AG\n---\ncalendar: tokyo\ntimezone: Asia/Tokyo\nhours: {mon-fri: 09:00-17:00}\n",
    )
    company.has_people(Person(id="lena", name="Lena", email="lena@example.com", office="tokyo"))
    said = company.relance("rules", "explain", "contract-expiring", "--customer", "K1", "--at", AT, "--json")
    (subject,) = said.document["subjects"]
    assert subject["flips_at"] == "2027-01-07T15:00:00+00:00", "midnight in Tokyo"


def test_a_customer_that_the_database_does_not_know_is_refused(company):
    said = company.relance("rules", "explain", "contract-expiring", "--customer", "K9", "--at", AT)
    said.refuses('error: there is no customer "K9"')


def test_data_in_the_database_that_the_rules_cannot_read_is_named(company):
    company.has(
        Record(kind=CUSTOMER, id="K2", customer="K2", fields={}),
        Record(kind="contract", id="C2", customer="K2", fields={"end_date": "soon"}),
    )
    said = company.relance("rules", "explain", "contract-expiring", "--customer", "K2", "--at", AT)
    said.refuses('error: contract C2: end_date "soon" is not a date like 2027-01-07', code=1)
