from __future__ import annotations

import csv
import gzip
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.importing import BadFile, DryRun, ImportReport, StoreSink, import_file
from domain.person import Person
from domain.record import Dossier, Record, RecordRef, dossier_id
from rules import loader, mapping
from rules.mapping import BadMapping, ImportMap
from rules.model import Date, Model, Money, Text
from rules.problems import Severity
from rules.stories import run_test
from store import dossiers, people
from store.changing import Outcome
from store.session import Database

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
DATA = ROOT.parent / "shared" / "data"
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)

MODEL = Model.of({"contract": {"product": Text(), "end_date": Date(), "value": Money()}}, ZoneInfo("UTC"))
MAP = """
map: contracts
records:
  - kind: contract
    id: no
    customer: who
    fields: {product: product, end_date: {column: end, on error: missing}}
"""
HEADER = "no,who,product,end\n"


class Memory:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.records: dict[RecordRef, Record] = {}
        self.people: dict[str, Person] = {}
        self.batches: list[int] = []

    def write(self, records: Sequence[Record], persons: Sequence[Person]) -> Counter[tuple[str, Outcome]]:
        self.batches.append(len(records) + len(persons))
        counts: Counter[tuple[str, Outcome]] = Counter()
        for record in records:
            counts[record.kind, Outcome.of(self.records.get(record.ref), record)] += 1
            self.records[record.ref] = record
        for person in persons:
            counts["person", Outcome.of(self.people.get(person.id), person)] += 1
            self.people[person.id] = person
        return counts

    def products(self) -> dict[str, object]:
        return {ref.id: record.fields.get("product") for ref, record in self.records.items()}


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def imported(tmp_path: Path, memory: Memory) -> Callable[..., ImportReport]:
    """Imports bytes or text, as a file, into memory."""

    def run(content: bytes | str, *, map_: str = MAP) -> ImportReport:
        file = tmp_path / "data.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return import_file(file, name="data.csv", map_=mapped(tmp_path, map_), sink=memory)

    return run


def mapped(folder: Path, text: str = MAP) -> ImportMap:
    file = folder / "map.yaml"
    file.write_text(text, encoding="utf-8")
    return mapping.load(file, MODEL)


def rejected(report: ImportReport) -> list[str]:
    return [f"{finding.line}: {finding.reason}" for finding in report.first[Severity.ERROR]]


# --- CSV ---


def test_one_bad_row_never_stops_the_others(imported: Callable[..., ImportReport], memory: Memory) -> None:
    report = imported(HEADER + "C1,k,a,\n,k,b,\nC3,k\nC4,k,d,,extra\nC5,k,e,soon\n\nC6,k,f,2027-01-07\n")
    assert memory.products() == {"C1": "a", "C5": "e", "C6": "f"}
    assert rejected(report) == [
        "3: id is empty",
        "4: has 2 columns, the header has 4",
        "5: has 5 columns, the header has 4",
    ]
    assert [f.line for f in report.first[Severity.WARNING]] == [6]
    assert (report.rows, report.rejected, report.warnings) == (6, 3, 1)
    assert report.written == {("contract", Outcome.NEW): 3}


def test_lines_are_counted_as_an_editor_counts_them(imported: Callable[..., ImportReport]) -> None:
    report = imported(HEADER + 'C1,k,"over\nthree\nlines",\n\n,k,b,\n')
    assert rejected(report) == ["6: id is empty"]


def test_a_quote_left_open_costs_its_own_row_only(imported: Callable[..., ImportReport], memory: Memory) -> None:
    report = imported(HEADER + 'C1,k,"a,\nC2,k,b,\nC3,k,"c"c,\nC4,k,d,\n')
    assert memory.products() == {"C2": "b", "C4": "d"}
    assert [reason.partition(";")[2] for reason in rejected(report)] == [" is a quote left open, or not doubled?"] * 2
    assert [f.line for f in report.first[Severity.ERROR]] == [2, 4]
    assert report.first[Severity.ERROR][0].value == 'C1,k,"a,'


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(
    imported: Callable[..., ImportReport], memory: Memory, delimiter: str
) -> None:
    imported(f'{HEADER}C1,k,"a{delimiter}b",\n'.replace(",", delimiter))
    assert memory.products() == {"C1": f"a{delimiter}b"}


def test_a_map_may_name_the_delimiter(imported: Callable[..., ImportReport], memory: Memory) -> None:
    imported("no/who/product/end\nC1/k/a/\n", map_=f"delimiter: /\n{MAP}".replace("\nmap: contracts", "map: contracts"))
    assert memory.products() == {"C1": "a"}


