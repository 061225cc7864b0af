from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from domain.person import Person
from domain.record import Record
from rules.mapping import BadMapping, Entity, Finding, ImportMap, Rows, check_columns, load
from rules.mapping.values import dates, numbers, slug
from rules.model import Date, DateTime, Enum, Model, Money, Number, Ref, Text, YesNo

MODEL = Model.of(
    {
        "contract": {
            "status": Enum(values=("draft", "active")),
            "start_date": Date(),
            "end_date": Date(),
            "signed_at": DateTime(),
            "annual_value": Money(),
            "share": Number(),
            "lines": Number(),
            "auto_renews": YesNo(),
            "product": Text(),
            "contact": Ref(kind="user"),
        },
        "holding": {"product": Text()},
    },
    ZoneInfo("Europe/Zurich"),
)


@dataclass
class Made:
    entities: list[Entity]
    findings: list[Finding]

    @property
    def record(self) -> Record:
        (entity,) = self.entities
        assert isinstance(entity, Record)
        return entity

    @property
    def reasons(self) -> list[str]:
        return [f"{f.line} {f.severity}: {f.reason}" for f in self.findings]


@pytest.fixture
def mapping(tmp_path: Path) -> Callable[[str], ImportMap]:
    def write(text: str) -> ImportMap:
        file = tmp_path / "map.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file, MODEL)

    return write


@pytest.fixture
def contract(mapping: Callable[[str], ImportMap]) -> Callable[..., Made]:
    """Rows through a map of contracts whose fields and other keys are given."""

    def make(fields: str, *rows: dict[str, object], top: str = "", more: str = "") -> Made:
        return through(
            mapping(f"map: test\n{top}\nrecords:\n  - kind: contract\n    id: no\n    fields: {fields}\n    {more}\n"),
            *rows,
        )

    return make


def through(map_: ImportMap, *rows: dict[str, object]) -> Made:
    made = Made([], [])
    maker = Rows(map_)
    for taken in [*(maker.take(row, line=line) for line, row in enumerate(rows, start=2))]:
        made.entities += taken.entities
        made.findings += taken.findings
    for taken in maker.finish():
        made.entities += taken.entities
        made.findings += taken.findings
    return made


def trouble(mapping: Callable[[str], ImportMap], text: str) -> str:
    with pytest.raises(BadMapping) as caught:
        mapping(text)
    return str(caught.value).replace(str(caught.value).split("map.yaml")[0], "")


# --- values ---


def test_a_column_is_renamed_a_constant_is_set_and_a_template_puts_columns_together(
    contract: Callable[..., Made],
) -> None:
    made = contract(
        '{product: Produkt, status: {constant: active}, contact: "{first}.{last}"}',
        {"no": " C1 ", "Produkt": "fibre ", "first": "ada", "last": "lovelace"},
    )
    assert made.record == Record(
        kind="contract",
        id="C1",
        customer=None,
        fields={"product": "fibre", "status": "active", "contact": "ada.lovelace"},
    )


def test_a_template_that_lacks_a_part_gives_no_value(contract: Callable[..., Made]) -> None:
    made = contract('{contact: "{first}.{last}"}', {"no": "C1", "first": "ada", "last": ""})
    assert (made.record.fields, made.findings) == ({}, [])


def test_words_such_as_no_stay_words(contract: Callable[..., Made]) -> None:
    made = contract("{auto_renews: {constant: no}, product: {constant: no}}", {"no": "C1"})
    assert made.record.fields == {"auto_renews": False, "product": "no"}


@pytest.mark.parametrize(
    ("examples", "written", "read"),
    [
        ("12/31/26", "5/4/20", "2020-05-04"),
        ("12/31/26", "6/10/35", "2035-06-10"),
        ("12/31/26", "1/2/69", "1969-01-02"),
        ("31.12.2026", "07.01.2027", "2027-01-07"),
        ('["2026-12-31", "12/31/2026"]', "1/7/2027", "2027-01-07"),
        ('["2026-12-31", "12/31/2026"]', "2027-01-07", "2027-01-07"),
        ("[]", "2027-01-07", "2027-01-07"),
        ("20261231", "20270107", "2027-01-07"),
        ("31 Dec 2026", "7 Jan 2027", "2027-01-07"),
        ("12/31/26 02:30 PM", "1/7/27 11:30 PM", "2027-01-07"),
        ("31.12.2026 14:30", "07.01.2027 23:30", "2027-01-07"),
    ],
)
def test_dates_are_read_as_the_examples_are_written(
    contract: Callable[..., Made], examples: str, written: str, read: str
) -> None:
    assert contract("{end_date: End}", {"no": "C1", "End": written}, top=f"dates: {examples}").record.fields == {
        "end_date": read
    }


