"""`relance users` and `relance tokens`: who may sign in, and what acts for them."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, print_json, say

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime, timedelta

    from domain.access import Permission, Role
    from store.session import Database
    from store.users import User

SOURCE = "command line"
PAGE = 200

users = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may sign in, in which role.")
tokens = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What acts for a user through the API.")

Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@users.command()
def add(
    email: Email,
    role: Annotated[str, typer.Option(help="sales, manager, product-manager, admin or integrator.")],
    name: Annotated[str | None, typer.Option(help="How pages address them; without, by their address.")] = None,
    person: Annotated[str | None, typer.Option(help="The person whose reminders these are, by id.")] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="They sign in with OpenID Connect, or are only acted for by tokens.")
    ] = False,
) -> None:
    """Somebody may sign in.

    Asks for the password, or reads it from standard input.
    """
    from notifiers.addresses import Refusal, deliverable
    from store import people
    from store import users as stored

    if isinstance(refusal := deliverable(email), Refusal):
        raise CommandError(f"{email}: {refusal.reason}")
    as_role = _role(role)
    with _opened() as (store, now):
        if stored.by_email(store, email):
            raise CommandError(f"there is a user {email.lower()} already; `relance users list` shows all")
        if person is not None and people.load(store).get(person) is None:
            raise CommandError(f'there is no person "{person}"')
        with _refusals():
            user = stored.add(
                store,
                email=email,
                name=name or email,
                role=as_role,
                person=person,
                password=None if no_password else _password(),
                source=SOURCE,
                now=now,
            )
        say(f"{user.email} may sign in as {user.role}")


@users.command("list")
def list_users(as_json: AsJson = False) -> None:
    """Everybody, by address."""
    with _opened() as (store, _):
        found = list(_everybody(store))
    if as_json:
        print_json(
            {
                "users": [
                    {
                        "id": user.id,
                        "email": user.email,
                        "name": user.name,
                        "role": user.role.value,
                        "person": user.person,
                        "created_at": user.created_at,
                        "disabled_at": user.disabled_at,
                    }
                    for user in found
                ]
            }
        )
        return
    for user in found:
        since = f"  disabled since {user.disabled_at:%Y-%m-%d}" if user.disabled_at else ""
        person = f"  person {user.person}" if user.person else ""
        say(f"{user.email}  {user.role}{person}{since}")
    if not found:
        say("nobody may sign in yet: relance users add EMAIL --role admin")


@users.command("set-role")
def set_role(email: Email, role: Annotated[str, typer.Argument(help="The new role.")]) -> None:
    """Another role.

    With less than before, sessions and tokens end.
    """
    as_role = _role(role)
    _change(email, role=as_role)
    say(f"{email.lower()} is {as_role} now")


@users.command("set-password")
def set_password(email: Email) -> None:
    """Another password, which ends their sessions.

    Asks for it, or reads it from standard input.
    """
    from store import users as stored

    with _opened() as (store, now):
        user = _user(store, email)
        with _refusals():
            stored.set_password(store, user, _password(), source=SOURCE, now=now)
    say(f"{user.email} has a new password")


@users.command()
def disable(email: Email) -> None:
    """They may not sign in any more.

    Their sessions and tokens end at once.
    """
    from app.wiring import utc_now

    _change(email, disabled_at=utc_now())
    say(f"{email.lower()} is disabled")


@users.command()
def enable(email: Email) -> None:
    """They may sign in again.

    Their tokens stay revoked.
    """
    _change(email, disabled_at=None)
    say(f"{email.lower()} may sign in")


@tokens.command("add")
def add_token(
    user: Annotated[str, typer.Option(metavar="EMAIL", help="For whom it acts.")],
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do, as records:write; without, all that its user may.")
    ] = None,
    expires: Annotated[str, typer.Option(help="How long it is good, in days; at most a year.")] = "365d",
) -> None:
    """A new token, printed once."""
    from store import users as stored

    lasting, scopes = _days(expires), _scopes(scope)
    with _opened() as (store, now):
        owner = _user(store, user)
        if owner.disabled_at is not None:
            raise CommandError(f"{owner.email} is disabled")
        token, text = stored.issue(
            store, user=owner.id, name=name, scopes=scopes, expires_at=now + lasting, source=SOURCE, now=now
        )
    typer.echo(
        f"token {token.id} for {owner.email}, until {token.expires_at:%Y-%m-%d}; it is not shown again:", err=True
    )
    say(text)


@tokens.command("list")
def list_tokens(
    user: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only this user's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tokens that are good now."""
    from store import users as stored

    with _opened() as (store, now):
        owner = _user(store, user) if user else None
        emails = {each.id: each.email for each in _everybody(store)}
        found, after = [], ""
        while page := stored.token_listing(store, user=owner.id if owner else None, after=after, limit=PAGE):
            found += [token for token in page if token.is_live(now)]
            after = page[-1].id
    if as_json:
        print_json(
            {
                "tokens": [
                    {
                        "id": token.id,
                        "user": emails[token.user],
                        "name": token.name,
                        "scopes": None if token.scopes is None else sorted(token.scopes),
                        "expires_at": token.expires_at,
                        "used_at": token.used_at,
                    }
                    for token in found
                ]
            }
        )
        return
    for token in found:
        may = "all" if token.scopes is None else ", ".join(sorted(token.scopes))
        until = f"until {token.expires_at:%Y-%m-%d}" if token.expires_at else "without end"
        used = f"last used {token.used_at:%Y-%m-%d}" if token.used_at else "never used"
        say(f"{token.id}  {emails[token.user]}  {token.name}  ({may})  {until}, {used}")
    if not found:
        say("no token is good")


