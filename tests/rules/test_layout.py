"""How a rule file looks once it was laid out, and that it still says the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from rules.layout import WIDTH, formatted
from rules.loader import builtin_packs, check, load
from rules.problems import Problems
from rules.source import rule_files
from tests.rules.strategies import companies


def laid_out(text: str) -> str:
    """After a proof that a second time changes nothing."""
    problems = Problems()
    once = formatted(text, file="rule.yaml", problems=problems)
    assert once is not None, problems
    assert formatted(once, file="rule.yaml", problems=problems) == once
    return once


def refusal(text: str) -> str:
    problems = Problems()
    assert formatted(text, file="rule.yaml", problems=problems) is None
    return "\n".join(map(str, problems))


def when(tests: str) -> str:
    """What becomes of the tests of a rule, one a line."""
    text = "rule: x\nwhen:\n" + "".join(f"  {line}\n" for line in tests.splitlines())
    return "\n".join(line.strip() for line in laid_out(text).splitlines()[2:])


# --- the order of keys ---


def test_the_keys_of_a_rule_stand_in_the_order_of_the_language():
    assert laid_out(
        "rule: x\ntests: []\nthen: {due: today, say: Hello, recommend: win}\nunless: []\nwhen: {b: 1, a: 2}\n"
        "for each: contract\nrollout: draft\ntitle: X\n"
    ) == (
        "rule: x\ntitle: X\nfor each: contract\nwhen: {b: 1, a: 2}\nunless: []\n"
        "then: {recommend: win, say: Hello, due: today}\nrollout: draft\ntests: []\n"
    )


def test_a_misspelt_key_stays_behind_the_one_it_followed():
    text = "rule: x\ntests: []\nfor each: contract\nwhem: {status: active}\nthen: {}\n"
    assert laid_out(text) == "rule: x\nfor each: contract\nwhem: {status: active}\nthen: {}\ntests: []\n"


def test_conditions_and_fields_keep_the_order_of_their_author():
    text = "rule: x\nwhen:\n  status: a\n  end_date: passed\n\n---\nmodel:\n  when: {title: text, rule: text}\n"
    assert laid_out(text) == text


# --- short forms ---


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("{in the next: 90 days}", "in the next 90 days"),
        ("{more than ago: 4 business hours}", "more than 4 business hours ago"),
        ("{between: [1, 5]}", "between 1 and 5"),
        ("{at least: 1e3}", "at least 1e3"),
        ("{passed: yes}", "passed"),
        ("{missing: }", "missing"),
        ("{before: 2026-01-31}", "before 2026-01-31"),
        ("{starts with: Ab, c}", '{starts with: Ab, c: }'),
        ('{starts with: "Ab: c"}', '"starts with Ab: c"'),
        ("{is: 007}", "007"),
        ("{is: no}", "no"),
        ("{is: '4:30'}", "'4:30'"),
        ("{is: [a, b]}", "[a, b]"),
        ("{not: a}", "not a"),
        ("{not: [a]}", "not a"),
        ("{none of: [a, b c]}", "none of a, b c"),
        ("{missing or: {in the last: 2 weeks}}", "missing or in the last 2 weeks"),
        ("{missing or: {not: [a, b]}}", "missing or none of a, b"),
        ("{missing or: above 5}", "missing or above 5"),
    ],
)  # fmt: skip
def test_a_long_form_becomes_the_short_one(long, short):
    assert when(f"field: {long}") == f"field: {short}"


@pytest.mark.parametrize(
    "long",
    [
        "{is: missing}",
        "{is: today}",
        "{is: above 5}",
        "{is: not a}",
        "{is: this}",
        "{is: same}",
        "{is: [a, missing]}",
        '{is: ""}',
        "{not: present}",
        '{none of: ["a, b", c]}',
        '{contains: " a "}',
        "{missing or: {is: missing}}",
        "{missing or: [a, b]}",
        "{in the next: 90 dais}",
        "{in the next: [1 day, 2 days]}",
        "{is: {is: a}}",
        "{is: &a b}",
        "{enum: [a, b]}",
    ],
)
def test_a_long_form_that_means_something_else_stays(long):
    assert when(f"field: {long}") == f"field: {long}"


def test_only_tests_are_shortened():
    text = "rule: x\ntests:\n  - given: {contract: {is: a}}\n\n---\nmodel:\n  with:\n    when: {is: a}\n"
    assert laid_out(text) == text


def test_tests_are_shortened_wherever_they_stand():
    assert laid_out(
        "rule: x\nany of:\n  - a: {is: b}\nwith: {order: {count: {above: 2}}}\n"
        "unless: [order: {customer: same, a: {not: [b, c]}}]\n"
        "---\nmodel: {customer: {sales: {sum: invoice.amount, where: {on: {in the last: 12 months}}}}}\n"
    ) == (
        "rule: x\nany of:\n  - a: b\nwith: {order: {count: above 2}}\n"
        'unless: [{order: {customer: same, a: "none of b, c"}}]\n\n'
        "---\nmodel: {customer: {sales: {sum: invoice.amount, where: {on: in the last 12 months}}}}\n"
    )


# --- indentation and width ---


def test_blocks_are_indented_by_two_and_lists_under_their_key():
    assert laid_out("rule: x\nunless:\n-   order:\n        customer: same\n-\n   - a\n   -   b: 1\n       c: 2\n") == (
        "rule: x\nunless:\n  - order:\n      customer: same\n  - - a\n    - b: 1\n      c: 2\n"
    )


def test_braces_that_fit_into_the_width_stay_and_others_open_one_level():
    words = ", ".join(f"word_{n:02}" for n in range(11))
    fits = f"a: {{b: [{words}], c: {'x' * (WIDTH - len(words) - 15)}}}"
    assert len(fits) == WIDTH
    assert laid_out(fits.replace(", ", " ,\n   ")) == f"{fits}\n"
    assert laid_out(fits.replace("x}", "xx}")) == f"a:\n  b: [{words}]\n  c: {'x' * (WIDTH - len(words) - 14)}\n"


def test_a_list_that_is_too_long_has_one_item_a_line():
    words = [f"word_{n:02}" for n in range(20)]
    assert laid_out(f"a: [{', '.join(words)}]") == "a:\n" + "".join(f"  - {word}\n" for word in words)


def test_empty_maps_and_lists_and_values_stay_empty():
    assert laid_out("a: { }\nb: [ ]\nc:\nd: {e:   , f}\ng: ~\n") == "a: {}\nb: []\nc:\nd: {e: , f: }\ng: ~\n"


# --- scalars ---


@pytest.mark.parametrize("word", ["no", "4:30", "1e3", "007", "yes", "~", "1_000", "0x1F", ".5", "2026-01-31", "a#b"])
def test_plain_words_stay_as_they_are(word):
    assert laid_out(f"a:   {word}\n{word}:  [{word}]\n") == f"a: {word}\n{word}: [{word}]\n"


@pytest.mark.parametrize(
    "quoted",
    ['"no"', "'007'", '"4:30"', '""', "'~'", '"Null"', "'y'", '"2026-01-31"', '"a: b"', '"a #b"', '"a, b"', "'- a'",
     '"{{ a }} b"', '" a"', '"*a"', "'@a'", '"--- a"', '"a\\tb"', '"a\\u200bb"', '"é\\n"'],
)  # fmt: skip
def test_quotes_stay_where_they_are_needed(quoted):
    assert laid_out(f"a: {quoted}\n") == f"a: {quoted}\n"


def test_quotes_go_where_they_are_not():
    assert laid_out('"a": "Ärger über it\'s"\n\'b c\': ["d", \'e f\']\n') == "a: Ärger über it's\nb c: [d, e f]\n"


def test_texts_over_several_lines_keep_their_words():
    text = """\
