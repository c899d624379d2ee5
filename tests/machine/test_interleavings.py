"""Any order of answers, losses, deaths and restarts: each job once, no limit passed."""

from __future__ import annotations

from decimal import Decimal

from engine_lab import EngineLab
from fake_vendor import BROKEN, GARBAGE, GOOD, INVALID, LOST, TWICE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from thoroughness import how_often

from batchata.core.status import RemoteState

ENDS = st.sampled_from([GOOD, GOOD, GOOD, BROKEN, INVALID, GARBAGE, LOST, TWICE])
HOW = st.sampled_from(["well", "well", "well", "well", "down", "lost before", "lost after"])


class Interleavings(RuleBasedStateMachine):
    """Whatever happens, in whatever order."""

    lab: EngineLab

    @initialize(
        jobs=st.integers(1, 7),
        is_blind=st.booleans(),
        policy=st.sampled_from(["wait", "wait", "ask"]),
        room=st.sampled_from([None, 2, 4, 6]),
    )
    def begin(self, jobs: int, is_blind: bool, policy: str, room: int | None) -> None:
        """A script of a few jobs."""
        self.lab = EngineLab(jobs, is_blind=is_blind, on_unresolved=policy)
        self.lab.limit = None if room is None else room * Decimal("0.004")
        self.lab.start()

    @precondition(lambda self: self.lab.vendor.calls)
    @rule(number=st.integers(0, 20), how=HOW, hidden=st.sampled_from([0.0, 0.0, 30.0, 50.0]))
    def a_call_ends(self, number: int, how: str, hidden: float) -> None:
        """Well, refused for now, or with its answer lost."""
        self.lab.answer(number, how, hidden)

    @precondition(lambda self: self.lab.calls_of("create"))
    @rule(
        how=st.sampled_from(["well", "lost before", "lost after", "lost after"]),
        hidden=st.sampled_from([0.0, 30.0, 50.0]),
    )
    def a_create_call_ends(self, how: str, hidden: float) -> None:
        """The call that all depends on."""
        self.lab.answer(self.lab.calls_of("create")[0], how, hidden)

    @precondition(lambda self: self.lab.calls_of("upload"))
    @rule(how=st.sampled_from(["well", "lost before", "lost after"]))
    def an_upload_ends(self, how: str) -> None:
        """Perhaps without its answer."""
        self.lab.answer(self.lab.calls_of("upload")[0], how)

    @precondition(lambda self: self.lab.vendor.calls)
    @rule()
    def all_calls_end_well(self) -> None:
        """A good moment."""
        for _ in range(len(self.lab.vendor.calls)):
            if self.lab.vendor.calls:
                self.lab.answer(0, "well")

    @rule(seconds=st.sampled_from([0.5, 5.0, 60.0, 400.0, 7200.0]))
    def time_passes(self, seconds: float) -> None:
        """Timers ring."""
        self.lab.advance(seconds)

    @precondition(lambda self: any(not b.is_final for b in self.lab.vendor.batches.values()))
    @rule(number=st.integers(0, 20), data=st.data())
    def a_batch_completes(self, number: int, data: st.DataObject) -> None:
        """With items that end in all ways."""
        open_ = [b for b in self.lab.vendor.batches.values() if not b.is_final]
        batch = open_[number % len(open_)]
        ends = {job_id: data.draw(ENDS) for job_id in batch.job_ids}
        batch.finish(RemoteState.COMPLETED, ends)

    @precondition(lambda self: any(not b.is_final for b in self.lab.vendor.batches.values()))
    @rule(
        number=st.integers(0, 20),
        state=st.sampled_from([RemoteState.EXPIRED, RemoteState.CANCELLED]),
        reached=st.integers(0, 2),
    )
    def a_batch_is_cut_short(self, number: int, state: RemoteState, reached: int) -> None:
        """By its time window or by the vendor."""
        open_ = [b for b in self.lab.vendor.batches.values() if not b.is_final]
        batch = open_[number % len(open_)]
        batch.finish(state, dict.fromkeys(batch.job_ids[:reached], GOOD))

    @precondition(lambda self: any(not b.is_final for b in self.lab.vendor.batches.values()))
    @rule(number=st.integers(0, 20))
    def a_queue_is_full(self, number: int) -> None:
        """The vendor refuses a batch for now."""
        open_ = [b for b in self.lab.vendor.batches.values() if not b.is_final]
        batch = open_[number % len(open_)]
        batch.is_queue_full = True
        batch.finish(RemoteState.FAILED, {})

    @precondition(lambda self: self.lab.is_running)
    @rule()
    def the_process_dies(self) -> None:
        """Without a word."""
        self.lab.kill()

    @precondition(lambda self: self.lab.is_running)
    @rule(cancels=st.sampled_from([False, False, True]))
    def a_stop_is_asked_for(self, cancels: bool) -> None:
        """By a signal or a user."""
        self.lab.stop(cancels=cancels)

    @precondition(lambda self: not self.lab.is_running)
    @rule(more=st.sampled_from([0, 0, 2, 4]))
    def the_script_runs_again(self, more: int) -> None:
        """With the limit as it was, or raised."""
        if self.lab.limit is not None:
            self.lab.limit += more * Decimal("0.004")
        self.lab.start()

    @invariant()
    def holds(self) -> None:
        """At any moment."""
        if hasattr(self, "lab"):
            self.lab.check()

    def teardown(self) -> None:
        """In the end all is well, and every job has ended."""
        if not hasattr(self, "lab"):
            return
        try:
            self.lab.finish()
            self.lab.check_end()
        finally:
            self.lab.close()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=how_often(120),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
