"""`relance doctor`: what is well, what is not, and the way out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.chats import chats
from app.cli.output import counted
from app.settings import Settings, SettingsError
from app.wiring import open_store
from domain.delivery import STUCK, Channel, DeliveryState, Purpose
from notifiers.addresses import Refusal, deliverable
from rules.loader import check
from rules.problems import Problems, Severity, unknown
from rules.review import review
from scheduler.ledger import SWEEP, SWEEP_EVERY
from store import chain, due, followups, outbox, people, suppressions, ticks
from store.migrations import SchemaOutdated
from store.session import Database, StoreUnavailable

LATE = timedelta(minutes=5)  # a worker that runs is never further behind
ENTRIES = 20_000  # of the audit: what is looked at within a second
SHOWN = 5  # of what may be wrong with many customers or people


class Health(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One examination. `do` is the way out; None where nothing needs doing."""

    check: str
    health: Health
    says: str
    do: str | None = None


def examine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Settings, rules, chats, the database and what waits in it, whatever cannot be examined included.

    Nothing is changed. What concerns mail is in `app.mail_checks`.
    """
    yield _keys(settings)
    yield _rules(settings)
    yield from _chats(settings)
    yield _heartbeat(settings)
    try:
        with open_store(settings) as db:
            yield Finding(check="database", health=Health.OK, says=f"{db} answers, its schema is current")
            yield from _people(settings, db)
            yield from _store(db, now=now)
            yield _audit(db, now=now)
            yield _retention(db, now=now)
    except (StoreUnavailable, SettingsError) as failure:
        yield Finding(check="database", health=Health.ERROR, says=str(failure), do="check the setting `database`")
    except SchemaOutdated as failure:
        yield Finding(check="database", health=Health.ERROR, says=str(failure), do="run: relance db upgrade")


def _keys(settings: Settings) -> Finding:
    try:
        count = len(settings.keys())
    except SettingsError as failure:
        return Finding(check="settings", health=Health.ERROR, says="no key to sign links with", do=str(failure))
    return Finding(check="settings", health=Health.OK, says=f"readable, {counted(count, 'signing key')}")


def _rules(settings: Settings) -> Finding:
    checked = check(settings.rules)
    if checked.problems.errors:
        says = f"{counted(len(checked.problems.errors), 'error')} in {', '.join(settings.rules)}"
        return Finding(check="rules", health=Health.ERROR, says=says, do="run: relance rules check")
    if not checked.rulebase.rules:
        return Finding(check="rules", health=Health.WARNING, says="there are no rules", do="set `rules`")
    read = counted(len(checked.rulebase.rules), "rule")
    found = review(checked)
    if not found:
        return Finding(check="rules", health=Health.OK, says=f"{read}, no errors")
    health = Health.ERROR if found.errors else Health.WARNING
    return Finding(check="rules", health=health, says=f"{read}, {_worst(found)}", do="run: relance rules check")


def _worst(found: Problems) -> str:
    errors = len(found.errors)
    worst = min(found, key=lambda problem: (problem.severity is Severity.WARNING, problem.code))
    counts = f"{counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}"
    return f"{counts}; the worst: {worst.place.file}:{worst.place.line}: {worst.code} {worst.message}"


# --- chats ---

# The addresses that the settings name, by channel. Slack's bot needs none: it writes to ids.
NAMED: Mapping[Channel, Callable[[Settings], Mapping[str, object]]] = {
    Channel.SLACK_WEBHOOK: lambda settings: settings.slack.webhooks,
    Channel.TEAMS: lambda settings: settings.teams.webhooks,
    Channel.MATTERMOST: lambda settings: settings.mattermost.webhooks,
    Channel.APPRISE: lambda settings: settings.apprise.urls,
}


def chat_problem(settings: Settings, chat: str) -> str | None:
    """Why nothing can be sent to a place in a chat, as in `Person.chat`; None: it can."""
    kind, _, place = chat.partition(":")
    if kind not in (Channel.SLACK, *NAMED) or not place:
        return (
            f"this is no place in a chat; write slack:U024BE7LH, or {', '.join(NAMED)} with a name, as in teams:sales"
        )
    if kind == Channel.SLACK:
        return None if settings.slack.token else "slack is not set up: there is no slack.token"
    named = NAMED[Channel(kind)](settings)
    if not named:
        return f"{kind} is not set up: the settings name no address for it"
    return None if place in named else unknown(f"{kind} address", place, named)


def _chats(settings: Settings) -> Iterator[Finding]:
    try:
        known = chats(settings, language="en")
    except SettingsError as failure:
        yield Finding(check="chat", health=Health.ERROR, says=str(failure), do="correct it; nothing is sent until then")
        return
    yield Finding(check="chat", health=Health.OK, says=f"{', '.join(known) or 'none'} set up")
    if settings.slack.token and not settings.slack.signing_secret:
        yield Finding(
            check="chat",
            health=Health.WARNING,
            says="presses of buttons in slack are refused: there is no slack.signing_secret",
            do="set it to the signing secret on the app's page at Slack, under Basic Information",
        )


def _heartbeat(settings: Settings) -> Finding:
    if settings.heartbeat_url:
        return Finding(check="heartbeat", health=Health.OK, says="set")
    return Finding(
        check="heartbeat",
        health=Health.WARNING,
        says="not set: nobody is called when the worker stops",
        do="set `heartbeat_url` to the address of a service that calls you when it is not called any more",
    )


# --- people ---


def _people(settings: Settings, db: Database) -> Iterator[Finding]:
    known = list(people.load(db).by_id.values())
    unusable = [(person, verdict) for person in known if isinstance(verdict := deliverable(person.email), Refusal)]
    if unusable:
        says = f"{len(unusable):,} without a usable address: {_first(f'{p.id} ({v.reason})' for p, v in unusable)}"
        do = "correct their addresses and import them again"
        yield Finding(check="people", health=Health.WARNING, says=says, do=do)
    found = suppressions.of(db, [person.email for person in known])
    silent = [(person, why) for person in known if (why := found.get(person.email.casefold()))]
    if silent:
        named = _first(f"{person.id} ({why.reason} on {why.since:%Y-%m-%d})" for person, why in silent)
        says = f"{len(silent):,} to whom no mail is sent: {named}"
        do = "see why, and lift it where the address is right: relance deliveries suppressed"
        yield Finding(check="people", health=Health.WARNING, says=says, do=do)
    if not known:
        do = "import people: without them reminders reach nobody"
        yield Finding(check="people", health=Health.WARNING, says="0 known", do=do)
    elif not unusable and not silent:
        says = f"{len(known):,} known, and all can be written to"
        yield Finding(check="people", health=Health.OK, says=says)
    lost = [(person, problem) for person in known if person.chat and (problem := chat_problem(settings, person.chat))]
    for person, problem in lost[:SHOWN]:
        do = "correct the setting, or the person's chat"
        yield Finding(check="chat", health=Health.WARNING, says=f"{person.id} hears in {person.chat}: {problem}", do=do)
    if (more := len(lost) - SHOWN) > 0:
        yield Finding(
            check="chat", health=Health.WARNING, says=f"{more:,} more people hear in chats that are not set up"
        )


def _first(words: Iterable[str]) -> str:
    every = list(words)
    more = f" and {len(every) - SHOWN:,} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


# --- what waits ---


def _store(db: Database, *, now: datetime) -> Iterator[Finding]:
    counts = outbox.counts(db)
    late = list(_late(db, ready=counts.get(DeliveryState.READY, 0), now=now))
    yield Finding(
        check="worker",
        health=Health.WARNING if late else Health.OK,
        says=f"{', '.join(late)} overdue by more than 5 minutes" if late else "nothing is late",
        do="run: relance worker" if late else None,
    )
    failed = due.failed(db)
    for failure in failed[:SHOWN]:
        yield Finding(
            check="customer",
            health=Health.ERROR,
            says=f"{failure.dossier} could not be evaluated: {failure.reason}",
            do=f"correct its data; tried again at {failure.retry_at.isoformat()}",
        )
    if (more := len(failed) - SHOWN) > 0:
        yield Finding(check="customer", health=Health.ERROR, says=f"{more:,} more could not be evaluated")
    stuck = {s: counts[s] for s in STUCK if counts.get(s)}
    yield Finding(
        check="deliveries",
        health=Health.WARNING if stuck else Health.OK,
        says=", ".join(f"{count:,} {state}" for state, count in stuck.items()) or "none is stuck",
        do=f"see them: relance deliveries list{''.join(f' --state {s}' for s in stuck)}" if stuck else None,
    )


def _audit(db: Database, *, now: datetime) -> Finding:
    verified = chain.verify(db, late=now - LATE, most=ENTRIES)
    if verified.faults:
        do = "see all of it: relance audit verify"
        return Finding(check="audit", health=Health.ERROR, says="; ".join(verified.faults[:SHOWN]), do=do)
    if verified.unsealed:
        says = f"not sealed for 5 minutes: {verified.unsealed:,}"
        return Finding(check="audit", health=Health.WARNING, says=says, do="run: relance worker")
    last = "the last " if verified.last.position > verified.entries else ""
    says = f"{last}{verified.entries:,} entries are as they were sealed"
    return Finding(check="audit", health=Health.OK, says=says)


def _retention(db: Database, *, now: datetime) -> Finding:
    swept = ticks.last_slot(db, SWEEP)
    if swept is None:
        return Finding(check="retention", health=Health.OK, says="nothing was removed yet; a running worker does it")
    late = now - swept > 2 * SWEEP_EVERY
    return Finding(
        check="retention",
        health=Health.WARNING if late else Health.OK,
        says=f"what was kept long enough was removed on {swept:%Y-%m-%d}",
        do="run: relance worker" if late else None,
    )


def _late(db: Database, *, ready: int, now: datetime) -> Iterator[str]:
    """What should have happened by now. `ready`: how many deliveries are."""
    before = now - LATE
    waiting = outbox.overdue(db, before=before, now=now)
    first = outbox.listing(db, states=[DeliveryState.READY], limit=ready) if waiting and ready else []
    digests = sum(each.purpose is Purpose.DIGEST and each.due_at < before for each in first)
    counts = {
        "customer": due.due_count(db, now=before),
        "follow-up": followups.overdue(db, before=before),
        "message": waiting - digests,
        "digest": digests,
    }
    yield from (counted(count, noun) for noun, count in counts.items() if count)
