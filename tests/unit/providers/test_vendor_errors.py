"""Errors of the SDKs in our words: what may be repeated, what must be looked up, what stops."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from batchata.core.errors import (
    AccountStoppedError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    QueueFullError,
)
from batchata.core.pacing import Quota
from batchata.core.retry import may_reopen
from batchata.core.status import JobStatus
from batchata.providers.anthropic.client import translate as claude
from batchata.providers.failures import is_congestion, item_failure, retry_after_seconds
from batchata.providers.openai.client import translate as gpt

Said = tuple[int, Any, dict[str, str]]


def status_error(vendor: str, status: int, body: Any, headers: dict[str, str]) -> Exception:
    """The SDK's error for an answer with this status and body."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json=body, headers=headers)

    async def ask() -> Exception:
        http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        client: Any = (
            openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=http_client)
            if vendor == "openai"
            else anthropic.AsyncAnthropic(api_key="k", max_retries=0, http_client=http_client)
        )
        batches = client.batches if vendor == "openai" else client.messages.batches
        async with client:
            try:
                await batches.retrieve("b")
            except (openai.OpenAIError, anthropic.AnthropicError) as error:
                return error
        raise AssertionError("no error")

    return asyncio.run(ask())


def translated(
    vendor: str, status: int, body: Any = None, *, creating: bool = False, **headers: str
) -> ProviderError:
    """The same in our words."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error: Any = status_error(vendor, status, body, named)
    return gpt(error, creating=creating) if vendor == "openai" else claude(error, creating=creating)


def gpt_body(**error: Any) -> dict[str, Any]:
    return {"error": {"message": "words", "type": None, "param": None, "code": None, **error}}


def claude_body(kind: str, message: str = "words", **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}}


CASES: list[tuple[str, int, Any, type[ProviderError]]] = [
    ("openai", 400, gpt_body(code="invalid_value"), ProviderRejectedError),
    ("openai", 404, gpt_body(), ProviderRejectedError),
    ("openai", 401, gpt_body(code="invalid_api_key"), AccountStoppedError),
    ("openai", 403, gpt_body(), AccountStoppedError),
    ("openai", 429, gpt_body(code="rate_limit_exceeded"), ProviderUnavailableError),
    ("openai", 429, gpt_body(code="insufficient_quota"), AccountStoppedError),
    ("openai", 429, gpt_body(code="credit_balance_exhausted"), AccountStoppedError),
    ("openai", 429, gpt_body(type="insufficient_quota"), AccountStoppedError),
    ("openai", 400, gpt_body(message="Enqueued token limit reached for m"), QueueFullError),
    ("openai", 409, gpt_body(), ProviderUnavailableError),
    ("openai", 500, gpt_body(), ProviderUnavailableError),
    ("openai", 502, None, ProviderUnavailableError),
    ("openai", 503, gpt_body(code=["strange"]), ProviderUnavailableError),
    ("anthropic", 400, claude_body("invalid_request_error"), ProviderRejectedError),
    ("anthropic", 413, claude_body("request_too_large"), ProviderRejectedError),
    ("anthropic", 401, claude_body("authentication_error"), AccountStoppedError),
    ("anthropic", 402, claude_body("billing_error"), AccountStoppedError),
    ("anthropic", 429, claude_body("rate_limit_error"), ProviderUnavailableError),
    (
        "anthropic",
        429,
        claude_body("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        AccountStoppedError,
    ),
    (
        "anthropic",
        400,
        claude_body("invalid_request_error", "Your credit balance is too low"),
        AccountStoppedError,
    ),
    ("anthropic", 500, claude_body("api_error"), ProviderUnavailableError),
    ("anthropic", 504, "a gateway's page", ProviderUnavailableError),
    ("anthropic", 529, claude_body("overloaded_error"), ProviderUnavailableError),
]


@pytest.mark.parametrize(("vendor", "status", "body", "kind"), CASES)
def test_an_answer_of_the_vendor_is_one_of_ours(
    vendor: str, status: int, body: Any, kind: type[ProviderError]
) -> None:
    error = translated(vendor, status, body)

    assert type(error) is kind
    assert error.status == status
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("vendor", "status", "body", "is_unknown"),
    [
        ("openai", 500, gpt_body(), True),
        ("openai", 502, None, True),
        ("openai", 503, gpt_body(), True),
        ("openai", 409, gpt_body(), True),
        ("openai", 429, gpt_body(), False),
        ("anthropic", 500, claude_body("api_error"), True),
        ("anthropic", 502, None, True),
        ("anthropic", 504, claude_body("timeout_error"), True),
        ("anthropic", 429, claude_body("rate_limit_error"), False),
    ],
)
def test_a_create_call_is_looked_up_unless_the_vendor_surely_turned_it_away(
    vendor: str, status: int, body: Any, is_unknown: bool
) -> None:
    error = translated(vendor, status, body, creating=True)

    assert isinstance(error, ProviderUnavailableError)
    assert isinstance(error, OutcomeUnknownError) is is_unknown


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
@pytest.mark.parametrize("creating", [True, False])
@pytest.mark.parametrize(
    ("cause", "left"), [(httpx2.ConnectError, False), (httpx2.ReadTimeout, True)]
)
def test_a_call_that_never_left_may_be_repeated(
    vendor: str, creating: bool, cause: type[Exception], left: bool
) -> None:
    request = httpx2.Request("POST", "http://127.0.0.1/v1/batches")
    sdk: Any = openai if vendor == "openai" else anthropic
    error = sdk.APIConnectionError(request=request)
    error.__cause__ = cause("broken")

    found = (gpt if vendor == "openai" else claude)(error, creating=creating)

    assert isinstance(found, OutcomeUnknownError) is (creating and left)


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_what_the_vendor_wants_waited_for_is_kept(vendor: str) -> None:
    error = translated(vendor, 429, {}, retry_after="17")

    assert error.retry_after_seconds == 17


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "300"}, 300),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e300"}, 30 * 86_400),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Tue, 32 Jan 2030 00:00:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after": "Sun Nov  6 08:49:37 1994"}, 0),
        ({}, None),
    ],
)
def test_retry_after_in_every_style(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


@pytest.mark.parametrize(("offset", "low", "high"), [(600, 400, 601), (-60, 0, 0)])
def test_retry_after_as_a_date(offset: int, low: float, high: float) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=offset), usegmt=True)

    found = retry_after_seconds({"retry-after": date})

    assert found is not None
    assert low <= found <= high


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_no_key_is_in_any_message(vendor: str) -> None:
    error = translated(vendor, 401, gpt_body(message="no"))

    assert "Bearer" not in str(error)


@pytest.mark.parametrize(
    ("status", "code", "wait", "expected"),
    [
        (429, "rate_limit_exceeded", None, True),
        (529, "overloaded_error", None, True),
        (503, "slow_down", None, True),
        (503, None, 2.0, True),
        (503, None, None, False),
        (500, "api_error", None, False),
        (400, "api_error", None, False),
    ],
)
def test_only_a_vendor_that_asks_for_it_slows_all_calls_down(
    status: int, code: str | None, wait: float | None, expected: bool
) -> None:
    failure = item_failure(status=status, code=code, message="no")

    assert is_congestion(failure, Quota(retry_after_seconds=wait)) is expected


def test_a_call_that_is_wrong_is_wrong_whatever_its_error_is_called() -> None:
    assert item_failure(status=422, code="api_error", message="no").reason == "invalid_request"


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (
            404,
            "model_not_found",
            "The model `m` does not exist or you do not have access to it.",
            True,
        ),
        (404, "not_found_error", "model: claude-nobody", True),
        (404, "NotFoundError", "The model `m` does not exist.", True),  # vLLM
        (404, None, "model 'm' not found", True),  # Ollama
        (None, "not_found_error", "model: claude-nobody", True),  # in a batch
        (404, "not_found_error", "File not found: file_1", False),
        (404, None, "Not Found", False),
        (400, "invalid_request_error", "the model wants max_tokens", False),
    ],
)
def test_a_model_that_is_not_there_is_told_from_other_things(
    status: int | None, code: str | None, message: str, expected: bool
) -> None:
    failure = item_failure(status=status, code=code, message=message)

    assert (failure.reason == "model_not_found") is expected
    assert may_reopen(JobStatus.FAILED, failure.reason) is expected
