"""Providers by name, found through entry points and imported when first used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from batchata.core.errors import ProviderNotFoundError, UnknownModelError, ValidationError
from batchata.core.models import infer_provider
from batchata.providers.adapter import AdaptedProvider
from batchata.providers.control import ProviderSettings, checked_address, patience_of
from batchata.providers.profiles import PROFILES
from batchata.providers.provider import Provider

GROUP: Final = "batchata.providers"
#: ours, so that they are there also where the package runs without being installed
_OWN: Final = {
    "openai": "batchata.providers.openai:create",
    "anthropic": "batchata.providers.anthropic:create",
}
#: from settings, or from nothing, makes what `ports.Provider` says or a Provider of six methods
Factory = Callable[..., Any]
#: what `register` was told; the one thing of this package that a process shares
_REGISTERED: Final[dict[str, Factory | Provider]] = {}


def register(name: str, factory: Factory | Provider) -> None:
    """Add a provider to this process: a Provider, or a `factory(settings)` that makes one.

    Its models are written "name:model". Raises ValidationError for the name of a built-in one.
    """
    if not name.isidentifier() or name in _ours():
        raise ValidationError(
            f"{name!r} cannot be the name of a provider",
            hint=f"use letters, digits and _, and none of {', '.join(sorted(_ours()))}",
        )
    if not callable(factory) and not isinstance(factory, Provider):
        raise ValidationError(
            f"{factory!r:.80} makes no provider",
            hint="give a Provider, or a function that takes settings and returns one",
        )
    _REGISTERED[name] = factory


def check_settings(name: str, settings: ProviderSettings) -> None:
    """Raise ValidationError for a client or an option that is of no use to our own providers."""
    if name not in _ours():
        return
    patience_of(settings)
    if settings.base_url:
        checked_address(settings.base_url)
    if settings.client is not None and not callable(getattr(settings.client, "with_options", None)):
        sdk = name if name in _OWN else "openai"
        raise ValidationError(
            f"client is a {type(settings.client).__name__}, not a client of {sdk}'s SDK",
            hint=f"give a configured client of `import {sdk}`, or api_key and base_url",
        )


def _ours() -> frozenset[str]:
    return frozenset(_OWN) | PROFILES.keys()


def provider_names() -> frozenset[str]:
    """Names of all providers of this process."""
    return _ours() | _installed().keys() | _REGISTERED.keys()


def check_model(model: object) -> None:
    """Raise ValidationError unless the provider of a model can be told from its name."""
    if not isinstance(model, str) or not model.strip():
        raise ValidationError(f"model is {model!r}, not a name", hint='write model="gpt-6-luna"')
    route(model)


def create_provider(name: str, settings: ProviderSettings | None = None) -> Any:
    """A new provider of this name; ProviderNotFoundError when there is none."""
    made = registered(name)
    if made is None:
        made = _made(_factory(name), settings or ProviderSettings())
    return AdaptedProvider(name, made) if isinstance(made, Provider) else made


def _made(factory: Factory, settings: ProviderSettings) -> Any:
    takes_settings = bool(inspect.signature(factory).parameters)
    return factory(settings) if takes_settings else factory()


def registered(name: str) -> Provider | None:
    """The Provider that was registered itself, rather than a factory of it."""
    found = _REGISTERED.get(name)
    return found if isinstance(found, Provider) else None


def route(model: str) -> tuple[str, str]:
    """Provider and bare name of a model, also by the models of registered providers.

    Raises UnknownModelError, saying what to write, when the provider is not clear.
    """
    try:
        return infer_provider(model, provider_names())
    except UnknownModelError:
        for name, each in _REGISTERED.items():
            if isinstance(each, Provider) and each.supports_model(model):
                return name, model
        raise


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _factory(name: str) -> Factory:
    found = _REGISTERED.get(name)
    if found is not None and not isinstance(found, Provider):
        return found
    point = _installed().get(name)
    if point is not None:
        loaded: Factory = point.load()
        return loaded
    if name in _OWN:
        return _own(name)
    if name in PROFILES:
        return partial(_own("openai"), profile=PROFILES[name])
    raise ProviderNotFoundError(
        f"there is no provider {name!r}",
        hint=f"there are {', '.join(sorted(provider_names()))}; "
        "others are added by batchata.providers.register()",
    )


def _own(name: str) -> Factory:
    module, _, function = _OWN[name].partition(":")
    own: Factory = getattr(import_module(module), function)
    return own
