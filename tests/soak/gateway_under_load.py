"""A gateway of many clients, which ends and begins again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from killable_lab import killable
from zygote import Forked, Zygote

from batchata.gateway import Sandbox

HEADERS = {"authorization": "Bearer sk-planted-secret"}
JSON = {"content-type": "application/json"}
#: path at the gateway, path at the vendor, model, headers
CALLS = (
    ("/v1/chat/completions", "/v1/chat/completions", "gpt-6-luna", JSON),
    ("/v1/responses", "/v1/responses", "gpt-6-luna", JSON),
    (
        "/anthropic/v1/messages",
        "/v1/messages",
        "claude-haiku-5-5",
        JSON | {"anthropic-version": "2023-06-01"},
    ),
)
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})


class BrokenPromiseError(Exception):
    """What was not kept."""


@dataclass
class Told:
    """What clients were told in one cycle."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)  #: of calls that ended
    statuses: Counter[int] = field(default_factory=Counter)
    batches: dict[str, int] = field(default_factory=dict)  #: rows of what was taken, by id


@dataclass
class GatewayUnderLoad:
    """One gateway's folder, its clients and its upstream."""

    chance: random.Random
    box: Sandbox
    zygote: Zygote
    folder: Path
    limit_usd: Decimal
    told: Told = field(default_factory=Told)
    asked: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    is_held: bool = False  #: live calls wait for the vendor's batches
    is_told: bool = False  #: to end
    lives: int = 0
    kills: int = 0

    def config(self) -> dict[str, Any]:
        """Every log, a limit and batches."""
        logs = ("event_recorder", "message_logger", "parquet", "record")
        budget = {"limit_usd": float(self.limit_usd), "state": str(self.folder / "state.db")}
        if self.chance.random() < 0.3:
            scope = self.chance.choice(["session", "key", "model", "day"])
            budget |= {"per": scope, "total_limit_usd": float(self.limit_usd)}
        held = {"window": "1h", "directory": str(self.folder / "held"), "gather_seconds": 0.05}
        return {
            **({"to_batch": held} if self.is_held else {}),
            "server": {"port": 0, "shutdown_seconds": 5},
            "upstreams": [
                {"name": "open", "base_url": self.box.url, "type": "openai"},
                {
                    "name": "claude",
                    "base_url": self.box.url,
                    "type": "anthropic",
                    "prefix": "/anthropic",
                },
            ],
            "batches": {"directory": str(self.folder / "batches")},
            "interceptors": [
                *({"type": log, "config": {"directory": str(self.folder / log)}} for log in logs),
                {"type": "budget", "config": budget},
            ],
        }

    def life(self, config: dict[str, Any], end: signal.Signals | None) -> None:
        """Start it and have clients ask, until it is ended, or until all have asked."""
        self.lives, self.is_told = self.lives + 1, False
        with killable(self.zygote, config, self.folder) as (process, url):
            asyncio.run(self._asked(process, url.removesuffix("/"), end))
            if not self.is_told:
                process.send_signal(signal.SIGTERM)
            if process.wait(60) is None:
                raise BrokenPromiseError("it does not end")
            said = process.stderr.read().decode()
            is_well = end is signal.SIGKILL or process.returncode in (0, -signal.SIGTERM)
            if not is_well or "Traceback" in said:
                raise BrokenPromiseError(f"it ended with {process.returncode}: {said[-4000:]}")

    async def _asked(self, process: Forked, url: str, end: signal.Signals | None) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:
            clients = [self._client(session, url) for _ in range(self.chance.choice([1, 8, 32]))]
            if self.is_held:
                clients += self._again(session, url)
            if end is not None:
                moment = self.chance.random() * 0.6
                asyncio.get_running_loop().call_later(moment, self._tell, process, end)
            await asyncio.gather(*clients, self._submit(session, url))
            if end is None:
                if self.is_held:  # what clients did not wait for is waited for
                    await asyncio.gather(*self._again(session, url))
                await asyncio.wait_for(self._all_ended(session, url), 60)

    def _tell(self, process: Forked, end: signal.Signals) -> None:
        process.send_signal(end)
        self.is_told = True
        self.kills += end is signal.SIGKILL

    async def _client(self, session: aiohttp.ClientSession, url: str) -> None:
        for _ in range(self.chance.randint(1, 12)):
            name = f"question {len(self.asked)} of {self.folder.name}"
            kind = self.chance.randrange(len(CALLS))
            self.asked[name] = (kind, self._body(kind, name))
            await self._ask(session, url, name, self.chance.choice([None, None, None, 0.05, 0.3]))

    def _again(self, session: aiohttp.ClientSession, url: str) -> list[Coroutine[Any, Any, None]]:
        """Ask what was lost once more: the call is on its way already, and is paid once."""
        return [
            self._ask(session, url, name, None)
            for name in self.asked
            if name not in self.told.answers
        ]

    async def _ask(
        self, session: aiohttp.ClientSession, url: str, name: str, seconds: float | None
    ) -> None:
        kind, body = self.asked[name]
        path, _, _, headers = CALLS[kind]
        patience = aiohttp.ClientTimeout(seconds)
        try:
            async with session.post(
                url + path, data=body, headers=headers, timeout=patience
            ) as response:
                said = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return
        self.told.statuses[response.status] += 1
        is_stream = b"stream" in body
        if response.status == 200 and (is_whole(said) if is_stream else b'"error":{' not in said):
            self.told.answers[name] = (kind, said)

    def _body(self, kind: int, name: str) -> bytes:
        turn = [{"role": "user", "content": name}]
        most = self.chance.randint(5, 200)
        body: dict[str, Any] = {"model": CALLS[kind][2]}
        if self.chance.random() < 0.4:
            body["stream"] = True
        if kind == 1:
            body |= {"input": turn, "max_output_tokens": max(16, most)}
        elif kind == 0:
            body |= {"messages": turn, "max_completion_tokens": most}
            if body.get("stream") and self.chance.random() < 0.7:
                body["stream_options"] = {"include_usage": True}
        else:
            body |= {"messages": turn, "max_tokens": most}
        return orjson.dumps(body)

    async def _submit(self, session: aiohttp.ClientSession, url: str) -> None:
        rows = self.chance.randint(1, 12)
        if self.chance.random() < 0.4:
            return
        mark = f"{len(self.told.batches)}-{self.chance.randrange(10**6)}"
        lines = [_line(f"row {number} of {mark}") for number in range(rows)]
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", b"\n".join(lines), filename="in.jsonl")
        wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        with contextlib.suppress(aiohttp.ClientError):
            async with session.post(f"{url}/v1/files", data=form) as response:
                wanted["input_file_id"] = (await response.json())["id"]
            async with session.post(f"{url}/v1/batches", json=wanted) as response:
                if response.status == 200:
                    self.told.batches[(await response.json())["id"]] = rows

    async def _all_ended(self, session: aiohttp.ClientSession, url: str) -> None:
        for each, rows in self.told.batches.items():
            while True:
                async with session.get(f"{url}/v1/batches/{each}") as response:
                    batch = await response.json()
                if batch.get("status") in FINAL:
                    break
                await asyncio.sleep(0.02)
            found: list[str] = []
            for name in ("output_file_id", "error_file_id"):
                if batch[name] is not None:
                    async with session.get(f"{url}/v1/files/{batch[name]}/content") as response:
                        lines = (await response.read()).splitlines()
                    found += [orjson.loads(line)["custom_id"] for line in lines]
            same(f"rows of batch {each}", sorted(found), sorted(f"row {n}" for n in range(rows)))


def _line(text: str) -> bytes:
    turn = [{"role": "user", "content": text}]
    body = {"model": CALLS[0][2], "max_completion_tokens": 40, "messages": turn}
    number = text.partition(" of ")[0]
    asked = {"custom_id": number, "method": "POST", "url": CALLS[0][1], "body": body}
    return orjson.dumps(asked)


def is_whole(said: bytes) -> bool:
    """True for a stream that no error ended."""
    last = said.rstrip().rpartition(b"\n\n")[2]
    return any(
        mark in last
        for mark in (b"[DONE]", b"response.completed", b"response.incomplete", b"message_stop")
    )


def same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise BrokenPromiseError(f"{what}: {found!r:.2000}, not {expected!r:.2000}")
