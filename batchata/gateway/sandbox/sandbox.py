"""A sandbox in a thread of this process, reached over real HTTP."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from batchata.gateway.sandbox.answers import ScriptedUpstream
from batchata.gateway.sandbox.control import take_ledger
from batchata.gateway.sandbox.ledger import Ledger
from batchata.gateway.sandbox.scenario import Scenario
from batchata.gateway.sandbox.server import running
from batchata.gateway.sandbox.world import Clock, LoggedRequest, MakeUpstream, World
from batchata.gateway.threaded import ServerInThread


class Sandbox(ServerInThread[World]):
    """Both vendors' APIs on a free local port, for as long as the `with` block runs."""

    name = "sandbox"

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        clock: Clock = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        make_upstream: MakeUpstream = ScriptedUpstream,
    ) -> None:
        super().__init__()
        self._scenario = scenario or Scenario()
        self._clock = clock
        self._host = host
        self._port = port
        self._make_upstream = make_upstream

    def _serving(self) -> AbstractAsyncContextManager[World]:
        return running(
            host=self._host,
            port=self._port,
            scenario=self._scenario,
            clock=self._clock,
            make_upstream=self._make_upstream,
        )

    @property
    def folder(self) -> Path:
        """Where uploads and results are kept until the block ends."""
        return self._up().folder

    @property
    def scenario(self) -> Scenario:
        """The current scenario."""
        return self._up().scenario

    @property
    def ledger(self) -> Ledger:
        """The current bill."""
        return self._call(take_ledger(self._up()))

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests that reached the sandbox, oldest first."""
        return list(self._up().requests)

    def set_scenario(self, scenario: Scenario) -> None:
        """Switch to another scenario."""
        self._call(_set(self._up(), scenario))

    def reset(self) -> None:
        """Forget all files, batches and bills; the scenario's faults count from the start again."""
        self._call(_reset(self._up()))


async def _set(world: World, scenario: Scenario) -> None:
    world.set_scenario(scenario)


async def _reset(world: World) -> None:
    world.set_scenario(world.scenario)
    world.clear()
