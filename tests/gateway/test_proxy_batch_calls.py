"""Create calls that come twice, and every endpoint that a batch may ask."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import anthropic
import openai
import orjson
import pytest
from batch_lab import MODEL, client_of, ended, gateway, lines_of, submit, until
from raw_lab import RawUpstream, Seen, call, request_bytes

ANSWER = {
    "id": "x",
    "model": MODEL,
    "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def answering() -> tuple[RawUpstream, Counter[bytes]]:
    """An upstream that says the same whatever is asked, and counts what is."""
    asked: Counter[bytes] = Counter()
    data = orjson.dumps(ANSWER)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    def script(connection: socket.socket, seen: Seen) -> None:
        asked[seen.target] += 1
        connection.sendall(head % len(data) + data)

    return RawUpstream(script), asked


@pytest.mark.parametrize(
    "endpoint",
    ["/v1/completions", "/v1/moderations", "/v1/images/generations", "/v1/score", "/v1/rerank"],
)
def test_a_batch_asks_what_its_server_has(endpoint: str, tmp_path: Path) -> None:
    body: Any = {"model": MODEL, "prompt": "x", "input": "x"}
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    upstream, asked = answering()
    with upstream, gateway(upstream.url, tmp_path) as door:
        client = client_of(door.openai_base_url)
        batch = ended(client, submit(client, [line], endpoint=endpoint))
        [said] = lines_of(client, batch.output_file_id).values()
        client.close()

    assert asked == {endpoint.encode(): 1}
    assert said["response"]["body"] == ANSWER
    assert (batch.usage.output_tokens > 0) is (endpoint == "/v1/completions")


def test_a_create_call_that_comes_again_with_its_key_makes_no_second_batch(
    tmp_path: Path,
) -> None:
    body = {"model": MODEL, "prompt": "x"}
    lines = [{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}]
    upstream, asked = answering()
    once: Any = {"endpoint": "/v1/completions", "extra_headers": {"Idempotency-Key": "once"}}
    with upstream:
        with gateway(upstream.url, tmp_path) as door, client_of(door.openai_base_url) as client:
            first = submit(client, lines, **once)
            file_id = ended(client, first).input_file_id
        with gateway(upstream.url, tmp_path) as door, client_of(door.openai_base_url) as client:
            wanted: Any = {"input_file_id": file_id, "completion_window": "24h", **once}
            again = client.batches.create(**wanted)
            with pytest.raises(openai.ConflictError, match=first):
                client.batches.create(**{**wanted, "completion_window": "1h"})
            with client_of(door.openai_base_url, "another") as stranger:
                assert stranger.batches.list().data == []

    assert again.id == first
    assert asked.total() == 1


def test_what_an_sdk_tries_again_makes_no_second_batch(tmp_path: Path) -> None:
    body = {"model": MODEL, "prompt": "x"}
    lines = [{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}]
    upstream, _ = answering()
    with (
        upstream,
        gateway(upstream.url, tmp_path) as door,
        client_of(door.openai_base_url) as client,
    ):
        made = [submit(client, lines, endpoint="/v1/completions")]
        file_id = client.batches.retrieve(made[0]).input_file_id
        wanted: Any = {
            "input_file_id": file_id,
            "completion_window": "24h",
            "endpoint": "/v1/completions",
        }
        for count in ("0", "1"):
            headers = {"x-stainless-retry-count": count}
            made.append(client.batches.create(**wanted, extra_headers=headers).id)

    assert made[0] != made[1], "the same twice is two batches"
    assert made[2] == made[1], "the same call again is not"


def test_so_it_is_with_messages(tmp_path: Path) -> None:
    params: Any = {"model": MODEL, "max_tokens": 9, "messages": []}
    requests: Any = [{"custom_id": "a", "params": params}]
    upstream, _ = answering()
    with (
        upstream,
        gateway(upstream.url, tmp_path) as door,
        anthropic.Anthropic(base_url=door.url, api_key="k", max_retries=0) as client,
    ):
        headers = {"Idempotency-Key": "once"}
        made = {
            client.messages.batches.create(requests=requests, extra_headers=headers).id
            for _ in range(2)
        }
        requests[0]["custom_id"] = "b"
        with pytest.raises(anthropic.ConflictError):
            client.messages.batches.create(requests=requests, extra_headers=headers)

    assert len(made) == 1


def test_results_are_fetched_the_way_that_the_client_came(tmp_path: Path) -> None:
    params: Any = {"model": MODEL, "max_tokens": 9, "messages": []}
    headers = (b"Authorization", b"Bearer k"), (b"X-Forwarded-Proto", b"https")
    upstream, _ = answering()
    with (
        upstream,
        gateway(upstream.url, tmp_path) as door,
        anthropic.Anthropic(base_url=door.url, auth_token="k", max_retries=0) as client,
    ):
        batches = client.messages.batches
        made = batches.create(requests=[{"custom_id": "a", "params": params}])
        until(lambda: batches.retrieve(made.id).results_url)
        target = f"/v1/messages/batches/{made.id}".encode()
        found = orjson.loads(call(door.url, request_bytes(target, *headers)).body)

    assert found["results_url"] == f"https://localhost{target.decode()}/results"
