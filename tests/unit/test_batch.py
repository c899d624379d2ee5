"""The builder: checks at once, touches nothing, and remembers what it was told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from batchata import Batch, Job
from batchata.core.errors import DuplicateJobError, UnknownModelError, ValidationError
from batchata.core.job import DEFAULT_MAX_TOKENS, UnaskableJob

GPT = "gpt-6-luna"


class Person(BaseModel):
    """An answer's form."""

    name: str


def batch(**defaults: Any) -> Batch:
    """A batch with a model to ask."""
    return Batch().set_default_params(model=GPT, **defaults)


def one(made: Batch) -> Job:
    """The only job of a batch."""
    (job,) = made.jobs
    return job


def test_every_call_gives_the_batch_back() -> None:
    made = Batch("./out", 3, 7, raw_files=False)

    chained = (
        made.set_state("state.db")
        .set_default_params(model=GPT, temperature=0.1)
        .add_cost_limit(5)
        .add_time_limit(hours=1)
        .raw_files()
        .set_verbosity("warn")
        .set_prices({"m": {"input": 1}})
        .set_queue_limits({GPT: 1000})
        .set_retries(5)
        .set_stop("cancel")
        .set_polling(0.5)
        .add_job(prompt="q")
        .add_jobs(["r"])
    )

    assert chained is made
    assert len(made) == 2


