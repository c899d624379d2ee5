"""The fluent builder: what to ask, within which limits. Checks at once and touches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from batchata.core.config import ResultFormat, RunConfig
from batchata.core.document import FileSource
from batchata.core.errors import DuplicateJobError, UnknownModelError, ValidationError
from batchata.core.job import DEFAULT_MAX_TOKENS, Job, Message, UnaskableJob, is_unicode
from batchata.rows.source import RowJobs, RowSource
from batchata.run import BatchRun, Estimate
from batchata.sdk.settings import JOB_FIELDS, Settings, check_params
from batchata.sinks.wording import plural

BatchParams = RunConfig
#: bad jobs that `check()` names
_BAD_NAMED = 1000


class Batch(Settings):
    """Collects jobs and limits, then runs them. Every call returns the batch itself.

    With `dedupe`, jobs that ask exactly the same are sent once and share the answer.
    Raises ValidationError for a setting that cannot be used; only `run()` touches files, the
    network and the vendors' SDKs.
    """

    def __init__(
        self,
        results_dir: str | Path | None = None,
        max_parallel_batches: int = 10,
        items_per_batch: int | None = 10,
        raw_files: bool | None = None,
        *,
        result_format: ResultFormat = "json",
        dedupe: bool = False,
    ) -> None:
        super().__init__(
            results_dir,
            max_parallel_batches,
            items_per_batch,
            raw_files,
            result_format=result_format,
            dedupe=dedupe,
        )
        self._sources: list[Iterable[Job]] = []
        self._jobs: list[Job] = []
        self._ids: set[str] = set()
        self._rows: RowSource | None = None
        self._parts = 0  #: calls that added jobs

    def add_job(
        self,
        messages: Sequence[Message] | None = None,
        file: FileSource | None = None,
        prompt: str | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        response_model: type[BaseModel] | None = None,
        enable_citations: bool | None = None,
        *,
        files: Sequence[FileSource] | None = None,
        **params: Any,
    ) -> Self:
        """Add one job: `messages`, or a `prompt`, on its own or about a `file` or several `files`.

        `id=`, `metadata=`, `endpoint=`, `response_schema=`, `structured=`, `verify_quotes=` and
        `downscale_images=` are batchata's own; every other parameter is passed to the vendor
        unchanged. Raises ValidationError at once for a job that is no question.
        """
        named = {
            "files": files,
            "model": model,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "response_model": response_model,
            "enable_citations": enable_citations,
        }
        given = {name: value for name, value in named.items() if value is not None}
        self._append(self._job(messages, file, prompt, {**params, **given}))
        return self

    def add_jobs(self, jobs: Iterable[Job | Mapping[str, Any] | str]) -> Self:
        """Add many jobs: Job values, mappings of `add_job`'s arguments, or plain prompts.

        A list is checked at once. A generator is read once, by `run()`, and never held in memory;
        variables it refers to have the values that they have by then, and a mapping from it that
        cannot be sent fails alone. The live and background routes read it while its first jobs
        are already being asked; an exception in it, or a second job with the same id, stops the
        run there in good order.
        """
        if isinstance(jobs, (str, bytes, Mapping)) or not isinstance(jobs, Iterable):
            raise ValidationError(
                f"add_jobs takes many jobs, not a {type(jobs).__name__}",
                hint="write add_jobs([job, ...]), or add_job(...) for one",
            )
        if isinstance(jobs, (list, tuple)):
            for job in [self._made(each) for each in jobs]:
                self._append(job)
            return self
        self._close_list()
        self._parts += 1
        self._sources.append(self._lazily(jobs))
        return self

    def add_rows(
        self,
        rows: Any,
        *,
        prompt: str,
        id: str | None = None,  # noqa: A002
        keep: Sequence[str] = (),
        response_model: type[BaseModel] | None = None,
        **params: Any,
    ) -> Self:
        """Add a job for each row of a pandas, polars or Arrow table, a file, or an iterable.

        `prompt` refers to columns as `{column}`, with `{{` and `}}` for braces; `id` names the
        column of ids, `keep` the columns to copy into the metadata. CSV, JSONL and Parquet files
        are read by `run()`, a few rows at a time. A row without a value for its prompt fails alone.
        `run.to_dataframe()` joins the answers to the rows.
        """
        source = RowSource(rows, prompt=prompt, id_column=id, keep=keep)
        if response_model is not None:
            params["response_model"] = response_model
        self._close_list()
        self._sources.append(RowJobs(source, self._job(None, None, prompt, params)))
        self._rows = source
        self._parts += 1
        return self

    @property
    def jobs(self) -> list[Job]:
        """The jobs so far; this reads generators given to `add_jobs` into memory."""
        self._jobs = list(self.iter_jobs())
        self._sources = []
        return self._jobs

    def iter_jobs(self) -> Iterator[Job]:
        """Iterate over the jobs in order; this uses up sources that are generators."""
        for source in self._sources:
            yield from source
        yield from self._jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __bool__(self) -> bool:
        return bool(self._sources or self._jobs)

    def __repr__(self) -> str:
        jobs = str(len(self._jobs)) + ("+" if self._sources else "")
        limit = self.config.cost_limit_usd
        shown = "None" if limit is None else f"${limit:f}"
        return (
            f"Batch(jobs={jobs}, max_parallel_batches={self.config.max_parallel_batches}, "
            f"cost_limit={shown})"
        )

    def run(
        self,
        on_progress: Callable[[dict[str, Any], float, dict[str, Any]], None] | None = None,
        progress_interval: float = 1.0,
        print_status: bool = False,
        dry_run: bool = False,
        *,
        wait: bool = True,
    ) -> BatchRun:
        """Run the jobs and return when all have ended; with `wait=False` return at once.

        With `dry_run` nothing is sent or written: the run's `estimate` is printed and kept.
        """
        run = self._run().set_on_progress(on_progress, progress_interval)
        if dry_run:
            run.dry_run()
        elif wait:
            run.execute(print_status=print_status)
        else:
            run.start(print_status=print_status)
        return run

    def start(self, *, print_status: bool = False) -> BatchRun:
        """Start the run in the background and return its handle."""
        return self._run().start(print_status=print_status)

    async def arun(self, *, print_status: bool = False) -> BatchRun:
        """Run the jobs from async code, without blocking the event loop."""
        run = self._run().start(print_status=print_status)
        try:
            await asyncio.to_thread(run.wait)
        except asyncio.CancelledError:
            run.stop("the caller was cancelled")
            raise
        return run

    def estimate(self) -> Estimate:
        """What the run would send and cost; nothing is sent or written."""
        return self._run().make_estimate()

    def check(self) -> Self:
        """Read every file and encode every job, as a run does first, but send nothing.

        Raises a ValidationError that names all jobs that cannot be sent (in a run each of them
        fails alone), and whatever else a run raises before it sends anything.
        """
        estimate = self.estimate()
        if not estimate.bad:
            return self
        lines = "".join(f"\n- {each}" for each in estimate.bad[:_BAD_NAMED])
        more = len(estimate.bad) - _BAD_NAMED
        raise ValidationError(
            f"{plural(len(estimate.bad), 'job')} cannot be sent:{lines}"
            + (f"\n- and {more:,} more" if more > 0 else ""),
            hint="mend or leave out these jobs; a run without check() sends the others",
        )

    def _run(self) -> BatchRun:
        if not self:
            raise ValidationError(
                "No jobs added to batch", hint='add one: batch.add_job(prompt="...", model="...")'
            )
        return BatchRun(
            self.config,
            self.iter_jobs() if self._sources else tuple(self._jobs),
            providers=self.providers,
            decide=self.decide,
            rows=self._rows if self._parts == 1 else None,
        )

    def _made(self, job: Job | Mapping[str, Any] | str) -> Job:
        if isinstance(job, Job):
            return job
        if isinstance(job, str):
            return self._job(None, None, job, {})
        if not isinstance(job, Mapping):
            raise ValidationError(
                f"{job!r:.80} is not a job",
                hint="give a Job, a mapping of add_job's arguments, or a prompt",
            )
        rest = dict(job)
        return self._job(
            rest.pop("messages", None), rest.pop("file", None), rest.pop("prompt", None), rest
        )

    def _job(self, messages: Any, file: Any, prompt: Any, given: Mapping[str, Any]) -> Job:
        values = {**self.config.default_params, **given}
        job_id = values.pop("id", None)
        model = values.pop("model", None)
        if model is None or (isinstance(model, str) and not model):
            raise ValidationError(
                "the job has no model",
                hint='write add_job(model="gpt-6-luna", ...) or set_default_params(model=...)',
            )
        check_params(values)
        if job_id is not None and (not isinstance(job_id, str) or not job_id):
            raise ValidationError(f"id is {job_id!r}, not text", hint='write id="invoice-17"')
        if job_id is not None and not is_unicode(job_id):
            raise ValidationError(f"id is {job_id!r}, which is not valid Unicode")
        self._check_model(model)
        fields = {name: values.pop(name) for name in tuple(values) if name in JOB_FIELDS}
        fields.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
        return Job(job_id or "", model, messages, file=file, prompt=prompt, params=values, **fields)

    def _append(self, job: Job) -> None:
        self._check_model(job.model)
        if job.id:
            if job.id in self._ids:
                raise DuplicateJobError(
                    f"two jobs have the id {job.id!r}",
                    hint="give each job an id of its own, or leave id out",
                )
            self._ids.add(job.id)
        self._parts += 1
        self._jobs.append(job)

    def _lazily(self, jobs: Iterable[Any]) -> Iterator[Job]:
        for job in jobs:
            try:
                made = self._made(job)
            except UnknownModelError:  # as for an unknown price: nothing is sent for any job
                raise
            except ValidationError as error:
                if not isinstance(job, Mapping):
                    raise
                made = self._unaskable(job, error)
            yield made

    def _unaskable(self, job: Mapping[str, Any], error: ValidationError) -> Job:
        """What came of a generator and cannot be asked: it fails alone, under its own id."""
        values = {**self.config.default_params, **job}
        job_id, model, metadata = (values.get(name) for name in ("id", "model", "metadata"))
        return UnaskableJob(
            job_id if isinstance(job_id, str) and is_unicode(job_id) else "",
            model if isinstance(model, str) else "",
            prompt=repr(job),
            metadata=metadata if isinstance(metadata, Mapping) else None,
            why=str(error),
        )

    def _close_list(self) -> None:
        if self._jobs:
            self._sources.append(self._jobs)
            self._jobs = []
