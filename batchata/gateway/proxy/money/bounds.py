"""The most that a proxied call can cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

from batchata.core.bounds import (
    answers_asked,
    input_bound,
    output_bound,
    output_cap,
    price_factor,
    web_search_bound,
)
from batchata.core.errors import ValidationError
from batchata.core.media import context_bound
from batchata.gateway.proxy.exchange import EMBEDDINGS, Exchange
from batchata.gateway.proxy.http.guard import SAFE
from batchata.ports import PriceBook
from batchata.prices.book import CHEAPER_TIERS
from batchata.providers.openai.codec import MODEL_MOST

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
#: fields of a body that a model is given to read, and that ask for nothing else
_ONLY_READ: Final = frozenset({"messages", "input", "system", "instructions"})


def is_free(exchange: Exchange, more: tuple[str, ...] = ()) -> bool:
    """True for a request that costs nothing whatever it says."""
    if exchange.method in SAFE or exchange.method == "DELETE":
        return True
    if _is_ambiguous(exchange.path):
        return False
    return any(fnmatchcase(exchange.path, pattern) for pattern in (*FREE_PATHS, *more))


def tier_of(exchange: Exchange, answered: str | None = None) -> str:
    """The tier whose prices hold, by what was asked and what the answer says of it."""
    body = exchange.json or {}
    if exchange.provider == "anthropic" and body.get("speed") not in (None, "standard"):
        return str(body["speed"])
    asked = str(body.get("service_tier") or "standard")
    # a discount holds once the answer says so: the vendor may take another tier
    return answered or ("standard" if asked in CHEAPER_TIERS else asked)


def worst_case_usd(exchange: Exchange, prices: PriceBook) -> Decimal:
    """Upper bound of a call's price in USD.

    Raises UnknownPriceError for a model without a price, ValidationError for numbers that cannot
    be.
    """
    body = exchange.json or {}
    card = prices.card(exchange.provider, exchange.model, tier_of(exchange))
    most = 0
    if exchange.endpoint != EMBEDDINGS:
        cap = output_cap(exchange.endpoint, body)
        most = output_bound(MODEL_MOST if cap is None else cap, answers_asked(body))
    try:
        read = _input_bound(exchange, body)
        searches = web_search_bound(body)
    except (TypeError, AttributeError) as error:  # no API takes such a body
        raise ValidationError(f"a field of the body has a wrong type: {error}") from error
    return card.worst_case_usd(read, most, web_searches=searches) * price_factor(body)


def _input_bound(exchange: Exchange, body: Mapping[str, Any]) -> int:
    spilled = exchange.spilled
    if spilled is None:
        return input_bound(exchange.body or b"", body, provider=exchange.provider)
    if not spilled.unread <= _ONLY_READ:
        names = ", ".join(sorted(spilled.unread))
        raise ValidationError(
            f"of a body of {spilled.size} bytes {names} cannot be read, so that its cost has no "
            "bound; see inspect_bytes"
        )
    if exchange.endpoint == EMBEDDINGS:
        return spilled.size  # no token is shorter than a byte
    # whatever the model is given to read, it is no more than a context holds
    return context_bound(exchange.provider) + input_bound(b"", body, provider=exchange.provider)


def _is_ambiguous(path: str) -> bool:
    """True for a path that a server may take for another one."""
    return "%" in path or "//" in path or "/." in path or "\\" in path or ";" in path
