"""What a rule base's problems look like to people, to other programs, to GitHub and to code scanners."""

from __future__ import annotations

import json
import re
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from app.cli.findings import FORMATS, Format, show
from rules.problems import CODES, Place, Problems

ROOT = Path(__file__).parents[2]
LINE = "  status: actve  # 100%"


@pytest.fixture
def problems() -> Problems:
    found = Problems()
    at = Place(file="own/größe, v2.yaml", line=6, column=11, length=5, text=LINE)
    found.error("R202", at, '"actve" is not 100% of\nstatus', 'did you mean "active"?')
    found.warning("R106", Place(file="own/b.yaml", line=1, column=1, length=1, text=""), "stands twice")
    return found


def shown(problems: Problems, format_: Format) -> str:
    return "\n".join(FORMATS[format_](problems, 7))


def sarif(problems: Problems) -> Any:
    return json.loads(shown(problems, Format.SARIF))


def test_every_format_prints_what_is_found_and_only_that(problems, capsys):
    for format_ in Format:
        show(problems, rules=7, format_=format_)
        assert capsys.readouterr().out == shown(problems, format_) + "\n"
    show(Problems(), rules=7, format_=Format.GITHUB)
    assert capsys.readouterr().out == ""


def test_text_shows_the_place_and_counts_at_the_end(problems):
    text = shown(problems, Format.TEXT)
    assert text == f"{problems[0]}\n\n{problems[1]}\n\n7 rules read, 1 error, 1 warning"
    assert shown(Problems(), Format.TEXT) == "7 rules read, no problems"


def test_json_is_one_document(problems):
    assert json.loads(shown(problems, Format.JSON)) == {
        "rules": 7,
        "problems": [
            {
                "code": "R202",
                "severity": "error",
                "message": '"actve" is not 100% of\nstatus',
                "help": 'did you mean "active"?',
                "file": "own/größe, v2.yaml",
                "line": 6,
                "column": 11,
                "length": 5,
            },
            {
                "code": "R106",
                "severity": "warning",
                "message": "stands twice",
                "help": None,
                "file": "own/b.yaml",
                "line": 1,
                "column": 1,
                "length": 1,
            },
        ],
    }


def test_github_gets_one_line_each_whatever_stands_in_them(problems):
    assert shown(problems, Format.GITHUB).splitlines() == [
        '::error file=own/größe%2C v2.yaml,line=6,col=11::R202 "actve" is not 100%25 of%0Astatus',
        "::warning file=own/b.yaml,line=1,col=1::R106 stands twice",
    ]


# --- SARIF ---


def test_sarif_has_the_structure_that_the_standard_demands(problems):
    document = sarif(problems)
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    assert set(document) == {"$schema", "version", "runs"}
    (run,) = document["runs"]
    assert set(run) == {"tool", "columnKind", "results"}
    assert run["columnKind"] == "unicodeCodePoints"
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("relance", version("relance"))
    ids = [rule["id"] for rule in driver["rules"]]
    assert ids == sorted(set(ids), key=ids.index) == list(CODES)
    for rule in driver["rules"]:
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
    for result in run["results"]:
        assert result["level"] in ("none", "note", "warning", "error")
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert 1 <= region["startColumn"] < region["endColumn"]
        assert region["startLine"] >= 1


def test_sarif_says_what_where_and_how_bad(problems):
    first, second = sarif(problems)["runs"][0]["results"]
    assert first == {
        "ruleId": "R202",
        "ruleIndex": list(CODES).index("R202"),
        "level": "error",
        "message": {"text": '"actve" is not 100% of\nstatus; did you mean "active"?'},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "own/gr%C3%B6%C3%9Fe%2C%20v2.yaml"},
                    "region": {"startLine": 6, "startColumn": 11, "endColumn": 16},
                }
            }
        ],
    }
    region = first["locations"][0]["physicalLocation"]["region"]
    assert LINE[region["startColumn"] - 1 : region["endColumn"] - 1] == "actve"
    assert (second["level"], second["message"]["text"]) == ("warning", "stands twice")


def test_sarif_names_files_from_where_the_command_runs(tmp_path):
    def uri(file: str | Path) -> str:
        found = Problems()
        found.error("Y001", Place(file=str(file), line=1, column=1, length=1, text=""), "is not there")
        return sarif(found)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]

    here = tmp_path / "here"
    here.mkdir()
    with chdir(here):
        assert uri("own/a.yaml") == uri(here / "own/a.yaml") == uri("../here/./own/a.yaml") == "own/a.yaml"
        assert uri("../a b.yaml") == f"file://{tmp_path}/a%20b.yaml"


def test_sarif_without_findings_still_tells_that_it_looked():
    (run,) = sarif(Problems())["runs"]
    assert run["results"] == []


# --- the codes ---


def test_the_reference_and_the_table_of_codes_agree():
    text = (ROOT / "docs" / "rule-language.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ([A-Z]\d{3}(?:, [A-Z]\d{3})*) \| (.+) \|$", text, re.MULTILINE)
    documented = {
        code: meaning
        for codes, meanings in table
        for code, meaning in zip(codes.split(", "), meanings.split("; "), strict=True)
    }
    assert documented == dict(CODES)


def test_every_code_that_is_reported_is_in_the_table():
    modules = [file for room in ("rules", "app") for file in (ROOT / room).rglob("*.py")]
    used = {code for file in modules for code in re.findall(r'"([A-Z]\d{3})"', file.read_text(encoding="utf-8"))}
    assert used == set(CODES)
