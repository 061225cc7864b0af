"""`relance rules fmt`: which files it changes, what it prints and how it ends."""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from app.cli.formatting import fmt
from app.cli.output import CommandError
from rules.loader import builtin_packs
from tests.app.conftest import Said

UNTIDY = """\
# about big customers
rule:   big-customer
then: {recommend: win, say: "Hello"}
when:
    lifetime_value: {above: 1000}  # francs
for each: customer"""
TIDY = """\
# about big customers
rule: big-customer
for each: customer
when:
  lifetime_value: above 1000  # francs
then: {recommend: win, say: Hello}
"""
DIFFERENCE = """\
--- own/a.yaml
+++ own/a.yaml
@@ -1,6 +1,6 @@
 # about big customers
-rule:   big-customer
-then: {recommend: win, say: "Hello"}
+rule: big-customer
+for each: customer
 when:
-    lifetime_value: {above: 1000}  # francs
-for each: customer
\\ No newline at end of file
+  lifetime_value: above 1000  # francs
+then: {recommend: win, say: Hello}
"""

command = typer.Typer()
command.command()(fmt)


class Office:
    """A folder in which `fmt` runs."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.folder = folder
        for name, text in files.items():
            self.writes(f"own/{name}.yaml", text)

    def writes(self, name: str, text: str | bytes) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def reads(self, name: str) -> str:
        return (self.folder / "own" / f"{name}.yaml").read_bytes().decode()

    def fmt(self, *arguments: str, **settings: str) -> Said:
        env: dict[str, Any] = {f"RELANCE_{name}": value for name, value in settings.items()}
        with chdir(self.folder):
            result = CliRunner().invoke(command, arguments, env=env)
        if isinstance(result.exception, CommandError):
            return Said(
                code=result.exception.code, out=result.stdout, err=f"{result.stderr}error: {result.exception}\n"
            )
        return Said(code=result.exit_code, out=result.stdout, err=result.stderr)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, a=UNTIDY, b=TIDY)


def test_files_that_are_laid_out_otherwise_are_changed_and_named(office):
    assert office.fmt("own") == Said(code=0, out="own/a.yaml\n", err="2 files read, 1 changed\n")
    assert (office.reads("a"), office.reads("b")) == (TIDY, TIDY)
    assert office.fmt("own") == Said(code=0, out="", err="2 files read, 0 changed\n")


def test_check_names_what_would_change_and_writes_nothing(office):
    assert office.fmt("own", "--check") == Said(code=1, out="own/a.yaml\n", err="2 files read, 1 to be changed\n")
    assert office.reads("a") == UNTIDY
    assert office.fmt("own/b.yaml", "--check").code == 0


def test_diff_shows_what_would_change_and_writes_nothing(office):
    assert office.fmt("own", "--diff") == Said(code=0, out=DIFFERENCE, err="2 files read, 1 to be changed\n")
    assert office.fmt("own", "--diff", "--check").code == 1
    assert office.reads("a") == UNTIDY


def test_a_file_that_is_not_yaml_is_reported_and_the_others_are_laid_out(office):
    office.writes("own/broken.yaml", "rule: x\nwhen: [\n")
    office.writes("own/latin.yaml", "rule: Größe\n".encode("latin-1"))
    said = office.fmt("own")
    assert (said.code, said.out) == (1, "own/a.yaml\n")
    assert "own/broken.yaml:2:8: error[Y001] not YAML" in said.err
    assert "own/latin.yaml:1:1: error[Y001] is not UTF-8" in said.err
    assert said.err.endswith("4 files read, 1 changed\n")
    assert (office.reads("a"), office.reads("broken")) == (TIDY, "rule: x\nwhen: [\n")


def test_a_file_that_would_say_something_else_is_reported_and_left_alone(office):
    backwards = "rule: x\nthen: &a {recommend: win}\nwhen: *a\n"
    office.writes("own/a.yaml", backwards)
    said = office.fmt("own")
    assert (said.code, said.out) == (1, "")
    assert "own/a.yaml:1:1: error[Y003] cannot be laid out" in said.err
    assert office.reads("a") == backwards


def test_a_path_that_is_not_there_is_reported(office):
    said = office.fmt("nowhere", "own")
    assert (said.code, said.out) == (1, "own/a.yaml\n")
    assert "nowhere:1:1: error[Y001] cannot be read: No such file or directory" in said.err


def test_the_packs_of_the_settings_are_laid_out_but_for_those_that_ship_with_relance(office):
    said = office.fmt(RULES='["base", "own"]')
    assert said == Said(code=0, out="own/a.yaml\n", err="2 files read, 1 changed\n")


def test_a_pack_that_ships_with_relance_can_only_be_looked_at(office):
    before = {file: file.read_bytes() for file in builtin_packs()["base"].rglob("*.yaml")}
    said = office.fmt("base", "own")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith('error: "base" ships with Relance')
    assert office.reads("a") == UNTIDY
    assert office.fmt("base", "--diff").code == 0
    assert {file: file.read_bytes() for file in before} == before


def test_permissions_and_links_stay(office):
    (office.folder / "own/a.yaml").chmod(0o640)
    (office.folder / "link.yaml").symlink_to("own/a.yaml")
    assert office.fmt("link.yaml").out == "link.yaml\n"
    assert (office.folder / "link.yaml").is_symlink()
    assert office.reads("a") == TIDY
    assert (office.folder / "own/a.yaml").stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in (office.folder / "own").iterdir()) == ["a.yaml", "b.yaml"]


def test_a_file_that_cannot_be_replaced_stays_whole(office, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert office.fmt("own") == Said(code=2, out="", err="error: own/a.yaml cannot be written: Permission denied\n")
    assert office.reads("a") == UNTIDY


def test_line_ends_of_windows_stay(office):
    office.writes("own/a.yaml", UNTIDY.replace("\n", "\r\n"))
    office.fmt("own")
    assert office.reads("a") == TIDY.replace("\n", "\r\n")
