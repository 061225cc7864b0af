"""A rule base as a JSON Schema (draft 2020-12): what an editor completes, and underlines, while somebody writes.

It accepts whatever `relance rules check` accepts, as a YAML 1.2 editor sees it (`no` is a word, `500` a number), and
refuses what can be seen without reading the rest of the rule base.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from domain.calendar import SHORTER_THAN_A_DAY
from domain.recommendation import Verdict
from domain.record import CUSTOMER
from rules.derived import ARITHMETIC, TAKES
from rules.model import Date, DateTime, Enum, FieldType, Kind, Model, Money, Number, Ref, Text, YesNo
from rules.operators import PHRASES, Phrase
from rules.phrases import LONG_PHRASES, UNITS
from rules.reading import CHANNELS, ID
from rules.rule import Stage, Tie, Who
from rules.vocabulary import LANGUAGES, SIMPLE

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LINKS_SPELLED = 3  # dotted fields are listed up to so many links; with more the schema grows faster than its use

DOCUMENTS: Mapping[str, str] = {
    "rule": "a rule: what to recommend, and when",
    "model": "kinds of records, and their fields",
    "company": "whose rules these are",
    "calendar": "an office: its hours, holidays and closing days",
    "process": "the stages of a kind of record; no effect yet",
    "dialog": "a form for the salesperson; no effect yet",
}
# What each key means, as docs/rule-language.md says it.
RULE_KEYS: Mapping[str, str] = {
    "rule": "its id: lower-case words with dashes. History hangs on it",
    "title": "for people. May be given per language: `{en: ..., de: ...}`",
    "tags": "what `holds back` addresses",
    "notes": "for people: why the rule is as it is",
    "for each": "the kind of record it is about, the *subject*",
    "when": "field -> test, all must hold. Dotted fields follow refs: `customer.segment`",
    "any of": "a list of such maps; at least one must hold as well",
    "with": "related records that must exist, each tied to the subject by `this` or `same`",
    "unless": "related records that must not exist, each tied to the subject by `this` or `same`",
    "then": "what it recommends",
    "rollout": "`draft`, `shadow` (recorded, sent to nobody), `20% of customers`, `team NAME`, `live`",
    "tests": "beside the rule",
}
THEN_KEYS: Mapping[str, str] = {
    "recommend": "`win`, `hold` or `let go`",
    "say": "one sentence; fields in `{{ }}`, with `money`, `day`, `month`, `ago`, `percent`, `number`, `years`, "
    "`next_anniversary`. Also per language",
    "do": "the next best action: `dialog NAME`, `webhook EVENT`, `open URL`, `call`, `handover TEAM`",
    "or": "its alternatives, in order",
    "to": "`owner`, `owner.manager`, `team lead`, `team NAME`, `user ID`, an address; `owner, otherwise team lead`",
    "channel": "`email`, `chat`, `inbox`, `digest`; what the person chose unless given",
    "due": "`now`, `today`, `tomorrow`, `in D`, `on the day`, `D before FIELD`",
    "worth": "a number or a field",
    "weight": "in percent; 100 is neutral",
    "repeat": "`every D, at most N times`: reminds again while open",
    "escalate": "`{after: D, to: ...}`, or a list of such steps",
    "holds back": "`{tags: [...], about: customer}`: others with these tags are recorded, but nobody is reminded",
    "set": "`{field: value}`: a classification of the customer while the rule holds",
}
# An example of each test phrase, and what it means.
PHRASE_HELP: Mapping[str, tuple[str, str]] = {
    "above {number}": ("above 1000", "more than this"),
    "below {number}": ("below 1000", "less than this"),
    "at least {number}": ("at least 1000", "this or more"),
    "at most {number}": ("at most 1000", "this or less"),
    "between {number} and {number}": ("between 1000 and 5000", "both included"),
    "starts with {text}": ("starts with CH", "upper and lower case alike"),
    "contains {text}": ("contains fibre", "upper and lower case alike"),
    "in the next {span}": ("in the next 90 days", "from so long before through the day itself"),
    "in the last {span}": ("in the last 90 days", "from the day itself through so long after"),
    "more than {span} ago": ("more than 14 days ago", "later than so long after"),
    "more than {span} away": ("more than 60 days away", "earlier than so long before"),
    "passed": ("passed", "the day, or the moment, is over"),
    "today": ("today", "on the day itself"),
    "before {day}": ("before 2027-01-31", "by the calendar, whatever day it is now"),
    "after {day}": ("after 2027-01-31", "by the calendar, whatever day it is now"),
    "anniversary in the next {span}": ("anniversary in the next 5 days", "each year, never the day itself"),
}

# --- pieces ---

WORD: Schema = {"type": ["string", "number", "boolean"]}  # what is read as it is written
YES: Schema = {"enum": [True, "yes", "true", None]}
NAME = "[a-z][a-z0-9]*(?:_[a-z0-9]+)*"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
DAY = r"\d{4}-\d\d-\d\d"
MOMENT = DAY + r"(?:[T ]\S+)?"
ANY_CASE_YES_NO = "|".join("".join(f"[{c.upper()}{c}]" for c in word) for word in ("yes", "no", "true", "false"))


def _span(*, days_only: bool) -> str:
    units = [word for word, unit in UNITS.items() if not (days_only and unit in SHORTER_THAN_A_DAY)]
    return rf"\d+\s+(?:{'|'.join(units)})".replace(" ", r"\s+")


SPAN = _span(days_only=False)


def _pattern(pattern: str, *examples: str, **more: Any) -> Schema:
    shown = {"examples": list(examples)} if examples else {}
    return {"type": "string", "pattern": f"^(?:{pattern})$", **shown, **more}


def _closed(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    """A map with these keys and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(properties), "additionalProperties": False, **needed, **more}


