"""One envelope for what every door writes to the event log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
import orjson

from batchata.core.redact import Redactor

#: how a custom id travels among the tags of a framework
CUSTOM_ID_PREFIX: Final = "logger_custom_id:"
_TEXT_KEYS: Final = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS
_ANY_KEYS: Final = _TEXT_KEYS | orjson.OPT_NON_STR_KEYS


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a door saw happen, as the event log keeps it."""

    event_type: str  #: "llm_start", "llm_end", "llm_error", "batch_submitted", …
    data: Mapping[str, Any] = {}
    run_id: str = ""
    parent_run_id: str | None = None
    custom_id: str = ""  #: the user's own name for the call
    provider: str = ""  #: empty: the log's own
    timestamp_us: int | None = None  #: µs since the epoch, UTC; None: when it is written
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = {}
    raw: Mapping[str, Any] | None = None  #: everything again, as it came

    def payload(self, timestamp_us: int, redactor: Redactor) -> bytes:
        """The envelope as JSON, without secrets."""
        made = to_json(self._envelope(timestamp_us), redactor.named)
        if redactor.is_clean(made):  # nearly always, and looking for it in a text is quick
            return made
        return redactor.json(self.envelope(timestamp_us, redactor))

    def envelope(self, timestamp_us: int, redactor: Redactor) -> bytes:
        """The envelope as JSON, without what lies under telling names, and no more than that."""
        envelope = self._envelope(timestamp_us)
        made = to_json(envelope, redactor.named)
        if redactor.names_none(made):
            return made
        return to_json(redactor.named(envelope), redactor.named)

    def _envelope(self, timestamp_us: int) -> dict[str, Any]:
        execution = {
            "run_id": self.run_id,
            "parent_run_id": self.parent_run_id,
            "custom_id": self.custom_id,
            "tags": self.tags,
            "metadata": self.metadata,
        }
        return {
            "event_type": self.event_type,
            "timestamp": datetime.fromtimestamp(timestamp_us / 1e6, UTC),
            "execution": execution,
            "data": self.data,
            "raw": self.raw,
        }


def envelopes(timed: Sequence[tuple[LoggedEvent, int]], redactor: Redactor) -> Sequence[bytes]:
    """Events with their times as `envelope` makes them, looked through at once."""
    made = [to_json(each._envelope(at_us), redactor.named) for each, at_us in timed]
    if redactor.names_none(b"\n".join(made)):
        return made
    return [each.envelope(at_us, redactor) for each, at_us in timed]


def to_json(value: Any, clean: Callable[[Any], Any] = lambda value: value) -> bytes:
    """Any value as JSON: what JSON has no word for is described, nothing raises.

    `clean` is given the insides of objects before they are written.
    """

    def plain(each: Any) -> Any:
        return clean(_plain(each))

    for options in _TEXT_KEYS, _ANY_KEYS:  # the first is quicker, and nearly always enough
        try:
            return orjson.dumps(value, plain, options)
        except (TypeError, RecursionError):
            continue
    # half a surrogate, a huge number, a key of a strange kind
    return _slowly(value, plain)


def _slowly(value: Any, plain: Callable[[Any], Any]) -> bytes:
    try:
        return json.dumps(_text_keys(value, plain, 0), default=str, allow_nan=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        said = repr(type(value).__name__).encode("ascii", "replace").decode()
        return orjson.dumps({"unwritable": said, "why": str(error)[:200]})


def _text_keys(value: Any, plain: Callable[[Any], Any], depth: int) -> Any:
    if depth > 100:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {str(key): _text_keys(each, plain, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_text_keys(each, plain, depth + 1) for each in value]
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return _text_keys(plain(value), plain, depth + 1)


def _plain(value: Any) -> Any:
    """What JSON can say of an object."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": str(value)}
    return _insides(value)


def _insides(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in fields(value)}
    for name in ("model_dump", "to_dict", "dict"):
        method = getattr(value, name, None)
        if callable(method):
            try:
                found = method()
            except (TypeError, ValueError, AttributeError, KeyError):
                continue
            if isinstance(found, Mapping):
                return dict(found)
    kept = getattr(value, "__dict__", None)
    if isinstance(kept, dict) and kept:
        return {key: each for key, each in kept.items() if not key.startswith("_")}
    return str(value)