def test_a_field_may_have_dates_of_its_own(contract: Callable[..., Made]) -> None:
    made = contract(
        '{start_date: S, end_date: {column: E, dates: "20261231"}}',
        {"no": "C1", "S": "31.12.2026", "E": "20270107"},
        top='dates: "31.12.2026"',
    )
    assert made.record.fields == {"start_date": "2026-12-31", "end_date": "2027-01-07"}


def test_a_moment_without_a_zone_is_of_the_company_zone(contract: Callable[..., Made]) -> None:
    made = contract("{signed_at: S}", {"no": "C1", "S": "7.1.2027 09:30"}, top='dates: "31.12.2026 14:30"')
    assert made.record.fields == {"signed_at": "2027-01-07T08:30:00+00:00"}


@pytest.mark.parametrize(
    ("style", "written", "read"),
    [
        ("1,234.56", "$98.24 ", "98.24"),
        ("1,234.56", "1,013.38", "1013.38"),
        ("1,234.56", "-$ 1,234,567", "-1234567"),
        ("1,234.56", ".5", "0.5"),
        ("1,234.56", "50 %", "0.5"),
        ("1.234,56", "1.234,5 €", "1234.5"),
        ("1.234,56", "12,5%", "0.125"),
        ("1'234.56", "CHF 48’200.00", "48200.00"),
        ("1 234,56", "48\u202f200,75 EUR", "48200.75"),
        ("1234,56", "48200,75", "48200.75"),
    ],
)
def test_numbers_are_read_as_the_example_is_written(style: str, written: str, read: str) -> None:
    assert Decimal(numbers(style)(written)) == Decimal(read)


@pytest.mark.parametrize(
    ("style", "written"),
    [
        ("1,234.56", "12,5"),
        ("1.234,56", "98.24"),
        ("1,234.56", "N/A"),
        ("1,234.56", "$"),
        ("1234.56", "1e5"),
        ("1,234.56", "1,2345"),
    ],
)
def test_a_number_of_another_style_is_refused_rather_than_misread(style: str, written: str) -> None:
    with pytest.raises(ValueError, match=f"is not a number like {style}"):
        numbers(style)(written)


def test_values_are_replaced_then_cased_then_renamed(contract: Callable[..., Made]) -> None:
    made = contract(
        '{product: {column: P, replace: {_: " "}, case: lower, values: {gtx pro: GTX Pro}}}',
        {"no": "C1", "P": "GTX_PRO"},
    )
    assert made.record.fields == {"product": "GTX Pro"}


def test_slugs_are_the_same_for_spellings_that_differ_in_punctuation_only() -> None:
    assert slug("E-INFOSOL, LLC") == slug("E-INFOSOL LLC") == "e-infosol-llc"
    assert slug("Müller & Söhne") == "muller-sohne"
    assert slug("株式会社 東京") == "株式会社-東京"


def test_what_stands_for_nothing_is_left_out_in_silence(contract: Callable[..., Made]) -> None:
    rows = [{"no": str(i), "E": written} for i, written in enumerate(["N/A", "-", "", "  "])]
    made = contract("{end_date: E}", *rows, top='empty: [N/A, "-"]')
    assert ([len(e.fields) for e in made.entities if isinstance(e, Record)], made.findings) == ([0, 0, 0, 0], [])


# --- bad values ---


def test_a_bad_value_rejects_its_row_and_no_other(contract: Callable[..., Made]) -> None:
    made = contract(
        "{end_date: End}",
        {"no": "C1", "End": "soon"},
        {"no": "C2", "End": "11/23/26"},
        {"no": "", "End": "11/23/26"},
        top='dates: "12/31/26"',
    )
    assert made.record.id == "C2"
    assert made.reasons == ['2 error: end_date "soon" is not a date like 12/31/26', "4 error: id is empty"]
    assert (made.findings[0].kind, made.findings[0].id, made.findings[0].value) == ("contract", "C1", "soon")


