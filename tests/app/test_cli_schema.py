"""`relance rules schema`: what an editor is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from app.cli.schema import schema

app = typer.Typer(rich_markup_mode=None)
app.command()(schema)

MODEL = "model:\n  vehicle: {plate: text, sold_on: date}\n"
RULE = "rule: r\nfor each: vehicle\nwhen: {sold_on: in the last 2 years}\nthen: {recommend: win, say: Hello}\n"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "model.yaml").write_text(MODEL, encoding="utf-8")
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def accepts(said: Result, text: str) -> bool:
    return Draft202012Validator(json.loads(said.stdout)).is_valid(yaml.safe_load(text))


def test_the_schema_of_the_named_packs_is_printed_and_nothing_else(pack: Path) -> None:
    said = run("base", pack)
    assert (said.exit_code, said.stderr) == (0, "")
    assert json.loads(said.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert accepts(said, RULE)
    assert accepts(said, RULE.replace("vehicle", "contract").replace("sold_on", "end_date"))
    assert not accepts(said, RULE.replace("sold_on", "sold_at"))


def test_the_rules_of_the_settings_are_described_unless_others_are_named(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pack)
    monkeypatch.setenv("RELANCE_RULES", f'["{pack}"]')
    said = run()
    assert accepts(said, RULE)
    assert not accepts(said, RULE.replace("vehicle", "contract").replace("sold_on", "end_date"))


def test_a_mistake_in_a_rule_is_told_and_does_not_keep_the_schema_from_the_editor(pack: Path) -> None:
    (pack / "rule.yaml").write_text(RULE.replace("in the last 2 years", "lately"), encoding="utf-8")
    said = run(pack)
    assert said.exit_code == 1
    assert "rule.yaml:3:17: error[R201]" in said.stderr
    assert accepts(said, RULE)


def test_a_pack_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = run(tmp_path / "nowhere")
    assert said.exit_code == 1
    assert "there is no such pack" in said.stderr


def test_the_help_says_how_an_editor_finds_it() -> None:
    said = run("--help").stdout
    assert "relance rules schema > rules/schema.json\n" in said
    assert "# yaml-language-server: $schema=schema.json\n" in said
