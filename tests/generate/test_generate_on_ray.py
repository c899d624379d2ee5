"""Workers on a Ray cluster of two nodes on this machine: the same result, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from generation_lab import GenerationLab, questions, read
from run_lab import wait_until

from batchata.core.errors import RunError
from batchata.gateway import HttpFault, Scenario
from batchata.generate import Config, GenerationPipeline, Progress
from batchata.generate.loading import to_yaml

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CHILD = """
import sys
from batchata.generate import GenerationPipeline, load_config
GenerationPipeline(load_config(sys.argv[1])).run()
"""
WORK = {"engine": "ray", "workers": 2, "rows_per_part": 10, "batch_size": 1}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head, where this process is, and a second node; each has room for one worker."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        try:
            patch.setenv("RAY_ADDRESS", made.address)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def second(cluster: Any) -> Any:
    """The second node, which a test may kill."""
    others = [node for node in cluster.worker_nodes if node.any_processes_alive()]
    return others[0] if others else cluster.add_node(num_cpus=1)


@pytest.fixture
def slow(made: GenerationLab) -> GenerationLab:
    """A lab of a hundred questions, and answers that take a while."""
    made.rows = questions(100)
    fault = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.1)
    made.box.set_scenario(Scenario(http=(fault,)))
    return made


def run_with(config: Config, do: Callable[[], object], after: int = 20) -> list[Progress]:
    """Run it, and do something once both workers answer; what its display was told."""
    told: list[Progress] = []
    is_done = False

    def watch(progress: Progress) -> None:
        nonlocal is_done
        if not is_done and progress.answers >= after and progress.workers > 1:
            is_done = True
            do()
        told.append(progress)

    GenerationPipeline(config).run(watch=watch)
    return told


def actors(kind: str) -> list[Any]:
    """The living actors of a kind, by their names."""
    from batchata.generate.on_ray import NAMESPACE

    named = ray.util.list_named_actors(all_namespaces=True)
    names = [each["name"] for each in named if each["namespace"] == NAMESPACE]
    is_keeper = kind == "ledger"
    return [
        ray.get_actor(name, NAMESPACE) for name in names if name.startswith("ledger-") is is_keeper
    ]


def check(made: GenerationLab, again: int) -> None:
    """Every row once and in order, and at most so many asked again."""
    rows = read(made.out)
    assert [row["id"] for row in rows] == list(range(100))
    assert all(row["response"] and row["error"] is None for row in rows)
    assert len(set(made.calls)) == 100
    assert len(made.calls) - 100 <= again


def test_rows_are_those_of_one_process(made: GenerationLab, second: Any) -> None:
    made.rows = questions(100)
    made.run()
    alone = read(made.out)
    made.out.unlink()

    told = run_with(made.config(processing=WORK), lambda: None)

    assert read(made.out) == alone
    assert told[-1].answers == 100
    assert len(made.calls) == 200
    assert not ray.is_initialized()


def test_killed_workers_and_a_killed_ledger_lose_nothing(
    slow: GenerationLab, second: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def kill() -> None:
        ray.kill(actors("ledger")[0], no_restart=False)
        ray.kill(actors("worker")[0])

    run_with(slow.config(processing=WORK), kill)

    check(slow, again=8)
    assert "or its node died" in caplog.text


def test_a_killed_node_loses_nothing(
    slow: GenerationLab, cluster: Any, second: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run_with(
        slow.config(processing=WORK), lambda: cluster.remove_node(second, allow_graceful=False)
    )

    check(slow, again=8)
    assert "or its node died" in caplog.text


def test_a_killed_driver_goes_on_where_it_was(slow: GenerationLab, second: Any) -> None:
    path = slow.folder / "config.yaml"
    path.write_text(to_yaml(slow.config(processing=WORK)), encoding="utf-8")
    command = [sys.executable, "-c", CHILD, str(path)]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(slow.calls) >= 20 or driver.poll() is not None, 60)
    assert driver.poll() is None
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()

    GenerationPipeline(slow.config(processing=WORK)).run()

    check(slow, again=16)


def test_a_client_of_a_far_cluster_is_told_to_go_there(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")

    with pytest.raises(RunError, match="not on a node"):
        made.run(processing=WORK)

    assert made.calls == []
