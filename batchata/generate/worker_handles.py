"""Worker processes as seen by the one that starts, supervises and ends them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from batchata.generate.config import Config
from batchata.generate.ledger import Ledger, worker_name

log = logging.getLogger("batchata.generate")

#: a worker that dies so often without an answer in between is not started again
MOST_DEATHS: Final = 3
#: exit code of a worker whose error is in the ledger
FAILED: Final = 4


class WorkerHandle(Protocol):
    """One worker, wherever it is."""

    def start(self) -> None: ...
    def is_working(self, ledger: Ledger) -> bool: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Restarts:
    """How often a worker is restarted, and under which names."""

    def __init__(self) -> None:
        self.name = ""
        self._starts = 0
        self._deaths = 0

    def begin(self) -> str:
        """A name for its next life."""
        self._starts += 1
        self.name = worker_name(self._starts)
        return self.name

    def may_go_on(self, ledger: Ledger, why: str) -> bool:
        """After a worker's death, free what it held; True when it may be restarted."""
        ledger.give_back(self.name)
        has_answered = ledger.reports().get(self.name, {}).get("answered", 0)
        self._deaths = 1 if has_answered else self._deaths + 1
        log.warning("worker %s %s; its rows are taken up again", self.name, why)
        return self._deaths <= MOST_DEATHS and bool(ledger.open_shards())


class LocalWorker:
    """A worker process on this machine; started again when it dies."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._config = config.model_dump_json()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = Restarts()
        self._is_stopping = False

    def start(self) -> None:
        """Start it; the config, which may hold a key, goes through a pipe."""
        name = self._restarts.begin()
        command = [sys.executable, "-m", "batchata.generate.worker"]
        command += [str(self._folder), name, str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        pipe = self._process.stdin
        if pipe is not None:
            with suppress(BrokenPipeError), pipe:
                pipe.write(self._config.encode())

    def is_working(self, ledger: Ledger) -> bool:
        """True while there is something to wait for."""
        process = self._process
        if process is None:
            return False
        code = process.poll()
        if code is None:
            return True
        self._process = None
        if code in (0, FAILED) or self._is_stopping:
            ledger.give_back(self._restarts.name)
            return False
        if not self._restarts.may_go_on(ledger, f"ended with {code}"):
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Make it send nothing new."""
        self._is_stopping = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now; what it has answered is in its state files."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


__all__ = ["FAILED", "LocalWorker", "Restarts", "WorkerHandle"]
