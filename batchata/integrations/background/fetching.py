"""Responses asked for, many at once; those that cannot be had now are said to be so."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from batchata.core.errors import (
    AccountStoppedError,
    BatchataError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.retry import Backoff
from batchata.ports import BackgroundAPI

_BACKOFF: Final = Backoff(first_seconds=1.0, most_seconds=60.0)
_GONE: Final = frozenset({404, 410})
#: how often one response may be told to wait; that is no failure of its own
_SLOWED_MOST: Final = 50


class Fetched(NamedTuple):
    """What became of asking for one response."""

    response_id: str
    status: str  #: the vendor's own word, "expired" or "error"
    body: bytes | None = None  #: of a response that has ended
    error: BatchataError | None = None
    attempts: int = 1
    poll_after_seconds: float | None = None  #: of one that has not

    @property
    def is_open(self) -> bool:
        """True while the vendor still works on it."""
        return self.body is None and self.error is None


class Fetcher:
    """Asks for each response once, and again up to `tries` times where that may help."""

    def __init__(
        self, api: BackgroundAPI, keep: Callable[[Fetched], None], *, at_once: int, tries: int
    ) -> None:
        self._api = api
        self._keep = keep
        self._at_once = at_once
        self._tries = tries
        self._paused_until = 0.0
        self._stopped_by: BatchataError | None = None

    async def run(self, ids: Iterable[str]) -> None:
        """Ask for all of these; raises AccountStoppedError, and what `keep` raises."""
        left = iter(ids)

        async def work() -> None:
            for response_id in left:
                if self._stopped_by is not None:
                    return
                try:
                    self._keep(await self._fetched(response_id))
                except BatchataError as error:
                    self._stopped_by = self._stopped_by or error

        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(work())
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _fetched(self, response_id: str) -> Fetched:
        attempt = slowed = 0
        while True:
            await self._pause()
            try:
                look = await self._api.retrieve(response_id)
            except AccountStoppedError:
                raise
            except ProviderRejectedError as error:
                status = "expired" if error.status in _GONE else "error"
                return Fetched(response_id, status, None, error, attempt + 1)
            except ProviderUnavailableError as error:
                is_slowed = error.status == 429
                slowed, attempt = slowed + is_slowed, attempt + (not is_slowed)
                if attempt >= self._tries or slowed >= _SLOWED_MOST:
                    return Fetched(response_id, "error", None, error, attempt + slowed)
                await self._wait(attempt or slowed, error, is_for_all=is_slowed)
            else:
                body = look.body if look.is_final else None
                wait = look.poll_after_seconds
                return Fetched(response_id, look.word, body, None, attempt + 1, wait)

    async def _wait(
        self, attempt: int, error: ProviderUnavailableError, *, is_for_all: bool
    ) -> None:
        wait = _BACKOFF.wait_seconds(attempt, random.random, error.retry_after_seconds)
        if is_for_all:  # being told to slow down means all of our calls
            self._paused_until = max(self._paused_until, time.monotonic() + wait)
        else:
            await asyncio.sleep(wait)

    async def _pause(self) -> None:
        while (wait := self._paused_until - time.monotonic()) > 0 and self._stopped_by is None:
            await asyncio.sleep(min(wait, 1.0))
