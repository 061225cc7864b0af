"""`relance preview`, `send-test` and `deliveries`, on a real database, a real mail server and real chats."""

from __future__ import annotations

import json
import re
import socket
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from anyio.from_thread import start_blocking_portal

from app.trial import TRIALS
from app.wiring import utc_now
from domain.delivery import DeliveryState
from domain.person import Person
from domain.record import CUSTOMER, Record
from domain.wishes import ANYTHING, Way, Wishes
from notifiers.links import Links
from store import outbox, people, recommendations, suppressions
from store.suppressions import Suppression, Why
from tests.app.test_cli_store import AT, LATER
from tests.notifiers.chat_servers import MattermostServer, Server, SlackServer, TeamsServer, answer, serving
from tests.store.make import act
from tests.story.post_office import LOOPBACK, free_port

REMINDER = ("contract-expiring", "--customer", "K1")
LOOPBACK_ALLOWED = '["127.0.0.1/32"]'
MINUTE = timedelta(minutes=1)


def read(raw):
    return message_from_bytes(raw, policy=policy.default)


@pytest.fixture
def chat(company):
    """Opens a chat's server for the length of the test, and says what it was told."""
    with start_blocking_portal() as portal:
        opened = []

        def start(server):
            context = portal.wrap_async_context_manager(serving(server))
            context.__enter__()
            opened.append(context)
            return server

        yield start
        for context in opened:
            context.__exit__(None, None, None)


# --- preview: a mail ---


def test_a_preview_is_the_mail_as_a_page_as_text_and_as_it_goes_over_the_wire(company, relance):
    arguments = ("preview", *REMINDER, "--at", AT, "--out")
    said = company.relance(*arguments, "mail.html")
    assert (said.code, said.err) == (0, "")
    subject = "Muster K1: Contract expiring without a renewal (CHF 48,200)"
    assert said.out.replace("\u00a0", " ") == f"{subject}\nto lena@example.com\nwritten to mail.html\n"
    assert "<html" in (relance.folder / "mail.html").read_text()
    company.relance(*arguments, "mail.txt")
    text = (relance.folder / "mail.txt").read_text()
    assert "The contract ends on 7 January 2027" in text
    assert "<" not in text.replace("<http", "")
    company.relance(*arguments, "mail.eml")
    mail = read((relance.folder / "mail.eml").read_bytes())
    assert mail["To"].addresses[0].addr_spec == "lena@example.com"
    assert company.post.mails == []
    assert company.relance("deliveries", "list").out == "nothing was ever queued\n"


def test_a_preview_of_a_rule_that_does_not_hold_says_so(company):
    said = company.relance("preview", *REMINDER, "--out", "mail.txt", "--at", "2026-08-01T09:00:00+02:00")
    assert (said.code, said.err) == (
        0,
        "contract-expiring does not hold for this customer now: this is what it would say if it did.\n",
    )


def test_a_preview_speaks_the_language_that_is_asked_for(company, relance):
    company.relance("preview", *REMINDER, "--at", AT, "--lang", "de", "--out", "mail.txt")
    assert "niemand arbeitet an einer Verlängerung" in (relance.folder / "mail.txt").read_text()


def test_a_preview_of_nothing_is_refused(company):
    def preview(rule="contract-expiring", customer="K1", *options, out="mail.html"):
        return company.relance("preview", rule, "--customer", customer, "--at", AT, "--out", out, *options)

    preview("contract-expirin").refuses(
        'error: there is no rule "contract-expirin"; did you mean "contract-expiring"? allowed: complaint-open, '
        "contract-expiring, lead-unworked, negative-margin, opportunity-idle, order-late, payment-overdue, "
        "quote-stalled"
    )
    preview(customer="K9").refuses('error: there is no customer "K9"')
    preview("lead-unworked").refuses("error: K1 has no lead")
    preview("contract-expiring", "K1", "--subject", "C2").refuses("error: K1 has no contract C2; it has C-K1")
    preview(out="mail.pdf").refuses("error: --out mail.pdf should end in .html, .txt or .eml")
    preview(out="nowhere/mail.txt").refuses(
        "error: --out nowhere/mail.txt cannot be written: No such file or directory"
    )
    company.has(Record(kind=CUSTOMER, id="K2", customer="K2", fields={"since": "soon"}))
    company.has(Record(kind="contract", id="C2", customer="K2", fields={"status": "active"}))
    preview(customer="K2").refuses('error: customer K2: since "soon" is not a date like 2027-01-07', code=1)


