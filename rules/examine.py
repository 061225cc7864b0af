"""Everything there is to say of a rule and the records of one customer that it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from domain.calendar import At
from domain.recommendation import Match
from domain.record import RecordRef
from rules.explain import Explainer, Origin, Reason, Related
from rules.rule import Condition, Reach, Rule
from rules.rulebase import Decision, RuleBase
from rules.telling import AsWritten

SHOWN = 10  # records behind one condition

Document: TypeAlias = dict[str, Any]
Plain: TypeAlias = Callable[[object], object]
"""How JSON carries a value."""


class NoSubject(Exception):
    """The customer has no such record; the message says which it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A rule and one record it is about. `flips_at`: when time alone changes whether it holds; None: never."""

    rule: Rule
    ref: RecordRef
    at: At
    holds: bool
    flips_at: datetime | None
    reach: Reach
    to: tuple[str, ...]
    held_back_by: tuple[str, ...]
    explainer: Explainer
    reasons: tuple[Reason, ...]


def subjects(rulebase: RuleBase, rule: Rule, decision: Decision, only: str | None = None) -> Iterator[Subject]:
    """The records of a customer that a rule looks at, or only one of them. Raises `NoSubject`."""
    facts = decision.facts
    of_kind = facts.of.get(rule.subject, ())
    ids = [str(fact["id"]) for fact in of_kind]
    if only is not None and only not in ids:
        raise NoSubject(f"{decision.dossier} has no {rule.subject} {only}; it has {', '.join(ids) or 'none'}")
    for id_, this in zip(ids, of_kind, strict=True):
        if only in (None, id_):
            match = Match(rule=rule.id, subject=RecordRef(kind=rule.subject, id=id_))
            explainer = Explainer(rule=rule, this=this, facts=facts, horizon=rulebase.horizon)
            held = rulebase.held_back({*decision.matches, match}, decision.limited)
            yield Subject(
                rule=rule,
                ref=match.subject,
                at=facts.at,
                holds=match in decision.matches,
                flips_at=rulebase.next_flip(match, facts),
                reach=rule.reach(this, facts),
                to=rulebase.recipients(match, facts),
                held_back_by=held.get(match, ()),
                explainer=explainer,
                reasons=tuple(explainer.reasons()),
            )


# --- as a document ---


def document(subject: Subject, saying: AsWritten, plain: Plain) -> Document:
    """Moments are local to the office in which the rule is read."""
    local = subject.at.calendar.local
    return {
        "subject": _ref(subject.ref),
        "holds": subject.holds,
        "flips_at": None if subject.flips_at is None else local(subject.flips_at),
        "reach": subject.reach,
        "to": subject.to,
        "held_back_by": subject.held_back_by,
        "conditions": [_condition(subject, reason, saying, plain) for reason in subject.reasons],
    }


def _condition(subject: Subject, reason: Reason, saying: AsWritten, plain: Plain) -> Document:
    until = None if reason.until is None else subject.at.calendar.local(reason.until)
    said = {
        "condition": saying.reason(reason),
        "part": reason.part,
        **({} if reason.alternative is None else {"alternative": reason.alternative}),
        "value": plain(reason.value),
        "holds": reason.holds,
        "until": until,
    }
    if isinstance(reason.about, Condition):
        return {**said, "origin": _origin(subject.explainer.origin(reason.about), saying, plain)}
    found = subject.explainer.found(reason.about)
    nearest = subject.explainer.nearest(reason)
    return {
        **said,
        "records": [_related(record, saying, plain) for record in found[:SHOWN]],
        "more": max(0, len(found) - SHOWN),
        "nearest": None if nearest is None else _related(nearest, saying, plain),
    }


def _related(related: Related, saying: AsWritten, plain: Plain) -> Document:
    checks = [
        {
            "condition": saying.check(check),
            "value": plain(check.value),
            "holds": check.holds,
            "origin": _origin(check.origin, saying, plain),
        }
        for check in related.checks
    ]
    return {**_ref(related.ref), "conditions": checks}


def _origin(origin: Origin | None, saying: AsWritten, plain: Plain) -> Document | None:
    if origin is None:
        return None
    return {
        "field": ".".join(origin.field),
        "by": saying.by(origin),
        "parts": [
            {"of": saying.part(part), "value": plain(part.value), "origin": _origin(part.origin, saying, plain)}
            for part in origin.parts[:SHOWN]
        ],
        "more": max(0, len(origin.parts) - SHOWN),
    }


def _ref(ref: RecordRef) -> Document:
    return {"kind": ref.kind, "id": ref.id}
