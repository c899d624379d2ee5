"""Answers tables through Anthropic's message batches, in four steps that may be days apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchata.core.job import check_number
from batchata.frames.asking import make_asking
from batchata.frames.batch_extractor import BatchExtractor
from batchata.frames.batch_folder import wait_for_a_look
from batchata.rows.table import Table
from batchata.stores.reader import ResultReader


class AnthropicBatchExtractor(BatchExtractor):
    """Build, submit, check, retrieve: each step by `job_id`, in any later process.

    Everything about a job is in `batch_root_dir/job_id`; nothing is asked twice, whichever step
    is repeated.
    """

    provider = "anthropic"
    max_parallel_batches = 1_000

    def __init__(
        self,
        batch_root_dir: str | Path = "anthropic_batch_jobs",
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        client: Any = None,
        poll_factor: float = 1.0,
    ) -> None:
        super().__init__(
            batch_root_dir,
            api_key=api_key,
            base_url=base_url,
            client=client,
            poll_factor=poll_factor,
        )

    def create_batch_requests(
        self,
        dataframe: Any,
        id_col: str,
        text_col: str,
        prompt: str,
        job_id: str,
        model_name: str,
        chunk_size: int = 5,
        schema_dict: Any = None,
        tool_name: str = "extract_results",
        max_tokens: int = 32000,
    ) -> Path:
        """Write the requests to a JSON file, to be read before anything is paid; returns its path.

        Rows that are answered or on their way are left out, and rows whose answers were no good
        are asked alone. `tool_name` names the tool for models that are asked through one.
        """
        check_number("chunk_size", chunk_size, least=1, whole=True)
        asking = make_asking(
            prompt=prompt,
            model=model_name,
            backend=self.provider,
            schema=schema_dict,
            max_tokens=max_tokens,
            schema_name=tool_name,
        )
        folder = self._folder(job_id)
        plan, ended = folder.start_plan(asking)
        good = {key for key, each in ended.answers.items() if each.fields is not None}
        rows = folder.plan_rows(plan, Table(dataframe), id_col, text_col, good | ended.busy)
        name = "requests.json" if plan.number == 1 else f"requests_{plan.number}.json"
        first = "" if plan.number == 1 else f"{plan.number}-"
        packs = enumerate(folder.packs(rows, ended, chunk_size))
        named = ((f"{job_id}-chunk-{first}{number:06d}", each) for number, each in packs)
        path = folder.input / name
        with path.open("wb") as file:
            file.write(b'{"requests":[')
            for number, line in enumerate(folder.write(plan, name, named, _line)):
                file.write((b",\n" if number else b"\n") + line)
            file.write(b"\n]}\n")
        plan.save(folder.input)
        return path

    def submit_batch(self, job_id: str) -> str:
        """Send what was written; returns the newest batch's id. Called again it sends nothing."""
        folder = self._folder(job_id)
        self._submit(folder)
        reader = ResultReader(folder.state)
        try:
            found = [each.remote_id for each in reader.state.submissions.values()]
        finally:
            reader.close()
        return next((each for each in reversed(found) if each), "")

    def check_batch_status(
        self,
        job_id: str,
        continuous: bool = False,
        interval: float = 30,
        timeout: float | None = None,
    ) -> str:
        """Poll once and fetch what is done; returns "in_progress" or "ended".

        With `continuous` it stays until all has ended, and raises TimeoutError after `timeout`
        seconds. The vendor is asked at its own pace; `interval` is kept for old scripts.
        """
        run = self._attach(self._folder(job_id), sends=continuous, interval=interval)
        run.start(print_status=True)
        if not continuous:
            wait_for_a_look(run)
        elif not run.wait(timeout):
            run.shutdown()
            raise TimeoutError(f"{job_id!r} has not ended after {timeout:g} seconds")
        return "in_progress" if run.view.submitted else "ended"

    def retrieve_results_as_dataframe(self, job_id: str, tool_name: str = "extract_results") -> Any:
        """Every row of the newest build with its answer, `status` and `error`, in their order.

        None before anything was submitted.
        """
        return self._folder(job_id).answers()


def _line(custom_id: str, endpoint: str, body: bytes) -> bytes:
    return f'{{"custom_id":"{custom_id}","params":'.encode() + body + b"}"
