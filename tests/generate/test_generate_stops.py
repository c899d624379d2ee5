"""Killed, stopped, done: the same command goes on, and nothing is asked twice."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from generation_lab import GenerationLab, questions, read, said, server_of

from batchata.core.errors import ProviderUnavailableError, StateLockedError, ValidationError
from batchata.gateway import HttpFault, ItemFault, Sandbox, Scenario
from batchata.generate import GenerationPipeline, Progress, load_config, pipeline, worker_loop
from batchata.generate.loading import to_yaml
from batchata.sdk.driver import Terminated

if TYPE_CHECKING:
    from zygote import Zygote


def generate(config: str) -> None:
    """What another process does."""
    GenerationPipeline(load_config(config)).run()


def test_killed_anywhere_the_same_command_goes_on_and_asks_nothing_twice(
    made: GenerationLab, zygote: Zygote
) -> None:
    made.rows = questions(60)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, skip=30, seconds=0.5)
    made.box.set_scenario(Scenario(http=(slow,)))
    config = made.config(processing={"rows_per_part": 15, "batch_size": 1})
    path = made.folder / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    with zygote.start(generate, str(path)) as process:
        process.wait_until(lambda: len(made.calls) >= 25)
        process.kill()
    made.box.set_scenario(Scenario())
    assert not made.out.exists()

    summary = GenerationPipeline(config).run()

    assert [row["id"] for row in read(made.out)] == list(range(60))
    assert summary.failed == 0
    again = len(made.calls) - len(set(made.calls))
    assert again <= 8 + 8  # in flight when it was killed, and the answers of the last moment


def test_a_finished_run_sends_nothing(made: GenerationLab) -> None:
    first = made.run()
    before, bytes_before = len(made.box.requests), made.out.read_bytes()

    second = made.run()

    assert not second.is_new
    assert second.total_responses == first.total_responses
    assert len(made.box.requests) == before
    assert made.out.read_bytes() == bytes_before


@pytest.mark.parametrize(
    ("at", "ending"), [("join_parts", ".parquet"), ("write_summary", ".csv"), ("_clear", ".csv")]
)
def test_killed_while_the_output_is_written_the_same_command_ends_it(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch, at: str, ending: str
) -> None:
    from batchata.generate import pipeline

    out = str(made.folder / f"out{ending}")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    home = GenerationPipeline if at == "_clear" else pipeline
    with monkeypatch.context() as patch:
        patch.setattr(home, at, die)
        with pytest.raises(KeyboardInterrupt):
            made.run(data={"output_path": out})

    summary = made.run(data={"output_path": out})

    assert len(read(Path(out))) == 20
    assert summary.failed == 0
    assert len(made.calls) == 20
    assert not (made.folder / "temp").exists()


def test_what_failed_is_asked_again_and_nothing_else(made: GenerationLab) -> None:
    bad = ItemFault(outcome="content_filter", prompt="question 7")
    made.box.set_scenario(Scenario(items=(bad,)))
    assert made.run().failed == 1
    made.box.set_scenario(Scenario())
    before = len(made.calls)

    summary = made.run()

    assert summary.failed == 0
    assert len(made.calls) == before + 1
    assert all(row["response"] for row in read(made.out))


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_file_of_the_user_is_never_replaced(made: GenerationLab, ending: str) -> None:
    out = made.folder / f"out{ending}"
    out.write_bytes(b"mine")

    with pytest.raises(ValidationError, match="exists already"):
        made.run(data={"output_path": str(out)})

    assert out.read_bytes() == b"mine"
    assert not made.calls
    made.run(data={"output_path": str(out)}, fresh=True)
    assert (made.folder / f"out{ending}.1").read_bytes() == b"mine"


@pytest.mark.parametrize("fresh", [False, True])
def test_two_runs_never_work_on_one_output(made: GenerationLab, fresh: bool) -> None:
    told: list[str] = []

    def begin_another(progress: Progress) -> None:
        if not told:
            with pytest.raises(StateLockedError) as caught:
                made.run(fresh=fresh)
            told.append(caught.value.message)

    GenerationPipeline(made.config()).run(watch=begin_another)

    assert "in use by process" in told[0]
    assert len(read(made.out)) == 20
    assert len(made.calls) == 20


@pytest.mark.parametrize("times", [1, 2])
def test_a_stop_keeps_what_is_answered(made: GenerationLab, times: int) -> None:
    made.rows = questions(200)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.01)
    made.box.set_scenario(Scenario(http=(slow,)))
    generation = GenerationPipeline(made.config(processing={"batch_size": 1}))
    asked = 0

    def interrupt(progress: Progress) -> None:
        nonlocal asked
        if progress.answers and asked < times:
            asked += 1
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        generation.run(watch=interrupt)
    answered = len(made.calls)
    assert 0 < answered < 200

    generation.run()

    assert len(set(made.calls)) == 200
    again = len(made.calls) - 200
    assert again <= (0 if times == 1 else 16)  # the second Ctrl-C leaves those in flight


def test_a_sigterm_keeps_what_is_answered_and_says_how_to_go_on(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made.rows = questions(200)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.01)
    made.box.set_scenario(Scenario(http=(slow,)))
    ended: list[int] = []
    monkeypatch.setattr(
        pipeline, "signal", SimpleNamespace(raise_signal=ended.append, SIGTERM=signal.SIGTERM)
    )

    def preempt(progress: Progress) -> None:
        if progress.answers and not ended:
            ended.append(0)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Terminated):
        GenerationPipeline(made.config()).run(watch=preempt)

    assert ended == [0, signal.SIGTERM]  # the process ends by it, as it would have
    assert "stopped by SIGTERM; the same command resumes" in caplog.text
    GenerationPipeline(made.config()).run()
    assert len(made.calls) == len(set(made.calls)) == 200


def test_a_dead_server_is_left_out_and_its_rows_go_to_the_others(made: GenerationLab) -> None:
    dead = "http://127.0.0.1:9/v1"
    made.rows = questions(40)

    summary = made.run(model={"url": [dead, made.box.openai_base_url]})

    assert summary.failed == 0
    assert len(made.calls) == 40
    assert {each.url: each.answered for each in summary.servers} == {
        dead: 0,
        made.box.openai_base_url: 40,
    }


def test_several_servers_share_the_work(made: GenerationLab) -> None:
    made.rows = questions(60)
    with server_of(lambda _: [said("a")]) as one, server_of(lambda _: [said("b")]) as two:
        summary = made.run(model={"url": [one.url, two.url], "name": None})

    assert summary.failed == 0
    assert min(len(one.bodies), len(two.bodies)) > 15


def test_a_server_that_dies_on_the_way_loses_no_row(made: GenerationLab) -> None:
    made.rows = questions(80)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.01)
    with Sandbox(Scenario(http=(slow,))) as dying:
        pipeline = GenerationPipeline(
            made.config(model={"url": [dying.openai_base_url, made.box.openai_base_url]})
        )

        def kill(progress: Progress) -> None:
            if progress.answers and dying._thread is not None:
                dying.__exit__(None, None, None)

        summary = pipeline.run(watch=kill)
        dying.__enter__()

    assert [row["id"] for row in read(made.out)] == list(range(80))
    assert summary.failed == 0


def test_without_a_server_left_the_run_stops_and_goes_on_with_another(
    made: GenerationLab, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(worker_loop, "_DOWN_SECONDS", 0.1)
    monkeypatch.setattr(worker_loop, "_BEAT_SECONDS", 0.05)
    made.rows = questions(150)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=0.05)
    dying = Sandbox(Scenario(http=(slow,)))
    dying.__enter__()

    def kill(progress: Progress) -> None:
        if progress.answers and dying._thread is not None:
            dying.__exit__(None, None, None)

    config = made.config(model={"url": dying.openai_base_url})
    with pytest.raises(ProviderUnavailableError, match="no server can be reached") as caught:
        GenerationPipeline(config).run(watch=kill)
    assert "the same command then resumes" in (caught.value.hint or "")

    summary = made.run()  # at another address

    assert (summary.failed, len(read(made.out))) == (0, 150)
    assert len(made.calls) < 150


def test_without_any_server_nothing_is_begun(made: GenerationLab) -> None:
    dead = "http://127.0.0.1:9/v1"

    with pytest.raises(ProviderUnavailableError, match="no server can be reached"):
        made.run(model={"url": dead})

    assert sorted(path.name for path in made.folder.iterdir()) == ["in.parquet"]
