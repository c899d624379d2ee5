"""A server that answers at once, in a process of its own: what is measured is its client.

    python -m benchmarks.instant

It reads as little of a request as it can: its length, and the ids of the rows in it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_IDS = re.compile(rb'\\"input_id\\":\\"([^"\\]*)\\"')
_ROW = rb"{\"input_id\":\"%s\",\"mood\":\"calm\",\"stars\":4,\"is_new\":true}"
_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-6-luna","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":200,"completion_tokens":20,"total_tokens":220}}'
)
_MODELS = b'{"object":"list","data":[{"id":"gpt-6-luna","object":"model"}]}'
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: r\r\ncontent-length: "


class _Answering(asyncio.Protocol):
    """One connection; a table's rows are answered by their ids, anything else by a sentence."""

    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        self._buffer = b""
        self._write: Callable[[bytes], None] = _nowhere

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.WriteTransport, transport).write

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            is_list = self._buffer.startswith(b"GET")
            request, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            if is_list:
                self._write(b"%s%d\r\n\r\n%s" % (_HEAD, len(_MODELS), _MODELS))
            elif self._latency_seconds:
                loop = asyncio.get_running_loop()
                loop.call_later(self._latency_seconds, self._answer, request)
            else:
                self._answer(request)

    def _answer(self, request: bytes) -> None:
        said = b"Fine, thank you."
        if ids := _IDS.findall(request):
            rows = b",".join(_ROW % each for each in ids)
            said = rb"{\"all_results\":[%s]}" % rows
        body = _BODY % said
        self._write(b"%s%d\r\n\r\n%s" % (_HEAD, len(body), body))


def _nowhere(data: bytes) -> None:
    raise ConnectionError("the connection was not made yet")


async def serve(latency_seconds: float) -> None:
    """Serve until the process is ended; the address is the first line printed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Answering(latency_seconds), "127.0.0.1", 0, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def instant(latency_seconds: float = 0.0) -> Iterator[str]:
    """The server in another process; its address."""
    command = [sys.executable, "-m", "benchmarks.instant", "--latency", str(latency_seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def resident_mb() -> float:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mb() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before an answer")
    options = parser.parse_args()
    try:
        import uvloop

        uvloop.run(serve(options.latency))
    except ImportError:
        asyncio.run(serve(options.latency))


if __name__ == "__main__":
    main()
