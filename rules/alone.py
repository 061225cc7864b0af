"""A rule base that decides by the compiled reader alone: the rule engine is native code, and may end its process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property

from domain.calendar import At
from domain.person import People
from domain.record import Dossier
from rules.compiled import Hit
from rules.engine import Engine
from rules.model import Facts
from rules.rulebase import NOBODY, Decision, RuleBase


class OutOfPatience(Exception):
    """Whoever asked does not want to wait any longer."""


def endlessly() -> bool:
    return True


class Unasked(Engine):
    """Takes the compiled reader's word for everything."""

    def judge(self, hits: Sequence[Hit], facts: Facts, at: At) -> None:
        return


@dataclass(frozen=True, kw_only=True)
class Alone(RuleBase):
    """For wherever a wrong answer is no more than seen, and a process that ends would take others along.

    `patient`: asked before each decision whether somebody still waits for it. Else it raises `OutOfPatience`.
    """

    patient: Callable[[], bool] = endlessly

    @cached_property
    def engine(self) -> Engine:
        return Unasked.of(())

    def decide(self, dossier: Dossier, *, now: datetime, people: People = NOBODY) -> Decision:
        if not self.patient():
            raise OutOfPatience
        return super().decide(dossier, now=now, people=people)


def alone(base: RuleBase, *, patient: Callable[[], bool] = endlessly) -> RuleBase:
    return Alone(**{own.name: getattr(base, own.name) for own in fields(RuleBase)}, patient=patient)