WRONG = {
    "--out mail.txt": "a preview needs a rule and --customer; missing: a rule, --customer",
    "contract-expiring --out mail.txt": "a preview needs a rule and --customer; missing: --customer",
    "--customer K1 --out mail.txt": "a preview needs a rule and --customer; missing: a rule",
    "contract-expiring --customer K1 --person lena --out mail.txt": (
        "--person does not go with a preview: it takes a rule and --customer"
    ),
    "--digest --out mail.txt": "--digest needs --person; missing: --person",
    "contract-expiring --digest --person lena --out mail.txt": "a rule does not go with --digest: it takes --person",
    "--digest --person lena --customer K1 --out mail.txt": "--customer does not go with --digest: it takes --person",
    "--digest --person lena --as slack --out mail.json": "--as does not go with --digest: it takes --person",
    "--digest --person ghost --out mail.txt": 'there is no person "ghost"; allowed: lena',
    "--digest --person lena --out mail.json": "--out mail.json should end in .html, .txt or .eml",
    "contract-expiring --customer K1 --as teams --out mail.html": "--out mail.html should end in .json",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_what_does_not_go_together_is_refused(company, arguments):
    company.relance("preview", *arguments.split()).refuses(f"error: {WRONG[arguments]}")


def test_without_keys_a_preview_is_written_with_links_that_open_nothing(company, relance):
    said = company.relance.having(SECRET_KEYS="")("preview", *REMINDER, "--at", AT, "--out", "mail.txt")
    assert said.code == 0
    assert said.err == (
        "There are no secret_keys: its links are signed with a key that stands for one, and open nothing.\n"
    )
    token = re.search(r"http://relance\.example/r/(\S+)", (relance.folder / "mail.txt").read_text())
    company.relance("preview", *REMINDER, "--at", AT, "--out", "mail.txt")
    assert token[1] not in (relance.folder / "mail.txt").read_text()


# --- preview: chats ---


def hooks(server):
    return json.dumps({"sales": server.url()})


CHATS = {
    "slack": (SlackServer, "slack:U024BE7LH", lambda s: {"SLACK__TOKEN": s.token, "SLACK__API": s.url("/api")}),
    "slack-webhook": (SlackServer, "slack-webhook:sales", lambda s: {"SLACK__WEBHOOKS": hooks(s)}),
    "teams": (TeamsServer, "teams:sales", lambda s: {"TEAMS__WEBHOOKS": hooks(s)}),
    "mattermost": (MattermostServer, "mattermost:sales", lambda s: {"MATTERMOST__WEBHOOKS": hooks(s)}),
}


@pytest.mark.parametrize("kind", CHATS)
def test_a_chats_preview_is_what_a_worker_posts_and_needs_no_settings_of_the_chat(company, relance, chat, kind):
    server_of, place, settings = CHATS[kind]
    company.has_people(Person(id="lena", name="Lena Steiner", email="lena@example.com", chat=place))
    people.wish(company.db, "lena", Wishes(channels={ANYTHING: Way.CHAT}), now=company.now, source="test")
    said = company.relance("preview", *REMINDER, "--as", kind, "--at", AT, "--out", "post.json")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1:] == [f"to {place}", "written to post.json"]

    server = chat(server_of())
    worker = company.relance.having(ALLOWED_NETWORKS=LOOPBACK_ALLOWED, **settings(server))
    assert worker("worker", "--once", "--at", AT).code == 0
    assert server.bodies == [(relance.folder / "post.json").read_bytes()]


