"""`relance rules schema`: what an editor completes from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from app.cli.output import Exit, note, say, stop


def schema(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Packs in stacking order: folders, files, built-in names. The settings' rules unless given."
        ),
    ] = None,
) -> None:
    """A JSON Schema of rule files: an editor completes from it and underlines mistakes.

    Write it into a file, again after each change of the model:

    \b
        relance rules schema > rules/schema.json

    Editors with the YAML language server (VS Code, Neovim, JetBrains and others) find it by the first line of a rule
    file, relative to that file:

    \b
        # yaml-language-server: $schema=schema.json

    VS Code also takes it for all files at once, in .vscode/settings.json:

    \b
        "yaml.schemas": {"rules/schema.json": "rules/**/*.yaml"}

    `relance rules check` finds more than a schema can, and always has the last word.
    """
    from app.settings import load_settings
    from rules.loader import check
    from rules.schema import schema

    checked = check(paths or load_settings().rules)
    say(json.dumps(schema(checked.rulebase.model), ensure_ascii=False, separators=(",", ":")))
    for problem in checked.problems.errors:
        note(f"{problem}\n")
    if checked.problems.errors:
        stop(Exit.FINDINGS)
