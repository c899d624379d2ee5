"""A chat model whose batches go through the vendor's batch API."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchata import Batch, read_events
from batchata.core.errors import (
    CostLimitExceededError,
    ProviderError,
    UnknownModelError,
    ValidationError,
)
from batchata.gateway import ItemFault, Sandbox, Scenario

if TYPE_CHECKING:
    import langchain_lab

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])
QUESTIONS = ["Name a river.", "Name a lake, and say why it is dear to you.", "Name a river."]


def through(folder: Path) -> Batch:
    """A folder, and a vendor that is asked often."""
    made = Batch(folder / "out", items_per_batch=None, result_format="jsonl")
    made.config = replace(made.config, poll_factor=0.02)
    return made


@PROVIDERS
def test_a_batch_is_one_batch_at_the_vendor_and_answers_come_in_order(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    model = lc.part.batch_model(lc.model(provider, box), through(tmp_path))

    said = model.batch(QUESTIONS)

    ledger = box.ledger
    assert [each.n for each in ledger.batches] == [3]
    assert ledger.live == []
    billed = [each.output_tokens for each in ledger.items]
    assert sorted(each.usage_metadata["output_tokens"] for each in said) == sorted(billed)
    assert said[0].content == said[2].content
    lengths = [each.usage_metadata["input_tokens"] for each in said]
    assert lengths[1] > lengths[0] == lengths[2]
    assert all(Decimal(each.response_metadata["cost_usd"]) > 0 for each in said)


@PROVIDERS
def test_asking_again_costs_nothing(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    first = lc.part.batch_model(lc.model(provider, box), through(tmp_path)).batch(QUESTIONS)

    again = lc.part.batch_model(lc.model(provider, box), through(tmp_path))
    more = again.batch([*QUESTIONS, "Name a sea."])

    assert [each.content for each in more[:3]] == [each.content for each in first]
    assert [each.n for each in box.ledger.batches] == [3, 1]


def test_a_single_call_stays_live(lc: langchain_lab, box: Sandbox, tmp_path: Path) -> None:
    model = lc.part.batch_model(lc.model("openai", box), through(tmp_path))

    model.invoke("Name a river.")

    assert box.ledger.batches == []
    assert len(box.ledger.live) == 1


@PROVIDERS
def test_structured_output_goes_through_the_batch(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    model = lc.part.batch_model(lc.model(provider, box), through(tmp_path))

    cities = model.with_structured_output(lc.City).batch(["Name a city.", "Name another."])

    assert all(isinstance(each, lc.City) for each in cities)
    assert [each.n for each in box.ledger.batches] == [2]


def test_a_chain_of_prompt_model_and_parser_is_one_batch(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    prompt = lc.ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "Name {x}.")])
    model = lc.part.batch_model(lc.model("anthropic", box), through(tmp_path))

    said = (prompt | model | lc.StrOutputParser()).batch([{"x": "a river"}, {"x": "a lake"}])

    assert all(isinstance(each, str) for each in said)
    assert [each.n for each in box.ledger.batches] == [2]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failed_answer_is_an_exception_in_its_place(
    is_async: bool, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    box.set_scenario(Scenario(items=[ItemFault(outcome="invalid_request", prompt="lake")]))
    model = lc.part.batch_model(lc.model("openai", box), through(tmp_path))

    if is_async:
        said = asyncio.run(model.abatch(QUESTIONS, return_exceptions=True))
    else:
        said = model.batch(QUESTIONS, return_exceptions=True)

    assert [isinstance(each, ProviderError) for each in said] == [False, True, False]
    with pytest.raises(ProviderError, match="invalid_request"):
        model.batch(QUESTIONS)
    assert len(box.ledger.items) == 2


def test_a_question_that_does_not_fit_the_budget_is_told(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    limited = through(tmp_path).add_cost_limit(0.000001)
    model = lc.part.batch_model(lc.model("openai", box), limited)

    with pytest.raises(CostLimitExceededError):
        model.batch(QUESTIONS)

    assert box.ledger.batches == []


def test_callbacks_and_the_event_log_see_each_call(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    logged = through(tmp_path).set_event_log(tmp_path / "engine")
    model = lc.part.batch_model(lc.model("openai", box), logged)
    configs = [lc.with_tags(custom_id=number) for number in range(2)]

    with lc.still(tmp_path) as logger:
        said = model.batch(QUESTIONS[:2], [{**each, "callbacks": [logger]} for each in configs])

    ends = read_events(tmp_path / "logs", event_type="llm_end")
    assert dict(zip(ends["logger_custom_id"], ends["answer"], strict=True)) == {
        "0": said[0].content,
        "1": said[1].content,
    }
    assert (read_events(tmp_path / "engine")["event_type"] == "batch_submitted").sum() == 1


def test_answers_as_completed_are_no_live_calls(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    model = lc.part.batch_model(lc.model("openai", box), through(tmp_path))

    said = dict(model.batch_as_completed(QUESTIONS))

    assert sorted(said) == [0, 1, 2]
    assert box.ledger.live == []


def test_answers_as_completed_are_no_live_calls_from_async_code_either(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    model = lc.part.batch_model(lc.model("openai", box), through(tmp_path))

    async def ask() -> dict[int, Any]:
        return {number: answer async for number, answer in model.abatch_as_completed(QUESTIONS)}

    assert sorted(asyncio.run(ask())) == [0, 1, 2]
    assert box.ledger.live == []


KILLED = """
import sys
from langchain_openai import ChatOpenAI
from batchata import Batch
from batchata.integrations.langchain import batch_model