def test_a_field_that_may_be_missing_is_left_out_and_reported(contract: Callable[..., Made]) -> None:
    made = contract(
        "{end_date: {column: End, required: yes, on error: missing}, product: P}",
        {"no": "C1", "End": "4/24//2014", "P": "a"},
        {"no": "C2", "End": "", "P": "b"},
    )
    assert [e.fields for e in made.entities if isinstance(e, Record)] == [{"product": "a"}, {"product": "b"}]
    assert made.reasons == [
        '2 warning: end_date "4/24//2014" is not a date like 2027-01-07',
        "3 warning: end_date is empty",
    ]


def test_a_value_out_of_a_list_says_what_was_meant(contract: Callable[..., Made]) -> None:
    made = contract("{status: S}", {"no": "C1", "S": "actve"})
    assert made.reasons == [
        '2 error: status "actve" is not one of its values (did you mean "active"? allowed: draft, active)'
    ]


@pytest.mark.parametrize("text", ["nul\x00byte", "half a \ud800 pair"])
def test_text_that_a_database_cannot_hold_is_refused(contract: Callable[..., Made], text: str) -> None:
    made = contract("{product: P}", {"no": "C1", "P": text})
    assert made.entities == []
    assert made.findings[0].reason.endswith("holds a character that cannot be stored")


def test_dates_in_the_wrong_order_are_reported(contract: Callable[..., Made]) -> None:
    made = contract(
        "{start_date: S, end_date: E}",
        {"no": "C1", "S": "2020-12-12", "E": "2020-12-11"},
        {"no": "C2", "S": "2020-12-12", "E": ""},
        {"no": "C3", "S": "2020-12-12", "E": "2020-12-12"},
        more="in order: [start_date, end_date]",
    )
    assert len(made.entities) == 3
    assert made.reasons == ["2 warning: end_date 2020-12-11 comes before start_date 2020-12-12"]


# --- several records, conditions, people ---

TWO_KINDS = """
map: two kinds
records:
  - kind: holding
    when: {Produkt: present, Stand: [aktiv, neu]}
    id: "{no}/{Produkt}"
    customer: {column: Kunde, case: slug}
    fields: {product: Produkt}
  - kind: person
    id: {column: Verkauf, case: slug}
    fields: {name: Verkauf, email: {template: "{Verkauf}@example.com", case: lower, replace: {" ": .}}}
    fold: {}
"""


def test_one_row_makes_several_records_and_people(mapping: Callable[[str], ImportMap]) -> None:
    row: dict[str, object] = {
        "no": "1",
        "Produkt": "fibre",
        "Stand": "neu",
        "Kunde": "Muster AG",
        "Verkauf": "Mei-Mei Johns",
    }
    made = through(mapping(TWO_KINDS), row, {**row, "Produkt": ""}, {**row, "Stand": "alt"}, {**row, "Kunde": ""})
    assert made.entities == [
        Record(kind="holding", id="1/fibre", customer="muster-ag", fields={"product": "fibre"}),
        Record(kind="holding", id="1/fibre", customer=None, fields={"product": "fibre"}),
        Person(id="mei-mei-johns", name="Mei-Mei Johns", email="mei-mei.johns@example.com"),
    ]
    assert made.findings == []


def test_a_row_is_rejected_with_all_its_records(mapping: Callable[[str], ImportMap]) -> None:
    made = through(
        mapping(TWO_KINDS), {"no": "1", "Produkt": "fibre", "Stand": "neu", "Kunde": "M", "Verkauf": "a b@c"}
    )
    assert made.entities == []
    assert made.reasons == ['2 error: email "a b@c@example.com" is not an e-mail address']


# --- folding ---

FOLDED = """{
  status: {constant: active}, start_date: S, end_date: E, annual_value: V, product: P}
    fold: {start_date: min, end_date: max, annual_value: sum, lines: count, product: last}"""


def fold_row(no: str, start: str, end: str, value: str, product: str = "a") -> dict[str, object]:
    return {"no": no, "S": start, "E": end, "V": value, "P": product}


