"""Collects a finished batch: downloaded whole, decoded in one pass, settled in groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchata.core.errors import (
    AccountStoppedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import OutcomesRecorded
from batchata.core.result import PAID_FAILURES, Answer, Failure, Reason
from batchata.core.retry import Backoff
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape, Submission
from batchata.engine.context import RunContext
from batchata.engine.lost_results import GIVE_UP, REFUSALS, is_gone, is_results_gone
from batchata.engine.quoting import Quoting
from batchata.engine.settling import Settler
from batchata.engine.uploads import Uploads
from batchata.ports import BatchLook, Codec, Item

log = logging.getLogger("batchata.engine")

_GROUP = 1000
#: reading documents takes its time: less of it is done again after a crash
_QUOTED_GROUP = 50
_FETCHES = 3
#: where answers are missing that the vendor bills for: about a minute, since asking again costs
_FETCHES_OF_PAID = 7
_LOST = Failure(
    Reason.MISSING,
    "no answer from provider, which counts it as answered: taken as paid at its upper bound",
)
_BACKOFF = Backoff(first_seconds=1.0, most_seconds=60.0)


class Collector:
    """Turns a vendor's result files into outcomes, each job once."""

    def __init__(self, context: RunContext, uploads: Uploads) -> None:
        self._context = context
        self._uploads = uploads
        self._quoting = Quoting(context)

    async def collect(self, submission: Submission, look: BatchLook) -> bool:
        """Fetch, decode and settle; False when the run stopped before the files were here."""
        try:
            paths = await self._fetch(submission, look)
        except ProviderRejectedError as error:
            self.give_up(submission, error)
            return True
        if paths is None:
            return False
        paths = self._sorted(paths)
        reading = _Reading(self._context, submission, look)
        group: list[Outcome] = []
        is_quoted = any(shape.quotes for shape in self._context.state.shapes)
        for item in self._items(submission, paths):
            outcome = reading.outcome(item)
            if outcome is not None:
                outcome = await self._mended(outcome, submission)
                group.append(await self._quoting.cited(outcome) if is_quoted else outcome)
            if len(group) >= (_QUOTED_GROUP if is_quoted else _GROUP):
                self._context.record(OutcomesRecorded(outcomes=group))
                group = []
                await asyncio.sleep(0)
        group.extend(reading.missing())
        await self._context.join(OutcomesRecorded(outcomes=group, closes=submission.token))
        self._clean(paths)
        if reading.account is not None:
            said = reading.account.message
            self._context.stop.ask(said, error=AccountStoppedError(said))
        return True

    async def _mended(self, outcome: Outcome, submission: Submission) -> Outcome:
        """Retry a job whose file was deleted at the vendor; the file is uploaded again."""
        is_refused = outcome.reason is Reason.INVALID_REQUEST
        if not is_refused or outcome.attempt >= self._context.config.max_attempts:
            return outcome
        if not await self._uploads.is_gone(outcome.seq, submission.intended_us):
            return outcome
        return replace(outcome, status=JobStatus.PENDING)

    def refuse(self, submission: Submission, look: BatchLook) -> None:
        """Settle a refused batch: the jobs that the vendor names fail, the others go again."""
        context = self._context
        failure = look.failure or Failure(Reason.BATCH_FAILED, "the vendor refused the batch")
        outcomes = []
        for line, seq in enumerate(context.state.unsettled(submission.token), 1):
            attempt = context.state.attempts[seq] + 1
            bad = look.bad_lines.get(line)
            again = bool(look.bad_lines) and bad is None and attempt < context.config.max_attempts
            why = bad or failure
            outcomes.append(
                Outcome(
                    seq=seq,
                    status=JobStatus.PENDING if again else JobStatus.FAILED,
                    attempt=attempt,
                    token=submission.token,
                    reason=why.reason,
                    error=why.message,
                    finished_us=context.now_us(),
                )
            )
        context.record(OutcomesRecorded(outcomes=outcomes, closes=submission.token))

    def give_up(self, submission: Submission, error: ProviderRejectedError) -> None:
        """Settle a batch whose answers are gone at the vendor, which may have billed them."""
        context, settler = self._context, Settler(self._context, "batch")
        said = (
            f"the vendor no longer gives out the results of batch {submission.remote_id}: "
            f"{error.message}"
        )
        log.error("%s", said)
        context.notes.pop(submission.token, None)
        failure = Failure(Reason.RESULTS_GONE, said, status=error.status)
        token, now_us = submission.token, context.now_us()
        outcomes = [
            settler.failed(seq, failure, token=token, now_us=now_us)
            for seq in context.state.unsettled(token)
        ]
        context.record(OutcomesRecorded(outcomes=outcomes, closes=token))

    async def _fetch(self, submission: Submission, look: BatchLook) -> list[Path] | None:
        """The result files, whole; None when the run stops or the vendor keeps them back.

        Raises ProviderRejectedError when the vendor has them no more.
        """
        context = self._context
        api = context.api(submission.provider)
        context.responses_dir.mkdir(parents=True, exist_ok=True)
        attempt = fetched = refused = 0
        paths: list[Path] = []
        while True:
            attempt += 1
            asked: float | None = None
            try:
                paths = await api.download(submission.remote_id or "", context.responses_dir)
            except AccountStoppedError as error:
                context.stop.ask(error.message, error=error)
                return None
            except ProviderRejectedError as error:
                refused += 1
                self._note_refusal(submission, error)
                if is_results_gone(context, submission, error, refused):
                    return _what_came(paths, error)
                if refused >= REFUSALS and not is_gone(error):
                    return None
            except ProviderUnavailableError as error:
                asked = error.retry_after_seconds
                context.notes["network"] = f"waiting for results: {error.message}"
                log.warning("%s; trying again", error.message)
            else:
                context.notes.pop("network", None)
                context.notes.pop(submission.token, None)
                fetched += 1
                lines = sum(map(_line_count, paths))
                most = _FETCHES if lines >= look.counts.succeeded else _FETCHES_OF_PAID
                if fetched >= most or self._is_whole(lines, api.items, paths, look, submission):
                    return paths
                log.warning("results of batch %s are not complete", submission.remote_id)
            wait = _BACKOFF.wait_seconds(attempt, context.clock.random, asked)
            if not await context.pause(wait * context.config.poll_factor, until_leaving=True):
                return None

    def _note_refusal(self, submission: Submission, error: ProviderRejectedError) -> None:
        said = (
            f"{submission.provider} does not give out the results of batch "
            f"{submission.remote_id}: {error.message}; "
            + ("asking for some minutes before it is believed" if is_gone(error) else GIVE_UP)
        )
        if self._context.notes.get(submission.token) != said:
            log.error("%s", said)
        self._context.notes[submission.token] = said

    def _is_whole(
        self, lines: int, items: Any, paths: list[Path], look: BatchLook, submission: Submission
    ) -> bool:
        promised = min(look.counts.done, len(submission.seqs))
        return lines >= promised and all(_ends_whole(path, items) for path in paths)

    def _items(self, submission: Submission, paths: list[Path]) -> Iterator[Item]:
        api = self._context.api(submission.provider)
        for path in paths:
            yield from api.items(path)

    def _sorted(self, paths: list[Path]) -> list[Path]:
        """The files where they are kept: errors have a folder of their own."""
        if not self._context.keeps_raw:
            return paths
        return [self._filed(path) if path.stem.endswith("_errors") else path for path in paths]

    def _filed(self, path: Path) -> Path:
        folder = self._context.errors_dir
        folder.mkdir(parents=True, exist_ok=True)
        return path.replace(folder / path.name)

    def _clean(self, paths: list[Path]) -> None:
        if not self._context.keeps_raw:
            for path in paths:
                with suppress(OSError):  # the answers are safe; the file is only in the way
                    path.unlink(missing_ok=True)


