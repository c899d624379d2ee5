"""OpenAI, and vendors that speak its protocol: chat completions, responses and embeddings."""

from __future__ import annotations

from batchata.providers.caller import Caller
from batchata.providers.client_transport import transport_of
from batchata.providers.connection import Connection
from batchata.providers.control import ProviderSettings, is_shared, patience_of
from batchata.providers.openai.background import OpenAIBackground
from batchata.providers.openai.batch import OpenAIBatch
from batchata.providers.openai.client import connect, vendor_of
from batchata.providers.openai.codec import OpenAICodec
from batchata.providers.openai.files import OpenAIFiles
from batchata.providers.openai.live import OpenAILive
from batchata.providers.profiles import OPENAI, Profile


class OpenAIProvider:
    """The codec and the APIs of a vendor that speaks OpenAI's protocol."""

    def __init__(self, settings: ProviderSettings, profile: Profile = OPENAI) -> None:
        self.name = profile.name
        self.codec = OpenAICodec(profile)
        patience = patience_of(settings)
        self._transport = transport_of(settings)
        self._connection = Connection(
            lambda: connect(settings, profile), is_shared=is_shared(settings.client)
        )
        self.batch: OpenAIBatch | None = None
        if profile.has_batches:
            self.batch = OpenAIBatch(self._connection, self._transport, patience, profile)
        self.files: OpenAIFiles | None = None
        if profile.has_files:
            self.files = OpenAIFiles(Caller(vendor_of(profile), self._connection, patience))
        self.live = OpenAILive(self._connection, self._transport, patience)
        self.background: OpenAIBackground | None = None
        if profile.has_background:
            self.background = OpenAIBackground(self._connection, self._transport, patience)

    async def aclose(self) -> None:
        """Close connections."""
        await self._connection.aclose()
        await self._transport.aclose()


def create(settings: ProviderSettings, profile: Profile = OPENAI) -> OpenAIProvider:
    """The provider; the SDK is imported and the key is read at its first call."""
    return OpenAIProvider(settings, profile)