def test_many_rows_make_one_record(contract: Callable[..., Made]) -> None:
    made = contract(
        FOLDED,
        fold_row("C1", "2020-01-01", "2021-01-01", "100"),
        fold_row("C2", "2020-01-01", "2021-01-01", "7"),
        fold_row("C1", "2020-01-01", "2021-01-01", "0.50"),
    )
    assert [(e.id, e.fields["annual_value"], e.fields["lines"]) for e in made.entities if isinstance(e, Record)] == [
        ("C1", "100.5", "2"),
        ("C2", "7", "1"),
    ]
    assert made.findings == []


def test_rows_that_contradict_each_other_are_reported_with_their_lines(contract: Callable[..., Made]) -> None:
    made = contract(
        FOLDED,
        fold_row("C1", "2020-03-01", "2021-01-01", "1", "b"),
        fold_row("C1", "2020-02-01", "2022-01-01", "1", "a"),
        fold_row("C1", "2020-03-01", "2021-06-01", "1", "b"),
        fold_row("C1", "", "", "1", ""),
    )
    assert made.record.fields == {
        "status": "active", "start_date": "2020-02-01", "end_date": "2022-01-01",
        "annual_value": "4", "product": "b", "lines": "4",
    }  # fmt: skip
    assert made.reasons == [
        "3 warning: rows contradict each other: 2020-03-01 (line 2), 2020-02-01 (line 3); kept 2020-02-01 (min)",
        "3 warning: rows contradict each other: "
        "2021-01-01 (line 2), 2022-01-01 (line 3), 2021-06-01 (line 4); kept 2022-01-01 (max)",
        "3 warning: rows contradict each other: b (line 2), a (line 3); kept b (last)",
    ]


def test_fields_that_may_differ_are_no_conflict(contract: Callable[..., Made]) -> None:
    rows = [fold_row("C1", "", "2021-01-01", "1"), fold_row("C1", "", "2022-01-01", "1")]
    made = contract("{end_date: E}\n    fold: {end_date: max}", *rows, more="may differ: end_date")
    assert (made.record.fields, made.findings) == ({"end_date": "2022-01-01"}, [])


def test_a_count_with_a_column_counts_the_rows_that_fill_it(contract: Callable[..., Made]) -> None:
    rows: list[dict[str, object]] = [{"no": "C1", "P": product} for product in ("a", "", "b")]
    assert contract("{lines: P}\n    fold: {lines: count}", *rows).record.fields == {"lines": "2"}


def test_a_rejected_row_adds_nothing_to_a_folded_record(contract: Callable[..., Made]) -> None:
    made = contract(FOLDED, fold_row("C1", "", "", "1"), fold_row("C1", "", "never", "1"))
    assert (made.record.fields["annual_value"], made.record.fields["lines"]) == ("1", "1")


def test_a_record_keeps_its_first_customer_and_a_second_one_is_a_conflict(mapping: Callable[[str], ImportMap]) -> None:
    map_ = mapping("map: t\nrecords: [{kind: contract, id: no, customer: K, fold: {}}]")
    made = through(map_, {"no": "C1", "K": "k1"}, {"no": "C1", "K": "k2"})
    assert made.record.customer == "k1"
    assert made.reasons == ["3 warning: rows contradict each other: k1 (line 2), k2 (line 3); kept k1 (first)"]


# --- JSON ---


def test_nested_objects_are_reached_with_dots_and_json_numbers_need_no_style(contract: Callable[..., Made]) -> None:
    made = contract(
        "{annual_value: value.amount, auto_renews: renews, contact: owner.id}",
        {"no": 7, "value": {"amount": Decimal("1234.5")}, "renews": True, "owner": None},
        top="numbers: 1.234,56",
    )
    assert made.record == Record(
        kind="contract", id="7", customer=None, fields={"annual_value": "1234.5", "auto_renews": True}
    )


def test_a_column_with_a_dot_in_its_name_is_that_column(contract: Callable[..., Made]) -> None:
    assert contract("{product: CONTRACT .}", {"no": "C1", "CONTRACT .": "x"}).record.fields == {"product": "x"}


def test_a_nested_value_says_how_to_name_what_is_inside(contract: Callable[..., Made]) -> None:
    made = contract("{contact: owner}", {"no": "C1", "owner": {"id": "u1"}})
    assert made.reasons == [
        "2 error: contact \"{'id': 'u1'}\" is nested: name what is inside it as column.key, or leave it out"
    ]


