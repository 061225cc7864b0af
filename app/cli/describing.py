"""`relance openapi`: the API, described for programs that read OpenAPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from app.cli.output import CommandError, note, say


def openapi(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it into this file instead.")] = None,
) -> None:
    """The API as an OpenAPI document, for other programs.

    It needs neither settings nor a database. The running service has it at /api/v1/openapi.json.
    """
    from web.api.app import described_api

    document = json.dumps(described_api().openapi(), ensure_ascii=False, indent=1)
    if out is None:
        say(document)
        return
    try:
        out.write_text(f"{document}\n", encoding="utf-8")
    except OSError as failure:
        raise CommandError(f"--out {out}: {failure.strerror}") from None
    note(f"written to {out}")
