"""Anthropic: messages over /v1/messages/batches."""

from __future__ import annotations

from batchata.providers.anthropic.batch import AnthropicBatch
from batchata.providers.anthropic.client import VENDOR, connect
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.anthropic.files import AnthropicFiles
from batchata.providers.anthropic.live import AnthropicLive
from batchata.providers.caller import Caller
from batchata.providers.client_transport import transport_of
from batchata.providers.connection import Connection
from batchata.providers.control import ProviderSettings, is_shared, patience_of


class AnthropicProvider:
    """Anthropic's codec and batch API."""

    name = "anthropic"

    def __init__(self, settings: ProviderSettings) -> None:
        self.codec = AnthropicCodec()
        patience = patience_of(settings)
        self._transport = transport_of(settings)
        self._connection = Connection(
            lambda: connect(settings), is_shared=is_shared(settings.client)
        )
        self.batch = AnthropicBatch(self._connection, self._transport, patience)
        self.files = AnthropicFiles(Caller(VENDOR, self._connection, patience))
        self.background = None
        self.live = AnthropicLive(self._connection, self._transport, patience)

    async def aclose(self) -> None:
        """Close connections."""
        await self._connection.aclose()
        await self._transport.aclose()


def create(settings: ProviderSettings) -> AnthropicProvider:
    """The provider; the SDK is imported and the key is read at its first call."""
    return AnthropicProvider(settings)
