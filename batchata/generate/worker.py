"""A worker process: `python -m batchata.generate.worker FOLDER NAME PARENT`, config on stdin."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from batchata.core.errors import BatchataError
from batchata.engine.portal import Portal
from batchata.generate.config import Config
from batchata.generate.ledger import Ledger
from batchata.generate.servers import Servers
from batchata.generate.shard_run import Plan, ShardRunner
from batchata.generate.worker_handles import FAILED
from batchata.generate.worker_loop import WorkerLoop
from batchata.sdk.driver import rarely_swept


def work(folder: Path, name: str, config: Config, parent: int) -> int:
    """Take shards until none is left; returns the exit code."""
    with Ledger(folder / "ledger.db") as ledger:
        return _work(ledger, folder, name, config, parent)


def _work(ledger: Ledger, folder: Path, name: str, config: Config, parent: int) -> int:
    servers = Servers(config.model, config.retry.timeout)
    plan = msgspec.convert(ledger.meta("plan"), Plan)
    loop = WorkerLoop(ShardRunner(config, plan, folder), ledger, servers, name)
    loop.is_left = lambda: os.getppid() != parent  # even if it died before this one started
    portal = Portal("batchata-worker")
    signal.signal(signal.SIGTERM, lambda *_: portal.soon(loop.stop, "stop: SIGTERM"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what a Ctrl-C means
    future = portal.start(loop.run())
    try:
        with rarely_swept():
            future.result()
    except BatchataError as error:
        ledger.set_meta(error=[error.message, error.hint])
        return FAILED
    finally:
        ledger.renew(name, loop.report())
        portal.close()
    return 0


if __name__ == "__main__":
    given = Config.model_validate_json(sys.stdin.buffer.read())
    sys.exit(work(Path(sys.argv[1]), sys.argv[2], given, int(sys.argv[3])))
