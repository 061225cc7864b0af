"""`relance db`, `import` and `worker --once`, on a real database and a real mail server."""

from __future__ import annotations

import csv
import gzip
import re
import socket
import sqlite3
import threading
from contextlib import contextmanager

import pytest
from sqlalchemy import make_url

from domain.record import Record
from store.session import Database
from tests.story.post_office import LOOPBACK, free_port

AT = "2026-11-23T12:00:00+01:00"
LATER = "2026-11-23T12:30:00+01:00"
MAP = """\
map: customers
records:
  - kind: customer
    id: no
    fields: {name: name, owner: owner, since: since}
"""
ROWS = """\
no,name,owner,since
K1,Muster,lena,2020-01-01
K2,Zwei,lena,31.12.2020
K3,Drei
,Vier,lena,2020-01-01
K5,Fünf,lena,2020-01-01
"""


# --- db ---


def test_a_database_is_made_and_brought_up_to_date_once(relance):
    assert relance("db", "current").out == "sqlite:///relance.db: schema empty, needed 0003\n"
    assert relance("db", "current").err == "Run: relance db upgrade\n"
    assert relance("db", "current").code == 1
    assert relance("db", "upgrade").out == "sqlite:///relance.db: schema 0003, was empty\n"
    assert relance("db", "upgrade").out == "sqlite:///relance.db: schema 0003 (unchanged)\n"
    said = relance("db", "current")
    assert (said.code, said.out, said.err) == (0, "sqlite:///relance.db: schema 0003, needed 0003\n", "")


@pytest.mark.parametrize("command", ["worker --once", "deliveries list", "import x.csv --map map.yaml"])
def test_a_database_without_tables_is_refused_with_the_way_out(relance, command):
    relance(*command.split()).refuses(
        "error: The database sqlite:///relance.db has no tables yet. Run: relance db upgrade"
    )


def test_a_database_of_a_newer_version_is_refused(company):
    with sqlite3.connect(make_url(company.relance.settings["DATABASE"]).database or "") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    said = company.relance("deliveries", "list")
    assert said.code == 2
    assert said.err.endswith("was written by a newer Relance (9999). Install that version.\n")


# --- import ---


@pytest.fixture
def import_(relance):
    relance("db", "upgrade")
    relance.writes("map.yaml", MAP)

    def run(content, *options, name="customers.csv", stdin=""):
        if name != "-":
            relance.writes(name, content)
        return relance("import", name, "--map", "map.yaml", *options, stdin=stdin)

    return run


REJECTED = """\
  line 3: error: since "31.12.2020" is not a date like 2027-01-07
  line 4: error: has 2 columns, the header has 4
  line 5: error: id is empty
"""


def test_an_import_counts_what_became_of_each_row_and_says_what_is_wrong_with_it(import_):
    first, again = import_(ROWS), import_(ROWS.replace("Fünf", "Five"))
    rows = "5 rows read, 3 rejected, 0 warnings\n"
    assert (first.code, first.err) == (1, "")
    assert first.out == "customer: 2 new, 0 changed, 0 unchanged\n" + rows + REJECTED
    assert again.out == "customer: 0 new, 1 changed, 1 unchanged\n" + rows + REJECTED


def test_an_import_without_rejects_ends_well(import_):
    said = import_("no,name,owner,since\nK1,Muster,lena,2020-01-01\n")
    assert (said.code, said.out, said.err) == (
        0,
        "customer: 1 new, 0 changed, 0 unchanged\n1 row read, 0 rejected, 0 warnings\n",
        "",
    )


def test_a_dry_run_says_what_would_happen_and_writes_nothing(import_):
    dry, wet = import_(ROWS, "--dry-run"), import_(ROWS)
    assert dry.code == 1
    assert dry.out == wet.out.replace("warnings\n", "warnings (nothing was written: --dry-run)\n")
    assert "2 new" in wet.out


def test_the_report_holds_every_finding_and_the_screen_the_first_five(import_, relance):
    bad = "no,name,owner,since\n" + "".join(f"K{n},Name,lena,soon\n" for n in range(8))
    said = import_(bad)
    assert said.out.count("is not a date") == 5
    assert said.err == "Add --report FILE.csv to see every one of them.\n"
    said = import_(bad, "--report", "report.csv")
    assert said.out.endswith("every one of them is in report.csv\n")
    with (relance.folder / "report.csv").open(newline="") as file:
        findings = list(csv.DictReader(file))
    assert [finding["line"] for finding in findings] == [str(n) for n in range(2, 10)]
    assert findings[0]["reason"] == 'since "soon" is not a date like 2027-01-07'


