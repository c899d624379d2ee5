"""Has imported pandas and all of `extract_df` once; forks a child for each line of orders."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

_HERE = Path(__file__).parent


class Child:
    """A process that carries out one order, seen from the test."""

    def __init__(self, pid: int, answers: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._answers = answers

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.wait(0) is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int | None:
        """How it ended, as `Popen.returncode`; None when it has not."""
        if self.returncode is None and select.select([self._answers], [], [], timeout)[0]:
            self.returncode = _hear(self._answers)
        return self.returncode

    def wait_until(self, is_time: Callable[[], bool]) -> None:
        """Wait for something that it brings about."""
        while not is_time():
            assert self.wait(0) is None, f"it ended with {self.returncode}"
            time.sleep(0.005)


class Zygote:
    """The process that forks the children, one at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders = process.stdin
        self._answers = process.stdout.fileno()

    @contextmanager
    def child(self, *order: str) -> Iterator[Child]:
        """A child that carries out `order`: cache, address, route and workers."""
        self._orders.write(json.dumps(order).encode() + b"\n")
        self._orders.flush()
        child = Child(_hear(self._answers), self._answers)
        try:
            yield child
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(10)


@contextmanager
def zygote(address: str) -> Iterator[Zygote]:
    """A zygote whose lazy imports are made by a call to this sandbox."""
    command = [sys.executable, __file__, address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=_HERE) as process:
        made = Zygote(process)
        with made.child():  # is answered when it is warm
            pass
        try:
            yield made
        finally:
            process.kill()


def _say(number: int) -> None:
    os.write(sys.stdout.fileno(), b"%10d" % number)


def _hear(answers: int) -> int:
    return int(os.read(answers, 10))


def _extract(cache_path: str, address: str, route: str, workers: str) -> None:
    from extraction_lab import GPT, SCHEMA, frame

    from batchata.frames import extract_df

    extract_df(
        frame(),
        prompt="Say the mood.",
        cache_path=cache_path,
        model=GPT,
        schema=SCHEMA,
        api_key="sk-test",
        base_url=address,
        chunk_size=1,
        max_workers=int(workers),
        route=cast(Any, route),
        print_status=False,
    )


def _warm_up(address: str) -> None:
    # reading the machine's certificates would take each child a third of its time
    ssl.create_default_context = cache(ssl.create_default_context)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        _extract(f"{folder}/warm.sqlite", address, "live", "4")
        _extract(f"{folder}/warm_batch.sqlite", address, "batch", "4")
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(5)
    gc.collect()
    gc.freeze()  # a fork then copies fewer pages


def _fork(order: list[str]) -> int:
    """Carry out an order in a child; say its pid, and then how it ended."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if order:
                _extract(*order)
            status = 0
        except KeyboardInterrupt:
            traceback.print_exc()
        finally:
            os._exit(status)
    _say(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _serve(address: str) -> None:
    _warm_up(address)
    for line in sys.stdin:
        _say(_fork(json.loads(line)))


if __name__ == "__main__":
    _serve(sys.argv[1])
