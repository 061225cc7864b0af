"""What someone sees who makes a mistake: every problem, each at its place, with a way out."""

# ruff: noqa: E501 - what is printed stands here as it is printed

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.record import Dossier, Record
from rules.loader import Checked, check, load
from rules.problems import BadRules, Problems
from rules.source import read_text
from rules.stories import run_test

MODEL = """
    company: Muster AG
    timezone: Europe/Zurich
    ---
    model:
      customer: {segment: {enum: [sme, corporate]}}
      contract:
        status: {enum: [draft, active, cancelled, expired], groups: {live: [draft, active]}}
        end_date: date
        signed_at: datetime
        annual_value: money
        auto_renews: yesno
        label: text
      opportunity: {contract: ref contract, stage: {enum: [new, won]}, amount: number}
"""
RULE = """
    rule: renewal
    for each: contract
    """
THEN = """
    then: {recommend: win, say: Call}
    """

Write = Callable[..., list[Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """The model and some texts as files rules.yaml, rules2.yaml, ..., each a pack of its own."""

    def write(*texts: str, model: str = MODEL) -> list[Path]:
        files = [tmp_path / "model.yaml"]
        files[0].write_text(textwrap.dedent(model), encoding="utf-8")
        for number, text in enumerate(texts, start=1):
            files.append(tmp_path / f"rules{number if number > 1 else ''}.yaml")
            files[-1].write_text(_dedented(text), encoding="utf-8")
        return files

    return write


def _dedented(text: str) -> str:
    return "\n".join(line[4:] if line.startswith("    ") else line for line in text.strip("\n").splitlines()) + "\n"


def seen(files: list[Path]) -> str:
    """All that is printed, with the names of files instead of their paths."""
    return "\n".join(str(p) for p in check(files).problems).replace(f"{files[0].parent}/", "")


def expected(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


MISTAKES = {
    "Y001": (
        RULE + "when:\n  label: a: b" + THEN,
        """
        rules.yaml:4:11: error[Y001] not YAML: mapping values are not allowed in this context
            4 |   label: a: b
              |           ^
              = help: a value that contains ": " needs quotes around it
        """,
    ),
    "Y002": (
        RULE + "when:\n  status: active\n  status: draft" + THEN,
        """
        rules.yaml:5:3: error[Y002] "status" stands here twice
            5 |   status: draft
              |   ^^^^^^
              = help: keep one of the two; a list holds several values
        """,
    ),
    "R001": (
        RULE + "wehn:\n  status: active" + THEN,
        """
        rules.yaml:3:1: error[R001] unknown key "wehn"
            3 | wehn:
              | ^^^^
              = help: did you mean "when"? allowed: rule, title, tags, notes, for each, when, any of, with, unless, then, rollout, tests
        """,
    ),
    "R002": (
        RULE + "then: {say: Call}",
        """
        rules.yaml:3:7: error[R002] key "recommend" is missing
            3 | then: {say: Call}
              |       ^^^^^^^^^^^
              = help: allowed: win, hold, let go
        """,
    ),
    "R100": (
        "rule: renewal\nfor each: contrct" + THEN,
        """
        rules.yaml:2:11: error[R100] no kind "contrct"
            2 | for each: contrct
              |           ^^^^^^^
              = help: did you mean "contract"? allowed: customer, contract, opportunity
        """,
    ),
    "R101": (
        RULE + "when: {statsu: active}" + THEN,
        """
        rules.yaml:3:8: error[R101] contract has no field "statsu"
            3 | when: {statsu: active}
              |        ^^^^^^
              = help: did you mean "status"? allowed: id, customer, status, end_date, signed_at, annual_value, auto_renews, label
        """,
    ),
    "R102": (
        RULE + "when: {custmer.segment: sme}" + THEN,
        """
        rules.yaml:3:8: error[R102] contract has no link "custmer"
            3 | when: {custmer.segment: sme}
              |        ^^^^^^^^^^^^^^^
              = help: did you mean "customer"? allowed: customer
        """,
    ),
    "R103": (
        "model:\n  claim: {closed: dat}",
        """
        rules.yaml:2:19: error[R103] "dat" is not a type of field
            2 |   claim: {closed: dat}
              |                   ^^^
              = help: did you mean "date"? allowed: text, yesno, number, money, date, datetime, ref <kind>, {enum: [...], groups: {...}}, {money: CHF}, {sum: invoice.amount}
        """,
    ),
    "R104": (
        "model:\n  contract: {end_date: text}",
        """
        rules.yaml:2:24: error[R104] contract.end_date is a date already, it cannot become text
            2 |   contract: {end_date: text}
              |                        ^^^^
              = help: give the field another name
        """,
    ),
    "R105": (
        "calendar: zurich\n---\ncompany: Muster AG\ncalendar: zurch",
        """
        rules.yaml:4:11: error[R105] no calendar "zurch"
            4 | calendar: zurch
              |           ^^^^^
              = help: did you mean "zurich"? allowed: zurich
        """,
    ),
    "R106": (
        RULE + THEN + "---\n" + RULE + THEN,
        """
        rules.yaml:7:7: error[R106] rule "renewal" stands twice in this pack
            7 | rule: renewal
              |       ^^^^^^^
              = help: it stands in rules.yaml:1 already; give one of the two another id
        """,
    ),
    "R201": (
        RULE + "when: {end_date: in the nxt 60 days}" + THEN,
        """
        rules.yaml:3:18: error[R201] "in the nxt 60 days" is not a date like 2027-01-07
            3 | when: {end_date: in the nxt 60 days}
              |                  ^^^^^^^^^^^^^^^^^^
              = help: did you mean "in the next 60 days"?
        """,
    ),
    "R202": (
        RULE + "when: {status: [draft, actve]}" + THEN,
        """
        rules.yaml:3:24: error[R202] "actve" is not a value of status
            3 | when: {status: [draft, actve]}
              |                        ^^^^^
              = help: did you mean "active"? allowed: draft, active, cancelled, expired, live
        """,
    ),
    "R203": (
        RULE + "when: {end_date: in the next 4 business hours}" + THEN,
        """
        rules.yaml:3:30: error[R203] "4 business hours" needs a time of day, but end_date is a date
            3 | when: {end_date: in the next 4 business hours}
              |                              ^^^^^^^^^^^^^^^^
              = help: count in days, or make the field a datetime
        """,
    ),
    "R301": (
        RULE + "unless:\n  - opportunity: {stage: new}" + THEN,
        """
        rules.yaml:4:5: error[R301] opportunity is not tied to the contract: it would count for every contract
            4 |   - opportunity: {stage: new}
              |     ^^^^^^^^^^^
              = help: add `contract: this`
        """,
    ),
    "R402": (
        RULE + "then: {recommend: win, say: 'Ends {{ contract.end_dat|day }}'}",
        """
        rules.yaml:3:38: error[R402] contract has no field "end_dat"
            3 | then: {recommend: win, say: 'Ends {{ contract.end_dat|day }}'}
              |                                      ^^^^^^^^^^^^^^^^
              = help: did you mean "end_date"? allowed: id, customer, status, end_date, signed_at, annual_value, auto_renews, label
        """,
    ),
}  # fmt: skip
SMALL_MISTAKES = [  # where, what, way out
    ("when: {annual_value: above 5x}", '3:28: error[R201] "5x" is not a number', "as in 1000"),
    ("when: {status: != active}", "3:16: error[Y001] a word with ! before it is a YAML tag", '"not active"'),
    ("when:\n  annual_value: > 5", "4:19: error[Y001] not YAML: did not find", '"above 5"'),
    ("when:\n\tstatus: active", "4:1: error[Y001] not YAML: found character", "indent with spaces"),
    ("when: {label: *all}", "3:15: error[Y001] not YAML: found undefined alias", "put quotes around it"),
    ('when: {label: "open}', "5:1: error[Y001] not YAML: found unexpected end of stream", "brackets and quotes"),
    ("when:\n  status: not [draft, active]", '4:15: error[R201] "[draft, active]" is one', "write none of draft, active"),
    ("when: {status: above 5}", '3:16: error[R203] "above 5" tests a number, but status is one of', "allowed: draft"),
    ("when: {status: none of draft, active}", '3:31: error[R101] contract has no field "active"', "put quotes around"),
    ("when: {label: above 5}", '3:15: error[R203] "above 5" tests a number, but label is text', '{is: "above 5"}'),
    ("when: {label: not contains x}", '3:19: error[R201] "contains x" reads like a test', '{not: "contains x"}'),
    ("when: {label: [missing, x]}", '3:16: error[R201] "missing" reads like a test', '{is: "missing"}'),
    ("when: {label: {contians: x}}", '3:16: error[R201] "contians" is not a test', 'did you mean "contains"?'),
    ("when: {annual_value: {above: [5, 6]}}", "3:30: error[R201] 2 values where 1 belong", "as in above 1000"),
    ("when: {end_date: {passed: no}}", '3:27: error[R201] "no" is not yes', "as in {passed: yes}"),
    ("when: {status: missing or missing}", "3:27: error[R201] says missing twice", "name a test after"),
    ("when:\n  status:", "4:10: error[R201] a test is empty", "`missing` for no value"),
    ("when: {status: []}", "3:16: error[R201] an empty list", "at least one value"),
    ("when: {signed_at: [2026-01-01, 2026-01-02T10:00]}", "3:19: error[R201] a list holds days or", "days only"),
    ("when: {end_date: in the next 9999999 days}", "3:30: error[R201] 9999999 days is beyond", "at most 100000"),
    ("when: {end_date: in the next 9999 business days}", "3:30: error[R201] 9999 business days", "at most 2600"),
    ("when: {customer: this}", '3:18: error[R201] "this" belongs into a relation', "`with` or `unless`"),
    ("with:\n  - opportunity: {contract: this, count: at leest 3}", '4:42: error[R201] "at leest 3"', "at least"),
    ("with:\n  - opportunity: {stage: this}", "4:19: error[R301] stage of opportunity does not name", "use contract"),
    ("rollout: 200% of customers", '3:10: error[R201] "200% of customers" is not a rollout', "did you mean"),
    ("tests:\n  - {name: a, today: 2026-11-01, given: {contract: C1}, expect: nothing}",
     '4:52: error[R201] "C1" is not a record', "as in contract: {id: C1"),
    ("tests:\n  - {name: a, today: 2026-11-01, given: C1, expect: nothing}",
     '4:41: error[R201] "C1" is not a record', "as in contract: {id: C1"),
    ("tests:\n  - {name: a, story: soon}", '4:22: error[R201] "soon" is not a step', "as in - {on: 2026-10-09"),
    ("tests:\n  - {name: a, today: 2026-11-01, given: {contract: {id: C1, status: actve}}, expect: nothing}",
     '4:69: error[R202] "actve" is not a value of status', 'did you mean "active"?'),
]  # fmt: skip


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_shown_with_its_place_and_a_way_out(code: str, write: Write) -> None:
    text, shown = MISTAKES[code]

    assert seen(write(text)) == expected(shown)


@pytest.mark.parametrize(("line", "shown", "way_out"), SMALL_MISTAKES)
def test_a_slip_of_the_pen_is_found_and_the_way_out_named(line: str, shown: str, way_out: str, write: Write) -> None:
    text = RULE + line + THEN
    if "then:" not in text:
        text += THEN

    printed = seen(write(text))

    assert printed.startswith(f"rules.yaml:{shown}")
    assert printed.count("error[") == 1
    assert way_out in printed.splitlines()[-1]


def test_a_calendar_that_nobody_described_is_missed(write: Write) -> None:
    assert seen(write("company: Muster AG\ncalendar: zurich")).endswith("describe it, beginning with calendar: zurich")


def test_a_sentence_holds_nothing_but_fields_and_filters(write: Write) -> None:
    for sentence in ("1 + 1", "contract.label|money(*contract)", "contract.label()", "contract['label']", "x if y"):
        printed = seen(write(RULE + f'then: {{recommend: win, say: "{{{{ {sentence} }}}}"}}'))

        assert "error[R402] the sentence cannot be read" in printed


def test_all_mistakes_of_all_files_are_found_in_one_pass(write: Write) -> None:
    problems = check(
        write(
            """
            rule: One
            for each: contract
            when:
              status: actve
              end_date: in the next 4 hours
            with:
              - oportunity: {contract: this}
            then:
              recommend: wni
              say: "{{ contract.lable }}"
            """.replace("            ", "    "),
            "rool: two",
        )
    ).problems

    assert [(p.place.file.rsplit("/")[-1], p.place.line, p.code) for p in problems] == [
        ("rules.yaml", 1, "R201"),
        ("rules.yaml", 4, "R202"),
        ("rules.yaml", 5, "R203"),
        ("rules.yaml", 7, "R100"),
        ("rules.yaml", 9, "R201"),
        ("rules.yaml", 10, "R402"),
        ("rules2.yaml", 1, "R001"),
    ]


def test_what_stands_before_broken_yaml_is_checked_all_the_same(write: Write) -> None:
    printed = seen(write(RULE + "when: {status: actve}" + THEN + "---\nrule: [broken"))

    assert "error[R202]" in printed
    assert "error[Y001]" in printed


def test_loading_refuses_a_rule_base_with_errors_and_lists_them(write: Write) -> None:
    with pytest.raises(BadRules, match="R202") as refused:
        load(write(RULE + "when: {status: actve}" + THEN))

    assert [p.code for p in refused.value.problems] == ["R202"]


# --- packs ---


def holds(checked: Checked, fields: dict[str, str | bool]) -> list[str]:
    assert checked.problems == []
    contract = Record(kind="contract", id="C1", customer="K1", fields=fields)
    dossier = Dossier(id="K1", records=(contract,))
    return [m.rule for m in checked.rulebase.decide(dossier, now=datetime(2026, 11, 23, 9, tzinfo=UTC)).matches]


def test_a_later_pack_replaces_a_rule_of_the_same_id(write: Write) -> None:
    checked = check(write(RULE + "when: {status: active}" + THEN, RULE + "when: {status: draft}" + THEN))

    assert holds(checked, {"status": "draft"}) == ["renewal"]
    assert holds(checked, {"status": "active"}) == []


def test_a_later_pack_adds_kinds_fields_enum_values_and_members_of_groups(write: Write) -> None:
    more = """
    model:
      claim: {contract: ref contract}
      contract:
        notice_days: number
        status: {enum: [paused], groups: {live: [paused]}}
    """
    rule = RULE + "when: {status: live, notice_days: above 30}\nunless:\n  - claim: {contract: this}" + THEN
    checked = check(write(more, rule))

    assert holds(checked, {"status": "paused", "notice_days": "60"}) == ["renewal"]
    assert holds(checked, {"status": "active", "notice_days": "60"}) == ["renewal"]
    assert holds(checked, {"status": "expired", "notice_days": "60"}) == []


# --- what authors type and YAML would read as something else ---


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ("auto_renews: no", False, True),
        ("auto_renews: YES", True, False),
        ("label: no", "no", "No"),
        ("label: on", "on", "true"),
        ("label: 4:30", "4:30", "270"),
        ("label: 1e3", "1e3", "1000"),
        ("label: 0x1F", "0x1F", "31"),
        ("label: 010", "010", "8"),
        ("label: 1_000", "1_000", "1000"),
        ("label: 2027-01-07", "2027-01-07", "2027-1-7"),
        ("label: .inf", ".inf", "inf"),
        ("label: 'null'", "null", "~"),
        ('label: "a  b"', "a  b", "a b"),
        ('label: ["a  b", c]', "a  b", "a b"),
        ('label: {is: "a  b"}', "a  b", "a b"),
        ('label: {is: "missing"}', "missing", "present"),
        ('label: {is: "above 5"}', "above 5", "6"),
        ('label: {none of: ["above 5", "a, b"]}', "5", "a, b"),
        ('label: {starts with: "a, b"}', "A, B and C", "a b"),
        ("label: contains STRASSE", "Bahnhofstraße 1", "Bahnhofstr. 1"),
        ("label:   missing   or   x", "x", "y"),
        ("annual_value: 1e3", "1000", "1e4"),
        ("annual_value: 010", "10", "8"),
        ("annual_value: above   1e3", "1000.01", "1000"),
        ("annual_value: -0", "0", "1"),
    ],
)
def test_words_are_read_as_their_author_meant_them(
    condition: str, matching: str | bool, other: str | bool, write: Write
) -> None:
    field = condition.split(":")[0]
    checked = check(write(RULE + f"when:\n  {condition}" + THEN))

    assert holds(checked, {field: matching}) == ["renewal"]
    assert holds(checked, {field: other}) == []


@pytest.mark.parametrize("number", ["0x1F", "4:30", ".inf", "nan", "1e30"])
def test_what_is_no_number_is_no_number(number: str, write: Write) -> None:
    assert f'error[R201] "{number}" is' in seen(write(RULE + f"when:\n  annual_value: {number}" + THEN))


# --- nonsense ---


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"rule: renewal\ntitle: Zug\xe4nge\n", "rules.yaml:2:1: error[Y001] is not UTF-8: byte 24 is 0xe4"),
        ("rule: renewal\n".encode("utf-16"), "rules.yaml:1:1: error[Y001] is not UTF-8: byte 0 is 0xff"),
        (bytes(range(256)), "rules.yaml:2:1: error[Y001] is not UTF-8: byte 128 is 0x80"),
        (b"rule: a\nnotes: \x1b[31mred\n", "rules.yaml:2:8: error[Y001] not YAML: control characters"),
        (b'model: "\\0"\n', "rules.yaml:1:8: error[Y001] holds a null character"),
        (b"", "rules.yaml:1:1: error[Y001] holds no rules"),
        (b"- a\n- b\n", "rules.yaml:1:1: error[Y001] is not a document"),
        (b"{}\n", 'rules.yaml:1:1: error[R001] a document cannot begin with ""'),
        (b"model:\n  ? [a]\n  : b\n", "rules.yaml:2:5: error[Y001] a key must be a word"),
        (b"rule: &x [*x]\n", "rules.yaml:1:7: error[Y001] is nested deeper"),
        (b"x" * (5 * 1024 * 1024), "rules.yaml:1:1: error[Y001] is larger than 4 MB"),
    ],
    ids=str,
)
def test_a_file_of_nonsense_is_named_as_such(content: bytes, shown: str, write: Write) -> None:
    files = write("")
    files[-1].write_bytes(content)

    printed = seen(files)

    assert printed.startswith(shown)
    assert "\x1b" not in printed


