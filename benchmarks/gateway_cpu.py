"""CPU per call of the gateway with event log and budget on, beside nginx and LiteLLM's proxy.

    python -m benchmarks.gateway_cpu

All run at once and are asked in turns, each server on one core; client and upstream are processes
of their own, whose CPU is not counted. LiteLLM does the same as the gateway when it keeps a log
and a budget, and knows a price.

On a shared machine in a slow hour (nginx 22 to 27 us a call, LiteLLM 11,000 to 12,300 bare, 12,700
to 15,100 with log and budget): 170 to 228 us a call with events as JSON lines, 66 to 83 times less
than LiteLLM with log and budget; 198 to 250 as Parquet, 55 to 77 times less. Its CPython was
compiled without profile-guided optimisation.

One call makes 260 calls of Python functions and executes 585,000 instructions (callgrind), 690,000
with Parquet: 120,000 to take the request in and to answer it, 105,000 to ask the upstream, 110,000
for what the answer says, the budget, the price and the metrics; the rest is for its session and its
events. Five system calls are made for it. What need not be known before the answer leaves - events,
what conversations may go on from, metrics - is done every 20 ms for all calls of that time: the
same work in a row takes a third less than between other work, as the processor has it at hand. Few
calls wait for the disk: what is set aside is written ahead of many of them. Writing the journal
from a thread took 70 us more, which went into handing the interpreter to and fro.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson

from benchmarks import litellm, nginx
from benchmarks.instant import instant

_ASK = orjson.dumps(
    {
        "model": "gpt-6-luna",
        "max_completion_tokens": 50,
        "messages": [{"role": "user", "content": "Name a river. " * 10}],
    }
)
_EVENT = (
    b'data: {"id":"c","model":"gpt-6-luna","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
)
_LAST = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9}}\n\n'
INTERCEPTORS = ("event_recorder", "parquet")
#: address, pid, and how many times fewer calls are enough to tell its CPU
Contender = tuple[str, int, int]


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._left, self._done = request, left, done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if self._left[0] <= 0:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        assert head.startswith(b"HTTP/1.1 200"), self._buffer[:500]
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            self._ask()


async def load(url: str, calls: int, connections: int) -> float:
    """Ask so often over so many connections; seconds it took."""
    place = urlsplit(url)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n"
        "Authorization: Bearer k\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(_ASK)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    left, began = [calls], time.perf_counter()
    ended: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for each in ended:
        await loop.create_connection(
            lambda each=each: Client(head.encode() + _ASK, left, each),  # type: ignore[misc]
            "127.0.0.1",
            place.port,
        )
    await asyncio.gather(*ended)
    return time.perf_counter() - began


def cpu_of(pid: int) -> float:
    """User and system seconds of a process and of the children it has now."""
    ticks = 0
    for each in (pid, *_children(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [
        int(each)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for each in path.read_text().split()
    ]


def rss_mb(pid: int) -> float:
    """Memory that a process holds now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def gateway(
    upstream: str, folder: Path, *logs: str, limit_usd: float = 1e6
) -> Iterator[tuple[str, int]]:
    """A gateway with these logs and a budget in a process of its own; its address and pid."""
    state = folder / f"{'-'.join(logs)}.db"
    config = {
        "llm": {"base_url": upstream},
        "server": {"port": 0},
        "interceptors": [
            *({"type": log, "config": {"directory": str(folder / log)}} for log in logs),
            {"type": "budget", "config": {"limit_usd": limit_usd, "state": str(state)}},
        ],
    }
    file = folder / "gateway.yaml"
    file.write_bytes(orjson.dumps(config))  # JSON is YAML
    code = "from batchata.cli import main; main()"
    command = [sys.executable, "-c", code, "proxy", "run", "--json", "--config", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        said = b""
        while not said.endswith(b"}\n"):
            said += process.stdout.readline()
        yield orjson.loads(said)["anthropic_base_url"], process.pid
    finally:
        process.terminate()
        process.wait()


def settled_cpu_of(pid: int) -> float:
    """The same when what a server does after its answers has come to rest."""
    used = cpu_of(pid)
    for _ in range(60):
        time.sleep(0.5)
        before, used = used, cpu_of(pid)
        if used - before < 0.03:
            break
    return used


def on_one_core(pid: int) -> None:
    """Keep a server, with all its threads of now and later, on the last core."""
    core = max(os.sched_getaffinity(0))
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def per_call(url: str, pid: int, calls: int, connections: int) -> float:
    """CPU in us a call."""
    before = cpu_of(pid)
    asyncio.run(load(url, calls, connections))
    return (settled_cpu_of(pid) - before) / calls * 1e6


@contextmanager
def contenders(upstream: str, folder: Path) -> Iterator[dict[str, Contender]]:
    """The gateway with each log and, where they are on the PATH, nginx and LiteLLM's proxy."""
    with contextlib.ExitStack() as stack:
        found = {
            f"gateway, {log} and budget": (*stack.enter_context(gateway(upstream, folder, log)), 1)
            for log in INTERCEPTORS
        }
        if nginx.is_installed():
            found["nginx proxy_pass"] = (*stack.enter_context(nginx.proxy(upstream, folder)), 1)
        if litellm.is_installed():
            bare = stack.enter_context(litellm.proxy(upstream, folder, does_all=False))
            whole = stack.enter_context(litellm.proxy(upstream, folder, does_all=True))
            found["LiteLLM, bare"] = (*bare, 20)
            found["LiteLLM, log and budget"] = (*whole, 20)
        for _, pid, _ in found.values():
            on_one_core(pid)
        yield found


def calls_in_one_piece(folder: Path, calls: int, rounds: int) -> None:
    """Print what each takes for a call; in turns, so that a slow minute is slow for all of them."""
    with instant() as upstream, contenders(upstream, folder) as found:
        for connections in (16, 128):
            least = dict.fromkeys(found, math.inf)
            for url, pid, fewer in found.values():
                per_call(url, pid, calls // 5 // fewer, connections)  # to warm up
            for _ in range(rounds):
                for name, (url, pid, fewer) in found.items():
                    cpu = per_call(url, pid, calls // fewer, connections)
                    least[name] = min(cpu, least[name])
            for name, cpu in least.items():
                ratios = "".join(
                    f", {least[peer] / cpu:.3g} x less than {peer}"
                    for peer in least
                    if name.startswith("gateway") and peer.startswith("LiteLLM")
                )
                print(f"{connections} connections, {name}: {cpu:.0f} us CPU a call{ratios}")
        for name, (_, pid, _) in found.items():
            print(f"{name}: {rss_mb(pid):.0f} MiB", flush=True)


async def _streaming(events: int, gap: float) -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(_ASK))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Connection: close\r\n\r\n")
        for number in range(events):
            writer.write(_EVENT)
            if gap:
                await asyncio.sleep(gap)
            elif number % 64 == 63:
                await writer.drain()
        writer.write(_LAST + b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def first_event(url: str, streams: int) -> float:
    """Median milliseconds until the first event, over so many streams at once."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer k"}

    async def one(session: aiohttp.ClientSession) -> float:
        began = time.perf_counter()
        target = f"{url}/v1/chat/completions"
        async with session.post(target, data=_ASK, headers=headers) as response:
            await response.content.readany()
            seconds = time.perf_counter() - began
            await response.read()
            return seconds

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await one(session)
        found = sorted(await asyncio.gather(*(one(session) for _ in range(streams))))
    return found[len(found) // 2] * 1e3


async def streams(folder: Path) -> None:
    """Print what a stream costs through the gateway."""
    server, upstream = await _streaming(33, 0.02)
    with gateway(upstream, folder, INTERCEPTORS[0]) as (url, _):
        for count in (1, 32):
            direct = await first_event(upstream, count)
            through = await first_event(url, count)
            print(f"first event, {count} streams: direct {direct:.1f} ms, gateway {through:.1f} ms")
    server.close()
    events = 20_000
    server, upstream = await _streaming(events, 0)
    with gateway(upstream, folder, INTERCEPTORS[0]) as (url, pid):
        await first_event(url, 1)
        before = cpu_of(pid)
        await first_event(url, 2)  # and one to warm up
        relayed = (cpu_of(pid) - before) / (3 * events) * 1e6
        print(f"relayed event: {relayed:.1f} us CPU")
    server.close()


def main() -> None:
    """Print the figures, and those of nginx and LiteLLM's proxy where they are on the PATH."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=4000, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        calls_in_one_piece(folder, options.calls, options.rounds)
        asyncio.run(streams(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
