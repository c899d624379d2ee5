"""How many files and connections this process may have open at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import resource

#: for the state file, results, downloads and the caller's own
_RESERVED: Final = 64
#: to open one more at least, whatever the limit is
_LEAST: Final = 4


def room_for_connections(wanted: int) -> int:
    """How many of the wanted connections there is room for.

    The limit of open files is raised as far as the system allows and the connections need it: macOS
    begins with 256.
    """
    if sys.platform == "win32":  # connections are no files there
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    taken = _open_now() + _RESERVED
    needed = wanted + taken
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft < most:
        soft = _raised(soft, most, hard)
    return max(_LEAST, min(wanted, soft - taken))


def _raised(soft: int, most: int, hard: int) -> int:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS has a limit of its own below an endless one
        return soft
    return most


def _open_now() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return _RESERVED
