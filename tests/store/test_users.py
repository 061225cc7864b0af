"""Users, their passwords, sessions and tokens, and how guessing is slowed down."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from domain.access import Permission, Role
from store import passwords, sessions, throttle, users
from store.passwords import Weak
from store.session import Database
from store.tables import audit, tokens
from store.tables import throttle as throttled
from store.tables import users as kept_users

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PASSWORD = "correct horse battery"

# A password is slow to verify on purpose, and that has nothing to do with the database.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)


def added(db: Database, name: str = "lena", *, role: Role = Role.SALES, password: str | None = None) -> users.User:
    email = f"{name}@example.com"
    return users.add(db, email=email, name=name.title(), role=role, password=password, source="test", now=NOW)


def told(db: Database) -> str:
    """All that the audit says."""
    with db.read() as connection:
        return "\n".join(map(str, connection.execute(select(audit))))


@pytest.mark.parametrize(
    "weak",
    ["elevenchars", " " * 20 + "elevenchars", "my name is lena!", "LENA.STEINER was here", "x" * 1001, "\0" * 20],
)
def test_a_password_that_is_easily_guessed_is_refused(weak: str) -> None:
    with pytest.raises(Weak):
        passwords.accept(weak, email="lena.steiner@example.com", name="Lena Steiner")


def test_a_password_is_the_same_however_it_was_typed() -> None:
    kept = passwords.accept("Zürich im Regen", email="lena@example.com", name="Li")
    assert passwords.matches(kept, " Zu\u0308rich im Regen\n")
    assert not passwords.matches(kept, "Zurich im Regen")
    assert "Regen" not in kept


@on_one_database
def test_whoever_has_the_password_is_known_and_nobody_else(db: Database) -> None:
    lena = added(db, password=PASSWORD)
    added(db, "petra")
    assert users.by_password(db, "LENA@example.com", PASSWORD) == lena
    for email, password in (
        ("lena@example.com", f"{PASSWORD}!"),
        ("petra@example.com", ""),
        ("x@example.com", PASSWORD),
    ):
        assert users.by_password(db, email, password) is None
    users.set_password(db, lena, "another one of mine", source="test", now=NOW)
    assert users.by_password(db, lena.email, PASSWORD) is None
    assert users.by_password(db, lena.email, "another one of mine") == lena
    assert not any(secret in told(db) for secret in (PASSWORD, "another one", "argon2"))


@on_one_database
def test_an_unknown_address_costs_as_much_as_a_wrong_password(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lena = added(db, password=PASSWORD)
    verified: list[str] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, hash: str, password: str) -> bool:
        verified.append(hash.rpartition("$")[0].rpartition("$")[0])
        return verify(hasher, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for email in (lena.email, "nobody@example.com"):
        assert users.by_password(db, email, "not this one") is None
    assert len(verified) == 2
    assert len(set(verified)) == 1, "both with the same parameters"


@on_one_database
def test_a_hash_of_older_parameters_is_renewed_when_the_password_is_used(db: Database) -> None:
    lena = added(db)
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with db.begin() as connection:
        connection.execute(update(kept_users).values(password=old))
    for _ in range(2):
        assert users.by_password(db, lena.email, PASSWORD) == lena
    with db.read() as connection:
        kept = connection.execute(select(kept_users.c.password)).scalar_one()
    assert "m=65536" in kept


def test_an_address_and_a_subject_are_one_users(db: Database) -> None:
    users.add(db, email="lena@example.com", name="Lena", role=Role.SALES, subject="s", source="test", now=NOW)
    for email, subject in (("Lena@Example.com", None), ("other@example.com", "s")):
        with pytest.raises(users.Taken):
            users.add(db, email=email, name="Other", role=Role.ADMIN, subject=subject, source="test", now=NOW)
    assert [user.name for user in users.listing(db, limit=10)] == ["Lena"]
    assert told(db).count("user.created") == 1


@pytest.mark.parametrize("change", [{"role": Role.PRODUCT_MANAGER}, {"disabled_at": NOW}])
def test_whoever_may_do_less_loses_sessions_and_tokens_at_once(db: Database, change: dict[str, object]) -> None:
    lena, petra = added(db), added(db, "petra")
    secrets = {user.id: sessions.begin(db, user.id, now=NOW) for user in (lena, petra)}
    texts = {user.id: users.issue(db, user=user.id, name="t", source="test", now=NOW)[1] for user in (lena, petra)}
    users.change(db, lena.id, {"name": "Lena S."}, source="test", now=NOW)
    assert sessions.whose(db, secrets[lena.id], now=NOW)
    assert users.by_token(db, texts[lena.id], now=NOW)

    users.change(db, lena.id, change, source="test", now=NOW)

    assert sessions.whose(db, secrets[lena.id], now=NOW) is None
    assert users.by_token(db, texts[lena.id], now=NOW) is None
    assert sessions.whose(db, secrets[petra.id], now=NOW)
    assert users.by_token(db, texts[petra.id], now=NOW)
    users.change(db, lena.id, {"role": Role.SALES, "disabled_at": None}, source="test", now=NOW)
    assert sessions.whose(db, secrets[lena.id], now=NOW) is None, "what ended stays so"
    assert users.by_token(db, texts[lena.id], now=NOW) is None
    assert told(db).count("token.revoked") == 1


def test_more_rights_end_nothing(db: Database) -> None:
    lena = added(db)
    secret = sessions.begin(db, lena.id, now=NOW)
    users.change(db, lena.id, {"role": Role.ADMIN}, source="test", now=NOW)
    actor = sessions.whose(db, secret, now=NOW)
    assert actor is not None
    assert actor.role is Role.ADMIN


def test_there_is_always_an_admin_also_when_two_take_each_other_away_at_once(db: Database) -> None:
    one, two = added(db, "one", role=Role.ADMIN), added(db, "two", role=Role.ADMIN)
    added(db, "off", role=Role.ADMIN)
    start = threading.Barrier(3)

    def demote(user: str, change: dict[str, object]) -> bool:
        start.wait(10)
        try:
            return users.change(db, user, change, source="test", now=NOW) is not None
        except users.LastAdmin:
            return False

    wanted = [(one.id, {"role": Role.SALES}), (two.id, {"disabled_at": NOW})]
    off = users.by_email(db, "off@example.com")
    assert off is not None
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda each: demote(*each), [*wanted, (off.id, {"role": Role.MANAGER})]))
    assert sorted(done) == [False, True, True]
    left = [user for user in users.listing(db, limit=10) if user.role is Role.ADMIN and user.disabled_at is None]
    assert len(left) == 1
    users.change(db, left[0].id, {"name": "The only one"}, source="test", now=NOW)


def test_a_session_slides_while_it_is_used_and_ends_after_a_week(db: Database) -> None:
    lena = added(db)
    secret = sessions.begin(db, lena.id, now=NOW)
    assert sessions.whose(db, secret, now=NOW + 12 * HOUR) is None
    now = NOW
    while sessions.whose(db, secret, now=now):
        now += 11 * HOUR
    assert now - NOW == timedelta(hours=176)  # the first look after 168
    sessions.begin(db, lena.id, now=now)
    assert sessions.whose(db, secret, now=NOW) is None, "what is over is gone for good"


def test_a_new_session_ends_the_one_that_the_browser_had(db: Database) -> None:
    lena, petra = added(db), added(db, "petra")
    planted = sessions.begin(db, petra.id, now=NOW)
    own = sessions.begin(db, lena.id, instead_of=planted, now=NOW)
    assert sessions.whose(db, planted, now=NOW) is None
    actor = sessions.whose(db, own, now=NOW)
    assert actor is not None
    assert actor.user == lena.id
    sessions.end(db, own, by=actor, now=NOW)
    assert sessions.whose(db, own, now=NOW) is None


def test_a_token_ends_by_itself_and_when_it_is_revoked_and_never_does_more_than_its_user(db: Database) -> None:
    lena, petra = added(db), added(db, "petra")
    scopes = [Permission.RULES_READ, Permission.USERS_MANAGE]
    token, text = users.issue(
        db, user=lena.id, name="nightly", scopes=scopes, expires_at=NOW + HOUR, source="test", now=NOW
    )
    actor = users.by_token(db, text, now=NOW)
    assert actor is not None
    assert actor.permissions == {Permission.RULES_READ}
    assert actor.source == f"token:{token.id}"
    assert users.by_token(db, text, now=NOW + HOUR) is None
    assert not users.revoke(db, token.id, user=petra.id, source="test", now=NOW)
    assert users.by_token(db, text, now=NOW)
    assert users.revoke(db, token.id, user=lena.id, source="test", now=NOW)
    assert users.revoke(db, token.id, source="test", now=NOW + HOUR)
    assert users.by_token(db, text, now=NOW) is None
    assert [token.revoked_at for token in users.token_listing(db, user=lena.id, limit=9)] == [NOW]
    assert users.token_listing(db, user=petra.id, limit=9) == []
    assert text not in told(db)


def test_a_good_token_is_only_read_but_for_its_last_use_once_a_minute(db: Database) -> None:
    _, text = users.issue(db, user=added(db).id, name="t", source="test", now=NOW)
    seen: list[datetime] = []
    for seconds in (0, 1, 59, 60):
        assert users.by_token(db, text, now=NOW + seconds * SECOND)
        with db.read() as connection:
            seen.append(connection.execute(select(tokens.c.used_at)).scalar_one())
    assert [(at - NOW).seconds for at in seen] == [0, 0, 0, 60]


# --- guessing ---


def attempts(db: Database, count: int, *, account: str = "a", address: str = "192.0.2.1", now: datetime = NOW):
    return [throttle.attempt(db, account=account, address=address, now=now) for _ in range(count)]


def test_after_five_failures_an_account_waits_longer_each_time(db: Database) -> None:
    assert attempts(db, 5) == [None] * 5
    now = NOW
    for seconds in (30, 60, 120, 300, 900, 900):
        opens = now + seconds * SECOND
        assert attempts(db, 2, address="198.51.100.7", now=now) == [opens, opens], "from whatever address"
        assert attempts(db, 1, address="198.51.100.7", now=opens - SECOND) == [opens]
        assert attempts(db, 1, account="another", address=f"203.0.113.{seconds % 251}", now=now) == [None]
        assert attempts(db, 1, now=opens) == [None]
        now = opens
    assert attempts(db, 6, now=now + timedelta(days=1)) == [None] * 5 + [now + timedelta(days=1, seconds=30)]


def test_who_is_right_starts_afresh_and_an_address_may_fail_for_many_accounts_only_twenty_times(db: Database) -> None:
    for n in range(30):  # an office in the morning
        assert attempts(db, 2, account=f"colleague {n}") == [None, None]
        throttle.succeeded(db, account=f"colleague {n}", address="192.0.2.1")
        if n >= 17:
            break
    address = "2001:db8:1:2::1"
    for n in range(20):
        assert attempts(db, 1, account=f"guessed {n}", address=address) == [None]
    assert attempts(db, 1, account="one more", address="2001:db8:1:2:ffff::9") == [NOW + 30 * SECOND]
    assert attempts(db, 1, account="one more", address="2001:db8:1:3::1") == [None]


def test_a_hundred_guesses_at_the_same_time_are_a_hundred_guesses(db: Database) -> None:
    start = threading.Barrier(4)

    def guess(_: int) -> int:
        start.wait(10)
        return attempts(db, 5).count(None)

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(guess, range(4))) == 5


def test_twenty_bad_tokens_in_a_minute_shut_an_address_out_for_a_minute(db: Database) -> None:
    def tried(count: int, now: datetime, address: str = "192.0.2.1") -> list[datetime | None]:
        return [throttle.bad_token(db, address=address, now=now) for _ in range(count)]

    assert tried(19, NOW) == [None] * 19
    assert tried(19, NOW + MINUTE) == [None] * 19, "in the next minute they are counted anew"
    last = NOW + MINUTE + 59 * SECOND
    assert tried(3, last) == [None, last + MINUTE, last + MINUTE]
    assert tried(1, last, "192.0.2.2") == [None]
    assert tried(2, last + MINUTE) == [None, None]


def test_the_table_of_failures_says_nothing_of_who_was_tried_and_forgets(db: Database) -> None:
    attempts(db, 1, account="lena@example.com")
    attempts(db, 1, account="petra@example.com", now=NOW + timedelta(days=1))
    with db.read() as connection:
        rows = list(connection.execute(select(throttled)))
    assert len(rows) == 2, "petra's account, and the address"
    assert not any("example" in row.key or "192.0" in row.key for row in rows)
