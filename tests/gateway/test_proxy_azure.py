"""Azure's paths and keys: the same questions as OpenAI's, told by their deployments."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import openai
import orjson
import pytest
from raw_lab import RawUpstream, call, request_bytes

from batchata.gateway import Gateway
from batchata.gateway.proxy.exchange import vendor_path
from batchata.gateway.proxy.http.upstreams import Upstream
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

JSON = (b"Content-Type", b"application/json")
ANSWER = orjson.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "model": "gpt-6-luna-2026-06-01",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
        ],
        "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000},
    }
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
OURS = "/openai/deployments/ours/chat/completions?api-version=2026-10-01"


@pytest.fixture
def upstream() -> RawUpstream:
    made = RawUpstream()
    made.answer(OK)
    return made


def body(model: str) -> bytes:
    return orjson.dumps({"model": model, "messages": [], "max_completion_tokens": 9})


@pytest.mark.parametrize(
    ("path", "known", "deployment"),
    [
        ("/openai/deployments/my-gpt/chat/completions", "/v1/chat/completions", "my-gpt"),
        ("/openai/deployments/a%20b/embeddings", "/v1/embeddings", "a b"),
        ("/openai/v1/responses", "/v1/responses", ""),
        ("/openai/responses", "/v1/responses", ""),
        ("/openai/deployments/../deployments/x/chat/completions",
         "/v1/deployments/x/chat/completions", ".."),
        ("/openaid/responses", "/openaid/responses", ""),
        ("/v1/responses", "/v1/responses", ""),
    ],
)  # fmt: skip
def test_a_path_is_read_as_openai_writes_it(path: str, known: str, deployment: str) -> None:
    assert vendor_path(path) == (known, deployment)


def test_azures_sdk_is_answered_and_its_call_is_priced_by_its_deployment(
    upstream: RawUpstream,
) -> None:
    recorder = TestRecorder()
    prices = {"ours": {"input": 2.0, "output": 8.0}}
    with (
        upstream,
        Gateway(upstream.url, interceptors=[recorder], config={"prices": prices}) as gateway,
        openai.AzureOpenAI(
            azure_endpoint=gateway.url, api_key="secret", api_version="2026-10-01", max_retries=0
        ) as client,
    ):
        client.chat.completions.create(
            model="ours", messages=[{"role": "user", "content": "hi"}], max_completion_tokens=9
        )

    [seen] = upstream.seen
    assert seen.target == OURS.encode()
    assert seen.all(b"api-key") == [b"secret"]
    [exchange] = recorder.exchanges
    assert (exchange.endpoint, exchange.model) == ("/v1/chat/completions", "ours")
    assert exchange.answer is not None
    assert exchange.answer.cost_usd == Decimal(2)
    assert [each.name for each in recorder.events] == [
        "session.start",
        "llm.call.start",
        "llm.call.finish",
        "session.end",
    ]


def test_a_limit_goes_by_the_deployment_and_not_by_what_the_body_says(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    budget = {"type": "budget", "config": {"limit_usd": 1, "state": str(tmp_path / "s.db")}}
    config = {"interceptors": [budget], "prices": {"dear": {"input": 1e6, "output": 1e6}}}
    with upstream, Gateway(upstream.url, config=config) as gateway:
        for name, status in ((b"dear", 429), (b"unpriced", 429), (b"gpt-6-luna", 200)):
            target = b"/openai/deployments/%b/chat/completions" % name
            request = request_bytes(target, JSON, method=b"POST", body=body("gpt-6-luna"))
            assert call(gateway.url, request).status == status
        upload = request_bytes(b"/openai/files", JSON, method=b"POST", body=b"{}")
        assert call(gateway.url, upload).status == 200

    assert len(upstream.seen) == 2


@pytest.mark.parametrize(
    ("base_url", "provider", "name"),
    [
        ("https://mine.openai.azure.com", "", "api-key"),
        ("https://proxy.internal", "azure", "api-key"),
        ("https://api.openai.com", "", "Authorization"),
        ("https://openai.azure.com.evil.example", "", "Authorization"),
    ],
)
def test_our_key_is_where_azure_looks_for_it(base_url: str, provider: str, name: str) -> None:
    upstream = Upstream(
        name="x", base_url=base_url, type="openai", provider=provider, api_key="secret"
    )

    [(found, value)] = upstream.with_key(())

    assert (found, value.removeprefix("Bearer ")) == (name, "secret")


@pytest.mark.parametrize("model", [{}, {"model": "cheaper"}], ids=["no model", "another"])
def test_a_rewritten_body_changes_nothing_about_the_deployment_that_answers(
    upstream: RawUpstream, model: dict[str, str]
) -> None:
    recorder = TestRecorder()
    text = orjson.dumps({**model, "messages": [{"content": "sk-ant-0123456789abcdef"}]})
    with upstream, Gateway(upstream.url, interceptors=[recorder, "redact"]) as gateway:
        call(gateway.url, request_bytes(OURS.encode(), JSON, method=b"POST", body=text))

    assert b"[anthropic_key]" in upstream.seen[0].body
    assert [each.model for each in recorder.exchanges] == ["ours"]