def _described(properties: Mapping[str, Schema], meanings: Mapping[str, str]) -> Mapping[str, Schema]:
    return {key: {"description": meanings[key], **schema} for key, schema in properties.items()}


def _one_or_list(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _escaped(words: Iterable[str]) -> str:
    """A pattern of any of these words. (`re.escape` escapes more than the patterns of JSON Schema allow.)"""
    return "|".join(re.sub(r"([\\^$.*+?()\[\]{}|/])", r"\\\1", word) for word in words)


CORE: tuple[tuple[str, Any], ...] = (
    (r"true|True|TRUE", lambda text: True),
    (r"false|False|FALSE", lambda text: False),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+|0x[0-9a-fA-F]+", lambda text: int(text, 0)),
    (NUMBER, float),
)


def _as_seen(words: tuple[str, ...]) -> list[Any]:
    """Words of an enum as an editor sees them: quoted they are words, unquoted they may be numbers."""
    readers = (next((read for pattern, read in CORE if re.fullmatch(pattern, word)), None) for word in words)
    return [*words, *(read(word) for read, word in zip(readers, words, strict=True) if read)]


# --- types and tests ---

SPAN_TEXT = _pattern(SPAN, "14 days", "4 business hours", "5 business days")
NUMBER_VALUE: Schema = {"anyOf": [{"type": "number"}, _pattern(NUMBER)]}
VALUES: Mapping[type[FieldType], Schema] = {
    Text: WORD,
    Ref: WORD,
    YesNo: {"anyOf": [{"enum": ["yes", "no", True, False]}, _pattern(ANY_CASE_YES_NO)]},
    Number: NUMBER_VALUE,
    Money: NUMBER_VALUE,
    Date: _pattern(MOMENT, "2027-01-31"),
    DateTime: _pattern(MOMENT, "2027-01-31T14:30"),
}
# A value inside a phrase; None: any words.
INSIDE: Mapping[type[FieldType], str | None] = {
    Text: None,
    Ref: None,
    YesNo: ANY_CASE_YES_NO,
    Number: NUMBER,
    Money: NUMBER,
    Date: MOMENT,
    DateTime: MOMENT,
}


def _takes(type_: FieldType) -> list[Phrase]:
    return [p for p in PHRASES if isinstance(type_, p.types) and not isinstance(type_, Ref)]


def _holes(type_: FieldType) -> Mapping[str, str]:
    return {"{span}": _span(days_only=isinstance(type_, Date)), "{number}": NUMBER, "{day}": DAY, "{text}": ".+"}


def _phrase_pattern(phrase: Phrase, holes: Mapping[str, str]) -> str:
    parts = re.split(r"(\{\w+\})", phrase.words)
    return "".join(holes.get(part) or part.replace(" ", r"\s+") for part in parts)


def _test(type_: FieldType, value: Schema, inside: str, me: Schema) -> Schema:
    """All tests of a type. `value`: of the type; `inside`: the pattern of one within a phrase; `me`: this schema."""
    holes = _holes(type_)
    phrases = [(_phrase_pattern(p, holes), *PHRASE_HELP[p.words]) for p in _takes(type_)]
    not_ = rf"not\s+(?:{inside})"
    none_of = rf"none\s+of\s+(?:{inside})(?:\s*,\s*(?:{inside}))*"
    after_or = "|".join((*(pattern for pattern, _, _ in phrases), not_, none_of, inside))
    example = phrases[0][1] if phrases else "not X"
    return {
        "anyOf": [
            {"description": "equals", **value},
            {"description": "equals one of these", "type": "array", "items": value, "minItems": 1},
            *(_pattern(pattern, example, description=meaning) for pattern, example, meaning in phrases),
            {"enum": ["missing", "present"]},
            _pattern(not_, description="any other value; a missing one is none"),
            _pattern(none_of, description="any other value; a missing one is none"),
            _pattern(rf"missing\s+or\s+(?:{after_or})", f"missing or {example}"),
            _long_form(type_, value, me),
        ],
    }


def _long_form(type_: FieldType, value: Schema, me: Schema) -> Schema:
    """`{in the next: 90 days}`"""
    holes = {hole: _pattern(pattern) for hole, pattern in _holes(type_).items()} | {
        "{number}": NUMBER_VALUE,
        "{text}": WORD,
    }
    forms: dict[str, Schema] = {
        **{word: _one_or_list(value) for word in ("is", "not", "none of")},
        **dict.fromkeys(("missing", "present"), YES),
        "missing or": me,
    }
    takes = _takes(type_)
    for words, phrase in LONG_PHRASES.items():
        if phrase in takes:
            filled = [holes[hole] for hole in re.findall(r"\{\w+\}", phrase.words)]
            several = {"type": "array", "prefixItems": filled, "minItems": len(filled), "maxItems": len(filled)}
            forms[words] = several if len(filled) > 1 else filled[0] if filled else YES
    return _closed(forms, minProperties=1, maxProperties=1)


# --- the parts of a rule that are alike in every rule base ---

TARGET: Schema = {
    "anyOf": [
        {"enum": [Who.OWNER.value, Who.MANAGER.value, Who.LEAD.value]},
        _pattern(r"[^\s,].*", "team NAME", "user ID", "owner, otherwise team lead"),
    ]
}
ACTION: Schema = {
    "anyOf": [
        {"const": "call"},
        _pattern(
            r"call|dialog\s+[\w-]+|webhook\s+[\w.-]+|open\s+https?://\S+|handover\s+\S.*",
            "handover TEAM",
            "dialog NAME",
            "webhook EVENT",
            "open https://example.com",
        ),
    ]
}
RECORD_IDS = _one_or_list(WORD)
EXPECT: Schema = {
    "description": "what is open then",
    "anyOf": [
        {"const": "nothing"},
        _closed(
            {
                "raised": {"description": "the ids of all that is open", **RECORD_IDS},
                "resolved": {"description": "the ids of what has ended since the step before", **RECORD_IDS},
                "worth": NUMBER_VALUE,
                "due": VALUES[Date],
            }
        ),
    ],
}


def _common() -> dict[str, Schema]:
    """What the definitions of a rule base refer to."""
    texts: dict[str, Schema] = dict.fromkeys(LANGUAGES, WORD)
    written = [_ref(f"test.{name}") for name in SIMPLE]
    step = {
        "on": VALUES[DateTime],
        "now": VALUES[DateTime],
        "change": {"description": "what is written then", **_ref("records")},
        "expect": EXPECT,
    }
    test = {
        "name": {"description": "what the test shows", **WORD},
        "today": {"description": "the day on which the rule is read, at noon", **VALUES[Date]},
        "now": {"description": "the moment at which the rule is read", **VALUES[DateTime]},
        "given": {"description": "the records that there are", **_ref("records")},
        "expect": EXPECT,
        "story": {
            "description": "changes along the way, and what is open when",
            **_one_or_list(_closed(step, anyOf=[{"required": ["on"]}, {"required": ["now"]}])),
        },
    }
    complete = [{"required": ["story"]}, *({"required": [day, "expect"]} for day in ("today", "now"))]
    return {
        "texts": {"anyOf": [WORD, _closed(texts, minProperties=1, description="a sentence per language")]},
        "words": _one_or_list(WORD),
        "targets": _one_or_list(TARGET),
        "tests": {"type": "array", "items": _closed(test, "name", anyOf=complete)},
        "test": {"description": "a test", "anyOf": written},
    }


THEN: Mapping[str, Schema] = {
    "recommend": {"enum": [verdict.value for verdict in Verdict]},
    "say": _ref("texts"),
    "do": ACTION,
    "or": _one_or_list(ACTION),
    "to": _ref("targets"),
    "channel": _one_or_list({"enum": list(CHANNELS)}),
    "due": {},
    "worth": {},
    "weight": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9999}, _pattern(r"\d{1,4}")]},
    "repeat": _pattern(rf"every\s+{SPAN}(?:,\s*at\s+most\s+\d+\s+times?)?", "every 14 days, at most 3 times"),
    "escalate": _one_or_list(_closed({"after": SPAN_TEXT, "to": _ref("targets")}, "after", "to")),
    "holds back": _closed(
        {
            "tags": {"description": "the tags of the rules that are held back", **_ref("words")},
            "about": {"description": "the same customer, or the same subject", "enum": [CUSTOMER, "this"]},
            "until": {"const": "resolved"},
        },
        "tags",
    ),
}
ROLLOUT: Schema = {
    "anyOf": [
        {"enum": [Stage.DRAFT.value, Stage.SHADOW.value, Stage.LIVE.value]},
        _pattern(r"\d{1,3}%\s+of\s+customers", "20% of customers"),
        _pattern(r"team\s.+", "team NAME"),
    ]
}

