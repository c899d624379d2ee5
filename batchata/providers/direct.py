"""One batch sent and fetched by hand, through a vendor's batch API."""

from __future__ import annotations

import re
import secrets
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batchata.core.errors import ProviderError, ValidationError
from batchata.core.job import Job, safe_name
from batchata.core.status import SubmissionStatus
from batchata.core.submission import Submission
from batchata.documents import spliced, spliced_size
from batchata.ports import BatchAPI, BatchLook, Encoded, Item

#: a submission's name at the head of a custom_id, where a vendor needs it there
_TOKEN: Final = re.compile(r"b[0-9a-f]{15}(?=_)")
_ANY_TOKEN: Final = "b" + "0" * 15


@dataclass(frozen=True, slots=True)
class Request:
    """A job in the vendor's words."""

    job_id: str
    job: Job
    encoded: Encoded


async def send(api: BatchAPI, requests: Sequence[Request], folder: Path) -> str:
    """Write the request file, start the batch and return its id."""
    submission = _submission(api, requests)
    name = f"{submission.provider}_batch_"
    path = folder / f"{name}{submission.token}{api.request_suffix}"
    _write(api, submission.token, requests, path)
    reference = await api.upload(submission, path)
    batch_id = await api.create(replace(submission, input_ref=reference), path)
    path.replace(folder / f"{name}{safe_name(batch_id)}{api.request_suffix}")
    return batch_id


async def fetch(
    api: BatchAPI, batch_id: str, requests: Sequence[Request], folder: Path
) -> tuple[BatchLook, list[tuple[Request, Item | None]]]:
    """What the vendor has for each request; None where its files do not mention it.

    Raises ProviderError while the batch has not ended.
    """
    look = await api.look(batch_id)
    if not look.state.is_final:
        raise ProviderError(
            f"batch {batch_id!r} has not ended: it is {look.word}",
            hint="ask get_batch_status() until it is complete, failed or cancelled",
        )
    paths = [] if look.failure else await api.download(batch_id, folder)
    found: dict[str, Item] = {}
    for path in paths:
        for item in api.items(path):
            found.setdefault(_TOKEN.sub("", item.custom_id), item)
    names = [_TOKEN.sub("", api.custom_id(_ANY_TOKEN, each.job_id)) for each in requests]
    return look, [(each, found.get(name)) for each, name in zip(requests, names, strict=True)]


def _write(api: BatchAPI, token: str, requests: Sequence[Request], path: Path) -> None:
    with path.open("wb") as file:
        file.write(api.head)
        for number, each in enumerate(requests):
            if number:
                file.write(api.separator)
            encoded = each.encoded
            line = api.line(api.custom_id(token, each.job_id), encoded.shape, encoded.body)
            file.writelines(spliced(line, encoded.attachments))
        file.write(api.tail)


def _submission(api: BatchAPI, requests: Sequence[Request]) -> Submission:
    shapes = [each.encoded.shape for each in requests]
    if len({api.group(shape) for shape in shapes}) > 1:
        raise ValidationError(
            "these jobs cannot share a batch",
            hint="make one batch for each model, or leave that to Batch().add_jobs(jobs).run()",
        )
    size_bytes = sum(
        spliced_size(each.encoded.body, each.encoded.attachments) + 200 for each in requests
    )
    if len(requests) > api.limits.requests or size_bytes > api.limits.size_bytes:
        raise ValidationError(
            f"{len(requests)} jobs of {size_bytes} bytes are more than one batch takes",
            hint="make several batches, or leave that to Batch().add_jobs(jobs).run()",
        )
    return Submission(
        token="b" + secrets.token_hex(8)[:15],
        provider=shapes[0].provider,
        endpoint=shapes[0].endpoint,
        model=shapes[0].model,
        wire_version=shapes[0].wire_version,
        seqs=array("I", range(len(requests))),
        status=SubmissionStatus.CREATING,
        intended_us=0,  # nobody will look for it
    )
