"""Makes a finished answer into the vendors' event streams."""

from collections.abc import AsyncIterator
from typing import Final

import orjson
from aiohttp import web

from batchata.gateway.wire.event_streams import (
    chat_events,
    message_events,
    named_event,
    response_events,
)

OVERLOADED: Final = {
    "type": "error",
    "error": {"type": "overloaded_error", "message": "scripted fault of the sandbox"},
}
SERVER_ERROR: Final = {"message": "scripted fault of the sandbox", "type": "server_error"}


class EventStream(web.Response):
    """An answer that is sent event by event."""

    def __init__(self, events: list[bytes], broken: bytes) -> None:
        super().__init__(body=_sent(events), headers={"Content-Type": "text/event-stream"})
        self._events = events
        self._broken = broken

    def with_error(self) -> "EventStream":
        """Give the same stream with an error event in its middle."""
        kept = self._events[: max(1, len(self._events) // 2)]
        return EventStream([*kept, self._broken], self._broken)


def chat_stream(body: bytes, *, wants_usage: bool) -> EventStream:
    """Make the chunks of a chat completion."""
    broken = b"data: %b\n\n" % orjson.dumps({"error": SERVER_ERROR | {"param": None, "code": None}})
    return EventStream(chat_events(orjson.loads(body), wants_usage=wants_usage), broken)


def response_stream(body: bytes) -> EventStream:
    """Make the events of a response."""
    broken = {"type": "error", "sequence_number": 2, "code": "server_error", "param": None}
    broken["message"] = SERVER_ERROR["message"]
    return EventStream(response_events(orjson.loads(body)), named_event(broken))


def message_stream(body: bytes) -> EventStream:
    """Make the events of a message."""
    return EventStream(message_events(orjson.loads(body)), named_event(OVERLOADED))


async def _sent(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
