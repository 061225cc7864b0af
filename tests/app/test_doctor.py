"""`relance doctor`: what is well, what is not, and the way out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.wiring import utc_now
from domain.followup import FollowUpKind, NewFollowUp
from domain.person import Person
from domain.record import Record
from domain.wishes import ANYTHING, Way, Wishes
from store import followups, people, recommendations, suppressions
from store.suppressions import Suppression, Why
from tests.story.post_office import LOOPBACK, free_port

MINUTE = timedelta(minutes=1)


@pytest.fixture
def well(company_today):
    """A company that has nothing left to do, and is called when the worker stops."""
    assert company_today.relance("worker", "--once").code == 0
    return replace(company_today, relance=company_today.relance.having(HEARTBEAT_URL="https://beat.example.com/1"))


def findings(said):
    return [line for line in said.out.splitlines() if line.startswith(("warning ", "error "))]


def test_where_everything_is_well_each_check_says_so(well):
    said = well.relance("doctor")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "ok       settings: readable, 1 signing key\n"
        "ok       rules: 8 rules, no errors\n"
        "ok       chat: none set up\n"
        "ok       heartbeat: set\n"
        f"ok       database: {well.relance.settings['DATABASE']} answers, its schema is current\n"
        "ok       people: 1 known, and all can be written to\n"
        "ok       worker: nothing is late\n"
        "ok       deliveries: none is stuck\n"
        "ok       audit: 4 entries are as they were sealed\n"
        "ok       retention: nothing was removed yet; a running worker does it\n"
        f"ok       mail: {LOOPBACK}:{well.post.port} answers\n"
        f"ok       sender: relance@example.com through {LOOPBACK}\n"
        "ok       dns: SPF and DMARC not looked at: example.com is not a public domain\n"
    )
    assert well.relance("doctor", "--strict").code == 0
    assert len(well.post.mails) == 1, "the doctor sends nothing"


def test_the_doctor_as_json_is_one_document(well):
    said = well.relance("doctor", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.document["checks"][0] == {
        "check": "settings",
        "health": "ok",
        "says": "readable, 1 signing key",
        "do": None,
    }
    assert {check["health"] for check in said.document["checks"]} == {"ok"}


def test_without_a_key_it_says_how_to_make_one(well):
    said = well.relance.having(SECRET_KEYS="")("doctor")
    assert said.code == 1
    assert findings(said) == ["error    settings: no key to sign links with"]
    assert '\n             python -c "import secrets; print(secrets.token_urlsafe(32))"\n' in said.out


def test_a_mail_server_that_is_away_is_an_error(well):
    port = free_port()
    said = well.relance.having(MAIL__PORT=str(port))("doctor")
    assert said.code == 1
    (line,) = findings(said)
    assert line.startswith(f"error    mail: {LOOPBACK}:{port} failed (connect): ")
    assert "\n         check the settings under `mail`\n" in said.out


def test_a_password_that_the_server_refuses_is_not_repeated(well):
    said = well.relance.having(MAIL__USERNAME="relance", MAIL__PASSWORD="hunter2")("doctor")
    (line,) = findings(said)
    assert line.startswith(f"error    mail: {LOOPBACK}:{well.post.port} failed (auth)")
    assert "hunter2" not in said.out


def test_broken_rules_are_counted_and_the_checker_is_named(well):
    well.relance.writes("pack/broken.yaml", "rule: x\ncolour: red\n---\nruel: y\n")
    said = well.relance("doctor")
    assert said.code == 1
    (line,) = findings(said)
    assert line.startswith("error    rules: ")
    assert line.endswith(" errors in base, pack")
    assert "\n         run: relance rules check\n" in said.out


def test_a_database_without_tables_is_an_error_with_the_command_to_run(well, tmp_path):
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    said = well.relance.having(DATABASE=url)("doctor")
    assert said.code == 1
    assert findings(said) == [f"error    database: The database {url} has no tables yet. Run: relance db upgrade"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:////nowhere/relance.db", "the file cannot be opened"),
        ("postgresql+psycopg://relance:hunter2@127.0.0.1:1/crm", "Connection refused"),
        ("oracle://relance:hunter2@db/crm", "oracle is not a supported database"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_and_the_other_checks_are_made(well, url, says):
    said = well.relance.having(DATABASE=url)("doctor")
    assert said.code == 1
    (line,) = findings(said)
    assert line.startswith("error    database: ")
    assert says in line
    assert "hunter2" not in said.out
    assert "ok       mail: " in said.out


def test_customers_that_nobody_evaluates_are_a_warning(well):
    well.has(Record(kind="lead", id="L1", customer="K1", fields={}), now=utc_now() - 4 * MINUTE)
    assert findings(well.relance("doctor")) == []
    well.has(Record(kind="lead", id="L2", customer="K2", fields={}), now=utc_now() - 6 * MINUTE)
    said = well.relance("doctor")
    assert said.code == 0
    assert findings(said) == [
        "warning  worker: 1 customer overdue by more than 5 minutes",
        "warning  audit: not sealed for 5 minutes: 1",
    ]
    assert "\n         run: relance worker\n" in said.out
    assert well.relance("doctor", "--strict").code == 1


def test_customers_that_cannot_be_evaluated_are_named_and_the_rest_counted(well):
    for number in range(7):
        well.has(Record(kind="contract", id=f"C{number}", customer=f"Q{number}", fields={"end_date": "soon"}))
    assert well.relance("worker", "--once").code == 1
    said = well.relance("doctor")
    assert said.code == 1
    *named, rest = findings(said)
    assert len(named) == 5
    assert named[0] == (
        'error    customer: Q0 could not be evaluated: contract C0: end_date "soon" is not a date like 2027-01-07'
    )
    assert rest == "error    customer: 2 more could not be evaluated"
    assert said.out.count("\n         correct its data; tried again at 20") == 5


def test_deliveries_that_are_stuck_are_a_warning_with_the_command_that_lists_them(well):
    well.post.refuses["lena@example.com"] = "550 no such mailbox"
    well.has_an_expiring_contract("K2")
    assert well.relance("worker", "--once").code == 1
    said = well.relance("doctor")
    assert (said.code, findings(said)) == (0, ["warning  deliveries: 1 failed"])
    assert "\n         see them: relance deliveries list --state failed\n" in said.out
    assert well.relance("deliveries", "list", "--state", "failed").out.endswith("1 failed, 1 sent\n")


def test_a_company_without_people_is_a_warning(relance, post):
    relance("db", "upgrade")
    with post.open():
        settings = {"MAIL__SENDER": "relance@example.com", "HEARTBEAT_URL": "https://beat.example.com/1"}
        said = relance.having(MAIL__HOST=LOOPBACK, MAIL__PORT=str(post.port), **settings)("doctor")
    assert (said.code, findings(said)) == (0, ["warning  people: 0 known"])
    assert "\n         import people: without them reminders reach nobody\n" in said.out


# --- chats and the heartbeat ---


def test_without_a_heartbeat_nobody_is_called_when_the_worker_stops(well):
    said = well.relance.having(HEARTBEAT_URL="")("doctor")
    assert (said.code, findings(said)) == (
        0,
        ["warning  heartbeat: not set: nobody is called when the worker stops"],
    )


def test_chats_that_are_set_up_are_named_and_what_is_missing_is_said(well):
    chats = {"SLACK__TOKEN": "xoxb-hunter2", "TEAMS__WEBHOOKS": '{"sales": "https://example.com/hunter2"}'}
    said = well.relance.having(**chats)("doctor")
    assert "ok       chat: slack, teams set up\n" in said.out
    assert findings(said) == [
        "warning  chat: presses of buttons in slack are refused: there is no slack.signing_secret"
    ]
    assert "hunter2" not in said.out
    assert findings(well.relance.having(**chats, SLACK__SIGNING_SECRET="secret")("doctor")) == []


def test_a_webhook_that_is_no_address_is_an_error(well):
    said = well.relance.having(TEAMS__WEBHOOKS='{"sales": "hunter2"}')("doctor")
    assert said.code == 1
    (line,) = findings(said)
    assert line.startswith("error    chat: setting teams.webhooks: ")
    assert "hunter2" not in said.out


def test_people_whose_chat_is_not_set_up_are_named(well):
    well.has_people(
        Person(id="ana", name="Ana", email="ana@example.com", chat="teams:sale"),
        Person(id="ben", name="Ben", email="ben@example.com", chat="slack:U024BE7LH"),
        Person(id="cleo", name="Cleo", email="cleo@example.com", chat="teams:sales"),
        Person(id="dan", name="Dan", email="dan@example.com", chat="pigeon:sales"),
        Person(id="eva", name="Eva", email="eva@example.com", chat="mattermost:sales"),
    )
    said = well.relance.having(TEAMS__WEBHOOKS='{"sales": "https://example.com/hook"}')("doctor")
    assert (said.code, findings(said)) == (
        0,
        [
            'warning  chat: ana hears in teams:sale: there is no teams address "sale"; did you mean "sales"? '
            "allowed: sales",
            "warning  chat: ben hears in slack:U024BE7LH: slack is not set up: there is no slack.token",
            "warning  chat: dan hears in pigeon:sales: this is no place in a chat; write slack:U024BE7LH, or "
            "slack-webhook, teams, mattermost, apprise with a name, as in teams:sales",
            "warning  chat: eva hears in mattermost:sales: mattermost is not set up: the settings name no address "
            "for it",
        ],
    )


# --- people ---


def test_people_who_cannot_be_written_to_are_counted_and_the_first_are_named(well):
    well.has_people(*(Person(id=f"p{n}", name=f"P{n}", email=f"p{n}") for n in range(7)))
    suppressions.add(
        well.db, Suppression(address="Lena@example.com", reason=Why.COMPLAINT, since=well.now), source="test"
    )
    said = well.relance("doctor")
    assert said.code == 0
    unusable, silent = findings(said)
    assert unusable.startswith("warning  people: 7 without a usable address: p0 (the address 'p0' has no @), p1 (")
    assert unusable.endswith("p4 (the address 'p4' has no @) and 2 more")
    assert silent == f"warning  people: 1 to whom no mail is sent: lena (complaint on {well.now:%Y-%m-%d})"
    assert "\n         see why, and lift it where the address is right: relance deliveries suppressed\n" in said.out


# --- what waits ---


def test_a_follow_up_that_nobody_queued_is_counted(well):
    (about,) = recommendations.listing(well.db)
    planned = NewFollowUp(recommendation=about.id, kind=FollowUpKind.ESCALATE, step=7, due_at=utc_now() - 6 * MINUTE)
    with well.db.begin() as connection:
        followups.plan(connection, [planned])
    assert findings(well.relance("doctor")) == ["warning  worker: 1 follow-up overdue by more than 5 minutes"]


def test_messages_and_digests_that_nobody_sent_are_counted(well):
    for person in ("max", "ana"):
        well.has_people(Person(id=person, name=person, email=f"{person}@example.com"))
        people.wish(well.db, person, Wishes(channels={ANYTHING: Way.DIGEST}), now=well.now, source="test")
    well.has_an_expiring_contract("K4", owner="ana")
    well.relance("worker", "--once")
    assert findings(well.relance("doctor")) == [], "her digest comes tomorrow"

    then = utc_now() - timedelta(days=3)
    earlier = replace(well, now=then)
    earlier.has_an_expiring_contract("K2")
    well.post.closes()
    well.relance("worker", "--once", "--at", then.isoformat())
    assert findings(well.relance("doctor"))[0] == ("warning  worker: 1 message overdue by more than 5 minutes")
    earlier.has_an_expiring_contract("K3", owner="max")
    well.relance("worker", "--once", "--at", then.isoformat())
    assert findings(well.relance("doctor"))[0] == (
        "warning  worker: 1 message, 1 digest overdue by more than 5 minutes"
    )
