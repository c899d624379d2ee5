"""What happened at the gateway."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

EventName = Literal[
    "session.start",
    "session.end",
    "llm.call.start",
    "llm.call.finish",
    "llm.call.error",
    "tool.execution",
    "tool.result",
]


class GatewayEvent(msgspec.Struct, frozen=True):
    """Something that happened: start and finish of a call have the same `exchange_id`.

    Values under names of secrets, such as `authorization` or `api_key`, are redacted.
    """

    name: EventName
    at_us: int  #: µs since the epoch
    session_id: str
    exchange_id: str
    agent_id: str
    provider: str
    tags: Mapping[str, str]
    attributes: Mapping[str, Any]


def now_us() -> int:
    """µs since the epoch."""
    return time.time_ns() // 1000
