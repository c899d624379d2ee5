"""Cassettes of what is no JSON, and of streams that their client had enough of."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket
from typing import Any

import openai
import pytest
from raw_lab import SSE_HEAD, RawUpstream, Seen, call, chunked, request_bytes

from batchata.gateway import Gateway
from batchata.gateway.proxy.http.spilled import Spilled

GONE = "http://127.0.0.1:9"
WORDS = ("once", "upon", "a", "time")


def tape(url: str, kind: str, folder: Path, **more: Any) -> Gateway:
    config = {"interceptors": [{"type": kind, "config": {"directory": str(folder)}}], **more}
    return Gateway(url, type="openai", config=config)


def sdk(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.openai_base_url, api_key="k", max_retries=0)


def reply(connection: socket, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body)


def hears(connection: socket, seen: Seen) -> None:
    found = re.search(rb"AUDIO-(\w+)", seen.body)
    assert found is not None
    assert int(seen.all(b"content-length")[0]) == len(seen.body)
    reply(connection, b'{"text": "%s"}' % found[1])


def test_each_upload_has_its_own_answer(tmp_path: Path) -> None:
    def heard(client: openai.OpenAI, what: str) -> str:
        sound = ("a.mp3", f"AUDIO-{what} ".encode() + bytes(200_000))
        return client.audio.transcriptions.create(model="whisper-1", file=sound).text

    names = [f"n{number}" for number in range(12)]
    with (
        RawUpstream(hears) as upstream,
        tape(upstream.url, "record", tmp_path) as gateway,
        sdk(gateway) as client,
        ThreadPoolExecutor(6) as pool,
    ):
        assert list(pool.map(lambda each: heard(client, each), names)) == names
    with tape(GONE, "replay", tmp_path) as gateway, sdk(gateway) as client:
        assert [heard(client, each) for each in reversed(names)] == names[::-1]
        with pytest.raises(openai.NotFoundError, match="was not recorded"):
            heard(client, "another")


@pytest.mark.parametrize("body", [b"plain %d", b"[1, %d]", b'{"a": %d'])
def test_other_bodies_are_told_apart_too(tmp_path: Path, body: bytes) -> None:
    def asked(gateway: Gateway, number: int) -> bytes:
        kind = b"text/plain" if body.startswith(b"plain") else b"application/json"
        headers = ((b"Content-Type", kind), (b"Authorization", b"Bearer k"))
        return call(
            gateway.url, request_bytes(b"/x", *headers, method=b"POST", body=body % number)
        ).body

    with (
        RawUpstream(lambda connection, seen: reply(connection, seen.body)) as upstream,
        tape(upstream.url, "record", tmp_path) as gateway,
    ):
        recorded = [asked(gateway, number) for number in (1, 2)]
    with tape(GONE, "replay", tmp_path) as gateway:
        assert [asked(gateway, number) for number in (2, 1)] == recorded[::-1]


@pytest.mark.parametrize("has_length", [True, False])
def test_an_upload_that_the_disk_may_not_hold_is_recorded_by_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, has_length: bool
) -> None:
    headers = ((b"Content-Type", b"audio/mp3"), (b"Authorization", b"Bearer k"))
    config: Any = {"server": {"spill_bytes": 100_000}}

    def asked(gateway: Gateway, name: bytes) -> bytes:
        body = b"AUDIO-%b " % name + bytes(500_000)
        request = request_bytes(b"/v1/x", *headers, method=b"POST", body=body)
        if not has_length:
            length = b"Content-Length: %d" % len(body)
            request = request.replace(length, b"Transfer-Encoding: chunked").removesuffix(body)
            request += chunked(body[:90_000], body[90_000:200_000], body[200_000:])
        return call(gateway.url, request).body

    with (
        RawUpstream(lambda connection, seen: reply(connection, seen.body)) as upstream,
        tape(upstream.url, "record", tmp_path, **config) as gateway,
    ):
        recorded = [asked(gateway, name) for name in (b"a", b"b")]
    with tape(GONE, "replay", tmp_path, **config) as gateway:
        assert [asked(gateway, name) for name in (b"a", b"b")] == recorded

    assert [len(each) for each in recorded] == [500_008] * 2
    assert [each[:7] for each in recorded] == [b"AUDIO-a", b"AUDIO-b"]
    assert "POST /v1/x is larger than spill_bytes" in caplog.text


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_what_stands_between_the_parts_of_a_form_is_no_matter(size: int) -> None:
    async def added(boundary: bytes, part: bytes = b"one") -> str:
        spilled = Spilled(boundary)
        form = b"--%b\r\n\r\n%b\r\n--%b\r\n\r\naab\r\n--%b--\r\n" % (
            *(boundary, part, boundary),
            boundary,
        )
        for start in range(0, len(form), size):
            await spilled.add(form[start : start + size])
        found = spilled.digest
        spilled.close()
        return found

    def digest(*form: bytes) -> str:
        return asyncio.run(added(*form))

    assert digest(b"aabaab") == digest(b"0123456789")
    assert digest(b"aabaab") != digest(b"aabaab", b"two")


def test_a_stream_that_its_client_had_enough_of_is_recorded_as_far_as_it_came(
    tmp_path: Path,
) -> None:
    def tells(connection: socket, _: Seen) -> None:
        connection.sendall(SSE_HEAD)
        for word in WORDS:
            chunk = b'{"id":"c","choices":[{"index":0,"delta":{"content":"%b"}}]}' % word.encode()
            event = b"data: %b\n\n" % chunk
            connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
        upstream.hold(connection)  # it has more to say

    def told(gateway: Gateway, *, until: str = "") -> list[str]:
        words: list[str] = []
        messages: Any = [{"role": "user", "content": "Tell."}]
        with (
            sdk(gateway) as client,
            client.chat.completions.create(model="m", messages=messages, stream=True) as stream,
        ):
            for event in stream:
                words.append(event.choices[0].delta.content or "")
                if words[-1] == until:
                    break
        return words

    with RawUpstream(tells) as upstream, tape(upstream.url, "record", tmp_path) as gateway:
        recorded = told(gateway, until="time")
    with tape(GONE, "replay", tmp_path) as gateway:
        assert told(gateway, until="time") == recorded == list(WORDS)
    with (
        tape(GONE, "replay", tmp_path) as gateway,
        pytest.raises(openai.APIConnectionError) as caught,
    ):
        told(gateway)
    assert "incomplete" in str(caught.value.__cause__)