def test_where_the_reader_is_not_in_that_chat_a_word_stands_for_the_place(company, relance):
    said = company.relance("preview", *REMINDER, "--as", "slack", "--at", AT, "--out", "post.json")
    assert said.out.splitlines()[1] == "to slack:READER"
    assert json.loads((relance.folder / "post.json").read_text())["channel"] == "READER"


# --- preview: a digest ---


def test_a_digest_is_previewed_with_all_that_is_open_for_the_person_and_nothing_is_recorded(company, relance):
    company.has_people(Person(id="max", name="Max Muster", email="max@example.com"))
    company.has_an_expiring_contract("K2")
    company.has_an_expiring_contract("K3", owner="max")
    company.relance("worker", "--once", "--at", AT)
    before = outbox.listing(company.db)

    arguments = ("preview", "--digest", "--person", "lena", "--at", LATER, "--out")
    said = company.relance(*arguments, "digest.txt")
    assert (said.code, said.err) == (0, "")
    assert said.out == "2 things worth doing today, at 2 customers\nto lena@example.com\nwritten to digest.txt\n"
    text = (relance.folder / "digest.txt").read_text()
    assert ("Muster K1" in text, "Muster K2" in text, "Muster K3" in text) == (True, True, False)
    company.relance(*arguments, "digest.html")
    assert "Muster K2" in (relance.folder / "digest.html").read_text()
    company.relance(*arguments, "digest.eml")
    mail = read((relance.folder / "digest.eml").read_bytes())
    assert mail["To"] == "Lena Steiner <lena@example.com>"
    assert mail["List-Unsubscribe"].startswith("<http://relance.example/me/")
    assert outbox.listing(company.db) == before


def test_a_digest_leaves_out_what_the_person_does_not_hear_of(company, relance):
    company.has_an_expiring_contract("K2")
    company.relance("worker", "--once", "--at", AT)
    first, *_ = found = recommendations.listing(company.db)
    assert len(found) == 2
    hidden = first.snooze(until=company.now + timedelta(days=3), at=company.now)
    act(company.db, first, hidden, now=company.now)
    arguments = ("preview", "--digest", "--person", "lena", "--at", LATER, "--out", "digest.txt")
    assert company.relance(*arguments).out.startswith("1 thing worth doing today, at 1 customer\n")
    people.wish(company.db, "lena", Wishes(muted=frozenset({"contract-expiring"})), now=company.now, source="test")
    company.relance(*arguments).refuses("error: nothing is open for lena: no digest would be sent")


# --- send-test ---


@pytest.mark.parametrize("language", TRIALS)
def test_a_plain_test_says_what_was_used_and_prints_the_servers_answer(company, language):
    said = company.relance("send-test", "it@example.com", "--lang", language)
    assert (said.code, said.err) == (0, "")
    where = f"{LOOPBACK}:{company.post.port}"
    subject = f"[Test] {TRIALS[language].subject}"
    assert re.fullmatch(
        rf"{re.escape(subject)}\nto it@example\.com, taken by {where} in \d+\.\d\d s\nit said: 250 OK\n", said.out
    )
    ((recipient, raw),) = company.post.mails
    assert recipient == "it@example.com"
    mail = read(raw)
    assert mail["Subject"] == subject
    for part in ("plain", "html"):
        content = mail.get_body((part,)).get_content()
        for used in (TRIALS[language].works, where, "relance@example.com", "http://relance.example"):
            assert used in content
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert company.relance("deliveries", "list").out == "nothing was ever queued\n"


def test_two_tests_are_two_mails(company):
    for _ in range(2):
        company.relance("send-test", "it@example.com")
    first, second = (read(raw) for _, raw in company.post.mails)
    assert first["Message-ID"] != second["Message-ID"]


