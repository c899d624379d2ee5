"""The official SDK's client, and its errors in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batchata.core.errors import (
    AccountStoppedError,
    MissingKeyError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.providers.caller import Vendor
from batchata.providers.control import ProviderSettings, lent, patience_of, unreachable
from batchata.providers.failures import (
    MEND_ACCOUNT,
    is_account_stop,
    retry_after_seconds,
    word,
)

if TYPE_CHECKING:
    import anthropic


def connect(settings: ProviderSettings) -> Any:
    """The user's client without its retries, or one of ours.

    Raises MissingKeyError when no key is given or set.
    """
    import anthropic

    patience = patience_of(settings)
    timeout = anthropic.Timeout(patience.sending, connect=patience.connecting)
    if settings.client is not None:
        given = {"timeout": timeout} if settings.options else {}
        return lent(settings.client, anthropic.DefaultAsyncHttpxClient, **given)
    client = anthropic.AsyncAnthropic(
        api_key=settings.api_key, base_url=settings.base_url, max_retries=0, timeout=timeout
    )
    if client.api_key is None and client.auth_token is None and client.custom_auth is None:
        raise MissingKeyError(
            "no Anthropic key: ANTHROPIC_API_KEY is not set",
            hint='export ANTHROPIC_API_KEY=..., or .set_provider("anthropic", api_key=...)',
        )
    return client


def translate(error: anthropic.AnthropicError, *, creating: bool = False) -> ProviderError:
    """An SDK error as ours; with `creating`, an answer that was lost is reported as unknown."""
    import anthropic

    if isinstance(error, anthropic.APIStatusError):
        return _status_error(error, creating=creating)
    return unreachable("Anthropic", error, creating=creating)


def _status_error(error: anthropic.APIStatusError, *, creating: bool) -> ProviderError:
    kind, code, said = _words(error)
    message = f"Anthropic answered {error.status_code}: {said}"
    facts: dict[str, Any] = {
        "status": error.status_code,
        "code": code or kind,
        "request_id": error.request_id,
    }
    if is_account_stop(error.status_code, code or kind, message):
        return AccountStoppedError(message, hint=MEND_ACCOUNT, **facts)
    wait = retry_after_seconds(error.response.headers)
    if error.status_code == 429 or kind == "overloaded_error":  # the vendor's word: not taken
        return ProviderUnavailableError(message, retry_after_seconds=wait, **facts)
    if error.status_code in (408, 409) or error.status_code >= 500:
        unavailable = OutcomeUnknownError if creating else ProviderUnavailableError
        return unavailable(message, retry_after_seconds=wait, **facts)
    return ProviderRejectedError(message, **facts)


def _words(error: anthropic.APIStatusError) -> tuple[str | None, str | None, str]:
    body = error.body
    inner = body.get("error") if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return None, None, error.message
    details = inner.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return word(inner.get("type")), word(code), str(inner.get("message") or error.message)


def _error_type() -> type[Exception]:
    import anthropic

    return anthropic.AnthropicError


VENDOR: Final = Vendor("Anthropic", _error_type, translate)
