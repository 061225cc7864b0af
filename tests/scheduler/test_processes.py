"""Decisions in worker processes: whatever happens to a process costs the customer it was at, and nobody else."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from rules.loader import load
from rules.rulebase import RuleBase, Undecidable
from scheduler import processes
from scheduler.processes import CHUNK, Failed, Processes, Unusable, in_this_process, try_out
from tests.poison import POISONS, Unbuildable, says

# On purpose, and by now warned of: under pytest-xdist there is a thread that the forked processes have no use for.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

MANY = [str(number) for number in range(3 * CHUNK + 7)]


def decide(base: RuleBase, item: str) -> str:
    """Items are customers; some of them are poison."""
    if item in POISONS:
        POISONS[item]()
    if item == "undecidable":
        raise Undecidable("its data cannot be read")
    return f"{item} by {len(base.rules)} rules"


def decide_at(folder: Path, base: RuleBase, item: str) -> str:
    """Poison is only poison the first time. `stuck` waits to be killed, and says where."""
    first = folder / f"{item} happened"
    if item in (*POISONS, "stuck") and not first.exists():
        first.touch()
        if item == "stuck":
            (folder / "stuck").write_text(str(os.getpid()))
            signal.pause()
        decide(base, item)
    return f"{item} again"


def decider(base: RuleBase, item: str) -> int:
    return os.getpid()


def interrupted(base: RuleBase, item: str) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return item


@pytest.fixture(scope="module")
def base() -> RuleBase:
    return load(["base"])


@pytest.fixture(params=["spawn", "fork"])
def two(request: pytest.FixtureRequest, base: RuleBase) -> Iterator[Processes]:
    """Two processes, with a second for each customer."""
    with Processes(base, count=2, limit_s=1.0, fork=request.param == "fork") as two:
        yield two


def failed(answers: Mapping[str, object]) -> dict[str, str]:
    return {item: answer.reason for item, answer in answers.items() if isinstance(answer, Failed)}


def test_everybody_has_the_answer_that_this_process_would_give(two: Processes, base: RuleBase) -> None:
    items = [*MANY, "undecidable"]
    assert dict(two.each(decide, items)) == dict(in_this_process(base, decide, items))


@pytest.mark.parametrize("poison", POISONS)
def test_who_ends_or_holds_up_a_process_fails_with_the_reason_and_the_others_are_decided(
    two: Processes, base: RuleBase, poison: str
) -> None:
    answers = dict(two.each(decide, [*MANY[:40], poison, *MANY[40:]]))
    assert says(poison, failed(answers).pop(poison))
    del answers[poison]
    assert answers == dict(in_this_process(base, decide, MANY))


def test_several_in_one_chunk_fail_each_for_a_reason_of_its_own(two: Processes) -> None:
    reasons = failed(dict(two.each(decide, ["crash", *MANY[:5], "undecidable", "broken", *MANY[5:9], "killed"])))
    assert reasons.pop("undecidable") == "its data cannot be read"
    assert sorted(reasons) == ["broken", "crash", "killed"]
    assert all(says(poison, reason) for poison, reason in reasons.items())


def test_what_happens_only_once_costs_nobody_anything(two: Processes, tmp_path: Path) -> None:
    items = [*MANY[:3], "killed", *MANY[3:30], "broken", "loop", *MANY[30:]]
    answers = dict(two.each(partial(decide_at, tmp_path), items))
    assert answers == {item: f"{item} again" for item in items}


def test_a_process_that_is_killed_in_the_middle_of_a_chunk_costs_nobody_anything(
    two: Processes, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "stuck")
    killer = subprocess.Popen(["sh", "-c", 'kill -9 "$(cat stuck)"'], cwd=tmp_path)
    items = [*MANY[:3], "stuck", *MANY[3:]]
    answers = dict(two.each(partial(decide_at, tmp_path), items))
    assert killer.wait() == 0
    assert answers == {item: f"{item} again" for item in items}


def test_processes_that_are_killed_while_they_have_nothing_to_do_are_replaced(two: Processes) -> None:
    pids = {pid for _, pid in two.each(decider, MANY) if isinstance(pid, int)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        select.select([os.pidfd_open(pid)], [], [])
    ((_, pid),) = two.each(decider, ["1"])
    assert pid not in pids


def test_a_few_customers_need_one_process_and_it_stays(two: Processes) -> None:
    (first,) = {pid for _, pid in two.each(decider, MANY[:CHUNK])}
    assert [pid for _, pid in two.each(decider, MANY[:2])] == [first, first]
    assert len({pid for _, pid in two.each(decider, MANY)}) == 2
    assert os.getpid() not in {pid for _, pid in two.each(decider, MANY)}


def test_nobody_hears_the_answers_that_another_did_not_wait_for(two: Processes, base: RuleBase) -> None:
    first = two.each(decide, MANY)
    next(first)
    del first
    assert dict(two.each(decider, ["1"])).keys() == {"1"}
    assert dict(two.each(decide, MANY)) == dict(in_this_process(base, decide, MANY))


def test_an_interrupt_from_the_keyboard_leaves_the_processes_at_work(two: Processes) -> None:
    assert dict(two.each(interrupted, MANY[:3])) == {item: item for item in MANY[:3]}


# --- rules that cannot be built ---


@pytest.mark.parametrize("poison", ["crash", "hang", "broken"])
def test_rules_that_end_or_hold_up_what_builds_them_are_found_out(
    base: RuleBase, monkeypatch: pytest.MonkeyPatch, poison: str
) -> None:
    monkeypatch.setattr(processes, "BUILD_LIMIT_S", 1.0)
    with pytest.raises(Unusable) as unusable:
        try_out(Unbuildable.of(base, poison=poison))
    assert says(poison, str(unusable.value), of="building the rules")


def test_rules_that_can_be_built_are_no_trouble(base: RuleBase) -> None:
    try_out(base)


# --- the end ---

PARENT = """\
import sys
from rules.loader import load
from scheduler.processes import Processes
from tests.scheduler.test_processes import decide, decider

if __name__ == "__main__":
    processes = Processes(load(["base"]), count=1, limit_s=2.0, fork=sys.argv[1] == "fork")
    ((_, pid),) = processes.each(decider, ["1"])
    print(pid, flush=True)
    for _ in processes.each(decide, [sys.argv[2]]):
        sys.stdin.read()
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("at", ["1", "hang"], ids=["idle", "in an endless loop"])
def test_processes_end_with_their_parent_also_when_it_is_killed(tmp_path: Path, method: str, at: str) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, tmp_path / "parent.py", method, at]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([child], [], [], 60)
    os.close(child)
    assert ended
