"""Answers tables through OpenAI's batch API, in four steps that may be days apart."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from batchata.core.errors import ValidationError
from batchata.core.job import check_number
from batchata.frames.asking import make_asking
from batchata.frames.batch_extractor import BatchExtractor
from batchata.frames.batch_folder import wait_for_a_look
from batchata.rows.table import Table


class OpenAIBatchExtractor(BatchExtractor):
    """Build, submit, check, retrieve: each step by `job_id`, in any later process.

    Everything about a job is in `batch_root_dir/job_id`; nothing is asked twice, whichever step
    is repeated.
    """

    provider = "openai"
    max_parallel_batches = 10_000

    def __init__(
        self,
        batch_root_dir: str | Path = "batch_jobs",
        max_requests_per_batch: int = 5000,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        client: Any = None,
        poll_factor: float = 1.0,
    ) -> None:
        check_number("max_requests_per_batch", max_requests_per_batch, least=1, whole=True)
        super().__init__(
            batch_root_dir,
            api_key=api_key,
            base_url=base_url,
            client=client,
            poll_factor=poll_factor,
        )
        self.max_requests_per_batch: int = max_requests_per_batch

    def create_batch_jsonl(
        self,
        dataframe: Any,
        id_col: str,
        text_col: str,
        prompt: str,
        job_id: str,
        model_name: str,
        temperature: float = 0.0,
        chunk_size: int = 5,
        exclude_processed: bool = True,
        schema_dict: Any = None,
    ) -> None:
        """Write the requests to `batch_input/*.jsonl`, to be read before anything is paid.

        Rows that are answered or on their way are left out, and rows whose answers were no good
        are asked alone; `exclude_processed=False` asks all again.
        """
        check_number("chunk_size", chunk_size, least=1, whole=True)
        asking = make_asking(
            prompt=prompt,
            model=model_name,
            backend=self.provider,
            schema=schema_dict,
            temperature=temperature,
        )
        folder = self._folder(job_id)
        plan, ended = folder.start_plan(asking)
        done = set(ended.busy)
        if exclude_processed:
            done.update(key for key, each in ended.answers.items() if each.fields is not None)
        elif done:
            raise ValidationError(
                f"{len(done)} rows of {job_id!r} are at the vendor: asking again would pay twice",
                hint="wait for them, or use another job_id",
            )
        rows = folder.plan_rows(plan, Table(dataframe), id_col, text_col, done)
        packs = enumerate(folder.packs(rows, ended, chunk_size))
        named = ((f"{job_id}-{plan.number}-{number}", each) for number, each in packs)
        number = 1
        while part := list(islice(named, self.max_requests_per_batch)):
            while (path := folder.input / f"batch_{number}.jsonl").exists():
                number += 1
            with path.open("wb") as file:
                file.writelines(folder.write(plan, path.name, part, _line))
        plan.save(folder.input)

    def submit_batches(self, job_id: str) -> None:
        """Send what was written, and return once the vendor has it; a second call sends nothing."""
        self._submit(self._folder(job_id))

    def check_batch_status(
        self, job_id: str, continuous: bool = False, interval: float = 300
    ) -> None:
        """Poll once and fetch what is done; with `continuous` wait until everything has ended.

        Failed batches and expired requests end too. The vendor is asked at its own pace;
        `interval` is kept for old scripts.
        """
        run = self._attach(self._folder(job_id), sends=continuous, interval=interval)
        if continuous:
            run.execute(print_status=True)
        else:
            wait_for_a_look(run.start(print_status=True))

    def retrieve_results_as_dataframe(self, job_id: str) -> Any:
        """Every row of the newest build with its answer, `status` and `error`, in their order.

        None before anything was submitted.
        """
        return self._folder(job_id).answers()


def _line(custom_id: str, endpoint: str, body: bytes) -> bytes:
    head = f'{{"custom_id":"{custom_id}","method":"POST","url":"{endpoint}","body":'
    return head.encode() + body + b"}\n"