class _Reading:
    """One pass over a submission's results."""

    def __init__(self, context: RunContext, submission: Submission, look: BatchLook) -> None:
        self._context = context
        self._submission = submission
        self._look = look
        self._codec: Codec = context.providers[submission.provider].codec
        self._api = context.api(submission.provider)
        left = context.state.unsettled(submission.token)
        ids = context.store.ids(left)
        custom_id, token = self._api.custom_id, submission.token
        self._left = {custom_id(token, job_id): seq for seq, job_id in zip(left, ids, strict=True)}
        self._now_us = context.now_us()
        self._settler = Settler(context, "batch")
        self._unreadable = 0
        self._answers = self._answered_before(len(left))  #: lines that the vendor bills for
        self.account: Failure | None = None

    def outcome(self, item: Item) -> Outcome | None:
        """The outcome that a line gives its job; None for an unknown or repeated one."""
        seq = self._left.pop(item.custom_id, None)
        if seq is None:
            self._strange(item)
            return None
        if item.failure is not None:
            self._answers += item.failure.reason is Reason.UNREADABLE
            return self._failed(seq, item.failure)
        self._answers += 1
        shape = self._context.shape(seq)
        answer = self._codec.decode(shape, item.body or b"")
        if isinstance(answer, Failure):
            return self._failed(seq, answer)
        return self._answered(seq, shape, answer, item.request_id)

    def missing(self) -> list[Outcome]:
        """Outcomes of the jobs that no line belongs to."""
        if not self._left:
            return []
        if self._unreadable:
            failure = Failure(
                Reason.UNREADABLE,
                f"no readable answer from provider: {self._unreadable} lines of batch "
                f"{self._submission.remote_id} cannot be told apart",
            )
        else:
            failure = _why_missing(self._look)
        lost = 0 if self._unreadable else self._lost_answers()
        return [
            self._failed(seq, _LOST if number < lost else failure, is_paid=number < lost)
            for number, seq in enumerate(self._left.values())
        ]

    def _lost_answers(self) -> int:
        """How many answers the vendor counts, and so bills, but has in none of its files."""
        return self._look.counts.succeeded - self._answers

    def _answered_before(self, left: int) -> int:
        """Answers of this submission that a process settled before it died."""
        seqs, state = self._submission.seqs, self._context.state
        if left == len(seqs):
            return 0
        return sum(
            state.status_of(seq) is JobStatus.SUCCEEDED or state.reason_of(seq) in PAID_FAILURES
            for seq in seqs
        )

    def _strange(self, item: Item) -> None:
        name = self._submission.remote_id
        if not item.custom_id:
            self._unreadable += 1
            why = item.failure.message if item.failure else "a line without a custom_id"
            log.error("batch %s: %s", name, why)
        else:
            log.warning("batch %s: ignoring another line for %r", name, item.custom_id)

    def _answered(self, seq: int, shape: Shape, answer: Answer, request_id: str | None) -> Outcome:
        return self._settler.answered(
            seq,
            shape,
            answer,
            token=self._submission.token,
            request_id=request_id,
            now_us=self._now_us,
        )

    def _failed(self, seq: int, failure: Failure, *, is_paid: bool = False) -> Outcome:
        if failure.reason is Reason.ACCOUNT:
            self.account = failure
        return self._settler.failed(
            seq, failure, token=self._submission.token, now_us=self._now_us, is_paid=is_paid
        )