a: |
      one
        two

      three   
b: >-
    folded

     more
c: |+
  kept


d: "several
    lines \\
      of it"
e: plain
      words

      too
f: |2
    indented
"""
    assert (
        laid_out(text)
        == """\
a: |
  one
    two

  three   
b: >-
  folded

   more
c: |+
  kept


d: "several
  lines \\
  of it"
e: plain
  words

  too
f: |2
    indented
"""
    )


def test_the_last_line_of_a_text_gets_no_line_break_that_it_did_not_have():
    assert laid_out("a: |\n  one") == "a: |-\n  one\n"
    assert laid_out("a: |+\n  one\n\n") == "a: |+\n  one\n\n"


# --- comments, blank lines, documents ---


def test_comments_move_with_what_they_are_about():
    assert (
        laid_out(
            """\
# about the file

rule: x      # its name
# what happens
then:        # the end
    # first
    say: Hello    # second
    # recommend: hold
    recommend: win
    # due: today

# when it happens
when:
  status: active # one
  #   amount: above 5
unless:
- order: {customer: this} # two
 # three
# four
"""
        )
        == """\
# about the file

rule: x      # its name

# when it happens
when:
  status: active  # one
  #   amount: above 5
unless:
  - order: {customer: this}  # two
    # three
# what happens
then:        # the end
  # recommend: hold
  recommend: win
  # first
  say: Hello      # second
  # due: today
