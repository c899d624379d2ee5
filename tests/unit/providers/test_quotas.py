"""Rate limits as vendors write them into headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batchata.core.pacing import Quota
from batchata.providers.quotas import anthropic_quota, openai_quota


def openai_headers(**changed: str) -> dict[str, str]:
    """What OpenAI sends with an answer."""
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0.3s",
    }
    return headers | {name.replace("_", "-"): value for name, value in changed.items()}


def test_openais_limits_are_read() -> None:
    quota = openai_quota(openai_headers())

    assert (quota.requests_limit, quota.requests_left) == (500, 499)
    assert (quota.tokens_limit, quota.tokens_left) == (200_000, 0)
    assert quota.requests_reset_seconds == pytest.approx(0.12)
    assert quota.tokens_reset_seconds == pytest.approx(360.3)


@pytest.mark.parametrize(("project", "holds"), [("50000", 50_000), ("900000", 200_000)])
def test_the_lower_of_the_accounts_and_the_projects_limit_holds(project: str, holds: int) -> None:
    quota = openai_quota(
        openai_headers(
            x_ratelimit_limit_project_tokens=project,
            x_ratelimit_remaining_project_tokens="40000",
            x_ratelimit_reset_project_tokens="12s",
        )
    )

    assert quota.tokens_limit == holds
    assert quota.tokens_left == (40_000 if holds == 50_000 else 0)


def test_a_quota_of_a_day_is_no_pace() -> None:
    quota = openai_quota(
        openai_headers(x_ratelimit_remaining_requests="400", x_ratelimit_reset_requests="4h48m")
    )

    assert quota.requests_limit is None
    assert quota.requests_left == 400
    assert quota.tokens_limit == 200_000


@pytest.mark.parametrize("reset", ["59.9s", "60s", "6m0s"])
def test_an_exhausted_quota_of_minutes_is_a_pace(reset: str) -> None:
    quota = openai_quota(
        openai_headers(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests=reset)
    )

    assert quota.requests_limit == 500


def test_anthropics_limits_are_read() -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=300)).isoformat()
    name = "anthropic-ratelimit"

    quota = anthropic_quota(
        {
            f"{name}-requests-limit": "50",
            f"{name}-requests-remaining": "0",
            f"{name}-requests-reset": soon,
            f"{name}-input-tokens-limit": "40000",
            f"{name}-input-tokens-remaining": "39000",
            f"{name}-input-tokens-reset": soon.replace("+00:00", "Z"),
            "retry-after": "12",
        }
    )

    assert (quota.requests_limit, quota.requests_left) == (50, 0)
    assert (quota.tokens_limit, quota.tokens_left) == (40_000, 39_000)
    assert quota.requests_reset_seconds == pytest.approx(300, abs=100)
    assert quota.tokens_reset_seconds == pytest.approx(300, abs=100)
    assert quota.retry_after_seconds == 12


@pytest.mark.parametrize("read", [openai_quota, anthropic_quota])
def test_an_answer_without_limits_says_nothing(read: object) -> None:
    assert callable(read)
    assert read({"content-type": "application/json"}) == Quota()


@pytest.mark.parametrize("words", ["many", "0", "-1", "\u00b2", "9" * 400])
def test_words_that_nobody_can_read_are_no_limits(words: str) -> None:
    quota = openai_quota(
        openai_headers(x_ratelimit_limit_requests=words, x_ratelimit_reset_requests="soon")
    )
    claude = anthropic_quota({"anthropic-ratelimit-requests-limit": words})

    assert quota.requests_limit is None
    assert quota.requests_reset_seconds is None
    assert claude.requests_limit is None