@pytest.mark.parametrize("content", ["[" * 100_000 + "]" * 100_000, "- " * 100_000, "[" * 900 + "]" * 900], ids=len)
def test_a_file_that_is_nested_without_end_is_refused_before_it_takes_the_process_down(
    content: str, write: Write
) -> None:
    files = write("")
    files[-1].write_text(content)

    printed = seen(files)

    assert printed.startswith("rules.yaml:1:")
    assert "error[Y001] is nested deeper than 40 levels" in printed.splitlines()[0]


def test_aliases_cannot_blow_a_file_up(write: Write) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    assert "expands without end" in seen(write("\n".join(["rule: bomb", *levels])))


def test_a_byte_order_mark_is_no_part_of_the_first_word(write: Write) -> None:
    files = write(RULE + THEN)
    files[-1].write_bytes(b"\xef\xbb\xbf" + files[-1].read_bytes())

    assert seen(files) == ""


def test_the_caret_stands_under_the_word_whatever_letters_come_before_it(write: Write) -> None:
    printed = seen(write(RULE + 'when: {label: "ÄÖÜ straße – ", status: actve}' + THEN))

    head, line, caret, _ = printed.splitlines()
    assert head.startswith("rules.yaml:3:40:")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "actve"


# --- mutations ---

EXAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "design" / "examples"
MUTATIONS = int(os.environ.get("RELANCE_MUTATIONS", "2000"))
STRANGE = [
    *"\t\n :{}[]&*!|>'\"%@`#,-?~",
    "\\",
    "\0",
    "\x1b",
    "é",
    "\u2028",
    "𝄞",
    ": ",
    "- ",
    "---\n",
    "{{",
    "}}",
    "null",
]


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        row = draw(st.integers(0, len(lines) - 1))
        at = draw(st.integers(0, len(lines[row])))
        line = lines[row]
        match draw(st.sampled_from(["drop", "double", "swap", "cut", "strange", "letter", "repeat"])):
            case "drop":
                lines[row] = ""
            case "double":
                lines[row] = line * 2
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[row], lines[other] = lines[other], lines[row]
            case "cut":
                lines[row] = line[:at] + line[at + draw(st.integers(1, 4)) :]
            case "strange":
                lines[row] = line[:at] + draw(st.sampled_from(STRANGE)) + line[at:]
            case "letter":
                lines[row] = line[:at] + draw(st.sampled_from("aeinstr05")) + line[at + 1 :]
            case _:
                lines[row] = line[:at] + line[max(0, at - 3) : at] * 2 + line[at:]
        text = "".join(lines)
    return text