@tokens.command()
def revoke(token: Annotated[str, typer.Argument(help="The token's id.")]) -> None:
    """End a token, at once and for good."""
    from store import users as stored

    with _opened() as (store, now):
        if not stored.revoke(store, token, source=SOURCE, now=now):
            raise CommandError(f"there is no token {token}; `relance tokens list` shows all")
    say(f"token {token} is revoked")


# --- what is written on the command line ---


@contextmanager
def _opened() -> Generator[tuple[Database, datetime]]:
    from app.settings import load_settings
    from app.wiring import open_store, utc_now

    with open_store(load_settings()) as store:
        yield store, utc_now()


@contextmanager
def _refusals() -> Generator[None]:
    """What the store refuses, as a command says it."""
    from store.passwords import Weak
    from store.users import LastAdmin, Taken

    try:
        yield
    except (Weak, LastAdmin) as refusal:
        raise CommandError(str(refusal)) from None
    except Taken as taken:
        raise CommandError(f"there is a user {taken} already") from None


def _change(email: str, **changes: object) -> None:
    from store import users as stored

    with _opened() as (store, now), _refusals():
        stored.change(store, _user(store, email).id, changes, source=SOURCE, now=now)


def _user(store: Database, email: str) -> User:
    from store import users as stored

    user = stored.by_email(store, email)
    if user is None:
        raise CommandError(f"there is no user {email}; `relance users list` shows all")
    return user


def _everybody(store: Database) -> Generator[User]:
    from store import users as stored

    after = ""
    while page := stored.listing(store, after=after, limit=PAGE):
        yield from page
        after = page[-1].email


def _password() -> str:
    """Typed twice on a terminal; else the first line of standard input."""
    if sys.stdin.isatty():
        return typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return sys.stdin.readline().rstrip("\r\n")


def _role(word: str) -> Role:
    from domain.access import Role

    try:
        return Role(word)
    except ValueError:
        raise CommandError(f'"{word}" is no role; the roles are {", ".join(Role)}') from None


def _scopes(words: list[str] | None) -> list[Permission] | None:
    from domain.access import Permission

    try:
        return [Permission(word) for word in words or ()] or None
    except ValueError:
        raise CommandError(f"--scope is one of: {', '.join(Permission)}") from None


def _days(text: str) -> timedelta:
    from datetime import timedelta

    from store.users import TOKEN_DAYS_MAX

    found = re.fullmatch("([0-9]{1,4})d?", text)
    if not found or not 1 <= int(found[1]) <= TOKEN_DAYS_MAX:
        raise CommandError(f'--expires "{text}" is none of 1d to {TOKEN_DAYS_MAX}d')
    return timedelta(days=int(found[1]))
