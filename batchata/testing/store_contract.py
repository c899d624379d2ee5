"""What every `Store` must do."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest

from batchata.core.document import Attachment
from batchata.core.errors import StateError
from batchata.core.events import (
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.result import Reason
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Bounds, JobRow, Outcome, Shape, Submission
from batchata.core.usage import Usage
from batchata.ports import Store

SHAPE = Shape(provider="fake", endpoint="/fake", model="m", schema='{"a":1}', citations=True)
BOUND = 100


def row(seq: int, **fields: Any) -> JobRow:
    """A job ready to be sent."""
    values: dict[str, Any] = {
        "id": f"job {seq}",
        "shape": 0,
        "body": b'{"n":%d}' % seq,
        "key": None,
        "metadata": None,
        "input_bound": 10 + seq,
        "output_bound": 5,
        "cost_bound": BOUND,
    }
    return JobRow(seq=seq, **{**values, **fields})


def intent(token: str, *seqs: int, **fields: Any) -> SubmissionIntended:
    """A submission of these jobs."""
    values: dict[str, Any] = {"wire_version": "v1", "input_tokens": 7, "size_bytes": 9}
    return SubmissionIntended(
        submission=Submission(
            token=token,
            provider="fake",
            endpoint="/fake",
            model="m",
            seqs=array("I", seqs),
            status=SubmissionStatus.INTENDED,
            intended_us=1_790_000_000_000_000,
            **{**values, **fields},
        )
    )


def outcome(
    seq: int, token: str | None, status: JobStatus = JobStatus.SUCCEEDED, **fields: Any
) -> Outcome:
    """How an attempt ended."""
    return Outcome(**{"seq": seq, "status": status, "attempt": 1, "token": token, **fields})


def misfit(seq: int, token: str, **fields: Any) -> Outcome:
    """An answer that does not fit, after which its job goes again."""
    return outcome(seq, token, JobStatus.PENDING, reason=Reason.INVALID_ANSWER, **fields)


class StoreContract:
    """For `Store`: what was committed comes back, whole or not at all, also to the next process.

    `open_store(folder)` opens the store of a folder, as the next process would.
    """

    def open_store(self, folder: Path) -> Store:
        """The store that lies in this folder, new or known."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Any:
        """A new store with three jobs."""
        made = self.open_store(tmp_path)
        made.commit(ShapeAdded(number=0, shape=SHAPE))
        made.commit(JobsAdded(rows=[row(0), row(1, key=b"k", metadata=b'{"a":1}'), row(2)]))
        yield made
        made.close()

    def test_a_new_store_is_empty(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)

        state = store.load()

        assert (len(state), state.shapes, state.cost.spent, state.cost.limit) == (0, [], 0, None)
        assert (store.known_ids(), store.last_number, store.meta("x")) == ({}, 0, None)
        store.close()

    def test_jobs_come_back_in_the_order_asked_for(self, store: Store) -> None:
        assert store.ids([2, 0, 1]) == ["job 2", "job 0", "job 1"]
        assert list(store.bodies([1, 0])) == [b'{"n":1}', b'{"n":0}']
        assert store.known_ids() == {"job 0": 0, "job 1": 1, "job 2": 2}
        assert store.keys([0, 1]) == {0: None, 1: b"k"}
        assert store.metadata([0, 1]) == {1: b'{"a":1}'}

    def test_a_thousand_jobs_come_back(self, store: Store) -> None:
        store.commit(JobsAdded(rows=[row(seq) for seq in range(3, 1503)]))
        wanted = list(range(1502, -1, -1))

        assert store.ids(wanted) == [f"job {seq}" for seq in wanted]
        assert list(store.bodies(wanted)) == [b'{"n":%d}' % seq for seq in wanted]
        assert len(store.load()) == 1503

    def test_a_replaced_job_is_the_new_one_only(self, store: Store) -> None:
        file = Attachment(name="a", media_type="t", sha256="s", size_bytes=3, path="/a")
        store.commit(JobsAdded(rows=[row(1, attachments=(file,))]))
        before = store.attachments([0, 1, 2])
        store.commit(JobsAdded(rows=[row(1, body=b"{}", key=b"new", cost_bound=7)]))

        assert before == {1: (file,)}
        assert store.attachments([0, 1, 2]) == {}
        assert list(store.bodies([1])) == [b"{}"]
        assert store.keys([1]) == {1: b"new"}
        assert store.load().cost_bound[1] == 7

    def test_a_replaced_job_is_pending_whatever_became_of_it_before(self, store: Store) -> None:
        failed = outcome(1, None, JobStatus.FAILED, reason=Reason.BAD_INPUT, attempt=3)
        store.commit(OutcomesRecorded(outcomes=[failed]))
        before = store.load().status_of(1)
        store.commit(JobsAdded(rows=[row(1, body=b"{}", key=b"new"), row(3)]))

        state = store.load()

        assert before is JobStatus.FAILED
        assert [state.status_of(seq) for seq in (1, 3)] == [JobStatus.PENDING] * 2
        assert state.attempts[1] == 0

    def test_files_of_a_job_keep_their_order(self, store: Store) -> None:
        files = tuple(
            Attachment(name=name, media_type="t", sha256=name, size_bytes=3, path=f"/{name}")
            for name in "cab"
        )

        store.commit(JobsAdded(rows=[row(1, attachments=files), row(3, attachments=files[:1])]))

        assert store.attachments([3, 1]) == {1: files, 3: files[:1]}

    def test_no_job_is_wanted_until_a_run_says_so(self, store: Store) -> None:
        state = store.load()

        assert list(state.wanted) == [0, 0, 0]
        assert sum(state.counts) == 0
        assert list(state.pending()) == []
        assert list(state.input_bound) == [10, 11, 12]
        assert state.shapes == [SHAPE]

    def test_an_intent_sets_its_money_aside(self, store: Store) -> None:
        store.commit(LimitSet(limit=1000))
        store.commit(intent("t", 0, 2))

        state = store.load()

        assert [state.status_of(seq) for seq in range(3)] == ["submitted", "pending", "submitted"]
        assert (state.cost.reserved, state.cost.spent, state.cost.limit) == (2 * BOUND, 0, 1000)
        assert [each.token for each in state.open_submissions()] == ["t"]
        assert state.unsettled("t") == [0, 2]
        assert state.submissions["t"] == intent("t", 0, 2).submission

    def test_what_a_move_does_not_say_stays(self, store: Store) -> None:
        accepted = SubmissionStatus.ACCEPTED
        store.commit(intent("t", 0))
        store.commit(SubmissionMoved(token="t", status=SubmissionStatus.CREATING, input_ref="f"))
        store.commit(SubmissionMoved(token="t", status=accepted, remote_id="r", accepted_us=5))
        store.commit(SubmissionMoved(token="t", status=accepted, note="slow"))

        found = store.load().submissions["t"]

        assert (found.status, found.remote_id, found.input_ref) == (accepted, "r", "f")
        assert (found.accepted_us, found.note) == (5, "slow")

    def test_a_dropped_submission_frees_its_jobs_and_its_money(self, store: Store) -> None:
        store.commit(intent("t", 0, 1))
        store.commit(SubmissionMoved(token="t", status=SubmissionStatus.DROPPED))

        state = store.load()

        assert {state.status_of(seq) for seq in (0, 1)} == {JobStatus.PENDING}
        assert (state.cost.reserved, state.open_submissions()) == (0, [])

    def test_outcomes_settle_job_by_job(self, store: Store) -> None:
        store.commit(intent("t", 0, 1, 2))
        failed = outcome(1, "t", JobStatus.FAILED, reason=Reason.REFUSED, cost=20, attempt=2)
        store.commit(OutcomesRecorded(outcomes=[outcome(0, "t", cost=30), failed]))

        state = store.load()

        assert [state.status_of(seq) for seq in range(3)] == ["succeeded", "failed", "submitted"]
        assert (state.cost.spent, state.cost.reserved) == (50, BOUND)
        assert (state.attempts[1], state.reason_of(1)) == (2, Reason.REFUSED)
        assert (state.left, state.held) == ({"t": 1}, {"t": BOUND})
        assert state.paid == {1: 20}
        assert store.last_number == 2

    def test_the_last_outcomes_close_the_submission_in_the_same_breath(self, store: Store) -> None:
        store.commit(intent("t", 0))
        store.commit(OutcomesRecorded(outcomes=[outcome(0, "t", cost=1)], closes="t"))

        state = store.load()

        assert state.open_submissions() == []
        assert state.submissions["t"].status is SubmissionStatus.COLLECTED
        assert (state.cost.spent, state.cost.reserved) == (1, 0)

    def test_a_job_that_goes_again_belongs_to_its_new_submission(self, store: Store) -> None:
        again = outcome(0, "t", JobStatus.PENDING, reason=Reason.EXPIRED)
        store.commit(intent("t", 0, 1))
        store.commit(OutcomesRecorded(outcomes=[again]))
        store.commit(intent("u", 0))

        state = store.load()

        assert state.status_of(0) is JobStatus.SUBMITTED
        assert state.cost.reserved == 2 * BOUND
        assert {token: state.left[token] for token in ("t", "u")} == {"t": 1, "u": 1}

    def test_a_job_asked_again_keeps_its_last_misfit_and_its_new_bounds(self, store: Store) -> None:
        bounds = Bounds(99, 50, 3 * BOUND)
        for token, text in (("t", "1st"), ("u", "2nd")):
            again = misfit(0, token, text=text, error=f"{text} is wrong", again=bounds)
            store.commit(intent(token, 0))
            store.commit(OutcomesRecorded(outcomes=[again], closes=token))
        expired = outcome(0, "v", JobStatus.PENDING, reason=Reason.EXPIRED, attempt=3)
        store.commit(intent("v", 0))
        store.commit(OutcomesRecorded(outcomes=[expired], closes="v"))

        state = store.load()

        assert store.refused([0, 1]) == {0: ("2nd", "2nd is wrong")}
        assert state.reasks == {0: 2}
        assert (state.size_bytes[0], state.input_bound[0], state.cost_bound[0]) == (99, 50, 300)
        assert store.output_bounds([0, 2]) == {0: 5, 2: 5}

    @pytest.mark.parametrize("fields", [{"status": JobStatus.SKIPPED}, {"attempt": 0}])
    def test_a_job_that_begins_anew_has_no_misfit_behind_it(
        self, store: Store, fields: dict[str, Any]
    ) -> None:
        anew = outcome(**{"seq": 0, "token": None, "status": JobStatus.PENDING, **fields})
        store.commit(intent("t", 0))
        store.commit(OutcomesRecorded(outcomes=[misfit(0, "t")], closes="t"))
        store.commit(OutcomesRecorded(outcomes=[anew]))

        assert store.load().reasks == {}

    def test_the_newest_outcome_of_a_job_is_read_back(self, store: Store) -> None:
        store.commit(intent("t", 0, 1))
        first = outcome(0, "t", JobStatus.PENDING, reason=Reason.SERVER_ERROR)
        last = outcome(0, None, cost=3, text="hi", usage=Usage(1, 2, 3, 4, 5), extra=b'{"a":1}')

        store.commit(OutcomesRecorded(outcomes=[first, outcome(1, "t")]))
        store.commit(OutcomesRecorded(outcomes=[last]))

        assert store.last_outcomes([0, 2]) == {0: last}

    def test_tokens_add_up(self, store: Store) -> None:
        usage = Usage(1, 2, 3, 4, 5, 6, 7)
        store.commit(intent("t", 0, 1))
        store.commit(OutcomesRecorded(outcomes=[outcome(seq, "t", usage=usage) for seq in (0, 1)]))

        assert store.load().usage == usage + usage

    def test_a_commit_is_kept_whole_or_not_at_all(self, store: Store) -> None:
        lost = OutcomesRecorded(outcomes=[outcome(0, "nobody's")])

        with pytest.raises(StateError):
            store.commit(intent("t", 0), lost)

        assert store.load().submissions == {}
        assert store.last_number == 0

    def test_a_token_is_intended_once(self, store: Store) -> None:
        store.commit(intent("t", 0))

        with pytest.raises(StateError):
            store.commit(intent("t", 1))

    def test_small_values_are_kept_and_replaced(self, store: Store) -> None:
        store.set_meta(text="a", number=2**40, nothing=None)
        store.set_meta(text="b")

        found = [store.meta(key) for key in ("text", "number", "nothing", "unknown")]

        assert found == ["b", 2**40, None, None]

    def test_the_next_process_finds_everything(self, tmp_path: Path, store: Store) -> None:
        store.commit(intent("t", 0, 1))
        store.commit(OutcomesRecorded(outcomes=[outcome(0, "t", cost=3)]))
        store.set_meta(key="value")
        before = store.load()
        store.close()

        after = self.open_store(tmp_path)

        state = after.load()
        assert (state.status, state.submissions) == (before.status, before.submissions)
        assert (state.cost.spent, state.cost.reserved) == (3, BOUND)
        assert (after.last_number, after.meta("key")) == (1, "value")
        assert after.ids([0, 1, 2]) == ["job 0", "job 1", "job 2"]
        after.close()
