"""Links that do not work any more, and what every answer keeps to."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Mount

from domain.delivery import Link, PersonalLink
from domain.recommendation import State
from store.session import Database
from tests.web.office import Office, heading
from web.headers import HEADERS
from web.security import demo, mattermost_signed, personal_link, public, signed_link, slack_signed
from web.signed_in import session
from web.trouble import STATUS, TroubleKind
from web.vitals import scraper
from web.words import LOCALES, WORDS, Reader


def test_an_expired_link_says_so_in_its_readers_language_and_changes_nothing(office):
    office.now += timedelta(days=30)
    path = office.link(Link.DONE, person="petra")
    for answer in (office.get(path), office.press(path)):
        assert answer.status_code == 410
        assert heading(answer) == "Dieser Link ist abgelaufen"
    assert office.recommendation.state is State.OPEN


def test_a_forged_link_looks_like_a_page_that_never_was(office):
    path = office.link(Link.DONE)
    never_was = office.get("/no/such/page")
    assert never_was.status_code == 404
    for forged in (path[:-1], f"{path}x", "/r/made-up", "/r/é", "/r/.", office.link(Link.DONE, person="lena")[:20]):
        for answer in (office.get(forged), office.press(forged)):
            assert answer.status_code == 404
            assert answer.text == never_was.text
    assert office.recommendation.state is State.OPEN


@pytest.mark.parametrize("other", sorted(set(Link) - {Link.DONE, Link.WHY}))
def test_a_link_for_one_action_does_not_open_another(office, other):
    path = f"{office.link(Link.DONE)}?as={other}"
    assert office.get(path).status_code == 404
    assert office.press(path, reason="not-mine").status_code == 404
    assert office.recommendation.state is State.OPEN
    assert office.recommendation.snoozed_until is None


@pytest.mark.parametrize("link", [Link.ACT, Link.WHY])
def test_a_page_without_a_button_of_its_own_cannot_be_pressed(office, link):
    assert office.press(office.link(link)).status_code == 404
    assert office.get(f"{office.link(link)}?as=made-up").status_code == 404


def test_a_recommendation_that_settled_itself_says_when(office):
    office.settles_itself()
    office.now += timedelta(days=1)
    for link in set(Link) - {Link.WHY}:
        answer = office.get(office.link(link))
        assert answer.status_code == 200
        assert heading(answer) == "This has settled itself"
        assert "Since Mon\u00a023\u00a0Nov,\u00a010:02 there is no longer a reason" in answer.text
    assert heading(office.press(office.link(Link.DONE))) == "This has settled itself"
    assert office.recommendation.state is State.RESOLVED


def test_a_recommendation_that_is_gone(office):
    answer = office.get(office.link(Link.DONE, recommendation="deleted"))
    assert answer.status_code == 410
    assert heading(answer) == "This reminder no longer exists"


def test_a_person_we_no_longer_know(office):
    answer = office.press(office.link(Link.DONE, person="left"))
    assert answer.status_code == 403
    assert heading(answer) == "We do not know you any more"
    assert office.recommendation.state is State.OPEN


def test_a_text_that_is_too_long_is_refused_before_it_is_kept(office):
    answer = office.press(office.link(Link.DONE), note="x" * 17_000)
    assert answer.status_code == 413
    assert heading(answer) == "That text is too long"
    assert office.recommendation.state is State.OPEN


def test_an_unexpected_error_gives_a_plain_page_without_a_traceback(office):
    office.moves_to_an_unknown_zone("lena")
    answer = office.get(office.link(Link.DONE))
    assert answer.status_code == 500
    assert heading(answer) == "Something went wrong on our side"
    assert "Mars" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("fr-CH,fr;q=0.9,en;q=0.8", "fr"), ("IT", "it"), ("pt, de;q=0.5", "de"), ("pt", "en"), ("", "en")],
)
def test_a_stranger_is_answered_in_the_language_of_the_browser(office, accepted, language):
    assert f'lang="{language}"' in office.get("/r/x", headers={"Accept-Language": accepted}).text


def test_every_answer_carries_the_security_headers_and_no_cookie(office):
    answers = [
        *(office.get(office.link(link)) for link in Link),
        office.client.post(office.link(Link.DONE), follow_redirects=False),
        office.press(office.link(Link.DISMISS, person="petra")),
        office.get("/r/forged"),
        office.client.delete(office.link(Link.DONE)),
        office.client.head(office.link(Link.ACT)),
        office.get("/static/page.css"),
        office.get("/static/icon.svg"),
        office.get("/healthz"),
        office.press(office.link(Link.DISMISS), text="x" * 20_000),
        *(office.get(office.own(link)) for link in PersonalLink),
        office.press(office.own(PersonalLink.SETTINGS), do="save"),
        office.client.post(office.own(PersonalLink.PAUSE), data={"do": "tomorrow"}, follow_redirects=False),
        office.press(office.own(PersonalLink.UNSUBSCRIBE), **{"List-Unsubscribe": "One-Click"}),
        office.press("/chat/slack"),
        office.press("/chat/mattermost"),
    ]
    office.moves_to_an_unknown_zone("lena")
    answers.append(office.get(office.link(Link.DONE)))
    assert {a.status_code for a in answers} >= {200, 303, 401, 404, 405, 413, 422, 500}
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "set-cookie" not in answer.headers


def test_every_route_states_who_may_use_it(office):
    routes = [context.original_route for context in iter_route_contexts(office.app.routes)]
    assert {route.path for route in routes} >= {
        "/r/{token}",
        "/me/{token}",
        "/chat/slack",
        "/chat/mattermost",
        "/healthz",
    }
    ways = {public, signed_link, personal_link, slack_signed, mattermost_signed, demo, session, scraper}
    for route in routes:
        if isinstance(route, Mount):  # the API, whose routes state permissions
            continue
        assert isinstance(route, APIRoute)
        stated = {d.call for d in route.dependant.dependencies} & ways
        assert len(stated) == 1, f"{route.path} states {stated or 'nothing'}"


def test_without_a_store_the_pages_say_so():
    with Database.connect("sqlite:////no/such/folder/relance.db") as db, Office(db=db).client as client:
        page = client.get(Office(db=db).link(Link.DONE))
    assert page.status_code == 503
    assert heading(page) == "Please try again in a minute"


def test_everything_is_said_in_every_language_with_the_same_values():
    for key, said in WORDS.items():
        assert len(said) == len(LOCALES), key
        assert all(said), key
        names = [sorted(part for part in text.split("{")[1:]) for text in said]
        assert len({tuple(name.split("}")[0] for name in found) for found in names}) == 1, key


def test_every_trouble_has_a_status_and_says_what_to_do_next():
    for kind in TroubleKind:
        assert kind in STATUS
        assert {f"{kind}.title", f"{kind}.text", f"{kind}.next"} <= set(WORDS)


def test_french_marks_never_begin_a_line():
    reader = Reader(language="fr", zone=ZoneInfo("Europe/Zurich"))
    assert reader.say("done.ask", title="x ?") == "Marquer «\u00a0x ?\u00a0» comme terminé\u00a0?"