def test_an_import_as_json_is_one_document(import_):
    said = import_(ROWS, "--json")
    assert (said.code, said.err) == (1, "")
    assert said.document == {
        "dry_run": False,
        "rows": 5,
        "rejected": 3,
        "warnings": 0,
        "kinds": {"customer": {"new": 2, "changed": 0, "unchanged": 0}},
    }


def test_an_import_reads_standard_input_and_packed_files(import_):
    assert import_("", name="-", stdin=ROWS).out.startswith("customer: 2 new, 0 changed, 0 unchanged\n")
    assert import_(gzip.compress(ROWS.encode()), name="c.csv.gz").out.startswith("customer: 0 new, 0 changed, 2 unch")


BAD_FILES = {
    "another encoding": (
        ROWS.encode("latin-1"),
        "error: bad.csv:6: is not utf-8: byte 104 is 0xfc; name the file's encoding in the map, as in "
        "`encoding: cp1252`",
    ),
    "a column is missing": ("no,name,owner\nK1,Muster,lena\n", None),
    "half a gzip file": (gzip.compress(ROWS.encode())[:60], None),
    "nothing": ("", None),
    "bytes": (bytes(range(256)), None),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused(import_, case):
    content, message = BAD_FILES[case]
    said = import_(content, name="bad.csv" + (".gz" if case == "half a gzip file" else ""))
    if message:
        said.refuses(message)
    assert (said.code, said.out) == (2, "")
    assert re.search(r"(bad\.csv|map\.yaml)", said.err)
    assert "fault of Relance" not in said.err


def test_files_that_are_not_there_are_named(import_, relance):
    relance("import", "nope.csv", "--map", "map.yaml").refuses(
        "error: nope.csv: cannot be opened: No such file or directory"
    )
    said = relance("import", "nope.csv", "--map", "nope.yaml")
    assert said.err.startswith(
        'error: there is no file "nope.yaml", and no map of this name; there are: hubspot-companies,'
    )
    assert said.code == 2
    import_(ROWS, "--report", "nowhere/report.csv").refuses(
        "error: nowhere/report.csv: the report cannot be written: No such file or directory"
    )


# --- worker --once ---


def test_a_worker_does_what_is_due_and_says_what_it_did(company):
    said = company.relance("worker", "--once", "--at", AT)
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "1 customer evaluated: 1 raised, 0 resolved\n1 mail sent, 0 to be tried again, 0 failed, 0 uncertain\n"
    )
    assert [recipient for recipient, _ in company.post.mails] == ["lena@example.com"]
    again = company.relance("worker", "--once", "--at", LATER)
    assert again.out.startswith("0 customers evaluated")
    assert len(company.post.mails) == 1


def test_what_a_worker_did_as_json_is_one_document(company):
    company.has_an_expiring_contract("K2", owner="nobody-of-that-name")
    company.has(Record(kind="contract", id="C9", customer="K9", fields={"end_date": "soon"}))
    said = company.relance("worker", "--once", "--at", AT, "--json")
    assert said.code == 1
    (unaddressed,) = said.document.pop("unaddressed")
    assert re.fullmatch("[0-9a-f]{24}", unaddressed)
    assert said.document | {"unaddressed": []} == {
        "now": AT,
        "customers": 2,
        "raised": 2,
        "resolved": 0,
        "queued": 1,
        "sent": 1,
        "retried": 0,
        "failed": 0,
        "unknown": 0,
        "quarantined": [{"customer": "K9", "reason": 'contract C9: end_date "soon" is not a date like 2027-01-07'}],
        "unaddressed": [],
    }


def test_a_customer_that_cannot_be_evaluated_and_one_that_reaches_nobody_are_said(company):
    company.has_an_expiring_contract("K2", owner="nobody-of-that-name")
    company.has(Record(kind="contract", id="C9", customer="K9", fields={"end_date": "soon"}))
    said = company.relance("worker", "--once", "--at", AT)
    assert said.code == 1
    assert said.out.splitlines()[2:] == [
        'customer K9 could not be evaluated: contract C9: end_date "soon" is not a date like 2027-01-07',
        "nobody to write to for 1 recommendation: give the customers an owner, or set `nobody`",
    ]


def test_at_goes_with_once_alone(company):
    company.relance("worker", "--at", AT).refuses(
        "error: --at goes with --once: a running worker keeps the time itself"
    )


def test_nobody_must_be_somebody(company):
    said = company.relance.having(NOBODY="ghost")("worker", "--once", "--at", AT)
    said.refuses('error: setting nobody: there is no person "ghost"')


# --- a mail server in a bad mood ---


