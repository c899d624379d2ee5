"""Calls through a vendor's official SDK, with its errors in our words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from batchata.core.errors import (
    BatchataError,
    MissingKeyError,
    ProviderError,
    ProviderRejectedError,
)
from batchata.providers.connection import Connection
from batchata.providers.control import Patience, call, strange_answer


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's SDK errors, and what they mean."""

    title: str
    error_type: Callable[[], type[Exception]]  #: imports the SDK
    translate: Callable[..., ProviderError]


class Caller:
    """Asks a vendor through its SDK client."""

    def __init__(
        self, vendor: Vendor, connection: Connection, patience: Patience | None = None
    ) -> None:
        self._vendor = vendor
        self._connection = connection
        self._patience = patience or Patience()

    @property
    def client(self) -> Any:
        """The SDK client, made at the first call."""
        return self._connection.client

    async def control(self, method: Callable[..., Awaitable[Any]], *args: Any, **kw: Any) -> Any:
        """Make a control call, whose answer is short and must not keep others waiting."""
        return await self.ask(method, *args, timeout=self._patience.asking, **kw)

    async def control_if_there(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """The same for something that may be gone: None if the vendor does not have it."""
        try:
            return await self.control(method, *args)
        except ProviderRejectedError as error:
            if error.status != 404:
                raise
            return None

    async def ask(
        self,
        method: Callable[..., Awaitable[Any]],
        *args: Any,
        creating: bool = False,
        named: bool = False,
        **kw: Any,
    ) -> Any:
        """Make any call; with `creating`, an answer that was lost is reported as unknown.

        An answer about something created, or `named`, must have an id, or it is not the vendor's.
        An error of ours in what was being sent is passed on as it is.
        """
        title = self._vendor.title
        try:
            answer = await call(method, *args, **kw)
        except self._vendor.error_type() as error:
            if isinstance(error.__cause__, BatchataError):
                raise error.__cause__ from None
            raise self._vendor.translate(error, creating=creating) from error
        except (ValueError, AttributeError) as error:  # the SDK finds no object in the answer
            if isinstance(error, BatchataError):
                raise
            raise strange_answer(title, error, creating=creating) from error
        except TypeError as error:
            if "authentication" not in str(error):
                raise
            raise MissingKeyError(  # an SDK that says so only when the first call leaves
                f"the {title} client has no key",
                hint=f"export {title.upper()}_API_KEY=..., or give the client a key",
            ) from error
        if isinstance(answer, str) or ((creating or named) and not _has_id(answer)):
            raise strange_answer(title, answer, creating=creating)
        return answer


def _has_id(answer: Any) -> bool:
    found = getattr(answer, "id", None)
    return isinstance(found, str) and bool(found) and found.isascii()
