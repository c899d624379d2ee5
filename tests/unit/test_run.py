"""A run before, beside and after its work, without any vendor."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import pytest

from batchata import BatchRun, Job, RunConfig
from batchata.core.errors import ProviderError, RunError, StateError, ValidationError
from batchata.engine.portal import Portal
from batchata.sdk.driver import log_level


def run_of(folder: Path, *jobs: Job) -> BatchRun:
    """A run of bad jobs, which need no vendor."""
    bad = jobs or (Job("a", "gpt-6-luna", file="/nowhere/a.txt", prompt="read"),)
    return BatchRun(RunConfig(results_dir=folder), bad)


def test_questions_before_the_start_are_answered_with_what_to_do(tmp_path: Path) -> None:
    run = run_of(tmp_path)

    for ask in (run.results, run.status, lambda: run.view):
        with pytest.raises(RunError, match="not started") as caught:
            ask()
        assert "start()" in str(caught.value.hint)
    assert not run.is_complete
    assert not run.wait(timeout=0)


def test_a_run_without_any_vendor_ends(tmp_path: Path) -> None:
    run = run_of(tmp_path / "out").execute()

    assert run.is_complete
    assert run.status()["failed"] == 1
    assert run.results()["a"].reason == "bad_input"


def test_a_run_is_started_once_only(tmp_path: Path) -> None:
    run = run_of(tmp_path / "out").execute()

    for again in (run.start, run.execute):
        with pytest.raises(RunError, match="already started"):
            again()


def test_results_of_an_ended_run_are_the_same_object(tmp_path: Path) -> None:
    run = run_of(tmp_path / "out").execute()

    assert run.results() is run.results()


def test_an_error_of_a_background_run_comes_out_of_wait_every_time(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("mine, and long enough not to be anything of SQLite's")
    run = run_of(tmp_path).start()

    for _ in range(2):
        with pytest.raises(StateError):
            run.wait(timeout=60)
    assert not run.is_complete


def test_an_interval_that_is_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="interval"):
        run_of(tmp_path).set_on_progress(print, interval=-1)


def test_attaching_to_nothing_is_an_error_and_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises((StateError, ProviderError)):
        BatchRun.attach(tmp_path / "no" / "state.db").execute()

    assert list(tmp_path.iterdir()) == []


def test_stopping_before_the_start_and_after_the_end_is_harmless(tmp_path: Path) -> None:
    run = run_of(tmp_path / "out")

    run.stop()
    run.shutdown()
    run.execute()
    run.stop()
    run.cancel()
    run.shutdown()

    assert run.is_complete


def test_the_level_of_the_log_is_given_back() -> None:
    import logging

    logger = logging.getLogger("batchata")
    before = logger.level

    with log_level("error"):
        inside = logger.level

    assert (inside, logger.level) == (logging.ERROR, before)


class TestPortal:
    """The private loop beside the caller's own."""

    def test_work_is_done_in_another_thread(self) -> None:
        portal = Portal()

        async def where() -> str:
            return threading.current_thread().name

        assert portal.start(where()).result(60) == "batchata"
        portal.close()

    def test_it_can_be_closed_inside_a_running_loop_and_twice(self) -> None:
        async def main() -> None:
            portal = Portal()
            portal.start(asyncio.sleep(0)).result(60)
            portal.close()
            portal.close()

        asyncio.run(main())

    def test_what_still_waits_is_cancelled_at_the_end(self) -> None:
        portal, told = Portal(), []

        async def waits() -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                told.append("cancelled")
                raise

        future = portal.start(waits())
        portal.start(asyncio.sleep(0)).result(60)
        portal.close()

        assert told == ["cancelled"]
        assert future.cancelled()

    def test_work_for_a_closed_portal_is_cancelled(self) -> None:
        portal = Portal()
        portal.close()

        future = portal.start(asyncio.sleep(0))
        portal.soon(print)

        assert future.cancelled()


@pytest.mark.parametrize("rate", [(700, 10, 10), (50_000, 5, 5), (0, 0, 0)])
def test_a_run_leaves_the_garbage_collector_as_it_was(
    tmp_path: Path, rate: tuple[int, int, int]
) -> None:
    seen: list[tuple[int, int, int]] = []
    before = gc.get_threshold()
    gc.set_threshold(*rate)
    try:
        run = run_of(tmp_path / "out").set_on_progress(
            lambda *_: seen.append(gc.get_threshold()), 0
        )
        run.execute()
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*before)

    assert after == rate
    assert seen
