"""A sandbox in a thread of this process, reached over real HTTP."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from batchata.gateway.loops import new_event_loop
from batchata.gateway.sandbox.answers import ScriptedUpstream
from batchata.gateway.sandbox.control import take_ledger
from batchata.gateway.sandbox.ledger import Ledger
from batchata.gateway.sandbox.scenario import Scenario
from batchata.gateway.sandbox.server import running
from batchata.gateway.sandbox.world import Clock, LoggedRequest, MakeUpstream, World

T = TypeVar("T")


class Sandbox:
    """Both vendors' APIs on a free local port, for as long as the `with` block runs."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        clock: Clock = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        make_upstream: MakeUpstream = ScriptedUpstream,
    ) -> None:
        self._scenario = scenario or Scenario()
        self._clock = clock
        self._host = host
        self._port = port
        self._make_upstream = make_upstream
        self._world: World | None = None
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="batchata-sandbox", daemon=True
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
        self._world = self._loop = self._stopping = self._thread = None

    @property
    def url(self) -> str:
        """The address without a path."""
        return self._running().url

    @property
    def openai_base_url(self) -> str:
        """What the OpenAI SDK takes as `base_url`."""
        return f"{self.url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What the Anthropic SDK takes as `base_url`."""
        return self.url

    @property
    def folder(self) -> Path:
        """Where uploads and results lie until the block ends."""
        return self._running().folder

    @property
    def scenario(self) -> Scenario:
        """The scenario that is played now."""
        return self._running().scenario

    @property
    def ledger(self) -> Ledger:
        """The bill as it stands now."""
        return self._call(take_ledger(self._running()))

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests that reached the sandbox, oldest first."""
        return list(self._running().requests)

    def set_scenario(self, scenario: Scenario) -> None:
        """Play another scenario from now on."""
        self._call(_set(self._running(), scenario))

    def reset(self) -> None:
        """Forget all files, batches and bills; the scenario's faults count from the start again."""
        self._call(_reset(self._running()))

    def _running(self) -> World:
        if self._world is None:
            raise RuntimeError("the sandbox is not running: use it in a `with` block")
        return self._world

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the sandbox is not running: use it in a `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self, ready: "Future[None]") -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            async with running(
                host=self._host,
                port=self._port,
                scenario=self._scenario,
                clock=self._clock,
                make_upstream=self._make_upstream,
            ) as world:
                self._world = world
                ready.set_result(None)
                await self._stopping.wait()
        except OSError as problem:
            if ready.done():
                raise
            ready.set_exception(problem)


async def _set(world: World, scenario: Scenario) -> None:
    world.set_scenario(scenario)


async def _reset(world: World) -> None:
    world.set_scenario(world.scenario)
    world.clear()
