"""Several worker processes over one ledger: the same result as one, row for row."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from generation_lab import GenerationLab, questions, read

from batchata.core.errors import ValidationError
from batchata.core.usage import to_parts
from batchata.gateway import HttpFault, ItemFault, Scenario
from batchata.generate import GenerationPipeline, Progress
from batchata.generate.checking import preview
from batchata.generate.config import ProcessingConfig
from batchata.generate.ledger import Funded, Funds, Ledger, Shard
from batchata.generate.shard_run import money_in
from batchata.generate.worker import work


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
        ({"workers": 2}, 50_000, 10_000),
        ({"workers": 2}, 20_000, 5_000),
        ({"workers": 2}, 3_000, 1_000),
        ({"workers": 2, "rows_per_part": 15}, 120, 15),
        ({"online_saving": False}, 50_000, 50_000),
        ({}, 0, 10_000),
    ],
)
def test_workers_take_shards_that_let_them_end_together(
    work: dict[str, int], rows: int, size: int
) -> None:
    assert ProcessingConfig.model_validate(work).rows_of_shard(rows) == size


def test_ray_that_is_not_installed_is_named(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "batchata.generate.on_ray", raising=False)

    with pytest.raises(ValidationError, match="Ray is not installed") as caught:
        made.run(processing={"engine": "ray"})

    assert caught.value.hint == "pip install 'batchata[ray]'"
    assert made.calls == []


def test_a_state_file_tells_what_its_shard_has_cost(made: GenerationLab) -> None:
    bad = ItemFault(outcome="content_filter", prompt="question 7")
    made.box.set_scenario(Scenario(items=(bad,)))
    config = made.config(model={"prices": {"input": 1000.0, "output": 1000.0}})

    summary = GenerationPipeline(config).run()  # the state of what failed is kept

    state = config.work_dir / "shard-000000.db"
    assert summary.failed == 1
    assert money_in(state, 5) == to_parts(summary.cost_usd) > 5
    assert money_in(state.with_name("none.db"), 5) == 5


def test_a_shard_that_was_lost_before_it_began_is_left_and_taken_again(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_aside, lost = Ledger.set_aside, list[int]()

    def once(book: Ledger, shard: Shard, worker: str, funds: Funds, limit: int) -> Funded:
        if not lost:
            lost.append(shard.number)
            book.give_back(worker)
        return set_aside(book, shard, worker, funds, limit)

    monkeypatch.setattr(Ledger, "set_aside", once)

    summary = made.run(
        model={"prices": {"input": 1.0, "output": 1.0}}, processing={"limit_usd": 100.0}
    )

    assert lost == [0]
    assert (summary.total_responses, summary.failed) == (20, 0)


def test_a_worker_whose_parent_died_before_it_began_leaves(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.rows = questions(60)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.05)
    made.box.set_scenario(Scenario(http=(slow,)))
    config = made.config(processing={"rows_per_part": 15})

    def stop(progress: Progress) -> None:
        if progress.answers:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GenerationPipeline(config).run(watch=stop)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    code = work(config.work_dir, "orphan", config, parent=-1)

    assert code == 0
    with Ledger(config.work_dir / "ledger.db") as ledger:
        assert ledger.open_shards() > 0


@pytest.mark.slow
def test_a_limit_is_shared_and_holds_when_a_worker_is_killed(made: GenerationLab) -> None:
    made.rows = questions(120)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.01)
    made.box.set_scenario(Scenario(http=(slow,)))
    model = {"prices": {"input": 1000.0, "output": 1000.0}}
    work = {"workers": 2, "rows_per_part": 15, "batch_size": 1}
    most = preview(made.config(model=model), counts_all=True).cost_usd
    assert most is not None
    limit = float(most) / 8
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.answers >= 10 and not killed:
            killed.extend(worker_pids()[:1])
            os.kill(killed[0], signal.SIGKILL)

    config = made.config(model=model, processing={**work, "limit_usd": limit})
    summary = GenerationPipeline(config).run(watch=kill)

    assert killed
    assert 10 < summary.total_responses - summary.failed < 120
    assert "limit" in (summary.first_error or "")
    tokens = sum(call.input_tokens + call.output_tokens for call in made.box.ledger.live)
    assert tokens / 1_000 <= limit
