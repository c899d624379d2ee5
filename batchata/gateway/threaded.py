"""A server in a thread of this process, reached over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from batchata.core.errors import RunError
from batchata.gateway.loops import new_event_loop


class Served(Protocol):
    """What a server is while it runs."""

    @property
    def url(self) -> str:
        """Its address without a path."""


S = TypeVar("S", bound=Served)
T = TypeVar("T")


class ServerInThread(ABC, Generic[S]):
    """Serves on a free local port for as long as the `with` block runs."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._served: S | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _serving(self) -> AbstractAsyncContextManager[S]:
        """The server, up while the block runs."""

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name=f"batchata-{self.name}", daemon=True
        )
        self._thread.start()
        if ready.exception() is not None:
            self._thread.join()  # nothing of it is left running when its error is raised
        ready.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()
        self._loop = self._stopping = self._thread = None

    @property
    def url(self) -> str:
        """The address without a path; RunError outside of the block."""
        return self._up().url

    @property
    def openai_base_url(self) -> str:
        """The `base_url` for the OpenAI SDK."""
        return f"{self.url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """The `base_url` for the Anthropic SDK."""
        return self.url

    def _up(self) -> S:
        if self._served is None:
            raise RunError(f"the {self.name} is not running", hint="use it in a `with` block")
        return self._served

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's own loop, and wait for it."""
        if self._loop is None:
            work.close()
            raise RunError(f"the {self.name} is not running", hint="use it in a `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self, ready: Future[None]) -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            async with self._serving() as served:
                self._served = served
                ready.set_result(None)
                await self._stopping.wait()
        except BaseException as error:  # whatever it is, the waiting thread must learn of it
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            self._served = None
