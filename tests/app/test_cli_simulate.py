"""`relance rules simulate`: what the rules will do over the database, without touching it."""

# ruff: noqa: E501 - tables are as wide as they are

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, make_url, select

from domain.person import Person
from domain.record import CUSTOMER, Record
from store import dossiers, recommendations
from store.dossiers import PAGE
from store.session import Database
from store.tables import metadata
from tests.app.conftest import NOON, Company
from tests.story.post_office import PostOffice

FROM = "2026-11-23T12:00:00+01:00"

OWN = """\
rule: contract-in-a-week
title: A contract ends within a week
for each: contract
when: {status: active, end_date: in the next 7 days}
then: {recommend: win, say: "Now", to: [owner, team lead]}
rollout: draft
"""


@pytest.fixture
def company(relance, database_url: str) -> Iterator[Company]:
    """Lena and Tim, whose contracts expire; one customer waits for an answer, one belongs to somebody who left."""
    relance.writes("pack/own.yaml", OWN)
    terminal = relance.having(DATABASE=database_url, RULES='["base", "pack"]')
    with Database.connect(database_url) as db:
        company = Company(relance=terminal, db=db, post=PostOffice(), now=NOON)
        company.has_people(
            Person(id="lena", name="Lena Steiner", email="lena@example.com", manager="rosa", team="zurich"),
            Person(id="tim", name="Tim Frei", email="tim@example.com", manager="rosa", team="zurich"),
            Person(id="rosa", name="Rosa Keller", email="rosa@example.com"),
        )
        company.has(*contract("K1", "lena", "2027-01-07"), *contract("K2", "lena", "2027-03-07"))
        company.has(*contract("K3", "tim", "2027-03-07"), *contract("K4", "tim", "2027-03-08"))
        company.has(*contract("K5", "gone", "2027-03-09"))
        company.has(*contract("K6", "tim", "2027-03-09"))
        complaint = {"status": "new", "opened_at": "2026-11-20T10:00:00+01:00", "subject": "late"}
        company.has(Record(kind="complaint", id="M6", customer="K6", fields=complaint))
        yield company


def contract(customer: str, owner: str, ends: str) -> tuple[Record, Record]:
    fields = {"status": "active", "auto_renews": False, "end_date": ends}
    return (
        Record(kind=CUSTOMER, id=customer, customer=None, fields={"owner": owner}),
        Record(kind="contract", id=f"C-{customer}", customer=customer, fields=fields),
    )


@pytest.fixture
def simulate(company: Company):
    def run(*arguments: str, since: str = FROM):
        return company.relance("rules", "simulate", "--from", since, *arguments)

    return run


