"""A model's entry in the price data of genai-prices, as rates of ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from batchata.core.usage import Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

#: what a rate card can say; a price of anything else makes the card an estimate
_KNOWN: Final = frozenset(
    {
        "input_mtok",
        "output_mtok",
        "cache_read_mtok",
        "cache_write_mtok",
        "cache_write_1h_mtok",
        "web_searches_kcount",
        "storage_searches_kcount",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRates:
    """All that a rate card needs of one model on one tier."""

    rates: Rates
    long_from_tokens: int | None
    long_rates: Rates | None
    web_search_usd: Decimal
    is_exact: bool


def has_variant(model: ModelInfo, context: dict[str, str], at: datetime) -> bool:
    """True when the data really hold a price for this context at this time.

    The library answers with the standard price when it does not know the context.
    """
    return any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def model_rates(model: ModelInfo, context: dict[str, str] | None, at: datetime) -> ModelRates:
    """Rates of a model, with its long-context step; raises LookupError when it sells no tokens."""
    price, is_exact = _dearest_of_day(model, context, at)
    if _at(price, "input_mtok", 0) is None:
        raise LookupError(f"{model.id!r} is not priced by tokens")
    steps = _steps(price)
    if len(steps) > 1:
        is_exact = False
    return ModelRates(
        rates=_rates(price, 0),
        long_from_tokens=steps[0] if steps else None,
        long_rates=_rates(price, steps[-1] + 1) if steps else None,
        web_search_usd=(_at(price, "web_searches_kcount", 0) or Decimal(0)) / 1000,
        is_exact=is_exact and _KNOWN.issuperset(k for k, v in price.__dict__.items() if v),
    )


def _dearest_of_day(
    model: ModelInfo, context: dict[str, str] | None, at: datetime
) -> tuple[ModelPrice, bool]:
    """The price at `at`, or the day's highest when it changes with the hour; True: it is exact."""
    times = [at.replace(hour=hour) for hour in range(24)] if _has_hours(model) else [at]
    hours = [model.get_prices(each, context) for each in times]
    price = max(hours, key=lambda each: _at(each, "output_mtok", 0) or Decimal(0))
    return price, all(each == price for each in hours)


def _has_hours(model: ModelInfo) -> bool:
    """False when nothing but the day decides its price."""
    from genai_prices.types import StartDateConstraint

    dated = model.prices if isinstance(model.prices, list) else []
    limits = [each.constraint for each in (*dated, *(model.price_variants or ()))]
    return not all(each is None or isinstance(each, StartDateConstraint) for each in limits)


def _steps(price: ModelPrice) -> list[int]:
    starts: set[int] = set()
    for value in price.__dict__.values():
        starts.update(tier.start for tier in getattr(value, "tiers", ()))
    return sorted(starts)


def _rates(price: ModelPrice, input_tokens: int) -> Rates:
    base = _at(price, "input_mtok", input_tokens) or Decimal(0)
    write = _at(price, "cache_write_mtok", input_tokens)
    hour = _at(price, "cache_write_1h_mtok", input_tokens)
    read = _at(price, "cache_read_mtok", input_tokens)
    write = base if write is None else write
    return Rates(
        input_usd=base,
        output_usd=_at(price, "output_mtok", input_tokens) or Decimal(0),
        cache_read_usd=base if read is None else read,
        cache_write_usd=write,
        cache_write_1h_usd=write if hour is None else hour,
        input_audio_usd=_at(price, "input_audio_mtok", input_tokens),
        output_audio_usd=_at(price, "output_audio_mtok", input_tokens),
    )


def _at(price: ModelPrice, key: str, input_tokens: int) -> Decimal | None:
    """One price for a prompt of this length: the highest step passed holds for all of it."""
    value = price.__dict__.get(key)
    if value is None or isinstance(value, Decimal):
        return value
    for tier in reversed(value.tiers):
        if input_tokens > tier.start:
            step: Decimal = tier.price
            return step
    base: Decimal = value.base
    return base
