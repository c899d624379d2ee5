"""`batchata models`: models whose prices are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchata.cli import options
from batchata.cli.output import print_json, say, stdout
from batchata.core.errors import ValidationError

if TYPE_CHECKING:
    from batchata.prices import GenaiPriceBook


def models(
    provider: Annotated[str | None, typer.Option(help="Only this provider's models.")] = None,
    search: Annotated[str | None, typer.Option(help="Only names that contain this text.")] = None,
    as_json: options.Json = False,
) -> None:
    """List models and their prices.

    In USD per million tokens. Other models work too: give their price with --prices, or
    --allow-unpriced. A dash stands where no batch price is published; the full price is
    reserved and counted then.

    Example: [bold]batchata models --provider anthropic --search haiku[/bold]
    """
    from batchata.providers.registry import provider_names

    known = sorted(provider_names())
    if provider is not None and provider not in known:
        raise ValidationError(
            f"there is no provider {provider!r}", hint=f"installed: {', '.join(known)}"
        )
    names = known if provider is None else [provider]
    found = [each for name in names for each in _models(name, (search or "").lower())]
    if as_json:
        print_json(found)
        return
    from batchata.sinks.tables import prices_table
    from batchata.sinks.wording import plural

    if found:
        stdout().print(prices_table(found))
    say(f"{plural(len(found), 'model')}; prices in USD per million tokens, from packaged data")


def _models(provider: str, search: str) -> Iterator[dict[str, Any]]:
    from genai_prices.data_snapshot import get_snapshot

    from batchata.prices import GenaiPriceBook

    book = GenaiPriceBook()
    for owner in get_snapshot().providers:
        if owner.id != provider:
            continue
        for model in owner.models:
            if search in model.id.lower() and (row := _row(book, provider, model.id)):
                yield row


def _row(book: GenaiPriceBook, provider: str, model: str) -> dict[str, Any] | None:
    from batchata.core.errors import UnknownPriceError

    try:
        plain, batch = (book.card(provider, model, tier) for tier in ("standard", "batch"))
    except UnknownPriceError:
        return None
    has_batch = plain.rates != batch.rates
    return {
        "provider": provider,
        "model": model,
        "input": float(plain.rates.input_usd),
        "output": float(plain.rates.output_usd),
        "cache_read": float(plain.rates.cache_read_usd),
        "batch_input": float(batch.rates.input_usd) if has_batch else None,
        "batch_output": float(batch.rates.output_usd) if has_batch else None,
    }
