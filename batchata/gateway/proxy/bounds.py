"""The most that a proxied call can cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

from batchata.core.bounds import input_bound, output_bound, web_search_bound
from batchata.gateway.proxy.exchange import EMBEDDINGS, Exchange
from batchata.gateway.proxy.guard import SAFE
from batchata.ports import PriceBook
from batchata.providers.openai.codec import MODEL_MOST

_CAPS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
#: POST requests for which no vendor asks money
FREE_PATHS: Final = (
    "/v1/files*",
    "/v1/uploads*",
    "/v1/moderations",
    "/v1/conversations*",
    "/v1/messages/count_tokens",
    "/v1/responses/input_tokens",
    "/v1/responses/*/cancel",
    "/v1/batches/*/cancel",
    "/v1/messages/batches/*/cancel",
    "/tokenize",
    "/detokenize",
)


def is_free(exchange: Exchange, more: tuple[str, ...] = ()) -> bool:
    """True for a request that costs nothing whatever it says."""
    if exchange.method in SAFE or exchange.method == "DELETE":
        return True
    return any(fnmatchcase(exchange.path, pattern) for pattern in (*FREE_PATHS, *more))


def output_cap(body: Mapping[str, Any]) -> int | None:
    """The most tokens of an answer that the request itself allows."""
    caps = [body[name] for name in _CAPS if type(body.get(name)) is int]
    return max(caps) if caps else None


def worst_case_usd(exchange: Exchange, prices: PriceBook) -> Decimal:
    """Upper bound of a call's price in USD.

    Raises UnknownPriceError for a model without a price, ValidationError for numbers that cannot
    be.
    """
    body = exchange.json or {}
    tier = body.get("service_tier")
    card = prices.card(exchange.provider, exchange.model, tier if isinstance(tier, str) else "")
    most = 0
    if exchange.endpoint != EMBEDDINGS:
        cap = output_cap(body)
        count = body.get("n") if type(body.get("n")) is int else 1
        best_of = body.get("best_of") if type(body.get("best_of")) is int else 1
        most = output_bound(MODEL_MOST if cap is None else cap, max(count or 1, best_of or 1))
    text = exchange.body or b""
    return card.worst_case_usd(
        input_bound(text, body, provider=exchange.provider),
        most,
        web_searches=web_search_bound(body),
    )
