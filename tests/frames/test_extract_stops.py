"""Signals, kills and second processes: what is paid for is kept, and asked once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from extraction_lab import GPT, FrameLab

from batchata.core.errors import StateLockedError
from batchata.frames import SqliteCache
from batchata.gateway import HttpFault, Scenario

COUNT = 40
WORKERS = 4
FRAME = pd.DataFrame({"id": range(COUNT), "text": [f"text {n}" for n in range(COUNT)]})
SLOW = Scenario(http=(HttpFault(action="slow", route="openai.chat", times=None, seconds=0.1),))
SCRIPT = f"""
import sys
from extraction_lab import SCHEMA
from test_extract_stops import FRAME, WORKERS
from batchata.frames import extract_df
extract_df(FRAME, prompt="Say the mood.", cache_path=sys.argv[1], model={GPT!r}, schema=SCHEMA,
    api_key="sk-test", base_url=sys.argv[2], chunk_size=1, max_workers=WORKERS, route=sys.argv[3])
"""


@contextmanager
def other_process(tables: FrameLab, route: str = "live") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that extracts."""
    command = [sys.executable, "-c", SCRIPT, str(tables.cache), tables.box.openai_base_url, route]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=here) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[bytes], is_time: Callable[[], bool]) -> None:
    while not is_time():
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.005)


@contextmanager
def half_done(tables: FrameLab) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that extracts slowly, and has been answered a dozen times."""
    tables.box.set_scenario(SLOW)
    with other_process(tables) as process:
        wait_for(process, lambda: len(tables.model.packs) >= 12)
        yield process


def test_an_interrupt_sends_nothing_new_and_keeps_every_answer(tables: FrameLab) -> None:
    with half_done(tables) as process:
        before = len(tables.model.packs)
        process.send_signal(signal.SIGINT)
        process.wait(10)

    asked = tables.model.asked
    assert process.returncode not in (0, None)
    assert len(asked) <= before + 2 * WORKERS
    with SqliteCache(tables.cache) as cache:
        assert cache.all_ids() == set(asked)
    check_the_rest_is_asked(tables, again=0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_loses_no_more_than_was_in_flight(
    tables: FrameLab, number: signal.Signals
) -> None:
    with half_done(tables) as process:
        time.sleep(0.25)
        process.send_signal(number)
        process.wait(10)

    assert process.returncode == -number
    # in flight, and answers of the last tenth of a second, which one round of calls takes
    check_the_rest_is_asked(tables, again=2 * WORKERS if number == signal.SIGKILL else 0)


def check_the_rest_is_asked(tables: FrameLab, *, again: int) -> None:
    """A second call asks what is left, and almost nothing twice."""
    tables.box.set_scenario(Scenario())
    out = tables.extract(FRAME, chunk_size=1)
    times = Counter(tables.model.asked)
    assert set(out.status) == {"succeeded"}
    assert out.mood.tolist() == [f"mood of text {n}" for n in range(COUNT)]
    assert len(times) == COUNT
    assert sum(times.values()) <= COUNT + again
    assert sorted(path.name for path in tables.folder.iterdir()) == ["answers.sqlite"]


def test_a_second_process_is_told_who_asks_already(tables: FrameLab) -> None:
    with half_done(tables) as process:
        with pytest.raises(StateLockedError, match=f"answers.sqlite.*process {process.pid}"):
            tables.extract(FRAME, chunk_size=1)
        process.wait(10)

    assert process.returncode == 0
    assert set(tables.extract(FRAME, chunk_size=1).status) == {"succeeded"}
    assert len(tables.model.asked) == COUNT


def test_a_process_that_needs_only_what_is_kept_does_not_wait(tables: FrameLab) -> None:
    tables.extract(FRAME.head(5))
    with half_done(tables):
        out = tables.extract(FRAME.head(5))

    assert set(out.status) == {"succeeded"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_left_at_the_vendor_is_collected_and_not_sent_again(
    tables: FrameLab, number: signal.Signals
) -> None:
    tables.box.set_scenario(Scenario(latency_seconds=60))
    run_file = tables.cache.with_name("answers.sqlite.run")
    with other_process(tables, "batch") as process:
        wait_for(process, lambda: bool(tables.box.ledger.batches))
        time.sleep(0.1)  # its id is written down
        process.send_signal(number)
        process.wait(10)
    assert run_file.exists()

    tables.model.ahead = 60
    out = tables.extract(FRAME, chunk_size=1)

    assert set(out.status) == {"succeeded"}
    assert len(tables.box.ledger.batches) == 1
    assert len(tables.model.asked) == COUNT
    assert not run_file.exists()
