"""A run as a person sees it, from its state and what vendors told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from batchata.core.assemble import moment
from batchata.core.config import RunConfig
from batchata.core.events import (
    Event,
    OutcomesRecorded,
    RemoteProgress,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.progress import LiveView, RunView, SubmissionView
from batchata.core.speed import Speed
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Submission
from batchata.core.usage import Usage, from_parts
from batchata.engine.context import RunContext

_RECENT = 5


class Viewer:
    """Builds RunViews; is told of events so that it knows what ended lately."""

    def __init__(self, context: RunContext, named: RunConfig | None = None) -> None:
        self._context = context
        self._named = named or context.config  #: with paths as the user wrote them
        self._began = context.clock.monotonic()
        self._done_before = self._done()
        self._recent: deque[SubmissionView] = deque(maxlen=_RECENT)
        self._waiting: Callable[[], int] = lambda: 0
        self._is_exact: Callable[[], bool] = lambda: True
        self._live: Callable[[], LiveView | None] = lambda: None
        self.is_taking_in: Callable[[], bool] = lambda: False  #: more jobs come
        self._speed = Speed(self._began, 0, _tokens(context.state.usage))

    def emit(self, event: Event) -> None:
        """Note what ended."""
        token: str | None = None
        if isinstance(event, OutcomesRecorded):
            token = event.closes
        elif isinstance(event, SubmissionMoved) and event.status is SubmissionStatus.DROPPED:
            token = event.token
        elif isinstance(event, (RemoteProgress, SubmissionIntended)):
            return
        submission = self._context.state.submissions[token] if token is not None else None
        if submission is not None and submission.route == "batch":
            view = self._submission(submission)
            ended = replace(view, finished_at=self._context.clock.now())
            self._recent.append(ended)

    def watch(
        self,
        waiting: Callable[[], int],
        is_exact: Callable[[], bool],
        live: Callable[[], LiveView | None],
    ) -> None:
        """Ask these for jobs that wait for a batch, whether all prices are exact, live calls."""
        self._waiting, self._is_exact, self._live = waiting, is_exact, live

    def met(self, done: int) -> None:
        """Count jobs that were done before this process began."""
        self._done_before += done

    def view(self, *, has_ended: bool = False) -> RunView:
        """The run now."""
        context = self._context
        state, config, named = context.state, context.config, self._named
        opened = [each for each in state.open_submissions() if _is_shown(each)]
        batches = sum(map(_is_shown, state.submissions.values()))
        is_taking_in = self.is_taking_in()
        items, waiting = config.items_per_batch, self._waiting()
        return RunView(
            run_id=context.run_id,
            total=sum(state.counts),
            pending=state.count(JobStatus.PENDING),
            submitted=state.count(JobStatus.SUBMITTED),
            succeeded=state.count(JobStatus.SUCCEEDED),
            failed=state.count(JobStatus.FAILED),
            cancelled=state.count(JobStatus.CANCELLED),
            skipped=state.count(JobStatus.SKIPPED),
            done_before=self._done_before,
            spent_usd=state.cost.used_usd,
            reserved_usd=state.cost.reserved_usd,
            uncertain_calls=state.cost.uncertain_calls,
            uncertain_usd=state.cost.uncertain_usd,
            limit_usd=state.cost.limit_usd,
            is_cost_exact=self._is_exact(),
            input_tokens=state.usage.input_tokens,
            output_tokens=state.usage.output_tokens,
            elapsed_seconds=context.clock.monotonic() - self._began,
            submissions_total=batches,
            submissions_done=batches - len(opened),
            submissions_waiting=-(-waiting // items) if items and waiting else 0,
            items_per_batch=items,
            active=(*(self._submission(each) for each in opened), *self._recent),
            live=None if has_ended else self._live_now(),
            note=self._note(),
            results_dir=str(named.results_dir) if named.results_dir else None,
            state_file=str(named.state_file) if named.state_file and not config.go_on else None,
            is_taking_in=is_taking_in,
            is_complete=has_ended and not is_taking_in and self._done() == sum(state.counts),
        )

    @property
    def usage(self) -> Usage:
        """Tokens of all runs of the state file."""
        return self._context.state.usage

    def _live_now(self) -> LiveView | None:
        jobs_per_second, tokens_per_minute = self._speed.read(
            self._context.clock.monotonic(),
            self._done() - self._done_before,
            _tokens(self._context.state.usage),
        )
        live = self._live()
        if live is None:
            return None
        return replace(live, jobs_per_second=jobs_per_second, tokens_per_minute=tokens_per_minute)

    def _note(self) -> str | None:
        context = self._context
        if context.stop.is_asked:
            return f"stopping: {(context.stop.reason or '').split(': ', 1)[-1]}"
        note = next(iter(context.notes.values()), None)
        if note is None and self.is_taking_in() and self._done() == sum(context.state.counts):
            return "waiting for the next job of the script"
        return note

    def _done(self) -> int:
        counts = self._context.state.count
        return sum(counts(status) for status in JobStatus if status.is_final)

    def _submission(self, each: Submission) -> SubmissionView:
        context = self._context
        state = context.state
        progress = context.progress.get(each.token)
        total = len(each.seqs)
        settled = total - state.left.get(each.token, 0)
        word = each.status.name.lower()
        done = failed = 0
        if progress is not None:
            failed = progress.counts.failed
        if progress is not None and each.status is SubmissionStatus.ACCEPTED:
            word, done = progress.state.value, progress.counts.done
        return SubmissionView(
            token=each.token,
            provider=each.provider,
            model=each.model,
            state=progress.state.value if progress and not each.status.is_open else word,
            total=total,
            batch_id=each.remote_id,
            done=max(done, settled),
            failed=failed,
            settled=settled,
            started_at=moment(each.accepted_us),
            cost_usd=from_parts(state.spent_by.get(each.token, 0)),
            reserved_usd=from_parts(state.held.get(each.token, 0)),
            note=each.note if each.status is not SubmissionStatus.ACCEPTED else None,
        )


def _tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens


def _is_shown(submission: Submission) -> bool:
    """True for a batch, and for any other submission that the vendor cannot tell of."""
    is_unresolved = submission.status is SubmissionStatus.UNRESOLVED
    return submission.route == "batch" or is_unresolved
