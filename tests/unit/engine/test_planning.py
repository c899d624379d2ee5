"""What goes out next: money in order, batches within every limit."""

from __future__ import annotations

from dataclasses import replace

from engine_bench import BOUND, Bench

from batchata.core.events import OutcomesRecorded, SubmissionMoved
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Outcome, Submission
from batchata.engine.planning import Planner
from batchata.engine.sending import Sender
from batchata.engine.uploads import Uploads


class Desk:
    """A planner and a sender that only writes intents down."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        uploads = Uploads(bench.context)
        self.planner = Planner(bench.context, uploads.plan)
        self.sender = Sender(bench.context, uploads)
        self.planner.add(bench.state.pending())

    def chunks(self) -> list[list[int]]:
        """Fund, and take every chunk that may go now."""
        self.planner.fund()
        found = []
        for seqs in self.planner.chunks():
            self.planner.take(seqs)
            self.planner.leaving.append(self.sender.submission(seqs))
            found.append(seqs)
        if found:
            self.sender.intend(self.planner.leaving)
            self.planner.leaving.clear()
        return found

    def intend(self, seqs: list[int]) -> Submission:
        """One chunk, intended by itself."""
        submission = self.sender.submission(seqs)
        self.sender.intend([submission])
        return submission

    def submission(self, number: int = 0) -> Submission:
        """The n-th submission."""
        return list(self.bench.state.submissions.values())[number]

    def end(self, number: int = 0, cost: int = 0) -> None:
        """The n-th submission comes back, each of its jobs at this cost."""
        submission = self.submission(number)
        outcomes = [
            Outcome(
                seq=seq, status=JobStatus.SUCCEEDED, attempt=1, token=submission.token, cost=cost
            )
            for seq in submission.seqs
        ]
        self.bench.context.record(OutcomesRecorded(outcomes=outcomes, closes=submission.token))


def test_jobs_go_out_in_order_and_in_batches_of_the_users_size(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 7))

    assert desk.chunks() == [[0, 1, 2], [3, 4, 5], [6]]
    assert desk.planner.is_idle


def test_money_is_given_in_order_and_a_dear_job_holds_the_line(bench: Bench) -> None:
    desk = Desk(bench.add(BOUND, 9 * BOUND, BOUND, BOUND).limit(5 * BOUND).set(items_per_batch=1))

    assert desk.chunks() == [[0]]
    assert desk.planner.waiting == 3


def test_jobs_without_money_go_when_it_comes_back(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 4).limit(2 * BOUND).set(items_per_batch=1))
    first = desk.chunks()

    desk.end(0, cost=BOUND // 2)
    second = desk.chunks()
    desk.end(1, cost=0)
    third = desk.chunks()

    assert (first, second, third) == ([[0], [1]], [], [[2]])


def test_money_of_jobs_in_no_batch_yet_is_not_given_twice(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 5).limit(3 * BOUND))

    desk.planner.fund()
    desk.planner.fund()

    assert next(desk.planner.chunks()) == [0, 1, 2]
    assert desk.bench.state.cost.reserved == 0


def test_a_short_batch_waits_for_money_while_more_may_come_back(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 6).limit(4 * BOUND))

    first = desk.chunks()
    desk.end(0, cost=10)
    second = desk.chunks()

    assert (first, second) == ([[0, 1, 2]], [[3, 4, 5]])


def test_a_short_batch_goes_when_nothing_else_can_come_back(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 3).limit(2 * BOUND))
    early = desk.chunks()

    desk.planner.is_last_money = True

    assert (early, desk.chunks()) == ([], [[0, 1]])


def test_what_never_fits_leaves_the_line_only_when_nothing_is_in_flight(bench: Bench) -> None:
    desk = Desk(bench.add(BOUND, 9 * BOUND, BOUND).limit(2 * BOUND).set(items_per_batch=1))
    desk.chunks()

    early = desk.planner.unaffordable()
    desk.end(0, cost=10)
    desk.planner.fund()
    dear = desk.planner.unaffordable()

    assert (early, dear) == ([], [1])
    assert desk.chunks() == [[2]]


def test_jobs_that_go_again_go_first(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 4).limit(2 * BOUND).set(items_per_batch=2))
    desk.chunks()

    desk.planner.add([1, 0], first=True)
    drained = desk.planner.drain()
    desk.planner.add(drained, first=True)

    assert drained == [0, 1, 2, 3]
    assert desk.planner.waiting == 4


def test_models_do_not_share_a_batch_where_the_vendor_wants_one(bench: Bench) -> None:
    bench.add(BOUND, model="a").add(BOUND, model="b").add(BOUND, model="a")

    assert sorted(Desk(bench).chunks()) == [[0, 2], [1]]


def test_bytes_split_a_batch_and_a_large_job_goes_alone(bench: Bench) -> None:
    bench.api.limits = replace(bench.api.limits, size_bytes=2_000)
    bench.add(*[BOUND] * 2, size=600).add(BOUND, size=5_000).add(BOUND, size=10)

    assert Desk(bench).chunks() == [[0, 1], [2], [3]]


def test_a_full_queue_holds_batches_back_until_one_ends(bench: Bench) -> None:
    bench.add(*[BOUND] * 9, tokens=100).set(queue_tokens={"m": 300})
    desk = Desk(bench)

    first = desk.chunks()
    desk.end(0)
    second = desk.chunks()

    assert (first, second) == ([[0, 1, 2], [3, 4, 5]], [[6, 7, 8]])


def test_a_queue_too_small_for_one_job_takes_it_alone(bench: Bench) -> None:
    bench.add(*[BOUND] * 2, tokens=1000).set(queue_tokens={"m": 10})

    assert Desk(bench).chunks() == [[0]]


def test_requests_in_a_vendors_queue_are_counted_over_all_batches(bench: Bench) -> None:
    bench.api.limits = replace(bench.api.limits, queue_requests=5)
    desk = Desk(bench.add(*[BOUND] * 9))

    first = desk.chunks()
    desk.end(0)

    assert first == [[0, 1, 2]]
    assert desk.chunks() == [[3, 4, 5]]


def test_a_vendor_that_refuses_a_size_gets_half_of_it(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 8).set(items_per_batch=4))
    desk.planner.fund()
    first = next(desk.planner.chunks())
    desk.planner.take(first)

    desk.planner.learn_size(desk.intend(first))

    assert desk.chunks() == [[4, 5], [6, 7]]


def test_a_queue_that_was_full_is_kept_below_that(bench: Bench) -> None:
    bench.add(*[BOUND] * 9, tokens=200)
    desk = Desk(bench)
    desk.planner.fund()
    two = []
    for seqs in desk.planner.chunks():
        desk.planner.take(seqs)
        two.append(desk.intend(seqs))
        if len(two) == 2:
            break
    accept(bench, two[0])

    desk.planner.learn_queue(two[1])
    room = desk.planner.has_room(two[1])
    held = desk.chunks()
    desk.end(0)

    assert (room, held) == (False, [])
    assert desk.planner.has_room(two[1])


def test_of_two_that_wait_for_room_the_older_goes_first(bench: Bench) -> None:
    desk = Desk(bench.add(*[BOUND] * 6, tokens=200).set(queue_tokens={"m": 400}))
    desk.planner.fund()
    older, newer = (intended(desk) for _ in range(2))

    assert desk.planner.has_room(older)
    assert not desk.planner.has_room(newer)
    assert desk.planner.is_alone(older)
    assert not desk.planner.is_alone(newer)


def intended(desk: Desk) -> Submission:
    """The next three jobs, intended whatever the queue says."""
    group = next(iter(desk.planner._groups.values()))
    seqs = [group.ready[number] for number in range(3)]
    desk.planner.take(seqs)
    return desk.intend(seqs)


def accept(bench: Bench, submission: Submission) -> None:
    """The vendor has it."""
    bench.context.record(
        SubmissionMoved(token=submission.token, status=SubmissionStatus.ACCEPTED, remote_id="r")
    )
