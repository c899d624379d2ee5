"""OpenAI's batch files: requests as others wrote them in, answers as they came out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from batchata.core.bounds import input_bound, output_bound, web_search_bound
from batchata.core.budget import checked_usd
from batchata.core.config import RunConfig
from batchata.core.document import Document
from batchata.core.errors import ResultsError, ValidationError
from batchata.core.job import Job
from batchata.core.pacing import PaceCaps
from batchata.core.result import Answer, Failure, JobResult
from batchata.core.submission import Shape
from batchata.generate.config import Config
from batchata.generate.parts import whole_file
from batchata.generate.servers import Servers
from batchata.generate.workshop import run_config
from batchata.ports import (
    BackgroundAPI,
    BatchAPI,
    Codec,
    Encoded,
    FilesAPI,
    LiveAPI,
    LiveReply,
    Provider,
)
from batchata.providers.openai.codec import CHAT, EMBEDDINGS, MODEL_MOST, RESPONSES
from batchata.run import BatchRun

ENDPOINTS: Final = (CHAT, RESPONSES, EMBEDDINGS)
_FILE_KEYS: Final = {"input_path", "output_path", "limit_usd", "rpm", "tpm", "batch_size"}
_CAPS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class _Line(msgspec.Struct):
    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


class _Head(msgspec.Struct):
    model: str


_line = msgspec.json.Decoder(_Line).decode
_head = msgspec.json.Decoder(_Head).decode


@dataclass(frozen=True, slots=True)
class WrittenJob(Job):
    """A job whose request somebody else has written: it is sent as it is."""

    body: bytes = field(default=b"{}", kw_only=True)

    def __post_init__(self) -> None:
        """Nothing is checked: the question is the server's to read."""


def read_requests(path: Path, provider: str) -> Iterator[WrittenJob]:
    """A job for each line of an input file; ValidationError for one that is none."""
    is_empty = True
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                is_empty = False
                yield _job(line, f"{path.name} line {number}", provider)
    if is_empty:
        raise ValidationError(f"{path} has no requests", hint="each line of it is one")


def _job(line: bytes, where: str, provider: str) -> WrittenJob:
    try:
        said = _line(line)
        body = bytes(said.body)
        model = _head(body).model
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValidationError(
            f"{where} is no request: {error}",
            hint='write {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
            '"body": {"model": ..., "messages": [...]}}',
        ) from error
    if said.url not in ENDPOINTS or said.method != "POST":
        raise ValidationError(
            f"{where} asks for {said.method} {said.url}", hint=f"POST {', '.join(ENDPOINTS)}"
        )
    return WrittenJob(said.custom_id, f"{provider}:{model}", endpoint=said.url, body=body)


class BodyCodec:
    """Requests and answers as they are; only what was used is read of an answer."""

    with_errors = None

    def __init__(self, inner: Codec, provider: str) -> None:
        self._inner = inner
        self._provider = provider
        self.accepts = inner.accepts

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The body that the job brings, and the most that it can use."""
        if not isinstance(job, WrittenJob):
            raise ValidationError(f"job {job.id!r} brings no request of its own")
        said: dict[str, Any] = orjson.loads(job.body)
        if said.get("stream"):
            raise ValidationError(
                f"{job.id!r} asks for a stream", hint="leave stream out: the file takes answers"
            )
        most = 0
        if job.endpoint != EMBEDDINGS:
            caps = [said[name] for name in _CAPS if isinstance(said.get(name), int)]
            most = output_bound(caps[0] if caps else MODEL_MOST, int(said.get("n") or 1))
        return Encoded(
            shape=Shape(provider=self._provider, endpoint=job.endpoint or CHAT, model=model),
            body=job.body,
            input_bound=input_bound(job.body, said, provider=self._provider),
            output_bound=most,
            web_searches=web_search_bound(said),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The whole body as the answer's text."""
        answer = self._inner.decode(shape, body)
        if isinstance(answer, Failure):
            return answer
        text = bytes(body).decode("utf-8", "replace")
        return Answer(text=text, finish_reason="stop", usage=answer.usage)


class FileProvider:
    """A provider whose requests and answers are left as they are."""

    def __init__(self, inner: Provider) -> None:
        self.name = inner.name
        self.codec: Codec = BodyCodec(inner.codec, inner.name)
        self.batch: BatchAPI | None = inner.batch
        self.live: LiveAPI | None = inner.live
        self.background: BackgroundAPI | None = None
        self.files: FilesAPI | None = None
        self._inner = inner

    async def aclose(self) -> None:
        """Close connections."""
        await self._inner.aclose()


def write_answers(results: Iterator[JobResult], path: Path) -> int:
    """Write the output file, whole or not at all; how many requests have no answer."""
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
                f"the answer of {result.job_id!r} is not kept as it came",
                hint="its work was gone on with by another command: name another output file",
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
    """Ask the requests of a file and write the answers, when all have their last word.

    The work in hand stays beside the output: the same call goes on, and asks nothing twice.
    """
    work = target.with_name(f"{target.name}.work")
    if target.exists() and not work.is_dir():
        raise ValidationError(f"{target} is there already", hint="name another output file")
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
    """How a config's servers are asked about the requests of a file.

    Raises ValidationError for keys that would have no effect: the requests say that themselves.
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
    """The servers of a config for one run alone: it looks after them, and closes them."""

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
