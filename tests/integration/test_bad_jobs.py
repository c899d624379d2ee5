"""Jobs that cannot be sent fail alone; odd ones that can are sent."""

from __future__ import annotations

from typing import Any

import pandas as pd
from run_lab import GPT, Lab

from batchata import Reason


def test_a_parameter_that_cannot_be_sent_fails_its_job_alone(lab: Lab) -> None:
    batch = lab.batch().set_default_params(model=GPT).add_job(prompt="a good one")
    batch.add_job(id="nan", prompt="q", top_p=float("nan")).add_job(id="n", prompt="q", n="many")

    results = batch.run().results()

    assert [each.reason for each in results.failed] == [Reason.BAD_INPUT] * 2
    assert str(results["nan"].error).startswith("top_p is nan")
    assert len(results.completed) == 1


def test_keys_that_are_no_text_fail_their_job_alone(lab: Lab) -> None:
    jobs: list[Any] = [{"prompt": "one"}, {"prompt": "two", 5: 1, "top_p": 0.5}]
    batch = lab.batch().set_default_params(model=GPT).add_jobs(jobs)

    results = batch.run().results()

    assert (len(results.completed), len(results.failed)) == (1, 1)
    assert "5 cannot be sent" in str(results.failed[0].error)


def test_a_row_of_a_data_frame_can_be_kept_as_metadata(lab: Lab) -> None:
    frame = pd.DataFrame({"text": ["a"], "year": [2026], "at": pd.to_datetime(["2026-11-22"])})
    batch = lab.batch().set_default_params(model=GPT)
    for _, row in frame.iterrows():
        batch.add_job(prompt=row.text, metadata=dict(row), top_p=row.year / 4052)

    (result,) = batch.run().results().completed

    assert result.metadata == {"text": "a", "year": 2026, "at": "2026-11-22T00:00:00"}


def test_ids_of_any_length_and_alphabet_have_their_files(lab: Lab) -> None:
    batch = lab.batch().set_default_params(model=GPT)
    for job_id in ("中" * 200, "é" * 150, "x" * 500, "../up", "ok"):
        batch.add_job(prompt="q", id=job_id)

    batch.run()

    assert len(list(lab.out.glob("*.json"))) == 5
