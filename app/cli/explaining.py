"""`relance rules explain`: why, and why not, for one customer; or what a rule does, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from app.cli.files import dossiers_of
from app.cli.output import CommandError, moment, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from domain.person import People
    from domain.record import Dossier
    from rules.examine import Subject
    from rules.explain import Origin, Reason, Related
    from rules.rule import Rule
    from rules.rulebase import Decision, RuleBase
    from rules.telling import AsWritten

MARKS = {True: "✓", False: "✗"}

Document: TypeAlias = dict[str, Any]
Line: TypeAlias = tuple[int, str]
"""(how deep it is indented, what it says)"""


def explain(
    rule: Annotated[str, typer.Argument(help="The rule's id.")],
    customer: Annotated[
        str | None, typer.Option(help="The customer's id. Without: what the rule does, in plain words.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Only this record of the customer.")] = None,
    at: Annotated[str | None, typer.Option(help="As of this moment; now unless given.")] = None,
    rules: Annotated[list[str] | None, typer.Option("--rules", help="Packs, instead of the settings' rules.")] = None,
    dossiers: Annotated[str | None, typer.Option(help="A JSONL file of customers, instead of the database.")] = None,
    lang: Annotated[str | None, typer.Option(help="In the words of a language, en or de, not as written.")] = None,
    source: Annotated[bool, typer.Option("--source", help="Print the Python that the rule becomes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Why, and why not: each condition and the first that fails.

    With each value, the records and derived fields behind it, the moment at which time alone changes the outcome, whom
    it reaches and what holds it back.
    """
    from app.settings import load_settings
    from app.wiring import utc_now
    from rules.examine import NoSubject, document, subjects
    from rules.loader import load
    from rules.plain import plain
    from rules.problems import unknown
    from rules.telling import SAYS, telling

    if lang is not None and lang not in SAYS:
        raise CommandError(f'--lang "{lang}": there are words in {" and ".join(SAYS)}')
    rulebase = load(rules or load_settings().rules)
    found = rulebase.by_id.get(rule)
    if found is None:
        raise CommandError(unknown("rule", rule, rulebase.by_id))
    now = moment(at, "--at") if at else utc_now()
    if source:
        say(rulebase.source(found))
    elif customer is None:
        _print_sentences(rulebase, found, [lang] if lang else list(SAYS), now=now, as_json=as_json)
    else:
        dossier, people = _dossier(customer, dossiers)
        decision = rulebase.decide(dossier, now=now, people=people)
        try:
            examined = list(subjects(rulebase, found, decision, subject))
        except NoSubject as none:
            raise CommandError(str(none)) from None
        if as_json:
            documents = [document(s, telling(rulebase, s.at, lang), plain) for s in examined]
            print_json({"schema": 1, "now": now, "rule": rule, "customer": customer, "subjects": documents})
        else:
            _print(rulebase, found, decision, examined, lang)


def _print_sentences(rulebase: RuleBase, rule: Rule, languages: Sequence[str], *, now: datetime, as_json: bool) -> None:
    from domain.calendar import At
    from rules.rule import in_language
    from rules.sentence import sentence
    from rules.telling import telling

    at = At.of(now, rulebase.office)
    sentences = {lang: sentence(rule, telling(rulebase, at, lang).wording) for lang in languages}
    if as_json:
        print_json({"schema": 1, "rule": rule.id, "sentence": sentences})
        return
    titles = (in_language(rule.title, lang, rulebase.company.language) for lang in sentences)
    say("\n\n".join(f"{title}\n{said}" for title, said in zip(titles, sentences.values(), strict=True)))


def _dossier(customer: str, file: str | None) -> tuple[Dossier, People]:
    from domain.person import People

    if file is not None:
        failed: list[Document] = []
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


# --- as lines ---


