"""Jobs of the live route are read from the script while earlier ones are being asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from run_lab import Lab, all_of, wait_until

import batchata.run
from batchata import Batch
from batchata.core.errors import (
    DuplicateJobError,
    JobChangedError,
    UnknownPriceError,
    ValidationError,
)
from batchata.core.progress import RunView
from batchata.engine import feeding
from batchata.gateway import HttpFault, Scenario

Asked = dict[str, Any]


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs are written down together, and never less."""
    monkeypatch.setattr(feeding, "_FIRST", 2)
    monkeypatch.setattr(feeding, "_GROUP", 2)


def asked(number: int, **more: Any) -> Asked:
    """One job of a script."""
    return {"id": f"q{number}", "prompt": f"question {number}", **more}


def live(lab: Lab, jobs: Iterator[Asked], **settings: Any) -> Batch:
    """A batch that asks live what a script gives."""
    batch = lab.batch(**settings).set_default_params(model="gpt-6-luna", max_tokens=60)
    return batch.set_route("live").add_jobs(jobs)


def each_once(lab: Lab) -> int:
    """How many questions the vendor answered, none of them twice."""
    asked = [call.content for call in lab.ledger.live]
    assert len(set(asked)) == len(asked)
    return len(asked)


def answered(lab: Lab, count: int) -> Callable[[], bool]:
    """True once so many questions were answered."""
    return lambda: len(lab.ledger.live) >= count


def after_answers(lab: Lab, first: int, then: Iterator[Asked]) -> Iterator[Asked]:
    """A script that goes on when its first jobs have their answers."""
    yield from map(asked, range(first))
    wait_until(answered(lab, first))
    yield from then


@pytest.mark.usefixtures("pairs")
def test_the_first_answers_come_while_the_script_is_still_read(lab: Lab) -> None:
    run = live(lab, after_answers(lab, 4, map(asked, range(4, 9)))).run()

    assert list(run.results()) == [f"q{number}" for number in range(9)]
    assert list(run.to_dataframe()["job_id"]) == [f"q{number}" for number in range(9)]
    assert each_once(lab) == 9
    assert run.is_complete


@pytest.mark.usefixtures("pairs")
def test_responses_begin_in_the_background_while_the_script_is_still_read(lab: Lab) -> None:
    lab.play(scenario=Scenario(background_seconds=0.02))

    def begun() -> int:
        return sum(each.route == "openai.responses" for each in lab.box.requests)

    def script() -> Iterator[Asked]:
        yield from map(asked, range(4))
        wait_until(lambda: begun() == 4)
        yield from map(asked, range(4, 7))

    run = live(lab, script()).set_route("background").run()

    assert run.status()["completed"] == begun() == 7
    assert run.is_complete


def test_a_slow_script_is_not_waited_for(lab: Lab) -> None:
    run = live(lab, after_answers(lab, 1, map(asked, range(1, 3)))).run()

    assert run.status()["completed"] == 3


def test_a_script_is_read_in_the_thread_of_its_caller(lab: Lab) -> None:
    threads = set()

    def script() -> Iterator[Asked]:
        for number in range(3):
            threads.add(threading.get_ident())
            yield asked(number)

    live(lab, script()).run()

    assert threads == {threading.get_ident()}