SUMMARY = """\
Monday 23 November 2026, 12:00 CET to Sunday 21 February 2027, 12:00 CET, if nobody writes or acts (6 customers):
  3 reminders to 2 people, most on Monday 7 December 2026: 2 reminders to 2 people
  2 open at the beginning, 5 raised later (1 held back by other rules at first, 1 with nobody to write to), 1 resolved

contract-expiring would send 3 reminders to 2 people, most on Monday 7 December 2026: 2 reminders to 2 people
  1 open at the beginning, 5 raised later (1 held back by other rules at first, 1 with nobody to write to), 1 resolved

contract-in-a-week would send 2 reminders to 2 people on Thursday 31 December 2026, if it were live; it is a draft, \
and nobody hears of it
  0 open at the beginning, 1 raised later, 1 resolved

complaint-open would send no reminders
  1 open at the beginning, 0 raised later, 0 resolved

tim (Tim Frei): 2 reminders, most on Monday 7 December 2026: 1 reminder
lena (Lena Steiner): 1 reminder on Monday 7 December 2026
"""
PER_DAY = """\
day         reach  raised  resolved  reminders  held back  unaddressed
2026-12-07  live        2         0          2          0            0
2026-12-08  live        1         0          1          0            0
2026-12-09  live        2         0          0          1            1
2026-12-31  draft       1         0          2          0            0
2027-01-08  draft       0         1          0          0            0
2027-01-08  live        0         1          0          0            0
"""
PER_PERSON = """\
person  name          reach  open  raised  resolved  reminders  held back  unaddressed  busiest day  busiest day reminders
                      live      0       1         0          0          0            1                                   0
lena    Lena Steiner  draft     0       1         1          1          0            0  2026-12-31                       1
lena    Lena Steiner  live      1       1         1          1          0            0  2026-12-07                       1
rosa    Rosa Keller   draft     0       1         1          1          0            0  2026-12-31                       1
tim     Tim Frei      live      1       3         0          2          1            0  2026-12-07                       1
"""
PER_RULE = """\
rule                reach  open  raised  resolved  reminders  held back  unaddressed  people  busiest day  busiest day reminders
complaint-open      live      1       0         0          0          0            0       0                                   0
contract-expiring   live      1       5         1          3          1            1       2  2026-12-07                       2
contract-in-a-week  draft     0       1         1          2          0            0       2  2026-12-31                       2
"""
PER_EVENT = """\
at                         event     rule                reach  customer  subject        to         held back by
2026-11-23T12:00:00+01:00  open      contract-expiring   live   K1        contract C-K1  lena
2026-11-23T12:00:00+01:00  open      complaint-open      live   K6        complaint M6   tim
2026-12-07T00:00:00+01:00  raised    contract-expiring   live   K2        contract C-K2  lena
2026-12-07T00:00:00+01:00  raised    contract-expiring   live   K3        contract C-K3  tim
2026-12-08T00:00:00+01:00  raised    contract-expiring   live   K4        contract C-K4  tim
2026-12-09T00:00:00+01:00  raised    contract-expiring   live   K5        contract C-K5
2026-12-09T00:00:00+01:00  raised    contract-expiring   live   K6        contract C-K6  tim        complaint-open
2026-12-31T00:00:00+01:00  raised    contract-in-a-week  draft  K1        contract C-K1  lena rosa
2027-01-08T00:00:00+01:00  resolved  contract-expiring   live   K1        contract C-K1  lena
2027-01-08T00:00:00+01:00  resolved  contract-in-a-week  draft  K1        contract C-K1  lena rosa
"""
DETAILED = """\
day,rule,reach,person,raised,resolved,reminders,held_back,unaddressed
2026-12-07,contract-expiring,live,lena,1,0,1,0,0
2026-12-07,contract-expiring,live,tim,1,0,1,0,0
2026-12-08,contract-expiring,live,tim,1,0,1,0,0
2026-12-09,contract-expiring,live,,1,0,0,0,1
2026-12-09,contract-expiring,live,tim,1,0,0,1,0
2026-12-31,contract-in-a-week,draft,lena,1,0,1,0,0
2026-12-31,contract-in-a-week,draft,rosa,1,0,1,0,0
2027-01-08,contract-expiring,live,lena,0,1,0,0,0
2027-01-08,contract-in-a-week,draft,lena,0,1,0,0,0
2027-01-08,contract-in-a-week,draft,rosa,0,1,0,0,0
"""


# --- what it prints ---


def test_the_summary_says_how_many_reminders_reach_whom_and_when_it_is_busiest(simulate):
    said = simulate()
    assert (said.code, said.err) == (0, "")
    assert said.out == SUMMARY


@pytest.mark.parametrize(
    ("by", "table"), [("day", PER_DAY), ("person", PER_PERSON), ("rule", PER_RULE), ("event", PER_EVENT)]
)
def test_one_table_instead_of_the_summary(simulate, by, table):
    said = simulate("--by", by)
    assert (said.code, said.err, said.out) == (0, "", table)


def test_a_csv_has_a_row_for_each_day_rule_and_person(simulate):
    said = simulate("--format", "csv")
    assert (said.code, said.err) == (0, "")
    assert said.out == DETAILED.replace("\n", "\r\n")