def test_building_touches_no_file_no_network_and_no_sdk(tmp_path: Path) -> None:
    code = (
        "import sys; from batchata import Batch; "
        "b = Batch('out').set_state('s.db').add_cost_limit(5).set_provider('openai', api_key='k'); "
        "b.add_job(prompt='q', model='gpt-6-luna').add_job(prompt='q', model='claude-haiku-5-5'); "
        "print([m for m in ('openai', 'anthropic', 'aiohttp', 'httpx2') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [5, "  ", b"gpt-6-luna"])
def test_a_model_that_is_no_name_is_refused_at_once(model: Any) -> None:
    with pytest.raises(ValidationError, match="not a name"):
        Batch().add_job(prompt="q", model=model)


def test_a_model_of_a_generator_that_is_no_name_fails_its_job_alone() -> None:
    rows: list[dict[str, Any]] = [{"prompt": "q", "model": 5}, {"prompt": "q", "model": "gpt-5"}]

    bad, good = Batch().add_jobs(iter(rows)).jobs

    assert isinstance(bad, UnaskableJob)
    assert "model is 5, not a name" in bad.why
    assert good.model == "gpt-5"


def test_a_job_keeps_our_fields_and_passes_the_rest_to_the_vendor() -> None:
    made = batch().add_job(
        prompt="q",
        temperature=0.5,
        max_tokens=9,
        response_model=Person,
        id="a",
        metadata={"n": 1},
        top_p=0.9,
        seed=7,
        tools=[{"type": "function"}],
    )

    job = one(made)
    assert (job.id, job.model, job.prompt) == ("a", GPT, "q")
    assert (job.temperature, job.max_tokens, job.response_model) == (0.5, 9, Person)
    assert job.metadata == {"n": 1}
    assert job.params == {"top_p": 0.9, "seed": 7, "tools": [{"type": "function"}]}


def test_defaults_hold_where_a_job_says_nothing() -> None:
    made = batch(temperature=0.5, system="Be brief.", top_p=0.1)
    made.add_job(prompt="q").add_job(prompt="r", temperature=0.9, top_p=0.2)

    plain, own = made.jobs

    assert (plain.temperature, plain.params) == (0.5, {"system": "Be brief.", "top_p": 0.1})
    assert (own.temperature, own.params["top_p"]) == (0.9, 0.2)
    assert plain.max_tokens == DEFAULT_MAX_TOKENS


def test_defaults_hold_for_jobs_that_come_after_them_and_add_up() -> None:
    made = batch().add_job(prompt="early").set_default_params(seed=3)
    made.add_job(prompt="late")

    early, late = made.jobs

    assert (early.params, late.params) == ({}, {"seed": 3})
    assert late.model == GPT


def test_falsy_values_are_values() -> None:
    job = one(batch(temperature=0.7).add_job(prompt="q", temperature=0.0, seed=0, stop=[]))

    assert job.temperature == 0.0
    assert job.params == {"seed": 0, "stop": []}


def test_every_kind_of_job_is_taken_and_order_is_kept() -> None:
    made = batch().add_job(prompt="0")
    made.add_jobs(["1", {"prompt": "2", "id": "two"}, Job("three", GPT, prompt="3")])
    made.add_jobs(f"{n}" for n in range(4, 6)).add_job(prompt="6")

    assert [job.prompt for job in made.jobs] == [str(n) for n in range(7)]
    assert [job.id for job in made.jobs][2:4] == ["two", "three"]


def test_a_generator_is_not_read_before_it_must_be() -> None:
    read: list[int] = []

    def many() -> Iterator[str]:
        for number in range(3):
            read.append(number)
            yield str(number)

    made = batch().add_jobs(many())
    before = list(read)

    assert (before, bool(made), len(made), len(made)) == ([], True, 3, 3)


BAD: dict[str, tuple[Callable[[], Any], type[ValidationError], str]] = {
    "no model": (lambda: Batch().add_job(prompt="q"), ValidationError, "no model"),
    "strange model": (lambda: batch().add_job(prompt="q", model="odd"), UnknownModelError, "odd"),
    "no question": (lambda: batch().add_job(), ValidationError, "messages or prompt"),
    "both": (
        lambda: batch().add_job([{"role": "user", "content": "q"}], prompt="q"),
        ValidationError,
        "not both",
    ),
    "file alone": (lambda: batch().add_job(file="a.txt"), ValidationError, "prompt"),
    "messages as text": (lambda: batch().add_job("q"), ValidationError, "not a list"),
    "no messages": (lambda: batch().add_job([]), ValidationError, "empty"),
    "message without role": (lambda: batch().add_job([{"c": 1}]), ValidationError, "role"),
    "prompt as number": (lambda: batch().add_job(prompt=5), ValidationError, "not text"),
    "id as number": (lambda: batch().add_job(prompt="q", id=5), ValidationError, "not text"),
    "id with half a surrogate pair": (
        lambda: batch().add_job(prompt="q", id="\ud83d"),
        ValidationError,
        "Unicode",
    ),
    "empty id": (lambda: batch().add_job(prompt="q", id=""), ValidationError, "not text"),
    "temperature": (lambda: batch().add_job(prompt="q", temperature=3), ValidationError, "between"),
    "temperature as text": (
        lambda: batch().add_job(prompt="q", temperature="1"),
        ValidationError,
        "number",
    ),
    "max_tokens": (lambda: batch().add_job(prompt="q", max_tokens=1.5), ValidationError, "whole"),
    "true as a number": (
        lambda: batch().add_job(prompt="q", max_tokens=True),
        ValidationError,
        "number",
    ),
    "model instance": (
        lambda: batch().add_job(prompt="q", response_model=Person(name="x")),
        ValidationError,
        "class",
    ),
    "two forms": (
        lambda: batch().add_job(prompt="q", response_model=Person, response_schema={}),
        ValidationError,
        "both",
    ),
    "a function": (lambda: batch().add_job(prompt="q", stop=len), ValidationError, "stop"),
    "one job as many": (lambda: batch().add_jobs("q"), ValidationError, "many jobs"),
    "a mapping as many": (lambda: batch().add_jobs({"prompt": "q"}), ValidationError, "many"),
    "a number among jobs": (lambda: batch().add_jobs([5]), ValidationError, "not a job"),
    "same id": (
        lambda: batch().add_job(prompt="q", id="a").add_jobs([Job("a", GPT, prompt="r")]),
        DuplicateJobError,
        "'a'",
    ),
}


@pytest.mark.parametrize(("call", "kind", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_sent_is_refused_at_once(
    call: Callable[[], Any], kind: type[ValidationError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        call()


def test_a_refused_job_leaves_the_batch_as_it_was() -> None:
    made = batch().add_job(prompt="good")

    with pytest.raises(ValidationError):
        made.add_jobs(["fine", 5])

    assert one(made).prompt == "good"


@pytest.mark.parametrize(
    "model", [GPT, "openai:anything", "openai/gpt-6-luna", "claude-haiku-5-5", "anthropic:x"]
)
def test_models_are_known_by_their_name_or_their_providers(model: str) -> None:
    assert one(Batch().add_job(prompt="q", model=model)).model == model


def test_a_batch_shows_what_it_holds() -> None:
    made = batch().add_job(prompt="q").add_cost_limit(2.5)

    assert repr(made) == "Batch(jobs=1, max_parallel_batches=10, cost_limit=$2.5)"
    assert repr(made.add_jobs(iter(()))) == (
        "Batch(jobs=0+, max_parallel_batches=10, cost_limit=$2.5)"
    )


def test_jobs_of_two_batches_are_their_own() -> None:
    first, second = batch().add_job(prompt="q", id="a"), batch().add_job(prompt="r", id="a")

    assert (len(first), len(second)) == (1, 1)
