"""Calls through the HTTP client that a user gave their SDK client: its proxy, its certificates."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import OutcomeUnknownError, ProviderUnavailableError
from batchata.providers.control import Patience, ProviderSettings, patience_of
from batchata.providers.transport import PIECE, Reply, Transport, refusal, shown

#: clients that the SDKs make for themselves
_SDKS_OWN: Final = ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper")
#: live calls of a sync client: each waits in a thread
_MOST_THREADS: Final = 64
_NEVER_LEFT: Final = ("ConnectError", "ConnectTimeout", "PoolTimeout")


def transport_of(settings: ProviderSettings) -> Transport:
    """The way past the SDK: through the user's HTTP client where there is one, else our own."""
    patience = patience_of(settings)
    http = getattr(settings.client, "_client", None)
    if http is None or type(http).__name__ in _SDKS_OWN or not hasattr(http, "build_request"):
        return Transport(patience)
    return ClientTransport(http, patience)


class ClientTransport(Transport):
    """The calls of a Transport, by an httpx client of the user's, sync or async; never closed."""

    def __init__(self, http: Any, patience: Patience) -> None:
        super().__init__(patience)
        self._http = http
        self._patience = patience
        self._is_async = inspect.iscoroutinefunction(http.send)
        self._errors = _errors_of(http)
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="batchata-client")

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float | None = None
    ) -> Reply:
        """Send `body` and read the whole answer, whatever its status; raises as a Transport."""
        try:
            return await self._asked("POST", url, headers, seconds, body)
        except self._errors as error:
            said = f"{shown(url)} did not answer: {type(error).__name__}: {error}"
            if type(error).__name__ in _NEVER_LEFT:
                raise ProviderUnavailableError(said) from error
            raise OutcomeUnknownError(said) from error

    async def get(
        self, url: str, headers: Mapping[str, str], *, seconds: float | None = None
    ) -> Reply:
        """Read a short answer whole; raises as a Transport."""
        with self._told(url):
            reply = await self._asked("GET", url, headers, seconds)
        if reply.status != 200:
            raise refusal(reply.status, reply.headers, reply.body, url, has_key=bool(headers))
        return reply

    async def head(self, url: str, headers: Mapping[str, str], size: int = 65_536) -> bytes:
        """The first bytes of `url`; the rest is not fetched."""
        found = bytearray()
        with self._told(url):
            async with self._pieces(url, headers) as pieces:
                while len(found) < size and (piece := await pieces()):
                    found += piece
        return bytes(found[:size])

    async def _stream(self, url: str, headers: Mapping[str, str], part: Path) -> int:
        size = 0
        with self._told(url):
            async with self._pieces(url, headers) as pieces:
                with part.open("wb") as file:
                    while piece := await pieces():
                        size += file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
        return size

    async def _asked(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        seconds: float | None,
        body: bytes | None = None,
    ) -> Reply:
        request = self._request(method, url, headers, seconds, body)
        # a POST that is sent on elsewhere is another call
        follows = method == "GET"
        response = await self._called(self._http.send, request, follow_redirects=follows)
        return Reply(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def _pieces(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Any]:
        """A function that returns the next piece of a download, empty at its end."""
        request = self._request("GET", url, headers)
        response = await self._called(self._http.send, request, stream=True)
        try:
            if response.status_code != 200:
                body = await self._called(response.aread if self._is_async else response.read)
                raise refusal(
                    response.status_code, response.headers, body[:2000], url, has_key=bool(headers)
                )
            if self._is_async:
                there = response.aiter_bytes(PIECE)
                yield lambda: anext(there, b"")
            else:
                left = response.iter_bytes(PIECE)
                yield lambda: self._in_thread(partial(next, left, b""))
        finally:
            await self._called(response.aclose if self._is_async else response.close)

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        seconds: float | None = None,
        body: bytes | None = None,
    ) -> Any:
        waits = seconds or self._patience.loading
        return self._http.build_request(
            method,
            url,
            headers=dict(headers),
            content=body,
            timeout=(self._patience.connecting, waits, waits, waits),
        )

    async def _called(self, method: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        if self._is_async:
            return await method(*args, **kw)
        return await self._in_thread(partial(method, *args, **kw))

    def _in_thread(self, method: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, method)

    @contextmanager
    def _told(self, url: str) -> Iterator[None]:
        """Errors of the client on the way as ours."""
        try:
            yield
        except self._errors as error:
            raise ProviderUnavailableError(
                f"{shown(url)} cannot be read: {type(error).__name__}: {error}"
            ) from error

    async def aclose(self) -> None:
        """End the threads; the connections belong to the user."""
        self._threads.shutdown(wait=False)


def _errors_of(http: Any) -> tuple[type[Exception], ...]:
    """The errors that the client's library, httpx or httpx2, raises."""
    roots = {each.__module__.partition(".")[0] for each in type(http).__mro__}
    modules = [sys.modules[name] for name in ("httpx", "httpx2") if name in roots]
    return tuple(each for module in modules for each in (module.HTTPError, module.StreamError))
