"""How the jobs of a batch reach their vendors: route, retries, stops, pilot, uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

from batchata.core.config import (
    OnStop,
    OnUnresolved,
    RouteName,
    RunConfig,
    check_callable,
    check_mapping,
    checked_choice,
    checked_reasons,
)
from batchata.core.errors import ValidationError
from batchata.core.job import check_number
from batchata.core.pacing import PaceCaps
from batchata.core.pilot import PilotReport, PilotSize
from batchata.core.upload import UploadMode


class RouteSettings:
    """How jobs reach their vendors, and what happens when something is in the way."""

    config: RunConfig
    decide: Callable[[PilotReport], bool] | None = None

    def set_queue_limits(self, tokens_by_model: Mapping[str, int]) -> Self:
        """Set your account's limits of enqueued tokens ("Batch queue limit" on model pages)."""
        check_mapping("the queue limits", tokens_by_model, '{"gpt-6-luna": 5_000_000}')
        for model, tokens in tokens_by_model.items():
            check_number(f"the queue limit of {model!r}", tokens, least=1, whole=True)
        return self._set(queue_tokens=dict(tokens_by_model))

    def set_retries(
        self,
        max_attempts: int = 3,
        *,
        retry_on: Iterable[str] = (),
        max_reasks: int = 2,
        settle_seconds: float = 60.0,
    ) -> Self:
        """Set how often a job is tried; `retry_on` adds paid failures such as "truncated".

        With "invalid_answer" in it, a job whose answer does not fit its schema is asked again with
        that answer and what was wrong with it: `max_reasks` times, and never beyond `max_attempts`.
        """
        check_number("max_attempts", max_attempts, least=1, most=100, whole=True)
        check_number("max_reasks", max_reasks, least=0, most=100, whole=True)
        check_number("settle_seconds", settle_seconds, least=0)
        reasons = checked_reasons(retry_on if isinstance(retry_on, str) else list(retry_on))
        return self._set(
            max_attempts=max_attempts,
            retry_on=reasons,
            max_reasks=max_reasks,
            settle_seconds=settle_seconds,
        )

    def set_stop(self, on_stop: OnStop = "detach", *, on_unresolved: OnUnresolved = "wait") -> Self:
        """Say what happens to batches in flight on a stop, and to batches that cannot be found."""
        checked_choice("on_stop", on_stop, ("detach", "cancel"))
        checked_choice("on_unresolved", on_unresolved, ("wait", "ask", "resubmit"))
        return self._set(on_stop=on_stop, on_unresolved=on_unresolved)

    def set_route(
        self,
        route: RouteName = "batch",
        *,
        concurrency: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
    ) -> Self:
        """Choose how jobs travel: "batch" at half price within a day, or "live" at once.

        "background" starts OpenAI responses at live prices and fetches each when it is done: no
        connection is held open, and a stopped run goes on fetching when it is started again.
        "auto" sends batches and, when the time of `finish_within()` is over, cancels what is not
        back and finishes it live; its budget is reserved at live prices.
        The live route obeys the rate limits that vendors report in their answers; `concurrency`
        (calls in flight, or responses in the background), `rpm` (requests a minute) and `tpm`
        (tokens a minute) apply to each model and can only lower them.
        """
        checked_choice("route", route, ("batch", "live", "background", "auto"))
        for name, value in (("concurrency", concurrency), ("rpm", rpm), ("tpm", tpm)):
            check_number(name, value, least=1, whole=True)
        caps = PaceCaps(concurrency=concurrency, requests_per_minute=rpm, tokens_per_minute=tpm)
        return self._set(route=route, pace=caps)

    def finish_within(
        self,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
    ) -> Self:
        """Send batches first; what is not back within this time is cancelled and finished live.

        The time begins with the oldest batch in flight, even if another process sent it.
        """
        return self._set(route="auto", finish_within_seconds=seconds_of(seconds, minutes, hours))

    def add_pilot(
        self,
        share: float | None = None,
        *,
        jobs: int | None = None,
        decide: Callable[[PilotReport], bool] | None = None,
    ) -> Self:
        """Send a sample live before the others: a `share` of the jobs, or a number of `jobs`.

        `decide(report)` sees answers, failures and the expected bill with its margin of error, and
        returns whether to go on; without it the run goes on.
        """
        if (share is None) == (jobs is None):
            given = "both" if share is not None else "neither"
            raise ValidationError(
                f"a pilot needs a share or a number of jobs: {given} was given",
                hint="write add_pilot(share=0.01) or add_pilot(jobs=20)",
            )
        check_callable("decide", decide)
        check_number("share", share, least=0, most=1)
        check_number("jobs", jobs, least=1, whole=True)
        self.decide = decide
        return self._set(pilot=PilotSize(share=share, jobs=jobs))

    def set_uploads(self, mode: UploadMode = "auto") -> Self:
        """Choose how files reach the vendor: inside the requests, or uploaded once and named by id.

        "auto" uploads a file that would add a megabyte to the requests, counted over all jobs that
        ask about it, and the files of a request that would be too large with them; "always"
        uploads every file that the vendor takes by id, "never" none.
        Uploaded files are deleted when the run ends; those that cannot be deleted expire.
        """
        checked_choice("mode", mode, ("auto", "always", "never"))
        return self._set(uploads=mode)

    def set_polling(self, factor: float = 1.0) -> Self:
        """Stretch (above 1) or shorten (below 1) the vendors' own polling intervals.

        Below 1 is for sandboxes and tests: it also shortens the waits that vendors ask for.
        """
        check_number("factor", factor, least=0)
        return self._set(poll_factor=float(factor))

    def _set(self, **changes: Any) -> Self:
        self.config = replace(self.config, **changes)
        return self


def seconds_of(seconds: float | None, minutes: float | None, hours: float | None) -> float:
    """A time in seconds; ValidationError for one that is not positive."""
    for name, value in (("seconds", seconds), ("minutes", minutes), ("hours", hours)):
        check_number(name, value, least=0)
    total = (seconds or 0) + (minutes or 0) * 60 + (hours or 0) * 3600
    if total <= 0:
        raise ValidationError(f"Time limit must be positive, not {total:g} s", hint="write hours=2")
    return float(total)
