"""Calls of one conversation, their sessions and their events, without servers."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import Any

import orjson

from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.http.headers import by_name
from batchata.gateway.proxy.http.upstreams import Upstream
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.reading.tee import Tee
from batchata.gateway.proxy.telemetry.emitter import EventEmitter
from batchata.gateway.proxy.telemetry.event_queue import EventQueue
from batchata.gateway.proxy.telemetry.events import GatewayEvent
from batchata.gateway.proxy.telemetry.sessions import Sessions

UPSTREAM = Upstream(name="up", base_url="http://127.0.0.1:1", type="openai")
HI, MORE = {"role": "user", "content": "hi"}, {"role": "user", "content": "more"}
Step = tuple[dict[str, Any], Any]


def conversation(endpoint: str, *steps: Step) -> tuple[list[str], list[GatewayEvent]]:
    """Sessions of calls with these bodies and answers (a list is a stream), and all events."""
    recorder, found = TestRecorder(), []

    async def tell() -> None:
        ids = count()
        await recorder.start()
        queue = EventQueue([recorder], Isolation())
        queue.start()
        sessions = Sessions(
            max_sessions=9, ttl_seconds=9, clock=time.monotonic, new_id=lambda: f"s{next(ids)}"
        )
        emitter = EventEmitter(queue, sessions, time.monotonic)
        for number, (body, said) in enumerate(steps):
            asked = exchange_of(endpoint, number, body)
            emitter.began(asked, "")
            emitter.ended(asked, answered(asked, said))
            found.append(asked.session_id)
        await queue.aclose()

    asyncio.run(tell())
    return found, list(recorder.events)


def exchange_of(endpoint: str, number: int, body: dict[str, Any]) -> Exchange:
    return Exchange(
        id=f"x{number}",
        number=number,
        began_us=0,
        method="POST",
        target=endpoint,
        path=endpoint,
        headers=(),
        body=orjson.dumps(body),
        json=body,
        upstream=UPSTREAM,
        endpoint=endpoint,
        model=str(body.get("model") or ""),
    )


def answered(asked: Exchange, said: Any) -> Answered:
    kind = "text/event-stream" if isinstance(said, list) else "application/json"
    made = Answered(status=200, headers=(("Content-Type", kind),))
    tee = Tee(asked, made, by_name(made.headers), most=1 << 20, wants_pieces=False)
    if isinstance(said, list):
        for event in said:
            tee.feed(b"data: " + orjson.dumps(event) + b"\n\n", 0.1)
    else:
        tee.feed(orjson.dumps(said), 0.1)
    tee.finish()
    return made


def tools(events: list[GatewayEvent]) -> list[tuple[Any, ...]]:
    """What tools were asked and what came of it."""
    return [
        (
            event.name.removeprefix("tool."),
            event.attributes["tool.id"],
            event.attributes["tool.name"],
            event.attributes.get("tool.status"),
            event.attributes.get("tool.params", event.attributes.get("tool.result")),
        )
        for event in events
        if event.name.startswith("tool.")
    ]


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "c",
        "choices": [{"index": number, "message": each} for number, each in enumerate(messages)],
    }


def chunk(index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": index, "delta": delta}]}


def response(name: str, *output: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "status": "completed", "output": list(output)}


def text(said: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": said}],
    }


def message(*content: dict[str, Any]) -> dict[str, Any]:
    return {"id": "m", "content": list(content), "stop_reason": "end_turn"}


def block(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}
