"""`relance rules check` and `rules test`, on files and beside a database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from domain.record import Record

NO_DATABASE = "people and data were not looked at: there is no database sqlite:///relance.db\n"
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
    assert (said.code, said.out) == (0, "8 rules read, no problems\n")


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
    assert (said.code, said.err) == (1, NO_DATABASE)
    for line in shown:
        assert line in said.out
    assert "Traceback" not in said.out


def test_every_problem_is_found_in_one_pass(check):
    text = RULE.replace("lifetime_value", "lifetime_valu").replace("due: today", "due: todai").replace("win", "wim")
    said = check(text)
    assert said.out.splitlines()[-1].endswith("8 rules read, 3 errors, 0 warnings")


def test_problems_as_json_are_one_document(check):
    said = check(RULE.replace("lifetime_value", "lifetime_valu"), "--format", "json")
    assert said.code == 1
    assert said.document == {
        "rules": 8,
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
    assert check(TESTED, "--format", "json").document == {"rules": 9, "problems": []}


def test_problems_for_github_are_one_annotation_each(check):
    said = check(RULE.replace("lifetime_value", "lifetime_valu"), "--format", "github")
    assert said.code == 1
    assert said.out == ('::error file=own/rule.yaml,line=5,col=3::R101 customer has no field "lifetime_valu"\n')
    assert check(TESTED, "--format", "github").out == ""


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


def test_problems_for_code_scanning_are_one_document(check):
    said = check(RULE.replace("lifetime_value", "lifetime_valu"), "--format", "sarif")
    assert said.code == 1
    (result,) = said.document["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("R101", "error")


def test_a_test_beside_a_rule_that_fails_is_a_problem_at_its_place(check):
    said = check(TESTED.replace("lifetime_value: 999", "lifetime_value: 1999"))
    assert said.code == 1
    assert said.out == (
        "own/rule.yaml:15:13: error[R404] stays quiet below: on 2026-11-23 expected nothing, open is K1\n"
        "   15 |     expect: nothing\n"
        "      |             ^^^^^^^\n"
        "      = help: change the rule, or what the test expects of it\n\n"
        "9 rules read, 1 error, 0 warnings\n"
    )


def test_warnings_are_shown_and_change_the_exit_code_only_when_that_is_asked_for(check):
    said = check(RULE)
    assert said.code == 0
    assert said.out == (
        "own/rule.yaml:1:1: warning[W503] "
        "big-customer is live without a test that raises, and without one that stays quiet\n"
        "    1 | rule: big-customer\n"
        "      | ^^^^\n"
        "      = help: add one to `tests`, as in - {name: ..., today: ..., given: ..., expect: ...}\n\n"
        "9 rules read, 0 errors, 1 warning\n"
    )
    assert check(RULE, "--strict").code == 1
    assert check(TESTED, "--strict").code == 0
    (problem,) = check(RULE, "--format", "json").document["problems"]
    assert (problem["code"], problem["severity"]) == ("W503", "warning")


def test_findings_are_together_by_file(relance):
    relance.writes("own/b.yaml", RULE.replace("big-", "b-").replace("due: today", "due: todai"))
    relance.writes("own/a.yaml", f"{RULE.replace('big-', 'a-')}---\n{RULE.replace('above 1000', 'between 9 and 3')}")
    found = relance("rules", "check", "base", "own", "--format", "json").document["problems"]
    assert [(p["file"], p["line"], p["code"]) for p in found] == [
        ("own/a.yaml", 1, "W503"),
        ("own/a.yaml", 8, "W503"),
        ("own/a.yaml", 12, "W501"),
        ("own/b.yaml", 6, "R201"),
    ]


# --- check, beside a database ---


def test_without_a_database_it_says_what_it_did_not_look_at_and_makes_none(check, relance):
    said = check(TESTED.replace("to: owner", "to: team nowhere"))
    assert (said.code, said.err) == (0, NO_DATABASE)
    assert not (relance.folder / "relance.db").exists()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql+psycopg://relance:hunter2@127.0.0.1:1/crm", "Connection refused"),
        ("oracle://relance:hunter2@db/crm", "oracle is not a supported database"),
    ],
)
def test_a_database_that_cannot_be_used_never_fails_a_check(relance, url, why):
    said = relance.having(DATABASE=url)("rules", "check", "base")
    assert (said.code, said.out) == (0, "8 rules read, no problems\n")
    assert said.err.startswith("people and data were not looked at: ")
    assert why in said.err
    assert "hunter2" not in said.err


def test_settings_that_cannot_be_read_never_fail_a_check_of_named_packs(relance):
    said = relance.having(BASE_URL="nonsense")("rules", "check", "base")
    assert said.code == 0
    assert said.err.startswith("people and data were not looked at: setting base_url: ")


def test_a_database_of_another_version_never_fails_a_check(relance):
    with closing(sqlite3.connect(relance.folder / "relance.db")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE another (program)")
    said = relance("rules", "check", "base")
    assert said.code == 0
    assert said.err.startswith("people and data were not looked at: The database sqlite:///")
    assert said.err.endswith(" has no tables yet. Run: relance db upgrade\n")


def test_people_that_rules_speak_to_are_looked_up(company):
    company.relance.writes("pack/rule.yaml", TESTED.replace("to: owner", "to: [owner, user lean]"))
    said = company.relance("rules", "check")
    assert (said.code, said.err) == (1, "")
    assert 'error[R403] no user "lean"\n' in said.out
    assert '= help: did you mean "lena"? allowed: lena\n' in said.out


def test_a_database_without_people_says_nothing_of_teams(relance, sqlite_url):
    relance.writes("own/rule.yaml", TESTED.replace("to: owner", "to: team nowhere"))
    said = relance.having(DATABASE=sqlite_url)("rules", "check", "base", "own")
    assert (said.code, said.err) == (0, "people were not looked at: the database has none\n")


def test_fields_that_no_record_has_are_warned_of_with_how_many_were_looked_at(company):
    company.relance.writes("pack/rule.yaml", TESTED)
    company.has(*(Record(kind="contract", id=f"C{n}", customer="K1", fields={"status": "active"}) for n in range(149)))
    said = company.relance("rules", "check")
    assert (said.code, said.err) == (0, "")
    (line,) = [line for line in said.out.splitlines() if "lifetime_value is" in line]
    assert line == (
        "pack/rule.yaml:5:3: warning[W504] "
        "lifetime_value is filled in none of the records: 1 of customer were looked at"
    )
    of_contracts = RULE.replace("each: customer", "each: contract").replace(
        "lifetime_value: above 1000", "status: draft"
    )
    company.relance.writes("pack/rule.yaml", of_contracts)
    said = company.relance("rules", "check")
    assert "warning[W505] status is draft in none of the records: 150 of contract were looked at\n" in said.out


# --- test ---


def test_the_tests_beside_the_rules_are_played(relance):
    relance.writes("own/rule.yaml", TESTED)
    said = relance("rules", "test", "base", "own")
    assert (said.code, said.out, said.err) == (0, "51 tests of 9 rules, 0 failed\n", "")


def test_only_rules_and_tests_with_a_word_in_their_name(relance):
    relance.writes("own/rule.yaml", TESTED)

    def played(name):
        return relance("rules", "test", "base", "own", "-k", name).out

    assert played("big-customer") == "2 tests of 9 rules, 0 failed\n"
    assert played("above a thousand") == "1 test of 9 rules, 0 failed\n"
    relance("rules", "test", "base", "-k", "nosuch").refuses('error: no rule and no test has "nosuch" in its name')


def test_a_failing_test_says_where_it_stands_and_what_is_different(relance):
    relance.writes("own/rule.yaml", TESTED.replace("lifetime_value: 999", "lifetime_value: 1999"))
    said = relance("rules", "test", "base", "own", "-k", "big-customer")
    assert (said.code, said.err) == (1, "")
    assert said.out == (
        "own/rule.yaml:15: big-customer: stays quiet below: on 2026-11-23 expected nothing, open is K1\n"
        "2 tests of 9 rules, 1 failed\n"
    )


def test_coverage_lists_the_conditions_that_no_test_ever_made_false(relance):
    narrower = TESTED.replace("lifetime_value:", "segment: corporate, lifetime_value:")
    relance.writes("own/rule.yaml", narrower.replace("  segment: corporate,", "  segment: corporate\n ", 1))
    said = relance("rules", "test", "base", "own", "--coverage")
    assert said.code == 0
    assert said.out == (
        "51 tests of 9 rules, 0 failed\nNo test ever made these false:\n  big-customer: segment: corporate\n"
    )
    hint = relance("rules", "test", "base", "own")
    assert hint.err == "not every condition was made false by a test (1); --coverage lists them\n"


def test_rules_that_cannot_be_read_are_not_tested(relance):
    relance.writes("own/rule.yaml", RULE.replace("lifetime_value", "lifetime_valu"))
    said = relance("rules", "test", "base", "own")
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith('help: did you mean "lifetime_value"?\n\n1 error\n')


# --- what the doctor says of the rules ---


def test_the_doctor_counts_what_is_found_and_names_the_worst(company):
    def diagnosis(text):
        company.relance.writes("pack/rule.yaml", text)
        said = company.relance("doctor")
        before, _, after = said.out.partition(" rules: ")
        return before.split()[-1], *(line.strip() for line in after.splitlines()[:2])

    untested = RULE.replace("above 1000", "between 9 and 3")
    assert diagnosis(untested) == (
        "warning",
        "9 rules, 0 errors, 2 warnings; the worst: pack/rule.yaml:5: "
        'W501 big-customer can never be true: lifetime_value is never "between 9 and 3"',
        "run: relance rules check",
    )
    assert diagnosis(TESTED.replace("lifetime_value: 999", "lifetime_value: 1999")) == (
        "error",
        "9 rules, 1 error, 0 warnings; the worst: pack/rule.yaml:15: "
        "R404 stays quiet below: on 2026-11-23 expected nothing, open is K1",
        "run: relance rules check",
    )


# --- the other commands ---


def test_every_command_about_rules_is_there(relance):
    shown = relance("rules", "--help").out
    for name in ("check", "test", "explain", "fmt", "schema", "simulate"):
        assert f"  {name} " in shown
