"""What the gateway holds in memory, and whether it pairs answers with their questions.

python -m benchmarks.gateway_memory --calls 100000 --pairs 10000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
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


async def _answering() -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        left = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while left and (piece := await reader.read(2**18)):
            left -= len(piece)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _own_mb(pid: int) -> float:
    """Memory that only this process can hold: pages of a file that it looks into are the disk's."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("RssAnon")) / 2**10


async def large_questions(folder: Path, mib: int, count: int = 4) -> None:
    """Print what so many large questions at once take."""
    begin, end = question("x").split(b'"x"')
    piece = b"x" * 2**18

    async def body() -> AsyncIterator[bytes]:
        yield begin + b'"'
        for _ in range(mib * 4):
            yield piece
        yield b'"' + end

    server, upstream = await _answering()
    with gateway(upstream, folder, "event_recorder") as (url, pid):
        headers = {**_HEADERS, "Content-Length": str(len(begin + end) + 2 + mib * 2**20)}
        async with aiohttp.ClientSession() as session:

            async def ask(data: AsyncIterator[bytes] | bytes, headers: dict[str, str]) -> int:
                target = f"{url}/v1/chat/completions"
                async with session.post(target, data=data, headers=headers) as response:
                    await response.read()
                    return response.status

            await ask(question("hi"), _HEADERS)
            before, most = _own_mb(pid), 0.0
            asked = asyncio.gather(*(ask(body(), headers) for _ in range(count)))
            while not asked.done():
                most = max(most, _own_mb(pid) - before)
                await asyncio.sleep(0.01)
            assert set(await asked) == {200}
    print(f"{count} questions of {mib} MiB at once: {most:+.0f} MiB at most", flush=True)
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
        asyncio.run(large_questions(folder, options.mib))
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
