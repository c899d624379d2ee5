"""Anthropic: messages over /v1/messages/batches."""

from __future__ import annotations

from batchata.providers.anthropic.batch import AnthropicBatch
from batchata.providers.anthropic.client import connect
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.anthropic.live import AnthropicLive
from batchata.providers.control import ProviderSettings, is_shared, patience_of
from batchata.providers.transport import Transport


class AnthropicProvider:
    """Anthropic's codec and batch API."""

    name = "anthropic"

    def __init__(self, settings: ProviderSettings) -> None:
        self.codec = AnthropicCodec()
        patience = patience_of(settings)
        self._transport = Transport(patience)
        self.batch = AnthropicBatch(
            lambda: connect(settings),
            self._transport,
            patience,
            is_shared=is_shared(settings.client),
        )
        self.live = AnthropicLive(lambda: connect(settings), self._transport, patience)

    async def aclose(self) -> None:
        """Close connections."""
        await self.batch.aclose()
        await self._transport.aclose()


def create(settings: ProviderSettings) -> AnthropicProvider:
    """The provider; the SDK is imported and the key is read at its first call."""
    return AnthropicProvider(settings)
