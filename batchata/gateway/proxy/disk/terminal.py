"""Lines for a terminal or a pipe, written off the loop, as their reader may stand still."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from collections.abc import Sequence
from queue import Empty, Full, Queue
from threading import Thread
from typing import Final

LOG: Final = logging.getLogger("batchata.gateway")
#: how many groups of lines wait for their reader; further ones are left out
_MOST_WAITING: Final = 256
#: how long shutdown waits for the reader
_END_SECONDS: Final = 2.0


class Terminal:
    """Writes to stdout in a thread of its own; never blocks its caller."""

    def __init__(self) -> None:
        self.skipped = 0  #: lines that were left out because those before them were not read
        self._waiting: Queue[str | None] = Queue(_MOST_WAITING)
        self._untold = 0
        self._thread = Thread(target=self._write_all, name="batchata-printer", daemon=True)

    def open(self) -> None:
        """Start to write."""
        self._thread.start()

    def put(self, lines: Sequence[str]) -> None:
        """Queue these lines to be written."""
        before = [f"... {self._untold} lines were left out: nobody read them"] * (self._untold > 0)
        try:
            self._waiting.put_nowait("".join(f"{each}\n" for each in (*before, *lines)))
        except Full:
            self.skipped += len(lines)
            self._untold += len(lines)
        else:
            self._untold = 0

    async def aclose(self) -> None:
        """Write what waits, as long as it is read."""
        while self._waiting.full():  # shutdown comes before what nobody has read yet
            try:
                self._waiting.get_nowait()
            except Empty:
                break
        self._waiting.put_nowait(None)
        await asyncio.to_thread(self._thread.join, _END_SECONDS)

    def _write_all(self) -> None:
        while (text := self._waiting.get()) is not None:
            try:
                _write(text)
            except (OSError, ValueError) as error:  # it is closed
                LOG.warning("nothing more is printed: %s", error)
                return


def _write(text: str) -> None:
    try:
        fd = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):  # not a file: a test, a notebook
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    rest = memoryview(text.encode("utf-8", "replace"))
    while rest:  # past its buffer, whose lock would hold up the end of the process
        rest = rest[os.write(fd, rest) :]
