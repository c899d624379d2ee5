"""The codec of a plug-in: the job itself is the body, its result is the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson
from pydantic import BaseModel

from batchata.core.citing import with_quotes
from batchata.core.document import Accepts, Document
from batchata.core.job import Job, derived_id, digest
from batchata.core.result import Answer, Citation, Failure, Reason
from batchata.core.schema import source_schema
from batchata.core.submission import Shape
from batchata.core.usage import Usage
from batchata.ports import Encoded
from batchata.providers.blocking import settled
from batchata.providers.encoding import dump, json_text
from batchata.providers.provider import Provider, checked_cost

ENDPOINT: Final = "jobs"
#: what most models can write, for jobs without a cap
_MODEL_MOST: Final = 128_000
_FILES: Final = "files_sha256"  #: in a body only: a changed file is another question


class SeenJobs(Mapping[str, Job]):
    """Jobs by id, for plug-ins that want them with their results.

    One that this process has not met, as after `resume` without a script, comes as a bare job.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def add(self, name: str, job: Job) -> None:
        """Keep a job under the id it has, or will have."""
        self._jobs[name] = job

    def __getitem__(self, job_id: str) -> Job:
        # the second of equal jobs is called `job-<digest>-2`
        stem = job_id if job_id in self._jobs else job_id.rpartition("-")[0]
        found = self._jobs.get(stem)
        return Job(job_id, "", prompt="") if found is None else found.with_id(job_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)


class PluginCodec:
    """Carries jobs through the state file to the plug-in, and its results back."""

    accepts: Accepts = Accepts(is_whole=True)
    with_errors = None

    def __init__(self, name: str, provider: Provider, seen: SeenJobs | None = None) -> None:
        self._name = name
        self._provider = provider
        self._seen = seen
        self._models: dict[str, type[BaseModel]] = {}  #: by the JSON text of their schema

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The job as JSON; ValidationError when the plug-in refuses it."""
        job = replace(job, model=model)
        settled(self._provider.validate_job(job))
        body = self._body(job, documents)
        schema = self._schema(job)
        data = dump(body, job)
        shape = Shape(
            provider=self._name,
            endpoint=ENDPOINT,
            model=model,
            schema=schema,
            schema_name=job.response_model.__name__ if job.response_model else None,
            citations=job.enable_citations,
            quotes=job.verify_quotes,
        )
        if self._seen is not None:
            fingerprint = digest(self._name.encode(), ENDPOINT.encode(), data)
            self._seen.add(job.id or derived_id(fingerprint, 0), job)
        return Encoded(
            shape=shape,
            body=data,
            input_bound=len(data),
            output_bound=_MODEL_MOST if job.max_tokens is None else job.max_tokens,
            cost_bound_usd=checked_cost(settled(self._provider.estimate_cost([job]))),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The result in our words."""
        try:
            return _answer(shape, orjson.loads(bytes(body)))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            return Failure(Reason.UNREADABLE, f"the result cannot be read: {error}")

    def job(self, line: bytes) -> Job:
        """The job of a line, with its response model where this process knows it."""
        values = orjson.loads(line)
        values.pop(_FILES, None)
        job = Job.from_dict(values)
        if job.response_schema is None:
            return job
        model = self._models.get(json_text(job.response_schema))
        return job if model is None else replace(job, response_model=model, response_schema=None)

    def _body(self, job: Job, documents: Sequence[Document]) -> dict[str, Any]:
        body = _with_quotes(job).to_dict()
        for name in ("id", "metadata", "response_model"):
            body.pop(name, None)
        if documents:
            body[_FILES] = [each.sha256 for each in documents]
        return body

    def _schema(self, job: Job) -> str | None:
        source = job.response_model or job.response_schema
        if source is None:
            return None
        schema = json_text(source_schema(source))
        if job.response_model is not None:
            self._models[json_text(job.response_model.model_json_schema())] = job.response_model
        return schema


def _with_quotes(job: Job) -> Job:
    """The job as a plug-in is asked, which knows nothing of quotes: with them in its schema."""
    source = job.response_model or job.response_schema
    if source is None or not job.verify_quotes:
        return job
    return replace(
        job, response_model=None, response_schema=with_quotes(source), verify_quotes=False
    )


def _answer(shape: Shape, row: Mapping[str, Any]) -> Answer:
    used = Usage(
        row["input_tokens"],
        row["output_tokens"],
        row["cache_read_tokens"],
        row["cache_write_tokens"],
        row["reasoning_tokens"],
    )
    cost_usd = Decimal(row["cost_usd"])
    is_told = bool(used.total_tokens or cost_usd)
    return Answer(
        text=_text(shape, row),
        finish_reason=row["finish_reason"] or "stop",
        usage=used if is_told else None,
        cost_usd=cost_usd if is_told else None,
        model=row["model"],
        request_id=row["request_id"],
        thinking=row["thinking"],
        extra=row["extra"],
        citations=tuple(Citation.from_dict(each) for each in row["citations"] or ()),
    )


def _text(shape: Shape, row: Mapping[str, Any]) -> str:
    """The answer's text; where JSON was asked for and the plug-in parsed it, that JSON."""
    text, parsed = row["raw_response"], row["parsed_response"]
    if parsed is not None and (text is None or shape.schema is not None):
        return json_text(parsed)
    return "" if text is None else str(text)
