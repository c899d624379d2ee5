"""Prices of models, behind `ports.PriceBook`."""

from batchata.prices.book import GenaiPriceBook

__all__ = ["GenaiPriceBook"]