def test_a_refused_connection_is_said_and_everything_is_tried_again_later(company):
    company.post.closes()
    said = company.relance.run("worker", "--once", "--at", AT)
    assert said.code == 0
    where = f"{LOOPBACK}:{company.post.port}"
    assert re.fullmatch(
        rf"\S+ WARNING relance\.dispatch delivery 1: {where} failed \(connect\): .* delivery=1 .*\n",
        said.err,
    )
    assert said.out.splitlines()[1] == "0 mails sent, 1 to be tried again, 0 failed, 0 uncertain"

    company.post.opens()
    assert company.relance("worker", "--once", "--at", LATER).out.splitlines()[1].startswith("1 mail sent")


@contextmanager
def hangs_up_on_everyone():
    """A port that accepts and closes."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def answer():
            try:
                while True:
                    listener.accept()[0].close()
            except OSError:
                return

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_that_accepts_and_hangs_up_is_said_and_tried_again_later(company):
    with hangs_up_on_everyone() as port:
        said = company.relance.having(MAIL__PORT=str(port)).run("worker", "--once", "--at", AT)
        doctor = company.relance.having(MAIL__PORT=str(port))("doctor")
    assert said.code == 0
    assert f"relance.dispatch delivery 1: {LOOPBACK}:{port} failed (connect): " in said.err
    assert said.out.splitlines()[1] == "0 mails sent, 1 to be tried again, 0 failed, 0 uncertain"
    assert f"error    mail: {LOOPBACK}:{port} failed (connect): " in doctor.out
    assert "Traceback" not in said.err


def test_a_refused_recipient_is_a_failed_delivery_and_the_exit_code_says_so(company):
    company.post.refuses["lena@example.com"] = "550 no such mailbox"
    said = company.relance("worker", "--once", "--at", AT)
    assert said.code == 1
    assert said.out.splitlines()[1] == "0 mails sent, 0 to be tried again, 1 failed, 0 uncertain"
    listed = company.relance("deliveries", "list", "--state", "failed")
    assert listed.out.splitlines()[0].endswith(
        f"failed     lena@example.com  contract-expiring K1  {LOOPBACK}:{company.post.port} refused (rcpt): "
        "550 no such mailbox"
    )


# --- a database that cannot be used ---


def test_a_database_that_another_program_keeps_locked_is_said_and_may_be_tried_again(company):
    url = company.relance.settings["DATABASE"]
    other = sqlite3.connect(make_url(url).database or "", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        said = company.relance("worker", "--once")
    finally:
        other.close()
    said.refuses(
        f"error: The database {url} cannot be used: another program has kept it locked for 5 s; try again", code=3
    )


def test_a_file_that_is_no_database_is_said_to_be_that(relance):
    relance.writes("relance.db", "This is no database at all, but it is long enough to look at." * 20)
    relance("db", "upgrade").refuses(
        "error: The database sqlite:///relance.db cannot be used: the file is not a database", code=3
    )


def test_a_folder_that_does_not_exist_is_asked_about(relance):
    relance.having(DATABASE="sqlite:///nowhere/relance.db")("db", "upgrade").refuses(
        "error: The database sqlite:///nowhere/relance.db cannot be used: the file cannot be opened; does its folder "
        "exist, and may this user write there?",
        code=3,
    )


@pytest.mark.parametrize("command", ["worker --once", "db current", "db upgrade", "deliveries list"])
def test_a_postgresql_that_does_not_answer_is_named_without_its_password(relance, command):
    port = free_port()
    terminal = relance.having(DATABASE=f"postgresql+psycopg://relance:hunter2@{LOOPBACK}:{port}/crm")
    said = terminal(*command.split())
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(
        f"error: The database postgresql+psycopg://relance:***@{LOOPBACK}:{port}/crm cannot be used: "
    )
    assert "Connection refused" in said.err
    assert "hunter2" not in said.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("relance.db", "this is not a database URL"),
        ("mysql://relance:hunter2@db/crm", "mysql is not a supported database"),
        ("postgresql://relance:hunter2/crm", "this is not a database URL"),
    ],
)
@pytest.mark.parametrize("command", ["worker --once", "db upgrade", "db current"])
def test_a_url_that_names_no_database_is_a_wrong_setting(relance, command, url, message):
    relance.having(DATABASE=url)(*command.split()).refuses(
        f"error: setting database: {message}; expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    )


def test_an_import_goes_into_the_database_that_the_settings_name(import_, relance, tmp_path):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    relance.having(DATABASE=other)("db", "upgrade")
    import_(ROWS)
    for url, count in (("sqlite:///" + str(relance.folder / "relance.db"), 2), (other, 0)):
        with Database.connect(url) as db, db.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM customers").scalar() == count
