"""`relance doctor`: what is well, what is not, and the way out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.cli.output import counted
from app.settings import Settings, SettingsError
from app.wiring import open_store
from domain.delivery import DeliveryState, SendError
from notifiers.smtp import SmtpNotifier, SmtpServer
from rules.loader import check
from rules.problems import Problems, Severity
from rules.review import review
from store import due, outbox, people
from store.migrations import SchemaOutdated
from store.session import Database, StoreUnavailable

LATE = timedelta(minutes=5)  # a worker that runs is never further behind
SHOWN = 5  # customers that could not be evaluated, each with its reason


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
    """Every examination, those that cannot be made included. Nothing is changed and no mail is sent."""
    yield _keys(settings)
    yield _rules(settings)
    yield _mail(settings)
    try:
        with open_store(settings) as db:
            yield Finding(check="database", health=Health.OK, says=f"{db} answers, its schema is current")
            yield from _store(db, now=now)
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


def _mail(settings: Settings) -> Finding:
    server = settings.mail.server()
    try:
        asyncio.run(_knock(server))
    except SendError as refusal:
        do = "check the settings under `mail`"
        return Finding(check="mail", health=Health.ERROR, says=str(refusal), do=do)
    return Finding(check="mail", health=Health.OK, says=f"{server.host}:{server.port} answers")


async def _knock(server: SmtpServer) -> None:
    async with SmtpNotifier(server=server).open() as line:
        await line.check()


def _store(db: Database, *, now: datetime) -> Iterator[Finding]:
    known = people.load(db).by_id
    yield Finding(
        check="people",
        health=Health.OK if known else Health.WARNING,
        says=f"{len(known):,} known",
        do=None if known else "import people: without them reminders reach nobody",
    )
    late = due.due_count(db, now=now - LATE)
    yield Finding(
        check="worker",
        health=Health.WARNING if late else Health.OK,
        says=f"{counted(late, 'customer')} overdue by more than 5 minutes" if late else "nothing is late",
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
    counts = outbox.counts(db)
    stuck = {s: counts[s] for s in (DeliveryState.FAILED, DeliveryState.DEAD, DeliveryState.UNKNOWN) if counts.get(s)}
    yield Finding(
        check="deliveries",
        health=Health.WARNING if stuck else Health.OK,
        says=", ".join(f"{count:,} {state}" for state, count in stuck.items()) or "none is stuck",
        do=f"see them: relance deliveries list{''.join(f' --state {s}' for s in stuck)}" if stuck else None,
    )
