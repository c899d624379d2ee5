"""OpenAI: chat completions, responses and embeddings over /v1/batches."""

from __future__ import annotations

from batchata.providers.control import ProviderSettings, is_shared, patience_of
from batchata.providers.openai.batch import OpenAIBatch
from batchata.providers.openai.client import connect
from batchata.providers.openai.codec import OpenAICodec
from batchata.providers.openai.live import OpenAILive
from batchata.providers.transport import Transport


class OpenAIProvider:
    """OpenAI's codec and batch API."""

    name = "openai"

    def __init__(self, settings: ProviderSettings) -> None:
        self.codec = OpenAICodec()
        patience = patience_of(settings)
        self._transport = Transport(patience)
        self.batch = OpenAIBatch(
            lambda: connect(settings),
            self._transport,
            patience,
            is_shared=is_shared(settings.client),
        )
        self.live = OpenAILive(lambda: connect(settings), self._transport, patience)

    async def aclose(self) -> None:
        """Close connections."""
        await self.batch.aclose()
        await self._transport.aclose()


def create(settings: ProviderSettings) -> OpenAIProvider:
    """The provider; the SDK is imported and the key is read at its first call."""
    return OpenAIProvider(settings)
