"""A vendor's SDK client, shared by all of its APIs in one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchata.providers.control import call, plain_headers


class Connection:
    """The SDK client: made at the first call, closed once; one of the user's stays open."""

    def __init__(self, connect: Callable[[], Any], *, is_shared: bool = False) -> None:
        self._connect = connect
        self._is_shared = is_shared  #: the client's connections are the user's
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The SDK client."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    @property
    def base_url(self) -> str:
        """The vendor's address, without a slash at its end."""
        return str(self.client.base_url).rstrip("/")

    @property
    def headers(self) -> dict[str, str]:
        """What the SDK client sends, key included, for calls that go past the SDK."""
        return plain_headers(self.client)

    @property
    def reading_headers(self) -> dict[str, str]:
        """The same for a request without a body."""
        return {n: v for n, v in self.headers.items() if n.lower() != "content-type"}

    async def aclose(self) -> None:
        """Close the client, unless nothing was ever asked of it."""
        if self._client is not None:
            if not self._is_shared:
                await call(self._client.close)
            self._client = None
