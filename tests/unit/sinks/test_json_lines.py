"""`results.jsonl` on a disk that fills up."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchata import JobResult
from batchata.core.errors import ResultsError
from batchata.sinks.results import JsonLines

resource = pytest.importorskip("resource")


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Files may grow to this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def results(*numbers: int) -> list[JobResult]:
    """Results of these jobs."""
    return [JobResult(f"q{n}", "x" * 300) for n in numbers]


def test_a_disk_that_fills_up_leaves_whole_lines_and_the_next_run_writes_the_others(
    tmp_path: Path,
) -> None:
    path = tmp_path / "results.jsonl"
    first = JsonLines(path)
    first.write(results(0, 1))
    first.flush()
    mark = first.mark

    first.write(results(2, 3, 4))
    with no_file_beyond(mark + 500), pytest.raises(ResultsError, match="cannot be written"):
        first.show()
    second = JsonLines(path, mark)
    second.write([each for each in results(2, 3, 4) if each.job_id not in second.known])
    first.close()
    del first
    gc.collect()
    second.close()

    said = [json.loads(line)["job_id"] for line in path.read_bytes().splitlines()]
    assert said == ["q0", "q1", "q2", "q3", "q4"]
