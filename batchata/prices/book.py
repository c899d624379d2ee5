"""Dated prices from the packaged data of genai-prices; a user's own prices come first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from batchata.core.errors import UnknownPriceError
from batchata.core.usage import RateCard, Rates, rates_from_mapping
from batchata.prices.rates import has_variant, model_rates
from batchata.providers.profiles import PROFILES

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

#: words by which vendors say that nothing special holds
STANDARD_TIERS: Final = frozenset(
    {"", "standard", "default", "auto", "on_demand", "standard_only", "scale"}
)
#: tiers that never cost more than the standard one
CHEAPER_TIERS: Final = frozenset({"batch", "flex"})
#: vendors whose "priority" is bought beforehand and not priced by the call
_PREPAID_PRIORITY: Final = frozenset({"anthropic"})
_ZERO: Final = Decimal(0)
_FREE: Final = Rates(
    input_usd=_ZERO,
    output_usd=_ZERO,
    cache_read_usd=_ZERO,
    cache_write_usd=_ZERO,
    cache_write_1h_usd=_ZERO,
)


class GenaiPriceBook:
    """Prices per model and tier, kept once found; never reaches for the network.

    `overrides` are by "provider:model" or "model", and by "model@tier" for one tier only.
    A discount counts only where its price is known; else the full price holds, marked inexact.
    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        allow_unpriced: bool = False,
        at: datetime | None = None,
    ) -> None:
        self._overrides = {
            name: rates_from_mapping(name, prices) for name, prices in (overrides or {}).items()
        }
        self._allow_unpriced = allow_unpriced
        self._at = at
        self._cards: dict[tuple[str, str, str], RateCard] = {}

    def card(self, provider: str, model: str, tier: str) -> RateCard:
        """Prices of a model on a tier; UnknownPriceError without one."""
        key = (provider, model, tier)
        found = self._cards.get(key)
        if found is None:
            found = self._own(*key) or self._local(*key) or self._packaged(*key)
            self._cards[key] = found
        return found

    def _own(self, provider: str, model: str, tier: str) -> RateCard | None:
        names = (f"{provider}:{model}", model)
        for name in (*(f"{each}@{tier}" for each in names), *names):
            rates = self._overrides.get(name)
            if rates is not None:
                return RateCard(model=model, tier=tier, rates=rates)
        return None

    def _local(self, provider: str, model: str, tier: str) -> RateCard | None:
        """Tokens of a server of the user's own cost nothing, unless prices say otherwise."""
        profile = PROFILES.get(provider)
        if profile is None or not profile.is_local:
            return None
        return RateCard(model=model, tier=tier, rates=_FREE)

    def _packaged(self, provider: str, model: str, tier: str) -> RateCard:
        info = _find(provider, model)
        if info is None:
            return self._unpriced(provider, model, tier)
        at = (self._at or datetime.now(UTC)).astimezone(UTC)
        context = _context(provider, tier)
        is_known = context is None or has_variant(info, context, at)
        if not (is_known or self._allow_unpriced or _is_no_dearer(provider, tier)):
            return self._unpriced(provider, model, tier)
        try:
            found = model_rates(info, context if is_known else None, at)
        except LookupError:
            return self._unpriced(provider, model, tier)
        return RateCard(
            model=model,
            tier=tier,
            rates=found.rates,
            long_from_tokens=found.long_from_tokens,
            long_rates=found.long_rates,
            web_search_usd=found.web_search_usd,
            is_exact=found.is_exact and is_known,
        )

    def _unpriced(self, provider: str, model: str, tier: str) -> RateCard:
        if self._allow_unpriced:
            return RateCard(model=model, tier=tier, rates=_FREE, is_exact=False)
        name = model if tier in STANDARD_TIERS | CHEAPER_TIERS else f"{model}@{tier}"
        raise UnknownPriceError(
            f"no price is known for {model!r} of {provider!r} on tier {tier!r}",
            hint=f'write .set_prices({{"{name}": {{"input": .., "output": ..}}}}) '
            "in USD per million tokens, or allow_unpriced=True to count it as free",
        )


def _is_no_dearer(provider: str, tier: str) -> bool:
    """True when the tier never costs more than the standard price."""
    return tier in CHEAPER_TIERS or (tier == "priority" and provider in _PREPAID_PRIORITY)


def _context(provider: str, tier: str) -> dict[str, str] | None:
    """The words of the price data for a tier; None for the standard one."""
    if tier in STANDARD_TIERS:
        return None
    if tier == "batch":
        return {"processing": "batch"}
    if provider == "anthropic" and tier == "fast":
        return {"speed": "fast"}
    return {"service_tier": tier}


def _find(provider: str, model: str) -> ModelInfo | None:
    # 0.2 s and 35 MB: only when a price is asked for
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    try:
        owner, info = snapshot.find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    if any(info is each for each in owner.models):
        return info
    # borrowed from another vendor: its discounts are not this one's
    return replace(info, price_variants=None)