def test_a_plain_test_needs_neither_a_database_nor_rules(company):
    bare = company.relance.having(DATABASE="sqlite:////nowhere/relance.db", RULES='["nowhere"]')
    assert bare("send-test", "it@example.com").code == 0


def opens(mail):
    """Whose wishes the links in a mail open."""
    links = Links(keys=["a key for tests only"], base_url="http://relance.example")
    everything = mail["List-Unsubscribe"] + mail.get_body(("plain",)).get_content()
    tokens = re.findall(r"http://relance\.example/me/([^\s>]+)", everything)
    return {links.read_personal(token, now=utc_now()).person for token in tokens}


def test_a_test_of_a_rule_is_its_reminder_with_a_mark_and_without_anybody_elses_links(company):
    people.wish(company.db, "lena", Wishes(calendar=True), now=company.now, source="test")
    for address in ("it@example.com", "lena@example.com"):
        said = company.relance("send-test", address, "--rule", "contract-expiring", "--customer", "K1", "--lang", "de")
        assert said.out.startswith("[Test] Muster K1: ")
    strangers, own = (read(raw) for _, raw in company.post.mails)
    assert "niemand arbeitet an einer Verlängerung" in strangers.get_body(("plain",)).get_content()
    assert opens(strangers) == {"it@example.com"}, "who has Lena's links may pause her reminders"
    assert opens(own) == {"lena"}
    assert own.get_content_type() == "multipart/alternative", "nothing would take an entry out of the calendar again"
    assert company.relance("deliveries", "list").out == "nothing was ever queued\n"


def test_a_test_comes_back_to_where_bounces_are_read(company):
    company.relance.having(MAIL__BOUNCES="bounces@example.com")("send-test", "it@example.com")
    ((_, raw),) = company.post.mails
    assert re.search(r"bounces\+0-[0-9a-f]{12}@example\.com", read(raw).get_body(("plain",)).get_content())


def test_a_server_that_is_away_and_one_that_refuses_end_differently(company):
    company.post.refuses["it@example.com"] = "550 no such mailbox"
    company.relance("send-test", "it@example.com").refuses(
        f"error: {LOOPBACK}:{company.post.port} refused (rcpt): 550 no such mailbox", code=1
    )
    said = company.relance.having(MAIL__PORT=str(free_port()))("send-test", "it@example.com")
    assert (said.code, said.out) == (3, "")
    assert re.match(rf"error: {LOOPBACK}:\d+ failed \(connect\): ", said.err)
    with socket.create_server((LOOPBACK, 0)) as silent:
        port = str(silent.getsockname()[1])
        said = company.relance.having(MAIL__PORT=port, MAIL__TIMEOUT_S="0.2")("send-test", "it@example.com")
    assert (said.code, said.out) == (3, "")


ASKED_WRONGLY = {
    "": "name one: an address for a mail, or --chat with a place, as in --chat slack:U024BE7LH",
    "it@example.com --chat teams:sales": (
        "name one: an address for a mail, or --chat with a place, as in --chat slack:U024BE7LH"
    ),
    "it@example.com --rule contract-expiring": "a test needs both --rule and --customer; missing: --customer",
    "it@example.com --subject C1": "a test needs both --rule and --customer; missing: --rule, --customer",
    "it@example.com --rule nope --customer K1": (
        'there is no rule "nope"; allowed: complaint-open, contract-expiring, lead-unworked, negative-margin, '
        "opportunity-idle, order-late, payment-overdue, quote-stalled"
    ),
    "nobody": "the address 'nobody' has no @",
    "it@example.com --lang tlh": '--lang "tlh" is none of: en, de, fr, it',
    "--chat sales": (
        "--chat sales: this is no place in a chat; write slack:U024BE7LH, or slack-webhook, teams, mattermost, apprise "
        "with a name, as in teams:sales"
    ),
    "--chat slack:U024": "--chat slack:U024: slack is not set up: there is no slack.token",
    "--chat teams:sales": "--chat teams:sales: teams is not set up: the settings name no address for it",
}


