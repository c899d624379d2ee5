"""Numbers of tokens that vendors say, and what can be kept of them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchata.core.usage import Usage, plausible, to_parts

DEAREST = Decimal(1000) / 10**6  #: USD for a token: no model costs as much


def test_a_long_context_is_plausible() -> None:
    usage = Usage(10_000_000, 1_000_000)

    assert plausible(usage) is usage


@pytest.mark.parametrize("count", [-1, 10**9, 10**12, 2**62])
def test_what_no_answer_can_have_used_is_not(count: int) -> None:
    assert plausible(Usage(count, 1)) is None


def test_answers_at_the_limit_of_the_plausible_can_be_added_up_in_a_state_file() -> None:
    counts = [2**power for power in range(62)]
    most = max(count for count in counts if plausible(Usage(count, 0)) is not None)

    assert 30 * to_parts(most * DEAREST) < 2**63
