"""`relance evaluate` and `relance simulate`: from files, without a database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from subprocess import PIPE

import pytest

from tests.poison import poisoned, says

NOW = "2026-11-23T09:00:00+01:00"
K1 = {
    "customer": {"id": "K1", "name": "Muster Logistik AG", "owner": "u1", "segment": "corporate"},
    "records": {
        "contract": [
            {"id": "C1", "status": "active", "end_date": "2027-01-07", "annual_value": 48200, "auto_renews": False}
        ],
        "opportunity": [],
    },
}
K2 = {
    "customer": {"id": "K2", "owner": "u2"},
    "records": {
        "contract": [
            {"id": "C9", "status": "active", "end_date": "2027-02-01", "auto_renews": False},
            {"id": "C2", "status": "active", "end_date": "2027-02-01", "auto_renews": False},
        ],
        "complaint": [{"id": "M1", "status": "new", "severity": "high", "opened_at": "2026-11-20T10:00"}],
        "quote": [{"id": "Q1", "status": "sent", "sent_at": "2026-11-20T10:00", "amount": 100}],
    },
}
UNDATED = {"customer": {"id": "K3"}, "records": {"contract": [{"id": "C3", "status": "active", "end_date": "7.1.27"}]}}

RULE = """\
rule: any-customer
title: Any customer
for each: customer
when: {{name: present}}
then: {{recommend: {verdict}, say: "Hello", do: call, to: owner, due: today}}
"""


@pytest.fixture
def evaluate(relance):
    def run(*dossiers, now=NOW, rules=("base", "pack"), options=("--json",)):
        relance.writes("dossiers.jsonl", "".join(json.dumps(d) + "\n" for d in dossiers))
        named = [word for pack in rules for word in ("--rules", pack)]
        return relance("evaluate", *named, "--dossiers", "dossiers.jsonl", "--now", now, *options)

    return run


@pytest.fixture
def simulate(relance):
    def run(*dossiers, since=NOW, days=90, options=("--json",)):
        relance.writes("dossiers.jsonl", "".join(json.dumps(d) + "\n" for d in dossiers))
        packs = ("--rules", "base", "--rules", "pack")
        return relance(
            "simulate", *packs, "--dossiers", "dossiers.jsonl", "--from", since, "--days", str(days), *options
        )

    return run


# --- evaluate ---


def test_evaluate_prints_one_document_and_nothing_else(evaluate):
    said = evaluate(K1)
    assert (said.code, said.err) == (0, "")
    document = said.document
    assert document.pop("rulebase").startswith("sha256:")
    assert document == {
        "schema": 1,
        "now": "2026-11-23T09:00:00+01:00",
        "recommendations": [
            {
                "rule": "contract-expiring",
                "customer": "K1",
                "subject": {"kind": "contract", "id": "C1"},
                "recommend": "win",
                "say": "The contract ends on 7 January 2027 and nobody is working on a renewal.",
                "do": "call",
                "worth": 48200,
                "due": "2026-11-27",
                "to": ["u1"],
                "held_back_by": [],
                "because": [
                    {"condition": "status: active", "value": "active", "holds": True, "until": None},
                    {
                        "condition": "end_date: in the next 90 days",
                        "value": "2027-01-07",
                        "holds": True,
                        "until": "2027-01-08T00:00:00+01:00",
                    },
                    {"condition": "auto_renews: no", "value": False, "holds": True, "until": None},
                    {
                        "condition": "unless opportunity: {contract: this, type: renewal, stage: open}",
                        "value": [],
                        "holds": True,
                        "until": None,
                    },
                    {
                        "condition": "unless opportunity: {contract: this, type: renewal, stage: won, "
                        "closed_on: missing or in the last 6 months}",
                        "value": [],
                        "holds": True,
                        "until": None,
                    },
                ],
            }
        ],
        "next_check": {"K1": "2027-01-08T00:00:00+01:00"},
        "failed": [],
    }


def test_recommendations_are_sorted_by_customer_rule_and_subject(evaluate):
    document = evaluate(K2, K1).document
    assert [(r["customer"], r["rule"], r["subject"]["id"]) for r in document["recommendations"]] == [
        ("K1", "contract-expiring", "C1"),
        ("K2", "complaint-open", "M1"),
        ("K2", "contract-expiring", "C2"),
        ("K2", "contract-expiring", "C9"),
    ]
    assert list(document["next_check"]) == ["K1", "K2"]


def test_what_an_open_complaint_holds_back_is_listed_with_the_complaint(evaluate):
    held = {r["subject"]["id"]: r["held_back_by"] for r in evaluate(K2).document["recommendations"]}
    assert held == {"M1": [], "C2": ["complaint-open"], "C9": ["complaint-open"]}


def test_a_dossier_that_cannot_be_read_is_failed_with_its_line_and_the_others_are_evaluated(evaluate, relance):
    relance.writes("dossiers.jsonl", f"no JSON\n\n{json.dumps(UNDATED)}\n{json.dumps(K1)}\n".encode() + b'{"a":"\xff"}')
    arguments = ("evaluate", "--rules", "base", "--dossiers", "dossiers.jsonl", "--now", NOW)
    said = relance(*arguments, "--json")
    assert (said.code, said.err) == (1, "")
    assert [r["customer"] for r in said.document["recommendations"]] == ["K1"]
    assert said.document["failed"] == [
        {"customer": None, "line": 1, "reason": "not JSON: Expecting value at column 1"},
        {"customer": "K3", "line": 3, "reason": 'contract C3: end_date "7.1.27" is not a date like 2027-01-07'},
        {"customer": None, "line": 5, "reason": "the line is not UTF-8"},
    ]
    assert relance(*arguments).out.splitlines()[-4:] == [
        "1 recommendation for 1 customer",
        "failed: line 1, customer ?: not JSON: Expecting value at column 1",
        'failed: line 3, customer K3: contract C3: end_date "7.1.27" is not a date like 2027-01-07',
        "failed: line 5, customer ?: the line is not UTF-8",
    ]


def test_a_dash_reads_standard_input(evaluate, relance):
    from_file = evaluate(K1, K2)
    lines = "".join(json.dumps(d) + "\n" for d in (K1, K2))
    arguments = ("evaluate", "--rules", "base", "--rules", "pack", "--dossiers", "-", "--now", NOW, "--json")
    assert relance(*arguments, stdin=lines) == from_file
    assert relance.run(*arguments, stdin=lines.encode()) == from_file


def test_null_and_an_absent_field_are_both_missing(evaluate):
    contract = {"id": "C1", "status": "active", "end_date": "2027-01-07"}
    absent = {"customer": {"id": "K1"}, "records": {"contract": [contract]}}
    null = {"customer": {"id": "K1"}, "records": {"contract": [contract | {"auto_renews": None}], "lead": None}}
    assert evaluate(absent).out == evaluate(null).out
    assert evaluate(absent).document["recommendations"] == []


def test_packs_stack_in_the_order_in_which_they_are_named(evaluate, relance):
    relance.writes("win.yaml", RULE.format(verdict="win"))
    relance.writes("drop/rule.yaml", RULE.format(verdict="let go"))

    def verdicts(*rules):
        return [r["recommend"] for r in evaluate(K1, rules=rules).document["recommendations"]]

    assert verdicts("win.yaml", "drop") == ["let go"]
    assert verdicts("drop", "win.yaml") == ["win"]
    assert verdicts("base", "drop") == ["let go", "win"], "a built-in pack is known by its name"


def test_the_same_rules_have_the_same_hash_and_others_another_one(evaluate, relance):
    relance.writes("win.yaml", RULE.format(verdict="win"))
    one, again, other = (evaluate(K1, rules=rules).document["rulebase"] for rules in (["base"], ["base"], ["win.yaml"]))
    assert one == again != other


def test_the_moment_may_be_written_in_any_zone(evaluate):
    zurich, utc = evaluate(K1, K2).document, evaluate(K1, K2, now="2026-11-23T08:00:00Z").document
    assert (zurich.pop("now"), utc.pop("now")) == (NOW, "2026-11-23T08:00:00+00:00")
    assert zurich == utc


def test_an_empty_file_is_no_customer_at_all(evaluate):
    said = evaluate()
    assert (said.code, said.document["recommendations"], said.document["next_check"]) == (0, [], {})


def test_without_json_a_person_can_read_it(evaluate):
    said = evaluate(K1, options=())
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "K1  WIN  contract-expiring  contract C1\n"
        "    The contract ends on 7 January 2027 and nobody is working on a renewal.\n"
        "    to u1, due 2026-11-27, worth 48200\n"
        "    ✓ status: active  (active)\n"
        "    ✓ end_date: in the next 90 days  (2027-01-07)\n"
        "    ✓ auto_renews: no  (no)\n"
        "    ✓ unless opportunity: {contract: this, type: renewal, stage: open}  (none)\n"
        "    ✓ unless opportunity: {contract: this, type: renewal, stage: won, "
        "closed_on: missing or in the last 6 months}  (none)\n"
        "1 recommendation for 1 customer\n"
    )


# --- simulate ---


def test_simulate_prints_what_is_open_at_the_beginning_and_then_what_time_brings(simulate):
    said = simulate(K1, since="2026-10-01T00:00:00+02:00", days=365)
    assert (said.code, said.err) == (0, "")
    document = said.document
    assert document.pop("rulebase").startswith("sha256:")
    about = {"rule": "contract-expiring", "customer": "K1", "subject": {"kind": "contract", "id": "C1"}}
    assert document == {
        "schema": 1,
        "now": "2026-10-01T00:00:00+02:00",
        "events": [
            {"at": "2026-10-09T00:00:00+02:00", "event": "raised", **about},
            {"at": "2027-01-08T00:00:00+01:00", "event": "resolved", **about},
        ],
        "failed": [],
    }
    assert simulate(K1, days=30).document["events"] == [{"at": NOW, "event": "raised", **about}]


def test_events_of_all_customers_stand_in_order_of_time(simulate):
    events = simulate(K2, K1, since="2026-10-01T00:00:00+02:00", days=365).document["events"]
    moments = [datetime.fromisoformat(event["at"]) for event in events]
    assert moments == sorted(moments)
    assert {event["customer"] for event in events} == {"K1", "K2"}


def test_what_simulate_says_is_what_evaluate_says_at_each_moment_and_just_before_it(evaluate, simulate):
    events = simulate(K1, K2, since="2026-10-01T00:00:00+02:00", days=180).document["events"]
    moments = sorted({datetime.fromisoformat(event["at"]) for event in events})
    assert len(moments) >= 4, "time brings several changes"
    open_: set[tuple[str, ...]] = set()
    for moment in moments:
        if moment != moments[0]:
            assert opened(evaluate(K1, K2, now=(moment - timedelta(microseconds=1)).isoformat())) == open_
        for event in events:
            if datetime.fromisoformat(event["at"]) == moment:
                (open_.add if event["event"] == "raised" else open_.remove)(key(event))
        assert opened(evaluate(K1, K2, now=moment.isoformat())) == open_


def test_nothing_changes_before_the_next_check(evaluate, simulate):
    (first,) = {event["at"] for event in simulate(K1, days=365).document["events"] if event["at"] != NOW}
    assert evaluate(K1).document["next_check"] == {"K1": first}


def opened(said) -> set[tuple[str, ...]]:
    return {key(recommendation) for recommendation in said.document["recommendations"]}


def key(of) -> tuple[str, ...]:
    return of["rule"], of["customer"], of["subject"]["kind"], of["subject"]["id"]


def test_a_dossier_that_cannot_be_simulated_is_failed_and_the_others_are_not_touched(simulate):
    said = simulate(UNDATED, K1, days=30)
    assert said.code == 1
    reason = 'contract C3: end_date "7.1.27" is not a date like 2027-01-07'
    assert said.document["failed"] == [{"customer": "K3", "line": 1, "reason": reason}]
    assert [event["customer"] for event in said.document["events"]] == ["K1"]


def test_a_simulation_without_json_is_a_line_for_each_event(simulate):
    said = simulate(K1, UNDATED, days=30, options=())
    assert (said.code, said.err) == (1, "")
    assert said.out == (
        f"{NOW}  raised    contract-expiring  K1  contract C1\n"
        'failed: line 2, customer K3: contract C3: end_date "7.1.27" is not a date like 2027-01-07\n'
    )


# --- the rule engine ends the process it is in ---


def bad(id_, poison):
    return {"customer": {"id": id_}, "records": {"contract": [{"id": f"C-{id_}", "product": poison}]}}


@pytest.mark.parametrize(
    ("command", "found"),
    [(("evaluate", "--now", NOW), "recommendations"), (("simulate", "--from", NOW), "events")],
    ids=["evaluate", "simulate"],
)
def test_who_ends_the_process_that_decides_is_failed_with_the_line_and_the_others_are_decided(relance, command, found):
    lines = [bad("K4", "crash"), K1, UNDATED, bad("K5", "broken"), *({"customer": {"id": f"L{n}"}} for n in range(60))]
    relance.writes("dossiers.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    arguments = (*command, "--rules", "base", "--rules", "pack", "--dossiers", "dossiers.jsonl", "--json")
    with relance.start(*arguments, env=poisoned(relance.folder), stdout=PIPE, stderr=PIPE) as process:
        out, err = process.communicate()
    assert process.returncode == 1
    document = json.loads(out)
    crashed, undated, broken = document["failed"]
    assert (crashed["customer"], crashed["line"], says("crash", crashed["reason"])) == ("K4", 1, True)
    assert (undated["customer"], undated["line"]) == ("K3", 3)
    assert (broken["customer"], broken["line"], says("broken", broken["reason"])) == ("K5", 4, True)
    assert {of["customer"] for of in document[found]} == {"K1"}
    assert b"Traceback" not in err


# --- what is refused ---


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ("2026-11-23T09:00", '"2026-11-23T09:00" has no zone; add one, as in 2026-11-23T09:00:00+01:00'),
        ("2026-11-23", '"2026-11-23" has no zone; add one, as in 2026-11-23T00:00:00+01:00'),
        ("tomorrow", '"tomorrow" is not a moment; write one like 2026-11-23T09:00:00+01:00'),
        ("2026-02-30T09:00Z", '"2026-02-30T09:00Z" is not a moment; write one like 2026-11-23T09:00:00+01:00'),
    ],
)
def test_a_moment_without_a_zone_or_a_sense_is_refused(evaluate, simulate, now, message):
    alternative = f" or {message.rpartition(' ')[2].removesuffix('+01:00')}Z" if "has no zone" in message else ""
    evaluate(K1, now=now).refuses(f"error: --now {message}{alternative}")
    simulate(K1, since=now).refuses(f"error: --from {message}{alternative}")


def test_dossiers_that_cannot_be_opened_are_named(relance):
    arguments = ("evaluate", "--rules", "base", "--now", NOW, "--dossiers")
    relance(*arguments, "nope.jsonl").refuses("error: --dossiers nope.jsonl cannot be read: No such file or directory")
    relance(*arguments, "pack").refuses("error: --dossiers pack cannot be read: Is a directory")


def test_rules_that_cannot_be_read_end_it_before_any_customer_is_decided(relance, evaluate):
    relance.writes("broken.yaml", "rule: [\n")
    said = evaluate(K1, rules=["broken.yaml"])
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("broken.yaml:1:8: error[Y001] not YAML: ")
    assert said.err.endswith("\n\n1 error\n")


def test_a_simulation_past_the_end_of_the_calendar_is_refused(simulate):
    simulate(K1, since="9999-12-01T00:00:00Z").refuses("error: --days 90 goes beyond the year 9999")
