"""The keys of clients whose calls are held, in memory only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from batchata.gateway.client_keys import ClientKeys
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.headers import by_name
from batchata.gateway.proxy.http.upstreams import KEY_HEADERS, Upstream


class HeldKeys:
    """The keys known now, without which a client's calls cannot be sent."""

    def __init__(self) -> None:
        self._keys = ClientKeys()
        self._changed = asyncio.Event()

    def remember(self, exchange: Exchange) -> str:
        """Keep the key of a call for all calls of its client, and return the client's name.

        The name is empty if the key is the gateway's own.
        """
        found = by_name(exchange.headers)
        keys = {name: found[name] for name in KEY_HEADERS if found.get(name)}
        own = by_name(exchange.upstream.with_key(()))
        owner = "" if own and own.items() <= keys.items() else exchange.client
        if self._keys.remember(owner, keys):
            self._changed.set()
            self._changed = asyncio.Event()
        return owner

    def of(self, owner: str, upstream: Upstream) -> Mapping[str, str] | None:
        """The headers with a client's key; None until it makes a call."""
        own = {} if owner else by_name(upstream.with_key(()))
        return own or self._keys.of(owner)

    async def wait(self, ending: asyncio.Future[None], seconds: float) -> None:
        """Wait for a new key, for at most `seconds`, and not beyond `ending`."""
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait(
                (changed, ending), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
