"""Has imported everything once; forks a child for each order that comes as a line of JSON."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import ssl
import sys
import threading
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_LONGEST_SECONDS = 100.0
_PR_SET_PDEATHSIG = 1


def warm_up(order: dict[str, Any]) -> None:
    """Run once in this process, so that every lazy import has been made before a fork."""
    import pyarrow.parquet
    from kill_script import make_batch

    assert pyarrow.parquet
    # reading the machine's certificates would take each child a third of its time
    ssl.create_default_context = cache(ssl.create_default_context)
    make_batch(order).run()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(5)
    gc.collect()
    gc.freeze()  # a fork then copies fewer pages


def fork(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out an order in a child and say how it ended."""
    script = import_module(order.get("script", "kill_script"))  # once, for all its children
    began = time.monotonic()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setpgid(0, 0)
            _die_with_parent()
            script.main(order)
            status = 0
        finally:
            os._exit(status)
    ended = _wait(child, order.get("longest_seconds") or _LONGEST_SECONDS)
    answer: dict[str, Any] = {"seconds": time.monotonic() - began, "ended_at": time.time()}
    if ended is None:
        answer["hung"] = True
    elif os.WIFSIGNALED(ended):
        answer["signal"] = os.WTERMSIG(ended)
    else:
        answer["exit"] = os.WEXITSTATUS(ended)
    return answer


def _die_with_parent() -> None:
    """Leave no child behind when a zygote is killed; Linux alone can promise that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(child: int, longest_seconds: float) -> int | None:
    end = time.monotonic() + longest_seconds
    pause = 0.0005
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(pause)
        pause = min(pause * 1.3, 0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def serve() -> None:
    """Take orders until the input ends."""
    sys.path.insert(0, str(Path(__file__).parent))
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("warm_up"):
            warm_up(order)
            answer: dict[str, Any] = {"threads": threading.active_count()}
        else:
            answer = fork(order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
