"""Signals, kills and second processes: what is paid for is kept, and asked once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from extract_child import extract, warm_up
from extraction_lab import COUNT, FrameLab, Model, frame
from zygote import Forked, Zygote

from batchata.core.errors import StateLockedError
from batchata.frames import SqliteCache
from batchata.gateway import HttpFault, Sandbox, Scenario

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
WORKERS = 4


def slow(seconds: float) -> Scenario:
    """A model that takes so long for each answer."""
    return Scenario(
        http=(HttpFault(action="slow", route="openai.chat", times=None, seconds=seconds),)
    )


@pytest.fixture(scope="module")
def other(model_sandbox: tuple[Sandbox, Model], zygote: Zygote) -> Zygote:
    """Makes other processes that extract."""
    box, model = model_sandbox
    box.set_scenario(Scenario())
    model.forget()  # what the last test of another file has it answer
    zygote.prepare(warm_up, box.openai_base_url)
    return zygote


def start(other: Zygote, tables: FrameLab, route: str = "live") -> Forked:
    """Another process that extracts."""
    return other.start(extract, str(tables.cache), tables.box.openai_base_url, route, WORKERS)


@contextmanager
def half_done(tables: FrameLab, other: Zygote) -> Iterator[Forked]:
    """Another process that has been answered a dozen times, and slowly gets the rest."""
    tables.box.set_scenario(slow(0.1))
    with start(other, tables) as process:
        process.wait_until(lambda: len(tables.model.packs) >= 12)
        tables.box.set_scenario(slow(0.5))
        yield process


def test_an_interrupt_sends_nothing_new_and_keeps_every_answer(
    tables: FrameLab, other: Zygote
) -> None:
    with half_done(tables, other) as process:
        before = len(tables.model.packs)
        process.send_signal(signal.SIGINT)
        process.wait(60)

    asked = tables.model.asked
    assert process.returncode not in (0, None)
    assert len(asked) <= before + 2 * WORKERS
    with SqliteCache(tables.cache) as cache:
        assert cache.all_ids() == set(asked)
    check_the_rest_is_asked(tables, again=0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_loses_no_more_than_was_in_flight(
    tables: FrameLab, other: Zygote, number: signal.Signals
) -> None:
    with half_done(tables, other) as process:
        time.sleep(0.25)
        process.send_signal(number)
        process.wait(60)

    assert process.returncode == -number
    # in flight, and answers of the last tenth of a second, which one round of calls takes
    check_the_rest_is_asked(tables, again=2 * WORKERS if number == signal.SIGKILL else 0)


def check_the_rest_is_asked(tables: FrameLab, *, again: int) -> None:
    """A second call asks what is left, and almost nothing twice."""
    tables.box.set_scenario(Scenario())
    out = tables.extract(frame(), chunk_size=1)
    times = Counter(tables.model.asked)
    assert set(out.status) == {"succeeded"}
    assert out.mood.tolist() == [f"mood of text {n}" for n in range(COUNT)]
    assert len(times) == COUNT
    assert sum(times.values()) <= COUNT + again
    assert sorted(path.name for path in tables.folder.iterdir()) == ["answers.sqlite"]


def test_a_second_process_is_told_who_asks_already(tables: FrameLab, other: Zygote) -> None:
    with half_done(tables, other) as process:
        with pytest.raises(StateLockedError, match=f"answers.sqlite.*process {process.pid}"):
            tables.extract(frame(), chunk_size=1)
        tables.box.set_scenario(Scenario())
        process.wait(60)

    assert process.returncode == 0
    assert set(tables.extract(frame(), chunk_size=1).status) == {"succeeded"}
    assert len(tables.model.asked) == COUNT


def test_a_process_that_needs_only_what_is_kept_does_not_wait(
    tables: FrameLab, other: Zygote
) -> None:
    tables.extract(frame().head(5))
    with half_done(tables, other):
        out = tables.extract(frame().head(5))

    assert set(out.status) == {"succeeded"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_left_at_the_vendor_is_collected_and_not_sent_again(
    tables: FrameLab, other: Zygote, number: signal.Signals
) -> None:
    tables.box.set_scenario(Scenario(latency_seconds=60))
    run_file = tables.cache.with_name("answers.sqlite.run")
    with start(other, tables, "batch") as process:
        process.wait_until(lambda: bool(tables.box.ledger.batches))
        time.sleep(0.1)  # its id is written down
        process.send_signal(number)
        process.wait(60)
    assert run_file.exists()

    tables.model.ahead = 60
    out = tables.extract(frame(), chunk_size=1)

    assert set(out.status) == {"succeeded"}
    assert len(tables.box.ledger.batches) == 1
    assert len(tables.model.asked) == COUNT
    assert not run_file.exists()
