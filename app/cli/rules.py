"""`relance rules`: check and test a rule base; the other commands about rules stand in modules of their own."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.explaining import explain
from app.cli.findings import Format, show
from app.cli.formatting import fmt
from app.cli.output import CommandError, Exit, counted, note, say, stop
from app.cli.schema import schema
from app.cli.simulating import simulate

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from domain.person import People
    from rules.review import Looked
    from store.session import Database

CUSTOMERS_LOOKED_AT = 2_000  # the first ones: what no record of theirs has is worth a warning

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, test and explain rules.")

Paths = Annotated[
    list[str] | None,
    typer.Argument(help="Packs in stacking order: folders, files, built-in names. The settings' rules unless given."),
]


@app.command()
def check(
    paths: Paths = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print what is found.")] = Format.TEXT,
    strict: Annotated[bool, typer.Option("--strict", help="End with code 1 for warnings too.")] = False,
) -> None:
    """Every problem of a rule base: where it is, and the way out.

    Plays the tests beside the rules. Where the settings name a database, teams and people that rules speak to are
    looked up in it, and whether its records have what the rules test.
    """
    from rules.loader import check as read
    from rules.review import review

    with _kept():
        checked = read(_packs(paths))
        people, looked = _known()
        problems = review(checked, people=people, looked=looked)
    show(problems, rules=len(checked.rulebase.rules), format_=format_)
    if problems.errors or (strict and problems):
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
    from rules.review import single
    from rules.stories import run_test

    rulebase = load(_packs(paths))
    total = failed = 0
    untried: list[str] = []
    for rule in rulebase.rules:
        tests = [t for t in rule.tests if name is None or name in rule.id or name in t.name]
        small = single(rulebase, rule)
        made_false: set[str] = set()
        for rule_test in tests:
            outcome = run_test(small, rule, rule_test)
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


app.command()(explain)
app.command()(fmt)
app.command(short_help="A JSON Schema that editors complete rule files from.")(schema)
app.command(short_help="What the rules will raise, and whom it will reach.")(simulate)


@contextmanager
def _kept() -> Generator[None]:
    """Whatever is made is kept: looking for what nobody needs any more would be a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _packs(paths: Sequence[str] | None) -> Sequence[str]:
    from app.settings import load_settings

    return paths or load_settings().rules


def _known() -> tuple[People | None, Looked | None]:
    """The people and records of the settings' database. None where there are none to be had: a note says why."""
    from app.settings import SettingsError, load_settings

    try:
        database = load_settings().database
        file = database.removeprefix("sqlite:///")
        if "://" not in file and not Path(file).is_file():  # who only writes rules has none: load nothing for it
            note(f"people and data were not looked at: there is no database {database}")
            return None, None
    except SettingsError as failure:
        note(f"people and data were not looked at: {failure}")
        return None, None
    from store import people
    from store.migrations import SchemaOutdated
    from store.readonly import open_read_only
    from store.session import StoreUnavailable

    try:
        with open_read_only(database) as store:
            known, looked = people.load(store), _looked(store)
    except (StoreUnavailable, SchemaOutdated, ValueError) as failure:
        note(f"people and data were not looked at: {failure}")
        return None, None
    if not known.by_id:
        note("people were not looked at: the database has none")
    return (known if known.by_id else None), looked


def _looked(store: Database) -> Looked:
    from rules.review import Looked
    from store import dossiers

    ids = dossiers.ids(store, limit=CUSTOMERS_LOOKED_AT)
    records = [record for dossier in dossiers.load_many(store, ids).values() for record in dossier.records]
    return Looked(records=records, at_all=len(ids) < CUSTOMERS_LOOKED_AT)