# --- bad maps ---

HEAD = "map: test\nrecords:\n  - kind: contract\n    id: no\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("map: test\nrecord: []\n", 'map.yaml:2:1: error[R001] unknown key "record"'),
        ("map: test\nrecords:\n  - kind: contract\n", 'map.yaml:3:5: error[R002] key "id" is missing'),
        (HEAD.replace("contract", "contrct"), 'map.yaml:3:11: error[R100] no kind "contrct"'),
        (HEAD + "    fields: {end_dat: E}\n", 'map.yaml:5:14: error[R101] contract has no field "end_dat"'),
        (HEAD + "    fields: {end_date: {colum: E}}\n", 'map.yaml:5:25: error[R001] unknown key "colum"'),
        (HEAD + "    fields: {end_date: {required: yes}}\n", "a value comes from one of these: column, template"),
        (HEAD + "    fields: {customer: K}\n", "it stands beside `fields`"),
        (HEAD + "    fold: {end_date: biggest}\n", '"biggest" is not known here; allowed: first, last,'),
        (HEAD + "    fields: {product: P}\n    fold: {product: sum}\n", "sum gives a number; product is text"),
        (HEAD + "    fields: {product: P}\n    fold: {product: max}\n", "error[R203] product is text, it has no max"),
        (HEAD + "    fold: {end_date: max}\n", "error[R002] no value for end_date under `fields`"),
        (HEAD + "    may differ: [end_date]\n", "say `fold:` as well"),
        (HEAD + "    in order: [end_date, product]\n", "name two or more of one type"),
        (HEAD + "    fields: {end_date: {column: E, case: loud}}\n", '"loud" is not known here; allowed: lower,'),
        (HEAD + "    fields: {end_date: {column: E, dates: dd.mm}}\n", '"dd.mm" does not show how dates are written'),
        (HEAD + "dates: [2026-12-31, 12/31]\n", 'map.yaml:5:8: error[R201] "12/31" does not show how'),
        (HEAD + "    fields: {status: {constant: actve}}\n", '"actve" is not one of its values (did you mean'),
        (HEAD + "numbers: 1.234.56\n", 'map.yaml:5:10: error[R201] "1.234.56" is not known here; allowed: 1,234.56,'),
        (HEAD + "encoding: latin-99\n", 'map.yaml:5:11: error[R201] no encoding "latin-99"'),
        ("map: test\nrecords: [{kind: person, id: no, fields: {name: n}}]\n", 'field "email" is missing'),
        ("map: test\nmap: again\nrecords: []\n", 'map.yaml:2:1: error[Y002] "map" stands here twice'),
        ("", "holds 0 documents"),
    ],
)  # fmt: skip
def test_a_wrong_map_says_where_and_what_instead(mapping: Callable[[str], ImportMap], text: str, said: str) -> None:
    assert said in trouble(mapping, text)


def test_a_map_suggests_what_was_meant(mapping: Callable[[str], ImportMap]) -> None:
    said = trouble(mapping, HEAD + "    fields: {end_dat: E, status: {colum: S}}\n")
    assert 'did you mean "column"?' in said
    assert 'did you mean "end_date"?' in trouble(mapping, HEAD + "    fields: {end_dat: E}\n")


def test_a_column_that_the_file_lacks_is_shown_in_the_map(mapping: Callable[[str], ImportMap]) -> None:
    map_ = mapping(HEAD + '    when: {Sate: present}\n    fields: {end_date: {column: End}, contact: "{fist}"}\n')
    with pytest.raises(BadMapping) as caught:
        check_columns(map_, ["no", "State", "End", "End", "first"], file="data.csv")
    said = str(caught.value)
    assert 'map.yaml:5:18: error[M101] data.csv has no column "Sate"' in said
    assert 'did you mean "State"?' in said
    assert 'did you mean "first"?' in said
    assert 'map.yaml:6:33: error[M102] data.csv has 2 columns "End"' in said


def test_a_refused_date_shows_every_way_of_writing_that_was_tried() -> None:
    with pytest.raises(ValueError, match=r"is not a date like 2026-12-31 or 31\.12\.26"):
        dates(["2026-12-31", "31.12.26"])("tomorrow")
