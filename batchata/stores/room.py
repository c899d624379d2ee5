"""Room on the disk that a run keeps for what is paid for already when there is no other left."""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from pathlib import Path
from typing import Final

log = logging.getLogger("batchata")

#: answers of some hundred calls in flight, with all that each commit writes anew
_BYTES: Final = 4 * 1024 * 1024
_PIECE: Final = bytes(64 * 1024)


class Room:
    """A file without a name beside the state file, which is nothing but its size.

    It needs no clearing away: it ends with the process.
    """

    def __init__(self, state_file: Path) -> None:
        self._free: weakref.finalize[..., Room] | None = None
        try:
            with tempfile.TemporaryFile(dir=state_file.absolute().parent) as file:
                _fill(file.fileno())
                self._free = weakref.finalize(self, os.close, os.dup(file.fileno()))
        except OSError as error:  # the disk is nearly full already: its own errors tell that better
            log.debug("no room is kept beside %s: %s", state_file, error)

    def give_back(self) -> bool:
        """Let the disk have it; True when there was some."""
        if self._free is None or not self._free.alive:
            return False
        self._free()
        return True


def _fill(fd: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, _BYTES)
        return
    for _ in range(0, _BYTES, len(_PIECE)):
        os.write(fd, _PIECE)
