"""OpenAI's batch files: other people's requests in, answers exactly as they came out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.budget import checked_usd
from batchata.core.config import RunConfig
from batchata.core.errors import ResultsError, ValidationError
from batchata.core.pacing import PaceCaps
from batchata.core.result import JobResult
from batchata.core.submission import Shape
from batchata.generate.config import Config
from batchata.generate.parts import whole_file
from batchata.generate.servers import Servers
from batchata.generate.shard_run import run_config
from batchata.ports import LiveReply, Provider
from batchata.providers.raw_requests import FileProvider, read_requests
from batchata.run import BatchRun

_FILE_KEYS: Final = {"input_path", "output_path", "limit_usd", "rpm", "tpm", "batch_size"}


def write_answers(results: Iterator[JobResult], path: Path) -> int:
    """Write the output file, whole or not at all; returns how many requests have no answer."""
    failed = 0
    with whole_file(path) as part, part.open("wb") as file:
        for number, result in enumerate(results):
            failed += not result.is_success
            file.write(_answer(result, number))
    return failed


def _answer(result: JobResult, number: int) -> bytes:
    line: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": result.job_id}
    if result.is_success:
        if not (result.raw_response or "").startswith("{"):
            raise ResultsError(
                f"the answer of {result.job_id!r} was not kept as it came",
                hint="another command continued this work: name another output file",
            )
        body = orjson.Fragment((result.raw_response or "").encode())
        found = {"status_code": 200, "request_id": result.request_id or "", "body": body}
        line.update(response=found, error=None)
    else:
        code = str(result.reason or result.status)
        line.update(response=None, error={"code": code, "message": result.error or ""})
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def ask_file(
    source: Path, target: Path, config: RunConfig, provider: Provider, *, print_status: bool = True
) -> BatchRun:
    """Send the requests of a file, and write the answers once all are final.

    Unfinished work is kept beside the output: the same call resumes it and asks nothing twice.
    """
    work = target.with_name(f"{target.name}.work")
    if target.exists() and not work.is_dir():
        raise ValidationError(f"{target} exists already", hint="name another output file")
    if not target.absolute().parent.is_dir():
        raise ValidationError(
            f"the folder of {target} does not exist", hint=f"mkdir -p {target.parent}"
        )
    work.mkdir(exist_ok=True)
    config = replace(config, state_file=work / "state.db", items_per_batch=None, raw_files=False)
    made = {provider.name: provider}
    run = BatchRun(config, read_requests(source, provider.name), made=made)
    run.execute(print_status=print_status)
    if run.is_complete:
        write_answers(run.results().iter_all(), target)
    return run


def file_config(config: Config) -> RunConfig:
    """The run config for sending a file's requests to a config's servers.

    Raises ValidationError for keys that would have no effect: the requests set those themselves.
    """
    for name in ("generation", "processing", "data"):
        section = getattr(config, name)
        said = section.model_fields_set - _FILE_KEYS
        if said:
            raise ValidationError(
                f"{name}.{min(said)} has no effect on the requests of a batch file",
                hint="leave it out: requests are sent as they are",
            )
    work, model = config.processing, config.model
    made = run_config(config, model.name or "")
    return replace(
        made,
        pace=PaceCaps(
            concurrency=model.concurrency,
            requests_per_minute=work.rpm,
            tokens_per_minute=work.tpm,
        ),
        cost_limit_usd=None if work.limit_usd is None else checked_usd(work.limit_usd),
        allow_unpriced=model.is_own and not model.prices,
    )


class OwnServers(FileProvider):
    """The servers of a config for a single run, which manages and closes them."""

    request_bytes: int | None = None

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers.provider)
        self.live = self
        self._servers = servers
        self._watching: asyncio.Task[None] | None = None

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Ask the least busy server."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._servers.pool.watch())
        return await self._servers.pool.send(shape, body)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._watching is not None:
            self._watching.cancel()
        await self._servers.aclose()
