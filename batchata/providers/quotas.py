"""Vendors' rate-limit headers as quotas. Source: the vendors' rate-limit guides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from batchata.core.pacing import Quota
from batchata.providers.failures import retry_after_seconds

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE: Final = re.compile(r"\s*[0-9]{1,15}\s*")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SILENT: Final = Quota()
#: a limit that holds for longer is a quota of hours or days, and no pace
_LONG_SECONDS: Final = 1800.0


def openai_quota(headers: Mapping[str, str]) -> Quota:
    """Limits of `x-ratelimit-*`; resets are durations such as "6m0s" or "20ms"."""
    wait = retry_after_seconds(headers)
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return _SILENT if wait is None else Quota(retry_after_seconds=wait)
    requests = _limit(headers, "x-ratelimit-{}-requests")
    tokens = _limit(headers, "x-ratelimit-{}-tokens")
    if "x-ratelimit-limit-project-tokens" in headers:
        project = _limit(headers, "x-ratelimit-{}-project-tokens")
        tokens = min(tokens, project, key=_lowest)
    return Quota(
        requests_limit=requests.per_minute,
        requests_left=requests.left,
        requests_reset_seconds=requests.reset_seconds,
        tokens_limit=tokens.per_minute,
        tokens_left=tokens.left,
        tokens_reset_seconds=tokens.reset_seconds,
        retry_after_seconds=wait,
    )


class _Limit(NamedTuple):
    per_minute: int | None
    left: int | None
    reset_seconds: float | None


def _lowest(limit: _Limit) -> float:
    """The lower of two limits on the same thing."""
    return float("inf") if limit.per_minute is None else limit.per_minute


def _limit(headers: Mapping[str, str], name: str) -> _Limit:
    """One limit; without a pace where it holds for longer than minutes, as a day's quota does.

    The time until all is there again tells for how long it holds; where windows of a minute are
    counted from their beginning, it is never more than that minute. Servers that set none say 0.
    """
    limit = _whole(headers.get(name.format("limit")))
    if limit == 0:
        return _Limit(None, None, None)
    left = _whole(headers.get(name.format("remaining")))
    reset = _duration(headers.get(name.format("reset")))
    if limit and left is not None and reset is not None and left < limit and reset > 60:
        holds_seconds = reset * limit / (limit - left)
        if holds_seconds > _LONG_SECONDS:
            return _Limit(None, left, reset)
    return _Limit(limit, left, reset)


def anthropic_quota(headers: Mapping[str, str]) -> Quota:
    """Limits of `anthropic-ratelimit-*`; resets are RFC 3339 times."""
    wait = retry_after_seconds(headers)
    name = "anthropic-ratelimit-"
    if f"{name}requests-limit" not in headers and f"{name}tokens-limit" not in headers:
        return _SILENT if wait is None else Quota(retry_after_seconds=wait)
    kind = "tokens" if f"{name}tokens-limit" in headers else "input-tokens"
    return Quota(
        requests_limit=_whole(headers.get(f"{name}requests-limit")) or None,
        requests_left=_whole(headers.get(f"{name}requests-remaining")),
        requests_reset_seconds=_until(headers.get(f"{name}requests-reset")),
        tokens_limit=_whole(headers.get(f"{name}{kind}-limit")) or None,
        tokens_left=_whole(headers.get(f"{name}{kind}-remaining")),
        tokens_reset_seconds=_until(headers.get(f"{name}{kind}-reset")),
        retry_after_seconds=wait,
    )


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and _WHOLE.fullmatch(value) else None


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
