"""`relance rules fmt`: lays out the files of packs."""

from __future__ import annotations

import os
import shutil
from difflib import unified_diff
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import CommandError, Exit, counted, note, say, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules.problems import Problems


def fmt(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Packs: folders or files. The settings' rules unless given, without built-in ones."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name the files that would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Lay out rule files: order of keys, indentation, short forms.

    What they say stays the same, and every comment stays.
    """
    from rules.problems import Problems
    from rules.source import rule_files

    only_look = check or diff
    problems = Problems()
    files = list(dict.fromkeys(file for pack in _packs(paths, only_look) for file in rule_files(pack)))
    changed = 0
    for file, before, after in _laid_out(files, problems):
        changed += 1
        if not only_look:
            _replace(file, after)
        say(_difference(file, before, after) if diff else str(file))
    for problem in problems:
        note(f"{problem}\n")
    note(f"{counted(len(files), 'file')} read, {changed} {'to be changed' if only_look else 'changed'}")
    if problems or (check and changed):
        stop(Exit.FINDINGS)


def _packs(paths: list[str] | None, only_look: bool) -> list[Path]:
    from app.settings import load_settings
    from rules.loader import builtin_packs

    builtin = builtin_packs()
    if not paths:
        return [Path(pack) for pack in load_settings().rules if pack not in builtin]
    shipped = next((pack for pack in paths if pack in builtin), None)
    if shipped and not only_look:
        raise CommandError(f'"{shipped}" ships with Relance and is not changed here; look at it with --check or --diff')
    return [builtin.get(pack, Path(pack)) for pack in paths]


def _laid_out(files: list[Path], problems: Problems) -> Iterator[tuple[Path, str, str]]:
    """The files that change, with their texts before and after; those that cannot be read are reported."""
    from rules.layout import formatted
    from rules.source import read_file

    for file in files:
        known = len(problems)
        read_file(file, problems)
        if len(problems) == known:
            before = file.read_bytes().decode("utf-8-sig")
            after = formatted(before, file=str(file), problems=problems)
            if after is not None and after != before:
                yield file, before, after


def _difference(file: Path, before: str, after: str) -> str:
    """As `patch -p0` takes it."""
    lines = unified_diff(before.splitlines(True), after.splitlines(True), str(file), str(file))
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(ended).removesuffix("\n")


def _replace(file: Path, text: str) -> None:
    """All or nothing: whoever reads the file meets the old text or the new one."""
    target = file.resolve()
    try:
        if not os.access(target, os.W_OK):
            raise PermissionError(0, "Permission denied")
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", delete=False) as new:
            new.write(text.encode())
        try:
            shutil.copymode(target, new.name)
            Path(new.name).replace(target)
        except OSError:
            Path(new.name).unlink()
            raise
    except OSError as failure:
        raise CommandError(f"{file} cannot be written: {failure.strerror}") from None
