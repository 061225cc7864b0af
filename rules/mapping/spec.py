"""The shape of a mapping file, as it is written."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rules.mapping.fold import FOLDS
from rules.mapping.values import CASES, NUMBER_STYLES, date_format


def _as_list(written: object) -> object:
    return [written] if isinstance(written, str) else written


def _one_of(*allowed: str) -> BeforeValidator:
    def check(written: object) -> object:
        if written not in allowed:
            raise ValueError(f'"{written}" is not known here; allowed: {", ".join(allowed)}')
        return written

    return BeforeValidator(check)


def _dates_shown(written: object) -> object:
    examples = _as_list(written)
    for example in examples if isinstance(examples, list) else ():
        if isinstance(example, str):
            date_format(example)
    return examples


Texts: TypeAlias = Annotated[list[str], BeforeValidator(_as_list)]
Case: TypeAlias = Annotated[str, _one_of(*CASES)]
How: TypeAlias = Annotated[str, _one_of(*FOLDS)]
Dates: TypeAlias = Annotated[list[str], BeforeValidator(_dates_shown)]
NumberStyle: TypeAlias = Annotated[str, _one_of(*NUMBER_STYLES)]


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ValueSpec(Spec):
    """Where a value comes from, and how it is read. A bare text is a column, or a template if it has braces."""

    column: str | None = None
    template: str | None = None
    constant: str | None = None
    required: bool = False
    on_error: Literal["reject", "missing"] = Field("reject", alias="on error")
    replace: dict[str, str] = {}
    case: Case | None = None
    values: dict[str, str] = {}
    empty: Texts | None = None
    dates: Dates | None = None
    numbers: NumberStyle | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, written: object) -> object:
        if isinstance(written, str):
            return {"template" if "{" in written else "column": written}
        return written

    @model_validator(mode="after")
    def _one_origin(self) -> ValueSpec:
        if [self.column, self.template, self.constant].count(None) != 2:
            raise ValueError("a value comes from one of these: column, template, constant")
        return self


class RecordSpec(Spec):
    """One record made of a row. With `fold`, many rows of the same id make one record."""

    kind: str
    id: ValueSpec
    customer: ValueSpec | None = None
    when: dict[str, Texts] = {}
    fields: dict[str, ValueSpec] = {}
    fold: dict[str, How] | None = None
    may_differ: Texts = Field([], alias="may differ")
    in_order: Texts = Field([], alias="in order")


class MapSpec(Spec):
    map: str
    encoding: str = "utf-8-sig"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    empty: Texts = [""]
    dates: Dates = []
    numbers: NumberStyle = "1,234.56"
    records: Annotated[list[RecordSpec], Field(min_length=1)]
