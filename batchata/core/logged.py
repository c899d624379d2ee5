"""One envelope for what every door writes to the event log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from batchata.core.model_code import attempted
from batchata.core.redact import Redactor

#: how a custom id travels among the tags of a framework
CUSTOM_ID_PREFIX: Final = "logger_custom_id:"
#: objects that one event may open, and how deep it may lead
_OBJECTS_MOST: Final = 5_000
_DEEPEST: Final = 100
_TEXT_KEYS: Final = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS
_ANY_KEYS: Final = _TEXT_KEYS | orjson.OPT_NON_STR_KEYS


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, as the event log keeps it."""

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
        """The envelope as JSON, redacted by the names of keys only."""
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


def payloads(
    events: Sequence[LoggedEvent],
    times_us: Sequence[int],
    redactor: Redactor,
    *,
    redact_names: bool = True,
) -> list[bytes]:
    """Events as `payload` makes them, looked through at once.

    Without `redact_names` nothing stands under the name of a secret any more.
    """
    plain = _Plain(redactor.named, max(_OBJECTS_MOST, 100 * len(events)))
    timed = [*zip(events, times_us, strict=True)]
    try:
        made = [orjson.dumps(each._envelope(at_us), plain, _TEXT_KEYS) for each, at_us in timed]
    except (TypeError, RecursionError):  # one of them needs more care
        made = [to_json(each._envelope(at_us), redactor.named) for each, at_us in timed]
    if not redact_names:
        return redactor.jsons(made)
    if redactor.is_clean(b"\n".join(made)):
        return made
    return [each.payload(at_us, redactor) for each, at_us in timed]


def to_json(value: Any, clean: Callable[[Any], Any] = lambda value: value) -> bytes:
    """Any value as JSON: what JSON has no word for is described, nothing raises.

    `clean` is given the insides of objects before they are written.
    """
    try:
        return orjson.dumps(value, option=_TEXT_KEYS)  # nearly always enough
    except (TypeError, RecursionError):
        pass
    for options in _TEXT_KEYS, _ANY_KEYS:
        try:
            return orjson.dumps(value, _Plain(clean), options)
        except (TypeError, RecursionError):
            continue
    # half a surrogate, a huge number, a key of a strange kind, something that holds itself
    return _slowly(value, clean)


class _Plain:
    """Objects as plain JSON values; TypeError for more of them than one event may unpack."""

    def __init__(self, clean: Callable[[Any], Any], most: int = _OBJECTS_MOST) -> None:
        self._clean = clean
        self._left = most

    def __call__(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise TypeError("it leads to more and more objects")
        return self._clean(_plain(value))


def _slowly(value: Any, clean: Callable[[Any], Any]) -> bytes:
    try:
        return json.dumps(_Careful(clean).plain(value, 0), allow_nan=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        said = repr(type(value).__name__).encode("ascii", "replace").decode()
        return orjson.dumps({"unwritable": said, "why": str(error)[:200]})


class _Careful:
    """Plain values of anything: only the name of what contains itself, or is nested without end."""

    def __init__(self, clean: Callable[[Any], Any]) -> None:
        self._open = _Plain(clean)
        self._above: set[int] = set()  #: what the value in hand lies in

    def plain(self, value: Any, depth: int) -> Any:
        """The value as plain JSON values."""
        if value is None or isinstance(value, (str, int, bool)):
            return value
        if isinstance(value, float):
            return value if value == value and abs(value) != float("inf") else None
        if depth > _DEEPEST or id(value) in self._above:
            return _kind(value)
        self._above.add(id(value))
        try:
            return self._inside(value, depth + 1)
        finally:
            self._above.discard(id(value))

    def _inside(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {_text(key): self.plain(each, depth) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(each, depth) for each in value]
        try:
            opened = self._open(value)
        except TypeError:
            return _kind(value)
        return self.plain(opened, depth)


def _kind(value: Any) -> str:
    return f"<{type(value).__name__}>"


def _text(value: Any) -> str:
    """A value as text, even where its class fails to give one."""
    return str(attempted(lambda: str(value), _kind(value)))


def _plain(value: Any) -> Any:
    """An object as a plain JSON value."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": _text(value)}
    return _insides(value)


def _insides(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in fields(value)}
    for name in ("model_dump", "to_dict", "dict"):
        method = attempted(partial(getattr, value, name, None), None)
        found = attempted(method, None) if callable(method) else None
        if isinstance(found, Mapping):
            return dict(found)
    kept = getattr(value, "__dict__", None)
    if isinstance(kept, dict) and kept:
        return {key: each for key, each in kept.items() if not _text(key).startswith("_")}
    return _text(value)
