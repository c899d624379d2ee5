"""Results read back from a state file: the last word on each job, with all it cost."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from batchata.core.events import (
    JobsAdded,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.result import Reason
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import JobRow, Outcome, Shape, Submission
from batchata.core.usage import Usage
from batchata.sdk.results import Results, Tail
from batchata.stores.reader import ResultReader, bind_nothing
from batchata.stores.sqlite import SQLiteStore

#: 1e-12 USD of one cent
CENT = 10**10


class Person(BaseModel):
    """An answer's form."""

    name: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """A state file with four jobs, sent as one batch."""
    made = SQLiteStore(path)
    made.commit(ShapeAdded(number=0, shape=Shape(provider="fake", endpoint="/fake", model="m")))
    rows = [JobRow(n, f"j{n}", 0, b"{}", None, b'{"n":%d}' % n, 1, 1, 10) for n in range(4)]
    made.commit(JobsAdded(rows=rows))
    send(made, "t", 0, 1, 2, 3)
    yield made
    made.close()


def send(store: SQLiteStore, token: str, *seqs: int) -> None:
    """A batch of these jobs is at the vendor."""
    submission = Submission(
        token=token,
        provider="fake",
        endpoint="/fake",
        model="m",
        wire_version="",
        seqs=array("I", seqs),
        status=SubmissionStatus.INTENDED,
        intended_us=1,
    )
    store.commit(SubmissionIntended(submission=submission))
    accepted = SubmissionStatus.ACCEPTED
    store.commit(SubmissionMoved(token=token, status=accepted, remote_id=f"r-{token}"))


def end(store: SQLiteStore, seq: int, status: str, token: str = "t", **fields: Any) -> None:
    """A job's attempt ended."""
    outcome = Outcome(seq=seq, status=JobStatus(status), attempt=1, token=token, **fields)
    store.commit(OutcomesRecorded(outcomes=[outcome]))


def test_every_job_is_there_with_its_state(store: SQLiteStore, path: Path) -> None:
    end(store, 0, "succeeded", text="hi", cost=2 * CENT, usage=Usage(5, 2))
    end(store, 2, "failed", reason=Reason.REFUSED, error="no", cost=CENT)
    end(store, 3, "pending", reason=Reason.EXPIRED)

    results = Results(path)

    assert [result.status for result in results.iter_all()] == [
        "succeeded",
        "submitted",
        "failed",
        "pending",
    ]
    assert [result.job_id for result in results.unfinished] == ["j1", "j3"]
    assert (results["j0"].response, results["j0"].usage) == ("hi", Usage(5, 2))
    assert (results["j0"].batch_id, results["j0"].metadata) == ("r-t", {"n": 0})
    assert (results["j2"].reason, results["j2"].error) == (Reason.REFUSED, "no")
    assert "run again" in (results["j1"].error or "")
    assert (results["j1"].metadata, results["j3"].metadata) == ({"n": 1}, {"n": 3})
    assert repr(results) == ("Results(completed=1, failed=1, cancelled=0, skipped=0, unfinished=2)")


def test_a_job_costs_what_all_its_attempts_cost(store: SQLiteStore, path: Path) -> None:
    end(store, 0, "pending", reason=Reason.TRUNCATED, cost=3 * CENT)
    end(store, 1, "pending", reason=Reason.TRUNCATED, cost=CENT)
    send(store, "u", 0, 1)
    end(store, 0, "succeeded", token="u", cost=2 * CENT)
    end(store, 1, "failed", token="u", reason=Reason.REFUSED, cost=5 * CENT)
    end(store, 2, "pending", reason=Reason.TRUNCATED, cost=CENT)

    results, tail = Results(path), Tail(path, bind_nothing)

    costs = [result.cost_usd for result in results.iter_all()]
    assert costs == [Decimal("0.05"), Decimal("0.06"), Decimal("0.01"), Decimal(0)]
    assert [result.cost_usd for result in tail.more()] == costs[:2]
    tail.close()


def test_reading_on_from_a_number_knows_what_was_paid_before_it(
    store: SQLiteStore, path: Path
) -> None:
    end(store, 0, "pending", reason=Reason.TRUNCATED, cost=3 * CENT)
    send(store, "u", 0)
    end(store, 0, "succeeded", token="u", cost=2 * CENT)
    reader = ResultReader(path)

    number, (found,) = reader.after(1)

    assert (number, found.cost_usd) == (2, Decimal("0.05"))
    assert reader.after(number) == (2, [])
    reader.close()


def test_a_tail_follows_a_run_also_to_batches_and_shapes_that_are_new(
    store: SQLiteStore, path: Path
) -> None:
    tail = Tail(path, bind_nothing)
    nothing = tail.more()

    end(store, 1, "succeeded", text="one")
    first = [result.response for result in tail.more()]
    store.commit(ShapeAdded(number=1, shape=Shape(provider="fake", endpoint="/b", model="new")))
    store.commit(JobsAdded(rows=[JobRow(4, "j4", 1, b"{}", None, None, 1, 1, 10)]))
    send(store, "u", 4)
    end(store, 4, "succeeded", token="u", text="four")
    (second,) = tail.more()

    assert (nothing, first) == ([], ["one"])
    assert (second.job_id, second.model, second.batch_id) == ("j4", "new", "r-u")
    tail.close()


def test_only_wanted_jobs_are_shown(store: SQLiteStore, path: Path) -> None:
    results = Results(path, bytes([0, 1, 0, 1]))

    assert (list(results), len(results)) == (["j1", "j3"], 2)
    assert "j0" not in results


def test_a_parsed_answer_is_bound_to_the_model_that_is_known(
    store: SQLiteStore, path: Path
) -> None:
    end(store, 0, "succeeded", parsed=b'{"name":"Ada"}')

    plain = Results(path)["j0"].parsed_response
    bound = Results(path, bind=lambda number: Person)["j0"].parsed_response

    assert plain == {"name": "Ada"}
    assert bound == Person(name="Ada")


class Stricter(BaseModel):
    """A model whose validators were changed after the answer came."""

    name: str

    @field_validator("name")
    @classmethod
    def is_short(cls, name: str) -> str:
        raise ValueError("too long")


def test_an_answer_that_its_model_no_longer_takes_is_shown_as_it_was(
    store: SQLiteStore, path: Path
) -> None:
    end(store, 0, "succeeded", parsed=b'{"name":"Ada"}')

    bound = Results(path, bind=lambda number: Stricter)["j0"]

    assert bound.is_success
    assert bound.parsed_response == {"name": "Ada"}


def test_many_results_are_read_a_few_at_a_time(store: SQLiteStore, path: Path) -> None:
    rows = [JobRow(n, f"j{n}", 0, b"{}", None, None, 1, 1, 10) for n in range(4, 1_204)]
    store.commit(JobsAdded(rows=rows))
    send(store, "u", *range(4, 1_204))
    outcomes = [
        Outcome(seq=n, status=JobStatus.SUCCEEDED, attempt=1, token="u", text=str(n))
        for n in range(4, 1_204)
    ]
    store.commit(OutcomesRecorded(outcomes=outcomes, closes="u"))

    found = [result.response for result in Results(path).completed]

    assert found == [str(n) for n in range(4, 1_204)]
