"""`relance users` and `relance tokens`: the first admin, and everybody after."""

from __future__ import annotations

import re

import pytest

from app.wiring import utc_now
from store import users
from store.session import Database

PASSWORD = "correct horse battery"


@pytest.fixture
def office(relance):
    """An empty database; nobody may sign in."""
    assert relance("db", "upgrade").code == 0
    return relance


@pytest.fixture
def db(office):
    with Database.connect(f"sqlite:///{office.folder / 'relance.db'}") as db:
        yield db


def test_the_first_admin_needs_no_other_user(office, db):
    assert office("users", "list").out == "nobody may sign in yet: relance users add EMAIL --role admin\n"
    made = office("users", "add", "Lena@Example.com", "--role", "admin", "--name", "Lena", stdin=f"{PASSWORD}\n")
    assert (made.out, made.err, made.code) == ("lena@example.com may sign in as admin\n", "", 0)
    lena = users.by_password(db, "lena@example.com", PASSWORD)
    assert lena is not None
    assert lena.name == "Lena"
    office("users", "add", "lena@example.com", "--role", "sales", stdin=PASSWORD).refuses(
        "error: there is a user lena@example.com already; `relance users list` shows all"
    )
    for command in (("disable", "lena@example.com"), ("set-role", "lena@example.com", "sales")):
        office("users", *command).refuses("error: This is the last admin: make somebody else one first.")


def test_users_are_added_changed_and_listed(office, db):
    office("users", "add", "petra@example.com", "--role", "sales", "--no-password")
    assert office("users", "set-role", "petra@example.com", "manager").out == "petra@example.com is manager now\n"
    assert office("users", "set-password", "petra@example.com", stdin=f"{PASSWORD}\n").code == 0
    assert users.by_password(db, "petra@example.com", PASSWORD)
    assert office("users", "disable", "petra@example.com").code == 0
    assert office("users", "list").out == f"petra@example.com  manager  disabled since {utc_now():%Y-%m-%d}\n"
    assert office("users", "enable", "petra@example.com").code == 0
    (listed,) = office("users", "list", "--json").document["users"]
    assert (listed["email"], listed["role"], listed["disabled_at"]) == ("petra@example.com", "manager", None)


def test_what_cannot_be_is_refused_with_the_way_out(office):
    roles = "sales, manager, product-manager, admin, integrator"
    add = ("users", "add", "x@example.com", "--role")
    office(*add, "root").refuses(f'error: "root" is no role; the roles are {roles}')
    office(*add, "sales", "--person", "ghost").refuses('error: there is no person "ghost"')
    office(*add, "sales", stdin="short\n").refuses(
        "error: A password has 12 to 1000 characters; spaces around it do not count."
    )
    office(*add, "sales", stdin="x@example.com 1").refuses(
        "error: The name or the address must not be part of the password."
    )
    assert office("users", "add", "nobody", "--role", "sales").code == 2
    office("users", "disable", "ghost@example.com").refuses(
        "error: there is no user ghost@example.com; `relance users list` shows all"
    )


def test_a_token_is_printed_once_listed_and_revoked(office, db):
    office("users", "add", "crm@example.com", "--role", "integrator", "--no-password")
    add = ("tokens", "add", "--user", "crm@example.com", "--name", "nightly")
    made = office(*add, "--scope", "records:write", "--expires", "90d")
    (token,) = re.findall(r"^token (t_\w+) for crm@example.com, until \d{4}-\d\d-\d\d; it is not shown", made.err)
    actor = users.by_token(db, made.out.strip(), now=utc_now())
    assert actor is not None
    assert actor.permissions == {"records:write"}
    listed = office("tokens", "list").out
    assert listed.startswith(f"{token}  crm@example.com  nightly  (records:write)  until ")
    assert made.out.strip() not in listed
    assert [t["id"] for t in office("tokens", "list", "--user", "crm@example.com", "--json").document["tokens"]] == [
        token
    ]
    assert office("tokens", "revoke", token).out == f"token {token} is revoked\n"
    assert users.by_token(db, made.out.strip(), now=utc_now()) is None
    assert office("tokens", "list").out == "no token is good\n"
    office("tokens", "revoke", "t_0").refuses("error: there is no token t_0; `relance tokens list` shows all")
    office(*add, "--expires", "2y").refuses('error: --expires "2y" is none of 1d to 365d')
    assert office(*add, "--scope", "all").err.startswith("error: --scope is one of: records:read, ")
    office("users", "disable", "crm@example.com")
    office(*add).refuses("error: crm@example.com is disabled")
