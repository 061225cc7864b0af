"""Days on which an office is closed: public holidays by country and region, and its own."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

YEARS = range(1900, 2101)  # those that laws and tables of lunar calendars say anything about


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysOff:
    """A container of dates: the public holidays of a country (ISO 3166) and region (ISO 3166-2), and single days."""

    country: str | None = None
    region: str | None = None
    single: frozenset[date] = frozenset()

    def and_on(self, days: Iterable[date]) -> DaysOff:
        return replace(self, single=self.single.union(days))

    def __contains__(self, day: object) -> bool:
        if day in self.single:
            return True
        if self.country is None or not isinstance(day, date) or day.year not in YEARS:
            return False
        return day in _public(self.country, self.region, day.year)


@lru_cache(maxsize=4096)
def _public(country: str, region: str | None, year: int) -> Set[date]:
    """What is made up for on a weekday when it falls on a weekend is there too, on that weekday."""
    import holidays  # only offices that keep holidays pay for it

    return frozenset(holidays.country_holidays(country, subdiv=region, years=year))


def regions_of(country: str) -> tuple[str, ...] | None:
    """The regions with holidays of their own; None: no such country."""
    import holidays

    found = holidays.list_supported_countries(include_aliases=True).get(country)
    return None if found is None else tuple(found)
