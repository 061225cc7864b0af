"""Where a live rule stands, and how it is written there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rules.loader import check, place_of
from rules.rule import Rule


def pack_of(rule: Rule, packs: Sequence[str]) -> str | None:
    """The pack that a rule stands in, by its last name: "base", "rules". None: it lies elsewhere by now."""
    file = Path(rule.place.file)
    return next((Path(pack).name for pack in reversed(packs) if file.is_relative_to(place_of(pack))), None)


def text_of(rule: Rule, packs: Sequence[str]) -> str | None:
    """The document that a rule was read from; None where the files say something else by now."""
    checked = check(packs)
    found = checked.rulebase.by_id.get(rule.id)
    if found is None or found.hash != rule.hash:
        return None
    begin = checked.written.rules[rule.id].at
    lines = Path(begin.file).read_text(encoding="utf-8-sig").splitlines()[begin.line - 1 :]
    end = next((number for number, line in enumerate(lines) if line.startswith("---")), len(lines))
    return "\n".join(lines[:end]).rstrip() + "\n"
