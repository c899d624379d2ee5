"""Vendors' rate-limit headers in our words. Source: the vendors' rate-limit guides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from batchata.core.pacing import Quota
from batchata.providers.failures import retry_after_seconds

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SILENT: Final = Quota()


def openai_quota(headers: Mapping[str, str]) -> Quota:
    """Limits of `x-ratelimit-*`; resets are durations such as "6m0s" or "20ms"."""
    wait = retry_after_seconds(headers)
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return _SILENT if wait is None else Quota(retry_after_seconds=wait)
    return Quota(
        requests_limit=_whole(headers.get("x-ratelimit-limit-requests")),
        requests_left=_whole(headers.get("x-ratelimit-remaining-requests")),
        requests_reset_seconds=_duration(headers.get("x-ratelimit-reset-requests")),
        tokens_limit=_whole(headers.get("x-ratelimit-limit-tokens")),
        tokens_left=_whole(headers.get("x-ratelimit-remaining-tokens")),
        tokens_reset_seconds=_duration(headers.get("x-ratelimit-reset-tokens")),
        retry_after_seconds=wait,
    )


def anthropic_quota(headers: Mapping[str, str]) -> Quota:
    """Limits of `anthropic-ratelimit-*`; resets are RFC 3339 times."""
    wait = retry_after_seconds(headers)
    name = "anthropic-ratelimit-"
    if f"{name}requests-limit" not in headers and f"{name}tokens-limit" not in headers:
        return _SILENT if wait is None else Quota(retry_after_seconds=wait)
    kind = "tokens" if f"{name}tokens-limit" in headers else "input-tokens"
    return Quota(
        requests_limit=_whole(headers.get(f"{name}requests-limit")),
        requests_left=_whole(headers.get(f"{name}requests-remaining")),
        requests_reset_seconds=_until(headers.get(f"{name}requests-reset")),
        tokens_limit=_whole(headers.get(f"{name}{kind}-limit")),
        tokens_left=_whole(headers.get(f"{name}{kind}-remaining")),
        tokens_reset_seconds=_until(headers.get(f"{name}{kind}-reset")),
        retry_after_seconds=wait,
    )


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and value.strip().isdigit() else None


def _duration(value: str | None) -> float | None:
    if value is None:
        return None
    parts = _DURATION.findall(value)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def _until(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
