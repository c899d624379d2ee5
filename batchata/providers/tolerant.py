"""Answers that deviate from their protocol: what was paid for is read all the same."""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from batchata.core.result import Failure, Reason
from batchata.providers.failures import error_words, item_failure

T = TypeVar("T")

#: what an answer can be read without
_SPARE: Final = frozenset({"id", "model", "usage", "service_tier", "stop_details", "tool_usage"})
#: what a body with an answer has at its top
_ANSWERS: Final = ("choices", "output", "content", "data")
#: of errors that the same request would meet again
_REFUSED: Final = re.compile("invalid|bad_?request|not_?found|context_length|too_large", re.I)
_SHOWN: Final = 120


def read_tolerantly(kind: type[T], data: bytes | msgspec.Raw) -> T:
    """`data` as a `kind`, without the spare parts that do not fit.

    A byte order mark, bytes that are no UTF-8, and NaN are read too. Raises ValueError, as
    msgspec.ValidationError is, for what is no such answer.
    """
    text = bytes(data).decode("utf-8-sig", "replace")
    found: T = _fitted(kind, json.loads(text, parse_constant=lambda _: None))
    return found


def _fitted(kind: Any, value: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        if not isinstance(value, dict):
            raise
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    spare = _SPARE & types.keys() & value.keys()
    odd = {name for name in spare if not _fits(types[name], value[name])}
    return msgspec.convert({name: each for name, each in value.items() if name not in odd}, kind)


def _fits(kind: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def unreadable_answer(data: bytes | msgspec.Raw, error: Exception) -> Failure:
    """Why there is no answer in a body that came with a 2xx status.

    Some servers and routers report their errors this way: it is a refusal, and not billed.
    """
    body = bytes(data)
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and not any(found.get(name) for name in _ANSWERS):
        code, said = error_words(body)
        if found.get("error") or found.get("object") == "error":
            return _told(code, said)
    shown = body[:_SHOWN].decode("utf-8", "replace")
    more = f"; it begins with {shown!r}" if body else "; it is empty"
    return Failure(Reason.UNREADABLE, f"the answer cannot be read: {error}{more}")


def _told(code: str | None, said: str) -> Failure:
    number = int(code) if code is not None and code.isdecimal() and len(code) == 3 else 0
    known = item_failure(status=None, code=code, message=said)
    if 400 <= number < 600:
        status: int | None = number
    elif known.reason is not Reason.INVALID_REQUEST:
        status = None  # the word says it
    else:
        status = 400 if code is not None and _REFUSED.search(code) else 500
    message = f"the server answered 200 with an error: {said}"
    return item_failure(status=status, code=code, message=message)