@pytest.mark.parametrize("by", ["day", "person", "rule", "event"])
def test_a_csv_of_one_table_has_the_same_values_as_the_document(simulate, by):
    rows = list(csv.DictReader(io.StringIO(simulate("--by", by, "--format", "csv").out, newline="")))
    document = simulate("--format", "json").document

    def written(value):
        if isinstance(value, dict):
            return " ".join(value.values())
        return " ".join(value) if isinstance(value, list) else "" if value is None else str(value)

    of_document = document["events" if by == "event" else f"per_{by}"]
    assert rows == [{name: written(value) for name, value in row.items()} for row in of_document]


def test_the_document_holds_everything_and_nothing_else_is_printed(simulate):
    said = simulate("--format", "json")
    assert (said.code, said.err) == (0, "")
    document = said.document
    assert document.pop("rulebase").startswith("sha256:")
    assert [len(document.pop(name)) for name in ("per_day", "per_person", "per_rule")] == [6, 5, 3]
    events = document.pop("events")
    assert document == {
        "schema": 1,
        "from": FROM,
        "until": "2027-02-21T12:00:00+01:00",
        "customers": 6,
        "interrupted": False,
        "failed": [],
    }
    assert events[6] == {
        "at": "2026-12-09T00:00:00+01:00",
        "event": "raised",
        "rule": "contract-expiring",
        "reach": "live",
        "customer": "K6",
        "subject": {"kind": "contract", "id": "C-K6"},
        "to": ["tim"],
        "held_back_by": ["complaint-open"],
    }


def test_one_rule_alone_still_meets_what_others_hold_back(simulate):
    said = simulate("contract-expiring", "--by", "rule")
    assert said.out.splitlines()[1:] == [
        "contract-expiring  live      1       5         1          3          1            1       2  2026-12-07"
        "                       2"
    ]


def test_of_a_draft_alone_it_says_what_going_live_would_bring(simulate):
    head, _, *rule = simulate("contract-in-a-week").out.splitlines()
    assert rule == SUMMARY.splitlines()[7:9]
    assert head == SUMMARY.splitlines()[0]


def test_who_gets_what_belongs_to_nobody_is_reminded_of_it(company):
    named = company.relance.having(NOBODY="rosa")
    assert (
        "rosa (Rosa Keller): 1 reminder on Wednesday 9 December 2026\n"
        in named("rules", "simulate", "--from", FROM).out
    )


def test_where_time_brings_nothing_it_says_so(simulate):
    said = simulate("quote-stalled")
    assert said.out.splitlines()[1:] == ["  nothing is open, and time alone brings nothing"]
    assert simulate("quote-stalled", "--by", "day").out == PER_DAY.splitlines()[0].replace("day       ", "day") + "\n"
    assert simulate("quote-stalled", "--format", "json").document["events"] == []


def test_a_day_is_that_of_the_office_which_looks_after_the_customer(company, simulate):
    company.relance.writes("pack/tokyo.yaml", "calendar: tokyo\ntimezone: Asia/Tokyo\n")
    company.has_people(Person(id="tim", name="Tim Frei", email="tim@example.com", office="tokyo"))
    events = {e["subject"]["id"]: e["at"] for e in simulate("--format", "json").document["events"]}
    assert events["C-K3"] == "2026-12-06T16:00:00+01:00"
    per_day = {row["day"]: row["raised"] for row in simulate("--format", "json").document["per_day"]}
    assert per_day["2026-12-07"] == 2


def test_only_the_first_customers_are_a_quick_look(simulate):
    said = simulate("--customers", "2")
    assert said.out.splitlines()[0].endswith("if nobody writes or acts (the first 2 customers):")
    assert {e["customer"] for e in simulate("--customers", "2", "--format", "json").document["events"]} == {"K1", "K2"}


