"""The most that a proxied call can cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import orjson

from batchata.core.audio import heard_parts, is_as_long_as_it_is_large
from batchata.core.bounds import (
    answers_asked,
    input_bound,
    output_bound,
    output_cap,
    price_factor,
    speaks,
    text_bound,
)
from batchata.core.errors import ValidationError
from batchata.core.media import context_bound
from batchata.core.request_tools import is_callers_tool, tools_of, web_search_bound
from batchata.core.usage import RateCard, Usage
from batchata.gateway.proxy.exchange import EMBEDDINGS, Exchange, vendor_path
from batchata.gateway.proxy.http.guard import SAFE
from batchata.ports import PriceBook
from batchata.prices.book import CHEAPER_TIERS
from batchata.providers.openai.codec import MODEL_MOST
from batchata.providers.profiles import PROFILES

#: POST requests that no vendor charges for
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
#: fields of a body that only give a model something to read
_ONLY_READ: Final = frozenset({"messages", "input", "system", "instructions"})

#: fields of a body that may cost more than tokens show
_TELLING: Final = frozenset(
    {"modalities", "web_search_options", "fallbacks", "models", "plugins"}
    | {"context_management", "reasoning"}
)
#: tools that a vendor runs for no fee besides the tokens that they bring
_NO_FEE: Final = ("web_fetch", "mcp", "tool_search", "programmatic_tool_calling")
#: vendors whose usage separates tokens of audio from those of text
_TELL_AUDIO: Final = frozenset({"openai", "azure"})
#: a token that is heard has more characters of base64 than this, at MP3's lowest rate of 8 kbit/s
_AUDIO_CHARACTERS: Final = 30
HEARD, SPOKEN, HEARD_AGAIN = "input_audio", "audio", "earlier_audio"


def is_free(exchange: Exchange, more: tuple[str, ...] = ()) -> bool:
    """True for a request that costs nothing, whatever is in it."""
    if exchange.method in SAFE or exchange.method == "DELETE":
        return True
    if _is_ambiguous(exchange.path):
        return False
    path, _ = vendor_path(exchange.path)
    free = any(fnmatchcase(path, pattern) for pattern in FREE_PATHS)
    return free or any(fnmatchcase(exchange.path, pattern) for pattern in more)


def tier_of(exchange: Exchange, answered: str | None = None) -> str:
    """The tier whose prices apply, by what was asked for and what the answer says."""
    body = exchange.json or {}
    if exchange.provider == "anthropic" and body.get("speed") not in (None, "standard"):
        return str(body["speed"])
    if answered:
        return answered
    asked = str(body.get("service_tier") or "standard")
    # a discount counts once the answer confirms it: the vendor may use another tier
    return "standard" if asked in CHEAPER_TIERS else asked


def names_no_tier(exchange: Exchange) -> bool:
    """True for a call that its account's own setting puts on a tier, or may after all."""
    asked = (exchange.json or {}).get("service_tier")
    return asked is None or asked == "auto" or exchange.is_on_flex


def card_of(exchange: Exchange, prices: PriceBook, tier: str | None = None) -> RateCard:
    """The prices for what a call asks, or of this tier; UnknownPriceError if there are none."""
    return prices.card(exchange.provider, exchange.model, tier or tier_of(exchange))


def tools_asked(exchange: Exchange) -> list[Any]:
    """The tools that a call names; ValidationError if they are not a list of tools."""
    try:
        return tools_of(exchange.json or {})
    except TypeError as error:
        raise _wrong_type(error) from error


def uncounted(exchange: Exchange, card: RateCard, tools: Sequence[Any]) -> list[str]:
    """What may make a call with these tools cost an unknown amount besides its tokens.

    Raises ValidationError for a field of a wrong type.
    """
    body, model = exchange.json or {}, exchange.model
    try:
        special = [each for each in tools if isinstance(each, dict) and not is_callers_tool(each)]
        is_plain = not special and _TELLING.isdisjoint(body) and "-search-" not in model
        if is_plain and not _may_hear(model, card):
            return []
        profile = PROFILES.get(exchange.provider)
        if profile is not None and profile.is_local:
            return []
        return list(dict.fromkeys(_uncounted(exchange, body, special, card)))
    except TypeError as error:
        raise _wrong_type(error) from error


def _uncounted(
    exchange: Exchange, body: Mapping[str, Any], tools: Sequence[Any], card: RateCard
) -> Iterator[str]:
    for tool in tools:
        if not _has_known_price(tool, card):
            yield str(tool.get("type")) or "tools"
    if exchange.provider == "openai" and "-search-" in exchange.model:  # it always does
        yield "web_search_options"
    # other models may answer than the one that is priced, or searches be asked for besides
    for name in ("web_search_options", "fallbacks", "models", "plugins"):
        yield from () if body.get(name) in (None, [], False) else (name,)
    kinds = body.get("modalities") or ()
    for kind in kinds:
        if kind != "text" and not (kind == SPOKEN and counts_audio(exchange, card, SPOKEN)):
            yield str(kind) or "modalities"
    if _may_hear(exchange.model, card):
        yield from _heard(exchange, body, card)
    yield from _passes(body)


