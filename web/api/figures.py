"""Figures: how much is open, and what becomes of messages. Numbers alone: nothing in them is about anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from domain.access import Permission
from domain.delivery import DeliveryState
from store import outbox, recommendations
from store.recommendations import Sum
from web.api.access import Caller, Requires
from web.api.recommendations import shadows

router = APIRouter(tags=["figures"])


class OpenFigures(BaseModel):
    of: str | None = Field(description="The rule, product, team or verdict; null: without one.", examples=["renewal"])
    open: int = Field(description="How many recommendations are open.")
    overdue: int = Field(description="How many of them were due before today.")
    worth: str = Field(description="What is at stake in them, in the company's currency.", examples=["1284500.00"])


class Figures(BaseModel):
    currency: str = Field(examples=["CHF"])
    open: OpenFigures
    by_rule: list[OpenFigures]
    by_product: list[OpenFigures]
    by_team: list[OpenFigures]
    by_verdict: list[OpenFigures]
    deliveries: dict[DeliveryState, int] = Field(description="How many are in each state that has any.")


@router.get("/figures", response_model=Figures, operation_id="getFigures", summary="How much is open, in numbers")
def get_figures(caller: Annotated[Caller, Depends(Requires(Permission.FIGURES_READ))]) -> Figures:
    """Over all customers. What is most worth comes first."""
    base = caller.services.base
    today = base.office.today(caller.now)
    sums = recommendations.sums(caller.db, today=today, without=shadows(base))
    return Figures(
        currency=base.company.currency,
        open=_added(None, sums),
        by_rule=_by(lambda each: each.rule, sums),
        by_product=_by(lambda each: each.product, sums),
        by_team=_by(lambda each: each.team, sums),
        by_verdict=_by(lambda each: each.verdict, sums),
        deliveries=outbox.counts(caller.db),
    )


def _by(part: Callable[[Sum], str | None], sums: Iterable[Sum]) -> list[OpenFigures]:
    parts: dict[str | None, list[Sum]] = {}
    for each in sums:
        parts.setdefault(part(each), []).append(each)
    figures = [_added(of, some) for of, some in parts.items()]
    return sorted(figures, key=lambda row: (-Decimal(row.worth), row.of or ""))


def _added(of: str | None, sums: Iterable[Sum]) -> OpenFigures:
    some = list(sums)
    return OpenFigures(
        of=of,
        open=sum(each.count for each in some),
        overdue=sum(each.overdue for each in some),
        worth=str(sum((each.worth for each in some), Decimal("0.00"))),
    )
