"""`relance rules`: check, test and explain a rule base."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.files import dossiers_of
from app.cli.output import CommandError, Exit, counted, moment, note, plain, print_json, say, shown, stop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from domain.person import People
    from domain.record import Dossier
    from rules.explain import Reason
    from rules.problems import Problem
    from rules.rule import Rule
    from rules.rulebase import RuleBase

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, test and explain rules.")

Paths = Annotated[
    list[str] | None,
    typer.Argument(help="Packs in stacking order: folders, files, built-in names. The settings' rules unless given."),
]


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


@app.command()
def check(
    paths: Paths = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print what is found.")] = Format.TEXT,
) -> None:
    """Every problem of a rule base: where it is, and the way out."""
    from rules.loader import check as run

    checked = run(_packs(paths))
    problems = checked.problems
    match format_:
        case Format.JSON:
            print_json({"rules": len(checked.rulebase.rules), "problems": [_problem(p) for p in problems]})
        case Format.GITHUB:
            for problem in problems:
                say(_annotation(problem))
        case Format.TEXT:
            for problem in problems:
                say(f"{problem}\n")
            errors = len(problems.errors)
            found = f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}"
            say(f"{counted(len(checked.rulebase.rules), 'rule')} read, {found if problems else 'no problems'}")
    if problems.errors:
        stop(Exit.FINDINGS)


@app.command("test")
def run_tests(
    paths: Paths = None,
    name: Annotated[
        str | None, typer.Option("-k", metavar="NAME", help="Only rules or tests with this in their name.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="List every condition that no test ever made false.")
    ] = False,
) -> None:
    """Play the tests that stand beside the rules."""
    from rules.loader import load
    from rules.stories import run_test

    rulebase = load(_packs(paths))
    total = failed = 0
    untried: list[str] = []
    for rule in rulebase.rules:
        tests = [t for t in rule.tests if name is None or name in rule.id or name in t.name]
        made_false: set[str] = set()
        for rule_test in tests:
            outcome = run_test(rulebase, rule, rule_test)
            made_false |= outcome.made_false
            total += 1
            failed += bool(outcome.failures)
            for failure in outcome.failures:
                say(f"{failure.place.file}:{failure.place.line}: {rule.id}: {failure.test}: {failure.message}")
        if name is None:
            untried += [f"{rule.id}: {c}" for c in rule.spelled_out() if c not in made_false]
    if name is not None and not total:
        raise CommandError(f'no rule and no test has "{name}" in its name')
    say(f"{counted(total, 'test')} of {counted(len(rulebase.rules), 'rule')}, {failed} failed")
    if untried and coverage:
        say("No test ever made these false:")
        for condition in untried:
            say(f"  {condition}")
    elif untried:
        note(f"not every condition was made false by a test ({len(untried)}); --coverage lists them")
    if failed:
        stop(Exit.FINDINGS)


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    customer: Annotated[str | None, typer.Option(help="The customer's id.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this record of the customer.")] = None,
    at: Annotated[str | None, typer.Option(help="As of this moment; now unless given.")] = None,
    rules: Annotated[list[str] | None, typer.Option("--rules", help="Packs, instead of the settings' rules.")] = None,
    dossiers: Annotated[str | None, typer.Option(help="A JSONL file of customers, instead of the database.")] = None,
    source: Annotated[bool, typer.Option("--source", help="Print the Python that the rule becomes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Why, and why not: each condition and the first that fails.

    With each value, and with the moment at which time alone changes the outcome.
    """
    from app.wiring import utc_now
    from rules.loader import load
    from rules.problems import suggestion

    rulebase = load(_packs(rules))
    found = rulebase.by_id.get(rule)
    if found is None:
        raise CommandError(f'there is no rule "{rule}"; {suggestion(rule, rulebase.by_id) or ""}'.rstrip("; "))
    if source:
        say(rulebase.source(found))
        return
    if customer is None:
        raise CommandError("name the customer with --customer, or ask for the generated Python with --source")
    now = moment(at, "--at") if at else utc_now()
    dossier, people = _dossier(customer, dossiers)
    subjects = _explained(rulebase, found, dossier, people, subject, now)
    if as_json:
        print_json({"schema": 1, "now": now, "rule": rule, "customer": customer, "subjects": subjects})
    else:
        _print(found, customer, subjects)