def _passes(body: Mapping[str, Any]) -> Iterator[str]:
    """What makes a model read and write more than once."""
    managed = body.get("context_management")
    edits = managed.get("edits") if isinstance(managed, dict) else managed
    for edit in edits or ():
        if isinstance(edit, dict) and str(edit.get("type")).startswith("compact"):
            yield str(edit["type"])
    thinking = body.get("reasoning")
    if isinstance(thinking, dict) and thinking.get("mode") not in (None, "standard"):
        yield "reasoning.mode"


def _has_known_price(tool: Mapping[str, Any], card: RateCard) -> bool:
    """True for a tool of the vendor's that costs its tokens only, or a fee that is known."""
    kind = str(tool.get("type"))
    has_price = kind.startswith("web_search") and card.web_search_usd > 0
    return has_price or kind.startswith(_NO_FEE)


def _may_hear(model: str, card: RateCard) -> bool:
    return "audio" in model or not card.is_exact or card.rates.input_audio_usd is not None


def _heard(exchange: Exchange, body: Mapping[str, Any], card: RateCard) -> Iterator[str]:
    """The kinds of audio input whose cost has no bound here."""
    spilled = exchange.spilled
    is_unread = spilled is not None and bool(spilled.unread)
    # written anew, as JSON has many ways to write a word
    if is_unread or (b'"input_audio"' in orjson.dumps(body)):
        is_counted = counts_audio(exchange, card, HEARD) and not is_unread
        is_bounded = is_counted and all(
            is_as_long_as_it_is_large(each.get("data")) for each in heard_parts(body)
        )
        yield from () if is_bounded else (HEARD,)
    for message in body.get("messages") or ():
        if isinstance(message, dict) and message.get("audio"):  # by an id, of unknown length
            yield HEARD_AGAIN


def counts_audio(exchange: Exchange, card: RateCard, kind: str) -> bool:
    """True if usage counts audio separately, and its price is known and covered by the bound."""
    rates = card.rates
    if exchange.provider not in _TELL_AUDIO:
        return False
    if kind == SPOKEN:
        return rates.output_audio_usd is not None
    price = rates.input_audio_usd
    return price is not None and price <= rates.input_usd * _AUDIO_CHARACTERS


def uncounted_audio(exchange: Exchange, usage: Usage, card: RateCard) -> list[str]:
    """The kinds of audio in a usage without a known price."""
    told = {HEARD: usage.input_audio_tokens, SPOKEN: usage.output_audio_tokens}
    return [kind for kind, n in told.items() if n and not counts_audio(exchange, card, kind)]


def worst_case(exchange: Exchange, card: RateCard, tools: Sequence[Any]) -> int:
    """Upper bound of the price of a call with these tools, in 1e-12 USD.

    Raises ValidationError for numbers that cannot be.
    """
    body = exchange.json or {}
    most = 0
    if exchange.endpoint != EMBEDDINGS:
        most = output_bound(_answer_bound(exchange, body), answers_asked(body), body)
    try:
        read = _input_bound(exchange, body, tools)
        searches = web_search_bound(body, tools)
        is_spoken = speaks(body)
    except (TypeError, AttributeError) as error:
        raise _wrong_type(error) from error
    return card.worst_case(
        read, most, web_searches=searches, speaks=is_spoken, factor=price_factor(body)
    )


def text_worst_case(exchange: Exchange, card: RateCard) -> int | None:
    """The same for a call of nothing but texts, which has no tools; None for any other."""
    body = exchange.json or {}
    if exchange.spilled is not None or exchange.endpoint == EMBEDDINGS:
        return None
    if not _TELLING.isdisjoint(body) or "-search-" in exchange.model:
        return None
    read = text_bound(exchange.body or b"", body)
    if read is None:
        return None
    return card.worst_case(read, output_bound(_answer_bound(exchange, body)))


def _answer_bound(exchange: Exchange, body: Mapping[str, Any]) -> int:
    """The most tokens of one answer."""
    cap = output_cap(exchange.endpoint, body)
    # LM Studio and llama.cpp take -1 for no limit
    return MODEL_MOST if cap is None or cap == -1 else cap


def _wrong_type(error: Exception) -> ValidationError:
    return ValidationError(f"a field of the body has a wrong type: {error}")  # no API takes it


def _input_bound(exchange: Exchange, body: Mapping[str, Any], tools: Sequence[Any]) -> int:
    spilled = exchange.spilled
    if spilled is None:
        return input_bound(exchange.body or b"", body, provider=exchange.provider, tools=tools)
    if not spilled.unread <= _ONLY_READ:
        names = ", ".join(sorted(spilled.unread))
        raise ValidationError(
            f"of a body of {spilled.size} bytes {names} cannot be read, so its cost has no "
            "bound; see inspect_bytes"
        )
    if exchange.endpoint == EMBEDDINGS:
        return spilled.size  # no token is shorter than a byte
    # whatever the model is given to read, no more than a context counts
    hidden = input_bound(b"", body, provider=exchange.provider, tools=tools)
    return context_bound(exchange.provider) + hidden


def _is_ambiguous(path: str) -> bool:
    """True for a path that a server may take for another one."""
    return "%" in path or "//" in path or "/." in path or "\\" in path or ";" in path
