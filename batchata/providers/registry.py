"""Providers by name, found through entry points and imported when first used."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from batchata.core.errors import ProviderNotFoundError
from batchata.providers.control import ProviderSettings

GROUP = "batchata.providers"
#: ours, so that they are there also where the package runs without being installed
_OWN = {
    "openai": "batchata.providers.openai:create",
    "anthropic": "batchata.providers.anthropic:create",
}


def provider_names() -> frozenset[str]:
    """Names of all installed providers."""
    return frozenset(_OWN) | {point.name for point in entry_points(group=GROUP)}


def create_provider(name: str, settings: ProviderSettings | None = None) -> Any:
    """A new provider of this name; ProviderNotFoundError when none is installed."""
    factory = _factory(name)
    return factory(settings or ProviderSettings())


def _factory(name: str) -> Any:
    for point in entry_points(group=GROUP, name=name):
        return point.load()
    if name in _OWN:
        from importlib import import_module

        module, _, function = _OWN[name].partition(":")
        return getattr(import_module(module), function)
    raise ProviderNotFoundError(
        f"there is no provider {name!r}", hint=f"installed: {', '.join(sorted(provider_names()))}"
    )
