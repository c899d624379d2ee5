"""What a call used, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import Final

import msgspec

from batchata.core.errors import ValidationError

#: money on disk is a whole number of these parts of a dollar, so that sums are exact
_PARTS: Final = Decimal(10**12)
_PART: Final = 1 / _PARTS
_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_MILLION: Final = Decimal(1_000_000)
_MOST_TOKENS: Final = (1 << 28) - 1


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call: input includes cached and written, output includes reasoning.

    A msgspec struct because one is made for every answer: a fifth of a dataclass's cost.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    #: the part of `cache_write_tokens` kept for an hour (Anthropic `ttl="1h"`)
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    input_audio_tokens: int = 0  #: the part of `input_tokens` that was heard
    output_audio_tokens: int = 0  #: the part of `output_tokens` that was spoken

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            self.web_searches + other.web_searches,
            self.input_audio_tokens + other.input_audio_tokens,
            self.output_audio_tokens + other.output_audio_tokens,
        )


def plausible(usage: Usage) -> Usage | None:
    """The usage, or None where a number in it cannot be a count of tokens."""
    # the bits of all of them: a negative number if one is, and no less than the largest
    bits = usage.input_tokens | usage.output_tokens | usage.reasoning_tokens | usage.web_searches
    bits |= usage.cache_read_tokens | usage.cache_write_tokens | usage.cache_write_1h_tokens
    bits |= usage.input_audio_tokens | usage.output_audio_tokens
    return usage if 0 <= bits <= _MOST_TOKENS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Prices in USD per one million tokens, as vendors print them."""

    input_usd: Decimal
    output_usd: Decimal
    cache_read_usd: Decimal
    cache_write_usd: Decimal
    cache_write_1h_usd: Decimal
    input_audio_usd: Decimal | None = None  #: None: no price is known for what is heard
    output_audio_usd: Decimal | None = None  #: None: no price is known for what is spoken
    most_read: int = field(init=False)  #: the most that a token of input can cost (1e-12 USD)
    most_written: int = field(init=False)  #: and one of output, unless it is spoken
    most_spoken: int = field(init=False)

    def __post_init__(self) -> None:
        inputs = self.input_usd, self.cache_read_usd, self.cache_write_usd, self.cache_write_1h_usd
        spoken = max(self.output_usd, self.output_audio_usd or _ZERO)
        object.__setattr__(self, "most_read", to_parts(max(inputs) / _MILLION))
        object.__setattr__(self, "most_written", to_parts(self.output_usd / _MILLION))
        object.__setattr__(self, "most_spoken", to_parts(spoken / _MILLION))

    def audio_extra_usd(self, usage: Usage) -> Decimal:
        """What audio costs more than as many tokens of text, in USD per million; never less.

        Heard tokens that were cached are counted at the full price, as vendors do not tell them
        apart.
        """
        heard = (self.input_audio_usd or self.input_usd) - self.input_usd
        spoken = (self.output_audio_usd or self.output_usd) - self.output_usd
        extra = max(heard, _ZERO) * usage.input_audio_tokens
        return extra + max(spoken, _ZERO) * usage.output_audio_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """The prices of one model on one tier, with its long-context step if it has one."""

    model: str
    tier: str
    rates: Rates
    #: prompts of more input tokens than this pay `long_rates` for the whole request
    long_from_tokens: int | None = None
    long_rates: Rates | None = None
    web_search_usd: Decimal = Decimal(0)
    #: False when a discount was assumed or left out because no exact price is known
    is_exact: bool = True

    def rates_for(self, input_tokens: int) -> Rates:
        """Rates that hold for a request of this many input tokens."""
        if self.long_rates and self.long_from_tokens and input_tokens > self.long_from_tokens:
            return self.long_rates
        return self.rates

    def cost_usd(self, usage: Usage) -> Decimal:
        """Price of a call, in USD."""
        rates = self.rates_for(usage.input_tokens)
        read, write = usage.cache_read_tokens, usage.cache_write_tokens
        cost = rates.output_usd * usage.output_tokens
        if read or write:
            hour = usage.cache_write_1h_tokens
            plain = max(0, usage.input_tokens - read - write)
            cost += rates.input_usd * plain + rates.cache_read_usd * read
            cost += rates.cache_write_usd * (write - hour) + rates.cache_write_1h_usd * hour
        else:
            cost += rates.input_usd * usage.input_tokens
        if usage.input_audio_tokens or usage.output_audio_tokens:
            cost += rates.audio_extra_usd(usage)
        cost /= _MILLION
        if usage.web_searches:
            cost += self.web_search_usd * usage.web_searches
        return cost

    def worst_case(
        self,
        input_bound: int,
        output_bound: int,
        *,
        web_searches: int = 0,
        speaks: bool = False,
        factor: Decimal = _ONE,
    ) -> int:
        """Upper bound of the price of a call, in 1e-12 USD: dearest input, all of the output.

        `speaks`: the answer may be audio. `factor`: what all prices are multiplied by.
        """
        rates, long = self.rates, self.long_rates
        read, written = rates.most_read, rates.most_spoken if speaks else rates.most_written
        if long and self.long_from_tokens and input_bound > self.long_from_tokens:
            read, written = max(read, long.most_read), max(written, long.most_written)
        cost = read * input_bound + written * output_bound
        if web_searches:
            cost += to_parts(self.web_search_usd) * web_searches
        return cost if factor == _ONE else ceil(cost * factor)


def to_parts(usd: Decimal) -> int:
    """USD as a whole number of 1e-12 dollars, rounded up."""
    return ceil(usd * _PARTS)


def from_parts(parts: int) -> Decimal:
    """USD of a whole number of 1e-12 dollars, without zeros at its end."""
    return (parts * _PART).normalize() + 0  # without the sum, a hundred would be 1E+2


def rates_from_mapping(name: str, prices: Mapping[str, object]) -> Rates:
    """Rates from a user's mapping: `input`, `output`, `cache_read`, `cache_write` and others."""
    known = {"input", "output", "cache_read", "cache_write", "cache_write_1h"}
    known |= {"input_audio", "output_audio"}
    for key in prices:
        if key not in known:
            raise ValidationError(
                f"price of {name!r} has an unknown key {key!r}",
                hint=f"use {', '.join(sorted(known))} (USD per million tokens)",
            )
    if "input" not in prices:
        raise ValidationError(
            f"price of {name!r} has no 'input'",
            hint='write {"input": 0.10, "output": 0.50} (USD per million tokens)',
        )
    values = {key: _price(name, key, value) for key, value in prices.items()}
    base = values["input"]
    write = values.get("cache_write", base)
    return Rates(
        input_usd=base,
        output_usd=values.get("output", Decimal(0)),
        cache_read_usd=values.get("cache_read", base),
        cache_write_usd=write,
        cache_write_1h_usd=values.get("cache_write_1h", write),
        input_audio_usd=values.get("input_audio"),
        output_audio_usd=values.get("output_audio"),
    )


def _price(name: str, key: str, value: object) -> Decimal:
    is_number = isinstance(value, (int, float, str, Decimal)) and not isinstance(value, bool)
    try:
        price = Decimal(str(value)) if is_number else None
    except ArithmeticError:
        price = None
    if price is None:
        raise ValidationError(
            f"price {key!r} of {name!r} is {value!r}, not a number",
            hint="give USD per million tokens, as 0.5 or Decimal('0.5')",
        )
    if not price.is_finite() or price < 0:
        raise ValidationError(
            f"price {key!r} of {name!r} is {value!r}", hint="prices are zero or more"
        )
    return price
