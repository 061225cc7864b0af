"""A rule base: every rule of a stack of packs, compiled, and what it decides about a dossier at a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from domain.calendar import TICK, Calendar
from domain.person import People
from domain.recommendation import Advice, Match
from domain.record import Dossier, RecordRef, Timeline
from rules.advice import Adviser, owner_of
from rules.compiled import Compiled, compile_rules
from rules.engine import Disagreement, Engine, EngineFailure
from rules.explain import Reason, reasons, why
from rules.horizon import next_flip
from rules.model import Fact, Facts, Model, Unreadable
from rules.operators import At
from rules.rule import Rule
from rules.vocabulary import Company
from rules.wording import Wording

NOBODY = People()


class Undecidable(Exception):
    """Nothing can be said of this customer now; the message says why. The others are not touched by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What holds for one customer at one moment.

    `next_check`: the first later moment at which the set of matches differs if nothing is written; None: never.
    """

    dossier: str
    now: datetime
    matches: tuple[Match, ...]
    next_check: datetime | None
    facts: Facts = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RuleBase:
    """Rules, the words they use and the offices they are read in. `hash` names exactly this rule base."""

    rules: tuple[Rule, ...]
    model: Model
    company: Company
    office: Calendar
    calendars: Mapping[str, Calendar]
    hash: str

    @cached_property
    def compiled(self) -> Compiled:
        return compile_rules(self.rules)

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.rules)

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {rule.id: index for index, rule in enumerate(self.rules)}

    def facts(self, dossier: Dossier) -> Facts:
        """Raises `Unreadable`."""
        return self.model.facts(dossier)

    def calendar(self, facts: Facts, people: People) -> Calendar:
        """The office in which a customer's rules are read: its owner's, else the company's.

        Of a dossier without a customer it is the office of its one record's owner.
        """
        subject = facts.customer or next((fact for of_kind in facts.of.values() for fact in of_kind), {})
        owner = people.get(owner_of(subject, facts))
        office = owner.office if owner else None
        return self.calendars.get(office, self.office) if office else self.office

    def at(self, facts: Facts, now: datetime, people: People) -> At:
        return At.of(now, self.calendar(facts, people))

    # --- deciding ---

    def decide(self, dossier: Dossier, *, now: datetime, people: People = NOBODY) -> Decision:
        """Raises `Undecidable`."""
        try:
            facts = self.facts(dossier)
        except Unreadable as failure:
            raise Undecidable(str(failure)) from None
        return self.decide_facts(facts, self.at(facts, now, people))

    def decide_facts(self, facts: Facts, at: At) -> Decision:
        """The compiled reader selects, the engine decides, and both must agree. Raises `Undecidable`."""
        hits, live = self.compiled.select(facts, at)
        next_check: datetime | None = None
        for index, this in live:
            holds = self.compiled.holds[index]
            truth = holds(this, facts, at)
            if truth:
                hits.append((index, this))
            flip = next_flip(self.rules[index], this, facts, at, holds=holds, truth=truth, before=next_check)
            next_check = flip if flip is not None else next_check
        selected = {(index, str(this["id"])) for index, this in hits}
        try:
            self.engine.judge(selected, facts, at)
        except Disagreement as disagreement:
            raise Undecidable(self._disagreement(disagreement)) from None
        except EngineFailure as failure:
            raise Undecidable(str(failure)) from None
        matches = sorted(
            (self.rules[index].id, RecordRef(kind=self.rules[index].subject, id=id_)) for index, id_ in selected
        )
        return Decision(
            dossier=facts.dossier.id,
            now=at.now,
            matches=tuple(Match(rule=rule, subject=subject) for rule, subject in matches),
            next_check=next_check,
            facts=facts,
        )

    def _disagreement(self, disagreement: Disagreement) -> str:
        def named(found: set[tuple[int, str]]) -> str:
            return ", ".join(sorted(f"{self.rules[i].id} for {id_}" for i, id_ in found)) or "nothing"

        return (
            "the rule engine and the compiled rules disagree: "
            f"only the engine finds {named(disagreement.only_engine)}, "
            f"only the compiled rules find {named(disagreement.only_reader)}"
        )

    def replay(
        self, timeline: Timeline, *, since: datetime, until: datetime, people: People = NOBODY
    ) -> Iterator[Decision]:
        """Every decision from `since` to `until`: at `since`, at each write, and at each flip in between.

        Running late, twice or day by day passes the same moments, so it ends in the same state. A past state that
        cannot be decided is passed over: while it lasted, what had been decided before stood. Raises `Undecidable`
        for the last one.
        """
        states = [(since, timeline.dossier)]
        states += [(max(moment, since), dossier) for moment, dossier in timeline.changes if moment <= until]
        ends = [begin - TICK for begin, _ in states[1:]] + [until]
        for (begin, dossier), end in zip(states, ends, strict=True):
            try:
                yield from self._while_unchanged(dossier, begin, end, people)
            except Undecidable:
                if end == until:
                    raise

    def _while_unchanged(self, dossier: Dossier, begin: datetime, end: datetime, people: People) -> Iterator[Decision]:
        """The decisions at `begin` and at each flip up to and including `end`."""
        at: datetime | None = begin
        while at is not None and at <= end:
            decision = self.decide(dossier, now=at, people=people)
            yield decision
            at = decision.next_check

    # --- words ---

    def advise(
        self,
        match: Match,
        facts: Facts,
        *,
        now: datetime,
        opened_at: datetime,
        people: People = NOBODY,
        language: str | None = None,
    ) -> Advice:
        """Raises KeyError where the rule or its subject is gone."""
        rule = self.by_id[match.rule]
        this = self.subject(match, facts)
        return self.adviser(people).advise(
            rule, this, facts, at=self.at(facts, now, people), opened_at=opened_at, language=language
        )

    def wording(self, facts: Facts, *, now: datetime, people: People = NOBODY, language: str | None = None) -> Wording:
        """Conditions and facts in a language, the company's unless another is asked for."""
        return Wording(voice=self.adviser(people).voice(self.at(facts, now, people), language), model=self.model)

    def adviser(self, people: People) -> Adviser:
        return Adviser(model=self.model, company=self.company, people=people)

    def recipients(self, match: Match, facts: Facts, people: People) -> tuple[str, ...]:
        """Whom the rule speaks to about a subject, as in `Advice.to`."""
        return self.adviser(people).addressed(self.by_id[match.rule], self.subject(match, facts), facts)

    def subject(self, match: Match, facts: Facts) -> Fact:
        this = facts.find(match.subject.kind, match.subject.id)
        if this is None:
            raise KeyError(str(match.subject))
        return this

    def owner(self, match: Match, facts: Facts) -> str | None:
        """Who looks after a match's subject."""
        return owner_of(self.subject(match, facts), facts)

    def why(self, match: Match, facts: Facts, *, now: datetime, people: People = NOBODY) -> tuple[Reason, ...]:
        """The conditions that made it hold."""
        return why(self.by_id[match.rule], self.subject(match, facts), facts, self.at(facts, now, people))

    def trace(self, match: Match, facts: Facts, *, now: datetime, people: People = NOBODY) -> tuple[Reason, ...]:
        """Every condition, those that fail included."""
        return reasons(self.by_id[match.rule], self.subject(match, facts), facts, self.at(facts, now, people))

    def holds(self, match: Match, facts: Facts, *, now: datetime, people: People = NOBODY) -> bool:
        """Whether the rule is true for the subject, by the compiled reader alone."""
        return self.compiled.holds[self._index[match.rule]](
            self.subject(match, facts), facts, self.at(facts, now, people)
        )

    def next_flip(self, match: Match, facts: Facts, *, now: datetime, people: People = NOBODY) -> datetime | None:
        """When time alone changes what the rule says of the subject; None: never."""
        index = self._index[match.rule]
        this, at = self.subject(match, facts), self.at(facts, now, people)
        holds = self.compiled.holds[index]
        truth = holds(this, facts, at)
        return next_flip(self.rules[index], this, facts, at, holds=holds, truth=truth, before=None)

    def held_back(self, matches: Sequence[Match]) -> Mapping[Match, tuple[str, ...]]:
        """Which of one customer's matches others hold back, by the ids of the rules that do."""
        held: dict[Match, tuple[str, ...]] = {}
        for match in matches:
            tags = set(self.by_id[match.rule].tags)
            by = [
                other.rule
                for other in matches
                if (holder := self.by_id[other.rule].then.holds_back) is not None
                and other.rule != match.rule
                and tags.intersection(holder.tags)
                and (holder.about_customer or other.subject == match.subject)
            ]
            if by:
                held[match] = tuple(sorted(set(by)))
        return held