def test_a_customer_that_lost_all_records_is_none_any_more(company, simulate):
    lost = contract("K9", "lena", "2027-01-07")
    company.has(*lost)
    dossiers.delete(company.db, [record.ref for record in lost], now=NOON, source="test")
    assert simulate().out == SUMMARY


def test_a_customer_that_cannot_be_read_is_named_and_the_others_are_simulated(company, simulate):
    company.has(*contract("K0", "lena", "soon"))
    reason = 'contract C-K0: end_date "soon" is not a date like 2027-01-07'
    said = simulate()
    assert (said.code, said.out) == (1, SUMMARY)
    assert said.err == f"customer K0 could not be simulated: {reason}\n"
    document = simulate("--format", "json")
    assert (document.code, document.err) == (1, "")
    assert document.document["failed"] == [{"customer": "K0", "reason": reason}]


def test_of_many_customers_that_cannot_be_read_the_first_ones_are_named(company, simulate):
    for number in range(10, 22):
        company.has(*contract(f"K{number}", "lena", "soon"))
    lines = simulate().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "so could 2 others not; --format json lists them"


# --- what it agrees with ---


def test_a_simulation_over_an_export_of_the_same_customers_brings_the_same(company, simulate):
    company.relance.writes("export.jsonl", "".join(f"{json.dumps(line)}\n" for line in exported(company.db)))
    packs = ("--rules", "base", "--rules", "pack")
    files = company.relance("simulate", *packs, "--dossiers", "export.jsonl", "--from", FROM, "--json").document

    def as_in_a_file(e):
        event = "raised" if e["event"] == "open" else e["event"]
        return {"event": event} | {name: e[name] for name in ("at", "rule", "customer", "subject")}

    events = [as_in_a_file(e) for e in simulate("--format", "json").document["events"] if e["event"] != "reminded"]
    assert sorted(events, key=str) == sorted(({**e} for e in map(as_in_a_file, files["events"])), key=str)
    assert len(events) == 10


def exported(db: Database) -> Iterator[dict[str, object]]:
    for dossier in dossiers.stream(db):
        records: dict[str, list[dict[str, object]]] = {}
        for record in dossier.records:
            fields = {n: str(v) if isinstance(v, Decimal) else v for n, v in record.fields.items()}
            records.setdefault(record.kind, []).append({"id": record.id, **fields})
        (customer,) = records.pop(CUSTOMER)
        yield {"customer": customer, "records": records}


# --- nothing is written, nothing is sent ---


def test_nothing_in_the_database_changes(company, simulate):
    def state():
        with company.db.read() as connection:
            counts = {t.name: connection.scalar(select(func.count()).select_from(t)) for t in metadata.sorted_tables}
        file = make_url(company.relance.settings["DATABASE"])
        is_file = file.get_backend_name() == "sqlite"
        return counts, hashlib.sha256(Path(str(file.database)).read_bytes()).hexdigest() if is_file else None

    before = state()
    for arguments in ([], ["--by", "event"], ["--format", "csv"], ["--format", "json"]):
        assert simulate(*arguments).code == 0
    assert state() == before
    assert recommendations.listing(company.db) == []


LOADED = """
import sys
import app.settings
known = set(sys.modules)
from app.cli.simulating import By, Format, simulate
simulate(rule=None, days=90, since=sys.argv[1], by=None, format_=Format.TEXT, customers=None)
print(*(set(sys.modules) - known))
"""


def test_nothing_that_sends_or_records_is_within_its_reach(company):
    said = in_a_process(company, LOADED)
    loaded = set(said.stdout.splitlines()[-1].split())
    assert "store.dossiers" in loaded
    # Beyond what the settings themselves bring, which say what a mail server's address looks like.
    assert not [name for name in loaded if name.split(".")[0] in {"scheduler", "web", "notifiers"}]
    assert not loaded & {"store.outbox", "store.evaluations", "store.recommendations", "store.rulebases", "app.wiring"}


