"""Packs into a rule base. One pass finds every problem, each with its place."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from rules.derived import DerivedReader
from rules.engine import PATTERNS_PER_RULESET
from rules.problems import BadRules, Place, Problems, suggestion
from rules.reading import RuleReader
from rules.rule import Relation, Rule
from rules.rulebase import RuleBase
from rules.source import Mapping, Node, read_file, read_text, rule_files
from rules.strata import stratify
from rules.vocabulary import Vocabulary

KINDS = ("model", "rule", "process", "dialog", "calendar", "company")
WITH_LIMIT = 15  # relations in `with`: the engine binds at most 16 facts in one match, the subject is one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The documents behind a rule base: who wants to know where it says something finds the place here.

    `whole`: all files and the model were read without an error, so that only rules can be missing.
    """

    rules: dict[str, Mapping] = field(default_factory=dict[str, Mapping])  # id -> its document
    rollouts: dict[str, Node | None] = field(default_factory=dict[str, Node | None])  # id -> its rollout, if it has one
    dialogs: frozenset[str]
    processes: tuple[Mapping, ...]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a stack of packs adds up to, and everything that is wrong with it."""

    rulebase: RuleBase
    problems: Problems
    written: Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A pack that lies in no folder: the text of each of its files, by name."""

    files: Map[str, str]


Pack: TypeAlias = str | Path | Texts
"""A folder, a file, the name of a built-in one, or texts."""


def builtin_packs() -> dict[str, Path]:
    """The packs that ship with Relance, by name."""
    folder = Path(str(files("rules"))) / "packs"
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}


def load(packs: Iterable[Pack]) -> RuleBase:
    """The rule base of packs in stacking order. Raises `BadRules`."""
    checked = check(packs)
    if checked.problems.errors:
        raise BadRules(checked.problems)
    return checked.rulebase


def check(packs: Iterable[Pack]) -> Checked:
    """As `load`, but with all problems instead of an exception; rules that have errors are left out."""
    problems = Problems()
    vocabulary = Vocabulary(problems)
    documents: list[tuple[int, Mapping]] = []
    for number, pack in enumerate(packs):
        documents += [(number, document) for document in _documents(pack, problems)]
    by_kind: dict[str, list[tuple[int, Mapping]]] = {kind: [] for kind in KINDS}
    for number, document in documents:
        kind = document.entries[0][0] if document.entries else None
        if kind is None or kind.text not in KINDS:
            at = kind.at if kind else document.at
            help_ = suggestion(kind.text, KINDS) if kind else f"the first key is one of: {', '.join(KINDS)}"
            problems.error("R001", at, f'a document cannot begin with "{kind or ""}"', help_)
        else:
            by_kind[kind.text].append((number, document))
    readers: Map[str, Callable[[Mapping], None]] = {
        "company": vocabulary.read_company,
        "calendar": vocabulary.read_calendar,
        "model": vocabulary.read_model,
    }
    for kind, read in readers.items():
        for _, document in by_kind[kind]:
            read(document)
    model = vocabulary.model()
    derived = tuple(
        DerivedReader(written=vocabulary.derived, model=model, zone=vocabulary.company.zone, problems=problems).read()
    )
    office = vocabulary.office()
    written = Written(
        dialogs=frozenset(str(document.entries[0][1]) for _, document in by_kind["dialog"]),
        processes=tuple(document for _, document in by_kind["process"]),
        whole=not problems.errors,
    )
    reader = RuleReader(model=model, company=vocabulary.company, problems=problems)
    rules = _rules(by_kind["rule"], reader, written, problems)
    strata = stratify(derived, rules, problems)
    text = "\n---\n".join(str(document) for kind in ("company", "calendar", "model") for _, document in by_kind[kind])
    digest = hashlib.sha256("\n".join([text, *(rule.hash for rule in rules)]).encode()).hexdigest()
    rulebase = RuleBase(
        rules=rules,
        model=model,
        strata=strata,
        company=vocabulary.company,
        office=office,
        calendars=dict(vocabulary.calendars),
        hash=f"sha256:{digest}",
    )
    problems.sort(key=lambda p: (p.place.file, p.place.line, p.place.column))
    return Checked(rulebase=rulebase, problems=problems, written=written)


