"""A gateway in a thread of this process, reached over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from batchata.core.errors import BatchataError, RunError
from batchata.gateway.loops import new_event_loop
from batchata.gateway.proxy.config import GatewayConfig
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.loading import load_config
from batchata.gateway.proxy.server import Running, running


class Gateway:
    """A proxy to one upstream on a free local port, for as long as the `with` block runs.

    `interceptors` are Interceptor values, or names of ours; `config` says everything at once.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        type: str | None = None,  # noqa: A002
        interceptors: Sequence[Interceptor | str] = (),
        config: GatewayConfig | Mapping[str, Any] | None = None,
        **server: Any,
    ) -> None:
        self._extra = [each for each in interceptors if isinstance(each, Interceptor)]
        names = [{"type": each} for each in interceptors if isinstance(each, str)]
        if isinstance(config, GatewayConfig):
            self._config = config
        else:
            flags = {("server", name): value for name, value in {"port": 0, **server}.items()}
            flags |= {("llm", "base_url"): base_url, ("llm", "type"): type}
            self._config = load_config(
                None, flags, interceptors=names, environment={}, given=config or {}
            )
        self._running: Running | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="batchata-gateway", daemon=True
        )
        self._thread.start()
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
        """The address without a path; what the Anthropic SDK takes as `base_url`."""
        return self._up().url

    @property
    def openai_base_url(self) -> str:
        """What the OpenAI SDK takes as `base_url`."""
        return f"{self.url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What the Anthropic SDK takes as `base_url`."""
        return self.url

    def drain(self) -> None:
        """Wait until observers have been told everything that happened so far."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._up().queue.drain(), self._loop).result()

    def _up(self) -> Running:
        if self._running is None:
            raise RunError("the gateway is not running", hint="use it in a `with` block")
        return self._running

    def _run(self, ready: Future[None]) -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            async with running(self._config, interceptors=self._extra) as gateway:
                self._running = gateway
                ready.set_result(None)
                await self._stopping.wait()
        except (BatchataError, OSError, ValueError) as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            self._running = None
