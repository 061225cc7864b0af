"""`relance evaluate` and `relance simulate`: from files, without a database."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from app.cli.output import CommandError, Exit, counted, moment, print_json, say, stop
from rules.plain import plain, shown

if TYPE_CHECKING:
    from domain.recommendation import Match
    from domain.record import Dossier
    from rules.explain import Reason
    from rules.model import Facts
    from rules.rulebase import Decision, RuleBase

Rules = Annotated[
    list[str], typer.Option("--rules", help="A pack: a folder, a file, or a built-in one by name. In stacking order.")
]
Dossiers = Annotated[
    str, typer.Option("--dossiers", help="A JSONL file with one customer a line; - reads standard input.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


DAY_LIMIT_S = 1.0  # on top of what a decision may take, for each day that is simulated

Failed: TypeAlias = list[dict[str, Any]]
"""What could not be decided: customer, line, reason."""
Numbered: TypeAlias = "tuple[int, Dossier]"
"""A dossier after the line that it stands on."""
Decided: TypeAlias = tuple[str, datetime | None, list[dict[str, Any]]]
"""(customer, when to look again, what is recommended)"""
Answer = TypeVar("Answer")


def evaluate(
    rules: Rules,
    dossiers: Dossiers,
    now: Annotated[str, typer.Option(help="The moment to decide at: 2026-11-23T09:00:00+01:00")],
    as_json: AsJson = False,
) -> None:
    """Decide about the customers of a file at one moment.

    What is recommended, why, and when to look again.
    """
    from rules.loader import load

    at = moment(now, "--now")
    rulebase = load(rules)
    recommendations: list[dict[str, Any]] = []
    next_check: dict[str, datetime | None] = {}
    failed: Failed = []
    for customer, check, found in _answers(rulebase, partial(_decided, at), dossiers_of(dossiers, failed), failed):
        next_check[customer] = check
        recommendations += found
    recommendations.sort(key=lambda r: (r["customer"], r["rule"], r["subject"]["kind"], r["subject"]["id"]))
    if as_json:
        checks = dict(sorted(next_check.items()))
        print_json({**_head(at, rulebase), "recommendations": recommendations, "next_check": checks, "failed": failed})
    else:
        _print_recommendations(recommendations, len(next_check), failed)
    if failed:
        stop(Exit.FINDINGS)


def simulate(
    rules: Rules,
    dossiers: Dossiers,
    since: Annotated[str, typer.Option("--from", help="Where the simulation begins: 2026-11-23T00:00:00+01:00")],
    days: Annotated[int, typer.Option(min=0, max=36_500, help="How many days forward.")] = 90,
    as_json: AsJson = False,
) -> None:
    """What time alone would raise and resolve, from a file.

    As an uninterrupted run would, if nobody wrote or acted.
    """
    from rules.loader import load

    begin = moment(since, "--from")
    try:
        until = begin + timedelta(days=days)
    except OverflowError:
        raise CommandError(f"--days {days} goes beyond the year 9999") from None
    rulebase = load(rules)
    events: list[dict[str, Any]] = []
    failed: Failed = []
    foresee = partial(_foreseen, begin, until)
    for found in _answers(rulebase, foresee, dossiers_of(dossiers, failed), failed, days=days):
        events += found
    events.sort(key=lambda e: (e["at"], e["customer"], e["rule"], e["subject"]["kind"], e["subject"]["id"], e["event"]))
    if as_json:
        print_json({**_head(begin, rulebase), "events": events, "failed": failed})
    else:
        for event in events:
            subject = f"{event['subject']['kind']} {event['subject']['id']}"
            say(f"{event['at'].isoformat()}  {event['event']:8}  {event['rule']}  {event['customer']}  {subject}")
        _print_failed(failed)
    if failed:
        stop(Exit.FINDINGS)


def _head(at: datetime, rulebase: RuleBase) -> dict[str, Any]:
    return {"schema": 1, "now": at, "rulebase": rulebase.hash}


def dossiers_of(source: str, failed: Failed) -> Iterator[tuple[int, Dossier]]:
    """The readable dossiers with their lines; those that cannot be read are added to `failed`."""
    from rules.lines import BadLine, read_dossiers

    with _lines(source) as lines:
        for line, dossier in read_dossiers(lines):
            if isinstance(dossier, BadLine):
                failed.append(_failure(line, dossier.customer, dossier.reason))
            else:
                yield line, dossier


def _failure(line: int, customer: str | None, reason: str) -> dict[str, Any]:
    return {"customer": customer, "line": line, "reason": reason}


@contextmanager
def _lines(source: str) -> Generator[Iterable[str]]:
    if source == "-":
        yield _decoded(sys.stdin.buffer)
        return
    try:
        with Path(source).open("rb") as file:
            yield _decoded(file)
    except OSError as failure:
        raise CommandError(f"--dossiers {source} cannot be read: {failure.strerror}") from None


def _decoded(raw: Iterable[bytes]) -> Iterator[str]:
    """Line by line, so that one line in another encoding does not spoil the rest."""
    for number, line in enumerate(raw):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8", errors="surrogateescape")


def _answers(
    rulebase: RuleBase,
    decide: Callable[[RuleBase, Numbered], Answer],
    dossiers: Iterable[Numbered],
    failed: Failed,
    *,
    days: int = 0,
) -> Iterator[Answer]:
    """What is decided about each, in any order; those about whom nothing can be decided are added to `failed`.

    In processes, for the rule engine may end the one it is in. They are forked: this one has no threads unless it is
    not only this command's, and starting anew would take longer than deciding about a few customers.
    """
    from scheduler.processes import DECISION_LIMIT_S, Processes, Unusable
    from scheduler.processes import Failed as NoAnswer

    limit_s = DECISION_LIMIT_S + days * DAY_LIMIT_S
    with Processes(rulebase, limit_s=limit_s, fork=threading.active_count() == 1) as processes:
        try:
            for (line, dossier), answer in processes.each(decide, dossiers):
                if isinstance(answer, NoAnswer):
                    failed.append(_failure(line, dossier.id, answer.reason))
                else:
                    yield answer
        except Unusable as failure:
            raise CommandError(f"with these rules nothing can be decided: {failure}") from None
    failed.sort(key=lambda failure: failure["line"])


def _decided(at: datetime, rulebase: RuleBase, numbered: Numbered) -> Decided:
    _, dossier = numbered
    decision = rulebase.decide(dossier, now=at)
    return dossier.id, _local(decision.next_check, rulebase), list(_recommendations(rulebase, decision))


def _foreseen(begin: datetime, until: datetime, rulebase: RuleBase, numbered: Numbered) -> list[dict[str, Any]]:
    from rules.simulate import simulate

    _, dossier = numbered
    return [
        {
            "at": event.at if event.at == begin else _local(event.at, rulebase),
            "event": event.event,
            "rule": event.match.rule,
            "customer": event.dossier,
            "subject": _subject(event.match),
        }
        for event in simulate(rulebase, dossier, since=begin, until=until)
    ]


def _recommendations(rulebase: RuleBase, decision: Decision) -> Iterator[dict[str, Any]]:
    facts = decision.facts
    held = rulebase.held_back(decision.matches, decision.limited)
    for match in decision.matches:
        advice = rulebase.advise(match, facts, opened_at=decision.now)
        yield {
            "rule": match.rule,
            "customer": decision.dossier,
            "subject": _subject(match),
            "recommend": advice.recommend.value,
            "say": advice.say,
            "do": advice.do,
            "worth": plain(advice.worth),
            "due": plain(advice.due),
            "to": list(advice.to),
            "held_back_by": list(held.get(match, ())),
            # Only where it reminds nobody: draft, shadow, outside the percentage or the team.
            **({"reach": decision.limited[match].value} if match in decision.limited else {}),
            "because": [_because(r, rulebase, facts) for r in rulebase.why(match, facts)],
        }


def _because(reason: Reason, rulebase: RuleBase, facts: Facts) -> dict[str, Any]:
    return {
        "condition": reason.condition,
        "value": plain(reason.value),
        "holds": reason.holds,
        "until": plain(_local(reason.until, rulebase)),
    }


def _local(at: datetime | None, rulebase: RuleBase) -> datetime | None:
    return None if at is None else rulebase.office.local(at)


def _subject(match: Match) -> dict[str, str]:
    return {"kind": match.subject.kind, "id": match.subject.id}


def _print_recommendations(found: list[dict[str, Any]], customers: int, failed: Failed) -> None:
    for r in found:
        say(f"{r['customer']}  {r['recommend'].upper()}  {r['rule']}  {r['subject']['kind']} {r['subject']['id']}")
        say(f"    {r['say']}")
        say(f"    to {', '.join(r['to']) or 'nobody'}, due {r['due'] or '-'}, worth {r['worth'] or '-'}")
        for reason in r["because"]:
            say(f"    ✓ {reason['condition']}  ({shown(reason['value'])})")
    say(f"{counted(len(found), 'recommendation')} for {counted(customers, 'customer')}")
    _print_failed(failed)


def _print_failed(failed: Failed) -> None:
    for failure in failed:
        say(f"failed: line {failure['line']}, customer {failure['customer'] or '?'}: {failure['reason']}")
