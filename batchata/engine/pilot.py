"""A few jobs sent live before the rest, to see answers, failures and the expected bill."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import Any

from batchata.core.errors import UnknownPriceError
from batchata.core.events import Event, OutcomesRecorded
from batchata.core.pilot import Decide, PilotReport, PilotSize, report
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome
from batchata.core.usage import RateCard, Usage, to_parts
from batchata.engine.context import RunContext
from batchata.engine.live import LiveRoute
from batchata.engine.portal import Portal

log = logging.getLogger("batchata.engine")

_SEED = 17  #: the same jobs are the sample when the same script runs again
_SHOWN = 3


async def run_pilot(
    context: RunContext, live: LiveRoute, size: PilotSize, decide: Decide | None, pending: list[int]
) -> list[int]:
    """Send a sample live and ask whether to go on; returns the remaining jobs, none after a no."""
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
    if context.stop.is_asked or not left or decide is None:
        return left
    if not await _asked(context, decide, told):
        context.stop.ask("pilot: the answer to going on was no")
    return left


async def _asked(context: RunContext, decide: Decide, told: PilotReport) -> bool:
    """The user's decision; a stop does not wait for it.

    The question is asked in a daemon thread, so that an unanswered one does not keep the process
    alive.
    """

    async def ask() -> bool:
        return bool(decide(told))

    portal = Portal("batchata-pilot")
    answer = asyncio.wrap_future(portal.start(ask()))
    stopping = asyncio.ensure_future(context.stop.event.wait())
    either: set[asyncio.Future[Any]] = {answer, stopping}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else False
    finally:
        stopping.cancel()
        answer.cancel()
        portal.close(0)


def _report(
    context: RunContext, sample: set[int], seen: list[Outcome], left: list[int]
) -> PilotReport:
    costs, rest = dict.fromkeys(sample, 0), dict.fromkeys(sample, 0)
    reasons: Counter[str] = Counter()
    answers: list[str] = []
    prices = _Prices(context)
    for outcome in seen:
        if outcome.seq not in costs:
            continue
        costs[outcome.seq] += outcome.cost
        rest[outcome.seq] += prices.on_the_others_way(outcome)
        if outcome.status is JobStatus.FAILED and outcome.reason is not None:
            reasons[outcome.reason] += 1
        elif outcome.status is JobStatus.SUCCEEDED and len(answers) < _SHOWN:
            answers.append(outcome.text or "")
    return report(
        cost=sum(costs.values()),
        costs=list(rest.values()),
        left=len(left),
        failed=sum(reasons.values()),
        reasons=dict(reasons),
        answers=answers,
    )


class _Prices:
    """What an answer of the sample would have cost on the route of the other jobs."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._cards: dict[tuple[str, str], RateCard | None] = {}

    def on_the_others_way(self, outcome: Outcome) -> int:
        """The cost in 1e-12 USD: the live one if the others go live too, or no price is known."""
        context = self._context
        if not context.config.makes_batches or outcome.usage == Usage():
            return outcome.cost
        shape = context.shape(outcome.seq)
        key = (shape.provider, shape.model)
        if key not in self._cards:
            self._cards[key] = self._card(*key)
        card = self._cards[key]
        return outcome.cost if card is None else to_parts(card.cost_usd(outcome.usage))

    def _card(self, provider: str, model: str) -> RateCard | None:
        found = self._context.providers.get(provider)
        if found is None or found.batch is None:
            return None
        try:
            card: RateCard = self._context.card(provider, model, "batch")
        except UnknownPriceError:
            return None
        return card
