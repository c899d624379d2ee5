"""Control calls through a vendor's SDK, whichever kind of client the user gave."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from batchata.core.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderUnavailableError,
    ValidationError,
)

_PIECE = 256 * 1024
#: of httpx, by name: nothing of such a call was sent
_NEVER_LEFT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """How to reach a vendor; what is None comes from the SDK's own environment variables."""

    client: Any = None  #: a configured SDK client, sync or async
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a vendor may stay silent, in seconds."""

    connecting: float = 10.0
    asking: float = 60.0  #: a call with a short answer: it must not hold up the others
    sending: float = 600.0  #: a call with a large body
    loading: float = 120.0  #: between two pieces of a download
    answering: float = 600.0  #: a live call, until its whole answer is there


def checked_address(url: str) -> str:
    """The address of an API; ValidationError for what no call could be sent to."""
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535, half a bracket
        is_http = False
    if not is_http:
        raise ValidationError(
            f"base_url is {url!r}, which is not an http address",
            hint='write it with scheme and host: base_url="http://localhost:8000/v1"',
        )
    if parts.username is not None or parts.password is not None:
        raise ValidationError(
            f"base_url has a user and a password for {parts.hostname!r} in it",
            hint="give them as a header, by a client with default_headers={'Authorization': "
            "'Basic ...'} or by model.headers of a config",
        )
    return url


def patience_of(settings: ProviderSettings) -> Patience:
    """The patience that `options` ask for; ValidationError for an option that is not known."""
    for name in settings.options:
        if name != "timeout_seconds":
            raise ValidationError(
                f"a provider has no option {name!r}",
                hint='write .set_provider("openai", timeout_seconds=30); another server has a name '
                'of its own: .set_provider("vllm", base_url=...)',
            )
    seconds = settings.options.get("timeout_seconds")
    if seconds is None:
        return Patience()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
        raise ValidationError(
            f"timeout_seconds is {seconds!r}", hint="timeout_seconds is a number above zero"
        )
    return Patience(
        connecting=min(seconds, Patience().connecting),
        asking=seconds,
        sending=seconds,
        loading=seconds,
        answering=seconds,
    )


def is_shared(client: Any) -> bool:
    """True when a run uses this client's own connections, and leaves them open."""
    return client is not None and not _has_own_pool(client)


def _has_own_pool(client: Any) -> bool:
    """True for an async client on the SDK's own pool: it has connections of another loop."""
    pool = type(getattr(client, "_client", None)).__name__
    return inspect.iscoroutinefunction(client.close) and pool == "AsyncHttpxClientWrapper"


def lent(client: Any, new_pool: Callable[[], Any], **changes: Any) -> Any:
    """A user's client for one run: without retries, and without connections of another loop.

    An async pool that the user made is used as it is, each connection once.
    """
    if _has_own_pool(client):
        changes["http_client"] = new_pool()
    elif inspect.iscoroutinefunction(client.close):
        changes["default_headers"] = {"Connection": "close"}
    return client.with_options(max_retries=0, **changes)


async def call(method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call an SDK method: async ones here, sync ones in a thread so that nothing else waits."""
    if inspect.iscoroutinefunction(inspect.unwrap(method)):
        return await method(*args, **kwargs)
    result = await asyncio.to_thread(method, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """A file's bytes in small pieces, for an async request body."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def unreachable(vendor: str, error: Exception, *, creating: bool) -> ProviderError:
    """The error of an unanswered call; with `creating`, unknown unless it surely never left."""
    message = f"{vendor} cannot be reached: {type(error).__name__}: {error}"
    if creating and type(error.__cause__).__name__ not in _NEVER_LEFT:
        return OutcomeUnknownError(message)
    return ProviderUnavailableError(message)


def strange_answer(vendor: str, why: object, *, creating: bool) -> ProviderError:
    """The error of a 200 that is not the vendor's JSON: a proxy's page, or a truncated body."""
    kind = OutcomeUnknownError if creating else ProviderUnavailableError
    return kind(f"{vendor} answered something strange: {why!r:.200}")


def count_of(said: object) -> int:
    """A vendor's count as a number; some send text. Zero for anything that is no count."""
    text = str(said)
    return int(text) if text.isascii() and text.isdigit() else 0


@contextmanager
def readable(vendor: str) -> Iterator[None]:
    """Turns an answer that is no vendor's object, as a proxy may send, into an error to retry."""
    try:
        yield
    except (AttributeError, TypeError) as error:
        raise strange_answer(vendor, error, creating=False) from error


def plain_headers(client: Any) -> dict[str, str]:
    """The headers an SDK client sends, key included, for calls that go past the SDK."""
    merged = {**client.default_headers, **client.auth_headers}
    return {
        name: value
        for name, value in merged.items()
        if isinstance(value, str) and name.lower() != "accept"
    }
