"""Federal contracts as they were published, dirt included, from the file to the mailbox of the desk that owns them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from store.dossiers import counts
from tests.story.conftest import Company
from tests.story.real_data import EXAMPLES, data, rows_of
from tests.story.relance import Relance

FILE, MAP = "gsa_schedule70_contracts/s70_data.csv", EXAMPLES / "gsa" / "map.yaml"
NEW_YEAR = datetime(2019, 1, 1, 13, tzinfo=UTC)
DESK, RULE = "federal-desk@example.com", "contract-expiring"


def us_date(text: str) -> date | None:
    """None: no date."""
    try:
        return datetime.strptime(text, "%m/%d/%y").date()  # noqa: DTZ007
    except ValueError:
        return None


@pytest.fixture
def file() -> Path:
    return data(FILE)


@pytest.fixture
def ends(file: Path) -> dict[str, set[date]]:
    """Every end that the file gives for a contract, by its number."""
    found: dict[str, set[date]] = defaultdict(set)
    for _, row in rows_of(file):
        end = us_date(row["CONTRACT END DATE"])
        if end and row["CONTRACT NUMBER"]:
            found[row["CONTRACT NUMBER"]].add(end)
    return found


def ending(ends: dict[str, set[date]], today: date) -> set[str]:
    """The contracts whose latest end is at most 90 days away."""
    return {number for number, given in ends.items() if today <= max(given) <= today + timedelta(days=90)}


def started(company: Company, file: Path, *, database: str | None = None) -> Relance:
    relance = company("gsa", NEW_YEAR, database=database)
    relance.imports(file, MAP)
    return relance


def named(relance: Relance) -> Counter[str]:
    """How often each contract was mailed about."""
    topics = (re.search(r"^\[WIN\]  Contract (.+) · due", mail.text, re.MULTILINE) for mail in relance.mailbox(DESK))
    return Counter(topic[1] for topic in topics if topic)


def test_every_contract_is_stored_and_every_dirty_line_is_reported(
    company: Company, file: Path, ends: dict[str, set[date]], tmp_path: Path
) -> None:
    relance = company("gsa", NEW_YEAR)
    report = relance.imports(file, MAP, report_to=tmp_path / "report.csv")
    found = [row for _, row in rows_of(tmp_path / "report.csv")]
    lines = rows_of(file)

    assert counts(relance.db)["contract"] == len(ends) == 246
    nameless = {line for line, row in lines if not row["CONTRACT NUMBER"]}
    assert {int(row["line"]) for row in found if row["severity"] == "error"} == nameless
    assert (report.rows, report.rejected, len(nameless)) == (4157, 1, 1)
    no_start = {line for line, row in lines if us_date(row["CONTRACT START DATE"]) is None}
    assert {int(row["line"]) for row in found if row["reason"].startswith("start_date ")} == no_start
    assert len(no_start) == 23

    several = {number for number, given in ends.items() if len(given) > 1}
    conflicts = {row["id"] for row in found if row["field"] == "end_date" and row["reason"].startswith("rows ")}
    assert conflicts == several
    assert len(several) == 9


def test_importing_the_same_file_again_wakes_nobody(company: Company, file: Path) -> None:
    relance = started(company, file)
    relance.runs()
    relance.now += timedelta(minutes=1)
    relance.imports(file, MAP)
    assert relance.runs().evaluated.customers == 0


def test_exactly_the_contracts_that_end_in_90_days_are_open_and_mailed_once(
    company: Company, file: Path, ends: dict[str, set[date]], database_url: str
) -> None:
    relance = started(company, file, database=database_url)
    mailed = Counter[str]()
    for day, count in {"2019-06-01": 28, "2019-09-01": 35, "2020-03-01": 44}.items():
        expected = ending(ends, date.fromisoformat(day))
        assert len(expected) == count
        assert relance.at(day).runs().dispatched.sent == count
        assert relance.open_subjects(RULE) == expected
        mailed += Counter(expected)
        assert named(relance) == mailed
        again = relance.runs()
        assert (again.evaluated.customers, again.dispatched.claimed) == (0, 0)


def test_where_rows_contradict_each_other_the_latest_end_counts(
    company: Company, file: Path, ends: dict[str, set[date]]
) -> None:
    relance = started(company, file)
    number = "GS-35F-217BA"  # ends on 13 February 2019 by some of its rows, on 23 March 2020 by others
    assert ends[number] == {date(2019, 2, 13), date(2020, 3, 23)}
    relance.at("2019-02-01").runs()
    assert number not in relance.open_subjects(RULE)
    relance.at("2020-03-01").runs()
    assert number in relance.open_subjects(RULE)


def test_a_jump_of_seventeen_months_is_running_every_day(company: Company, file: Path) -> None:
    jumping, daily = started(company, file), started(company, file)
    jumping.runs()
    for _ in range((date(2020, 6, 1) - date(2019, 1, 1)).days + 1):
        daily.runs()
        daily.now += timedelta(days=1)
    jumping.at("2020-06-01T15:00").runs()

    def episodes(relance: Relance) -> set[tuple[object, ...]]:
        return {(r.rule, r.subject, r.opened_at, r.ended_at, r.state) for r in relance.recommendations()}

    assert episodes(jumping) == episodes(daily)
    assert len(episodes(daily)) == 236
    # Only who ran every day could mail about all of them; what a jump missed, it mails to nobody.
    assert named(daily).keys() == {r.subject.id for r in daily.recommendations()}
    assert max(named(daily).values()) == 4  # the first, and three more
    assert named(jumping) == Counter(r.subject.id for r in jumping.recommendations() if not r.missed)
