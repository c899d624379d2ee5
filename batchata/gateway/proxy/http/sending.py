"""A request's body on its way to an upstream that may answer before it has all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.client_proto import ResponseHandler


class Sending:
    """Sends the pieces of a body, no faster than the upstream takes them.

    What goes wrong with them is raised for whoever waits for the answer. An upstream that hangs up
    is not: what it sent before that is the answer.
    """

    def __init__(
        self,
        protocol: ResponseHandler,
        pieces: AsyncIterator[bytes],
        *,
        is_chunked: bool,
        silence_seconds: float | None,
    ) -> None:
        self._protocol = protocol
        self._pieces = pieces
        self._is_chunked = is_chunked
        self._silence_seconds = silence_seconds
        self.is_answered = False  #: nobody waits for the head of the answer any more
        self.is_whole = False  #: the upstream was sent all of it
        self._task = asyncio.get_running_loop().create_task(self._send())
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Send nothing more."""
        self._task.cancel()

    async def _send(self) -> None:
        async for piece in self._pieces:
            await asyncio.sleep(0)  # what the upstream said meanwhile is read first
            transport = self._protocol.transport
            if transport is None or transport.is_closing():
                return
            if piece:
                transport.write(
                    b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece
                )
                await self._until_taken()
        if self._is_chunked and (transport := self._protocol.transport) is not None:
            transport.write(b"0\r\n\r\n")
        self.is_whole = True
        if not self.is_answered:
            self._protocol.start_timeout()

    async def _until_taken(self) -> None:
        if not self._protocol.writing_paused:
            return
        try:
            async with asyncio.timeout(self._silence_seconds):
                await self._protocol._drain_helper()
        except TimeoutError as error:
            raise aiohttp.SocketTimeoutError("it takes no more of the request's body") from error
        except ConnectionError:  # it hung up
            return

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self.is_answered:
            self._protocol.set_exception(error)
