"""Lines for a terminal or a pipe, written beside the loop: whoever reads them may stand still."""

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
#: bunches of lines that wait for their reader; what comes then is left out
_MOST_WAITING: Final = 256
#: the end waits so long for who reads
_END_SECONDS: Final = 2.0


class Terminal:
    """Writes to stdout in a thread of its own; never holds its caller up."""

    def __init__(self) -> None:
        self.skipped = 0  #: lines that were left out, as nobody read those before them
        self._waiting: Queue[str | None] = Queue(_MOST_WAITING)
        self._untold = 0
        self._thread = Thread(target=self._write_all, name="batchata-printer", daemon=True)

    def open(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, lines: Sequence[str]) -> None:
        """Have these lines written."""
        before = [f"... {self._untold} lines were left out: nobody read them"] * (self._untold > 0)
        try:
            self._waiting.put_nowait("".join(f"{each}\n" for each in (*before, *lines)))
        except Full:
            self.skipped += len(lines)
            self._untold += len(lines)
        else:
            self._untold = 0

    async def aclose(self) -> None:
        """Write what waits, if somebody reads it."""
        while self._waiting.full():  # the end comes before what nobody has read yet
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
    except (AttributeError, io.UnsupportedOperation):  # no file: a test, a notebook
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    rest = memoryview(text.encode("utf-8", "replace"))
    while rest:  # without its buffer, whose lock the end of the process would wait for
        rest = rest[os.write(fd, rest) :]
