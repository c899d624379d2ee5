"""Several worker processes over one ledger: the same result as one, row for row."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from generation_lab import GenerationLab, questions, read

from batchata.gateway import HttpFault, Scenario
from batchata.generate import GenerationPipeline, Progress
from batchata.generate.config import ProcessingConfig
from batchata.generate.ledger import LEASE_SECONDS, Ledger, Tally
from batchata.generate.selection import Span


def worker_pids() -> list[int]:
    """Worker processes that this process started and that are still there."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = []
    for pid in children:
        line = Path(f"/proc/{pid}/cmdline")
        if line.exists() and b"batchata.generate.worker" in line.read_bytes():
            found.append(int(pid))
    return found


def test_killed_workers_lose_no_row_and_their_shards_go_on(made: GenerationLab) -> None:
    made.rows = questions(120)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.02)
    made.box.set_scenario(Scenario(http=(slow,)))
    work = {"workers": 2, "rows_per_part": 15, "batch_size": 1}
    pipeline = GenerationPipeline(made.config(processing=work))
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.answers >= 20 and not killed:
            killed.extend(worker_pids()[:1])
            os.kill(killed[0], signal.SIGKILL)

    summary = pipeline.run(watch=kill)

    assert killed
    assert [row["id"] for row in read(made.out)] == list(range(120))
    assert (summary.failed, summary.total_responses) == (0, 120)
    assert len(set(made.calls)) == 120
    assert len(made.calls) - 120 <= 8  # those that the dead one had in flight
    assert not worker_pids()


@pytest.mark.parametrize(
    ("work", "rows", "size"),
    [
        ({}, 50_000, 10_000),
        ({"workers": 2}, 50_000, 3_125),
        ({"workers": 2}, 5_000, 1_000),
        ({"workers": 2, "rows_per_part": 15}, 120, 15),
        ({"online_saving": False}, 50_000, 50_000),
        ({}, 0, 10_000),
    ],
)
def test_workers_take_shards_that_let_them_end_together(
    work: dict[str, int], rows: int, size: int
) -> None:
    assert ProcessingConfig.model_validate(work).rows_of_shard(rows) == size


class Clock:
    """A clock that tests push ahead."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    """Three shards of ten rows."""
    made = Ledger(tmp_path / "ledger.db", clock=clock)
    made.plan({"plan": 1}, Span(0, 30).pieces(10))
    return made


def test_a_shard_is_one_workers_until_its_lease_ends(ledger: Ledger, clock: Clock) -> None:
    first = [ledger.take("one") for _ in range(3)]
    assert [shard and shard.number for shard in first] == [0, 1, 2]
    assert ledger.take("two") is None

    clock.now += LEASE_SECONDS - 1
    ledger.renew("one", {})
    clock.now += LEASE_SECONDS - 1
    assert ledger.take("two") is None
    clock.now += 2
    again = ledger.take("two")

    assert again is not None
    assert (again.number, again.attempt) == (0, 2)


def test_the_first_attempt_that_commits_wins(ledger: Ledger, clock: Clock) -> None:
    slow = ledger.take("slow")
    clock.now += LEASE_SECONDS + 1
    quick = ledger.take("quick")
    assert slow is not None
    assert quick is not None
    assert slow.part != quick.part

    assert not ledger.commit(slow, "slow", Tally(answers=10))
    assert ledger.commit(quick, "quick", Tally(answers=10))
    assert not ledger.commit(quick, "quick", Tally(answers=10))

    assert ledger.parts() == [quick.part, None, None]
    assert ledger.tally().answers == 10


def test_money_is_set_aside_for_a_shard_and_what_is_left_comes_back(ledger: Ledger) -> None:
    one, two = ledger.take("a"), ledger.take("b")
    assert one is not None
    assert two is not None

    assert ledger.set_aside(one, bound=60, limit=100) == 60
    assert ledger.set_aside(two, bound=60, limit=100) is None  # the other may give some back
    ledger.commit(one, "a", Tally(answers=10, cost=20))
    assert ledger.set_aside(two, bound=60, limit=100) == 60
    ledger.commit(two, "b", Tally(answers=10, cost=60))

    three = ledger.take("a")
    assert three is not None
    assert ledger.set_aside(three, bound=60, limit=100) == 20


def test_rates_are_shared_by_the_workers_that_are_alive(ledger: Ledger, clock: Clock) -> None:
    assert ledger.renew("one", {}) == 1
    assert ledger.renew("two", {}) == 2
    clock.now += LEASE_SECONDS + 1
    assert ledger.renew("two", {}) == 1
    ledger.give_back("two")
    assert ledger.renew("one", {}) == 1
