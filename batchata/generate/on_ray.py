"""Workers on a Ray cluster: the same work with the same ledger, served by an actor."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from batchata import __version__
from batchata.core.errors import BatchataError, RunError, ValidationError
from batchata.generate.config import Config
from batchata.generate.ledger import Ledger
from batchata.generate.servers import Servers, key_of
from batchata.generate.shard_run import Plan, ShardRunner, Shards
from batchata.generate.worker_handles import Restarts, WorkerHandle
from batchata.generate.worker_loop import WorkerLoop
from batchata.sdk.driver import rarely_swept

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util import client
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ValidationError(
        "processing.engine is 'ray', and Ray is not installed",
        hint="pip install 'batchata[ray]'",
    ) from error

log = logging.getLogger("batchata.generate")

NAMESPACE: Final = "batchata"
#: seconds without room for a worker, after which a warning is logged
_PATIENCE_TICKS: Final = 240


class LedgerActor:
    """The ledger for workers on other machines; restarted, it continues from the ledger file."""

    def __init__(self, path: str) -> None:
        self._ledger = Ledger(Path(path))

    def ask(self, what: str, *args: Any) -> Any:
        """Call a method of `Shards`; each is safe to repeat when a reply is lost."""
        return getattr(self._ledger, what)(*args)


class _RemoteLedger:
    """The ledger, reached through its actor."""

    def __init__(self, ledger_actor: Any) -> None:
        self._ledger_actor = ledger_actor

    def __getattr__(self, what: str) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            try:
                return ray.get(self._ledger_actor.ask.remote(what, *args))
            except RayTaskError as error:
                raise error.cause from None

        return ask


class WorkerActor:
    """One process of a cluster that takes shards until none is left."""

    def __init__(self) -> None:
        self._loop: WorkerLoop | None = None

    async def work(
        self, ledger_actor: Any, said: str, plan: bytes, folder: str, name: str, version: str
    ) -> tuple[str, str | None] | None:
        """Do the work; returns what went wrong and what to do about it, or None."""
        try:
            _check(Path(folder), version)
            config = Config.model_validate_json(said)
            shards = cast(Shards, _RemoteLedger(ledger_actor))
            servers = Servers(config.model, config.retry.timeout)
            made = msgspec.json.decode(plan, type=Plan)
            self._loop = loop = WorkerLoop(
                ShardRunner(config, made, Path(folder)), shards, servers, name
            )
            try:
                with rarely_swept():
                    await loop.run()
            finally:
                await ledger_actor.ask.remote("renew", name, loop.report())
        except BatchataError as error:
            return error.message, error.hint
        return None

    async def stop(self, reason: str) -> None:
        """Send nothing new."""
        if self._loop is not None:
            self._loop.stop(reason)


def _check(folder: Path, version: str) -> None:
    node = os.uname().nodename
    if version != __version__:
        raise RunError(
            f"batchata is {__version__} on {node}, but {version} where the run was started",
            hint=f"pip install batchata=={version} on all nodes",
        )
    if not (folder / "ledger.db").exists():
        raise RunError(
            f"{str(folder)!r} does not exist on {node}",
            hint="put input, output and processing.temp_dir on a file system that all nodes share",
        )


class RayWorker:
    """A worker actor; it is replaced when it or its node dies."""

    def __init__(self, config: Config, plan: Plan, folder: Path, ledger_actor: Any) -> None:
        self._given = (
            ledger_actor,
            _portable_config(config),
            msgspec.json.encode(plan),
            str(folder),
        )
        self._restarts = Restarts()
        self._actor: Any = None
        self._done: Any = None
        self._is_stopping = False
        self._has_begun = False
        self._ticks = 0

    def start(self) -> None:
        """Ask the cluster for a process; it starts once a CPU is free."""
        self._ticks, self._has_begun = 0, False
        name = self._restarts.begin()
        options = {"num_cpus": 1, "name": name, "namespace": NAMESPACE}
        self._actor = ray.remote(WorkerActor).options(**options).remote()
        self._done = self._actor.work.remote(*self._given, name, __version__)

    def is_working(self, ledger: Ledger) -> bool:
        """True while there is something to wait for."""
        if self._done is None:
            return False
        ready, _ = ray.wait([self._done], timeout=0)
        if not ready:
            return self._is_awaited(ledger)
        try:
            error = ray.get(self._done)
        except RayTaskError as failure:
            error = (f"a worker failed: {failure.cause!r}", None)
        except RayError:
            return self._died(ledger)
        self.kill()
        ledger.give_back(self._restarts.name)
        if error is not None:
            ledger.set_meta(error=list(error))
        return False

    def _died(self, ledger: Ledger) -> bool:
        self.kill()
        if self._is_stopping:
            ledger.give_back(self._restarts.name)
            return False
        if not self._restarts.may_go_on(ledger, "or its node died"):
            return False
        self.start()
        return True

    def _is_awaited(self, ledger: Ledger) -> bool:
        """False for a worker that never started, once nothing is left to do."""
        self._has_begun = self._has_begun or self._restarts.name in ledger.reports()
        if self._has_begun:
            return True
        self._ticks += 1
        if self._ticks == _PATIENCE_TICKS:
            log.warning("a worker is still waiting for a free CPU in the cluster; the others go on")
        if ledger.open_shards() and not self._is_stopping:
            return True
        self.kill()
        return False

    def stop(self) -> None:
        """Make it send nothing new."""
        self._is_stopping = True
        if self._actor is not None:
            self._actor.stop.remote("stop: asked to")

    def kill(self) -> None:
        """End it now; what it has answered is in its state files."""
        if self._actor is not None:
            ray.kill(self._actor)
        self._actor = self._done = None


def _portable_config(config: Config) -> str:
    """The config for other machines, with absolute paths and the key that is known here."""
    data = config.data.model_copy(update={"input_path": config.data.input_path.absolute()})
    model = config.model.model_copy(update={"api_key": key_of(config.model)})
    generation = config.generation
    if isinstance(generation.response_schema, Path):
        schema = generation.response_schema.absolute()
        generation = generation.model_copy(update={"response_schema": schema})
    changed = {"data": data, "model": model, "generation": generation}
    return config.model_copy(update=changed).model_dump_json()


@contextmanager
def ray_workers(config: Config, plan: Plan, folder: Path) -> Iterator[list[WorkerHandle]]:
    """Workers on the existing cluster (RAY_ADDRESS, or this machine's), or on a new one."""
    with ExitStack() as stack:
        stack.enter_context(_connected(config.processing.workers))
        here = ray.get_runtime_context().get_node_id()
        options = {
            "name": f"ledger-{folder.name}-{os.urandom(3).hex()}",
            "namespace": NAMESPACE,
            "num_cpus": 0,
            "max_restarts": -1,
            "max_task_retries": -1,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=here, soft=False),
        }
        whole = folder.absolute()
        ledger_actor: Any = (
            ray.remote(LedgerActor).options(**options).remote(str(whole / "ledger.db"))
        )
        stack.callback(ray.kill, ledger_actor)
        yield [
            RayWorker(config, plan, whole, ledger_actor) for _ in range(config.processing.workers)
        ]


