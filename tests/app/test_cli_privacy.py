"""`relance audit` and `relance privacy`, and what a worker tells of itself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from urllib.request import Request, urlopen

from domain.access import Role
from store import chain, users
from tests.notifiers.chat_servers import Server
from tests.story.test_chats import running

FORGET = 'import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute("DROP TRIGGER audit_refuses_update"); '
FORGET += "db.execute(\"UPDATE audit SET after = '{}' WHERE seq = 2\"); db.commit()"


def test_the_audit_is_listed_and_verified_and_a_change_is_found(company):
    relance = company.relance
    chain.seal(company.db)
    said = relance("audit", "list", "--kind", "contract")
    assert said.code == 0
    assert said.out.startswith("2026-11-23 11:00:00Z  record.created  contract C-K1  by test  annual_value: - -> 48200")
    assert relance("audit", "list", "--source", "nobody").out == "there is no such entry\n"
    (entry,) = relance("audit", "list", "--kind", "person", "--json").document["entries"]
    assert (entry["action"], entry["subject"], entry["sealed"]) == ("person.created", "lena", True)

    said = relance("audit", "verify")
    found = re.fullmatch(r"3 entries, 0 of them emptied: none was changed\nthe last seal: (3:[0-9a-f]{64})\n", said.out)
    assert found
    assert said.code == 0
    assert relance("audit", "verify", "--head", found[1]).code == 0
    relance("audit", "verify", "--head", "here").refuses(
        'error: --head "here" is no seal; write one as this command prints it'
    )
    missing = relance("audit", "verify", "--head", f"4{found[1][1:]}")
    assert (missing.code, missing.out.splitlines()[0][:40]) == (1, f"the seal 4:{found[1][2:]}"[:40])

    database = relance.settings["DATABASE"].removeprefix("sqlite:///")
    subprocess.run([sys.executable, "-c", FORGET, database], check=True)
    said = relance("audit", "verify")
    assert said.code == 1
    assert said.out.startswith("position 2: entry 2, record.created, was changed after it was sealed\n")
    assert "error    audit: position 2: entry 2, record.created, was changed" in relance("doctor").out


def test_somebody_is_handed_out_and_erased_once_it_is_confirmed(company):
    relance = company.relance
    kept = relance("privacy", "export", "--customer", "K1").document
    assert kept["parts"]["records"][1]["fields"]["name"] == "Muster K1"
    relance("privacy", "erase", "--customer", "K1").refuses(
        "error: customer K1: status 1, records 2, history 2, audit 2 would be erased for good; add --yes", code=4
    )
    said = relance("privacy", "erase", "--customer", "K1", "--reason", "ticket 4711", "--yes")
    assert (said.code, said.out) == (0, "customer K1: erased audit 2, history 2, records 2, status 1\n")
    relance("privacy", "erase", "--customer", "K1", "--yes").refuses("error: nothing is kept about customer K1")
    relance("privacy", "erase", "--customer", "K1", "--person", "lena").refuses(
        "error: name either --customer or --person"
    )
    assert relance("privacy", "erase", "--person", "lena", "--yes").out.startswith("person lena: erased ")
    relance("privacy", "export", "--person", "nobody").refuses("error: nothing is kept about person nobody")


def test_a_worker_serves_its_figures_and_sends_its_traces(company_today):
    now, db = company_today.now, company_today.db
    admin = users.add(db, email="a@example.com", name="A", role=Role.ADMIN, source="test", now=now)
    _, token = users.issue(db, user=admin.id, name="t", source="test", now=now)
    collector = Server()
    with running(collector):
        relance = company_today.relance.having(LOG="json", TRACING__ENDPOINT=collector.url(""))
        with relance.start("worker", "--metrics-port", "0", stderr=subprocess.PIPE) as process:
            lines = [process.stderr.readline().decode()]
            while lines[-1].startswith("{"):
                lines.append(process.stderr.readline().decode())
            found = re.fullmatch(r"its figures on (http://127\.0\.0\.1:\d+)/metrics\n", lines[-1])
            assert found, lines
            asked = Request(f"{found[1]}/metrics", headers={"Authorization": f"Bearer {token}"})
            while True:
                with urlopen(asked) as answer:
                    page = answer.read().decode()
                if 'relance_sends_total{channel="email",outcome="sent"} 1.0' in page:
                    break
            with urlopen(f"{found[1]}/readyz") as answer:
                assert json.load(answer)["checks"]["worker"] == "ok"
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
            lines += process.stderr.read().decode().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"relance.evaluate", "relance.dispatch", "relance.ledger"} <= {event["logger"] for event in events}
    assert {told.path for told in collector.told} == {"/v1/traces"}


def test_where_tracing_is_off_nothing_of_it_is_loaded():
    code = (
        "import sys; from app.settings import Settings; from app.tracing import tracing\n"
        "with tracing(Settings()) as span, span('x'):\n"
        "    assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
