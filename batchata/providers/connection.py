"""A vendor's SDK client, shared by all of its APIs in one run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from batchata.providers.control import call, plain_headers


class Connection:
    """The SDK client: made at the first call, closed once; one of the user's stays open."""

    def __init__(self, connect: Callable[[], Any], *, is_shared: bool = False) -> None:
        self._connect = connect
        self._is_shared = is_shared  #: the client's connections are the user's
        self._client: Any = None
        self._login: dict[str, str] = {}  #: of a client that has no key

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

    async def has_new_key(self) -> bool:
        """Fetch the current key for a client that asks for one at each call, as cloud logins do.

        False for a client whose key stays the same.
        """
        client = self.client
        if getattr(client, "_azure_ad_token_provider", None) is not None:
            token = await call(client._get_azure_ad_token)
            self._login = {"authorization": f"Bearer {token}"}
        elif getattr(client, "_api_key_provider", None) is not None:
            await call(client._refresh_api_key)
        elif getattr(client, "_token_cache", None) is not None:
            self._login = await _signed(client)
        else:
            return False
        return True

    @property
    def files_url(self) -> str:
        """The address of files: beside the deployment where the client's address names one."""
        return self.base_url.partition("/deployments/")[0]

    @property
    def names_deployments(self) -> bool:
        """True where the path of a live call names the model, as that of Azure's older client."""
        return hasattr(self.client, "_azure_deployment") and self.files_url == self.base_url

    @property
    def query(self) -> str:
        """The parameters that the client adds to each address, as Azure's version; or nothing."""
        added = getattr(self.client, "default_query", None)
        return f"?{self.client.qs.stringify(dict(added))}" if added else ""

    @property
    def headers(self) -> dict[str, str]:
        """What the SDK client sends, key included, for calls that go past the SDK."""
        said = plain_headers(self.client)
        return {n: v for n, v in said.items() if n.lower() not in self._login} | self._login

    @property
    def reading_headers(self) -> dict[str, str]:
        """The same for a request without a body."""
        return {n: v for n, v in self.headers.items() if n.lower() != "content-type"}

    async def aclose(self) -> None:
        """Close the client if it was ever used."""
        if self._client is not None:
            if not self._is_shared:
                await call(self._client.close)
            self._client = None


async def _signed(client: Any) -> dict[str, str]:
    """The headers that an Anthropic client's login adds to a call."""
    request = client._client.build_request("GET", client.base_url, headers=plain_headers(client))
    if inspect.iscoroutinefunction(client.close):
        async for _ in client.custom_auth.async_auth_flow(request):
            break
    else:
        await asyncio.to_thread(next, client.custom_auth.sync_auth_flow(request))
    names = ("authorization", "anthropic-beta")
    return {name: request.headers[name] for name in names if name in request.headers}