def _print(rulebase: RuleBase, rule: Rule, decision: Decision, subjects: list[Subject], lang: str | None) -> None:
    from rules.telling import telling

    saying = telling(rulebase, decision.facts.at, lang)
    if not subjects:
        say(saying.says["none"].format(decision.dossier, saying.kind(rule.subject), rule.id))
    for subject in subjects:
        verb = saying.says["holds" if subject.holds else "does not hold"]
        say(verb.format(rule.id, saying.record(subject.ref), decision.dossier))
        for depth, text in _lines(subject, saying):
            say(f"{'  ' * depth}{text}")


def _lines(subject: Subject, saying: AsWritten) -> Iterator[Line]:
    from rules.explain import first_failing

    told: list[Origin] = []
    first = None if subject.holds else first_failing(subject.reasons)
    for reason in subject.reasons:
        until = saying.says["until"].format(saying.moment(reason.until)) if reason.until else ""
        here = f"   <- {saying.says['first']}" if reason is first else ""
        alternative = "" if reason.alternative is None else saying.says["any of"].format(reason.alternative + 1)
        said = f"{alternative}{saying.reason(reason)}  ({saying.reason_value(reason)}{until}){here}"
        yield 1, f"{MARKS[reason.holds]} {said}"
        yield from _behind(subject, reason, saying, told)
    yield 1, _flip(subject, saying)
    yield 1, _reach(subject, saying)
    if subject.held_back_by:
        held = "held back" if subject.holds else "would be held back"
        yield 1, saying.says[held].format(", ".join(subject.held_back_by))


def _flip(subject: Subject, saying: AsWritten) -> str:
    if subject.flips_at is None:
        return saying.says["never"]
    return saying.says["would stop" if subject.holds else "would fire"].format(saying.day_or_moment(subject.flips_at))


def _reach(subject: Subject, saying: AsWritten) -> str:
    from rules.rule import Reach

    goes = "goes" if subject.reach is Reach.LIVE and subject.holds else "would go"
    to = saying.says[goes].format(", ".join(subject.to) or saying.says["nobody"])
    return to if subject.reach is Reach.LIVE else saying.says[subject.reach].format(to)


def _behind(subject: Subject, reason: Reason, saying: AsWritten, told: list[Origin]) -> Iterator[Line]:
    """What lies behind one condition: where its value comes from, or the records it was read for."""
    from rules.examine import SHOWN
    from rules.rule import Condition

    if isinstance(reason.about, Condition):
        yield from _origin_lines(3, subject.explainer.origin(reason.about), saying, told)
        return
    found = subject.explainer.found(reason.about)
    for related in found[:SHOWN]:
        yield from _related_lines(saying.record(related.ref), related, saying, told)
    yield from _more(3, len(found), saying)
    nearest = subject.explainer.nearest(reason)
    if nearest is not None:
        title = saying.says["nearest"].format(saying.record(nearest.ref))
        yield from _related_lines(title, nearest, saying, told)


def _related_lines(title: str, related: Related, saying: AsWritten, told: list[Origin]) -> Iterator[Line]:
    yield 3, title
    for check in related.checks:
        yield 4, f"{MARKS[check.holds]} {saying.check(check)}  ({saying.check_value(check)})"
        yield from _origin_lines(6, check.origin, saying, told)


def _origin_lines(depth: int, origin: Origin | None, saying: AsWritten, told: list[Origin]) -> Iterator[Line]:
    """Each origin is told once; `told` keeps which."""
    from rules.examine import SHOWN

    if origin is None:
        return
    if origin in told:
        yield depth, f"{saying.field(origin.field)}: {saying.says['above']}"
        return
    told.append(origin)
    yield depth, f"{saying.field(origin.field)}: {saying.by(origin)}"
    for part in origin.parts[:SHOWN]:
        value = saying.part_value(part, origin)
        yield depth + 1, f"{saying.part(part)}{f'  ({value})' if value else ''}"
        yield from _origin_lines(depth + 2, part.origin, saying, told)
    yield from _more(depth + 1, len(origin.parts), saying)


def _more(depth: int, count: int, saying: AsWritten) -> Iterator[Line]:
    from rules.examine import SHOWN

    if count > SHOWN:
        yield depth, saying.says["more"].format(count - SHOWN)