url, key, folder, *questions = sys.argv[1:]
llm = ChatOpenAI(model="gpt-6-luna", api_key=key, max_retries=0, base_url=url)
batch_model(llm, Batch(folder, items_per_batch=None, result_format="jsonl")).batch(questions)
"""


@pytest.mark.slow
def test_a_batch_of_a_killed_process_is_collected_by_the_next(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    box.set_scenario(Scenario(latency_seconds=2))
    arguments = [box.openai_base_url, lc.KEY, tmp_path / "out", *QUESTIONS]
    child = subprocess.Popen([sys.executable, "-c", KILLED, *map(str, arguments)])
    while not box.ledger.batches:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait()

    said = lc.part.batch_model(lc.model("openai", box), through(tmp_path)).batch(QUESTIONS)

    assert all(each.content for each in said)
    assert [each.n for each in box.ledger.batches] == [3]


def test_a_cancelled_batch_is_taken_up_again(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    model = lc.part.batch_model(lc.model("openai", box), through(tmp_path))
    box.set_scenario(Scenario(latency_seconds=0.5))

    async def leave() -> None:
        task = asyncio.ensure_future(model.abatch(QUESTIONS))
        while not box.ledger.batches:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    said = model.batch(QUESTIONS)

    assert all(each.content for each in said)
    assert [each.n for each in box.ledger.batches] == [3]


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"model": "what-is-this"}, UnknownModelError, "what-is-this"),
        ({"model": "gpt-6-luna", "api_key": "k", "through": "out"}, ValidationError, "out"),
        ({"llm": "fake"}, ValidationError, "FakeListChatModel"),
    ],
)
def test_what_cannot_be_used_is_told_at_once(
    options: dict[str, Any], error: type[Exception], complaint: str, lc: langchain_lab
) -> None:
    if "llm" in options:
        options = {"llm": lc.ready()}

    with pytest.raises(error, match=complaint):
        lc.part.BatchataChatModel(**options)


def test_a_used_batch_is_no_template(lc: langchain_lab, box: Sandbox, tmp_path: Path) -> None:
    used = through(tmp_path).add_job(prompt="Hello", model="gpt-6-luna")

    with pytest.raises(ValidationError, match="without jobs"):
        lc.part.batch_model(lc.model("openai", box), used)


@PROVIDERS
def test_a_class_of_ones_own_goes_by_the_class_it_is_made_from(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    kind = type(lc.model(provider, box))
    own: Any = type("OwnModel", (kind,), {"_llm_type": property(lambda self: "of-our-own")})
    given = lc.model(provider, box)
    given.__class__ = own

    said = lc.part.batch_model(given, through(tmp_path)).batch(QUESTIONS)

    assert [each.n for each in box.ledger.batches] == [3]
    assert all(each.content for each in said)


def test_models_at_clouds_are_refused_with_what_to_use_instead(
    lc: langchain_lab, box: Sandbox
) -> None:
    from langchain_openai import AzureChatOpenAI

    where: dict[str, Any] = {"azure_endpoint": "https://ours.example", "api_version": "2026-01-01"}
    azure = AzureChatOpenAI(azure_deployment="ours", api_key="sk-x", **where)
    kind = type(lc.model("anthropic", box))
    bedrock: Any = lc.model("anthropic", box)
    bedrock.__class__ = type(
        "ChatAnthropicBedrock", (kind,), {"__module__": "langchain_aws.chat_models"}
    )

    for model, cloud in ((azure, "Azure"), (bedrock, "Bedrock")):
        with pytest.raises(ValidationError, match=f"asks at {cloud}") as caught:
            lc.part.batch_model(model)
        assert "batch_run(df, llm, ...)" in str(caught.value.hint)


def test_a_model_of_another_vendor_is_refused_with_what_to_use_instead(lc: langchain_lab) -> None:
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    with pytest.raises(ValidationError, match="FakeListChatModel cannot be asked") as caught:
        lc.part.batch_model(FakeListChatModel(responses=["x"]))

    assert "batch_run(df, llm, ...)" in str(caught.value.hint)
