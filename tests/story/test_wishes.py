"""People hear when, how and how much they want to; what they do not hear now is not lost."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.delivery import DeliveryState
from domain.record import Record
from domain.wishes import ANYTHING, URGENT, Way
from store import outbox
from tests.story.relance import Relance, contract, customer, person

SELLER = "seller@example.com"
NINE_TO_FIVE = (time(17), time(9))  # quiet from five to nine
COMPLAINT = Record(
    kind="complaint",
    id="M1",
    customer="K1",
    fields={"status": "new", "subject": "Late", "opened_at": "2026-10-09T05:00:00+00:00"},
)
LATE_ORDER = Record(
    kind="order", id="B1", customer="K1", fields={"status": "placed", "promised_date": "2026-10-01", "amount": "700"}
)


def ending(relance: Relance, *worths: int, owner: str = "seller", days: str = "2027-01-07") -> Relance:
    """Contracts C1, C2, ... that begin to run out on 9 October 2026, worth so much each."""
    relance.has(*(customer(f"K{worth}", owner=owner) for worth in worths))
    relance.has(*(contract(f"C{w}", ends=days, customer=f"K{w}", annual_value=str(w)) for w in worths))
    return relance


def subjects(relance: Relance, who: str = SELLER) -> list[str]:
    return [mail.subject for mail in relance.mailbox(who)]


def sent_at(relance: Relance, who: str = SELLER) -> list[datetime]:
    """When mails were sent, by the clock in Zurich."""
    zone = ZoneInfo("Europe/Zurich")
    sent = [d for d in relance.deliveries(DeliveryState.SENT) if d.destination == who and d.sent_at]
    return sorted(d.sent_at.astimezone(zone) for d in sent if d.sent_at)


def runs_hourly(relance: Relance, begin: str, *, hours: int) -> None:
    relance.at(begin)
    for _ in range(hours):
        relance.runs()
        relance.now += timedelta(hours=1)


# --- when ---

# (zone, wishes, the moment it is raised, the moment it is heard); in local time of the zone, to the hour.
HEARD = {
    "no wishes": ("Europe/Zurich", {}, "2026-10-09T00:00", "2026-10-09T00:00"),
    "quiet hours over midnight": ("Europe/Zurich", {"quiet": NINE_TO_FIVE}, "2026-10-09T00:00", "2026-10-09T09:00"),
    "in New York": ("America/New_York", {"quiet": NINE_TO_FIVE}, "2026-10-08T18:00", "2026-10-09T09:00"),
    "a weekend": (
        "Europe/Zurich",
        {"quiet": (time(0), time(9)), "days": frozenset({0, 1, 2, 3})},
        "2026-10-11T20:00",
        "2026-10-12T09:00",
    ),
    "the night that has an hour more": (
        "Europe/Zurich",
        {"quiet": (time(23), time(2, 30)), "paused_until": datetime(2026, 10, 24, 23, tzinfo=ZoneInfo("UTC"))},
        "2026-10-24T22:00",
        "2026-10-25T02:00",  # the second time that clocks show two: half past had been before
    ),
    "a pause": (
        "Europe/Zurich",
        {"paused_until": datetime(2026, 10, 20, 10, tzinfo=ZoneInfo("UTC"))},
        "2026-10-20T02:00",
        "2026-10-20T12:00",
    ),
}


@pytest.mark.parametrize(("zone", "wishes", "raised", "heard"), HEARD.values(), ids=list(HEARD))
def test_q11_nobody_is_disturbed_at_night_by_their_own_clock(
    relance: Relance, zone: str, wishes: dict[str, object], raised: str, heard: str
) -> None:
    relance.has(person("seller", timezone=zone)).wishes("seller", **wishes)
    ending(relance.at("2026-10-08T12:00"), 1)
    begin = datetime.fromisoformat(raised).replace(tzinfo=ZoneInfo(zone))
    relance.now = begin.astimezone(relance.now.tzinfo)
    for _ in range(24):
        relance.runs()
        if relance.mailbox(SELLER):
            break
        relance.now += timedelta(hours=1)
    assert relance.now.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M") == heard


def test_q11_who_moves_to_another_zone_hears_by_its_clock(relance: Relance) -> None:
    relance.has(person("seller", timezone="Europe/Zurich")).wishes("seller", quiet=NINE_TO_FIVE)
    ending(relance.at("2026-10-08"), 1)
    relance.at("2026-10-09T08:00").runs()
    relance.wishes("seller", quiet=NINE_TO_FIVE, timezone="America/New_York")
    relance.at("2026-10-09T09:00").runs()
    assert subjects(relance) == []
    relance.at("2026-10-09T15:00").runs()  # nine in New York
    assert len(subjects(relance)) == 1


def test_a_holiday_of_the_office_is_quiet(relance: Relance) -> None:
    relance.knows("closed", "calendar: closed\ntimezone: Europe/Zurich\nclosed: [2026-10-09]\n").has(
        person("seller", office="closed")
    ).wishes("seller", quiet=(time(0), time(8)))
    ending(relance.at("2026-10-08"), 1)
    runs_hourly(relance, "2026-10-09T00:00", hours=40)
    assert [at.strftime("%d %H:%M") for at in sent_at(relance)] == ["10 08:00"]


# --- how much ---


def test_a_daily_cap_sends_the_most_valuable_and_names_the_rest_in_the_digest(relance: Relance) -> None:
    relance.wishes("seller", daily_cap=2, digest_at=(time(17),))
    ending(relance.at("2026-10-08"), 100, 500, 300, 400, 200)
    runs_hourly(relance, "2026-10-09T08:00", hours=11)
    mails = relance.mailbox(SELLER)
    assert ["CHF 500" in m.subject or "CHF 400" in m.subject for m in mails[:2]] == [True, True]
    (digest,) = mails[2:]
    assert "3 things" in digest.subject
    for worth in (100, 200, 300):
        assert f"CHF {worth}" in digest.text
    assert "CHF 500" not in digest.text
    assert len(relance.deliveries(DeliveryState.GATHERED)) == 3


def test_the_cap_is_of_a_day(relance: Relance) -> None:
    relance.wishes("seller", daily_cap=1)
    ending(relance.at("2026-10-08"), 100)
    relance.at("2026-10-09T10:00").runs()
    ending(relance, 200, days="2027-01-08")
    relance.at("2026-10-10T00:30").runs()
    assert len([s for s in subjects(relance) if "Contract expiring" in s]) == 2


def test_q16_what_comes_in_one_second_is_one_digest(relance: Relance) -> None:
    relance.sets(at_once=3)
    ending(relance.at("2026-10-08"), 1, 2, 3, 4, 5)
    relance.at("2026-10-09").runs()
    (digest,) = relance.mailbox(SELLER)
    assert digest.subject.startswith("5 things")
    states = [d.state for d in relance.deliveries() if d.recommendation]
    assert states == [DeliveryState.GATHERED] * 5


def test_q16_a_few_are_not_gathered(relance: Relance) -> None:
    relance.sets(at_once=3)
    ending(relance.at("2026-10-08"), 1, 2, 3)
    relance.at("2026-10-09").runs()
    assert len(relance.mailbox(SELLER)) == 3


def test_a_digest_leaves_out_what_was_done_meanwhile_and_is_not_sent_where_nothing_is_left(relance: Relance) -> None:
    relance.wishes("seller", channels={ANYTHING: Way.DIGEST}, digest_at=(time(17),))
    ending(relance.at("2026-10-08"), 1, 2)
    relance.at("2026-10-09T08:00").runs()
    assert relance.mailbox(SELLER) == []
    relance.has(contract("C1", ends="2029-01-01", customer="K1"))
    relance.at("2026-10-09T17:00").runs()
    (digest,) = relance.mailbox(SELLER)
    assert digest.subject.startswith("1 thing ")
    ending(relance, 3, days="2027-01-08").at("2026-10-10T08:00").runs()
    relance.has(contract("C3", ends="2029-01-01", customer="K3"))
    relance.at("2026-10-10T17:00").runs()
    assert len(relance.mailbox(SELLER)) == 1
    (unsent,) = [d for d in relance.deliveries(DeliveryState.CANCELLED) if not d.recommendation]
    assert unsent.last_error == "nothing that it named is left to do"


def test_what_is_late_for_a_digest_stands_in_the_next(relance: Relance) -> None:
    relance.wishes("seller", channels={ANYTHING: Way.DIGEST}, digest_at=(time(9), time(17)))
    ending(relance.at("2026-10-08"), 1)
    relance.at("2026-10-09T09:00").runs()
    ending(relance, 2, days="2027-01-06")
    relance.runs()
    relance.at("2026-10-09T17:00").runs()
    assert [s.split(",")[0] for s in subjects(relance)] == ["2 things worth doing today"]


def test_a_digest_names_what_a_complaint_holds_back(relance: Relance) -> None:
    relance.wishes("seller", channels={ANYTHING: Way.DIGEST}, digest_at=(time(17),))
    relance.at("2026-10-09T08:00").has(contract("C1", ends="2027-01-07", annual_value="48200"))
    relance.has(COMPLAINT).runs()
    relance.at("2026-10-09T17:00").runs()
    (digest,) = relance.mailbox(SELLER)
    assert "Complaint waiting for an answer" in digest.text
    assert "Contract expiring without a renewal" in digest.text


# --- how ---


def test_a_muted_rule_is_silent_for_who_muted_it_and_for_nobody_else(relance: Relance) -> None:
    relance.has(person("other"))
    relance.wishes("seller", muted=frozenset({"contract-expiring"}))
    ending(relance.at("2026-10-08"), 1)
    ending(relance, 2, owner="other")
    relance.at("2026-10-09").runs()
    assert (subjects(relance), len(subjects(relance, "other@example.com"))) == ([], 1)
    (silent,) = relance.deliveries(DeliveryState.CANCELLED)
    assert silent.last_error == "Seller muted contract-expiring"


def test_urgent_things_may_go_another_way_than_the_rest(relance: Relance) -> None:
    relance.wishes("seller", channels={ANYTHING: Way.INBOX, URGENT: Way.EMAIL})
    ending(relance.at("2026-10-08"), 1)
    relance.at("2026-10-09").runs()
    assert subjects(relance) == []
    relance.has(LATE_ORDER).runs()  # due today
    assert len(subjects(relance)) == 1


def test_mails_come_in_the_language_and_zone_a_person_chose(relance: Relance) -> None:
    relance.wishes("seller", language="it")
    ending(relance.at("2026-10-08"), 1)
    relance.at("2026-10-09").runs()
    (mail,) = relance.mailbox(SELLER)
    assert "CONQUISTARE" in mail.text


# --- late ---


@pytest.mark.parametrize(
    ("policy", "mails", "states"),
    [
        ("send", 5, {DeliveryState.SENT: 5}),
        ("collapse", 1, {DeliveryState.GATHERED: 5, DeliveryState.SENT: 1}),
        ("expire after 3 days", 0, {DeliveryState.CANCELLED: 5}),
        ("expire after 30 days", 1, {DeliveryState.GATHERED: 5, DeliveryState.SENT: 1}),
    ],
)
def test_after_a_week_without_a_worker_each_rule_does_as_its_policy_says(
    relance: Relance, policy: str, mails: int, states: dict[DeliveryState, int]
) -> None:
    relance.sets(at_once=3, catch_up={"contract-expiring": policy})
    ending(relance.at("2026-10-08"), 1, 2, 3, 4, 5).runs()
    relance.at("2026-10-16").runs()
    assert len(relance.mailbox(SELLER)) == mails
    assert outbox.counts(relance.db) == states


# --- asked again before it goes out ---


def test_q10_who_left_hears_nothing_and_it_is_said_why(relance: Relance) -> None:
    relance.wishes("seller", quiet=NINE_TO_FIVE)
    ending(relance.at("2026-10-08"), 1)
    relance.at("2026-10-09T08:00").runs()
    (waiting,) = relance.deliveries(DeliveryState.QUEUED)
    relance.forget_person("seller")
    relance.at("2026-10-09T09:00").runs()
    gone = outbox.get(relance.db, waiting.id)
    assert gone is not None
    assert (gone.state, gone.last_error) == (DeliveryState.CANCELLED, "seller is not here any more")


def test_q10_what_was_acknowledged_while_it_waited_is_not_sent(relance: Relance) -> None:
    relance.wishes("seller", quiet=NINE_TO_FIVE)
    ending(relance.at("2026-10-08"), 1)
    relance.at("2026-10-09T08:00").runs()
    relance.has(contract("C1", ends="2029-01-01", customer="K1"))
    relance.at("2026-10-09T09:00").runs()
    assert subjects(relance) == []
    assert [d.state for d in relance.deliveries()] == [DeliveryState.CANCELLED]


def test_q10_quiet_hours_that_begin_before_a_retry_hold_it(relance: Relance) -> None:
    ending(relance.at("2026-10-08"), 1)
    relance.post.refuses[SELLER] = "451 later"
    relance.at("2026-10-09T16:55").runs()
    relance.post.refuses.clear()
    relance.wishes("seller", quiet=NINE_TO_FIVE)
    relance.at("2026-10-09T17:30").runs()
    assert subjects(relance) == []
    relance.at("2026-10-10T09:00").runs()
    assert len(subjects(relance)) == 1
