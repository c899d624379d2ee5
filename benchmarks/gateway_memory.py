"""What the gateway holds in memory, and whether it pairs answers with their questions.

python -m benchmarks.gateway_memory --calls 100000 --pairs 10000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import orjson

from benchmarks.gateway_cpu import gateway, load, rss_mb
from benchmarks.instant import instant

_HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer k"}
_PIECE = b"data: " + orjson.dumps({"choices": [{"delta": {"content": "x" * 65_000}}]}) + b"\n\n"


def question(content: str) -> bytes:
    """The body of a call."""
    message = {"role": "user", "content": content}
    return orjson.dumps({"model": "gpt-6-luna", "max_completion_tokens": 50, "messages": [message]})


async def _stream_of(mib: int) -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Connection: close\r\n\r\n")
        # the slow reader goes away in the midst of it
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            for _ in range(mib * 2**20 // len(_PIECE)):
                writer.write(_PIECE)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def stream(url: str, pid: int, *, is_slow: bool) -> tuple[float, float]:
    """MiB that came, and the most MiB by which the gateway grew meanwhile."""
    before, most, size, looked = rss_mb(pid), 0.0, 0, 0
    async with aiohttp.ClientSession(read_bufsize=2**16) as session:
        target = f"{url}/v1/chat/completions"
        async with session.post(target, data=question("hi"), headers=_HEADERS) as response:
            async for piece in response.content.iter_any():
                size += len(piece)
                if size - looked >= 2**22:
                    looked = size
                    most = max(most, rss_mb(pid) - before)
                if is_slow:
                    await asyncio.sleep(2)
                    most = max(most, rss_mb(pid) - before)
                    break
    return size / 2**20, most


async def streams(folder: Path, mib: int) -> None:
    """Print what a long stream takes, read fast and not at all."""
    server, upstream = await _stream_of(mib)
    with gateway(upstream, folder, "event_recorder", "message_logger") as (url, pid):
        # the first pass takes what it always takes: prices, buffers
        await stream(url, pid, is_slow=True)
        size, grown = await stream(url, pid, is_slow=False)
        print(f"a stream of {size:.0f} MiB: {grown:+.0f} MiB at most", flush=True)
        _, grown = await stream(url, pid, is_slow=True)
        print(f"the same to a client that does not read: {grown:+.0f} MiB at most", flush=True)
    server.close()


async def at_once(
    numbers: range, ask: Callable[[aiohttp.ClientSession, int], Awaitable[None]], most: int
) -> None:
    """Ask for each number, so many at once."""
    left = iter(numbers)

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in left:
            await ask(session, number)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(worker(session) for _ in range(most)))


async def mispaired(url: str, folder: Path, count: int) -> tuple[int, int]:
    """Recordings, and those whose answer is not that of their question, asked 64 at once."""

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        body = question(f'{{"input_id":"q{number}"}}')
        target = f"{url}/v1/chat/completions"
        async with session.post(target, data=body, headers=_HEADERS) as response:
            assert f"q{number}\\".encode() in await response.read()

    await at_once(range(count), ask, 64)
    await asyncio.sleep(0.5)
    lines = (folder / "record" / "cassette.jsonl").read_bytes().splitlines()
    rows = [orjson.loads(line) for line in lines]
    wrong = 0
    for row in rows:
        asked = orjson.loads(row["request"]["body"]["messages"][0]["content"])["input_id"]
        told = row["response"]["json"]["choices"][0]["message"]["content"]
        wrong += orjson.loads(told)["all_results"][0]["input_id"] != asked
    return len(rows), wrong


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--mib", type=int, default=256)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        asyncio.run(streams(folder, options.mib))
        with instant() as upstream:
            with gateway(upstream, folder, "record") as (url, _):
                count, wrong = asyncio.run(mispaired(url, folder, options.pairs))
                print(f"{count:,} recorded exchanges, 64 at once: {wrong} mispaired", flush=True)
            with gateway(upstream, folder, "event_recorder") as (url, pid):
                asyncio.run(load(url, 1000, 32))
                before = rss_mb(pid)
                asyncio.run(load(url, options.calls, 32))
                grown = rss_mb(pid) - before
                print(f"{options.calls:,} calls, each a session: {grown:+.0f} MiB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