def in_a_process(company: Company, script: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, FROM],
        cwd=company.relance.folder,
        env=company.relance.env,
        capture_output=True,
        text=True,
        check=True,
        **options,
    )


# --- on a terminal, and Ctrl-C ---


def test_on_a_terminal_there_are_bars(company):
    here, there = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", LOADED, FROM],
        cwd=company.relance.folder,
        env=company.relance.env,
        stdout=there,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(there)
        lines = read_all(here).splitlines()
        assert process.wait() == 0
    bars = [line for line in lines if "█" in line]
    assert [line.partition("  ")[0] for line in bars] == ["█" * 24, "█" * 12]
    assert bars[0].endswith("tim (Tim Frei): 2 reminders, most on Monday 7 December 2026: 1 reminder")


def read_all(terminal: int) -> str:
    read = b""
    with os.fdopen(terminal, "rb", buffering=0) as stream:
        while True:
            try:
                read += (chunk := stream.read(65_536))
            except OSError:  # the other side is closed
                return read.decode()
            if not chunk:
                return read.decode()


@pytest.fixture
def interrupted_on_the_second_page(company) -> Iterator[None]:
    """Somebody presses Ctrl-C while the second page of customers is read."""
    company.has(*(Record(kind=CUSTOMER, id=f"L{n:04}", customer=None, fields={}) for n in range(PAGE)))
    pages = 0

    def press(connection, cursor, statement, *_):
        nonlocal pages
        of_a_page = "ORDER BY customers.id" in statement
        pages += of_a_page
        if of_a_page and pages == 2:
            signal.raise_signal(signal.SIGINT)

    event.listen(Engine, "before_cursor_execute", press)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", press)


@pytest.mark.usefixtures("interrupted_on_the_second_page")
def test_ctrl_c_prints_what_there_is_so_far_and_says_so(simulate):
    said = simulate()
    assert said.code == 130
    assert said.out == SUMMARY.replace("(6 customers)", f"(the first {PAGE} customers)")
    assert said.err == f"interrupted: this is what {PAGE} of {PAGE + 6} customers come to\n"


@pytest.mark.usefixtures("interrupted_on_the_second_page")
def test_an_interrupted_document_is_whole_and_says_that_it_was_interrupted(simulate):
    said = simulate("--format", "json")
    assert (said.code, said.document["interrupted"], said.document["customers"]) == (130, True, PAGE)


@pytest.mark.usefixtures("interrupted_on_the_second_page")
def test_after_ctrl_c_the_program_answers_to_it_as_before(simulate):
    before = signal.getsignal(signal.SIGINT)
    simulate()
    assert signal.getsignal(signal.SIGINT) is before


# --- what is refused ---


def test_what_cannot_be_simulated_is_refused_with_the_way_out(company, simulate):
    simulate("contract-expirin").refuses(
        'error: there is no rule "contract-expirin"; did you mean "contract-expiring"? allowed: complaint-open, '
        "contract-expiring, contract-in-a-week, lead-unworked, negative-margin, opportunity-idle, order-late, payment-overdue, quote-stalled"
    )
    simulate(since="noon").refuses('error: --from "noon" is not a moment; write one like 2026-11-23T09:00:00+01:00')
    simulate(since="9999-12-01T00:00:00Z").refuses("error: --days 90 goes beyond the year 9999")
    simulate("--by", "day", "--format", "json").refuses(
        "error: --by goes with --format text and csv: the JSON document holds every table"
    )
    company.relance.having(DATABASE="oracle://x")("rules", "simulate").refuses(
        "error: setting database: oracle is not a supported database; expected sqlite:///FILE or "
        "postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    )


def test_a_database_that_is_not_there_is_not_made(relance):
    said = relance.having(DATABASE="sqlite:///none.db")("rules", "simulate")
    said.refuses("error: There is no database sqlite:///none.db. Run: relance db upgrade", code=3)
    assert not (relance.folder / "none.db").exists()
