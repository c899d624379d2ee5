"""The jobs that the rows of a file are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import ValidationError
from batchata.core.job import Job, UnaskableJob
from batchata.core.template import Template
from batchata.rows.files import Row, plain, read_rows

#: what a row must have when there is no template
_QUESTIONS: Final = ("prompt", "messages")


def read_jobs(
    path: Path, prompt: Template | None, id_column: str | None, model: str
) -> Iterator[Row | Job]:
    """Arguments of `Batch.add_job` for each row; columns that are not asked become metadata.

    A row without a value for its prompt becomes a job that fails alone.
    """
    for where, row in read_rows(path):
        job = _job(row, where, prompt, id_column)
        why = None if prompt is None else prompt.why_unfilled(row)
        if why is None:
            yield job
        else:
            yield UnaskableJob(
                job.get("id", ""),
                model,
                prompt=where,
                metadata=job.get("metadata"),
                why=f"{where} {why}",
            )


def _job(row: Row, where: str, prompt: Template | None, id_column: str | None) -> Row:
    job: dict[str, Any] = {}
    used = {id_column}
    if prompt is not None:
        prompt.check(row, where)
        job["prompt"] = prompt.fill(row)
        used.update(prompt.columns)
    else:
        name = next((name for name in _QUESTIONS if row.get(name)), None)
        if name is None:
            raise ValidationError(
                f"{where} has neither 'prompt' nor 'messages'",
                hint='give --prompt "... {column} ...", with the columns '
                + ", ".join(map(str, row)),
            )
        job[name] = row[name]
        used.add(name)
    if id_column is not None:
        job["id"] = _id(row, where, id_column)
    metadata = {name: plain(value) for name, value in row.items() if name not in used}
    if metadata:
        job["metadata"] = metadata
    return job


def _id(row: Row, where: str, column: str) -> str:
    value = row.get(column)
    if value is None or not str(value).strip():
        raise ValidationError(
            f"{where} has no id in column {column!r}",
            hint=f"its columns are: {', '.join(map(str, row))}; each row needs an id of its own",
        )
    return str(value)
