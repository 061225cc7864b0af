"""A rule base: every rule of a stack of packs, compiled, and what it decides about a dossier at a moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from operator import itemgetter

from domain.calendar import TICK, At, Calendar
from domain.person import People
from domain.recommendation import Advice, Match
from domain.record import CUSTOMER, Dossier, RecordRef, Timeline
from rules.advice import Adviser, team
from rules.compiled import Compiled, Hit, compile_rules, work_out
from rules.engine import Disagreement, Engine, EngineFailure
from rules.explain import Explainer, Reason
from rules.horizon import Horizon
from rules.model import Fact, Facts, FieldKey, Model, Unreadable
from rules.rule import Derived, Escalation, Reach, Rule, Stage
from rules.strata import Classified, Strata
from rules.vocabulary import Company
from rules.wording import Wording

NOBODY = People()


class Undecidable(Exception):
    """Nothing can be said of this customer now; the message says why. The others are not touched by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What holds for one customer at one moment.

    `limited`: of those matches that remind nobody, why. `next_check`: the first later moment at which the set of
    matches differs if nothing is written; None: never.
    """

    dossier: str
    now: datetime
    matches: tuple[Match, ...]
    limited: Mapping[Match, Reach]
    next_check: datetime | None
    facts: Facts = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RuleBase:
    """Rules, the words they use and the offices they are read in. `hash` names exactly this rule base."""

    rules: tuple[Rule, ...]
    model: Model
    strata: Strata
    company: Company
    office: Calendar
    calendars: Mapping[str, Calendar]
    hash: str

    @cached_property
    def compiled(self) -> Compiled:
        return compile_rules(self.rules, self.strata)

    @cached_property
    def engine(self) -> Engine:
        return Engine.of(self.rules)

    @cached_property
    def horizon(self) -> Horizon:
        return Horizon(strata=self.strata, move=self.move)

    @cached_property
    def adviser(self) -> Adviser:
        return Adviser(model=self.model, company=self.company)

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def _last_at(self) -> dict[int, At]:
        """The moment last read, by the identity of its calendar."""
        return {}

    @cached_property
    def _clocked_kinds(self) -> frozenset[str]:
        """The kinds that have fields which time alone may change."""
        return frozenset(kind for kind, _, _ in self.compiled.clocked)

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {rule.id: index for index, rule in enumerate(self.rules)}

    def reads(self) -> frozenset[str]:
        """The kinds of records that decide anything."""
        fields = (key for rule in self.rules for key in rule.fields())
        return frozenset(kind for rule in self.rules for kind in rule.reads()) | self.strata.behind(fields).kinds()

    def source(self, rule: Rule) -> str:
        """The Python that a rule becomes, with that of everything it rests on."""
        strata = self.strata.behind(rule.fields())
        setters = (setter for step in strata.steps if isinstance(step, Classified) for setter in step.rules)
        return compile_rules([rule, *(setter for setter in setters if setter is not rule)], strata).source

    def given(self, fields: Set[FieldKey]) -> RuleBase:
        """The same where these fields are what is recorded, also those that would be worked out."""
        derived = fields & {step.key for step in self.strata.steps if isinstance(step, Derived)}
        if not derived:
            return self
        kinds = self.model.kinds.values()
        left = {(kind.name, name) for kind in kinds for name in kind.derived} - derived
        model = Model.of({kind.name: kind.fields for kind in kinds}, self.model.zone, derived=left)
        return replace(self, model=model, strata=self.strata.without(derived))

    # --- facts ---

    def facts(self, dossier: Dossier, *, now: datetime, people: People = NOBODY) -> Facts:
        """A dossier as it stands at a moment, among these people. Raises `Unreadable`."""
        recorded = self.model.read(dossier)
        calendar = self._calendar(recorded, people)
        at = self._last_at.get(id(calendar))
        if at is None or at.now != now:  # customers are read by the hundred at one moment
            at = self._last_at[id(calendar)] = At.of(now, calendar)
        facts = Facts(dossier=dossier, at=at, people=people, of=recorded, recorded=recorded)
        work_out(self.compiled.lasting, facts)
        return self.move(facts, at) if self.compiled.clocked else facts

    def _calendar(self, recorded: Mapping[str, list[Fact]], people: People) -> Calendar:
        """The office in which a customer's rules are read: its owner's, else the company's.

        Of a dossier without a customer it is the office of its one record's owner.
        """
        of_kind = recorded.get(CUSTOMER) or next(iter(recorded.values()), [])
        owner = people.get(str(of_kind[0]["owner"])) if of_kind and "owner" in of_kind[0] else None
        office = owner.office if owner else None
        return self.calendars.get(office, self.office) if office else self.office

    def move(self, facts: Facts, at: At) -> Facts:
        """The same dossier as it stands at another moment if nobody writes."""
        known = facts.moments.get(at.now)
        if known is not None:
            return known
        of = {
            kind: [dict(fact) for fact in records] if kind in self._clocked_kinds else records
            for kind, records in facts.recorded.items()
        }
        moved = replace(facts, at=at, of=of, index={})
        work_out(self.compiled.clocked, moved)
        facts.moments[at.now] = moved
        return moved

    # --- deciding ---

    def decide(self, dossier: Dossier, *, now: datetime, people: People = NOBODY) -> Decision:
        """Raises `Undecidable`."""
        try:
            facts = self.facts(dossier, now=now, people=people)
        except Unreadable as failure:
            raise Undecidable(str(failure)) from None
        return self._decide(facts)

    def _decide(self, facts: Facts) -> Decision:
        """The compiled reader selects, the engine decides, and both must agree. Raises `Undecidable`."""
        at = facts.at
        hits, live, next_check = self.compiled.select(facts, at)
        for index, this in live:
            holds = self.compiled.holds[index]
            truth = holds(this, facts, at)
            if truth:
                hits.append((index, this))
            flip = self.horizon.flip(self.rules[index], this, facts, holds=holds, truth=truth, before=next_check)
            next_check = flip if flip is not None else next_check
        try:
            self.engine.judge(hits, facts, at)
        except Disagreement as disagreement:
            raise Undecidable(self._disagreement(disagreement)) from None
        except EngineFailure as failure:
            raise Undecidable(str(failure)) from None
        found = {(self.rules[index].id, str(this["id"])): (index, this) for index, this in hits}
        matches: list[Match] = []
        limited: dict[Match, Reach] = {}
        subjects: dict[int, RecordRef] = {}
        for (rule_id, id_), (index, this) in sorted(found.items(), key=itemgetter(0)):
            rule = self.rules[index]
            subject = subjects.get(id(this))
            if subject is None:
                subject = subjects[id(this)] = RecordRef(kind=rule.subject, id=id_)
            match = Match(rule=rule_id, subject=subject)
            matches.append(match)
            if rule.rollout.stage is not Stage.LIVE and (reach := rule.reach(this, facts)) is not Reach.LIVE:
                limited[match] = reach
        return Decision(
            dossier=facts.dossier.id,
            now=at.now,
            matches=tuple(matches),
            limited=limited,
            next_check=next_check,
            facts=facts,
        )

    def _disagreement(self, disagreement: Disagreement) -> str:
        def named(found: Sequence[Hit]) -> str:
            return ", ".join(sorted(f"{self.rules[i].id} for {this['id']}" for i, this in found)) or "nothing"

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

    # --- what a match says, at the moment of the facts; each raises KeyError where the rule or its subject is gone ---

    def advise(self, match: Match, facts: Facts, *, opened_at: datetime, language: str | None = None) -> Advice:
        rule, this = self._found(match, facts)
        return self.adviser.advise(rule, this, facts, opened_at=opened_at, language=language)

    def wording(self, facts: Facts, *, language: str | None = None) -> Wording:
        """Conditions and facts in a language, the company's unless another is asked for."""
        return Wording(voice=self.adviser.voice(facts.at, language), model=self.model)

    def recipients(self, match: Match, facts: Facts) -> tuple[str, ...]:
        """Whom the rule speaks to about a subject, as in `Advice.to`."""
        rule, this = self._found(match, facts)
        return self.adviser.reached(rule.then.to, this, facts)

    def team(self, match: Match, facts: Facts) -> str | None:
        """As in `Advice.team`."""
        return team(self.subject(match, facts), facts)

    def escalated_to(self, match: Match, facts: Facts, escalation: Escalation) -> tuple[str, ...]:
        """Whom a step of the rule's escalation speaks to about a subject, as in `Advice.to`."""
        return self.adviser.reached(escalation.to, self.subject(match, facts), facts)

    def subject(self, match: Match, facts: Facts) -> Fact:
        this = facts.find(match.subject.kind, match.subject.id)
        if this is None:
            raise KeyError(str(match.subject))
        return this

    def _found(self, match: Match, facts: Facts) -> tuple[Rule, Fact]:
        return self.by_id[match.rule], self.subject(match, facts)

    def owner(self, match: Match, facts: Facts) -> str | None:
        """Who looks after a match's subject."""
        return facts.owner(self.subject(match, facts))

    def why(self, match: Match, facts: Facts) -> tuple[Reason, ...]:
        """The conditions that made it hold."""
        return tuple(self._explainer(match, facts).why())

    def trace(self, match: Match, facts: Facts) -> tuple[Reason, ...]:
        """Every condition, those that fail included."""
        return tuple(self._explainer(match, facts).reasons())

    def _explainer(self, match: Match, facts: Facts) -> Explainer:
        rule, this = self._found(match, facts)
        return Explainer(rule=rule, this=this, facts=facts, horizon=self.horizon)

    def holds(self, match: Match, facts: Facts) -> bool:
        """Whether the rule is true for the subject, by the compiled reader alone."""
        return self.compiled.holds[self._index[match.rule]](self.subject(match, facts), facts, facts.at)

    def next_flip(self, match: Match, facts: Facts) -> datetime | None:
        """When time alone changes what the rule says of the subject; None: never."""
        rule, this = self._found(match, facts)
        holds = self.compiled.holds[self._index[match.rule]]
        return self.horizon.flip(rule, this, facts, holds=holds, truth=holds(this, facts, facts.at))

    def held_back(self, matches: Collection[Match], limited: Collection[Match]) -> Mapping[Match, tuple[str, ...]]:
        """Which of one customer's matches others hold back, by the ids of the rules that do.

        Those in `limited` remind nobody, and hold nothing back.
        """
        held: dict[Match, tuple[str, ...]] = {}
        for match in matches:
            tags = set(self.by_id[match.rule].tags)
            by = [
                other.rule
                for other in matches
                if (holder := self.by_id[other.rule].then.holds_back) is not None
                and other not in limited
                and other.rule != match.rule
                and tags.intersection(holder.tags)
                and (holder.about_customer or other.subject == match.subject)
            ]
            if by:
                held[match] = tuple(sorted(set(by)))
        return held