@pytest.mark.parametrize("arguments", ASKED_WRONGLY)
def test_a_test_that_cannot_be_sent_is_refused(company, arguments):
    company.relance("send-test", *arguments.split()).refuses(f"error: {ASKED_WRONGLY[arguments]}")
    assert company.post.mails == []


def test_a_name_that_the_settings_do_not_have_is_refused(company):
    terminal = company.relance.having(TEAMS__WEBHOOKS='{"sales": "https://example.com/hook"}')
    terminal("send-test", "--chat", "teams:sale").refuses(
        'error: --chat teams:sale: there is no teams address "sale"; did you mean "sales"? allowed: sales'
    )


@pytest.mark.parametrize("kind", CHATS)
def test_a_chat_is_tested_with_a_line_and_with_a_reminder(company, chat, kind):
    server_of, place, settings = CHATS[kind]
    server = chat(server_of())
    terminal = company.relance.having(ALLOWED_NETWORKS=LOOPBACK_ALLOWED, **settings(server))
    taken = json.dumps({"ok": True, "channel": "D1", "ts": "1.1"}) if kind == "slack" else "ok"
    server.will(answer(200, taken))
    plain = terminal("send-test", "--chat", place, "--lang", "fr")
    assert (plain.code, plain.err) == (0, "")
    assert f"\nto {place}, taken by {kind} in " in plain.out
    assert "Cela fonctionne" in server.bodies[0].decode()
    reminder = terminal("send-test", "--chat", place, "--rule", "contract-expiring", "--customer", "K1")
    assert reminder.code == 0, reminder.err
    assert reminder.out.startswith("[Test] Muster K1: ")
    assert "[Test] Muster K1: " in server.bodies[1].decode()


def test_a_chat_that_refuses_ends_with_1_and_one_that_is_away_with_3(company, chat):
    server = chat(Server())
    server.will(answer(404))
    terminal = company.relance.having(ALLOWED_NETWORKS=LOOPBACK_ALLOWED, TEAMS__WEBHOOKS=hooks(server))
    said = terminal("send-test", "--chat", "teams:sales")
    assert (said.code, said.out) == (1, "")
    assert "the workflow is gone" in said.err
    server.port = free_port()
    said = terminal.having(TEAMS__WEBHOOKS=hooks(server))("send-test", "--chat", "teams:sales")
    assert (said.code, said.out) == (3, "")
    assert "S3cret" not in said.err


# --- deliveries: list and show ---


def test_deliveries_are_listed_shown_and_sent_again(company):
    assert company.relance("deliveries", "list").out == "nothing was ever queued\n"
    company.post.hangs_up_after_the_dot = True
    assert company.relance("worker", "--once", "--at", AT).out.splitlines()[1].endswith("1 uncertain")

    listed = company.relance("deliveries", "list")
    line, counts = listed.out.splitlines()
    assert re.match(
        r" +1  2026-11-23T11:10:00\+00:00  unknown    lena@example\.com  contract-expiring K1  127\.0\.0\.1:\d+ failed "
        r"\(body\): .*; it may have arrived, sent once more at 2026-11-23T11:10:00\+00:00",
        line,
    )
    assert counts == "1 unknown"

    shown = company.relance("deliveries", "show", "1")
    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"^state +unknown$", shown.out, re.MULTILINE)
    assert re.search(r"^last_phase +body$", shown.out, re.MULTILINE)
    assert re.search(r"^attempts +1$", shown.out, re.MULTILINE)
    ((_, arrived),) = company.post.mails
    assert read(arrived)["Message-ID"] in shown.out

    company.post.hangs_up_after_the_dot = False
    retried = company.relance("deliveries", "retry", "1")
    assert (retried.code, retried.out) == (0, "delivery 1 is queued again\n")
    assert company.relance("worker", "--once", "--at", "2100-01-01T00:00:00Z").code == 0
    assert len(company.post.mails) == 1, "long before then the contract had ended"


