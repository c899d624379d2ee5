"""The most that a proxied call can cost is never less than what it may cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_lab import an_exchange

from batchata.core.errors import UnknownPriceError, ValidationError
from batchata.core.usage import to_parts
from batchata.gateway.proxy.exchange import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Exchange
from batchata.gateway.proxy.money.bounds import (
    card_of,
    is_free,
    tier_of,
    tools_asked,
    worst_case,
)
from batchata.prices import GenaiPriceBook

#: one USD per output token, nothing for input
BOOK = GenaiPriceBook({"m": {"input": 0, "output": 1_000_000}})


def exchange(path: str, method: str = "POST", **body: Any) -> Exchange:
    body = {"model": "m", **body}
    return an_exchange(path, body, method=method, model=str(body["model"]))


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (exchange(CHAT, max_tokens=7), 7),
        (exchange(CHAT, max_tokens=7, max_completion_tokens=9), 9),
        (exchange(CHAT, max_tokens=7, n=3), 21),
        (exchange(CHAT), 128_000),
        # a cap that this endpoint does not heed is none
        (exchange(CHAT, max_output_tokens=7), 128_000),
        (exchange(RESPONSES, max_tokens=7), 128_000),
        (exchange(RESPONSES, max_output_tokens=7), 7),
        (exchange(CHAT, max_tokens=7.0), 128_000),
        # no limit at all, as servers of one's own are told
        (exchange(CHAT, max_tokens=-1), 128_000),
        # what was foreseen and does not come is paid for too: 32 bytes of it
        (exchange(CHAT, max_tokens=7, prediction={"type": "content", "content": "x"}), 39),
        # each prompt has an answer of its own
        (exchange(COMPLETIONS, max_tokens=7, prompt=["a", "b", "c"], n=2), 42),
        (exchange(COMPLETIONS, max_tokens=7, prompt=[[1, 2], [3]]), 14),
        (exchange(COMPLETIONS, max_tokens=7, prompt=[1, 2, 3], best_of=4), 28),
        (exchange(MESSAGES, max_tokens=10, inference_geo="us"), 11),
    ],
)
def test_every_answer_that_is_asked_for_counts_in_full(asked: Exchange, most: int) -> None:
    assert worst_case(asked, card_of(asked, BOOK), tools_asked(asked)) == to_parts(Decimal(most))


@pytest.mark.parametrize("count", [5.0, "5", [1]])
def test_a_number_of_answers_that_is_none_has_no_bound(count: Any) -> None:
    asked = exchange(CHAT, max_tokens=7, n=count)

    with pytest.raises(ValidationError, match="n or best_of"):
        worst_case(asked, card_of(asked, BOOK), tools_asked(asked))


def test_a_dearer_speed_is_priced_as_such_or_not_at_all() -> None:
    fast = exchange(MESSAGES, model="claude-haiku-5-5", max_tokens=10, speed="fast")

    assert tier_of(fast, "standard") == "fast"
    with pytest.raises(UnknownPriceError):
        card_of(fast, GenaiPriceBook())


@pytest.mark.parametrize(
    ("method", "path", "free"),
    [
        ("GET", "/v1/models", True),
        ("DELETE", "/v1/files/file-1", True),
        ("POST", "/v1/files", True),
        ("POST", "/v1/responses/resp_1/cancel", True),
        ("POST", "/v1/batches", False),
        ("POST", "/v1/files/../chat/completions", False),
        ("POST", "/v1/files/%2e%2e/chat/completions", False),
        ("POST", "/v1//files", False),
        ("POST", "/v1/files;/../x", False),
    ],
)
def test_a_path_is_free_only_when_no_server_can_take_it_for_another(
    method: str, path: str, free: bool
) -> None:
    assert is_free(exchange(path, method)) is free


def test_a_discount_counts_once_the_answer_says_so() -> None:
    asked = exchange(CHAT, service_tier="flex")

    found = [tier_of(asked, answered) for answered in (None, "flex", "default")]

    assert found == ["standard", "flex", "default"]
