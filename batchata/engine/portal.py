"""The one door between sync callers and the async engine: a private loop in a private thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it is installed (`pip install 'batchata[speed]'`), else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Portal:
    """An event loop in a daemon thread of its own; works beside any loop of the caller's."""

    def __init__(self, name: str = "batchata") -> None:
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        # here, not in the caller's thread, which may be inside a loop of its own
        self._drain()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine in the loop; its future is cancelled where the loop has ended."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # closed meanwhile
            work.close()
            ended: concurrent.futures.Future[T] = concurrent.futures.Future()
            ended.cancel()
            return ended

    def soon(self, function: Any, *args: Any) -> None:
        """Call a function in the loop, from any thread."""
        with contextlib.suppress(RuntimeError):  # closed meanwhile: nothing is left to be told
            self._loop.call_soon_threadsafe(function, *args)

    def close(self, timeout_seconds: float = 5.0) -> bool:
        """Cancel what runs, stop the loop and its thread; False when the thread still works."""
        if self._loop.is_closed() or threading.current_thread() is self._thread:
            return True
        self.soon(self._loop.stop)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _drain(self) -> None:
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
