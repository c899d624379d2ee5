"""Vendors, and how to add one: subclass `Provider` and `register` it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchata.providers.known import get_provider
    from batchata.providers.provider import ModelConfig, Provider
    from batchata.providers.registry import provider_names, register

__all__ = ["ModelConfig", "Provider", "get_provider", "provider_names", "register"]

_HOMES = {
    "ModelConfig": "provider",
    "Provider": "provider",
    "get_provider": "known",
    "provider_names": "registry",
    "register": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
