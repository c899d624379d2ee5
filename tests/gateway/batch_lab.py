"""An upstream that answers what it is allowed to, and clients that wait for their batches."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

import orjson
from openai import OpenAI
from raw_lab import SECONDS, RawUpstream, Seen

from batchata.gateway import Gateway

MODEL = "my-model"
KEY = "sk-planted-secret"
Lines = list[dict[str, Any]]


@dataclass
class HeldModel:
    """Answers at once, but for questions with "hold" in them, which wait for `go_on`."""

    asked: Counter[str] = field(default_factory=Counter)
    go_on: threading.Event = field(default_factory=threading.Event)
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict)

    def __call__(self, connection: socket, seen: Seen) -> None:
        text = orjson.loads(seen.body)["messages"][0]["content"]
        self.asked[text] += 1
        if "hold" in text:
            self.go_on.wait(SECONDS)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        choice = {"index": 0, "message": {"role": "assistant", "content": text.upper()}}
        body = {"id": "c", "model": MODEL, "choices": [choice], "usage": usage, "odd": [1.0, None]}
        data = orjson.dumps(body if self.status == 200 else {"error": self.error})
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % (self.status, len(data)) + data)

    def upstream(self) -> RawUpstream:
        """The model on a socket."""
        return RawUpstream(self)


def gateway(upstream: str, folder: Path, **config: Any) -> Gateway:
    """A gateway with batches in this folder."""
    given = {"batches": {"directory": str(folder), **config.pop("batches", {})}, **config}
    return Gateway(upstream, type="openai", config=given)


def client_of(url: str, key: str = KEY) -> OpenAI:
    return OpenAI(base_url=url, api_key=key, max_retries=0)


def chat(custom_id: str, text: str | None = None, **body: Any) -> dict[str, Any]:
    """A line of an input file."""
    said = {"model": MODEL, "messages": [{"role": "user", "content": text or custom_id}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": said}


def submit(client: OpenAI, lines: Lines, **more: Any) -> str:
    """Upload and start a batch; its id."""
    data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    wanted = {"completion_window": "24h", "endpoint": "/v1/chat/completions", **more}
    return client.batches.create(input_file_id=file.id, **wanted).id


def until(is_so: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What comes when it has come."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
    return found


def ended(client: OpenAI, batch_id: str) -> Any:
    """The batch when it has ended."""

    def look() -> Any:
        batch = client.batches.retrieve(batch_id)
        return batch if batch.status in ("completed", "failed", "expired", "cancelled") else None

    return until(look)


def lines_of(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of a result file by custom_id."""
    assert file_id is not None
    lines = client.files.content(file_id).content.splitlines()
    found = {line["custom_id"]: line for line in map(orjson.loads, lines)}
    assert len(found) == len(lines)
    return found
