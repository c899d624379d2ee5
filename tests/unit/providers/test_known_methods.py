"""Our vendors by the methods that plug-ins have, over the real wire."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from batchata import GenaiPriceBook, Job, Reason
from batchata.core.errors import (
    DuplicateJobError,
    ProviderError,
    UnknownModelError,
    UnknownPriceError,
    ValidationError,
)
from batchata.documents.pdf import create_pdf
from batchata.gateway import Sandbox, Scenario
from batchata.providers import Provider, get_provider

GPT, CLAUDE = "gpt-6-luna", "claude-haiku-5-5"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


@pytest.fixture
def box(shared: Sandbox) -> Sandbox:
    shared.set_scenario(Scenario())
    shared.reset()
    return shared


def provider_of(model: str, box: Sandbox) -> Provider:
    url = box.openai_base_url if "gpt" in model else box.anthropic_base_url
    return get_provider(model, api_key="sk-test", base_url=url)


def jobs_of(model: str, count: int = 3) -> list[Job]:
    return [Job(f"q{n}", model, prompt=f"question {n}", max_tokens=50) for n in range(count)]


both = pytest.mark.parametrize("model", [GPT, f"openai:{GPT}", CLAUDE])


@both
def test_a_batch_is_created_looked_at_and_fetched(model: str, box: Sandbox) -> None:
    provider = provider_of(model, box)
    jobs = jobs_of(model)

    batch_id = provider.create_batch(jobs)
    status, details = provider.get_batch_status(batch_id)
    results = provider.get_batch_results(batch_id)

    assert status == "complete"
    assert details["completed"] == 3
    assert [each.job_id for each in results] == ["q0", "q1", "q2"]
    assert all(each.is_success and each.raw_response for each in results)
    assert all(each.cost_usd > 0 and each.batch_id == batch_id for each in results)


@both
def test_another_process_fetches_with_the_jobs(model: str, box: Sandbox) -> None:
    jobs = jobs_of(model)
    batch_id = provider_of(model, box).create_batch(jobs)
    other = provider_of(model, box)

    listed = other.get_batch_results(batch_id, jobs)
    mapped = other.get_batch_results(batch_id, {job.id: job for job in jobs})

    assert listed == mapped
    assert [each.job_id for each in listed] == ["q0", "q1", "q2"]
    with pytest.raises(ValidationError, match="not sent by this object"):
        other.get_batch_results("batch_of_others")


@both
def test_answers_are_parsed(model: str, box: Sandbox) -> None:
    provider = provider_of(model, box)
    batch_id = provider.create_batch([Job("p", model, prompt="who?", response_model=Person)])

    result = provider.get_batch_results(batch_id)[0]

    assert isinstance(result.parsed_response, Person)


@both
def test_costs_are_estimated_as_an_upper_bound(model: str, box: Sandbox) -> None:
    provider = provider_of(model, box)
    jobs = jobs_of(model)

    estimate = provider.estimate_cost(jobs)
    results = provider.get_batch_results(provider.create_batch(jobs))

    assert isinstance(estimate, Decimal)
    assert sum(each.cost_usd for each in results) <= estimate


def test_an_answer_that_may_be_audio_is_bounded_at_the_price_of_audio(box: Sandbox) -> None:
    text = Job("q", "openai:gpt-audio", prompt="q", max_tokens=5_000)
    audio = replace(text, params={"modalities": ["text", "audio"], "audio": {"voice": "x"}})
    provider = provider_of("openai:gpt-audio", box)
    rates = GenaiPriceBook().card("openai", "gpt-audio", "batch").rates
    assert rates.output_audio_usd

    more = provider.estimate_cost([audio]) - provider.estimate_cost([text])

    assert more >= (rates.output_audio_usd - rates.output_usd) * 5_000 / 1_000_000


def test_citations_of_the_vendor_come_with_the_result(box: Sandbox) -> None:
    provider = provider_of(CLAUDE, box)
    job = Job("q", CLAUDE, prompt="who pays?", file=b"Acme pays 5 EUR.", enable_citations=True)

    result = provider.get_batch_results(provider.create_batch([job]))[0]

    assert result.citations
    assert result.citations[0].text in "Acme pays 5 EUR."


def test_what_must_stay_within_a_country_costs_what_the_vendor_asks_for_it(box: Sandbox) -> None:
    provider = provider_of(CLAUDE, box)
    job = Job("q", CLAUDE, prompt="q", max_tokens=50)
    bound = Job("q", CLAUDE, prompt="q", max_tokens=50, params={"inference_geo": "us"})

    result = provider.get_batch_results(provider.create_batch([bound]))[0]

    card = GenaiPriceBook().card("anthropic", CLAUDE, "batch")
    assert result.cost_usd == card.cost_usd(result.usage) * Decimal("1.1")
    assert provider.estimate_cost([bound]) > provider.estimate_cost([job]) * Decimal("1.1")


@both
def test_raw_files_are_kept_where_asked(model: str, box: Sandbox, tmp_path: Path) -> None:
    provider = provider_of(model, box)

    batch_id = provider.create_batch(jobs_of(model), tmp_path / "requests")
    provider.get_batch_results(batch_id, raw_files_dir=tmp_path / "responses")

    assert [path.stem.endswith(batch_id) for path in (tmp_path / "requests").iterdir()] == [True]
    assert [batch_id in path.name for path in (tmp_path / "responses").iterdir()] == [True]


@both
def test_a_running_batch_can_be_cancelled(model: str, box: Sandbox) -> None:
    box.set_scenario(Scenario(latency_seconds=600))
    provider = provider_of(model, box)
    batch_id = provider.create_batch(jobs_of(model))
    before = provider.get_batch_status(batch_id)[0]

    with pytest.raises(ProviderError, match="has not ended"):
        provider.get_batch_results(batch_id)
    is_cancelled = provider.cancel_batch(batch_id)

    assert before in ("pending", "running")
    assert is_cancelled is ("gpt" in model)  # Anthropic's cancelled batch just ends
    results = provider.get_batch_results(batch_id)
    assert len(results) == 3
    assert not any(each.is_success for each in results)


def test_methods_work_inside_a_running_loop(box: Sandbox) -> None:
    provider = provider_of(GPT, box)

    async def notebook() -> str:
        return str(provider.create_batch(jobs_of(GPT)))

    assert asyncio.run(notebook()).startswith("batch_")


def test_one_bad_job_is_found_before_anything_is_sent(box: Sandbox) -> None:
    provider = provider_of(CLAUDE, box)

    with pytest.raises(ValidationError, match="temperature"):
        provider.validate_job(Job("x", CLAUDE, prompt="hi", temperature=0.5))
    with pytest.raises(DuplicateJobError):
        provider.create_batch(jobs_of(CLAUDE) + jobs_of(CLAUDE))
    with pytest.raises(ValidationError, match="no jobs"):
        provider.create_batch([])

    assert box.requests == []


def test_a_job_of_another_vendor_is_refused(box: Sandbox) -> None:
    provider = provider_of(GPT, box)

    with pytest.raises(ValidationError, match="is a model of anthropic") as caught:
        provider.validate_job(Job("x", CLAUDE, prompt="hi"))

    assert "get_provider" in str(caught.value.hint)
    provider.validate_job(Job("x", "our-own-finetune", prompt="hi"))


@both
def test_files_travel_with_their_jobs(model: str, box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(create_pdf(["a page of text"]))
    provider = provider_of(model, box)
    job = Job("pdf", model, file=tmp_path / "a.pdf", prompt="what is it?", max_tokens=50)

    batch_id = provider.create_batch([job], tmp_path / "requests")

    assert provider.get_batch_results(batch_id)[0].is_success
    (sent,) = (tmp_path / "requests").iterdir()
    assert b64encode(b"%PDF-1.4")[:9] in sent.read_bytes()


def test_two_models_do_not_share_an_openai_batch(box: Sandbox) -> None:
    other = Job("other", "gpt-4o-mini", prompt="hi")

    with pytest.raises(ValidationError, match="cannot share"):
        provider_of(GPT, box).create_batch([*jobs_of(GPT), other])


def test_a_refused_request_fails_with_its_reason(box: Sandbox) -> None:
    provider = provider_of(CLAUDE, box)
    jobs = [*jobs_of(CLAUDE), Job("bad", CLAUDE, prompt="hi", params={"no_such_thing": 1})]

    results = provider.get_batch_results(provider.create_batch(jobs))

    assert [each.reason for each in results] == [None, None, None, Reason.INVALID_REQUEST]


def test_what_is_known_of_models(box: Sandbox) -> None:
    provider = provider_of(CLAUDE, box)

    config = provider.get_model_config("claude-of-tomorrow")

    assert provider.supports_model("claude-of-tomorrow")
    assert not provider.supports_model(GPT)
    assert provider.get_model_config(GPT) is None
    assert config is not None
    assert config.supports_citations
    assert provider.get_polling_interval() == 1.0
    with pytest.raises(UnknownPriceError):
        provider.estimate_cost([Job("x", "claude-of-tomorrow", prompt="hi")])


def test_a_name_of_no_provider_is_refused() -> None:
    with pytest.raises(UnknownModelError):
        get_provider("best-model")
