from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as GenaiUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.errors import UnknownPriceError, ValidationError
from batchata.core.usage import RateCard, Usage, rates_from_mapping, to_parts
from batchata.prices import GenaiPriceBook

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXTS: dict[str, dict[str, str] | None] = {
    "standard": None,
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
MODELS = [
    ("openai", "gpt-6-luna", ["standard", "batch", "flex", "priority"]),
    ("openai", "gpt-6-luna-2026-08-01", ["standard", "batch"]),
    ("openai", "gpt-6-sol", ["standard", "batch", "flex", "priority"]),
    ("openai", "gpt-5.4", ["standard", "batch", "flex", "priority"]),
    ("openai", "gpt-5.4-mini", ["standard", "batch", "flex", "priority"]),
    ("openai", "gpt-4.1", ["standard", "batch", "priority"]),
    ("openai", "text-embedding-3-small", ["standard"]),
    ("anthropic", "claude-haiku-5-5", ["standard", "batch"]),
    ("anthropic", "claude-sonnet-4-5", ["standard", "batch"]),
    ("anthropic", "claude-sonnet-4-5-20250929", ["standard", "batch"]),
    ("anthropic", "claude-opus-5-5", ["standard", "batch"]),
    ("google", "gemini-2.5-pro", ["standard", "batch"]),
]
USAGES = [
    Usage(input_tokens=1000, output_tokens=500),
    Usage(input_tokens=1000, output_tokens=500, cache_read_tokens=400),
    Usage(input_tokens=1000, output_tokens=7, cache_read_tokens=400, cache_write_tokens=300),
    Usage(input_tokens=900, cache_write_tokens=300, cache_write_1h_tokens=200),
    Usage(input_tokens=100_000, output_tokens=500, cache_read_tokens=5),
    Usage(input_tokens=100_001, output_tokens=500, cache_read_tokens=5),
    Usage(input_tokens=200_001, output_tokens=500, cache_write_tokens=100_001),
    Usage(input_tokens=272_000, output_tokens=500, cache_read_tokens=272_000),
    Usage(input_tokens=1_000_000, output_tokens=500, cache_read_tokens=500_000),
    Usage(input_tokens=10, output_tokens=1, web_searches=3),
]


def theirs(provider: str, model: str, tier: str, usage: Usage) -> Decimal:
    values = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "web_searches": usage.web_searches,
    }
    return calc_price(
        GenaiUsage(**{key: value for key, value in values.items() if value}),
        model,
        provider_id=provider,
        genai_request_timestamp=NOW,
        price_context=CONTEXTS[tier],
    ).total_price


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [(provider, model, tier) for provider, model, tiers in MODELS for tier in tiers],
)
def test_a_call_costs_what_the_price_data_say(provider: str, model: str, tier: str) -> None:
    card = GenaiPriceBook(at=NOW).card(provider, model, tier)

    ours = [
        card.cost_usd(usage) for usage in USAGES if not usage.web_searches or card.web_search_usd
    ]
    expected = [
        theirs(provider, model, tier, usage)
        for usage in USAGES
        if not usage.web_searches or card.web_search_usd
    ]

    assert card.is_exact
    assert ours == expected


BOOK = GenaiPriceBook(at=NOW)


def test_audio_costs_what_the_price_data_say() -> None:
    usage = Usage(1_000, 500, input_audio_tokens=600, output_audio_tokens=400)
    said = GenaiUsage(
        input_tokens=1_000, output_tokens=500, input_audio_tokens=600, output_audio_tokens=400
    )

    ours = BOOK.card("openai", "gpt-audio", "standard").cost_usd(usage)

    assert ours == calc_price(said, "gpt-audio", provider_id="openai").total_price
    most = BOOK.card("openai", "gpt-audio", "standard").worst_case(30 * 1_000, 500, speaks=True)
    assert to_parts(ours) <= most


def test_audio_of_users_prices_is_counted_and_without_them_is_text() -> None:
    prices = {"input": 1, "output": 2}
    usage = Usage(100, 100, input_audio_tokens=40, output_audio_tokens=60)

    plain = GenaiPriceBook({"m": prices}).card("openai", "m", "standard")
    dear = GenaiPriceBook({"m": {**prices, "input_audio": 11, "output_audio": 22}})

    assert plain.cost_usd(usage) == Decimal("0.0003")
    extra = Decimal(40 * 10 + 60 * 20) / 1_000_000
    assert dear.card("openai", "m", "standard").cost_usd(usage) == Decimal("0.0003") + extra


@given(
    st.sampled_from([(p, m, t) for p, m, tiers in MODELS for t in tiers]),
    st.integers(0, 400_000),
    st.integers(0, 100_000),
    st.data(),
)
def test_the_worst_case_is_never_below_what_a_call_within_it_costs(
    key: tuple[str, str, str], input_bound: int, output_bound: int, data: st.DataObject
) -> None:
    card = BOOK.card(*key)
    spent = data.draw(st.integers(0, input_bound))
    read = data.draw(st.integers(0, spent))
    write = data.draw(st.integers(0, spent - read))
    hour = data.draw(st.integers(0, write))
    usage = Usage(
        input_tokens=spent,
        output_tokens=data.draw(st.integers(0, output_bound)),
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=hour,
    )

    assert to_parts(card.cost_usd(usage)) <= card.worst_case(input_bound, output_bound)


PRICES = st.decimals(0, 1000, allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2_000_000)


