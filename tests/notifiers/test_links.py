from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest
from itsdangerous import URLSafeSerializer

from domain.delivery import Link, PersonalLink
from notifiers.links import LIFETIME, PERSONAL_SALT, SALT, Expired, Forged, Links, Opened, OpenedPersonal

BASE = "https://remind.example.com"


def tokens(links: Links, now: datetime) -> dict[Link, str]:
    return {link: url.removeprefix(f"{BASE}/r/") for link, url in links.for_person("rec-1", "lara", now=now).items()}


def personal(links: Links, now: datetime) -> dict[PersonalLink, str]:
    urls = links.personal("lara", address="lara@example.com", now=now)
    return {link: url.removeprefix(f"{BASE}/me/") for link, url in urls.items()}


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


def test_a_personal_link_says_whose_it_is_and_where_its_mail_went(links: Links, now: datetime):
    opened = {link: links.read_personal(token, now=now) for link, token in personal(links, now).items()}

    assert opened == {
        link: OpenedPersonal(person="lara", address="lara@example.com", link=link) for link in PersonalLink
    }


@pytest.mark.parametrize(
    ("link", "days"), [(PersonalLink.SETTINGS, 30), (PersonalLink.PAUSE, 30), (PersonalLink.UNSUBSCRIBE, 180)]
)
def test_a_personal_link_holds_as_long_as_its_mail_is_kept(links: Links, now: datetime, link: PersonalLink, days: int):
    token = personal(links, now)[link]

    assert links.read_personal(token, now=now + timedelta(days=days, seconds=-1)).link is link
    with pytest.raises(Expired) as expired:
        links.read_personal(token, now=now + timedelta(days=days))
    assert expired.value.opened == OpenedPersonal(person="lara", address="lara@example.com", link=link)


def test_a_link_of_one_kind_is_none_of_the_other(links: Links, now: datetime):
    for token in personal(links, now).values():
        with pytest.raises(Forged):
            links.read(token, now=now)
    for token in tokens(links, now).values():
        with pytest.raises(Forged):
            links.read_personal(token, now=now)


def test_what_was_signed_for_one_kind_holds_for_no_other(links: Links, now: datetime):
    signed = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    payload = ["lara", "lara@example.com", PersonalLink.SETTINGS, int(now.timestamp()) + 60]
    ours, others = (URLSafeSerializer("a key", salt=s, signer_kwargs=signed) for s in (PERSONAL_SALT, SALT))

    assert links.read_personal(ours.dumps(payload), now=now).person == "lara"
    with pytest.raises(Forged):
        links.read_personal(others.dumps(payload), now=now)


def test_the_address_cannot_be_exchanged(links: Links, now: datetime):
    own = personal(links, now)[PersonalLink.UNSUBSCRIBE]
    others = links.personal("lara", address="boss@example.com", now=now)[PersonalLink.UNSUBSCRIBE]

    with pytest.raises(Forged):
        links.read_personal(others.rpartition("/")[2].rpartition(".")[0] + "." + own.rpartition(".")[2], now=now)


def test_personal_links_open_while_a_key_is_rotated_and_no_longer_once_it_is_gone(now: datetime):
    old, rotated, later = Links(["old"], BASE), Links(["new", "old"], BASE), Links(["new"], BASE)
    token = personal(old, now)[PersonalLink.UNSUBSCRIBE]

    assert rotated.read_personal(token, now=now).person == "lara"
    with pytest.raises(Forged):
        later.read_personal(token, now=now)


@pytest.mark.parametrize("keys", [[], [""], ["good", ""]])
def test_links_are_not_made_without_a_key(keys: list[str]):
    with pytest.raises(ValueError, match="key"):
        Links(keys, BASE)
