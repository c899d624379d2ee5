"""LangChain's models through the gateway, which knows nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchata.gateway import Gateway, Sandbox
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

if TYPE_CHECKING:
    import langchain_lab


def test_langchains_models_are_answered_and_seen(lc: langchain_lab) -> None:
    recorder = TestRecorder()
    with Sandbox() as box, Gateway(box.url, interceptors=[recorder]) as gateway:
        gpt = lc.ChatOpenAI(
            model="gpt-6-luna",
            base_url=gateway.openai_base_url,
            api_key="k",
            stream_usage=True,
            default_headers={"x-batchata-session-id": "s1"},
        )
        claude = lc.ChatAnthropic(
            model_name="claude-haiku-5-5",
            base_url=gateway.url,
            api_key="k",
            max_tokens_to_sample=50,
        )
        told = [
            gpt.invoke("Name a river.").content,
            "".join(str(each.content) for each in gpt.stream("Name a lake.")),
            claude.invoke("Name a town.").content,
        ]
        gateway.drain()

    answers = [each.answer for each in recorder.exchanges]
    assert [answer and answer.text for answer in answers] == told
    assert all(answer and answer.cost_usd for answer in answers)
    assert [each.session_id for each in recorder.exchanges][:2] == ["s1", "s1"]
