"""The request file of a batch: framed, spliced with attachments, written whole or not at all."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from batchata.core.document import Attachment
from batchata.core.errors import BatchataError, ProviderRejectedError, ResultsError
from batchata.core.events import OutcomesRecorded
from batchata.core.result import Reason
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Outcome, Submission
from batchata.disk.atomic import atomic_file
from batchata.engine.context import RunContext
from batchata.engine.reasking import requests
from batchata.engine.uploads import References, Uploads
from batchata.ports import BatchAPI

log = logging.getLogger("batchata.engine")

_GROUP = 500
_SENDING = "_sending_"
_EMBEDDINGS: Final = "/v1/embeddings"
#: their files are still needed
_UNSENT = (SubmissionStatus.INTENDED, SubmissionStatus.CREATING, SubmissionStatus.UNRESOLVED)


class RequestFiles:
    """Writes, names and removes the request files of a run."""

    def __init__(self, context: RunContext, uploads: Uploads) -> None:
        self._context = context
        self._uploads = uploads
        self._stamps: dict[str, frozenset[str]] = {}  #: of files written here, by token

    def path_of(self, submission: Submission) -> Path:
        """Where a submission's file is while it is being sent."""
        suffix = self._context.api(submission.provider).request_suffix
        name = f"{submission.provider}{_SENDING}{submission.token}{suffix}"
        return self._context.requests_dir / name

    def write(self, submission: Submission, references: References) -> Path | None:
        """The submission's file; a job whose attachment is gone or changed fails alone.

        None when no job is left. Raises ResultsError when the disk refuses, and
        ProviderRejectedError when it holds more than the vendor takes.
        """
        path = self.path_of(submission)
        stamp = references.stamp
        if path.exists() and self._stamps.get(submission.token, frozenset()) == stamp:
            return path
        api = self._context.api(submission.provider)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as part:
                with part.open("wb", buffering=1024 * 1024) as file:
                    bad = self._fill(file, submission, api, references)
                # before the file has its name: after a crash a file of that name is taken as it is
                is_empty = self._end_bad(submission, bad)
        except OSError as error:
            raise ResultsError(
                f"the request file {str(path)!r} cannot be written: {error.strerror}",
                hint="free some space or choose another folder, and run again: nothing was sent",
            ) from error
        if is_empty:
            path.unlink()
            return None
        self._stamps[submission.token] = stamp
        return path

    def _end_bad(self, submission: Submission, bad: list[Outcome]) -> bool:
        """Record the outcomes of jobs left out of the file; True when no other job is left."""
        is_empty = len(bad) == self._context.state.left[submission.token]
        if bad:
            closes = submission.token if is_empty else None
            self._context.record(OutcomesRecorded(outcomes=bad, closes=closes))
        return is_empty

    def _fill(
        self, file: BinaryIO, submission: Submission, api: BatchAPI, references: References
    ) -> list[Outcome]:
        bad: list[Outcome] = []
        file.write(api.head)
        separator, texts = b"", 0
        most = api.limits.embedding_inputs if submission.endpoint == _EMBEDDINGS else None
        for seq, job_id, body, attachments in self._jobs(submission):
            if most is not None:
                texts += _texts_of(body)
                _check_texts(texts, most)
            start = file.tell() if attachments else 0  # it is a call to the system each time
            file.write(separator)
            custom_id, shape = api.custom_id(submission.token, job_id), self._context.shape(seq)
            if not attachments:
                file.write(api.line(custom_id, shape, body))
            else:
                try:
                    body, left = self._uploads.refer(seq, body, attachments, references)
                    for piece in self._context.splice(api.line(custom_id, shape, body), left):
                        file.write(piece)
                except BatchataError as error:
                    file.seek(start)
                    file.truncate()
                    bad.append(self._failed(seq, submission, error))
                    continue
            separator = api.separator
        file.write(api.tail)
        return bad

    def _jobs(
        self, submission: Submission
    ) -> Iterator[tuple[int, str, bytes, tuple[Attachment, ...]]]:
        context = self._context
        seqs = context.state.unsettled(submission.token)
        for start in range(0, len(seqs), _GROUP):
            part = seqs[start : start + _GROUP]
            ids, bodies = context.store.ids(part), requests(context, part)
            attached = context.store.attachments(part)
            for seq, job_id, body in zip(part, ids, bodies, strict=True):
                yield seq, job_id, body, attached.get(seq, ())

    def _failed(self, seq: int, submission: Submission, error: BatchataError) -> Outcome:
        return Outcome(
            seq=seq,
            status=JobStatus.FAILED,
            attempt=self._context.state.attempts[seq],
            token=submission.token,
            reason=Reason.BAD_INPUT,
            error=str(error),
            finished_us=self._context.now_us(),
        )

    def keep(self, submission: Submission) -> None:
        """Give the file its final name, or remove it where raw files are off."""
        self._keep(submission, self.path_of(submission))

    def _keep(self, submission: Submission, path: Path) -> None:
        with _not_needed(path):
            if self._context.keeps_raw:
                path.replace(path.with_name(_final_name(submission, path.suffix)))
            else:
                path.unlink()

    def discard(self, submission: Submission) -> None:
        """Remove the file of a submission that is not sent."""
        path = self.path_of(submission)
        with _not_needed(path):
            path.unlink()

    def tidy(self) -> None:
        """Name or remove the files of submissions whose process died before it could."""
        for path in sorted(self._context.requests_dir.glob(f"*{_SENDING}*")):
            token = path.name.partition(_SENDING)[2].partition(".")[0]
            submission = self._context.state.submissions.get(token)
            if submission is None or submission.status in _UNSENT:
                continue
            if submission.remote_id is None or path.suffix == ".part":
                with _not_needed(path):
                    path.unlink()
            else:
                self._keep(submission, path)


def _texts_of(body: bytes) -> int:
    """How many texts a request asks to embed: a list of numbers is one, as its tokens."""
    asked = orjson.loads(body).get("input")
    is_several = isinstance(asked, list) and bool(asked) and not isinstance(asked[0], int)
    return len(asked) if is_several else 1


def _check_texts(texts: int, most: int) -> None:
    if texts > most:
        raise ProviderRejectedError(
            f"the requests have more than the {most} texts to embed that a batch may have",
            hint="give each job fewer texts",
            status=413,
        )


@contextlib.contextmanager
def _not_needed(path: Path) -> Iterator[None]:
    """The batch is on its way or dropped: a file that stays under a passing name harms nobody."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s stays as it is: %s", path, error.strerror or error)


def _final_name(submission: Submission, suffix: str) -> str:
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in submission.remote_id or "")
    return f"{submission.provider}_batch_{safe}{suffix}"
