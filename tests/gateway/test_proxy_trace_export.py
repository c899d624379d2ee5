"""Events on their way to a collector."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import pytest
from conversation_lab import HI, block, chat, conversation, message
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from raw_lab import SECONDS, RawUpstream, Reply, Seen, call, request_bytes

from batchata.gateway import Gateway, GatewayEvent
from batchata.gateway.proxy.exchange import CHAT, MESSAGES
from batchata.gateway.proxy.interceptors.trace_export import TraceExport
from batchata.gateway.proxy.telemetry.otlp import Spans

GPT = "gpt-6-luna"


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    body = orjson.dumps({**chat({"content": "Fine."}), "model": GPT})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with RawUpstream() as made:
        made.answer(head % len(body) + body)
        yield made


def through(base_url: str, **options: Any) -> Gateway:
    return Gateway(base_url, config={"interceptors": [{"type": "trace_export", "config": options}]})


def ask(gateway: Gateway, content: str = "hi") -> Reply:
    body = orjson.dumps({"model": GPT, "messages": [{"role": "user", "content": content}]})
    kind = (b"Content-Type", b"application/json")
    request = request_bytes(b"/v1/chat/completions", kind, method=b"POST", body=body)
    return call(gateway.url, request)


class Collector:
    """Takes what is posted; says these statuses first."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[Any] = []
        self.keys: list[str | None] = []
        left = list(statuses)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = left.pop(0) if left else 200
                if status == 200:
                    outer.bodies.append(orjson.loads(body))
                    outer.keys.append(self.headers.get("X-Key"))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def __enter__(self) -> Collector:
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def test_cylestios_shape_pairs_start_and_finish(upstream: RawUpstream) -> None:
    with (
        Collector() as collector,
        through(upstream.url, url=collector.url, preset="cylestio") as gateway,
    ):
        ask(gateway)

    spans = {each["name"]: each["span_id"] for each in collector.bodies}
    assert spans.keys() == {"session.start", "llm.call.start", "llm.call.finish", "session.end"}
    assert spans["llm.call.start"] == spans["llm.call.finish"]


def test_a_collector_that_is_away_holds_up_nobody_and_is_tried_again(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{TraceExport.__module__}._FIRST_WAIT", 0.001)
    with Collector(503, 429) as collector, through(upstream.url, url=collector.url) as gateway:
        assert ask(gateway).status == 200
    names = [event["name"] for body in collector.bodies for event in body]
    assert names == ["session.start", "llm.call.start", "llm.call.finish", "session.end"]

    monkeypatch.setattr(f"{TraceExport.__module__}._FIRST_WAIT", 600)  # would it be waited for
    options = {"url": collector.url, "batch_size": 1, "timeout_seconds": 0.05}
    with through(upstream.url, **options) as gateway:
        assert [ask(gateway, str(number)).status for number in range(20)] == [200] * 20


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long an export would have slept."""
    found: list[float] = []

    async def wait(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", wait)
    return found


async def exported(url: str, **options: Any) -> tuple[bool, int]:
    """Whether a collector took a post, and how much of it was dropped."""
    exporting = TraceExport(url=url, **options)
    await exporting.start()
    is_taken = await exporting._post(b"{}")
    await exporting.aclose()
    return is_taken, exporting.dropped


def test_a_collector_is_asked_again_when_it_says(upstream: RawUpstream, waits: list[float]) -> None:
    said = [b"429 No\r\nRetry-After: 7", b"503 No\r\nRetry-After: 99999", b"408 No", b"200 OK"]
    upstream.script = lambda connection, seen: connection.sendall(
        b"HTTP/1.1 " + said.pop(0) + b"\r\nContent-Length: 0\r\n\r\n"
    )

    assert asyncio.run(exported(upstream.url)) == (True, 0)
    assert waits == [7, 60, 2]


def test_an_address_that_cannot_be_is_a_collector_that_is_away(waits: list[float]) -> None:
    assert asyncio.run(exported("http://a..b")) == (False, 0)
    assert waits == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        (b'{"partialSuccess": {"rejectedSpans": "3"}}', 3),
        (b'{"partialSuccess": {"rejectedSpans": 0, "errorMessage": "old"}}', 0),
        (b'{"partialSuccess": {"rejectedSpans": "many"}}', 0),
        (b"{}", 0),
    ],
)
def test_spans_that_a_collector_rejects_are_counted(
    upstream: RawUpstream, said: bytes, dropped: int
) -> None:
    upstream.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    assert asyncio.run(exported(upstream.url, preset="otlp")) == (True, dropped)


def test_a_reply_without_an_end_is_not_read_to_its_end(upstream: RawUpstream) -> None:
    def talk(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                connection.sendall(bytes(65536))
        except OSError:
            upstream.freed.set()

    upstream.script = talk

    assert asyncio.run(exported(upstream.url, preset="otlp")) == (True, 0)
    assert upstream.freed.wait(SECONDS)
    assert len(upstream.seen) == 1


def test_a_post_whose_reply_breaks_off_was_taken_and_is_not_sent_again(
    upstream: RawUpstream,
) -> None:
    def break_off(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
        connection.shutdown(socket.SHUT_RDWR)

    upstream.script = break_off

    assert asyncio.run(exported(upstream.url)) == (True, 0)
    assert len(upstream.seen) == 1


def values_of(span: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a span with the values of their kinds."""
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def events_of_a_tool(*, failed: bool = False) -> list[GatewayEvent]:
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "t1", "is_error": failed, "content": "42"}
    again = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    usage = {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 7}
    first = {**message(use), "usage": usage, "model": "claude-x-1", "stop_reason": "tool_use"}
    asked = {"model": "claude-x", "max_tokens": 9, "temperature": 1, "stop_sequences": ["a"]}
    steps = ({**asked, "messages": [HI]}, first), ({"messages": again}, message(block("Fine.")))
    return conversation(MESSAGES, *steps)[1]


