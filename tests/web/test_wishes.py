"""What people ask for on the pages of their own: settings, a pause, no more mails."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.delivery import Link, PersonalLink
from domain.wishes import ANYTHING, URGENT, Way, Wishes
from store import people, suppressions
from store.suppressions import Suppression, Why
from tests.web.office import MONDAY, heading
from web.meaning import meaning
from web.words import LOCALES, Reader

SETTINGS, PAUSE, UNSUBSCRIBE = PersonalLink.SETTINGS, PersonalLink.PAUSE, PersonalLink.UNSUBSCRIBE
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"
WORKDAYS = ("0", "1", "2", "3", "4")


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def shown(response) -> str:
    """What a page says, without its markup."""
    return " ".join(plain(re.sub("<[^>]+>", " ", response.text)).split())


def saved(office, wishes: Wishes) -> None:
    people.wish(office.db, "lena", wishes, now=office.now, source="test")


# --- opening changes nothing ---


@pytest.mark.parametrize("link", list(PersonalLink))
def test_a_storm_of_mail_scanners_changes_no_wish_and_stops_no_mail(office, link):
    path = office.own(link)
    for opened in (path, f"{path}?as={link}&fresh=1", f"{path}?{ONE_CLICK}&do=stop"):
        for _ in range(17):
            assert office.get(opened).status_code == 200
            assert office.client.head(opened).status_code == 200
    assert office.wishes() == Wishes()
    assert office.suppressed == []


# --- settings ---


def test_settings_are_saved_whole_and_the_page_says_what_they_mean(office):
    answer = office.press(
        office.own(SETTINGS),
        do="save",
        language="en",
        timezone="europe/london",
        days=WORKDAYS,
        quiet_from="18:00",
        quiet_to="7.30",
        daily_cap="8",
        digest_at=["16:00", "08:00", "16:00"],
        muted=["quote-stalled"],
        calendar="1",
        **{"way *": "email", "way !": "inbox", "way renewal": "digest", "way sales": ""},
    )
    assert office.wishes() == Wishes(
        language="en",
        timezone="Europe/London",
        days=frozenset(range(5)),
        quiet=(time(18), time(7, 30)),
        daily_cap=8,
        digest_at=(time(8), time(16)),
        muted=frozenset({"quote-stalled"}),
        calendar=True,
        channels={ANYTHING: Way.EMAIL, URGENT: Way.INBOX, "renewal": Way.DIGEST},
    )
    page = shown(answer)
    for said in (
        "Saved.",
        "You hear Mon–Fri 07:30–18:00, at most 8 a day, the rest at 08:00, 16:00.",
        "Everything: By mail; Due today or overdue: Only in the inbox; “renewal”: In a summary.",
        "Muted rules: 1.",
        "Mails bring an entry for your calendar.",
        "All times below are those of Europe/London, where it is 09:02 now.",
    ):
        assert said in page


def test_saving_answers_with_a_redirect_so_that_reloading_saves_nothing_again(office):
    path = office.own(SETTINGS)
    answer = office.client.post(path, data={"do": "save", "days": WORKDAYS}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?as=settings&fresh=1")


def test_the_form_shows_what_was_saved_and_saving_it_as_it_is_changes_nothing(office):
    office.knows("lena", chat="slack:U0LENA")
    wishes = Wishes(
        quiet=(time(18), time(7, 30)),
        days=frozenset({0, 2, 6}),
        channels={URGENT: Way.CHAT, "renewal": Way.DIGEST},
        digest_at=(time(8),),
        daily_cap=3,
        muted=frozenset({"quote-stalled"}),
    )
    saved(office, wishes)
    page = office.get(office.own(SETTINGS)).text
    fields = {"do": ["save"], "days": re.findall(r'name="days" value="(.)" checked', page)}
    for name, value in re.findall(r'<input[^>]* name="(\w+)"[^>]* value="([^"]*)"(?![^>]*checked)', page):
        fields.setdefault(name, []).append(value) if name not in ("days", "muted", "calendar") else None
    fields["muted"] = re.findall(r'name="muted" value="([^"]+)" checked', page)
    for name, options in re.findall(r'<select[^>]* name="([^"]+)".*?>(.*?)</select>', page, re.DOTALL):
        fields[name] = re.findall(r'value="([^"]+)"[^>]* selected', options)
    office.press(office.own(SETTINGS), **fields)
    assert office.wishes() == wishes


RIGHT = {"do": "save", "days": WORKDAYS, "timezone": "Europe/Rome", "daily_cap": "8"}


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("language", {"language": "xx"}, "This cannot be chosen. Choose again from the list."),
        (
            "timezone",
            {"timezone": "Europe/Zurick"},
            "no time zone “Europe/Zurick”. Write a continent and a city, as in",
        ),
        ("timezone", {"timezone": "../../etc/passwd"}, "There is no time zone “../../etc/passwd”."),
        ("timezone", {"timezone": "localtime"}, "There is no time zone “localtime”."),
        ("days", {"days": []}, "Choose at least one day."),
        ("days", {"days": ["7"]}, "This cannot be chosen."),
        ("quiet", {"quiet_from": "18:00"}, "Write both times, or leave both empty."),
        ("quiet", {"quiet_from": "18:00", "quiet_to": "18.00"}, "Write two different times, or leave both empty."),
        ("quiet", {"quiet_from": "25:00", "quiet_to": "07:00"}, "“25:00” is no time of day. Write it as 07:30."),
        ("quiet", {"quiet_from": "18:60", "quiet_to": "07:00"}, "“18:60” is no time of day."),
        ("digest_at", {"digest_at": ["08:00", "noon"]}, "“noon” is no time of day."),
        ("daily_cap", {"daily_cap": "many"}, "Write a whole number from 1 to 200, or leave it empty."),
        ("daily_cap", {"daily_cap": "0"}, "Write a whole number from 1 to 200"),
        ("daily_cap", {"daily_cap": "-1"}, "Write a whole number from 1 to 200"),
        ("daily_cap", {"daily_cap": "201"}, "Write a whole number from 1 to 200"),
        ("channels", {"way *": "pigeon"}, "This cannot be chosen."),
        ("channels", {"way *": "chat"}, "This cannot be chosen."),  # she has none
    ],
)
def test_a_wrong_field_comes_back_as_typed_and_says_what_to_write(office, field, typed, said):
    answer = office.press(office.own(SETTINGS), **{**RIGHT, **typed})
    assert answer.status_code == 422
    assert said in shown(answer)
    assert f'<p id="{field}-wrong" class="error">' in answer.text
    assert f'href="#{field}"' in answer.text
    assert len(re.findall('aria-invalid="true"', answer.text)) == 1
    for name, given in {**RIGHT, **typed}.items():
        for value in [given] if name in ("timezone", "daily_cap", "quiet_from", "quiet_to") else []:
            assert re.search(f'name="{name}"[^>]* value="{re.escape(value)}"', answer.text)
    assert office.wishes() == Wishes()


def test_everything_that_is_wrong_is_said_at_once_and_the_first_has_the_focus(office):
    answer = office.press(office.own(SETTINGS), do="save", daily_cap="x", timezone="<b>Mars</b>")
    assert shown(answer).count("Choose at least one day.") == 1
    assert re.findall('href="#(timezone|days|daily_cap)"', answer.text) == ["timezone", "days", "daily_cap"]
    assert answer.text.count("autofocus") == 1
    assert re.search('id="timezone"[^>]* autofocus', answer.text)
    assert "<b>Mars" not in answer.text


def test_the_chat_is_offered_to_whoever_has_one(office):
    assert "In the chat" not in office.get(office.own(SETTINGS)).text
    office.knows("lena", chat="slack:U0LENA")
    assert "In the chat" in office.get(office.own(SETTINGS)).text
    office.press(office.own(SETTINGS), **RIGHT, **{"way *": "chat"})
    assert office.wishes().channels == {ANYTHING: Way.CHAT}


def test_rules_to_mute_have_their_titles_in_the_readers_language(office):
    page = office.get(office.own(SETTINGS, person="petra")).text
    assert "Offerte stockt" in page
    assert page.index("Offerte stockt") < page.index("Vertrag läuft aus")


def test_what_was_asked_of_rules_that_are_not_live_just_now_is_kept(office):
    saved(
        office, Wishes(muted=frozenset({"gone", "quote-stalled"}), channels={"season": Way.INBOX, "sales": Way.EMAIL})
    )
    office.press(office.own(SETTINGS), do="save", days=WORKDAYS, muted=["contract-expiring", "made-up"])
    assert office.wishes().muted == {"gone", "contract-expiring"}
    assert office.wishes().channels == {"season": Way.INBOX}


def test_a_language_and_a_time_zone_of_ones_own_hold_for_every_page(office):
    answer = office.press(office.own(SETTINGS), do="save", days=WORKDAYS, language="fr", timezone="Asia/Tokyo")
    assert heading(answer) == "Réglages des notifications"
    assert "18:02" in shown(answer)
    assert 'lang="fr"' in office.get(office.link(Link.DONE)).text

    back = office.press(office.own(SETTINGS), do="save", days=WORKDAYS)
    assert heading(back) == "Notification settings"
    assert office.wishes() == Wishes(days=frozenset(range(5)))


def test_settings_leave_a_pause_and_a_pause_leaves_settings(office):
    office.press(office.own(SETTINGS), **RIGHT)
    office.press(office.own(PAUSE), do="tomorrow")
    office.press(office.own(SETTINGS), **RIGHT)
    assert office.wishes().paused_until is not None
    assert office.wishes().daily_cap == 8


def test_a_press_of_no_button_of_the_page_changes_nothing(office):
    for link, fields in (
        (SETTINGS, {}),
        (SETTINGS, {"do": "stop"}),
        (SETTINGS, {"List-Unsubscribe": "One-Click"}),
        (PAUSE, {"do": "save", "days": WORKDAYS}),
        (UNSUBSCRIBE, {"do": "end"}),
        (UNSUBSCRIBE, {"List-Unsubscribe": "Two-Clicks"}),
    ):
        assert office.press(office.own(link), **fields).status_code == 404
    assert office.wishes() == Wishes()
    assert office.suppressed == []


# --- what wishes mean ---


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes(), "You hear every day at any hour."),
        (Wishes(days=frozenset({0, 1, 4, 5, 6})), "You hear Mon, Tue, Fri–Sun at any hour."),
        (Wishes(quiet=(time(12), time(13))), "You hear every day except 12:00–13:00."),
        (Wishes(quiet=(time(20), time(0))), "You hear every day 00:00–20:00."),
        (Wishes(daily_cap=1), "You hear every day at any hour, at most 1 a day, the rest in a summary."),
        (Wishes(digest_at=(time(16), time(8))), "You hear every day at any hour, summaries at 08:00, 16:00."),
    ],
)
def test_the_preview_says_when_reminders_come(wishes, said):
    reader = Reader(language="en", zone=ZoneInfo("Europe/Zurich"))
    assert list(meaning(wishes, reader, now=MONDAY)) == [said]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "You hear Mon–Fri 07:30–18:00, at most 8 a day, the rest at 08:00."),
        ("de", "Sie erhalten Erinnerungen Mo–Fr 07:30–18:00, höchstens 8 am Tag, die übrigen um 08:00."),
        ("fr", "Vous recevez des rappels lun.–ven. 07:30–18:00, au plus 8 par jour, le reste à 08:00."),
        ("it", "Riceve promemoria lun–ven 07:30–18:00, al massimo 8 al giorno, il resto alle 08:00."),
    ],
)
def test_the_preview_speaks_every_language(language, said):
    wishes = Wishes(days=frozenset(range(5)), quiet=(time(18), time(7, 30)), daily_cap=8, digest_at=(time(8),))
    reader = Reader(language=language, zone=ZoneInfo("Europe/Zurich"))
    assert [plain(text) for text in meaning(wishes, reader, now=MONDAY)] == [said]


@pytest.mark.parametrize("language", list(LOCALES))
@pytest.mark.parametrize("link", list(PersonalLink))
def test_every_page_is_there_in_every_language(office, language, link):
    saved(
        office, Wishes(language=language, channels={ANYTHING: Way.DIGEST, "renewal": Way.INBOX}, muted=frozenset("x"))
    )
    for path in (office.own(link), f"{office.own(PAUSE)}?as={link}"):
        answer = office.get(path)
        assert answer.status_code == 200
        assert f'lang="{language}"' in answer.text
    assert office.press(office.own(SETTINGS), do="save").status_code == 422
    assert office.press(office.own(PAUSE), do="date", until="x").status_code == 422


# --- a pause ---


@pytest.mark.parametrize(
    ("fields", "until", "said"),
    [
        ({"do": "tomorrow"}, datetime(2026, 11, 23, 23, tzinfo=UTC), "Paused until Tue 24 Nov"),
        ({"do": "monday"}, datetime(2026, 11, 29, 23, tzinfo=UTC), "Paused until Mon 30 Nov"),
        ({"do": "date", "until": "2027-04-01"}, datetime(2027, 3, 31, 22, tzinfo=UTC), "Paused until Thu, 1 Apr 2027"),
    ],
)
def test_a_pause_lasts_until_its_day_begins_by_the_readers_clock(office, fields, until, said):
    saved(office, Wishes(quiet=(time(18), time(7, 30)), daily_cap=3))
    answer = office.press(office.own(PAUSE), **fields)
    assert heading(answer) == said
    assert re.search("The next reminder can come .*, 07:30", shown(answer))
    assert office.wishes() == Wishes(quiet=(time(18), time(7, 30)), daily_cap=3, paused_until=until)
    assert said.replace("Paused", "All is paused") in shown(office.get(office.own(SETTINGS)))


def test_on_a_monday_the_next_week_begins_in_seven_days_and_on_a_sunday_tomorrow(office):
    office.now += timedelta(days=6)  # Sunday
    office.press(office.own(PAUSE), do="monday")
    assert office.wishes().paused_until == datetime(2026, 11, 29, 23, tzinfo=UTC)


def test_a_pause_is_ended_early(office):
    office.press(office.own(PAUSE), do="monday")
    assert "End the pause" in office.get(office.own(PAUSE)).text
    answer = office.press(office.own(PAUSE), do="end")
    assert heading(answer) == "Pause all reminders"
    assert "The pause is over. Reminders come again." in shown(answer)
    assert office.wishes() == Wishes()


def test_a_pause_that_is_over_is_not_shown_as_one(office):
    office.press(office.own(PAUSE), do="tomorrow")
    office.now += timedelta(days=1)
    assert heading(office.get(office.own(PAUSE))) == "Pause all reminders"
    assert "paused" not in shown(office.get(office.own(SETTINGS)))


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("", "Choose a day, or write it as 2027-01-31."),
        ("31.12.2026", "Choose a day, or write it as 2027-01-31."),
        ("2026-11-23", "Choose a day from tomorrow on, within a year."),
        ("2028-01-01", "Choose a day from tomorrow on, within a year."),
        ("9999-12-31", "Choose a day from tomorrow on, within a year."),
    ],
)
def test_a_wrong_day_comes_back_as_typed(office, until, said):
    answer = office.press(office.own(PAUSE), do="date", until=until)
    assert answer.status_code == 422
    assert said in shown(answer)
    assert f'value="{until}"' in answer.text
    assert office.wishes() == Wishes()


# --- no more mails ---


def test_unsubscribing_stops_the_mails_of_the_address_and_is_undone_on_the_same_page(office):
    path = office.own(UNSUBSCRIBE)
    page = office.get(path)
    assert heading(page) == "Stop all mails to lena@example.com?"
    assert "they stay in the inbox and with your team" in shown(page)

    stopped = office.press(path, do="stop")
    assert heading(stopped) == "No more mails to lena@example.com"
    (entry,) = suppressions.listing(office.db)
    assert (entry.address, entry.reason, entry.since) == ("lena@example.com", Why.UNSUBSCRIBED, office.now)
    assert "No mails go to lena@example.com." in shown(office.get(office.own(SETTINGS)))
    assert heading(office.get(path)) == "No more mails to lena@example.com"

    assert heading(office.press(path, do="again")) == "Mails come again to lena@example.com"
    assert office.suppressed == []
    assert heading(office.press(path, do="again")) == "Mails come again to lena@example.com"


def test_an_address_that_bounced_is_not_written_to_again_by_a_press(office):
    bounced = Suppression(address="lena@example.com", reason=Why.BOUNCED, since=office.now)
    suppressions.add(office.db, bounced, source="test")
    answer = office.press(office.own(UNSUBSCRIBE), do="again")
    assert "Mails to this address came back." in shown(answer)
    assert "<button" not in answer.text
    assert office.suppressed == ["lena@example.com"]


def multipart(name: str, value: str) -> tuple[str, str]:
    """As mail providers may send it: a content type and a body."""
    body = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--\r\n'
    return "multipart/form-data; boundary=b", body


@pytest.mark.parametrize(
    ("content_type", "body"), [(FORM, ONE_CLICK), multipart("List-Unsubscribe", "One-Click")], ids=["pairs", "parts"]
)
def test_one_click_in_a_mail_program_unsubscribes_at_once_and_twice_is_harmless(office, content_type, body):
    path = office.own(UNSUBSCRIBE, address="Lena.Steiner@Example.com")
    for _ in range(2):
        answer = office.client.post(path, content=body, headers={"Content-Type": content_type}, follow_redirects=False)
        assert (answer.status_code, answer.content) == (200, b"")
        assert "set-cookie" not in answer.headers
        assert office.suppressed == ["lena.steiner@example.com"]
        office.now += timedelta(days=1)
    assert heading(office.press(path, do="again")) == "Mails come again to Lena.Steiner@Example.com"


@pytest.mark.parametrize("body", ["--b", "--b\r\n\r\n--b--", "", "\x00\xff"])
def test_a_broken_click_is_not_one(office, body):
    answer = office.client.post(
        office.own(UNSUBSCRIBE), content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 404
    assert office.suppressed == []


def test_whoever_is_no_longer_known_can_stop_mails_and_nothing_else(office):
    path = office.own(UNSUBSCRIBE, person="left", address="left@example.com")
    assert office.get(path, headers={"Accept-Language": "it"}).text.count("left@example.com") >= 1
    assert heading(office.press(path, do="stop")) == "No more mails to left@example.com"
    assert office.suppressed == ["left@example.com"]
    for link in (SETTINGS, PAUSE):
        answer = office.get(office.own(link, person="left"))
        assert (answer.status_code, heading(answer)) == (403, "We do not know you any more")


# --- whose link it is ---


def test_a_link_to_unsubscribe_opens_nothing_else(office):
    path = office.own(UNSUBSCRIBE)
    for other in (SETTINGS, PAUSE):
        assert office.get(f"{path}?as={other}").status_code == 404
        assert office.press(f"{path}?as={other}", do="tomorrow", days=WORKDAYS).status_code == 404
    assert office.wishes() == Wishes()


@pytest.mark.parametrize("link", [SETTINGS, PAUSE])
def test_settings_and_pause_open_each_other(office, link):
    for other in PersonalLink:
        assert office.get(f"{office.own(link)}?as={other}").status_code == 200


def test_everyone_changes_their_own_wishes_alone(office):
    office.press(office.own(PAUSE, person="petra"), do="tomorrow")
    office.press(office.own(UNSUBSCRIBE, person="petra"), do="stop")
    assert office.wishes("lena") == Wishes()
    assert office.wishes("petra").paused_until is not None
    assert office.suppressed == ["petra@example.com"]


@pytest.mark.parametrize("link", list(PersonalLink))
def test_a_forged_personal_link_looks_like_a_page_that_never_was(office, link):
    own, petras = office.own(link), office.own(link, person="petra")
    never_was = office.get("/no/such/page").text
    swapped = own.rpartition(".")[0] + "." + petras.rpartition(".")[2]
    of_a_mail = office.link(Link.ACT).replace("/r/", "/me/")
    for forged in (own[:-1], f"{own}x", "/me/made-up", "/me/é", swapped, of_a_mail, own.replace("/me/", "/r/")):
        for answer in (office.get(forged), office.press(forged, do="stop"), office.press(forged, do="tomorrow")):
            assert (answer.status_code, answer.text) == (404, never_was)
    assert office.wishes() == Wishes()
    assert office.suppressed == []


@pytest.mark.parametrize(
    ("link", "days", "fields"),
    [(SETTINGS, 30, RIGHT), (PAUSE, 30, {"do": "tomorrow"}), (UNSUBSCRIBE, 180, {"List-Unsubscribe": "One-Click"})],
)
def test_an_expired_personal_link_changes_nothing_and_says_so(office, link, days, fields):
    path = office.own(link, person="petra")
    office.now = MONDAY + timedelta(days=days) - timedelta(seconds=1)
    assert office.get(path).status_code == 200
    office.now = MONDAY + timedelta(days=days)
    for answer in (office.get(path), office.press(path, **fields)):
        assert (answer.status_code, heading(answer)) == (410, "Dieser Link ist abgelaufen")
    assert office.wishes("petra") == Wishes()
    assert office.suppressed == []


def test_a_form_longer_than_anybody_fills_in_is_refused(office):
    answer = office.press(office.own(SETTINGS), do="save", days=WORKDAYS, muted=["x" * 17_000])
    assert answer.status_code == 413
    assert office.wishes() == Wishes()


def test_days_all_ticked_are_every_day(office):
    office.press(office.own(SETTINGS), do="save", days=list("0123456"))
    assert office.wishes() == Wishes()
