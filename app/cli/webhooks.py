"""`relance webhooks`: who is told what happens, what was sent to them, and sending it again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.output import CommandError, Exit, counted, moment, note, print_json, say, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from datetime import datetime

    from domain.subscription import Attempt, Subscription, WebhookDelivery
    from notifiers.webhook import Webhooks
    from store.session import Database

SOURCE = "command line"
PAGE = 200
TEST_LEASE_S = 60.0

webhooks = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Who is told what happens, and what was sent to them."
)

AnyEnum = TypeVar("AnyEnum", bound=StrEnum)
Id = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="The subscription's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@webhooks.command("list")
def list_(as_json: AsJson = False) -> None:
    """Everybody's subscriptions, by id."""
    from store import subscriptions

    found: list[Subscription] = []
    with _opened() as office:
        while page := subscriptions.listing(office.store, after=found[-1].id if found else "", limit=PAGE):
            found += page
        now = office.now
    if as_json:
        print_json({"subscriptions": [_row(each, now) for each in found]})
        return
    for each in found:
        say(f"{each.id}  {_doing(each, now)}  {each.url}  {', '.join(each.types) or 'all types'}")
    if not found:
        say("nobody subscribes: relance webhooks add URL --owner EMAIL")


@webhooks.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are posted.")],
    owner: Annotated[str, typer.Option(metavar="EMAIL", help="The user whose it is, and who hears when it fails.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type: recommendation.raised, action.requested, ...")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only of rules with this tag.")] = None,
    team: Annotated[list[str] | None, typer.Option(help="Only of this team.")] = None,
    product: Annotated[list[str] | None, typer.Option(help="Only about this product.")] = None,
    envelope: Annotated[str, typer.Option(help="standard or cloudevents.")] = "standard",
    signing: Annotated[str, typer.Option(help="v1: a secret; v1a: a key pair, whose public half is shown.")] = "v1",
    ordered: Annotated[
        bool, typer.Option("--ordered", help="A customer's events wait for the customer's event before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Post what happens to an address.

    Prints the secret, once.
    """
    import secrets

    from domain.event import EventType
    from domain.subscription import Envelope, Signing, Subscription
    from store import subscriptions, users

    types = _among(EventType, type_ or (), "--type")
    (wrapped,) = _among(Envelope, [envelope], "--envelope")
    (scheme,) = _among(Signing, [signing], "--signing")
    with _opened() as office:
        user = users.by_email(office.store, owner)
        if user is None:
            raise CommandError(f"there is no user {owner}; `relance users list` shows all")
        made = office.webhooks()
        if refusal := made.refusal(url):
            raise CommandError(refusal.reason)
        secret = made.sealer.make(scheme)
        new = Subscription(
            id=f"sub_{secrets.token_hex(6)}",
            owner=user.id,
            url=url,
            description=description,
            types=tuple(types),
            tags=tuple(tag or ()),
            teams=tuple(team or ()),
            products=tuple(product or ()),
            envelope=wrapped,
            signing=scheme,
            ordered=ordered,
            secrets=(secret.secret,),
            created_at=office.now,
        )
        subscriptions.add(office.store, new, source=SOURCE, now=office.now)
    _print_secret(new, secret.shown, office.now, as_json=as_json)


@webhooks.command()
def show(subscription: Id, as_json: AsJson = False) -> None:
    """A subscription, and how its endpoint is doing."""
    with _opened() as office:
        row = _row(office.find(subscription), office.now)
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        shown = ", ".join(map(str, value)) or "all" if isinstance(value, list) else value
        say(f"{name:15} {'-' if shown in (None, '') else shown}")


@webhooks.command("test")
def try_out(subscription: Id, as_json: AsJson = False) -> None:
    """Send a test now.

    Prints what was posted and what was answered.
    """
    import asyncio
    import secrets

    from domain.subscription import Result
    from notifiers.addresses import Refusal
    from store import webhooks as stored

    with _opened() as office:
        found, made = office.find(subscription), office.webhooks()
        endpoint = made.endpoint(found, now=office.now)
        if isinstance(endpoint, Refusal):
            raise CommandError(endpoint.reason)
        key = secrets.token_hex(6)
        delivery = stored.begin_test(office.store, found, key=key, owner=SOURCE, now=office.now, lease_s=TEST_LEASE_S)

        async def post() -> Attempt:
            async with made.outgoing.open() as http:
                return await endpoint.post(http, delivery.event, now=office.now)

        attempt = asyncio.run(post())
        stored.record(office.store, found.id, [Result(delivery=delivery, attempt=attempt)])
    if as_json:
        print_json(_attempt_row(attempt))
    else:
        for line in _exchange(attempt):
            say(line)
    if attempt.error is not None:
        stop(Exit.FINDINGS if attempt.status is not None else Exit.UNREACHABLE)


@webhooks.command()
def replay(
    subscription: Id,
    event: Annotated[str | None, typer.Option(help="One event, by its id.")] = None,
    since: Annotated[str | None, typer.Option(help="All since this moment, what was never sent included.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that was given up.")] = False,
) -> None:
    """Send again, with the ids that they had."""
    from store import webhooks as stored

    if [event is not None, since is not None, failed].count(True) != 1:
        raise CommandError("say what to send again: one of --event ID, --since MOMENT, --failed")
    begin = moment(since, "--since") if since else None
    with _opened() as office:
        found = office.find(subscription)
        if found.disabled_at is not None:
            raise CommandError(f"{subscription} is disabled; first: relance webhooks enable {subscription}")
        if event is not None:
            queued = stored.replay_event(office.store, found, event, now=office.now)
        elif begin is not None:
            queued = stored.replay_since(office.store, found, begin, now=office.now)
        else:
            queued = stored.replay_failed(office.store, found, now=office.now)
    if queued is None:
        raise CommandError(f"there is no event {event} that {subscription} asks for")
    say(f"{counted(queued, 'event')} queued again")


@webhooks.command("rotate-secret")
def rotate_secret(
    subscription: Id,
    old_valid_for: Annotated[
        int, typer.Option(min=0, max=168, metavar="HOURS", help="How long the old one signs as well; 0: it was stolen.")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """A new secret, printed once."""
    from domain.subscription import TooManySecrets

    with _opened() as office:
        secret = office.webhooks().sealer.make(office.find(subscription).signing)
        overlap = timedelta(hours=old_valid_for)
        try:
            after = office.change(
                subscription,
                lambda before: before.rotated(secret.secret, overlap=overlap, now=office.now),
                action="secret-rotated",
            )
        except TooManySecrets as refusal:
            raise CommandError(f"{refusal}: --old-valid-for 0", Exit.REFUSED) from None
    _print_secret(after, secret.shown, office.now, as_json=as_json)


@webhooks.command()
def remove(
    subscription: Id, yes: Annotated[bool, typer.Option("--yes", help="Yes, and the log of what was sent.")] = False
) -> None:
    """Send nothing to it any more, and forget it."""
    from store import subscriptions

    with _opened() as office:
        found = office.find(subscription)
        if not yes:
            raise CommandError(f"{found.id} to {found.url} would be removed, with its log; add --yes", Exit.REFUSED)
        subscriptions.remove(office.store, subscription, source=SOURCE, now=office.now)
    say(f"{subscription} is removed")


@webhooks.command()
def enable(subscription: Id) -> None:
    """Send again.

    What happened meanwhile was not queued: replay it by --since.
    """
    with _opened() as office:
        office.change(subscription, lambda before: before.enabled(), action="enabled")
    say(f"{subscription} is enabled")


@webhooks.command()
def disable(subscription: Id) -> None:
    """Send nothing for now.

    What waits is cancelled.
    """
    with _opened() as office:
        reason = f"by the {SOURCE}"
        office.change(subscription, lambda before: before.disabled(at=office.now, reason=reason), action="disabled")
    say(f"{subscription} is disabled")


@webhooks.command("log")
def log_(
    subscription: Id,
    delivery: Annotated[int | None, typer.Option(help="One delivery by its number, with each attempt.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state: ready, delivered, failed, ...")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What was sent, the latest first."""
    from domain.subscription import WebhookState
    from store import webhooks as stored

    states = _among(WebhookState, state or (), "--state")
    with _opened() as office:
        found = office.find(subscription)
        if delivery is not None:
            one = stored.get(office.store, found.id, delivery)
            if one is None:
                raise CommandError(f"there is no delivery {delivery} to {subscription}")
            _print_delivery(*one, as_json=as_json)
            return
        latest = stored.listing(office.store, found.id, states=states, limit=limit)
    if as_json:
        print_json({"deliveries": [_delivery_row(each) for each in latest]})
        return
    for each in latest:
        say(_line(each))
    if not latest:
        say("nothing was sent yet")


# --- what commands work on ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Office:
    store: Database
    now: datetime
    webhooks: Callable[[], Webhooks]

    def find(self, subscription: str) -> Subscription:
        from store import subscriptions

        found = subscriptions.get(self.store, subscription)
        if found is None:
            raise CommandError(f"there is no subscription {subscription}; `relance webhooks list` shows all")
        return found

    def change(self, subscription: str, to: Callable[[Subscription], Subscription], *, action: str) -> Subscription:
        from store import subscriptions

        self.find(subscription)
        after = subscriptions.change(self.store, subscription, to, action=action, source=SOURCE, now=self.now)
        assert after is not None
        return after


@contextmanager
def _opened() -> Generator[_Office]:
    from app.settings import load_settings
    from app.wiring import open_store, utc_now, webhooks_of

    settings = load_settings()
    with open_store(settings) as store:
        yield _Office(store=store, now=utc_now(), webhooks=lambda: webhooks_of(settings))


def _among(kind: type[AnyEnum], words: Collection[str], option: str) -> list[AnyEnum]:
    try:
        return [kind(word) for word in words]
    except ValueError:
        raise CommandError(f"{option} is one of: {', '.join(kind)}") from None


# --- telling ---


def _print_secret(subscription: Subscription, shown: str, now: datetime, *, as_json: bool) -> None:
    if as_json:
        print_json(_row(subscription, now) | {"secret": shown})
        return
    kind = "its public key, which verifies" if shown.startswith("whpk_") else "its secret, which is not shown again"
    note(f"{subscription.id} to {subscription.url}; {kind}:")
    say(shown)


def _doing(subscription: Subscription, now: datetime) -> str:
    if subscription.disabled_at is not None:
        return "disabled"
    if subscription.is_held(now):
        return f"waits until {subscription.open_until:%H:%M:%S} UTC"
    return f"failed {subscription.failures} times" if subscription.failures else "ok"


def _row(subscription: Subscription, now: datetime) -> dict[str, object]:
    secrets = [secret for secret in subscription.secrets if secret.is_valid(now)]
    return {
        "id": subscription.id,
        "doing": _doing(subscription, now),
        "url": subscription.url,
        "description": subscription.description,
        "owner": subscription.owner,
        "types": [type_.value for type_ in subscription.types],
        "tags": list(subscription.tags),
        "teams": list(subscription.teams),
        "products": list(subscription.products),
        "envelope": subscription.envelope.value,
        "signing": subscription.signing.value,
        "ordered": subscription.ordered,
        "public_keys": [secret.public for secret in secrets if secret.public],
        "secrets": len(secrets),
        "created_at": subscription.created_at,
        "disabled_at": subscription.disabled_at,
        "disabled_reason": subscription.disabled_reason,
        "failures": subscription.failures,
        "failing_since": subscription.failing_since,
        "held_until": subscription.open_until if subscription.is_held(now) else None,
        "succeeded_at": subscription.succeeded_at,
        "last_error": subscription.last_error,
    }


def _delivery_row(delivery: WebhookDelivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "event": delivery.event.id,
        "type": delivery.event.type.value,
        "customer": delivery.event.customer,
        "state": delivery.state.value,
        "due_at": delivery.due_at,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "settled_at": delivery.settled_at,
    }


def _attempt_row(attempt: Attempt) -> dict[str, object]:
    return {
        "at": attempt.at,
        "duration_ms": attempt.duration_ms,
        "url": attempt.url,
        "request_headers": dict(attempt.request_headers),
        "request_body": attempt.request_body.decode(),
        "status": attempt.status,
        "answer_headers": None if attempt.answer_headers is None else dict(attempt.answer_headers),
        "answer_body": None if attempt.answer_body is None else attempt.answer_body.decode(errors="replace"),
        "error": attempt.error,
    }


def _line(delivery: WebhookDelivery) -> str:
    ended = delivery.last_error or (f"answered {delivery.last_status}" if delivery.last_status else "")
    tries = counted(delivery.attempts, "attempt")
    about = f"{delivery.event.id}  {delivery.event.type}  {delivery.event.customer or '-'}"
    return f"{delivery.id:>6}  {delivery.due_at.isoformat()}  {delivery.state:9}  {about}  {tries}  {ended}"


def _print_delivery(delivery: WebhookDelivery, attempts: list[Attempt], *, as_json: bool) -> None:
    if as_json:
        print_json(_delivery_row(delivery) | {"tried": [_attempt_row(attempt) for attempt in attempts]})
        return
    say(_line(delivery))
    for attempt in attempts:
        say()
        for line in _exchange(attempt):
            say(line)


def _exchange(attempt: Attempt) -> Generator[str]:
    yield f"POST {attempt.url}  {attempt.at.isoformat()}"
    yield from (f"{name}: {value}" for name, value in attempt.request_headers.items())
    yield f"\n{attempt.request_body.decode()}\n"
    if attempt.status is not None:
        yield f"answered {attempt.status} after {attempt.duration_ms:,} ms"
        yield from (f"{name}: {value}" for name, value in (attempt.answer_headers or {}).items())
        yield f"\n{(attempt.answer_body or b'').decode(errors='replace')}"
    if attempt.error is not None:
        yield attempt.error
