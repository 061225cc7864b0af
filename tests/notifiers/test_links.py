from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from domain.delivery import Link
from notifiers.links import LIFETIME, Expired, Forged, Links, Opened

BASE = "https://remind.example.com"


def tokens(links: Links, now: datetime) -> dict[Link, str]:
    return {link: url.removeprefix(f"{BASE}/r/") for link, url in links.for_person("rec-1", "lara", now=now).items()}


def test_each_link_opens_what_it_was_made_for(links: Links, now: datetime):
    opened = {link: links.read(token, now=now) for link, token in tokens(links, now).items()}

    assert opened == {link: Opened(recommendation="rec-1", person="lara", link=link) for link in Link}


def test_a_link_holds_thirty_days_and_then_says_what_it_was(links: Links, now: datetime):
    token = tokens(links, now)[Link.DONE]
    last_moment = now + LIFETIME - timedelta(seconds=1)

    assert links.read(token, now=last_moment).link is Link.DONE
    with pytest.raises(Expired) as expired:
        links.read(token, now=now + timedelta(days=30))
    assert expired.value.opened == Opened(recommendation="rec-1", person="lara", link=Link.DONE)
    assert expired.value.expired_at == now + timedelta(days=30)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda own, _: own[:-4] + "AAAA", id="the signature altered"),
        pytest.param(lambda own, _: own[:20], id="cut off by a mail program"),
        pytest.param(lambda _, __: "", id="empty"),
        pytest.param(lambda _, __: "näh\udc80.x", id="not even text"),
        pytest.param(
            lambda own, other: other.rpartition(".")[0] + "." + own.rpartition(".")[2],
            id="the signature of one action under another",
        ),
    ],
)
def test_a_link_that_was_tampered_with_is_refused(links: Links, now: datetime, forge):
    made = tokens(links, now)

    with pytest.raises(Forged):
        links.read(forge(made[Link.WHY], made[Link.DISMISS]), now=now)


def test_a_link_signed_by_a_stranger_is_refused(links: Links, now: datetime):
    stranger = Links(["a guess"], BASE)

    with pytest.raises(Forged):
        links.read(tokens(stranger, now)[Link.DONE], now=now)


def test_links_in_old_mails_open_while_a_key_is_rotated_and_no_longer_once_it_is_gone(now: datetime):
    old, rotated, later = Links(["old"], BASE), Links(["new", "old"], BASE), Links(["new"], BASE)
    sent_before, sent_since = tokens(old, now)[Link.DONE], tokens(rotated, now)[Link.DONE]

    assert rotated.read(sent_before, now=now).link is Link.DONE
    assert later.read(sent_since, now=now).link is Link.DONE
    with pytest.raises(Forged):
        later.read(sent_before, now=now)


@pytest.mark.parametrize("keys", [[], [""], ["good", ""]])
def test_links_are_not_made_without_a_key(keys: list[str]):
    with pytest.raises(ValueError, match="key"):
        Links(keys, BASE)