@contextmanager
def _connected(workers: int) -> Iterator[None]:
    """Ray, for as long as it is needed; one that the caller started is used and left running."""
    if ray.is_initialized():
        if cast(Any, client).num_connected_contexts():
            raise _not_on_a_node()
        yield
        return
    handler = _sigterm_handler()
    try:
        _begin(workers)
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
        yield
    finally:
        ray.shutdown()


def _begin(workers: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    if address is not None and address.startswith("ray://"):
        raise _not_on_a_node()
    settings: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    try:
        if address:
            ray.init(address=address, **settings)
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # our runs are nobody else's business
        try:
            ray.init(num_cpus=workers, include_dashboard=False, **settings)
        except ValueError:  # `ray start` set its CPUs already
            ray.init(**settings)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = f"at RAY_ADDRESS={address}" if address else "here"
        raise RunError(
            f"Ray cannot be used {where}: {error}",
            hint="`ray status` shows the cluster's state; without RAY_ADDRESS one is started here",
        ) from error


def _sigterm_handler() -> Any:
    """The current handler of SIGTERM, which Ray replaces."""
    is_main = threading.current_thread() is threading.main_thread()
    return signal.getsignal(signal.SIGTERM) if is_main else None


def _not_on_a_node() -> RunError:
    return RunError(
        "this process is not on a node of the Ray cluster, where the ledger file must be",
        hint="start it there, as with `ray job submit -- batchata generate ...`",
    )
