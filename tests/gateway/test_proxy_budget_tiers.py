"""A limit over a project whose own default is a dearer tier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from budget_lab import BOOK, GPT, limited, used_usd
from raw_lab import RawUpstream, Seen

from batchata.core.usage import Usage, from_parts
from batchata.gateway import Gateway

USED = 30  # tokens in, and out
TIER = "priority"


def prefers_priority(connection: Any, seen: Seen) -> None:
    """OpenAI for a project whose default is `priority`."""
    asked = orjson.loads(seen.body).get("service_tier", "auto")
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}}
    usage = {"prompt_tokens": USED, "completion_tokens": USED, "total_tokens": 2 * USED}
    tier = TIER if asked == "auto" else asked
    said = {"id": "c", "model": GPT, "choices": [choice], "usage": usage, "service_tier": tier}
    body = orjson.dumps(said)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body)


def ask(gateway: Gateway, **params: Any) -> None:
    with openai.OpenAI(base_url=gateway.openai_base_url, api_key="k", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hi"}]
        client.chat.completions.create(
            model=GPT, messages=messages, max_completion_tokens=USED, **params
        )


@pytest.mark.parametrize("params", [{}, {"service_tier": "auto"}])
def test_a_tier_that_a_project_prefers_is_set_aside_once_it_is_known(
    tmp_path: Path, params: Any
) -> None:
    standard, dearer = (BOOK.card("openai", GPT, tier) for tier in ("default", TIER))
    spent = dearer.cost_usd(Usage(USED, USED))
    # room for a second call at the standard price, and not at the dearer one
    limit = spent + from_parts(standard.worst_case(150, USED))
    with (
        RawUpstream(prefers_priority) as upstream,
        limited(upstream.url, tmp_path / "s.db", float(limit)) as gateway,
    ):
        ask(gateway, **params)
        with pytest.raises(openai.RateLimitError, match="budget refuses"):
            ask(gateway, **params)
        ask(gateway, service_tier="default")

    assert spent < used_usd(tmp_path / "s.db") <= limit


def test_a_tier_that_a_project_prefers_is_known_after_a_restart(tmp_path: Path) -> None:
    standard, dearer = (BOOK.card("openai", GPT, tier) for tier in ("default", TIER))
    limit = float(dearer.cost_usd(Usage(USED, USED)) + from_parts(standard.worst_case(150, USED)))

    with RawUpstream(prefers_priority) as upstream:
        with limited(upstream.url, tmp_path / "s.db", limit) as gateway:
            ask(gateway)
        with limited(upstream.url, tmp_path / "s.db", limit) as gateway:
            with pytest.raises(openai.RateLimitError, match="budget refuses"):
                ask(gateway)
            ask(gateway, service_tier="default")