def test_deliveries_as_json_are_one_document(company):
    company.relance("worker", "--once", "--at", AT)
    document = company.relance("deliveries", "list", "--json").document
    (row,) = document.pop("deliveries")
    assert document == {"counts": {"sent": 1}}
    expected = {
        "id": 1,
        "state": "sent",
        "reason": "taken: 250 OK",
        "purpose": "reminder",
        "rule": "contract-expiring",
        "customer": "K1",
        "channel": "email",
        "destination": "lena@example.com",
        "person": "lena",
        "attempts": 1,
    }
    assert {name: row[name] for name in expected} == expected
    shown = company.relance("deliveries", "show", "1", "--json").document
    assert shown.pop("body").encode() == company.post.mails[0][1]
    assert shown == row | {"items": []}


@pytest.fixture
def busy(company):
    """Lena's reminders about K1 and K2, and Max's about K3."""
    company.has_people(Person(id="max", name="Max Muster", email="max@example.com"))
    company.has_an_expiring_contract("K2")
    company.has_an_expiring_contract("K3", owner="max")
    company.relance("worker", "--once", "--at", AT)
    return company


@pytest.mark.parametrize(
    ("options", "customers"),
    [
        ("", ["K1", "K2", "K3"]),
        ("--person lena", ["K1", "K2"]),
        ("--person max@example.com", ["K3"]),
        ("--customer K2", ["K2"]),
        ("--rule contract-expiring --person max", ["K3"]),
        ("--rule lead-unworked", []),
        ("--channel email", ["K1", "K2", "K3"]),
        ("--channel slack", []),
        ("--state sent --customer K1", ["K1"]),
        ("--state failed --customer K1", []),
        ("--since 2026-11-23T11:00:00Z", ["K1", "K2", "K3"]),
        ("--since 2026-11-23T11:00:01Z", []),
        ("--person lena --limit 1", ["K2"]),
    ],
)
def test_deliveries_are_narrowed_down(busy, options, customers):
    document = busy.relance("deliveries", "list", "--json", *options.split()).document
    assert sorted(row["customer"] for row in document["deliveries"]) == customers
    assert document["counts"] == {"sent": 3}


def test_a_filter_that_cannot_be_read_is_refused(company):
    company.relance("deliveries", "list", "--state", "lost").refuses(
        "error: --state is one of: queued, ready, leased, sending, sent, unknown, failed, dead, cancelled, gathered"
    )
    company.relance("deliveries", "list", "--since", "yesterday").refuses(
        'error: --since "yesterday" is not a moment; write one like 2026-11-23T09:00:00+01:00'
    )
    company.relance("deliveries", "list", "--channel", "pigeon").refuses(
        "error: --channel is one of: email, slack, slack-webhook, teams, mattermost, apprise"
    )


def why(company, number):
    return company.relance("deliveries", "show", str(number), "--json").document["reason"]


def test_what_was_gathered_names_its_digest_and_the_digest_its_things(company_today):
    company = company_today
    people.wish(company.db, "lena", Wishes(channels={ANYTHING: Way.DIGEST}), now=company.now, source="test")
    company.has_an_expiring_contract("K2")
    company.relance("worker", "--once")
    digest, *gathered = sorted(outbox.listing(company.db), key=lambda d: d.state is DeliveryState.GATHERED)
    listed = company.relance("deliveries", "list").out
    out = rf"{digest.id}  \S+  ready      lena@example\.com  digest of 2  goes out at {digest.due_at:%Y-%m-%d}"
    assert re.search(out, listed)
    named = rf"gathered   lena@example\.com  contract-expiring K[12]  named in digest {digest.id}: the rule or the"
    assert len(re.findall(named, listed)) == 2
    assert {row["customer"] for row in rows(company, "--customer", "K2")} == {"K2", None}, "the digest names it too"

    shown = company.relance("deliveries", "show", str(digest.id))
    for customer in ("K1", "K2"):
        line = f"names           contract-expiring {customer}, open: the rule or the person wants it so\n"
        assert line in shown.out
    items = company.relance("deliveries", "show", str(digest.id), "--json").document["items"]
    assert sorted(item["customer"] for item in items) == ["K1", "K2"]
    assert why(company, gathered[0].id) == f"named in digest {digest.id}: the rule or the person wants it so"


