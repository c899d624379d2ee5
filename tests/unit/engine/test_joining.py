"""What several tasks bring in the same moment is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from engine_bench import BOUND, Bench

from batchata.core.errors import StateError
from batchata.core.events import Durable, LimitSet, OutcomesRecorded, SubmissionMoved
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Outcome
from batchata.engine.sending import Sender
from batchata.engine.uploads import Uploads


def commits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Durable]]:
    """What each commit from now on holds."""
    made: list[Sequence[Durable]] = []
    commit = bench.store.commit

    def counted(*events: Durable) -> None:
        made.append(events)
        commit(*events)

    monkeypatch.setattr(bench.store, "commit", counted)
    return made


def limits(events: Sequence[Durable]) -> list[int | None]:
    """The limits that a commit sets."""
    return [each.limit for each in events if isinstance(each, LimitSet)]


def test_batches_that_go_the_same_way_at_once_share_their_commits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(*[BOUND] * 30).set(items_per_batch=3, max_parallel_batches=10)
    made = commits(bench, monkeypatch)

    bench.run()

    assert bench.statuses == ["succeeded"] * 30
    assert len(made) == 4  # intended, creating, accepted, collected


def test_who_joins_goes_on_once_it_is_on_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = commits(bench, monkeypatch)

    async def joined(limit: int) -> tuple[int | None, int]:
        await bench.context.join(LimitSet(limit=limit))
        return bench.state.cost.limit, len(made)

    async def both() -> list[tuple[int | None, int]]:
        return await asyncio.gather(joined(1), joined(2))

    assert asyncio.run(both()) == [(2, 1), (2, 1)]
    assert [limits(each) for each in made] == [[1, 2]]


def test_a_batch_that_is_cancelled_as_its_answers_are_written_down_stays_collected(
    bench: Bench,
) -> None:
    bench.add(BOUND)
    desk = Sender(bench.context, Uploads(bench.context))
    submission = desk.submission([0])
    desk.intend([submission])
    token = submission.token

    async def main() -> None:
        answered = Outcome(seq=0, status=JobStatus.SUCCEEDED, attempt=1, token=token)
        collected = OutcomesRecorded(outcomes=[answered], closes=token)
        joined = asyncio.create_task(bench.context.join(collected))
        await asyncio.sleep(0)
        bench.context.record(SubmissionMoved(token=token, status=SubmissionStatus.ACCEPTED))
        await joined

    asyncio.run(main())

    for state in (bench.state, bench.next().state):
        assert state.submissions[token].status is SubmissionStatus.COLLECTED
        assert not state.open_submissions()


def test_a_task_that_is_cancelled_as_it_waits_has_its_word_on_disk(bench: Bench) -> None:
    async def main() -> None:
        joined = asyncio.create_task(bench.context.join(LimitSet(limit=1)))
        await asyncio.sleep(0)
        joined.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joined

    asyncio.run(main())

    assert bench.next().state.cost.limit == 1


def test_a_disk_that_refuses_is_told_to_all_who_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*events: Durable) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(bench.store, "commit", refuse)

    async def main() -> list[BaseException | None]:
        waiting = (bench.context.join(LimitSet(limit=each)) for each in (1, 2))
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [str(each) for each in asyncio.run(main())] == ["the disk is full"] * 2
    assert bench.state.cost.limit is None

    monkeypatch.undo()
    with pytest.raises(StateError, match="the disk is full"):  # nobody writes past it
        asyncio.run(bench.context.join(LimitSet(limit=3)))
    assert bench.next().state.cost.limit is None
