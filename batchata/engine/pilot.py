"""A few jobs live, before all the others: to see answers, failures and the bill to come."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter

from batchata.core.events import Event, OutcomesRecorded
from batchata.core.pilot import Decide, PilotReport, PilotSize, report
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome
from batchata.engine.context import RunContext
from batchata.engine.live import LiveRoute

log = logging.getLogger("batchata.engine")

_SEED = 17  #: the same jobs are the sample when the same script runs again
_SHOWN = 3


async def fly(
    context: RunContext, live: LiveRoute, size: PilotSize, decide: Decide | None, pending: list[int]
) -> list[int]:
    """Send a sample live and ask whether to go on; the jobs that are left, none after a no."""
    sample = set(random.Random(_SEED).sample(pending, size.of(len(pending))))
    left = [seq for seq in pending if seq not in sample]
    seen: list[Outcome] = []
    tell = context.emit

    def listen(event: Event) -> None:
        tell(event)
        if isinstance(event, OutcomesRecorded):
            seen.extend(event.outcomes)

    context.emit = listen
    try:
        live.add(sorted(sample))
        await live.run()
    finally:
        context.emit = tell
    told = _report(context, sample, seen, left)
    log.info(
        "pilot: %d of %d failed, cost $%s; the %d others will cost $%s ± %s",
        told.failed,
        told.jobs,
        told.cost_usd,
        told.left,
        told.expected_usd,
        told.expected_plus_minus_usd,
    )
    if context.stop.is_asked or not left:
        return left
    if decide is not None and not await asyncio.to_thread(decide, told):
        context.stop.ask("pilot: the answer to going on was no")
    return left


def _report(
    context: RunContext, sample: set[int], seen: list[Outcome], left: list[int]
) -> PilotReport:
    costs = dict.fromkeys(sample, 0)
    reasons: Counter[str] = Counter()
    answers: list[str] = []
    for outcome in seen:
        if outcome.seq not in costs:
            continue
        costs[outcome.seq] += outcome.cost
        if outcome.status is JobStatus.FAILED and outcome.reason is not None:
            reasons[outcome.reason] += 1
        elif outcome.status is JobStatus.SUCCEEDED and len(answers) < _SHOWN:
            answers.append(outcome.text or "")
    return report(
        costs=list(costs.values()),
        left_price=_left_price(context, sample),
        left=len(left),
        failed=sum(reasons.values()),
        reasons=dict(reasons),
        answers=answers,
    )


def _left_price(context: RunContext, sample: set[int]) -> float:
    """What a job costs on the way the others go, as a share of its live price."""
    if context.config.route == "live":
        return 1.0
    shape = context.shape(min(sample))
    live = context.card(shape.provider, shape.model, "standard").rates.output_usd
    batch = context.card(shape.provider, shape.model, "batch").rates.output_usd
    return float(batch / live) if live else 1.0
