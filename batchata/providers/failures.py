"""What vendors' error codes and messages mean for us."""

from __future__ import annotations

import contextlib
import email.utils
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from batchata.core.pacing import Quota
from batchata.core.result import Failure, Reason

#: 429 and 400 codes that no waiting mends
ACCOUNT_CODES: Final = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "project_spend_limit_exceeded",
        "organization_spend_limit_exceeded",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "invalid_api_key",
        "authentication_error",
        "billing_error",
        "permission_error",
    }
)
#: what to do about an account that was stopped
MEND_ACCOUNT: Final = "check the key, its permissions and the account's credit, then run again"
_ACCOUNT_WORDS: Final = ("credit balance", "spend limit", "exceeded your current quota")
#: codes of a file that holds too much
_SIZE_CODES: Final = frozenset(
    {"too_many_tasks", "file_too_large", "max_file_size_exceeded", "too_many_requests_in_file"}
)
_QUEUE_WORDS: Final = ("enqueued token", "enqueued_token")
_OVERLOADED_CODES: Final = frozenset({"overloaded_error", "overloaded", "slow_down"})
_RATE_CODES: Final = frozenset({"rate_limit_exceeded", "rate_limit_error"})
_SERVER_CODES: Final = frozenset({"server_error", "api_error", "timeout_error", "internal_error"})


def word(code: object) -> str | None:
    """An error code as text; None for anything else that a vendor may put there."""
    return str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else None


def error_words(body: bytes) -> tuple[str | None, str]:
    """The code and the message of a vendor's error body; of any other body, its text."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    error = _error_in(found) if isinstance(found, dict) else None
    if error is None:
        return None, body[:300].decode("utf-8", "replace")
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    said = word(code) or word(error.get("code")) or word(error.get("type"))
    return said, str(error.get("message") or said or "no reason")


def moved_words(status: int, headers: Mapping[str, str]) -> tuple[None, str] | None:
    """The code and message of a redirect; None for any other answer."""
    if status not in (301, 302, 303, 307, 308):
        return None
    address = headers.get("location", "nowhere")
    return None, f"it sends us to {address!r}; give the address of the API itself as base_url"


def _error_in(found: dict[str, Any]) -> dict[str, Any] | None:
    """The error of a body: in a place of its own, as text alone, or the body itself.

    The latter two are what vLLM before 0.11, SGLang, Ollama and web frameworks send.
    """
    error = found.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str) and error:
        return {**found, "message": error}
    said = found.get("message") or found.get("detail")
    return {**found, "message": said} if isinstance(said, str) else None


def is_account_stop(status: int | None, code: str | None, message: str) -> bool:
    """True when nothing more can be sent until the user fixes the key, permissions or credit."""
    if status in (401, 402, 403) or code in ACCOUNT_CODES:
        return True
    lowered = message.lower()
    return status in (400, 429) and any(word in lowered for word in _ACCOUNT_WORDS)


def is_model_missing(status: int | None, code: str | None, message: str) -> bool:
    """True when every request to the model would be refused: it is not there for this key.

    Files, conversations and other things that a request names can be missing too.
    """
    is_missing = status == 404 or (status is None and code == "not_found_error")
    return code == "model_not_found" or (is_missing and "model" in message.lower())


def is_queue_full(code: str | None, message: str) -> bool:
    """True when a batch was refused for now because too many tokens are enqueued."""
    lowered = message.lower()
    return code == "token_limit_exceeded" or any(word in lowered for word in _QUEUE_WORDS)


def is_too_large(code: str | None) -> bool:
    """True when a batch was refused for holding too many requests or bytes."""
    return code in _SIZE_CODES


def item_failure(
    *, status: int | None, code: object, message: str, request_id: str | None = None
) -> Failure:
    """One refused request of a batch, or one refused live call, in our words."""
    said = word(code)
    return Failure(
        reason=_reason(status, said, message),
        message=message or said or f"status {status}",
        code=said,
        status=status,
        request_id=request_id,
    )


def _reason(status: int | None, code: str | None, message: str) -> Reason:
    if code == "batch_expired":
        return Reason.EXPIRED
    if code in ("batch_cancelled", "batch_canceled"):
        return Reason.VENDOR_CANCELLED
    if is_account_stop(status, code, message):
        return Reason.ACCOUNT
    if is_model_missing(status, code, message):
        return Reason.MODEL_NOT_FOUND
    if code in _OVERLOADED_CODES or status in (503, 529):
        return Reason.OVERLOADED
    if code in _RATE_CODES or status == 429:
        return Reason.RATE_LIMITED
    number = status or 0
    is_refused = 400 <= number < 500  # whatever it calls its error
    if number in (408, 409) or number >= 500 or (code in _SERVER_CODES and not is_refused):
        return Reason.SERVER_ERROR
    return Reason.INVALID_REQUEST


#: no vendor means a longer wait, and no timer takes every number
_LONGEST_SECONDS: Final = 30 * 86_400.0


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What a vendor's `retry-after-ms` or `retry-after` (seconds or date) asks for, in seconds.

    Source: RFC 9110 section 10.2.3.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        seconds = None if value is None else _seconds(value, unit)
        if seconds is not None and math.isfinite(seconds):
            return min(max(0.0, seconds), _LONGEST_SECONDS)
    return None


def _seconds(value: str, unit: float) -> float | None:
    """Seconds from a number of `unit` seconds or until a date; None when it is neither."""
    with contextlib.suppress(ValueError):
        return float(value) * unit
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)  # one of the three forms names no zone
    return (at - datetime.now(UTC)).total_seconds()


def is_congestion(failure: Failure, quota: Quota) -> bool:
    """True when the vendor asked to slow down, rather than having a fault of its own.

    A plain 503 is such a fault: it neither says that there were too many requests nor when to come
    back.
    """
    if failure.reason is not Reason.OVERLOADED:
        return failure.reason is Reason.RATE_LIMITED
    is_plain = failure.status == 503 and failure.code not in _OVERLOADED_CODES
    return not is_plain or quota.retry_after_seconds is not None