def mutants() -> Iterator[tuple[str, str]]:
    model = (EXAMPLES / "model.yaml").read_text(encoding="utf-8")
    for file in sorted((EXAMPLES / "rules").glob("*.yaml")):
        yield model, file.read_text(encoding="utf-8")


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the folder of worked examples")
@settings(
    max_examples=MUTATIONS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_happens_to_a_file_its_problems_are_reported_and_nothing_breaks(
    data: st.DataObject, tmp_path: Path
) -> None:
    model, rule = data.draw(st.sampled_from(list(mutants())).map(lambda pair: pair))
    which = data.draw(st.integers(0, 4))
    texts = {"model.yaml": model, "rule.yaml": rule}
    spoiled = "model.yaml" if which == 0 else "rule.yaml"
    texts[spoiled] = data.draw(mutated(texts[spoiled]))
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")

    checked = check([tmp_path / name for name in texts])

    for problem in checked.problems:
        lines = texts[Path(problem.place.file).name].splitlines() or [""]
        assert 1 <= problem.place.line <= len(lines)
        assert problem.place.text == lines[problem.place.line - 1]
        assert 1 <= problem.place.column <= len(problem.place.text) + 1
        assert problem.place.length >= 1
        assert problem.help
        assert "^" in str(problem)
    for each in checked.rulebase.rules if not checked.problems else ():
        for case in each.tests:
            run_test(checked.rulebase, each, case)
    if not checked.problems:
        checked.rulebase.engine.close()


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    problems = Problems()

    read_text(text, file="rules.yaml", problems=problems)

    assert all(p.place.line <= max(1, len(text.splitlines())) for p in problems)
