"""Whatever goes wrong at once: rows out are rows in, in order, and every cent is accounted for."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_lab import MODELS, PRICES, Lab

from batchata import Usage
from batchata.core.usage import from_parts, to_parts
from batchata.engine import feeding
from batchata.gateway import HttpFault, ItemFault, Scenario

JOBS = 24
folders = count()

statuses = st.sampled_from([408, 409, 429, 500, 502, 503, 529, 400, 404])
http_faults = st.one_of(
    st.builds(
        HttpFault,
        action=st.just("status"),
        status=statuses,
        times=st.integers(1, 6),
        skip=st.integers(0, 10),
        retry_after_seconds=st.sampled_from([None, 1.0, 20.0]),
    ),
    st.builds(
        HttpFault,
        action=st.sampled_from(["cut", "cut_after"]),
        times=st.integers(1, 2),
        skip=st.integers(0, 10),
    ),
)
item_faults = st.builds(
    ItemFault,
    outcome=st.sampled_from(["refusal", "length", "usage_null", "failed", "overloaded"]),
    share=st.floats(0.1, 0.5),
    attempts=st.sampled_from([None, 1]),
)


def billed_usd(lab: Lab) -> Decimal:
    """The vendors' bill for live calls."""
    total = 0
    for call in lab.ledger.live:
        usage = Usage(call.input_tokens, call.output_tokens, call.cached_tokens)
        total += to_parts(PRICES.card(call.vendor, call.model, "standard").cost_usd(usage))
    return from_parts(total)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    vendor=st.sampled_from(sorted(MODELS)),
    http=st.lists(http_faults, max_size=3),
    items=st.lists(item_faults, max_size=2),
    concurrency=st.sampled_from([None, 1, 5]),
    taken_in=st.sampled_from([1, 5, 200]),
)
def test_rows_out_are_rows_in_and_money_is_accounted_for(
    lab: Lab,
    vendor: str,
    http: list[HttpFault],
    items: list[ItemFault],
    concurrency: int | None,
    taken_in: int,
) -> None:
    lab.play(scenario=Scenario(http=tuple(http), items=tuple(items)))
    lab.box.reset()
    batch = lab.chat(JOBS, MODELS[vendor], results_dir=lab.folder / str(next(folders)))
    bound = batch.estimate().worst_case_usd * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeding, "_FIRST", taken_in)
        patch.setattr(feeding, "_GROUP", taken_in)
        run = batch.set_route("live", concurrency=concurrency).run()

    status, results = run.status(), list(run.results().iter_all())
    assert [result.job_id for result in results] == [f"q{number}" for number in range(JOBS)]
    assert status["completed"] + status["failed"] == status["total"] == JOBS
    assert status["reserved_usd"] == status["calls_in_flight"] == 0
    answered = {call.content for call in lab.ledger.live}
    assert status["completed"] <= len(answered)
    # an answer without usage is counted at its bound, and a lost one as possibly billed
    assert billed_usd(lab) <= status["cost_usd"] + status["possibly_billed_usd"] <= 3 * bound
    if not any(item.outcome == "usage_null" for item in items):
        assert status["cost_usd"] <= billed_usd(lab)
