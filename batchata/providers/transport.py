"""The hot path to a vendor: large bodies go between the network and the disk in small pieces."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp

from batchata.core.errors import (
    AccountStoppedError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ResultsError,
)
from batchata.core.result import Failure
from batchata.disk.atomic import atomic_file
from batchata.providers.control import Patience
from batchata.providers.failures import (
    MEND_ACCOUNT,
    error_words,
    is_account_stop,
    item_failure,
    moved_words,
    retry_after_seconds,
)

PIECE = 256 * 1024
#: a connection that nobody uses is closed by us before a server does it, as many do after 5 s: a
#: call that leaves in that very moment is lost, and nobody can tell whether it was taken
_IDLE_SECONDS = 3.0


def reason(error: Exception) -> str:
    """Why a connection failed: in the system's words where it was the system that said no."""
    cause = getattr(error, "os_error", None)
    if isinstance(cause, socket.gaierror):
        return str(cause.strerror)
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
        return os.strerror(cause.errno)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Reply(NamedTuple):
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_refusal(reply: Reply, id_header: str) -> Failure:
    """A refused call in our words; `id_header` is how its vendor names calls."""
    code, said = moved_words(reply.status, reply.headers) or error_words(reply.body)
    return item_failure(
        status=reply.status,
        code=code,
        message=f"{reply.status}: {said}",
        request_id=reply.headers.get(id_header),
    )


class Transport:
    """One pooled HTTP session; opened at the first call, on the loop of that call."""

    def __init__(self, patience: Patience | None = None) -> None:
        patience = patience or Patience()
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=patience.connecting, sock_read=patience.loading
        )
        self._limits: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None

    async def download(self, url: str, headers: Mapping[str, str], path: Path) -> int:
        """Stream `url` to `path`, whole or not at all; the number of bytes.

        Raises ProviderUnavailableError when the connection or the vendor fails on the way,
        ProviderRejectedError when the vendor says no (AccountStoppedError to the key that was
        sent), ResultsError when the disk does.
        """
        try:
            with atomic_file(path) as part:
                return await self._stream(url, headers, part)
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            raise ProviderUnavailableError(
                f"the download of {shown(url)} broke off: {reason(error)}"
            ) from error
        except OSError as error:
            raise ResultsError(
                f"the answers cannot be written to {str(path)!r}: {error.strerror or error}",
                hint="free some space and run again: the vendor keeps the answers for weeks",
            ) from error

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float | None = None
    ) -> Reply:
        """Send `body` and read the whole answer, whatever its status.

        Keys go to no other address than `url`: it is not followed to where it says it has moved.

        Raises ProviderUnavailableError when the request surely never left, OutcomeUnknownError
        when the vendor may have taken it.
        """
        session = self._open()
        timeout = self._timeout if seconds is None else self._within(seconds)
        try:
            data = body if len(body) < PIECE else BytesIO(body)  # large ones go in pieces
            async with session.post(
                url, data=data, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await response.read())
        except aiohttp.InvalidURL as error:
            raise ProviderRejectedError(
                f"{url!r} is not an address that can be called", hint="mend the base_url"
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ProviderUnavailableError(
                f"{shown(url)} cannot be reached: {reason(error)}"
            ) from error
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            raise OutcomeUnknownError(
                f"the answer of {shown(url)} was lost: {reason(error)}"
            ) from error

    def _within(self, seconds: float) -> aiohttp.ClientTimeout:
        """The time-out for a whole call; kept, as all calls of a run have the same."""
        found = self._limits.get(seconds)
        if found is None:
            connecting = self._timeout.sock_connect
            found = aiohttp.ClientTimeout(total=seconds, sock_connect=connecting)
            self._limits[seconds] = found
        return found

    async def get(
        self, url: str, headers: Mapping[str, str], *, seconds: float | None = None
    ) -> Reply:
        """Read a short answer whole; ProviderUnavailableError when none comes.

        Raises like `download` for an answer that is not 200.
        """
        timeout = self._timeout if seconds is None else aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._open().get(url, headers=headers, timeout=timeout) as response:
                if response.status != 200:
                    raise await _refused(response, url, has_key=bool(headers))
                return Reply(response.status, response.headers, await response.read())
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            raise ProviderUnavailableError(
                f"{shown(url)} cannot be read: {reason(error)}"
            ) from error

    async def head(self, url: str, headers: Mapping[str, str], size: int = 65_536) -> bytes:
        """The first bytes of `url`; the rest is not fetched."""
        try:
            async with self._open().get(url, headers=dict(headers)) as response:
                if response.status != 200:
                    raise await _refused(response, url, has_key=bool(headers))
                return await response.content.readexactly(size)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            raise ProviderUnavailableError(
                f"{shown(url)} cannot be read: {reason(error)}"
            ) from error

    async def _stream(self, url: str, headers: Mapping[str, str], part: Path) -> int:
        session = self._open()
        size = 0
        async with session.get(url, headers=dict(headers)) as response:
            if response.status != 200:
                raise await _refused(response, url, has_key=bool(headers))
            with part.open("wb") as file:
                async for piece in response.content.iter_chunked(PIECE):
                    file.write(piece)
                    size += len(piece)
        return size

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # how many connections there are is the pace's decision, not the pool's
            connector = aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=300, keepalive_timeout=_IDLE_SECONDS
            )
            # without a proxy to look up, asking the environment at each call is wasted
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),  # keys say who asks; cookies only take time
                timeout=self._timeout,
                trust_env=bool(getproxies()),
            )
        return self._session

    async def aclose(self) -> None:
        """Close the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _refused(response: aiohttp.ClientResponse, url: str, *, has_key: bool) -> ProviderError:
    body = await response.content.read(2000)
    return refusal(response.status, response.headers, body, url, has_key=has_key)


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, url: str, *, has_key: bool
) -> ProviderError:
    """What an answer that is not 200 means."""
    code, said = error_words(body)
    message = f"{shown(url)} answered {status}: {said}"
    if has_key and is_account_stop(status, code, said):
        return AccountStoppedError(message, hint=MEND_ACCOUNT, status=status, code=code)
    if status in (408, 409, 425, 429) or status >= 500:
        return ProviderUnavailableError(
            message, status=status, retry_after_seconds=retry_after_seconds(headers)
        )
    return ProviderRejectedError(message, status=status, code=code)


def shown(url: str) -> str:
    """An address without the parts that may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def same_origin(url: str, other: str) -> bool:
    """True when both addresses are of one scheme, host and port: a key may go to both."""
    one, two = urlsplit(url), urlsplit(other)
    return (one.scheme, one.netloc) == (two.scheme, two.netloc)