def test_spans_have_the_names_of_the_conventions() -> None:
    spans = Spans().of(events_of_a_tool())

    assert [span["name"] for span in spans] == ["chat claude-x", "execute_tool look", "chat"]
    first, tool, _ = spans
    found = values_of(first)
    names = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI")}
    assert {name for span in spans for name in values_of(span) if name[:7] == "gen_ai."} <= names
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == "anthropic"
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == (
        *("claude-x", "claude-x-1"),
    )
    assert (found["gen_ai.request.max_tokens"], found["gen_ai.request.temperature"]) == ("9", 1.0)
    assert found["gen_ai.request.stop_sequences"] == {"values": [{"stringValue": "a"}]}
    assert found["gen_ai.response.finish_reasons"] == {"values": [{"stringValue": "tool_calls"}]}
    assert found["gen_ai.usage.input_tokens"] == "10"
    assert found["gen_ai.usage.cache_read.input_tokens"] == "7"
    assert (first["kind"], tool["kind"], tool["parentSpanId"]) == (3, 1, first["spanId"])
    assert values_of(tool)["gen_ai.tool.call.id"] == "t1"
    assert len({span["traceId"] for span in spans}) == 1
    assert len({span["spanId"] for span in spans}) == 3
    assert (len(first["traceId"]), len(first["spanId"])) == (32, 16)


def test_what_was_said_is_in_spans_only_if_asked_for() -> None:
    events = events_of_a_tool()

    plain, full = (orjson.dumps(Spans(content=each).of(events)) for each in (False, True))

    assert b"Fine." not in plain
    assert b'"42"' not in plain
    last = values_of(orjson.loads(full)[-1])
    assert orjson.loads(last["gen_ai.output.messages"])[0]["parts"] == [
        {"type": "text", "content": "Fine."}
    ]
    tool = values_of(orjson.loads(full)[1])
    assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == (
        '{"a":1}',
        "42",
    )


def test_what_failed_is_an_error_with_its_type() -> None:
    refused = {"error": {"message": "too fast", "type": "rate_limit_error"}}
    spans = [
        *Spans().of(events_of_a_tool(failed=True)),
        *Spans().of(conversation(CHAT, ({"messages": [HI]}, [refused]))[1]),
    ]

    assert [span["status"]["code"] for span in spans] == [1, 2, 1, 2]
    assert spans[-1]["status"]["message"] == "too fast"
    assert values_of(spans[-1])["error.type"] == "rate_limit_error"


def test_spans_of_calls_reach_a_collector(upstream: RawUpstream) -> None:
    with Collector() as collector:
        options = {"url": collector.url, "preset": "otlp", "headers": {"X-Key": "k"}}
        with through(upstream.url, **options) as gateway:
            ask(gateway)

    [body] = collector.bodies
    [made] = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert made["name"] == f"chat {GPT}"
    assert int(made["endTimeUnixNano"]) > int(made["startTimeUnixNano"])
    assert set(collector.keys) == {"k"}


def test_cylestios_events_have_their_units_and_their_requests() -> None:
    async def shaped(events: Sequence[GatewayEvent]) -> list[Any]:
        exporting = TraceExport(url="http://h", preset="cylestio")
        await exporting.start()
        await exporting.aclose()
        return [orjson.loads(body) for body in exporting.shape(events)]

    found = asyncio.run(shaped(events_of_a_tool()))

    by_name = {each["name"]: each["attributes"] for each in found}
    assert by_name["llm.call.start"]["llm.request.data"]["messages"]
    assert by_name["llm.call.finish"]["llm.response.duration_ms"] >= 0
    assert by_name["tool.result"]["tool.execution_time_ms"] >= 0
    assert all(each["session.id"] == "s0" for each in by_name.values())
    assert found[0]["timestamp"].endswith("+00:00")


@pytest.mark.parametrize("preset", ["json", "cylestio"])
def test_the_end_waits_for_a_collector_that_says_nothing_no_longer_than_for_a_post(
    preset: str,
) -> None:
    async def export(url: str) -> TraceExport:
        exporting = TraceExport(url=url, preset=preset, timeout_seconds=0.05)
        await exporting.start()
        for number in range(3000):
            event = GatewayEvent("session.end", number, "s", "", "", "", {}, {})
            await exporting.on_event(event)
        await exporting.flush()
        await asyncio.sleep(0)
        await exporting.aclose()
        return exporting

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        exporting = asyncio.run(asyncio.wait_for(export(url), 60))

    assert exporting.dropped == 3000
