"""The official SDKs through the proxy: sync, async and streaming."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import anthropic
import openai
import pytest

from batchata.gateway import Gateway, HttpFault, Sandbox, Scenario
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

GPT, CLAUDE = "gpt-6-luna", "claude-haiku-5-5"
ASK = [{"role": "user", "content": "hi"}]
Parts = tuple[Sandbox, Gateway, TestRecorder]


@pytest.fixture(scope="module")
def shared() -> Iterator[Parts]:
    recorder = TestRecorder()
    with Sandbox() as box, Gateway(box.url, interceptors=[recorder]) as gateway:
        yield box, gateway, recorder


@pytest.fixture
def parts(shared: Parts) -> Parts:
    shared[0].set_scenario(Scenario())
    shared[0].reset()
    shared[2].exchanges.clear()
    shared[2].events.clear()
    return shared


@pytest.fixture(scope="module")
def gpt(shared: Parts) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared[1].openai_base_url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(shared: Parts) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=shared[1].anthropic_base_url, api_key="k", max_retries=0
    ) as client:
        yield client


def test_chat_plain_and_streamed_tell_the_same_usage_and_cost(
    parts: Parts, gpt: openai.OpenAI
) -> None:
    _, gateway, recorder = parts

    plain = gpt.chat.completions.create(model=GPT, messages=ASK)  # type: ignore[arg-type]
    chunks = list(
        gpt.chat.completions.create(  # type: ignore[call-overload]
            model=GPT, messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    gateway.drain()

    whole, streamed = (each.answer for each in recorder.exchanges)
    assert whole is not None
    assert streamed is not None
    assert whole.text == plain.choices[0].message.content
    assert streamed.text == "".join(
        each.choices[0].delta.content or "" for each in chunks if each.choices
    )
    assert (whole.is_stream, streamed.is_stream) == (False, True)
    assert streamed.usage is not None
    assert streamed.usage.output_tokens == chunks[-1].usage.completion_tokens
    assert streamed.cost_usd is not None
    assert streamed.cost_usd > 0
    assert streamed.first_byte_seconds is not None


def test_responses_plain_and_streamed(parts: Parts, gpt: openai.OpenAI) -> None:
    _, gateway, recorder = parts

    first = gpt.responses.create(model=GPT, input="hi")
    stream = gpt.responses.create(
        model=GPT, input="more", previous_response_id=first.id, stream=True
    )
    events = list(stream)
    streamed = events[-1].response.id  # type: ignore[union-attr]
    gpt.responses.create(model=GPT, input="and more", previous_response_id=streamed)
    gateway.drain()

    one, two, three = recorder.exchanges
    assert one.answer is not None
    assert two.answer is not None
    assert one.answer.text == first.output_text
    assert two.answer.response_id == events[-1].response.id  # type: ignore[union-attr]
    assert two.answer.usage is not None
    assert two.answer.usage.output_tokens > 0
    assert one.session_id == two.session_id == three.session_id


def test_messages_plain_and_streamed(parts: Parts, claude: anthropic.Anthropic) -> None:
    _, gateway, recorder = parts

    plain = claude.messages.create(model=CLAUDE, max_tokens=50, messages=ASK)  # type: ignore[arg-type]
    with claude.messages.stream(model=CLAUDE, max_tokens=50, messages=ASK) as stream:  # type: ignore[arg-type]
        final = stream.get_final_message()
    gateway.drain()

    whole, streamed = (each.answer for each in recorder.exchanges)
    assert whole is not None
    assert streamed is not None
    assert whole.usage is not None
    assert whole.usage.input_tokens == plain.usage.input_tokens
    assert streamed.usage is not None
    assert streamed.usage.output_tokens == final.usage.output_tokens
    assert streamed.usage.input_tokens == final.usage.input_tokens
    assert (streamed.finish_reason, final.stop_reason) == (whole.finish_reason, "end_turn")
    assert whole.cost_usd is not None


def test_async_clients_share_the_proxy(parts: Parts) -> None:
    _, gateway, recorder = parts

    async def ask_both() -> None:
        async with (
            openai.AsyncOpenAI(base_url=gateway.openai_base_url, api_key="k") as gpt,
            anthropic.AsyncAnthropic(base_url=gateway.url, api_key="k") as claude,
        ):
            calls = [
                gpt.chat.completions.create(
                    model=GPT, messages=[{"role": "user", "content": f"question {number}"}]
                )
                for number in range(20)
            ]
            await asyncio.gather(*calls)
            stream = await gpt.responses.create(model=GPT, input="hi", stream=True)
            assert [event.type async for event in stream][-1] == "response.completed"
            async with claude.messages.stream(model=CLAUDE, max_tokens=9, messages=ASK) as said:  # type: ignore[arg-type]
                assert await said.get_final_text()

    asyncio.run(ask_both())
    gateway.drain()

    starts = [each.exchange_id for each in recorder.events if each.name == "llm.call.start"]
    ends = [each.exchange_id for each in recorder.events if each.name == "llm.call.finish"]
    assert len(set(starts)) == 22
    assert set(starts) == set(ends)


def test_a_vendors_refusal_reaches_the_sdk_as_it_is(parts: Parts, gpt: openai.OpenAI) -> None:
    box, gateway, recorder = parts
    fault = HttpFault(
        action="status", route="openai.chat", status=429, code="x", retry_after_seconds=3
    )
    box.set_scenario(Scenario(http=(fault,)))

    with pytest.raises(openai.RateLimitError) as caught:
        gpt.chat.completions.create(model=GPT, messages=ASK, stream=True)  # type: ignore[call-overload]
    gateway.drain()

    assert caught.value.response.headers["retry-after"] == "3"
    assert [each.name for each in recorder.events][-1] == "llm.call.error"


def test_files_and_model_lists_pass(parts: Parts, gpt: openai.OpenAI) -> None:
    file = gpt.files.create(file=("a.jsonl", b'{"x":1}\n'), purpose="batch")

    assert gpt.files.content(file.id).content == b'{"x":1}\n'
    assert any(each.id == GPT for each in gpt.models.list())