@given(read=PRICES, written=PRICES, usage=st.builds(Usage, COUNTS, COUNTS), factor=PRICES)
def test_the_worst_case_is_an_upper_bound_for_prices_of_any_number_of_decimals(
    read: Decimal, written: Decimal, usage: Usage, factor: Decimal
) -> None:
    rates = rates_from_mapping("m", {"input": read, "output": written})
    card = RateCard(model="m", tier="standard", rates=rates)

    most = card.worst_case(usage.input_tokens, usage.output_tokens, factor=factor)

    assert to_parts(card.cost_usd(usage) * factor) <= most


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("openai", "text-embedding-3-small", "batch"),
        ("google", "gemini-3.5-flash", "batch"),
        ("azure", "gpt-4.1", "batch"),
        ("openai", "gpt-4.1", "flex"),
        ("anthropic", "claude-haiku-5-5", "priority"),
    ],
)
def test_a_discount_that_is_not_known_is_not_counted(provider: str, model: str, tier: str) -> None:
    book = GenaiPriceBook(at=NOW)

    card = book.card(provider, model, tier)

    assert card.rates == book.card(provider, model, "standard").rates
    assert not card.is_exact


def test_a_discount_that_had_not_begun_is_not_counted() -> None:
    card = GenaiPriceBook(at=datetime(2026, 10, 1, tzinfo=UTC)).card("openai", "gpt-6-sol", "batch")

    assert not card.is_exact
    assert card.rates.input_usd == 2


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    east = timezone(timedelta(hours=14))
    before = datetime(2026, 10, 14, 3, tzinfo=east)

    assert not GenaiPriceBook(at=before).card("openai", "gpt-6-sol", "batch").is_exact


def test_a_dearer_tier_without_a_price_is_an_error_not_the_standard_price() -> None:
    with pytest.raises(UnknownPriceError) as caught:
        GenaiPriceBook(at=NOW).card("openai", "text-embedding-3-small", "priority")

    assert "text-embedding-3-small@priority" in (caught.value.hint or "")


def test_anthropics_fast_speed_has_its_own_price() -> None:
    assert BOOK.card("anthropic", "claude-opus-5-5", "fast").rates.input_usd == 8


@pytest.mark.parametrize("tier", ["default", "auto", "", "standard_only"])
def test_every_word_for_the_standard_tier_gives_the_standard_price(tier: str) -> None:
    card = BOOK.card("openai", "gpt-6-luna", tier)

    assert card.is_exact
    assert card.rates.input_usd == Decimal("0.1")


def test_a_price_that_changes_with_the_hour_counts_at_its_highest() -> None:
    cards = [
        GenaiPriceBook(at=NOW.replace(hour=hour)).card("deepseek", "deepseek-chat", "standard")
        for hour in (0, 8, 17, 23)
    ]

    assert len({card.rates.output_usd for card in cards}) == 1


@pytest.mark.parametrize(("provider", "model"), [("openai", "no-such"), ("groq", "llama")])
def test_an_unknown_price_is_an_error_that_names_both_fixes(provider: str, model: str) -> None:
    with pytest.raises(UnknownPriceError) as caught:
        GenaiPriceBook(at=NOW).card(provider, model, "batch")

    assert f'.set_prices({{"{model}": {{"input": .., "output": ..}}}})' in (caught.value.hint or "")
    assert "allow_unpriced=True" in (caught.value.hint or "")


def test_a_model_that_is_not_sold_by_tokens_has_no_price() -> None:
    with pytest.raises(UnknownPriceError):
        GenaiPriceBook(at=NOW).card("openai", "whisper-1", "standard")


def test_an_unknown_price_may_be_allowed_and_is_then_no_exact_zero() -> None:
    card = GenaiPriceBook(allow_unpriced=True, at=NOW).card("groq", "llama", "batch")

    assert card.worst_case(10**6, 10**6) == 0
    assert not card.is_exact


@pytest.mark.parametrize(
    ("overrides", "tier", "price"),
    [
        ({"gpt-6-luna": {"input": 3}}, "batch", 3),
        ({"gpt-6-luna": {"input": 3}, "openai:gpt-6-luna": {"input": 4}}, "standard", 4),
        ({"gpt-6-luna": {"input": 3}, "gpt-6-luna@batch": {"input": 1}}, "batch", 1),
        ({"gpt-6-luna": {"input": 3}, "gpt-6-luna@batch": {"input": 1}}, "standard", 3),
        ({"azure:gpt-6-luna": {"input": 9}}, "batch", Decimal("0.05")),
    ],
)
def test_a_users_price_comes_first(
    overrides: dict[str, dict[str, Any]], tier: str, price: int | Decimal
) -> None:
    card = GenaiPriceBook(overrides, at=NOW).card("openai", "gpt-6-luna", tier)

    assert card.rates.input_usd == price
    assert card.is_exact


def test_a_users_price_that_is_no_price_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="outptu"):
        GenaiPriceBook({"m": {"input": 1, "outptu": 2}})


def test_a_card_is_looked_up_once() -> None:
    assert BOOK.card("openai", "gpt-6-sol", "batch") is BOOK.card("openai", "gpt-6-sol", "batch")


def test_the_price_data_are_imported_only_when_a_price_is_asked_for() -> None:
    code = (
        "import sys; from batchata.prices.book import GenaiPriceBook as B;"
        "B({'m': {'input': 1}}).card('x', 'm', 'batch'); sys.exit('genai_prices' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_of_ones_own_costs_nothing_unless_a_price_is_given() -> None:
    own = {"vllm:llama": {"input": 1, "output": 2}}

    assert GenaiPriceBook(at=NOW).card("vllm", "llama", "standard").worst_case(10**6, 0) == 0
    assert GenaiPriceBook(own, at=NOW).card("vllm", "llama", "batch").worst_case(1, 0) > 0
