"""The outcome of one attempt of a job on any route: its status, its reason and its cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from batchata.core.answer_extra import extra_json
from batchata.core.bounds import DEARER_TIERS
from batchata.core.errors import UnknownPriceError
from batchata.core.result import MAYBE_BILLED, Answer, Failure, Reason
from batchata.core.retry import goes_again
from batchata.core.schema_checker import Checker, checker_of
from batchata.core.status import JobStatus
from batchata.core.submission import CANCEL_ASKED, Bounds, Outcome, Shape
from batchata.core.usage import RateCard, Usage, to_parts
from batchata.core.verdict import verdict_of
from batchata.engine.context import RunContext
from batchata.engine.reasking import next_bounds


class Settler:
    """Turns answers and failures into outcomes."""

    def __init__(self, context: RunContext, tier: str) -> None:
        self._context = context
        self._tier = tier
        self._cards: dict[tuple[str, str, str], RateCard | None] = {}
        self._schemas: dict[int, Checker] = {}

    def answered(
        self,
        seq: int,
        shape: Shape,
        answer: Answer,
        *,
        token: str,
        request_id: str | None,
        now_us: int,
    ) -> Outcome:
        """The outcome of a paid answer, useful or not."""
        context = self._context
        number = context.state.shape_of[seq]
        model = context.response_models.get(number)
        verdict = verdict_of(
            answer,
            model,
            self._schema(number, shape) if model is None else None,
            shape=shape,
        )
        attempt = context.state.attempts[seq] + 1
        status, failure, again = JobStatus.SUCCEEDED, verdict.failure, None
        if failure is not None:
            status, again = self._refused(seq, shape, answer.text, failure, attempt)
        return Outcome(
            seq=seq,
            status=status,
            attempt=attempt,
            token=token,
            reason=failure.reason if failure else None,
            error=failure.message if failure else None,
            cost=self._cost(seq, shape, answer),
            usage=answer.usage or Usage(),
            finish_reason=answer.finish_reason,
            model=answer.model or None,
            request_id=request_id or answer.request_id,
            text=answer.text,
            parsed=verdict.parsed,
            extra=extra_json(answer, verdict),
            finished_us=now_us,
            again=again,
        )

    def _refused(
        self, seq: int, shape: Shape, text: str, failure: Failure, attempt: int
    ) -> tuple[JobStatus, Bounds | None]:
        """What becomes of a job whose paid answer cannot be used."""
        if not self._goes_again(seq, failure.reason, attempt):
            return JobStatus.FAILED, None
        if failure.reason is not Reason.INVALID_ANSWER:
            return JobStatus.PENDING, None
        try:
            bounds = next_bounds(self._context, seq, shape, text, failure.message)
        except UnknownPriceError:
            return JobStatus.FAILED, None
        return JobStatus.PENDING, bounds

    def _goes_again(self, seq: int, reason: Reason, attempt: int) -> bool:
        config, reasks = self._context.config, self._context.state.reasks
        if reason is Reason.INVALID_ANSWER and reasks.get(seq, 0) >= config.max_reasks:
            return False
        return goes_again(reason, attempt, config.max_attempts, self._retry_on)

    def failed(
        self, seq: int, failure: Failure, *, token: str, now_us: int, is_paid: bool = False
    ) -> Outcome:
        """The outcome of an attempt without an answer; a paid one costs its bound.

        What may have been billed for nothing stays counted beside what was spent.
        """
        context = self._context
        attempt = context.state.attempts[seq] + 1
        status = JobStatus.FAILED
        if context.stop.cancels and failure.reason is Reason.VENDOR_CANCELLED:
            status = JobStatus.CANCELLED
            failure = Failure(Reason.CANCELLED, "Cancelled by user")
        elif self._is_free(failure, token):
            status, attempt = JobStatus.PENDING, attempt - 1
        elif self._goes_again(seq, failure.reason, attempt):
            status = JobStatus.PENDING
        is_paid = is_paid or failure.reason is Reason.UNREADABLE
        cost = context.state.cost_bound[seq] if is_paid else 0
        if failure.cost_usd is not None:
            cost = to_parts(failure.cost_usd)
        return Outcome(
            seq=seq,
            status=status,
            attempt=attempt,
            token=token,
            reason=failure.reason,
            error=failure.message,
            cost=cost,
            request_id=failure.request_id,
            finished_us=now_us,
            uncertain=context.state.cost_bound[seq] if failure.reason in MAYBE_BILLED else 0,
        )

    @property
    def _retry_on(self) -> frozenset[Reason]:
        config = self._context.config
        if config.on_unresolved == "resubmit":  # the user's word for what the vendor cannot tell
            return config.retry_on | {Reason.RESULTS_GONE}
        return config.retry_on

    def _is_free(self, failure: Failure, token: str) -> bool:
        """True for an attempt that does not count, being no fault of the job or the vendor."""
        if failure.reason is Reason.VENDOR_CANCELLED:
            submission = self._context.state.submissions.get(token)
            is_ours = submission is not None and submission.note == CANCEL_ASKED
            return is_ours or self._context.is_late
        return failure.reason is Reason.ACCOUNT

    def _cost(self, seq: int, shape: Shape, answer: Answer) -> int:
        if answer.cost_usd is not None:
            return to_parts(answer.cost_usd)
        card = self._card(shape, answer.service_tier)
        if answer.usage is None or card is None:  # not said: the most it can have cost
            return self._context.state.cost_bound[seq]
        return to_parts(card.cost_usd(answer.usage) * answer.price_factor)

    def _card(self, shape: Shape, service_tier: str | None) -> RateCard | None:
        tier = self._tier
        if tier == "standard" and service_tier in ("flex", *DEARER_TIERS):
            tier = service_tier
        key = (shape.provider, shape.model, tier)
        if key not in self._cards:
            try:
                self._cards[key] = self._context.card(*key)
            except UnknownPriceError:
                self._cards[key] = None
        return self._cards[key]

    def _schema(self, number: int, shape: Shape) -> Checker | None:
        if shape.schema is None:
            return None
        known = self._schemas.get(number)
        if known is None:
            known = self._schemas[number] = checker_of(shape.schema)
        return known


def ended(
    context: RunContext, seqs: Sequence[int], status: JobStatus, failure: Failure
) -> list[Outcome]:
    """Outcomes of jobs that end without having been sent, or sent again: an answer is kept."""
    now_us = context.now_us()
    answers = context.store.refused([seq for seq in seqs if seq in context.state.reasks])
    return [
        Outcome(
            seq=seq,
            status=status,
            attempt=context.state.attempts[seq],
            reason=failure.reason,
            error=f"{failure.message}; before, {answers[seq][1]}"
            if seq in answers
            else failure.message,
            text=answers[seq][0] if seq in answers else None,
            finished_us=now_us,
        )
        for seq in seqs
    ]


def skipped(context: RunContext, seqs: Sequence[int]) -> list[Outcome]:
    """Outcomes of jobs that do not fit into what is left of the budget."""
    cost = context.state.cost
    left, limit = ((each or Decimal()).normalize() for each in (cost.remaining(), cost.limit_usd))
    said = (
        f"Cost limit exceeded: ${left:f} of ${limit:f} is left, less than the job can cost; "
        "raise the cost limit, or bound answers by max_tokens, and run again"
    )
    return ended(context, seqs, JobStatus.SKIPPED, Failure(Reason.COST_LIMIT, said))
