"""Vendors, and how to add one: subclass `Provider` and `register` it."""

from typing import TYPE_CHECKING

from batchata.core.lazy import lazy_exports

if TYPE_CHECKING:
    from batchata.providers.provider import ModelConfig, Provider
    from batchata.providers.registry import provider_names, register
    from batchata.providers.vendor_provider import get_provider

__all__ = ["ModelConfig", "Provider", "get_provider", "provider_names", "register"]

_HOMES = {
    "ModelConfig": ".provider",
    "Provider": ".provider",
    "get_provider": ".vendor_provider",
    "provider_names": ".registry",
    "register": ".registry",
}


__getattr__ = lazy_exports(__name__, _HOMES)