def test_a_byte_order_mark_and_windows_lines_are_read(imported: Callable[..., ImportReport], memory: Memory) -> None:
    imported("\ufeff" + (HEADER + "C1,k,a,\n").replace("\n", "\r\n"))
    assert memory.products() == {"C1": "a"}


def test_another_encoding_is_read_when_the_map_names_it(imported: Callable[..., ImportReport], memory: Memory) -> None:
    imported((HEADER + "C1,k,Zürich,\n").encode("cp1252"), map_=f"{MAP}encoding: cp1252\n")
    assert memory.products() == {"C1": "Zürich"}


# --- files that cannot be read ---


def filler(lines: int) -> str:
    return HEADER + "".join(f"C{i},k,product {i},2027-01-07\n" for i in range(lines))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "data.csv: is empty; its first line must name the columns"),
        (b"\n  \n", "data.csv: is empty; its first line must name the columns"),
        (b'[{"no": 1}]', "data.csv: is one JSON array; write one object a line, as `jq -c '.[]'` does"),
        (b'no,"who\nC1,k\n', "data.csv:1: the header is not CSV: unexpected end of data"),
        (
            (HEADER + "C1,k,a,\nC2,k,Zürich,\n").encode("cp1252"),
            "data.csv:3: is not utf-8: byte 33 is 0xfc; name the file's encoding in the map, as in `encoding: cp1252`",
        ),
        (
            HEADER.encode("utf-16"),
            "data.csv:1: is not utf-8: byte 0 is 0xff; name the file's encoding in the map, as in `encoding: utf-16`",
        ),
        (gzip.compress(filler(20).encode())[:-9], "data.csv:22: the gzip data ends too early; is the file complete?"),
        (gzip.compress(b"no")[:-4] + b"....", "data.csv:1: the gzip data is damaged: "),
        (b"\x1f\x8bnothing of the kind", "data.csv:1: the gzip data is damaged: "),
        ((HEADER + "x" * 5_000_000).encode(), "data.csv:2: the line is longer than 4194304 characters; is it a table?"),
    ],
    ids=["empty", "blank", "array", "open header", "cp1252", "utf-16", "cut gzip", "bad crc", "no gzip", "long line"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where_and_what_to_do(
    imported: Callable[..., ImportReport], content: bytes, said: str
) -> None:
    with pytest.raises(BadFile) as caught:
        imported(content)
    assert str(caught.value).startswith(said)


def test_the_place_of_a_wrong_byte_is_right_deep_in_a_file(imported: Callable[..., ImportReport]) -> None:
    good = filler(5_000).encode()
    with pytest.raises(BadFile, match=f"data.csv:5002: is not utf-8: byte {len(good) + 5} is 0xe9"):
        imported(good + b"C9,k,\xe9,\n")


def test_a_file_that_ends_too_early_leaves_folded_records_alone(
    imported: Callable[..., ImportReport], memory: Memory
) -> None:
    cut = gzip.compress(filler(50_000).encode())[:-2_000]
    with pytest.raises(BadFile, match=r"data\.csv:\d+: the gzip data ends too early; is the file complete\?"):
        imported(cut, map_=f"{MAP}    fold: {{}}\n")
    assert memory.records == {}


def test_a_file_that_is_not_there_is_named(tmp_path: Path, memory: Memory) -> None:
    with pytest.raises(BadFile, match=r"gone\.csv: cannot be opened: No such file or directory"):
        import_file(tmp_path / "gone.csv", name="gone.csv", map_=mapped(tmp_path), sink=memory)


def test_a_gzip_bomb_is_refused(imported: Callable[..., ImportReport]) -> None:
    rows = HEADER.encode() + (b"C1,k," + b"a" * 100_000 + b",\n") * 200
    with pytest.raises(BadFile, match="unpacks to more than 200 times its size"):
        imported(gzip.compress(rows))


def test_a_column_that_is_not_there_is_shown_in_the_map(imported: Callable[..., ImportReport]) -> None:
    with pytest.raises(BadMapping) as caught:
        imported("no,who,produkt,end\nC1,k,a,\n")
    assert 'map.yaml:7:23: error[M101] data.csv has no column "product"' in str(caught.value)
    assert 'did you mean "produkt"?' in str(caught.value)


# --- gzip, JSONL, standard input, batches ---


def test_gzip_is_known_by_its_content(imported: Callable[..., ImportReport], memory: Memory) -> None:
    imported(gzip.compress((HEADER + "C1,k,a,\n").encode()) + gzip.compress(b"C2,k,b,\n"))
    assert memory.products() == {"C1": "a", "C2": "b"}


def test_json_lines_are_known_by_their_content(imported: Callable[..., ImportReport], memory: Memory) -> None:
    report = imported(
        '{"no": 1, "product": {"name": "a"}, "end": "2027-01-07"}\n'
        '\n{"no": 2,\n[3]\n{"no": NaN}\n{"no": 4, "product": null}\n',
        map_=MAP.replace("product: product", "product: product.name"),
    )
    assert memory.products() == {"1": "a", "4": None}
    assert rejected(report) == [
        "3: is not JSON: Expecting property name enclosed in double quotes at column 10",
        "4: is not a JSON object",
        "5: is not JSON: NaN is not a number there",
    ]


def test_a_name_that_no_json_line_has_is_reported(imported: Callable[..., ImportReport]) -> None:
    report = imported('{"no": 1, "who": "k", "produkt": "a"}\n{"no": 2, "end": null}\n')
    assert [f.reason for f in report.first[Severity.WARNING]] == ['no row has "end"', 'no row has "product"']


def test_standard_input_is_read_like_a_file(tmp_path: Path, memory: Memory) -> None:
    stream = io.BytesIO(gzip.compress((HEADER + "C1,k,a,\n").encode()))
    import_file(stream, name="standard input", map_=mapped(tmp_path), sink=memory)
    assert memory.products() == {"C1": "a"}


def test_rows_are_written_in_batches_as_they_are_read(tmp_path: Path, memory: Memory) -> None:
    file = tmp_path / "data.csv"
    file.write_text(filler(2_500), encoding="utf-8")
    seen: list[int] = []
    import_file(file, name="data.csv", map_=mapped(tmp_path), sink=memory, progress=seen.append)
    assert memory.batches == [1000, 1000, 500]
    assert seen == sorted(seen)
    assert seen[-1] == file.stat().st_size


# --- report ---


def test_everything_found_is_in_the_report_file(tmp_path: Path, memory: Memory) -> None:
    data, report = tmp_path / "data.csv", tmp_path / "report.csv"
    data.write_text(HEADER + "".join(f"C{i},k,a,soon\n" for i in range(9)) + "C9,k\n=1+1,k,a,soon\n", encoding="utf-8")
    found = import_file(data, name="data.csv", map_=mapped(tmp_path), sink=memory, report_to=report)
    assert [len(shown) for shown in found.first.values()] == [1, 5]
    with report.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    assert rows[0] == {
        "line": "2", "severity": "warning", "kind": "contract", "id": "C0", "field": "end_date", "value": "soon",
        "reason": 'end_date "soon" is not a date like 2027-01-07',
    }  # fmt: skip
    assert rows[9]["value"] == "C9,k"
    assert rows[10]["id"] == "'=1+1"  # no formula for a spreadsheet to run


def test_a_report_that_cannot_be_written_stops_before_anything_is(tmp_path: Path, memory: Memory) -> None:
    data = tmp_path / "data.csv"
    data.write_text(filler(1), encoding="utf-8")
    with pytest.raises(BadFile, match="the report cannot be written: No such file or directory"):
        import_file(data, name="d", map_=mapped(tmp_path), sink=memory, report_to=tmp_path / "no" / "report.csv")
    assert memory.records == {}


# --- the store ---

PEOPLE_MAP = MAP + "  - {kind: person, id: who, fields: {name: who, email: '{who}@example.com'}, fold: {}}\n"


def test_importing_again_changes_nothing_and_a_dry_run_says_so_beforehand(tmp_path: Path, db: Database) -> None:
    file, map_ = tmp_path / "data.csv", mapped(tmp_path, PEOPLE_MAP)
    store, dry = StoreSink(db=db, now=NOW, source="import data.csv"), DryRun(db=db)

    def run(sink: StoreSink | DryRun, rows: str) -> dict[tuple[str, Outcome], int]:
        file.write_text(HEADER + rows, encoding="utf-8")
        return dict(import_file(file, name="data.csv", map_=map_, sink=sink).written)

    first = {("contract", Outcome.NEW): 2, ("person", Outcome.NEW): 1}
    assert run(dry, "C1,k,a,\nC2,k,b,\n") == first
    assert dossiers.load(db, "k") is None
    assert people.load(db).get("k") is None
    assert run(store, "C1,k,a,\nC2,k,b,\n") == first

    again = {("contract", Outcome.UNCHANGED): 1, ("contract", Outcome.CHANGED): 1, ("person", Outcome.UNCHANGED): 1}
    assert run(dry, "C1,k,a,\nC2,k,c,\n") == again
    assert run(store, "C1,k,a,\nC2,k,c,\n") == again

    dossier = dossiers.load(db, "k")
    assert dossier is not None
    assert [record.fields for record in dossier.records] == [{"product": "a"}, {"product": "c"}]
    assert people.load(db).get("k") == Person(id="k", name="k", email="k@example.com")


# --- the examples, with real data ---


def data(name: str) -> Path:
    file = DATA / name
    if not file.exists():
        pytest.skip(f"{file} is not here: real data is kept beside the project")
    return file


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def example(folder: str, map_: str, file: Path, report_to: Path) -> tuple[Memory, ImportReport, list[dict[str, str]]]:
    model = loader.load(["base", EXAMPLES / folder / "rules"]).model
    memory = Memory()
    report = import_file(
        file, name=file.name, map_=mapping.load(EXAMPLES / folder / map_, model), sink=memory, report_to=report_to
    )
    return memory, report, rows_of(report_to)


def us_date(text: str) -> date | None:
    """None: no date."""
    parts = text.split("/")
    return date(2000 + int(parts[2]), int(parts[0]), int(parts[1])) if len(parts) == 3 and all(parts) else None


def test_every_federal_contract_is_one_record_and_its_dirt_is_reported(tmp_path: Path) -> None:
    file = data("gsa_schedule70_contracts/s70_data.csv")
    by_number: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows_of(file):
        by_number[row["CONTRACT NUMBER"]].append(row)
    (unnumbered,) = by_number.pop("")

    memory, report, found = example("gsa", "map.yaml", file, tmp_path / "report.csv")
    contracts = {ref.id: record for ref, record in memory.records.items() if ref.kind == "contract"}

    assert (report.rows, report.rejected) == (4157, 1)
    assert [(row["reason"], row["kind"]) for row in found if row["severity"] == "error"] == [
        ("id is empty", "contract")
    ]
    assert unnumbered["VENDOR NAME"] == "NEXTSTEP TECHNOLOGY, INC"
    assert len(by_number) == 246
    assert contracts.keys() == by_number.keys()
    for number, rows in by_number.items():
        starts = [start for row in rows if (start := us_date(row["CONTRACT START DATE"]))]
        fields = contracts[number].fields
        assert fields["end_date"] == max(filter(None, (us_date(r["CONTRACT END DATE"]) for r in rows))).isoformat()
        assert fields.get("start_date") == (min(starts).isoformat() if starts else None)
        assert fields["price_lines"] == str(len(rows))
        assert (fields["status"], fields["auto_renews"]) == ("active", False)

    reports = Counter((row["field"], row["reason"].split()[0]) for row in found)
    bad_starts = [row for row in found if row["reason"].startswith("start_date ")]
    assert len(bad_starts) == sum(us_date(r["CONTRACT START DATE"]) is None for r in rows_of(file)) == 23
    assert all(f"{row['line']} " for row in bad_starts)
    assert reports["end_date", "rows"] == sum(
        len({r["CONTRACT END DATE"] for r in rows}) > 1 for rows in by_number.values()
    )
    assert reports["end_date", "rows"] == 9
    assert reports["end_date", "end_date"] == 15
    several = {number for number, rows in by_number.items() if len({row["VENDOR NAME"] for row in rows}) > 1}
    assert len(several) == reports["customer", "rows"] + reports["name", "rows"] == 4
    assert all(contract.customer for contract in contracts.values())
    owners = {record.fields["owner"] for ref, record in memory.records.items() if ref.kind == "customer"}
    assert owners == memory.people.keys()


def test_both_layouts_of_the_pipeline_give_the_same_deals(tmp_path: Path) -> None:
    iso, us = data("maven_crm/sales_pipeline.csv"), data("maven_crm/sales_pipeline_us_dates.csv")
    memory, report, found = example("maven", "pipeline.yaml", iso, tmp_path / "report.csv")
    other, _, found_in_other = example("maven", "pipeline.yaml", us, tmp_path / "report.csv")

    assert memory.records == other.records
    assert found == found_in_other == []
    assert (report.rows, len(memory.records)) == (8800, 8800)
    rows = {row["opportunity_id"]: row for row in rows_of(iso)}
    deals = {ref.id: record for ref, record in memory.records.items()}
    assert deals.keys() == rows.keys()
    assert Counter(d.fields["stage"] for d in deals.values()) == Counter(r["deal_stage"].lower() for r in rows.values())
    assert {id_ for id_, d in deals.items() if d.customer is None} == {
        id_ for id_, r in rows.items() if not r["account"]
    }
    assert sum(deal.customer is None for deal in deals.values()) == 1425
    assert sum(deal.fields["product"] == "GTX Pro" for deal in deals.values()) == 1480
    for id_, row in rows.items():
        assert deals[id_].fields.get("engaged_on", "") == row["engage_date"]
        assert deals[id_].fields.get("closed_on", "") == row["close_date"]
        assert deals[id_].fields.get("amount", "") == row["close_value"]


def test_deals_name_accounts_products_and_people_that_are_imported_too(tmp_path: Path) -> None:
    report_to = tmp_path / "report.csv"
    accounts, _, _ = example("maven", "accounts.yaml", data("maven_crm/accounts.csv"), report_to)
    products, _, _ = example("maven", "products.yaml", data("maven_crm/products.csv"), report_to)
    staff, _, _ = example("maven", "people.yaml", data("maven_crm/sales_teams.csv"), report_to)
    deals, _, _ = example("maven", "pipeline.yaml", data("maven_crm/sales_pipeline.csv"), report_to)

    assert len(accounts.records) == 85
    assert {d.customer for d in deals.records.values()} - {None} == {ref.id for ref in accounts.records}
    assert {d.fields["product"] for d in deals.records.values()} == {ref.id for ref in products.records}
    assert {d.fields["owner"] for d in deals.records.values()} <= staff.people.keys()
    assert staff.people["moses-frase"] == Person(
        id="moses-frase",
        name="Moses Frase",
        email="moses.frase@example.com",
        manager="dustin-brinkmann",
        team="Central",
    )
    assert {p.manager for p in staff.people.values()} - {None} <= staff.people.keys()
    assert len(staff.people) == 35 + 6
    assert "technolgy" not in {account.fields["sector"] for account in accounts.records.values()}


def raised(folder: str, memory: Memory, *, rule: str, now: datetime) -> set[str]:
    """The subjects of a rule over everything imported."""
    by_dossier: dict[str, list[Record]] = defaultdict(list)
    for record in memory.records.values():
        by_dossier[dossier_id(record)].append(record)
    rulebase = loader.load(["base", EXAMPLES / folder / "rules"])
    decisions = [rulebase.decide(Dossier(id=id_, records=tuple(r)), now=now) for id_, r in by_dossier.items()]
    return {match.subject.id for decision in decisions for match in decision.matches if match.rule == rule}


def test_federal_contracts_are_raised_in_their_last_90_days(tmp_path: Path) -> None:
    file, today = data("gsa_schedule70_contracts/s70_data.csv"), date(2019, 8, 1)
    ends: dict[str, date] = {}
    for row in rows_of(file):
        number, end = row["CONTRACT NUMBER"], us_date(row["CONTRACT END DATE"])
        assert end is not None
        ends[number] = max(end, ends.get(number, end))
    expected = {number for number, end in ends.items() if number and 0 <= (end - today).days <= 90}

    memory, _, _ = example("gsa", "map.yaml", file, tmp_path / "report.csv")
    now = datetime(today.year, today.month, today.day, 16, tzinfo=UTC)
    assert raised("gsa", memory, rule="contract-expiring", now=now) == expected
    assert len(expected) > 10


def test_deals_that_stall_are_raised_with_and_without_an_account(tmp_path: Path) -> None:
    file, today = data("maven_crm/sales_pipeline.csv"), date(2017, 12, 31)
    stalled = [
        row
        for row in rows_of(file)
        if row["deal_stage"] == "Engaging" and (today - date.fromisoformat(row["engage_date"])).days > 90
    ]
    memory, _, _ = example("maven", "pipeline.yaml", file, tmp_path / "report.csv")
    now = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    assert raised("maven", memory, rule="stalled-deal", now=now) == {row["opportunity_id"] for row in stalled}
    assert {bool(row["account"]) for row in stalled} == {True, False}


@pytest.mark.parametrize("folder", ["gsa", "maven"])
def test_the_example_rules_hold_their_own_tests(folder: str) -> None:
    rulebase = loader.load(["base", EXAMPLES / folder / "rules"])
    tests = [(rule, test) for rule in rulebase.rules for test in rule.tests]
    assert tests
    assert [failure for rule, test in tests for failure in run_test(rulebase, rule, test).failures] == []
