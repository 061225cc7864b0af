"""Problems of a rule base as people, other programs, GitHub and code scanners read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.cli.output import counted, say

if TYPE_CHECKING:
    from rules.problems import Problem, Problems

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


def show(problems: Problems, *, rules: int, format_: Format) -> None:
    """Prints what was found, and of how many rules where the format has a place for it."""
    for line in FORMATS[format_](problems, rules):
        say(line)


def _text(problems: Problems, rules: int) -> Iterator[str]:
    yield from (f"{problem}\n" for problem in problems)
    errors = len(problems.errors)
    found = f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}"
    yield f"{counted(rules, 'rule')} read, {found if problems else 'no problems'}"


def _json(problems: Problems, rules: int) -> Iterator[str]:
    yield _document({"rules": rules, "problems": [_problem(problem) for problem in problems]})


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


def _github(problems: Problems, rules: int) -> Iterator[str]:
    """As lines of a GitHub workflow's log that GitHub shows beside the code."""
    for problem in problems:
        place = problem.place
        file = _escaped(place.file).replace(":", "%3A").replace(",", "%2C")
        text = _escaped(f"{problem.code} {problem.message}")
        yield f"::{problem.severity} file={file},line={place.line},col={place.column}::{text}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _sarif(problems: Problems, rules: int) -> Iterator[str]:
    """SARIF 2.1.0 as GitHub's code scanning takes it."""
    from rules.problems import CODES

    descriptors = [
        {
            "id": code,
            "shortDescription": {"text": meaning},
            "fullDescription": {"text": meaning},
            "help": {"text": f"{code}: {meaning}. The language is described in docs/rule-language.md."},
        }
        for code, meaning in CODES.items()
    ]
    driver = {"name": "relance", "version": version("relance"), "rules": descriptors}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, list(CODES)) for problem in problems],
    }
    yield _document({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(problem: Problem, codes: list[str]) -> dict[str, Any]:
    place = problem.place
    region = {"startLine": place.line, "startColumn": place.column, "endColumn": place.column + place.length}
    location = {"artifactLocation": {"uri": _uri(place.file)}, "region": region}
    return {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": problem.severity.value,
        "message": {"text": "; ".join(filter(None, (problem.message, problem.help)))},
        "locations": [{"physicalLocation": location}],
    }


def _uri(file: str) -> str:
    """Relative to where the command runs; whole for a file elsewhere, as in a built-in pack."""
    path, here = Path(file).resolve(), Path.cwd()
    return quote(path.relative_to(here).as_posix()) if path.is_relative_to(here) else path.as_uri()


def _document(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1)


FORMATS: Mapping[Format, Callable[[Problems, int], Iterator[str]]] = {
    Format.TEXT: _text,
    Format.JSON: _json,
    Format.GITHUB: _github,
    Format.SARIF: _sarif,
}
