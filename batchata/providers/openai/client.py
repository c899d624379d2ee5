"""The official SDK's client, and its errors in our words."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batchata.core.errors import (
    AccountStoppedError,
    MissingKeyError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    QueueFullError,
    ValidationError,
)
from batchata.providers.caller import Caller, Vendor
from batchata.providers.control import (
    ProviderSettings,
    checked_address,
    lent,
    patience_of,
    unreachable,
)
from batchata.providers.failures import (
    MEND_ACCOUNT,
    is_account_stop,
    is_queue_full,
    retry_after_seconds,
    word,
)
from batchata.providers.profiles import OPENAI, Profile

if TYPE_CHECKING:
    import openai

#: what servers without keys are sent: the SDK does not go without one
_ANY_KEY: Final = "none"


def connect(settings: ProviderSettings, profile: Profile = OPENAI) -> Any:
    """The user's client without its retries, or one of ours.

    Raises MissingKeyError when no key is given or set, ValidationError without an address.
    """
    import openai

    patience = patience_of(settings)
    timeout = openai.Timeout(patience.sending, connect=patience.connecting)
    if settings.client is not None:
        given = {"timeout": timeout} if settings.options else {}
        return lent(settings.client, openai.DefaultAsyncHttpxClient, **given)
    key, address = settings.api_key, settings.base_url
    if profile is not OPENAI:
        key, address = _key(settings, profile), _address(settings, profile)
    try:
        client = openai.AsyncOpenAI(api_key=key, base_url=address, max_retries=0, timeout=timeout)
    except openai.OpenAIError:
        raise _no_key(profile) from None  # the SDK says the same, of keys that we do not take
    if profile is not OPENAI:  # names of an OpenAI account are not for others to see
        client.organization = client.project = None
    return client


def _key(settings: ProviderSettings, profile: Profile) -> str:
    """The key for a vendor other than OpenAI: never the one of OpenAI's own variable."""
    key = settings.api_key or (os.environ.get(profile.key_env) if profile.key_env else _ANY_KEY)
    if not key:
        raise _no_key(profile)
    return key


def _address(settings: ProviderSettings, profile: Profile) -> str:
    variable = f"{profile.name.upper()}_BASE_URL"
    address = settings.base_url or os.environ.get(variable) or profile.base_url
    if not address:
        raise ValidationError(
            f"provider {profile.name!r} has no address",
            hint=f'write .set_provider("{profile.name}", base_url="http://localhost:8000/v1"), '
            f"or export {variable}=...",
        )
    return checked_address(address)


def _no_key(profile: Profile) -> MissingKeyError:
    return MissingKeyError(
        f"no {profile.title} key: {profile.key_env} is not set",
        hint=f'export {profile.key_env}=..., or .set_provider("{profile.name}", api_key=...)',
    )


def translate(
    error: openai.OpenAIError, *, creating: bool = False, title: str = OPENAI.title
) -> ProviderError:
    """An SDK error as ours; with `creating`, an answer that was lost is reported as unknown."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _status_error(error, creating=creating, title=title)
    return unreachable(title, error, creating=creating)


def _status_error(error: openai.APIStatusError, *, creating: bool, title: str) -> ProviderError:
    code = word(error.code) or word(error.type)
    message = f"{title} answered {error.status_code}: {_message(error)}"
    facts: dict[str, Any] = {
        "status": error.status_code,
        "code": code,
        "request_id": error.request_id,
    }
    if is_account_stop(error.status_code, code, message):
        return AccountStoppedError(message, hint=MEND_ACCOUNT, **facts)
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


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and inner.get("message"):
            return str(inner["message"])
    return error.message


def _error_type() -> type[Exception]:
    import openai

    return openai.OpenAIError


def vendor_of(profile: Profile) -> Vendor:
    """How to ask a vendor of this profile."""
    return Vendor(profile.title, _error_type, partial(translate, title=profile.title))


async def pages(
    caller: Caller, method: Callable[..., Awaitable[Any]], **query: Any
) -> AsyncIterator[Any]:
    """All items of a listing, fetched page by page."""
    after: str | None = None
    while True:
        more: dict[str, Any] = {} if after is None else {"after": after}
        page = await caller.control(method, **query, **more)
        for each in page.data:
            yield each
        if not page.data or page.has_more is False:
            return
        if page.data[-1].id == after:  # a server that takes no `after` shows one page for ever
            raise ProviderRejectedError("the vendor lists the same page again and again")
        after = page.data[-1].id
