"""What happens to a recommendation when its reader opens and presses."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from domain.delivery import Link
from domain.recommendation import State
from tests.web.office import CALL, heading

ACTION = "Start the renewal call"


@pytest.mark.parametrize("link", list(Link))
def test_a_storm_of_mail_scanners_changes_nothing(office, link):
    before = office.recommendation
    path = office.link(link)
    for _ in range(5):
        assert office.get(path).status_code == 200
        assert office.client.head(path).status_code == 200
        assert office.get(f"{path}?as={link}&fresh=1").status_code == 200
    assert office.recommendation == before
    assert office.deliveries == []


def test_done_is_recorded_with_its_note(office):
    answer = office.press(office.link(Link.DONE), note="  Anna signs\r\nnext week. \x00")
    assert heading(answer) == "Marked as done"
    assert "Anna signs\nnext week." in answer.text
    done = office.recommendation
    assert (done.state, done.closed_by, done.closed_at) == (State.DONE, "lena", office.now)
    assert done.note == "Anna signs\nnext week."


def test_a_press_answers_with_a_redirect_so_that_reloading_never_acts_again(office):
    path = office.link(Link.DONE)
    answer = office.client.post(path, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{path}?as=done&fresh=1"


def test_pressing_twice_is_harmless_and_says_who_did_it_when(office):
    path = office.link(Link.DONE)
    office.press(path, note="first")
    office.now += timedelta(hours=1)
    before = office.recommendation

    assert heading(office.press(path, note="second")) == "Already done by you, 10:02"
    assert heading(office.get(path)) == "Already done by you, 10:02"
    assert office.recommendation == before


def test_what_was_done_by_mistake_is_taken_back_by_whoever_did_it(office):
    path = office.link(Link.DONE)
    office.press(path, note="wrong customer")
    assert "Undo" in office.get(path).text
    assert "Rückgängig" not in office.get(office.link(Link.DONE, person="petra")).text

    office.press(office.link(Link.DONE, person="petra"), undo="1")
    assert office.recommendation.state is State.DONE

    office.press(path, undo="1")
    taken_back = office.recommendation
    assert (taken_back.state, taken_back.closed_by, taken_back.note) == (State.OPEN, None, None)

    office.press(path, undo="1")
    assert office.recommendation == taken_back


def test_what_is_taken_back_is_followed_up_again(office):
    path = office.link(Link.DONE)
    office.press(path)
    assert office.followups == []

    office.now += timedelta(hours=1)
    office.press(path, undo="1")
    (repeat,) = office.followups
    assert (repeat.recommendation, repeat.step, repeat.due_at) == (CALL, 1, office.now + timedelta(days=3))

    office.press(office.link(Link.SNOOZE_1_WEEK))
    (put_off,) = office.followups
    assert put_off.due_at == office.recommendation.snoozed_until


def test_another_person_reads_who_was_faster_in_their_language(office):
    office.press(office.link(Link.DONE))
    office.now += timedelta(days=1)
    answer = office.press(office.link(Link.DISMISS, person="petra"), reason="not-mine")
    assert heading(answer) == "Bereits von Lena Steiner erledigt, Mo., 23. Nov., 10:02"
    assert 'lang="de"' in answer.text
    assert office.recommendation.state is State.DONE


@pytest.mark.parametrize(
    ("link", "until"),
    [
        (Link.SNOOZE_1_DAY, datetime(2026, 11, 24, 9, 2, tzinfo=UTC)),
        (Link.SNOOZE_3_DAYS, datetime(2026, 11, 26, 9, 2, tzinfo=UTC)),
        (Link.SNOOZE_1_WEEK, datetime(2026, 11, 30, 9, 2, tzinfo=UTC)),
    ],
)
def test_a_snooze_ends_at_the_same_time_of_day_and_reminds_again_then(office, link, until):
    answer = office.press(office.link(link))
    assert heading(answer).startswith("Snoozed until ")
    assert "10:02" in heading(answer)
    assert office.recommendation.state is State.OPEN
    assert office.recommendation.snoozed_until == until
    (reminder,) = office.deliveries
    assert (reminder.person, reminder.destination, reminder.due_at) == ("lena", "lena@example.com", until)


def test_a_snooze_over_the_night_of_the_clock_change_keeps_the_wall_clock_time(office):
    office.now = datetime(2026, 10, 24, 8, 2, tzinfo=UTC)  # 10:02 in summer time
    office.press(office.link(Link.SNOOZE_1_DAY))
    assert office.recommendation.snoozed_until == datetime(2026, 10, 25, 9, 2, tzinfo=UTC)


def test_snoozing_twice_neither_moves_the_end_nor_reminds_twice(office):
    path = office.link(Link.SNOOZE_1_DAY)
    office.press(path)
    office.now += timedelta(minutes=7)
    assert heading(office.press(path)) == "Already snoozed until Tue 24 Nov, 10:02"
    assert heading(office.get(path)) == "Already snoozed until Tue 24 Nov, 10:02"
    assert [d.due_at for d in office.deliveries] == [office.recommendation.snoozed_until]


def test_a_longer_snooze_replaces_a_shorter_one_and_back(office):
    office.press(office.link(Link.SNOOZE_1_DAY))
    assert "Snoozed until Tue\u00a024\u00a0Nov,\u00a010:02 so far." in office.get(office.link(Link.SNOOZE_1_WEEK)).text
    office.press(office.link(Link.SNOOZE_1_WEEK))
    office.press(office.link(Link.SNOOZE_1_DAY))
    (reminder,) = office.deliveries
    assert reminder.due_at == office.recommendation.snoozed_until == datetime(2026, 11, 24, 9, 2, tzinfo=UTC)


def test_a_snooze_that_is_over_can_be_snoozed_again(office):
    office.press(office.link(Link.SNOOZE_1_DAY))
    office.now += timedelta(days=1, minutes=1)
    assert heading(office.press(office.link(Link.SNOOZE_1_DAY))) == "Snoozed until Wed 25 Nov, 10:03"


def test_done_withdraws_the_reminder_of_a_snooze(office):
    office.press(office.link(Link.SNOOZE_1_DAY))
    office.press(office.link(Link.DONE))
    assert office.deliveries == []


@pytest.mark.parametrize(
    ("fields", "note", "shown"),
    [
        ({"reason": "not-mine"}, "not-mine", "Not my customer"),
        ({"reason": "not-mine", "text": "moved to Bern"}, "not-mine: moved to Bern", "Not my customer: moved to Bern"),
        ({"text": "she retires: soon"}, "she retires: soon", "she retires: soon"),
    ],
)
def test_a_dismissal_keeps_its_reason(office, fields, note, shown):
    answer = office.press(office.link(Link.DISMISS), **fields)
    assert heading(answer) == "Marked as not relevant"
    assert f"<blockquote>{shown}</blockquote>" in answer.text
    assert (office.recommendation.state, office.recommendation.note) == (State.DISMISSED, note)


@pytest.mark.parametrize("fields", [{}, {"text": "  \n"}, {"reason": "made-up"}])
def test_a_dismissal_without_a_reason_comes_back_with_the_error_beside_the_field(office, fields):
    answer = office.press(office.link(Link.DISMISS), **fields)
    assert answer.status_code == 422
    assert 'aria-describedby="missing"' in answer.text
    assert "Choose a reason or write one." in answer.text
    assert office.recommendation.state is State.OPEN


def test_the_landing_page_offers_everything_and_each_button_works_from_there(office):
    path = office.link(Link.ACT)
    page = office.get(path).text
    assert "Start the renewal call" in page
    assert "Hand over to the broker desk" in page
    for other in (Link.SNOOZE_1_DAY, Link.SNOOZE_3_DAYS, Link.SNOOZE_1_WEEK):
        assert f'formaction="?as={other}"' in page
    assert heading(office.get(f"{path}?as=dismiss")) == "Why is “Call Muster Logistik AG” not relevant?"
    assert heading(office.press(f"{path}?as=snooze-3d")) == "Snoozed until Thu 26 Nov, 10:02"
    assert heading(office.press(f"{path}?as=done")) == "Marked as done"


@pytest.mark.parametrize(
    ("do", "offered"),
    [
        ("open https://crm.example.com/accounts/1042", True),
        ("open http://crm.example.com/", True),
        ("open javascript:alert(1)", False),
        ("open javascript://crm.example.com/%0aalert(1)", False),
        ("open data:text/html,x", False),
        ("open https:", False),
        ("open https://[crm.example.com/", False),
        ("call", False),
        (None, False),
    ],
)
def test_only_web_addresses_become_a_link(office, do, offered):
    office.says(do)
    page = office.get(office.link(Link.ACT)).text
    assert ("Open crm.example.com" in page) is offered
    assert "javascript:" not in page
    assert "data:text" not in page


def test_an_action_of_another_system_is_taken_in_one_click_and_heard_of_once(office):
    office.says("webhook renewal.start")
    path = office.link(Link.ACT)
    assert f'<button formaction="?as=act" class="main" autofocus>{ACTION}</button>' in office.get(path).text

    answer = office.press(path, note="by phone")
    assert heading(answer) == "Marked as done"
    assert heading(office.press(path)) == "Already done by you, 10:02"
    assert (office.recommendation.state, office.recommendation.note) == (State.DONE, "by phone")
    assert requested(office) == [{"do": "webhook", "argument": "renewal.start"}]

    office.press(path, undo="1")
    assert office.recommendation.state is State.OPEN
    office.press(f"{path}?as=done")
    assert len(requested(office)) == 1


def requested(office):
    with office.db.read() as connection:
        rows = connection.exec_driver_sql("SELECT data FROM events WHERE type = 'action.requested' ORDER BY seq")
        return [json.loads(data)["action"] for (data,) in rows]


def test_the_trace_shows_every_condition_with_its_value(office):
    page = office.get(office.link(Link.WHY)).text
    for text in ("contract ends in the next 90 days", "7 Jan 2027", "does not hold", "Contract expiring", "version 12"):
        assert text in page


def test_a_customers_name_is_shown_literally(office):
    office.renames_the_customer("<b>x{{7*7}}</b>")
    for link in Link:
        page = office.get(office.link(link)).text
        assert "&lt;b&gt;x{{7*7}}&lt;/b&gt;" in page
        assert "<b>x" not in page
        assert "49</b>" not in page


def test_a_note_is_shown_literally(office):
    answer = office.press(office.link(Link.DONE), note="<script>{{7*7}}</script>")
    assert "&lt;script&gt;{{7*7}}&lt;/script&gt;" in answer.text


def press_while(office, path, meanwhile):
    """Press `path`; `meanwhile` happens after the application saw the recommendation and before it writes."""
    with office.serves() as base:
        url = urlsplit(base)
        with socket.create_connection((url.hostname, url.port), timeout=10) as wire:
            wire.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\nContent-Length: 6\r\n"
                "Expect: 100-continue\r\n\r\n".encode()
            )
            assert wire.recv(1000).startswith(b"HTTP/1.1 100")  # it has read what is stored, and asks for the body
            meanwhile()
            wire.sendall(b"note=x")
            return wire.makefile("rb").read().decode()


def test_two_people_acting_at_the_same_time_one_wins_and_the_other_is_told(office):
    lena, petra = office.link(Link.DONE), office.link(Link.DISMISS, person="petra")
    answer = press_while(office, lena, lambda: office.press(petra, reason="wrong-data"))
    assert answer.startswith("HTTP/1.1 303")
    assert "fresh" not in answer
    assert heading(office.get(lena)) == "Already marked as not relevant by Petra Frei, 10:02"
    assert office.recommendation.closed_by == "petra"


def test_done_wins_over_a_snooze_pressed_at_the_same_time(office):
    snooze = office.link(Link.SNOOZE_1_DAY, person="petra")
    answer = press_while(office, office.link(Link.DONE), lambda: office.press(snooze))
    assert "fresh=1" in answer
    assert office.recommendation.state is State.DONE
    assert office.deliveries == []


def test_the_same_snooze_pressed_twice_at_the_same_time_reminds_once(office):
    path = office.link(Link.SNOOZE_1_DAY)
    press_while(office, path, lambda: office.press(path))
    assert [d.due_at for d in office.deliveries] == [office.recommendation.snoozed_until]


def test_a_recommendation_that_settles_itself_during_the_press_stays_settled(office):
    answer = press_while(office, office.link(Link.DONE), office.settles_itself)
    assert "fresh" not in answer
    assert office.recommendation.state is State.RESOLVED