# --- the other documents ---

ZONE = _pattern(r"[\w+-]+(?:/[\w+-]+)*", "Europe/Zurich", description="the name of a time zone")
CURRENCY = _pattern("[A-Z]{3}", "CHF", description="a code of ISO 4217")
WEEKDAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
DAY_HOURS = r"\d\d?:\d\d-\d\d?:\d\d"
COMPANY = _closed(
    {
        "company": {"description": "its name", **WORD},
        "timezone": ZONE,
        "currency": CURRENCY,
        "language": {"enum": list(LANGUAGES)},
        "calendar": {"description": "the default office: the name of a calendar", **WORD},
    },
    "company",
)
CALENDAR = _closed(
    {
        "calendar": {"description": "the office's name", **WORD},
        "timezone": ZONE,
        "hours": {
            "description": "working hours by weekday, as in {mon-thu: 08:00-12:00 13:00-17:30, fri: 08:00-16:00}",
            "type": "object",
            "patternProperties": {
                f"^{WEEKDAY}(?:-{WEEKDAY})?$": _pattern(rf"(?:{DAY_HOURS}(?:\s+{DAY_HOURS})*)?", "09:00-17:00")
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
        "holidays": {
            "description": "the public ones, as in {country: CH, region: ZH}",
            **_closed({"country": _pattern("[A-Z]{2}", "CH"), "region": WORD}, "country"),
        },
        "closed": {"description": "the office's own days off", "type": "array", "items": _pattern(DAY, "2026-12-24")},
    },
    "calendar",
)


# --- the rule base ---


def schema(model: Model) -> Schema:
    """The schema of the files of a rule base with this model."""
    writer = _Writer(model=model)
    documents = {
        "rule": writer.rule(),
        "model": writer.model_document(),
        "company": COMPANY,
        "calendar": CALENDAR,
        "process": {"type": "object"},
        "dialog": {"type": "object"},
    }
    chosen = {
        "properties": {kind: {"description": DOCUMENTS[kind]} for kind in documents},
        "anyOf": [{"required": [kind]} for kind in documents],
    }
    for kind in reversed(documents):
        chosen = {"if": {"type": "object", "required": [kind]}, "then": _ref(kind), "else": chosen}
    return {
        "$schema": DIALECT,
        "title": "Rules for Relance",
        "type": ["object", "null"],
        **chosen,
        "$defs": {k: {"description": DOCUMENTS[k], **d} for k, d in documents.items()} | writer.defs,
    }


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Collects the definitions of a model: for each kind its fields, links, relations and records."""

    model: Model
    defs: dict[str, Schema] = field(default_factory=_common)

    def __post_init__(self) -> None:
        for name, type_ in (*SIMPLE.items(), ("ref", Ref(kind=""))):
            value = VALUES[type(type_)]
            test = _test(type_, value, INSIDE[type(type_)] or ".+", _ref(f"test.{name}"))
            self.defs[f"value.{name}"] = {"description": type_.says, **value}
            self.defs[f"test.{name}"] = {"description": type_.says, **test}
        for kind in self.model.kinds.values():
            for name, type_ in kind.fields.items():
                if isinstance(type_, Enum):
                    self._enum(f"{kind.name}.{name}", type_)
        for kind in self.model.kinds.values():
            self._kind(kind)
        recorded = {name: _one_or_list(_ref(f"record.{name}")) for name in self.model.kinds}
        self.defs["records"] = _closed(recorded)

    def _enum(self, name: str, type_: Enum) -> None:
        words = (*type_.values, *type_.groups)
        says = f"one of: {', '.join(type_.values)}"
        groups = "; ".join(f"{group}: {', '.join(members)}" for group, members in type_.groups.items())
        test = _test(type_, {"enum": _as_seen(words)}, _escaped(words), _ref(f"test.{name}"))
        self.defs[f"value.{name}"] = {"description": says, "enum": _as_seen(type_.values)}
        self.defs[f"test.{name}"] = {"description": f"{says}; groups: {groups}" if groups else says, **test}

    # --- kinds ---

    def _kind(self, kind: Kind) -> None:
        tests = {name: self._named("test", kind, name) for name in kind.fields}
        linked = {path: self._named("test", of, name) for path, of, name in self._links(kind, LINKS_SPELLED)}
        deeper = {rf"^(?:{NAME}\.){{{LINKS_SPELLED + 1},}}{NAME}$": _ref("test")}
        # Names with dots are looked at in one place, the others in the other: so both can refuse what they don't know.
        self.defs[f"links.{kind.name}"] = {
            "properties": linked,
            "patternProperties": {r"^[^.]*$": True, **deeper},
            "additionalProperties": False,
        }
        dotted: Schema = {"patternProperties": {r"\.": True}, "allOf": [_ref(f"links.{kind.name}")]}
        self.defs[f"when.{kind.name}"] = _closed(tests, **dotted)
        related = {name: {"anyOf": [*self._ties(kind, name), test]} for name, test in tests.items()}
        count: Schema = {"description": "how many of them there are, as in at least 3", **_ref("test.number")}
        self.defs[f"relation.{kind.name}"] = _closed({**related, "count": count}, **dotted)
        values = {name: self._named("value", kind, name) for name in kind.fields if name not in kind.derived}
        self.defs[f"record.{kind.name}"] = _closed(
            {name: {"anyOf": [value, {"type": "null"}]} for name, value in values.items()}
        )
        self.defs[f"relations.{kind.name}"] = _one_or_list(self._relations(kind))

    def _named(self, what: str, kind: Kind, name: str) -> Schema:
        """The values of a field, or the tests on it."""
        type_ = kind.fields[name]
        if isinstance(type_, Enum):
            return _ref(f"{what}.{kind.name}.{name}")
        return _ref(f"{what}.{next((n for n, t in SIMPLE.items() if type(t) is type(type_)), 'ref')}")

    def _links(self, kind: Kind, depth: int) -> Iterator[tuple[str, Kind, str]]:
        """(dotted path, the kind it leads to, the field of that kind) over one link and more, up to `depth` of them."""
        for ref, type_ in kind.fields.items():
            linked = self.model.kinds.get(type_.kind) if isinstance(type_, Ref) else None
            if linked is not None:
                yield from ((f"{ref}.{name}", linked, name) for name in linked.fields)
            if linked is not None and depth > 1:
                yield from ((f"{ref}.{path}", of, name) for path, of, name in self._links(linked, depth - 1))

    def _ties(self, kind: Kind, name: str) -> list[Schema]:
        """What may tie a related record by a field of its own."""
        this = [Tie.THIS] if isinstance(kind.fields[name], Ref) else []
        return [{"const": tie.value} for tie in (*this, Tie.SAME) if name not in kind.derived]

    def _relations(self, subject: Kind) -> Schema:
        """A map of related kinds, each tied to a subject of this kind."""
        # At least one of the fields that the subject has as well is the same.
        untied = {name: {"not": {"const": Tie.SAME.value}} for name in subject.fields if name not in subject.derived}
        self.defs[f"same.{subject.name}"] = {"not": {"properties": untied}}
        related: dict[str, Schema] = {}
        for kind in self.model.kinds.values():
            names = [n for n, t in kind.fields.items() if isinstance(t, Ref) and t.kind == subject.name]
            this = [{"properties": {name: {"const": Tie.THIS.value}}, "required": [name]} for name in names]
            ties = [*this, _ref(f"same.{subject.name}")]
            related[kind.name] = {"allOf": [_ref(f"relation.{kind.name}"), {"anyOf": ties}]}
        return _closed(related, minProperties=1)

    # --- documents ---

    def rule(self) -> Schema:
        customer = self.model.kinds[CUSTOMER]
        sets = {name: self._named("value", customer, name) for name in customer.fields.keys() - customer.derived}
        then = {**THEN, "set": _closed(dict(sorted(sets.items())), minProperties=1)}
        anything: Mapping[str, Schema] = {
            "rule": _pattern(ID.pattern, "quote-stalled") | {"type": ["string", "number"]},
            "title": _ref("texts"),
            "tags": _ref("words"),
            "notes": {},
            "for each": {"enum": list(self.model.kinds)},
            "when": {"type": "object"},
            "any of": {"type": "array", "minItems": 1},
            "with": {},
            "unless": {},
            "then": _closed(_described(then, THEN_KEYS), "recommend", "say"),
            "rollout": ROLLOUT,
            "tests": _ref("tests"),
        }
        whole: Schema = {"required": ["for each", "then"]}
        only_rollout: Schema = {"required": ["rollout"], "maxProperties": 2}  # of a rule of another pack
        return _closed(
            _described(anything, RULE_KEYS),
            "rule",
            anyOf=[whole, only_rollout],
            allOf=[self._about(kind) for kind in self.model.kinds.values()],
        )

    def _about(self, kind: Kind) -> Schema:
        """What a rule about a kind may say."""
        linked = [(name, kind.fields[name]) for name in kind.fields]
        linked += [(path, of.fields[name]) for path, of, name in self._links(kind, 1)]
        numbers = [path for path, type_ in linked if isinstance(type_, Number)]
        days = [path for path, type_ in linked if isinstance(type_, Date | DateTime)]
        own = [f"{kind.name}.{path}" for path in numbers]
        deeper = rf"(?:{NAME}\.){{2,}}{NAME}"
        before = rf"{SPAN}\s+before\s+(?:(?:{kind.name}\.)?(?:{_escaped(days)})|{deeper})"
        due = [
            {"enum": ["now", "today", "tomorrow", "on the day"]},
            _pattern(rf"in\s+{SPAN}", "in 4 business days"),
            _pattern(before, *(f"10 days before {path}" for path in days)),
        ]
        worth = [{"enum": [*numbers, *own]}, NUMBER_VALUE, _pattern(deeper)]
        when = _ref(f"when.{kind.name}")
        return {
            "if": {"properties": {"for each": {"const": kind.name}}, "required": ["for each"]},
            "then": {
                "properties": {
                    "when": when,
                    "any of": {"items": when},
                    "with": _ref(f"relations.{kind.name}"),
                    "unless": _ref(f"relations.{kind.name}"),
                    "then": {"properties": {"due": {"anyOf": due}, "worth": {"anyOf": worth}}},
                }
            },
        }

    def model_document(self) -> Schema:
        """Loose where it names kinds and fields: those that are being written are not in the schema yet."""
        path = _pattern(rf"{NAME}\.{NAME}")
        aggregates = {way: {"anyOf": [{"enum": self._fields(types)}, path]} for way, types in TAKES.items()}
        aggregates["count"] = {"anyOf": [{"enum": list(self.model.kinds)}, _pattern(NAME)]}
        where: Schema = {
            "description": "which records: field -> test, and ties",
            "type": "object",
            "additionalProperties": _ref("test"),
        }
        operands = {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 2}
        words = {"type": "array", "items": WORD, "minItems": 1}
        references = [f"ref {name}" for name in (*self.model.kinds, "user")]
        self.defs["type"] = {
            "description": "what the field holds",
            "anyOf": [
                {"enum": [*SIMPLE, *references]},
                _pattern(rf"ref {NAME}"),
                _closed({"enum": words, "groups": {"type": "object", "additionalProperties": words}}, "enum"),
                _closed({"money": CURRENCY}, "money"),
                *(_closed({way: of, "where": where}, way) for way, of in aggregates.items()),
                *(_closed({way: operands}, way) for way in ARITHMETIC),
            ],
        }
        a_type = {rf"^(?!count$){NAME}$": _ref("type")}
        fields = {"type": ["object", "null"], "patternProperties": a_type, "additionalProperties": False}
        kinds: Schema = {"type": ["object", "null"], "patternProperties": {rf"^{NAME}$": fields}}
        kinds |= {"properties": {name: {} for name in self.model.kinds}, "additionalProperties": False}
        return _closed({"model": {"description": DOCUMENTS["model"], **kinds}}, "model")

    def _fields(self, types: tuple[type[FieldType], ...]) -> list[str]:
        return [f"{k.name}.{n}" for k in self.model.kinds.values() for n, t in k.fields.items() if isinstance(t, types)]
