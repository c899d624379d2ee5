"""What the gateway writes to the shared event log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from raw_lab import JSON, RawUpstream, call, request_bytes

from batchata import read_events
from batchata.gateway import Gateway, Sandbox

GPT = "gpt-6-luna"


def through(url: str, folder: Path) -> Gateway:
    log = {"type": "parquet", "config": {"directory": str(folder)}}
    return Gateway(url, config={"interceptors": [log]})


def answered(folder: Path, usage: dict[str, Any] | None) -> dict[str, Any]:
    """What the log says of one answer."""
    body = orjson.dumps(
        {
            "id": "c1",
            "model": GPT,
            "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
            **({} if usage is None else {"usage": usage}),
        }
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with RawUpstream() as upstream:
        upstream.answer(head.encode() + b"\r\n\r\n" + body)
        with through(upstream.url, folder) as gateway:
            asked = orjson.dumps({"model": GPT, "messages": [{"role": "user", "content": "hi"}]})
            path = b"/v1/chat/completions"
            assert call(gateway.url, request_bytes(path, JSON, method=b"POST", body=asked))
    found = read_events(folder, event_type="llm_end")
    data: dict[str, Any] = orjson.loads(found.iloc[0]["payload"])["data"]
    return data


def test_calls_are_in_the_event_log_of_runs(tmp_path: Path) -> None:
    with (
        Sandbox() as box,
        through(box.url, tmp_path / "logs") as gateway,
        openai.OpenAI(
            base_url=gateway.openai_base_url,
            api_key="k",
            max_retries=0,
            default_headers={"x-batchata-session-id": "s1", "x-batchata-agent-id": "a1"},
        ) as client,
    ):
        told = client.chat.completions.create(
            model=GPT, messages=[{"role": "user", "content": "Name a river."}]
        )
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(
                model="nobody-1", messages=[{"role": "user", "content": "hi"}]
            )

    events = read_events(tmp_path / "logs")
    assert list(events["event_type"]) == [
        "session_start",
        "llm_start",
        "llm_end",
        "llm_start",
        "llm_error",
        "session_end",
    ]
    start, end, _, error = (events.iloc[number] for number in (1, 2, 3, 4))
    assert start["run_id"] == end["run_id"] != error["run_id"]
    assert (start["prompt"], start["logger_custom_id"]) == ("Name a river.", "a1")
    assert end["answer"] == told.choices[0].message.content
    assert told.usage is not None
    assert end["input_tokens"] == told.usage.prompt_tokens
    assert end["cost_usd"] > 0
    assert end["latency_seconds"] > 0
    assert "nobody-1" in error["error"]


def test_every_count_of_an_answer_is_in_the_log(tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "prompt_tokens_details": {"audio_tokens": 3, "cached_tokens": 2},
        "completion_tokens_details": {"audio_tokens": 4, "reasoning_tokens": 5},
    }

    assert answered(tmp_path / "logs", usage)["usage"] == {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_tokens": 2,
        "cache_write_tokens": 0,
        "reasoning_tokens": 5,
        "input_audio_tokens": 3,
        "output_audio_tokens": 4,
    }


def test_an_answer_without_counts_has_none_in_the_log(tmp_path: Path) -> None:
    said = answered(tmp_path / "logs", None)

    assert (said["usage"], said["answer"], said["ending"]) == ({}, "x", "answered")


def test_what_stands_under_the_name_of_a_secret_is_not_in_the_log(tmp_path: Path) -> None:
    tool = {"function": {"name": "open", "arguments": '{"password": "planted-1"}'}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "hi", "api_key": "planted-2"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t1", **tool}]},
    ]
    asked = {"model": GPT, "messages": turns, "metadata": {"x-api-key": "planted-3"}}
    with Sandbox() as box, through(box.url, tmp_path / "logs") as gateway:
        body = orjson.dumps(asked)
        path = b"/v1/chat/completions"
        call(gateway.url, request_bytes(path, JSON, method=b"POST", body=body))

    written = read_events(tmp_path / "logs").to_csv()
    assert "[redacted]" in written
    assert "planted" not in written
