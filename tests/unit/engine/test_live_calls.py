"""Live calls in virtual time: when they are made, and made again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine_bench import BOUND, Bench

from batchata.core.errors import ProviderUnavailableError
from batchata.core.pacing import PaceCaps, Quota
from batchata.core.result import Failure, Reason
from batchata.core.submission import Shape
from batchata.ports import LiveReply
from batchata.testing import FakeProvider
from batchata.testing.fake_codec import answer_body

ONE_BY_ONE = PaceCaps(concurrency=1)


class FakeLive:
    """A live API that does with the n-th call what `end` says, and notes when it was asked."""

    request_bytes = None

    def __init__(self, bench: Bench, end: Callable[[int, bytes], LiveReply]) -> None:
        self.at: list[float] = []
        self.bodies: list[bytes] = []
        self._bench = bench
        self._end = end
        provider = FakeProvider()
        provider.live = self
        bench.context.providers["fake"] = provider
        bench.set(route="live")

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        self.at.append(self._bench.clock.monotonic())
        self.bodies.append(body)
        await self._bench.clock.sleep(0.01)
        return self._end(len(self.at), body)

    @property
    def gaps(self) -> list[float]:
        """Seconds between the calls."""
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


def well(number: int) -> LiveReply:
    return LiveReply(Quota(), answer_body(f"hi {number}"), request_id=f"r{number}")


def fault() -> LiveReply:
    return LiveReply(Quota(), failure=Failure(Reason.SERVER_ERROR, "broken", status=500))


def busy(seconds: float | None = None) -> LiveReply:
    return LiveReply(
        Quota(retry_after_seconds=seconds),
        failure=Failure(Reason.RATE_LIMITED, "slowly", status=429),
        is_congested=True,
    )


def gone() -> LiveReply:
    raise ProviderUnavailableError("the server cannot be reached")


def test_a_server_that_cannot_be_reached_is_asked_ever_more_seldom(bench: Bench) -> None:
    live = FakeLive(bench, lambda count, _: gone() if count < 9 else well(count))

    bench.add(BOUND).run()

    assert live.gaps == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30], abs=0.1)
    assert bench.statuses == ["succeeded"]
    assert bench.outcome("j0").request_id == "r9"
    assert bench.state.cost.uncertain == 0


def test_calls_that_left_together_for_a_server_that_is_gone_count_once(bench: Bench) -> None:
    live = FakeLive(bench, lambda count, _: gone() if count <= 10 else well(count))

    bench.set(pace=PaceCaps(concurrency=10)).add(*[BOUND] * 10).run()

    assert live.gaps == pytest.approx([0] * 9 + [0.5] + [0] * 9, abs=0.1)
    assert bench.statuses == ["succeeded"] * 10


def test_once_it_has_answered_the_waits_begin_anew(bench: Bench) -> None:
    live = FakeLive(bench, lambda count, _: gone() if count in (1, 2, 4) else well(count))

    bench.set(pace=ONE_BY_ONE).add(BOUND, BOUND).run()

    assert live.gaps == pytest.approx([0.5, 1, 0, 0.5], abs=0.1)
    assert bench.statuses == ["succeeded"] * 2


def test_an_outage_of_the_server_fails_no_job(bench: Bench) -> None:
    clock = bench.clock
    FakeLive(bench, lambda count, _: fault() if clock.monotonic() < 600 else well(count))

    bench.add(*[BOUND] * 12).run()

    assert bench.statuses == ["succeeded"] * 12
    assert 600 <= clock.monotonic() < 700


def test_an_outage_without_end_fails_the_jobs_after_a_quarter_of_an_hour(bench: Bench) -> None:
    FakeLive(bench, lambda count, _: fault())

    bench.add(*[BOUND] * 12).run()

    assert bench.statuses == ["failed"] * 12
    assert {bench.outcome(f"j{seq}").reason for seq in range(12)} == {Reason.SERVER_ERROR}
    assert 900 <= bench.clock.monotonic() < 1_100
    assert bench.state.cost.spent == 0


def test_a_job_that_alone_meets_faults_fails_after_its_attempts(bench: Bench) -> None:
    live = FakeLive(bench, lambda count, body: fault() if b'"0"' in body else well(count))

    bench.set(max_attempts=3).add(*[BOUND] * 12).run()

    assert bench.statuses == ["failed"] + ["succeeded"] * 11
    assert sum(b'"0"' in body for body in live.bodies) == 3
    assert bench.outcome("j0").attempt == 3


def test_a_vendor_that_asks_to_slow_down_is_given_the_time_it_wants(bench: Bench) -> None:
    live = FakeLive(bench, lambda count, _: busy(20) if count == 1 else well(count))

    bench.set(pace=ONE_BY_ONE, max_attempts=1).add(BOUND, BOUND).run()

    assert live.gaps[0] >= 20
    assert bench.statuses == ["succeeded"] * 2


def test_a_job_that_is_never_let_through_fails_in_the_end(bench: Bench) -> None:
    live = FakeLive(bench, lambda *_: busy())

    bench.add(BOUND).run()

    assert bench.outcome("j0").reason is Reason.RATE_LIMITED
    assert 20 <= len(live.at) <= 100
    assert bench.state.cost.spent == 0
