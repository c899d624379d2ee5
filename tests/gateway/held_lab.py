"""A gateway that holds calls for batches, and the clients that wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import orjson
from budget_lab import BOOK, GPT
from raw_lab import JSON, SECONDS, connect, request_bytes
from sandbox_lab import Lab

from batchata.core.usage import Usage
from batchata.gateway import Gateway

SLOW = 3_600.0  #: longer than any test: the clock of the sandbox is moved instead
KEY = (b"Authorization", b"Bearer k")


def holding(url: str, folder: Path, **changes: Any) -> Gateway:
    section = {"window": "1h", "directory": str(folder / "held"), "gather_seconds": 0.05}
    budget = {"limit_usd": changes.pop("limit_usd", 5), "state": str(folder / "budget.db")}
    kind, watching = changes.pop("type", "openai"), changes.pop("interceptors", ())
    config = {
        "to_batch": {**section, **changes},
        "interceptors": [{"type": "budget", "config": budget}],
    }
    return Gateway(url, type=kind, config=config, interceptors=watching)


def sdk(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="k", **{"max_retries": 0, **options})


def chat(url: str, content: str = "hi", **params: Any) -> Any:
    with sdk(url) as client:
        answer = client.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": content}],
            **{"max_completion_tokens": 100, **params},
        )
        return list(answer) if params.get("stream") else answer  # before the client closes it


def asked(content: str = "hi", **params: Any) -> bytes:
    body = {"model": GPT, "messages": [{"role": "user", "content": content}], **params}
    text = orjson.dumps({"max_completion_tokens": 100, **body})
    return request_bytes(b"/v1/chat/completions", JSON, KEY, method=b"POST", body=text)


def price(usage: Any, tier: str) -> Decimal:
    return BOOK.card("openai", GPT, tier).cost_usd(
        Usage(usage.prompt_tokens, usage.completion_tokens)
    )


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def leave(gateway: Gateway, lab: Lab, request: bytes) -> None:
    """Ask, and go away once the vendor has it."""
    with connect(gateway.url) as connection:
        before = len(lab.box.ledger.batches)
        connection.sendall(request)
        until(lambda: len(lab.box.ledger.batches) > before)