def _why_missing(look: BatchLook) -> Failure:
    if look.state == "expired":
        return Failure(Reason.EXPIRED, "the vendor did not get to it in its time window")
    if look.state == "cancelled":
        return Failure(Reason.VENDOR_CANCELLED, "the batch was cancelled before it was reached")
    if look.failure is not None:
        return Failure(Reason.MISSING, f"no answer from provider: {look.failure.message}")
    return Failure(Reason.MISSING, "no answer from provider")


def _what_came(paths: list[Path], error: ProviderRejectedError) -> list[Path]:
    """The files fetched before the rest was gone; raises the error when there are none."""
    if not paths:
        raise error
    return paths


def _line_count(path: Path) -> int:
    count = 0
    with path.open("rb") as file:
        while piece := file.read(1024 * 1024):
            count += piece.count(b"\n")
    return count + (0 if _ends_in_newline(path) else 1)


def _ends_in_newline(path: Path) -> bool:
    size = path.stat().st_size
    if not size:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"


def _ends_whole(path: Path, items: Any) -> bool:
    """True unless the last line stops in the middle of its JSON."""
    if _ends_in_newline(path):
        return True
    last: Item | None = None
    for item in items(path):
        last = item
    return last is None or last.failure is None or last.failure.reason is not Reason.UNREADABLE
