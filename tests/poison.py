"""What the rule engine can do to the process it is in, and customers over whom it does."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import durable_rules_engine as durable

from domain.person import People
from domain.record import Dossier, Timeline
from rules.engine import Engine
from rules.rulebase import NOBODY, Decision, RuleBase


def crash() -> None:
    """A join that ends in a comparison reads what is not there. What that does depends on what is there instead."""
    join = {"$and": [{"t": "y"}, {"k": {"a": "k"}}, {"$gt": {"n": {"a": "n"}}}]}
    ruleset = durable.create_ruleset("crash", json.dumps({"r": {"all": [{"a": {"t": "x"}}, {"q$not": join}]}}))
    facts = [{"id": i, "sid": "0", "t": "xy"[i * 7 // 3 % 2], "k": i % 3, "n": i % 4} for i in range(1000)]
    for _ in range(3):
        durable.assert_facts(ruleset, json.dumps(facts))
        durable.delete_state(ruleset, "0")
    os.kill(os.getpid(), signal.SIGSEGV)  # it was lucky


def hang() -> None:
    """A ruleset with too many conditions under one parent is never built, and nothing in Python can interrupt it."""
    rules = {f"r{i}": {"all": [{"a": {"$and": [{"t": "x"}, {"n": i}]}}]} for i in range(600)}
    durable.create_ruleset("hang", json.dumps(rules))


def loop() -> None:
    while True:
        pass


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def broken() -> None:
    raise KeyError("end_date")


POISONS: Mapping[str, Callable[[], None]] = {p.__name__: p for p in (crash, hang, loop, killed, broken)}
SAID: Mapping[str, str] = {  # of the customer or of the rules, where there is a second for them
    "crash": r"ended the worker process \(signal (6|11)\)",  # depending on what lies where it reads
    "hang": r"took longer than 1 s",
    "loop": r"took longer than 1 s",
    "killed": r"ended the worker process \(signal 9\)",
    "broken": r"failed: KeyError: 'end_date' \(poison.py:\d+\)",
}


def says(poison: str, reason: str, *, of: str = "deciding about this customer") -> bool:
    """Whether a reason says what the poison did."""
    return re.fullmatch(f"{of} {SAID[poison]}", reason) is not None


def taste(dossier: Dossier) -> None:
    """Happens over a customer with a product that is called like a poison."""
    for record in dossier.records:
        if record.fields.get("product") in POISONS:
            POISONS[str(record.fields["product"])]()


@dataclass(frozen=True, kw_only=True)
class Poisoned(RuleBase):
    """A rule base whose engine meets poison."""

    @classmethod
    def of(cls, base: RuleBase, **more: Any) -> Self:
        return cls(**{own.name: getattr(base, own.name) for own in fields(base)} | more)

    def replay(
        self, timeline: Timeline, *, since: datetime, until: datetime, people: People = NOBODY
    ) -> Iterator[Decision]:
        for decision in super().replay(timeline, since=since, until=until, people=people):
            taste(decision.facts.dossier)
            yield decision


@dataclass(frozen=True, kw_only=True)
class Unbuildable(Poisoned):
    """A rule base that the engine cannot build."""

    poison: str = "hang"

    @cached_property
    def engine(self) -> Engine:
        POISONS[self.poison]()
        return super().engine


ON_START = """\
from rules.rulebase import RuleBase
from tests.poison import taste

decide = RuleBase.decide

def tasting(self, dossier, **more):
    taste(dossier)
    return decide(self, dossier, **more)

RuleBase.decide = tasting
"""


def poisoned(folder: Path) -> Mapping[str, str]:
    """The environment in which every Python process meets poison."""
    (folder / "sitecustomize.py").write_text(ON_START)
    return {"PYTHONPATH": str(folder)}
