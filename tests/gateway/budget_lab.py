"""Gateways with a limit, and what is used of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from batchata.core.usage import from_parts
from batchata.gateway import Gateway
from batchata.prices import GenaiPriceBook
from batchata.stores.spending import TOTAL, SpendFile

GPT, CLAUDE = "gpt-6-luna", "claude-haiku-5-5"
BOOK = GenaiPriceBook()


def limited(url: str, state: Path, limit_usd: float, **options: Any) -> Gateway:
    """A gateway with this limit."""
    budget = {"limit_usd": limit_usd, "state": str(state), **options}
    return Gateway(url, config={"interceptors": [{"type": "budget", "config": budget}]})


def used_usd(state: Path) -> Decimal:
    """What a state file says is spent, or may be."""
    ledger = SpendFile(state)
    try:
        return from_parts(ledger.read(*TOTAL).most)
    finally:
        ledger.close()
