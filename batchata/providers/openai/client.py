"""The official SDK's client, and its errors in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchata.core.errors import (
    AccountStoppedError,
    MissingKeyError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    QueueFullError,
)
from batchata.providers.control import ProviderSettings, lent, patience_of
from batchata.providers.failures import is_account_stop, is_queue_full, retry_after_seconds, word

if TYPE_CHECKING:
    import openai


def connect(settings: ProviderSettings) -> Any:
    """The user's client without its retries, or one of ours.

    Raises MissingKeyError when no key is given or set.
    """
    import openai

    patience = patience_of(settings)
    timeout = openai.Timeout(patience.sending, connect=patience.connecting)
    if settings.client is not None:
        given = {"timeout": timeout} if settings.options else {}
        return lent(settings.client, openai.DefaultAsyncHttpxClient, **given)
    try:
        return openai.AsyncOpenAI(
            api_key=settings.api_key, base_url=settings.base_url, max_retries=0, timeout=timeout
        )
    except openai.OpenAIError as error:
        raise MissingKeyError(
            "no OpenAI key: OPENAI_API_KEY is not set",
            hint='export OPENAI_API_KEY=..., or .set_provider("openai", api_key=...)',
        ) from error


def translate(error: openai.OpenAIError, *, creating: bool = False) -> ProviderError:
    """An SDK error as ours; with `creating`, an answer that was lost is said to be unknown."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _status_error(error, creating=creating)
    message = f"OpenAI cannot be reached: {type(error).__name__}: {error}"
    if creating and not _never_left(error):
        return OutcomeUnknownError(message)
    return ProviderUnavailableError(message)


def _status_error(error: openai.APIStatusError, *, creating: bool) -> ProviderError:
    code = word(error.code) or word(error.type)
    message = f"OpenAI answered {error.status_code}: {_message(error)}"
    facts: dict[str, Any] = {
        "status": error.status_code,
        "code": code,
        "request_id": error.request_id,
    }
    if is_account_stop(error.status_code, code, message):
        hint = "check the key, its permissions and the account's credit, then run again"
        return AccountStoppedError(message, hint=hint, **facts)
    if is_queue_full(code, message):
        return QueueFullError(message, **facts)
    wait = retry_after_seconds(error.response.headers)
    if error.status_code in (408, 409) or error.status_code >= 500:
        # whatever it says, the vendor may have taken a create call: looking costs only time
        kind = OutcomeUnknownError if creating else ProviderUnavailableError
        return kind(message, retry_after_seconds=wait, **facts)
    if error.status_code == 429:
        return ProviderUnavailableError(message, retry_after_seconds=wait, **facts)
    return ProviderRejectedError(message, **facts)


def _never_left(error: BaseException) -> bool:
    cause = error.__cause__
    return cause is not None and type(cause).__name__ in (
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
    )


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and inner.get("message"):
            return str(inner["message"])
    return error.message
