"""Rules: what is live, in plain words; and rules that somebody tries before they go live. Nothing here is written."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path as FilePath
from time import monotonic
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, WithJsonSchema

from domain.access import Permission
from domain.calendar import At
from domain.person import People
from domain.record import Dossier
from rules.alone import OutOfPatience, alone
from rules.loader import Checked, Texts, check
from rules.outlook import per_day, per_person, per_rule
from rules.problems import Problem as Finding
from rules.problems import Severity, unknown
from rules.review import review, single
from rules.rule import Reach, Rule, Stage, in_language
from rules.rulebase import RuleBase, Undecidable
from rules.sentence import sentence
from rules.simulate import Outlook, foresee
from rules.stories import Failure, run_test
from rules.wording import Wording
from rules.written import pack_of, text_of
from store import customers, dossiers, people, recommendations, rulebases
from web.api.access import Caller, Requires
from web.api.asked import InLanguage, Language, language_of
from web.api.bodies import ExactRoute
from web.api.paging import Cursor, Limit, Page, decode, encode
from web.api.problems import Kind, Problem, answers
from web.api.users import LINE

# What may be tried at once. A thousand rules, or a simulation without end, would keep everybody else waiting.
FILES_MAX, CHARACTERS_MAX, RULES_MAX = 50, 1_000_000, 200
FINDINGS_SHOWN, MESSAGE_CHARACTERS = 200, 500
CUSTOMERS_MAX, DAYS_MAX, SIMULATED_AT_ONCE = 1_000, 366, 100
TAKES_MAX_S = 20.0
WAITS_MAX_S = 10.0

router = APIRouter(tags=["rules"], route_class=ExactRoute)

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Permission.RULES_READ))]
Author: TypeAlias = Annotated[Caller, Depends(Requires(Permission.RULES_TRY))]


# --- what is live ---


class LiveRule(BaseModel):
    id: str = Field(examples=["contract-expiring"])
    title: str = Field(examples=["Contract expiring without a renewal"])
    tags: list[str]
    pack: str | None = Field(description="Where it stands; null: it lies elsewhere by now.", examples=["base"])
    sentence: str = Field(description="What it does, in plain words: English or German.")
    version: int | None = Field(description="Rises with each change; null: not published yet.")
    stage: Stage = Field(description="How far it reaches; only `live` reaches everybody.")
    open: int = Field(description="How many recommendations of it are open, of all customers.")


class WholeRule(LiveRule):
    source: str | None = Field(description="As it is written, in YAML; null: the files say something else by now.")


@router.get("/rules", response_model=Page[LiveRule], operation_id="listRules", summary="The live rules")
def list_rules(caller: Reader, language: InLanguage = None, limit: Limit = 50, cursor: Cursor = None) -> Page[LiveRule]:
    """By id."""
    (after,) = decode(cursor, str) if cursor else ("",)
    found = [rule for rule in caller.services.base.rules if rule.id > after]
    shown = found[:limit]
    return Page(items=_live(caller, shown, language), next=encode([shown[-1].id]) if len(found) > limit else None)


@router.get(
    "/rules/{id}",
    response_model=WholeRule,
    operation_id="getRule",
    summary="A rule, and how it is written",
    responses=answers(Kind.NOT_FOUND),
)
def get_rule(
    caller: Reader,
    id: Annotated[str, Path(pattern=LINE, max_length=200, examples=["contract-expiring"])],
    language: InLanguage = None,
) -> WholeRule:
    by_id = caller.services.base.by_id
    if id not in by_id:
        raise Problem(kind=Kind.NOT_FOUND, detail=f"{unknown('rule', id, by_id).capitalize()}.")
    (known,) = _live(caller, [by_id[id]], language)
    return WholeRule(**known.model_dump(), source=text_of(by_id[id], caller.services.packs))


def _live(caller: Caller, rules: Sequence[Rule], language: Language | None) -> list[LiveRule]:
    base, said_in = caller.services.base, language_of(caller, language)
    published = rulebases.current(caller.db)
    versions: Mapping[str, int] = published.versions if published else {}
    open_ = recommendations.open_by_rule(caller.db)
    voice = base.adviser.voice(At.of(caller.now, base.office), said_in)
    wording = Wording(voice=voice, model=base.model)
    return [
        LiveRule(
            id=rule.id,
            title=in_language(rule.title, said_in, base.company.language),
            tags=list(rule.tags),
            pack=pack_of(rule, caller.services.packs),
            sentence=sentence(rule, wording),
            version=versions.get(rule.id),
            stage=rule.rollout.stage,
            open=open_.get(rule.id, 0),
        )
        for rule in rules
    ]


# --- what somebody tries ---


QUIET = """rule: quiet-customer
for each: customer
when: {since: more than 90 days ago}
then: {recommend: hold, say: Call them., do: call}
"""
TEXT = r"^[^\x00]*$"
FileName: TypeAlias = Annotated[str, Field(pattern=LINE, max_length=200)]
FileText: TypeAlias = Annotated[str, Field(pattern=TEXT, max_length=CHARACTERS_MAX)]
Files: TypeAlias = Annotated[
    dict[FileName, FileText],
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": FILES_MAX,
            "propertyNames": {"pattern": LINE, "maxLength": 200},
            "additionalProperties": {"type": "string", "pattern": TEXT, "maxLength": CHARACTERS_MAX},
        }
    ),
]
FILES_ARE = "The text of each file by its name, as findings have it: YAML, as in a rule file."


class Posted(BaseModel):
    """Rules that are stacked on the live ones: new ones, and ones of the same id instead of those."""

    model_config = {"extra": "forbid"}

    files: Files = Field(
        min_length=1,
        max_length=FILES_MAX,
        description=FILES_ARE,
        examples=[{"quiet-customer.yaml": QUIET}],
        json_schema_extra={"minProperties": 1},
    )


class Asked(BaseModel):
    """What is to be simulated: the live rules, or these on top of them."""

    model_config = {"extra": "forbid"}

    files: Files = Field({}, max_length=FILES_MAX, description=FILES_ARE, examples=[{"quiet-customer.yaml": QUIET}])
    days: int = Field(90, ge=1, le=DAYS_MAX, description="From now on.")
    customers: int = Field(200, ge=1, le=CUSTOMERS_MAX, description="The first so many of those that one sees.")


class KnownFinding(BaseModel):
    file: str = Field(examples=["quiet-customer.yaml"])
    line: int = Field(description="From 1.")
    column: int = Field(description="From 1.")
    length: int = Field(description="How many characters are meant.")
    severity: Severity
    code: str = Field(description="As in the reference of the rule language.", examples=["R101"])
    message: str = Field(examples=['customer has no field "sinse"'])
    help: str | None = Field(description="The way out.", examples=['did you mean "since"?'])

    @classmethod
    def of(cls, finding: Finding) -> KnownFinding:
        place = finding.place
        return cls(
            file=FilePath(place.file).name if FilePath(place.file).is_absolute() else place.file,
            line=place.line,
            column=place.column,
            length=place.length,
            severity=finding.severity,
            code=finding.code,
            message=_cut(finding.message),
            help=None if finding.help is None else _cut(finding.help),
        )


class CheckedRules(BaseModel):
    rules: int = Field(description="How many rules could be read.")
    errors: int
    warnings: int
    findings: list[KnownFinding] = Field(description=f"The first {FINDINGS_SHOWN}.")


class FailedTest(BaseModel):
    rule: str
    test: str = Field(description="Its name.")
    file: str
    line: int
    message: str = Field(examples=["on 2026-11-23 expected C1, open is nothing"])

    @classmethod
    def of(cls, failure: Failure) -> FailedTest:
        place = failure.place
        return cls(
            rule=failure.rule,
            test=_cut(failure.test),
            file=place.file,
            line=place.line,
            message=_cut(failure.message),
        )


class TestedRules(BaseModel):
    tests: int = Field(description="How many were played.")
    failed: int = Field(description="How many of them do not hold.")
    failures: list[FailedTest] = Field(description=f"What is not as expected, the first {FINDINGS_SHOWN}.")
    findings: list[KnownFinding] = Field(description="Errors in the rules: with any, nothing was played.")


@router.post("/rules/check", response_model=CheckedRules, operation_id="checkRules", summary="What is wrong with rules")
def check_rules(caller: Author, posted: Posted) -> CheckedRules:
    """Every problem with its place and the way out, as `relance rules check` finds them."""
    known = people.load(caller.db)
    with _trying(caller) as patient:
        checked = _stacked(caller, posted.files)
        problems = review(checked, people=known if known.by_id else None, patient=patient)
    found = [problem for problem in problems if problem.place.file in posted.files]
    errors = sum(problem.severity is Severity.ERROR for problem in found)
    return CheckedRules(
        rules=len(_of(checked.rulebase, posted.files)),
        errors=errors,
        warnings=len(found) - errors,
        findings=_findings(found),
    )


@router.post("/rules/test", response_model=TestedRules, operation_id="testRules", summary="Play the tests beside rules")
def test_rules(caller: Author, posted: Posted) -> TestedRules:
    """Those that stand in what is posted."""
    with _trying(caller) as patient:
        checked = _stacked(caller, posted.files)
        base, errors = checked.rulebase, checked.problems.errors
        outcomes = [
            run_test(small, rule, test)
            for rule in _of(base, posted.files)
            if not errors
            for small in [single(base, rule, patient=patient)]
            for test in rule.tests
        ]
    failed = [outcome for outcome in outcomes if outcome.failures]
    failures = [FailedTest.of(failure) for outcome in failed for failure in outcome.failures]
    return TestedRules(
        tests=len(outcomes),
        failed=len(failed),
        failures=failures[:FINDINGS_SHOWN],
        findings=_findings(errors),
    )


# --- what rules would do ---


class DayAhead(BaseModel):
    day: date
    reach: Reach = Field(description="If it is not `live`: what would happen if it were.")
    raised: int
    resolved: int
    reminders: int
    held_back: int = Field(description="Of what is raised: other rules hold it back at first.")
    unaddressed: int = Field(description="Of what is raised: there is nobody to write to.")


class RuleAhead(BaseModel):
    rule: str
    reach: Reach
    open: int = Field(description="At the beginning.")
    raised: int
    resolved: int
    reminders: int
    held_back: int
    unaddressed: int
    people: int = Field(description="How many are reminded.")
    busiest_day: date | None
    busiest_day_reminders: int


class PersonAhead(BaseModel):
    person: str | None
    name: str | None
    reach: Reach
    open: int
    raised: int
    resolved: int
    reminders: int
    held_back: int
    unaddressed: int
    busiest_day: date | None
    busiest_day_reminders: int


class Undecided(BaseModel):
    customer: str
    reason: str


class Simulated(BaseModel):
    """What the rules will do if nobody writes or acts."""

    since: datetime
    until: datetime
    customers: int = Field(description="How many were simulated.")
    cut_short: bool = Field(description="There are more customers than was asked for.")
    failed: list[Undecided] = Field(description="Customers of whom nothing can be said, and why.")
    findings: list[KnownFinding] = Field(description="Errors in the rules: with any, nothing was simulated.")
    per_day: list[DayAhead]
    per_rule: list[RuleAhead]
    per_person: list[PersonAhead]


@router.post("/rules/simulate", response_model=Simulated, operation_id="simulateRules", summary="What rules would do")
def simulate_rules(caller: Author, asked: Asked) -> Simulated:
    """Over the customers that one sees, as their records are today. Nothing is written, and nobody is sent anything."""
    known, nobody = people.load(caller.db), caller.services.nobody
    until = caller.now + timedelta(days=asked.days)
    outlook, failed = Outlook(), list[Undecided]()
    simulated, cut_short = 0, False
    with _trying(caller) as patient:
        checked = _stacked(caller, asked.files) if asked.files else None
        errors = checked.problems.errors if checked else []
        base = alone(checked.rulebase if checked else caller.services.base, patient=patient)
        for dossier in _dossiers(caller, known, limit=0 if errors else asked.customers + 1):
            if simulated + len(failed) == asked.customers:
                cut_short = True
                break
            try:
                events = list(foresee(base, dossier, since=caller.now, until=until, people=known, nobody=nobody))
            except Undecidable as failure:
                failed.append(Undecided(customer=dossier.id, reason=_cut(str(failure))))
                continue
            simulated += 1
            for event in events:
                outlook.add(event)
    return Simulated(
        since=caller.now,
        until=until,
        customers=simulated,
        cut_short=cut_short,
        failed=failed,
        findings=_findings(errors),
        per_day=[DayAhead.model_validate(row) for row in per_day(outlook)],
        per_rule=[RuleAhead.model_validate(row) for row in per_rule(outlook)],
        per_person=[PersonAhead.model_validate(row) for row in per_person(outlook, known)],
    )


def _dossiers(caller: Caller, known: People, *, limit: int) -> Iterator[Dossier]:
    """The first ones that the caller sees, a few in memory at once."""
    owners, after = caller.owners(known), ""
    while limit > 0:
        page = customers.listing(caller.db, owners=owners, after=after, limit=min(limit, SIMULATED_AT_ONCE))
        if not page:
            return
        yield from dossiers.load_many(caller.db, [customer.id for customer in page]).values()
        after, limit = page[-1].id, limit - len(page)


# --- within bounds ---


@contextmanager
def _trying(caller: Caller) -> Generator[Callable[[], bool]]:
    """One at a time tries rules, and not for long. Gives whether there is time left. Raises `Problem`."""
    trying = caller.services.trying
    if not trying.acquire(timeout=WAITS_MAX_S):
        detail = "Somebody else is trying rules just now. Try again in a moment."
        raise Problem(kind=Kind.TOO_MANY, detail=detail, headers={"Retry-After": f"{TAKES_MAX_S:.0f}"})
    ends_at = monotonic() + TAKES_MAX_S
    try:
        yield lambda: monotonic() < ends_at
    except OutOfPatience:
        detail = f"This takes longer than {TAKES_MAX_S:.0f} s: try fewer rules, customers or days, or shorter tests."
        raise Problem(kind=Kind.TOO_LARGE, detail=detail) from None
    finally:
        trying.release()


def _stacked(caller: Caller, files: Files) -> Checked:
    """Raises `Problem` where they are too many or too long."""
    if sum(map(len, files.values())) > CHARACTERS_MAX:
        detail = f"These are more than {CHARACTERS_MAX:,} characters in all: try fewer rules at once."
        raise Problem(kind=Kind.TOO_LARGE, detail=detail)
    checked = check([*caller.services.packs, Texts(files=files)])
    count = len(_of(checked.rulebase, files))
    if count > RULES_MAX:
        raise Problem(kind=Kind.TOO_LARGE, detail=f"These are {count} rules: try at most {RULES_MAX} at once.")
    return checked


def _findings(problems: Iterable[Finding]) -> list[KnownFinding]:
    return [KnownFinding.of(problem) for problem in islice(problems, FINDINGS_SHOWN)]


def _of(base: RuleBase, names: Container[str]) -> list[Rule]:
    """The rules that stand in these files."""
    return [rule for rule in base.rules if rule.place.file in names]


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}…"