def _rules(
    documents: list[tuple[int, Mapping]], reader: RuleReader, written: Written, problems: Problems
) -> tuple[Rule, ...]:
    """A later pack replaces a rule of the same id, or only its rollout; within one pack an id stands once."""
    rules: dict[str, Rule] = {}
    seen: dict[tuple[int, str], Place] = {}
    known = Counter(str(document.entries[0][1]) for _, document in documents)
    for number, document in documents:
        id_ = document.entries[0][1]
        first = seen.setdefault((number, str(id_)), id_.at)
        if first != id_.at:
            help_ = f"it stands in {first.file}:{first.line} already; give one of the two another id"
            problems.error("R106", id_.at, f'rule "{id_}" stands twice in this pack', help_)
        earlier = rules.get(str(id_))
        if _only_rollout(document) and (earlier or known[str(id_)] > 1):
            if earlier is None:
                continue  # what is wrong with it was said where it stands
            rule = reader.read_rollout(document, earlier)
        elif _only_rollout(document):
            help_ = (
                suggestion(str(id_), sorted(known.keys() - {str(id_)})) or "say what it is about: for each, when, then"
            )
            problems.error("R002", id_.at, f'no earlier pack has a rule "{id_}" whose rollout could change', help_)
            continue
        elif (rule := reader.read(document)) and _fits(rule, document, problems):
            written.rules[rule.id] = document
        else:
            continue
        rules[rule.id] = rule
        written.rollouts[rule.id] = document.get("rollout")
    return tuple(sorted(rules.values(), key=lambda rule: rule.id))


def _fits(rule: Rule, document: Mapping, problems: Problems) -> bool:
    """Whether the engine takes a rule; R107 where it asks for too many related records. Counted ones take no place."""

    def places(relations: tuple[Relation, ...]) -> int:
        return sum(relation.count is None for relation in relations)

    with_, unless = places(rule.with_), places(rule.unless)
    limits = (("with", with_, WITH_LIMIT), ("unless", unless, PATTERNS_PER_RULESET - 1 - with_))
    for key, found, limit in limits:
        if found > limit:
            message = f"{found} relations in `{key}` are more than the engine takes: {limit} in this rule"
            way_out = "add `count: at least 1` to some, which means the same and takes no place, or split the rule"
            problems.error("R107", document.key(key).at, message, way_out)
            return False
    return True


def _only_rollout(document: Mapping) -> bool:
    return {key.text for key, _ in document} == {"rule", "rollout"}


def _documents(pack: Pack, problems: Problems) -> list[Mapping]:
    if isinstance(pack, Texts):
        return [found for name, text in pack.files.items() for found in read_text(text, file=name, problems=problems)]
    path = _existing(pack, problems)
    found = [document for file in (rule_files(path) if path else ()) for document in read_file(file, problems)]
    if path is not None and not found and not problems.errors:
        problems.error("Y001", _start(path), "holds no rules", "name a folder with .yaml files in it")
    return found


def place_of(pack: str | Path) -> Path:
    """Where a pack lies, if there is one."""
    return (builtin_packs() if isinstance(pack, str) else {}).get(str(pack), Path(pack))


def _existing(pack: str | Path, problems: Problems) -> Path | None:
    path, builtin = place_of(pack), builtin_packs()
    if path.exists():
        return path
    help_ = suggestion(str(pack), builtin) if builtin else None
    problems.error(
        "Y001",
        _start(path),
        "there is no such pack",
        f"name a file, a folder or a built-in pack. {help_ or ''}".strip(),
    )
    return None


def _start(path: Path) -> Place:
    return Place(file=str(path), line=1, column=1, length=1, text="")