def _packs(paths: Sequence[str] | None) -> Sequence[str]:
    from app.settings import load_settings

    return paths or load_settings().rules


def _annotation(problem: Problem) -> str:
    """As a line of a GitHub workflow's log that GitHub shows beside the code."""
    place = problem.place
    text = f"{problem.code} {problem.message}".replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    file = place.file.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{problem.severity} file={file},line={place.line},col={place.column}::{text}"


def _problem(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "code": problem.code,
        "severity": problem.severity.value,
        "message": problem.message,
        "help": problem.help,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "length": place.length,
    }


def _dossier(customer: str, file: str | None) -> tuple[Dossier, People]:
    from domain.person import People

    if file is not None:
        failed: list[dict[str, Any]] = []
        found = next((d for _, d in dossiers_of(file, failed) if d.id == customer), None)
        if found is None:
            why = next((f"; {f['reason']}" for f in failed if f["customer"] in (customer, None)), "")
            raise CommandError(f'there is no readable customer "{customer}" in {file}{why}')
        return found, People()
    from app.settings import load_settings
    from app.wiring import open_store
    from store import dossiers, people

    with open_store(load_settings()) as store:
        found = dossiers.load(store, customer)
        if found is None:
            raise CommandError(f'there is no customer "{customer}"')
        return found, people.load(store)


def _explained(
    rulebase: RuleBase, rule: Rule, dossier: Dossier, people: People, subject: str | None, now: datetime
) -> list[dict[str, Any]]:
    from domain.recommendation import Match
    from domain.record import RecordRef

    facts = rulebase.facts(dossier, now=now, people=people)
    ids = [str(fact["id"]) for fact in facts.of.get(rule.subject, ())]
    if subject is not None and subject not in ids:
        raise CommandError(f"{dossier.id} has no {rule.subject} {subject}; it has {', '.join(ids) or 'none'}")
    explained: list[dict[str, Any]] = []
    for id_ in [subject] if subject is not None else ids:
        match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=id_))
        reasons = rulebase.trace(match, facts)
        flip = rulebase.next_flip(match, facts)
        explained.append(
            {
                "subject": {"kind": rule.subject, "id": id_},
                "holds": rulebase.holds(match, facts),
                "flips_at": None if flip is None else rulebase.office.local(flip),
                "conditions": [_reason(reason, rulebase) for reason in reasons],
            }
        )
    return explained


def _reason(reason: Reason, rulebase: RuleBase) -> dict[str, Any]:
    return {
        "condition": reason.condition,
        "part": reason.part,
        "value": plain(reason.value),
        "holds": reason.holds,
        "until": None if reason.until is None else rulebase.office.local(reason.until),
    }


def _print(rule: Rule, customer: str, subjects: list[dict[str, Any]]) -> None:
    if not subjects:
        say(f"{customer} has no {rule.subject}: {rule.id} looks at every {rule.subject}.")
    for explained in subjects:
        holds = explained["holds"]
        verb = "holds" if holds else "does not hold"
        say(f"{rule.id} {verb} for {rule.subject} {explained['subject']['id']} of {customer}")
        first_failing = next((c for c in explained["conditions"] if not c["holds"]), None)
        for condition in explained["conditions"]:
            mark = "✓" if condition["holds"] else "✗"
            until = f", until {condition['until'].isoformat()}" if condition["until"] else ""
            here = "   <- the first that fails" if condition is first_failing and not holds else ""
            say(f"  {mark} {condition['condition']}  ({shown(condition['value'])}{until}){here}")
        flip = explained["flips_at"]
        if flip is not None:
            what = "would stop" if holds else "would begin"
            say(f"  {what} on {flip.day} {flip:%B %Y, %H:%M %Z}, if nothing changes")
        else:
            say("  time alone will not change this")