# four
"""
    )


def test_comments_inside_braces_open_them():
    assert laid_out(
        "a: {  # of a\n  b: 1, # of b\n  # of c\n  c: [2,\n # behind 2\n 3] # of 3\n  # end\n}  # of all\n"
    ) == ("a:  # of all\n  # of a\n  b: 1  # of b\n  # of c\n  c:  # of 3\n    - 2\n    # behind 2\n    - 3\n  # end\n")


def test_comments_that_stand_in_a_column_stay_there():
    text = "model:\n  a:\n    since: date         # first\n    city: text\n    country: text       # second\n"
    assert laid_out(text) == text
    deeper = text.replace("  a:", "    a:").replace("    since", "      since").replace("    c", "      c")
    assert laid_out(deeper) == text.replace("# ", "  # ")


def test_a_comment_behind_a_text_over_several_lines_does_not_become_part_of_it():
    assert laid_out("a: |  # about it\n    words\n  # not in it\nb: 1\n") == (
        "a: |  # about it\n  words\n# not in it\nb: 1\n"
    )


def test_one_blank_line_stays_of_several_and_none_at_the_beginning_of_a_block():
    assert laid_out("\n\na: 1\n\n\n\nb:\n\n  c: 1   \n\n\n  d: 2\n\n\n") == "a: 1\n\nb:\n  c: 1\n\n  d: 2\n"


def test_documents_are_parted_by_a_blank_line_and_dashes():
    assert laid_out("# top\n---\na: 1\n--- # of b\nb: 1\n...\n# of c\n---\nc: |+\n  d\n\n---\n---\n# last\n") == (
        "# top\na: 1\n\n---\n# of b\nb: 1\n\n---\n# of c\nc: |+\n  d\n\n# last\n"
    )


def test_a_file_without_documents_keeps_its_comments():
    assert laid_out("") == ""
    assert laid_out("\n\n# nothing\n\n\n  # yet") == "# nothing\n\n# yet\n"


def test_line_ends_of_windows_stay():
    assert laid_out("a: 1\r\nb:   |\r\n   c\r\n") == "a: 1\r\nb: |\r\n  c\r\n"


def test_anchors_and_aliases_stay():
    text = "a: &a {b: 1}\nc: &c\n  d: *a\ne:\n  - &e\n    f: 1\n  - *c\n"
    assert laid_out(text) == text


# --- refusals ---


def test_a_file_that_is_not_yaml_is_refused_with_its_place():
    assert refusal("rule: x\nwhen: [\n").startswith("rule.yaml:2:8: error[Y001] not YAML")
    assert refusal("rule: x\nrule: y\n").startswith("rule.yaml:2:1: error[Y002]")


def test_what_would_change_its_meaning_is_refused():
    backwards = "rule: x\nthen: &a {recommend: win}\nwhen: *a\n"
    assert refusal(backwards).startswith("rule.yaml:1:1: error[Y003] cannot be laid out")


# --- whole packs ---


@pytest.mark.parametrize("pack", builtin_packs())
def test_shipped_packs_say_the_same_afterwards(pack, tmp_path):
    for file in rule_files(builtin_packs()[pack]):
        (tmp_path / file.name).write_text(laid_out(file.read_text(encoding="utf-8")), encoding="utf-8")
    stack = ["base"] if pack != "base" else []
    assert said(load([*stack, tmp_path]).rules) == said(load(dict.fromkeys(["base", pack])).rules)


def said(value: object) -> object:
    """All that a part of a rule means: nothing of where it stands or how it was spelled."""
    if is_dataclass(value):
        return type(value), *(said(getattr(value, f.name)) for f in fields(value) if f.name not in LAYOUT)
    if isinstance(value, dict):
        return {key: said(v) for key, v in value.items()}
    return [said(v) for v in value] if isinstance(value, tuple | list) else value


LAYOUT = ("place", "words", "hash")


@st.composite
def untidy(draw: DrawFn, text: str) -> str:
    """The same rules, written by somebody in a hurry."""
    lines: list[str] = []
    for number, document in enumerate(text.split("\n---\n")):
        first, *entries = _entries(document)
        lines += ["---"] * bool(number) + first
        for entry in draw(st.permutations(entries)) if first[0].startswith("rule:") else entries:
            lines += entry
    found: list[str] = []
    for line in lines:
        if draw(st.integers(0, 5)) == 0:
            found += ["", f"{' ' * draw(st.integers(0, 9))}# {len(found)}"][draw(st.integers(0, 1)) :]
        if draw(st.integers(0, 5)) == 0:
            line = f"{line}{' ' * draw(st.integers(1, 20))}# {len(found)}"
        found.append(line + " " * draw(st.sampled_from([0, 0, 0, 2])))
    return "\n".join(found)


def _entries(document: str) -> list[list[str]]:
    entries: list[list[str]] = []
    for line in document.splitlines():
        if not line.startswith(" "):
            entries.append([])
        entries[-1].append(line)
    return entries


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_rules_with_comments_anywhere_decide_the_same_afterwards(data: st.DataObject) -> None:
    text = data.draw(untidy(data.draw(companies()).text))
    after = laid_out(text)
    assert comments(after) == comments(text)
    assert all(line == line.rstrip() for line in after.splitlines())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        assert read(file, after) == read(file, text)


def read(file: Path, text: str) -> tuple[object, list[tuple[str, str]]]:
    """The rules of a text, and what is wrong in the others."""
    file.write_text(text, encoding="utf-8")
    checked = check([file])
    return said(checked.rulebase.rules), sorted((p.code, p.message) for p in checked.problems)


def comments(text: str) -> Counter[str]:
    return Counter(line.rpartition("# ")[2].strip() for line in text.splitlines() if "# " in line)
