"""CPU per call of the gateway with event log and budget on, beside nginx and LiteLLM's proxy.

    python -m benchmarks.gateway_cpu --calls 20000

Client and upstream are processes of their own, whose CPU is not counted.

The best of five runs on a shared machine: 131 us a call at 16 connections and 185 at 128 with
events as JSON lines, 173 and 185 as Parquet; in minutes in which everything on it is slower,
nginx too, 220 and 260. LiteLLM's proxy took 7.2 to 10.4 ms there.

About 150 us (JSON lines, 16 connections) are, in us: 20 in system calls; 25 in aiohttp, half of it
for the client and half for the upstream; 9 to take the request in, whose headers were seen before;
19 to find its session and to tell of beginning and end; 7 to set its worst case aside and 5 to
settle it; 7 to read the answer; 8 to write two heads; 10 for the event log (30 as Parquet); the
rest is the loop, and what the journey awaits. Few calls wait for the disk: what is set aside is
written ahead of many of them. Writing the journal from a thread took 70 us more, which went into
handing the interpreter to and fro.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
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

from benchmarks import nginx
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
#: LiteLLM's own record of each call, as a line of JSON; for budgets it asks for a Postgres server
_LITELLM_LOG = """
import json
from litellm.integrations.custom_logger import CustomLogger

class Recorder(CustomLogger):
    lines = open("litellm.jsonl", "a", buffering=1)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        record = json.dumps(kwargs["standard_logging_object"], default=str)
        self.lines.write(record + chr(10))

recorder = Recorder()
"""


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


@contextmanager
def litellm(upstream: str, folder: Path, *, logs: bool) -> Iterator[tuple[str, int]]:
    """LiteLLM's proxy before the same upstream; its address and pid."""
    port = 5900 + os.getpid() % 1000
    route = {"model": "openai/gpt-6-luna", "api_base": f"{upstream}/v1", "api_key": "k"}
    file = folder / "litellm.yaml"
    models = [{"model_name": "gpt-6-luna", "litellm_params": route}]
    settings = {"callbacks": ["recording.recorder"]} if logs else {}
    (folder / "recording.py").write_text(_LITELLM_LOG)
    file.write_bytes(orjson.dumps({"model_list": models, "litellm_settings": settings}))
    command = ["litellm", "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    here = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    here["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=here, cwd=folder, stdout=quiet, stderr=quiet)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process.pid
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


def per_call(url: str, pid: int, calls: int, connections: int, rounds: int = 3) -> float:
    """The least CPU of a few rounds, in µs a call."""
    asyncio.run(load(url, calls // 10, connections))
    found = []
    for _ in range(rounds):
        before = cpu_of(pid)
        asyncio.run(load(url, calls // rounds, connections))
        found.append((settled_cpu_of(pid) - before) / (calls // rounds) * 1e6)
    return min(found)


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
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--only", choices=INTERCEPTORS)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with instant() as upstream:
            for connections in (16, 128):
                for log in INTERCEPTORS if options.only is None else (options.only,):
                    with gateway(upstream, folder, log) as (url, pid):
                        cpu = per_call(url, pid, options.calls, connections)
                        print(f"gateway, {log} and budget, {connections} connections: ", end="")
                        print(f"{cpu:.0f} us CPU a call, {rss_mb(pid):.0f} MiB", flush=True)
                if nginx.is_installed():
                    with nginx.proxy(upstream, folder) as (url, pid):
                        cpu = per_call(url, pid, options.calls, connections)
                        print(f"nginx proxy_pass, {connections} connections: {cpu:.0f} us CPU")
                if shutil.which("litellm"):
                    for logs, words in ((False, "without a log"), (True, "with its log")):
                        with litellm(upstream, folder, logs=logs) as (url, pid):
                            cpu = per_call(url, pid, options.calls // 20, connections)
                        print(f"LiteLLM {words}, {connections} connections: {cpu:.0f} us CPU")
        asyncio.run(streams(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