def rows(company, *options):
    return company.relance("deliveries", "list", "--json", *options).document["deliveries"]


def test_what_waits_says_until_when_and_why(company_today):
    company = company_today
    until = company.now + timedelta(days=2)
    people.wish(company.db, "lena", Wishes(paused_until=until), now=company.now, source="test")
    company.relance("worker", "--once")
    assert why(company, 1) == f"waits until {until.isoformat()}: Lena Steiner is not to be disturbed (paused)"
    assert f"queued     lena@example.com  contract-expiring K1  waits until {until.isoformat()}: " in (
        company.relance("deliveries", "list", "--state", "queued").out
    )
    company.relance.writes("pack/broken.yaml", "rule: x\ncolour: red\n")
    assert "(paused)" in why(company, 1), "a rule that is broken must not hide it"


def test_what_is_tried_again_says_when_and_what_went_wrong(company_today):
    company_today.post.refuses["lena@example.com"] = "451 try later"
    company_today.relance("worker", "--once")
    assert re.fullmatch(
        r"tried again at \S+; the last attempt: 127\.0\.0\.1:\d+ refused \(rcpt\): 451 try later", why(company_today, 1)
    )


def test_what_was_called_off_says_by_whom(company_today):
    company = company_today
    people.wish(
        company.db, "lena", Wishes(paused_until=company.now + timedelta(days=2)), now=company.now, source="test"
    )
    company.relance("worker", "--once")
    (about,) = recommendations.listing(company.db)
    act(company.db, about, about.done(by="lena", at=company.now), now=company.now)
    assert why(company, 1) == "done by lena"


def test_a_muted_rule_is_the_reason_of_what_was_not_sent(company):
    people.wish(company.db, "lena", Wishes(muted=frozenset({"contract-expiring"})), now=company.now, source="test")
    company.relance("worker", "--once", "--at", AT)
    assert why(company, 1) == "Lena Steiner muted contract-expiring"


# --- deliveries: retry ---


def test_a_retry_sends_the_same_bytes(company_today):
    company_today.post.hangs_up_after_the_dot = True
    company_today.relance("worker", "--once")
    company_today.post.hangs_up_after_the_dot = False
    company_today.relance("deliveries", "retry", "1")
    assert company_today.relance("worker", "--once").out.splitlines()[1].startswith("1 mail sent")
    (_, first), (_, second) = company_today.post.mails
    assert first == second


def test_of_several_it_is_said_what_became_of_each(company_today):
    company = company_today
    company.post.refuses["lena@example.com"] = "550 no such mailbox"
    company.has_people(Person(id="max", name="Max Muster", email="max@example.com"))
    company.has_an_expiring_contract("K2")
    company.has_an_expiring_contract("K3", owner="max")
    company.relance("worker", "--once")
    by_customer = {row["customer"]: row for row in rows(company)}
    about = recommendations.get(company.db, by_customer["K2"]["recommendation"])
    act(company.db, about, about.done(by="lena", at=company.now), now=company.now)
    numbers = [by_customer[customer]["id"] for customer in ("K1", "K2", "K3")]
    said = company.relance("deliveries", "retry", *map(str, numbers))
    assert (said.code, said.err) == (1, "")
    assert said.out == (
        f"delivery {numbers[0]} is queued again\n"
        f"delivery {numbers[1]} stays failed: done by lena\n"
        f"delivery {numbers[2]} is sent; only failed, dead or unknown ones are sent again\n"
    )


