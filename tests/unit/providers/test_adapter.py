"""A plug-in of six methods runs in the engine like one of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from toy_vendor import Anything, AsyncToyProvider, ToyProvider, ToyVendor

from batchata import Batch, JobResult, JobStatus, ProviderNotFoundError, Reason, StateManager
from batchata.core.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnknownModelError,
    UnknownPriceError,
    ValidationError,
)
from batchata.core.status import RemoteState
from batchata.providers import Provider, get_provider, provider_names, register, registry
from batchata.providers.adapter import AdaptedProvider, read_status

Make = Callable[[ToyVendor], Provider]


@pytest.fixture
def vendor() -> ToyVendor:
    return ToyVendor()


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    before = dict(registry._REGISTERED)
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(before)


@pytest.fixture(params=[ToyProvider, AsyncToyProvider], ids=["def", "async def"])
def toy(request: pytest.FixtureRequest, vendor: ToyVendor) -> ToyVendor:
    register("toy", request.param(vendor))
    return vendor


def batch(folder: Path, *prompts: str) -> Batch:
    made = Batch(folder / "out").set_polling(0.001).set_default_params(model="toy:echo-1")
    for prompt in prompts:
        made.add_job(prompt=prompt)
    return made


def test_its_jobs_run_and_its_costs_are_kept(toy: ToyVendor, tmp_path: Path) -> None:
    run = batch(tmp_path, "abc", "def").run()

    assert [each.raw_response for each in run.results().completed] == ["cba", "fed"]
    assert run.status()["cost_usd"] == Decimal("0.02")
    assert toy.is_closed
    result = run.results().completed[0]
    assert (result.batch_id, result.model, result.provider) == ("toy/1", "echo-1", "toy")
    assert (result.input_tokens, result.output_tokens) == (3, 4)


def test_the_same_script_again_sends_nothing(toy: ToyVendor, tmp_path: Path) -> None:
    batch(tmp_path, "abc", "def").run()

    again = batch(tmp_path, "abc", "def", "ghi").run()

    assert len(again.results().completed) == 3
    assert toy.asked == ["abc", "def", "ghi"]


def test_a_batch_in_flight_is_collected_by_the_next_run(toy: ToyVendor, tmp_path: Path) -> None:
    toy.polls = 10**9
    first = batch(tmp_path, "abc", "abc").start()
    while not toy.looks:
        first.wait(0.01)
    first.stop()
    first.wait()
    toy.polls = 1

    again = batch(tmp_path, "abc", "abc").run()

    assert [each.raw_response for each in again.results().completed] == ["cba", "cba"]
    assert toy.asked == ["abc", "abc"]


def test_the_plug_in_is_given_its_jobs_also_after_a_restart(
    vendor: ToyVendor, tmp_path: Path
) -> None:
    vendor.polls = 10**9
    register("toy", ToyProvider(vendor))
    run = batch(tmp_path).add_job(prompt="abc", temperature=0.5).add_job(prompt="x", id="x").start()
    while not vendor.looks:
        run.wait(0.01)
    run.stop()
    run.wait()
    vendor.polls = 1
    second = ToyProvider(vendor)
    register("toy", second)

    batch(tmp_path).add_job(prompt="abc", temperature=0.5).add_job(prompt="x", id="x").run()

    assert [(job.prompt, job.temperature) for job in second.given] == [("abc", 0.5), ("x", None)]
    assert second.given[1].id == "x"


def test_one_bad_job_fails_alone(toy: ToyVendor, tmp_path: Path) -> None:
    run = batch(tmp_path, "abc", "forbidden", "go wrong").run()

    by_error = {each.error: each for each in run.results().failed}
    assert len(run.results().completed) == 1
    refused = next(each for each in by_error.values() if "does not take" in str(each.error))
    assert refused.reason is Reason.BAD_INPUT
    assert by_error["it went wrong"].reason is Reason.INVALID_REQUEST
    assert run.status()["cost_usd"] == Decimal("0.015")


def test_a_job_that_the_plug_in_forgets_is_asked_again_and_then_said_to_be_missing(
    vendor: ToyVendor, tmp_path: Path
) -> None:
    register("toy", ToyProvider(vendor))

    run = batch(tmp_path, "leave out", "abc").set_retries(max_attempts=2).run()

    assert [each.reason for each in run.results().failed] == [Reason.MISSING]
    assert vendor.asked.count("leave out") == 2
    assert vendor.asked.count("abc") == 1


def test_a_transient_failure_is_tried_again(vendor: ToyVendor, tmp_path: Path) -> None:
    class Shaky(ToyProvider):
        def get_batch_results(self, batch_id: str) -> list[JobResult]:  # type: ignore[override]
            if batch_id == "toy/1":
                (job,) = self.vendor.batches[batch_id]
                busy = Reason.SERVER_ERROR
                return [JobResult(job_id=job.id, error="busy", reason=busy)]
            return super().get_batch_results(batch_id, Anything())

    register("toy", Shaky(vendor))

    run = batch(tmp_path, "abc").run()

    assert [each.attempts for each in run.results().completed] == [2]


def test_a_refused_batch_fails_its_jobs(toy: ToyVendor, tmp_path: Path) -> None:
    run = batch(tmp_path, "refuse the batch").run()

    assert [each.error for each in run.results().failed] == ["the toy vendor refuses"]


class Turned(BaseModel):
    """An answer of a certain form."""

    text: str


def test_response_models_come_back_as_instances(toy: ToyVendor, tmp_path: Path) -> None:
    run = batch(tmp_path).add_job(prompt="abc", response_model=Turned).run()

    assert run.results().completed[0].parsed_response == Turned(text="cba")


def test_the_plug_in_sees_the_response_model_and_no_metadata(
    vendor: ToyVendor, tmp_path: Path
) -> None:
    register("toy", ToyProvider(vendor))

    run = batch(tmp_path).add_job(prompt="a", response_model=Turned, metadata={"row": 7}).run()

    sent = vendor.batches["toy/1"][0]
    assert sent.response_model is Turned
    assert sent.metadata is None
    assert run.results().completed[0].metadata == {"row": 7}


def test_its_own_estimate_keeps_the_cost_limit(toy: ToyVendor, tmp_path: Path) -> None:
    run = batch(tmp_path, "a", "b", "c", "d").add_cost_limit(0.05).run()

    assert len(run.results().completed) == 4  # two at first, then what was given back
    assert run.status()["cost_usd"] == Decimal("0.04")
    assert batch(tmp_path / "b", "a").add_cost_limit(0.01).run().results().skipped


def test_an_estimate_is_what_the_plug_in_says(toy: ToyVendor, tmp_path: Path) -> None:
    estimate = batch(tmp_path, "a", "b").estimate()

    assert estimate.worst_case_usd == Decimal("0.04")


def test_a_plug_in_without_an_estimate_needs_a_price(vendor: ToyVendor, tmp_path: Path) -> None:
    class Unpriced(ToyProvider):
        def estimate_cost(self, jobs: object) -> None:  # type: ignore[override]
            return None

    register("toy", Unpriced(vendor))

    with pytest.raises(UnknownPriceError):
        batch(tmp_path, "a").run()
    priced = batch(tmp_path, "a").set_prices({"echo-1": {"input": 1, "output": 1}}).run()

    assert priced.results().completed


def test_cancelling_a_run_cancels_its_batches(toy: ToyVendor, tmp_path: Path) -> None:
    toy.polls = 10**9
    run = batch(tmp_path, "abc").start()
    while not toy.looks:
        run.wait(0.01)

    run.cancel()
    run.wait(60)

    assert toy.cancelled == {"toy/1"}
    assert [each.status for each in run.results().iter_all()] == [JobStatus.CANCELLED]


class Vanishing(ToyProvider):
    """Takes the batch and loses the answer to the call."""

    fails = True

    def create_batch(self, jobs: object, raw_files_dir: str | None = None) -> object:
        made = super().create_batch(jobs, raw_files_dir)  # type: ignore[arg-type]
        if self.fails:
            raise ConnectionResetError("gone")
        return made


def test_a_lost_create_call_is_not_repeated_before_the_user_says_so(
    vendor: ToyVendor, tmp_path: Path
) -> None:
    toy = Vanishing(vendor)
    register("toy", toy)

    run = batch(tmp_path, "abc").run()

    assert len(vendor.batches) == 1
    assert [each.status for each in run.results().unfinished] == [JobStatus.SUBMITTED]
    state = StateManager(tmp_path / "out" / "state.db").load()
    assert state is not None
    assert state.submissions[0]["status"] == "unresolved"
    toy.fails = False
    again = batch(tmp_path, "abc").set_stop(on_unresolved="resubmit").run()
    assert again.results().completed
    assert len(vendor.batches) == 2


@pytest.mark.parametrize(
    ("error", "creating", "kind"),
    [
        (ConnectionError("x"), True, OutcomeUnknownError),
        (TimeoutError("x"), False, ProviderUnavailableError),
        (ProviderError("x"), True, ProviderRejectedError),
        (ProviderError("x"), False, ProviderUnavailableError),
        (OutcomeUnknownError("x"), True, OutcomeUnknownError),
    ],
)
def test_errors_become_those_the_engine_knows(
    vendor: ToyVendor, error: Exception, creating: bool, kind: type[Exception], tmp_path: Path
) -> None:
    class Failing(ToyProvider):
        def create_batch(self, jobs: object, raw_files_dir: str | None = None) -> object:
            raise error

        def get_batch_status(self, batch_id: str) -> tuple[str, dict[str, object]]:
            raise error

    adapted = AdaptedProvider("toy", Failing(vendor)).batch
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(b'{"id":"a","model":"echo-1","prompt":"x"}\n')
    work = adapted.create(None, path) if creating else adapted.look("b")  # type: ignore[arg-type]

    with pytest.raises(kind):
        asyncio.run(work)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "details", "state"),
    [
        ("pending", {}, RemoteState.QUEUED),
        ("Running", {}, RemoteState.RUNNING),
        ("complete", {"completed": 1}, RemoteState.COMPLETED),
        ("cancelled", {}, RemoteState.CANCELLED),
        ("failed", {"error": "quota"}, RemoteState.FAILED),
        ("failed", {"completed": 1, "failed": 1}, RemoteState.COMPLETED),
        ("thinking", {}, RemoteState.RUNNING),
    ],
)
def test_status_words_are_understood(
    word: str, details: dict[str, object], state: RemoteState
) -> None:
    assert read_status("toy", word, details).state is state


def test_a_batch_that_failed_says_why(vendor: ToyVendor, tmp_path: Path) -> None:
    class Failed(ToyProvider):
        def get_batch_status(self, batch_id: str) -> tuple[str, dict[str, object]]:
            return "failed", {"error": "the file is empty"}

    register("toy", Failed(vendor))

    run = batch(tmp_path, "abc").run()

    assert "the file is empty" in str(run.results().failed[0].error)


def test_a_factory_is_given_the_settings_of_the_batch(vendor: ToyVendor, tmp_path: Path) -> None:
    seen: list[object] = []

    def make(settings: object) -> Provider:
        seen.append(settings.api_key)  # type: ignore[attr-defined]
        return ToyProvider(vendor)

    register("toy", make)

    batch(tmp_path, "abc").set_provider("toy", api_key="secret").run()

    assert seen == ["secret"]


def test_a_class_without_arguments_is_a_factory_too(vendor: ToyVendor, tmp_path: Path) -> None:
    class Ready(ToyProvider):
        def __init__(self) -> None:
            super().__init__(vendor)

    register("toy", Ready)

    assert batch(tmp_path, "abc").run().results().completed


def test_bare_model_names_of_a_registered_provider_are_known(
    vendor: ToyVendor, tmp_path: Path
) -> None:
    toy = ToyProvider(vendor)
    register("toy", toy)

    run = Batch(tmp_path).set_polling(0.001).add_job(prompt="abc", model="echo-1").run()

    assert run.results().completed
    assert get_provider("echo-1") is toy
    assert "toy" in provider_names()


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError):
        Batch(tmp_path).add_job(prompt="abc", model="echo-1")
    with pytest.raises(ProviderNotFoundError, match="nobody"):
        registry.create_provider("nobody")


@pytest.mark.parametrize("name", ["openai", "a:b", "", "two words"])
def test_names_that_are_ours_or_cannot_be_written_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        register(name, lambda: None)


@pytest.mark.parametrize(
    ("model", "params", "said"),
    [
        ("echo-2", {}, "there is no model 'echo-2'"),
        ("echo-1", {"temperature": 2.1}, "temperature"),
        ("echo-1", {"max_tokens": 0}, "max_tokens"),
        ("echo-1", {"max_tokens": 1.5}, "max_tokens"),
    ],
)
def test_parameters_that_no_vendor_takes_are_refused(
    vendor: ToyVendor, model: str, params: dict[str, Any], said: str
) -> None:
    provider = ToyProvider(vendor)
    provider.validate_params("echo-1", temperature=2, max_tokens=1)

    with pytest.raises(ValidationError, match=said):
        provider.validate_params(model, **params)


def test_a_result_of_another_kind_is_named(vendor: ToyVendor, tmp_path: Path) -> None:
    class Wrong(ToyProvider):
        def get_batch_results(self, batch_id: str) -> list[JobResult]:  # type: ignore[override]
            return ["text"]  # type: ignore[list-item]

    register("toy", Wrong(vendor))

    with pytest.raises(ValidationError, match="gave a str"):
        batch(tmp_path, "abc").run()