def failing(error: Exception) -> Iterator[Asked]:
    """A script whose own code fails."""
    yield asked(4)
    raise error


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (lambda: failing(OSError("the cursor is gone")), OSError),
        (lambda: iter([asked(4), asked(4)]), DuplicateJobError),
        (lambda: iter([asked(4, model="gpt-nobody-knows")]), UnknownPriceError),
    ],
    ids=["of its own", "two of one id", "no price"],
)
def test_an_error_in_the_middle_ends_the_run_and_the_mended_script_goes_on(
    lab: Lab, rest: Callable[[], Iterator[Asked]], error: type[Exception]
) -> None:
    stopped = live(lab, after_answers(lab, 4, rest()))

    with pytest.raises(error):
        stopped.run()
    assert each_once(lab) == 4
    run = live(lab, map(asked, range(6))).run()

    assert run.status()["completed"] == 6
    assert each_once(lab) == 6


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (lambda: iter([asked(0), asked(0)]), DuplicateJobError),
        (lambda: iter([asked(0), asked(1, model="gpt-nobody-knows")]), UnknownPriceError),
        (lambda: failing(OSError("no such table")), OSError),
        (lambda: iter([]), ValidationError),
    ],
    ids=["two of one id", "no price", "of its own", "no job"],
)
def test_an_error_among_the_first_jobs_comes_before_anything_is_sent(
    lab: Lab, script: Callable[[], Iterator[Asked]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        live(lab, script()).run()

    assert each_once(lab) == 0


@pytest.mark.usefixtures("pairs")
def test_a_changed_job_in_the_middle_ends_the_run_in_good_order(lab: Lab) -> None:
    live(lab, iter([asked(9)])).run()
    changed = {"id": "q9", "prompt": "another question"}
    script = lambda: after_answers(lab, 4, iter([changed, asked(5)]))  # noqa: E731

    with pytest.raises(JobChangedError, match="'q9' is succeeded"):
        live(lab, script()).run()
    run = live(lab, script()).set_state(lab.state_file, on_changed="keep").run()

    assert each_once(lab) == 6
    assert run.results()["q9"].status == "succeeded"


@pytest.mark.usefixtures("pairs")
def test_a_stop_ends_the_run_while_its_script_waits(lab: Lab) -> None:
    goes_on, read = threading.Event(), []

    def script() -> Iterator[Asked]:
        for number in range(100):
            read.append(number)
            yield asked(number)
            if number == 3:
                goes_on.wait(60)

    run = live(lab, script()).start()
    wait_until(lambda: run._session is not None and run.status()["completed"] == 4)

    run.stop()

    assert run.wait(60)
    goes_on.set()
    assert len(read) == 4
    assert each_once(lab) == run.status()["completed"] == 4
    assert not run.is_complete
    again = live(lab, map(asked, range(6))).run()
    assert again.status()["completed"] == each_once(lab) == 6


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_is_in_flight_is_recorded_when_the_script_is_interrupted(
    lab: Lab, end: type[BaseException]
) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.05)
    lab.play(scenario=Scenario(http=(slow,)))

    def script() -> Iterator[Asked]:
        yield from map(asked, range(4))
        wait_until(lambda: len(lab.box.requests) >= 1)
        raise end

    with pytest.raises(end):
        live(lab, script()).run()
    sent = each_once(lab)
    run = live(lab, map(asked, range(6))).run()

    assert sent >= 1
    assert run.status()["completed"] == each_once(lab) == 6
    assert not run.status()["possibly_billed"]


@pytest.mark.usefixtures("pairs")
def test_a_script_that_was_cut_off_is_not_taken_for_a_whole_one(lab: Lab) -> None:
    def script() -> Iterator[Asked]:
        yield from map(asked, range(2))
        wait_until(answered(lab, 2))
        raise SystemExit(3)

    run = live(lab, script()).start()

    with pytest.raises(SystemExit):
        run.wait(60)
    assert run.status()["completed"] == 2
    assert not run.is_complete


@pytest.mark.usefixtures("pairs")
def test_jobs_over_the_limit_are_skipped_while_more_are_read(lab: Lab) -> None:
    dear = {"max_tokens": 60_000}

    def script() -> Iterator[Asked]:
        yield from (asked(0), asked(1, **dear), asked(2), asked(3, **dear))
        wait_until(answered(lab, 2))
        yield from (asked(4), asked(5, **dear))

    run = live(lab, script()).add_cost_limit(0.01).run()

    ends = {job_id: str(result.status) for job_id, result in all_of(run).items()}
    assert [job_id for job_id, end in ends.items() if end == "skipped"] == ["q1", "q3", "q5"]
    assert run.status()["completed"] == each_once(lab) == 3
    assert run.is_complete


@pytest.mark.usefixtures("pairs")
def test_an_earlier_run_is_met_as_the_script_comes_to_it(lab: Lab) -> None:
    live(lab, map(asked, range(4))).run()
    script = iter([asked(3), asked(5), asked(0), asked(1), asked(6)])

    run = live(lab, script).run()

    assert each_once(lab) == 6
    assert sorted(run.results()) == ["q0", "q1", "q3", "q5", "q6"]
    assert run.view.done_before == 3
    assert len(list(lab.out.glob("q*.json"))) == 6


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize(
    "settle",
    [lambda batch: batch.add_pilot(jobs=1), lambda batch: batch.set_route("auto")],
    ids=["pilot", "auto"],
)
def test_a_run_that_needs_to_know_all_jobs_reads_them_first(
    lab: Lab, settle: Callable[[Batch], Batch]
) -> None:
    seen: list[int] = []

    def script() -> Iterator[Asked]:
        for number in range(6):
            seen.append(len(lab.box.requests))
            yield asked(number)

    settle(live(lab, script())).run()

    assert set(seen) == {0}


@pytest.mark.usefixtures("pairs")
def test_dedupe_reads_all_jobs_first_and_asks_each_question_once(lab: Lab) -> None:
    twins = ({"id": f"t{number}", "prompt": "the same"} for number in range(5))

    run = live(lab, twins, dedupe=True).run()

    assert run.status()["completed"] == 5
    assert each_once(lab) == 1


@pytest.mark.usefixtures("pairs")
def test_no_job_is_answered_by_another_one_of_its_run_through_the_cache(
    lab: Lab, tmp_path: Path
) -> None:
    same = [{"id": f"q{number}", "prompt": "the same question"} for number in range(4)]

    def script() -> Iterator[Asked]:
        yield from same[:2]
        wait_until(answered(lab, 2))
        wait_until(lambda: (lab.out / "q0.json").exists())
        yield from same[2:]

    live(lab, script()).set_cache(tmp_path / "cache.db").run()

    assert len(lab.ledger.live) == 4


@pytest.mark.usefixtures("pairs")
def test_a_file_of_many_jobs_is_uploaded_once(lab: Lab, tmp_path: Path) -> None:
    from batchata.documents.pdf import create_pdf

    path = tmp_path / "a.pdf"
    path.write_bytes(create_pdf(["page"]))

    def script() -> Iterator[Asked]:
        yield from (asked(0), asked(1, file=path), asked(2, file=path))
        wait_until(answered(lab, 1))  # one without a file is not held back
        yield from (asked(3, file=path), asked(4))

    run = live(lab, script()).set_uploads("always").run()

    assert run.status()["completed"] == 5
    uploads = [each for each in lab.box.requests if each.route.endswith("files.create")]
    assert len(uploads) == 1


class Shown:
    """A display that remembers what it was shown."""

    def __init__(self) -> None:
        self.views: list[RunView] = []

    def start_progress(self, view: RunView) -> None:
        self.views.append(view)

    update_progress = handle_cancellation = finish_progress = start_progress


@pytest.mark.usefixtures("pairs")
def test_progress_is_shown_and_told_while_the_script_takes_its_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, told = Shown(), list[tuple[int, int]]()
    monkeypatch.setattr(batchata.run, "make_display", lambda: shown)

    def script() -> Iterator[Asked]:
        yield from map(asked, range(4))
        wait_until(lambda: shown.views[-1].succeeded == 4)
        yield from map(asked, range(4, 6))

    def tell(stats: dict[str, Any], seconds: float, batches: dict[str, Any]) -> None:
        told.append((stats["total"], threading.get_ident()))

    live(lab, script()).run(on_progress=tell, progress_interval=0, print_status=True)

    reading = next(view for view in shown.views if view.succeeded == 4)
    assert reading.is_taking_in
    assert reading.total == 4
    assert reading.eta_seconds is None
    assert reading.note == "waiting for the next job of the script"
    assert shown.views[-1].total == shown.views[-1].done == 6
    assert not shown.views[-1].is_taking_in
    assert {thread for _, thread in told} == {threading.get_ident()}
    assert [total for total, _ in told] == sorted(total for total, _ in told)
