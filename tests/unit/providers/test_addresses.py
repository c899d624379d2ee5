"""Addresses of servers, and the connections to them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from batchata import Batch
from batchata.core.errors import ValidationError
from batchata.generate import make_config
from batchata.providers import transport as module
from batchata.providers.transport import Transport

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
WRONG = [
    "localhost:8000/v1",
    "ftp://gpu-1/v1",
    "http:///v1",
    "http://gpu-1:99999/v1",
    "http://[::1/v1",
    "http://me:secret@gpu-1/v1",
]


@pytest.mark.parametrize("address", WRONG)
@pytest.mark.parametrize("name", ["openai", "anthropic", "vllm"])
def test_an_address_that_cannot_be_called_is_refused_at_once(name: str, address: str) -> None:
    with pytest.raises(ValidationError, match="base_url") as told:
        Batch().set_provider(name, api_key="k", base_url=address)

    assert told.value.hint
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("address", WRONG)
def test_an_address_of_a_config_is_held_to_the_same(tmp_path: Path, address: str) -> None:
    data = {"input_path": "in.jsonl", "output_path": "out.jsonl"}

    with pytest.raises(ValidationError, match=r"model\.url"):
        make_config({"data": data, "model": {"url": address}})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://gpu-1:8000", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/", "http://gpu-1:8000/v1"),
        ("http://gpu-1:8000/v1/chat/completions", "http://gpu-1:8000/v1"),
        ("https://api.deepinfra.com/v1/openai", "https://api.deepinfra.com/v1/openai"),
    ],
)
def test_an_address_of_a_config_is_that_of_the_api(written: str, meant: str) -> None:
    data = {"input_path": "in.jsonl", "output_path": "out.jsonl"}

    assert make_config({"data": data, "model": {"url": written}}).model.url == [meant]


def test_an_idle_connection_is_closed_before_a_server_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.01)

    async def go() -> bytes:
        left = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            writer.write(ANSWER)
            left.set_result(await reader.read())  # until the other side closes
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = Transport()
        try:
            await transport.post(f"http://127.0.0.1:{port}/v1", {}, b"{}")
            said: bytes = await asyncio.wait_for(left, 60)
        finally:
            await transport.aclose()
            server.close()
        return said

    assert asyncio.run(go()) == b""