def test_all_that_failed_are_sent_again_by_whoever_says_yes(company_today):
    company = company_today
    company.post.refuses["lena@example.com"] = "550 no such mailbox"
    company.has_an_expiring_contract("K2")
    company.relance("worker", "--once")
    company.post.refuses.clear()
    company.relance("deliveries", "retry", "--all-failed").refuses(
        "error: 2 failed or dead would be sent again; add --yes", code=4
    )
    assert {row["state"] for row in rows(company)} == {"failed"}
    said = company.relance("deliveries", "retry", "--all-failed", "--yes")
    assert (said.code, sorted(said.out.splitlines())) == (
        0,
        ["delivery 1 is queued again", "delivery 2 is queued again"],
    )
    assert why(company, 1).startswith("a worker sends it next; the last attempt: ")
    company.relance("worker", "--once")
    assert len(company.post.mails) == 2
    assert company.relance("deliveries", "retry", "--all-failed").out == "no delivery is failed or dead\n"


def test_a_retry_of_nothing_is_refused(company):
    for arguments in ((), ("1", "--all-failed")):
        company.relance("deliveries", "retry", *arguments).refuses(
            "error: name the deliveries by their numbers, or all that failed by --all-failed"
        )
    company.relance("deliveries", "show", "4").refuses("error: there is no delivery 4")
    company.relance("deliveries", "retry", "4", "5").refuses("error: there is no delivery 4, 5")


# --- deliveries: suppressed ---


def test_a_suppressed_address_stays_unsent_until_it_is_lifted(company_today):
    company = company_today
    company.post.refuses["lena@example.com"] = "550 no such mailbox"
    company.relance("worker", "--once")
    company.post.refuses.clear()
    assert company.relance("deliveries", "suppressed").out == "0 suppressed\n"
    suppressions.add(
        company.db,
        Suppression(address="Lena@example.com", reason=Why.BOUNCED, detail="5.1.1 gone", since=company.now, delivery=1),
        source="test",
    )
    since = f"{company.now:%Y-%m-%d}"
    assert company.relance("deliveries", "suppressed").out == (
        f"lena@example.com  bounced on {since}: 5.1.1 gone  (delivery 1)\n1 suppressed\n"
    )
    (row,) = company.relance("deliveries", "suppressed", "--json").document["suppressed"]
    assert (row["address"], row["reason"], row["delivery"]) == ("lena@example.com", "bounced", 1)

    said = company.relance("deliveries", "retry", "1")
    assert said.code == 1
    assert said.out == (
        f"delivery 1 stays failed: nothing is sent to lena@example.com, bounced on {since}: 5.1.1 gone. "
        "To send there again:\n\n  relance deliveries suppressed --lift lena@example.com\n\n"
    )
    lifted = company.relance("deliveries", "suppressed", "--lift", "LENA@example.com")
    assert (lifted.code, lifted.out) == (0, "mail goes to LENA@example.com again\n")
    company.relance("deliveries", "suppressed", "--lift", "lena@example.com").refuses(
        "error: lena@example.com is not suppressed"
    )
    assert company.relance("deliveries", "retry", "1").code == 0
    company.relance("worker", "--once")
    assert [recipient for recipient, _ in company.post.mails] == ["lena@example.com"]


# --- what cannot be reached ---


@pytest.mark.parametrize(
    "command",
    [
        "deliveries show 1",
        "deliveries retry 1",
        "deliveries suppressed",
        "preview contract-expiring --customer K1 --out mail.txt",
        "preview --digest --person lena --out mail.txt",
        "send-test it@example.com --rule contract-expiring --customer K1",
    ],
)
def test_a_database_that_does_not_answer_is_said_without_its_password(relance, command):
    url = f"postgresql+psycopg://relance:hunter2@{LOOPBACK}:{free_port()}/crm"
    said = relance.having(DATABASE=url)(*command.split())
    assert (said.code, said.out) == (3, "")
    assert "Connection refused" in said.err
    assert "hunter2" not in said.err
