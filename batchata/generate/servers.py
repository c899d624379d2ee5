"""The servers of a config behind one live provider, and what they report about themselves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final

import orjson

from batchata.core.errors import (
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ValidationError,
)
from batchata.generate.config import ModelConfig
from batchata.providers.control import Patience, ProviderSettings
from batchata.providers.pool import PooledProvider, ServerPool
from batchata.providers.profiles import OPENAI, PROFILES
from batchata.providers.registry import create_provider
from batchata.providers.transport import Transport

_LISTING: Final = Patience(connecting=5.0, loading=10.0)
_MOST_BYTES: Final = 1 << 20
#: the key sent to servers that need none
_NO_KEY: Final = "EMPTY"


class Servers:
    """All servers of a config as one provider; used and closed in a single event loop."""

    def __init__(self, config: ModelConfig, timeout_seconds: float) -> None:
        self._config = config
        dialect = config.dialect
        urls: list[str | None] = [*config.url] or [None]
        self._providers = [
            create_provider(dialect, _settings(config, url, timeout_seconds)) for url in urls
        ]
        self._control = Transport(_LISTING)
        lives = {url or dialect: each.live for url, each in zip(urls, self._providers, strict=True)}
        if any(live is None for live in lives.values()):
            raise ValidationError(
                f"model.provider {dialect!r} has no live route",
                hint="name one that has, such as vllm, openai or anthropic",
            )
        self.pool = ServerPool(lives, self.probe)
        self.provider = PooledProvider(dialect, self._providers[0].codec, self.pool)

    async def probe(self, url: str) -> None:
        """Ask a server for its models; ProviderError when it does not answer."""
        if self._config.url:
            with contextlib.suppress(ProviderRejectedError):  # it is up, but lists nothing
                await self._control.head(f"{url}/models", self._headers, _MOST_BYTES)

    async def models(self, url: str) -> list[dict[str, Any]]:
        """The models that a server lists, with what it says about each."""
        data = await self._control.head(f"{url}/models", self._headers, _MOST_BYTES)
        try:
            found = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ProviderError(
                f"{url}/models is not JSON: {error}", hint="/models is added to model.url"
            ) from error
        listed = found.get("data", []) if isinstance(found, dict) else found
        return [each for each in listed if isinstance(each, dict) and "id" in each]

    async def choose_model(self) -> str:
        """The config's model, or the first one listed, once all servers that answer have it.

        Raises ProviderUnavailableError when no server can be reached.
        """
        name = self._config.name
        if not self._config.url:
            if name is None:
                raise ValidationError("model.name is missing", hint="write name: below model:")
            return name
        errors: list[str] = []
        for server in self.pool.servers:
            try:
                listed = [str(each["id"]) for each in await self.models(server.url)]
            except ProviderUnavailableError as error:
                errors.append(error.message)
                self.pool.exclude(server.url, error.message)
                continue
            except ProviderRejectedError as error:
                if name is None or error.status not in (404, 405):
                    raise
                continue  # without a list, the first answer shows whether it has the model
            name = _checked(name, listed, server.url)
        if name is None or len(errors) == len(self.pool.servers):
            raise ProviderUnavailableError(
                f"no server can be reached: {errors[0]}",
                hint="start it, or correct model.url; the same command then resumes",
            )
        return name

    @property
    def _headers(self) -> Mapping[str, str]:
        key = key_of(self._config) or _NO_KEY
        if self._config.dialect == "anthropic":
            return {"x-api-key": key, "anthropic-version": "2023-06-01", **self._config.headers}
        return {"Authorization": f"Bearer {key}", **self._config.headers}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._control.aclose()
        for each in self._providers:
            await each.aclose()


def key_of(model: ModelConfig) -> str | None:
    """The key for the servers; a vendor's own variable is never sent to any other server."""
    if model.api_key:
        return model.api_key
    if model.is_own:
        return _NO_KEY
    profile = OPENAI if model.dialect == "openai" else PROFILES.get(model.dialect)
    variable = "ANTHROPIC_API_KEY" if model.dialect == "anthropic" else profile and profile.key_env
    return os.environ.get(variable) if variable else None


def _checked(name: str | None, listed: list[str], url: str) -> str:
    if not listed:
        raise ProviderError(f"{url} lists no model", hint="is a model loaded there?")
    if name is None:
        return listed[0]
    if name not in listed:
        raise ValidationError(
            f"{url} does not have the model {name!r}",
            hint=f"it has {', '.join(listed[:8])}; write one of them as model.name",
        )
    return name


def _settings(model: ModelConfig, url: str | None, timeout: float) -> ProviderSettings:
    options = {"timeout_seconds": timeout}
    key = key_of(model)
    if url is not None and model.dialect == "anthropic":
        url = url.removesuffix("/v1")  # its SDK adds that itself
    if not model.headers:
        return ProviderSettings(api_key=key, base_url=url, options=options)
    if url is None:
        raise ValidationError(
            "model.headers are given without model.url", hint="set model.url to their server"
        )
    client: Any
    if model.dialect == "anthropic":
        import anthropic

        client = anthropic.AsyncAnthropic(api_key=key, base_url=url, default_headers=model.headers)
    else:
        import openai

        client = openai.AsyncOpenAI(api_key=key, base_url=url, default_headers=model.headers)
    return ProviderSettings(client=client, options=options)
