"""How jobs become batches: within the user's numbers, the vendor's, and what vendors teach."""

from __future__ import annotations

from dataclasses import replace

import pytest
from run_lab import CLAUDE, GPT, MODELS, Lab

from batchata.gateway import BatchFault, Scenario
from batchata.providers.anthropic.batch import AnthropicBatch
from batchata.providers.openai.batch import OpenAIBatch

VENDORS = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
APIS = {GPT: OpenAIBatch, CLAUDE: AnthropicBatch}


def sizes(lab: Lab) -> list[int]:
    """Sizes of the batches that were created."""
    return sorted(batch.n for batch in lab.ledger.batches)


@VENDORS
def test_no_batch_holds_more_than_the_user_wants(lab: Lab, model: str) -> None:
    lab.chat(25, model, items_per_batch=10).run()

    assert sizes(lab) == [5, 10, 10]


@VENDORS
def test_without_a_number_of_the_users_all_jobs_go_together(lab: Lab, model: str) -> None:
    lab.chat(25, model, items_per_batch=None).run()

    assert sizes(lab) == [25]


@VENDORS
def test_the_vendors_count_limit_splits(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = APIS[model]
    monkeypatch.setattr(api, "limits", replace(api.limits, requests=8))

    lab.chat(20, model, items_per_batch=None).run()

    assert sizes(lab) == [4, 8, 8]


def test_the_vendors_limit_of_texts_to_embed_splits(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(OpenAIBatch.limits, embedding_inputs=100)
    monkeypatch.setattr(OpenAIBatch, "limits", limits)
    lab.play(scenario=Scenario(openai_max_embedding_inputs=100))
    batch = lab.batch(items_per_batch=None).set_default_params(model="text-embedding-3-small")
    for number in range(12):
        batch.add_job(id=f"e{number}", prompt="", input=[f"{number} {n}" for n in range(25)])
    batch.add_job(id="tokens", prompt="", input=list(range(1, 200)))
    batch.add_job(id="large", prompt="", input=[f"text {n}" for n in range(101)])

    results = batch.run().results()

    assert len(results.completed) == 13
    assert "more than the 100 texts" in (results["large"].error or "")
    assert max(sizes(lab)) <= 5
    assert {entry.status for entry in lab.ledger.batches} == {"completed"}


@VENDORS
def test_the_vendors_byte_limit_splits(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = APIS[model]
    monkeypatch.setattr(api, "limits", replace(api.limits, size_bytes=5_000))
    batch = lab.batch(items_per_batch=None).set_default_params(model=model)
    for number in range(12):
        batch.add_job(prompt=f"{number} " + "x" * 1_000)

    run = batch.run()

    folder = lab.out / "raw_files" / "requests"
    assert run.status()["completed"] == 12
    assert len(sizes(lab)) >= 3
    assert max(path.stat().st_size for path in folder.iterdir()) <= 5_000


@VENDORS
def test_a_vendor_with_lower_limits_than_known_gets_smaller_batches(lab: Lab, model: str) -> None:
    lab.play("small-limits")

    run = lab.chat(30, model, items_per_batch=None).run()

    assert run.status()["completed"] == 30
    assert lab.ledger.billed_items == 30


def test_an_openai_file_holds_one_model_and_one_endpoint(lab: Lab) -> None:
    batch = lab.batch(items_per_batch=None).set_default_params(max_tokens=20)
    for number in range(4):
        batch.add_job(prompt=f"{number}", model=GPT)
        batch.add_job(prompt=f"{number}", model="gpt-6-sol")
        batch.add_job(prompt=f"{number}", model=GPT, endpoint="responses")

    run = batch.run()

    assert run.status()["completed"] == 12
    assert sizes(lab) == [4, 4, 4]


def test_an_anthropic_batch_mixes_models(lab: Lab) -> None:
    batch = lab.batch(items_per_batch=None).set_default_params(max_tokens=20)
    for number in range(4):
        batch.add_job(prompt=f"{number}", model=CLAUDE)
        batch.add_job(prompt=f"{number}", model="claude-sonnet-5-5")

    run = batch.run()

    assert run.status()["completed"] == 8
    assert sizes(lab) == [8]


@VENDORS
def test_no_more_batches_are_open_than_the_user_allows(lab: Lab, model: str) -> None:
    most = 0

    def look(stats: dict[str, int], elapsed: float, batches: dict[str, object]) -> None:
        nonlocal most
        most = max(most, stats["batches_pending"])

    batch = lab.chat(12, model, items_per_batch=2, max_parallel_batches=2)
    run = batch.run(on_progress=look, progress_interval=0.0)

    open_now, peak = set(), 0
    for request in lab.box.requests:
        if request.route.endswith("batches.create"):
            open_now.add(request)
        if request.route.endswith(("files.content", "batches.results")):
            open_now.pop()
        peak = max(peak, len(open_now))
    assert run.status()["completed"] == 12
    assert most <= 2
    assert peak <= 2


def test_no_more_tokens_are_enqueued_than_the_user_allows(lab: Lab) -> None:
    lab.play(scenario=Scenario(enqueued_token_limit=4_000, latency_seconds=0.02))
    batch = lab.batch(items_per_batch=2).set_queue_limits({GPT: 4_000})
    for number in range(12):
        batch.add_job(prompt=f"{number} " * 500, model=GPT, max_tokens=20)

    run = batch.run()

    assert run.status()["completed"] == 12
    assert len(lab.ledger.batches) == 6
    assert all(entry.status == "completed" for entry in lab.ledger.batches)


def test_a_full_queue_is_waited_for_and_the_same_file_goes_again(lab: Lab) -> None:
    lab.play("token-limit-once")

    run = lab.chat(20, items_per_batch=None).run()

    files = [batch.input_file_id for batch in lab.ledger.batches]
    assert run.status()["completed"] == 20
    assert len(files) == 2
    assert len(set(files)) == 1


def test_a_job_that_no_queue_ever_takes_fails_with_the_vendors_words(lab: Lab) -> None:
    full = BatchFault(change="failed", vendor="openai", code="token_limit_exceeded", times=None)
    lab.play(scenario=Scenario(batches=(full,)))

    run = lab.chat(1).set_polling(0.0001).run()

    (failed,) = run.results().failed
    assert failed.reason == "batch_failed"
    assert "scripted failure" in (failed.error or "")
    assert lab.ledger.billed_items == 0


def test_the_lines_that_a_vendor_names_fail_and_the_others_go_again(lab: Lab) -> None:
    batch = lab.chat(9, items_per_batch=None)
    batch.add_job(prompt="bad", id="bad", model="gpt-6-luna", stream=None)

    run = batch.run()

    assert run.status()["total"] == 10
    assert run.status()["failed"] + run.status()["completed"] == 10
    assert run.status()["completed"] >= 9
