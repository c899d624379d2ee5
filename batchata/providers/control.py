"""Control calls through a vendor's SDK, whichever kind of client the user gave."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """How to reach a vendor; what is None comes from the SDK's own environment variables."""

    client: Any = None  #: a configured SDK client, sync or async
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


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
