"""Exchanges and sessions as events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from batchata.core.redact import Redactor
from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.telemetry.event_queue import EventQueue
from batchata.gateway.proxy.telemetry.events import EventName, GatewayEvent
from batchata.gateway.proxy.telemetry.history import history, since_the_model
from batchata.gateway.proxy.telemetry.sessions import Session, Sessions

#: request headers that carry a session, an agent and tags; the first there is holds
SESSION_HEADERS: Final = (
    "x-batchata-session-id",
    "x-cylestio-conversation-id",
    "x-cylestio-session-id",
)
AGENT_HEADERS: Final = ("x-batchata-agent-id", "x-cylestio-prompt-id", "x-cylestio-agent-id")
TAG_HEADERS: Final = ("x-batchata-tags", "x-cylestio-tags")
_MOST_TAGS: Final = 50
_MOST_KEY: Final = 64
_MOST_VALUE: Final = 512
_MOST_ID: Final = 256
_TOLD_ELSEWHERE: Final = frozenset({"messages", "input", "model"})
#: attributes of an event, and what they are called in an answer
_TOLD_WHERE_KNOWN: Final = (
    ("llm.response.first_byte_seconds", "first_byte_seconds"),
    ("llm.response.finish_reason", "finish_reason"),
    ("llm.response.id", "response_id"),
    ("llm.request_id", "request_id"),
    ("llm.service_tier", "service_tier"),
    ("error.message", "error"),
    ("error.type", "error_type"),
)
_REDACTOR: Final = Redactor()


def now_us() -> int:
    """µs since the epoch."""
    return time.time_ns() // 1000


def named(found: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The value of the first of these headers that is there."""
    for name in names:
        value = found.get(name)
        if value:
            return value.strip()[:_MOST_ID]
    return ""


def tags_of(text: str) -> Mapping[str, str]:
    """`key:value,key2:value2,flag` as a mapping, within limits of count and length."""
    tags: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, _, value = part.strip().partition(":")
        if key and len(key) <= _MOST_KEY and len(tags) < _MOST_TAGS:
            tags[key] = value.strip()[:_MOST_VALUE]
    return tags


class Teller:
    """Says what happened, in order, with ids that pair under any concurrency."""

    def __init__(
        self, queue: EventQueue, sessions: Sessions | None, monotonic: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._sessions = sessions
        self._monotonic = monotonic
        if sessions is not None:
            sessions.on_end = self._ended

    def began(self, exchange: Exchange, named_session: str) -> None:
        """A model is about to be asked."""
        session = self._session(exchange, named_session)
        body = exchange.json or {}
        if session is not None:
            for name, attributes in self._results(session, body):
                self._tell(name, exchange, attributes)
        if not self._queue.has_observers:
            return
        turns = history(body)
        self._tell(
            "llm.call.start",
            exchange,
            {
                "llm.vendor": exchange.provider,
                "llm.model": exchange.model,
                "llm.endpoint": exchange.endpoint,
                "llm.request.stream": exchange.is_stream,
                "llm.request.messages": len(turns),
                "llm.request.new_messages": _REDACTOR.named(since_the_model(turns)),
                "llm.request.params": _params(body),
                "attempt": exchange.attempt,
            },
        )

    def ended(self, exchange: Exchange, answered: Answered) -> None:
        """An answer came, or will not come."""
        if self._queue.has_observers:
            self._tell_end(exchange, answered)
        if self._sessions is not None:
            self._sessions.learn(exchange, answered)

    def _tell_end(self, exchange: Exchange, answered: Answered) -> None:
        attributes = answer_attributes(answered)
        attributes["llm.vendor"] = exchange.provider
        attributes["llm.model"] = answered.model or exchange.model
        attributes["attempt"] = exchange.attempt
        name: EventName = "llm.call.finish" if answered.is_success else "llm.call.error"
        self._tell(name, exchange, attributes)
        for call in answered.tool_calls:
            self._tell(
                "tool.execution",
                exchange,
                {"tool.id": call.id, "tool.name": call.name, "tool.params": _params_of(call)},
            )

    def _session(self, exchange: Exchange, named_session: str) -> Session | None:
        if self._sessions is None:
            exchange.session_id = named_session or exchange.id
            return None
        session, exchange.is_new_session = self._sessions.find(exchange, named_session)
        exchange.session_id = session.id
        session.agent_id = exchange.agent_id or session.agent_id
        exchange.agent_id = session.agent_id
        if exchange.is_new_session:
            session.provider, session.tags = exchange.provider, exchange.tags
            self._tell(
                "session.start",
                exchange,
                {
                    "session.id": session.id,
                    "client.type": "gateway",
                    "llm.vendor": exchange.provider,
                    "llm.model": exchange.model,
                },
            )
        return session

    def _results(
        self, session: Session, body: Mapping[str, Any]
    ) -> Iterator[tuple[EventName, dict[str, Any]]]:
        if not session.waiting:
            return
        for call_id, content, is_error in tool_results(body):
            found = session.waiting.pop(call_id, None)
            if found is not None:
                name, asked = found
                yield (
                    "tool.result",
                    {
                        "tool.id": call_id,
                        "tool.name": name,
                        "tool.status": "error" if is_error else "success",
                        "tool.seconds": round(self._monotonic() - asked, 6),
                        "tool.result": _REDACTOR.named(content),
                    },
                )

    def _ended(self, session: Session) -> None:
        self._queue.put(
            GatewayEvent(
                "session.end",
                now_us(),
                session.id,
                "",
                session.agent_id,
                session.provider,
                session.tags,
                {"session.id": session.id},
            )
        )

    def _tell(self, name: EventName, exchange: Exchange, attributes: Mapping[str, Any]) -> None:
        self._queue.put(
            GatewayEvent(
                name,
                time.time_ns() // 1000,
                exchange.session_id,
                exchange.id,
                exchange.agent_id,
                exchange.provider,
                exchange.tags,
                attributes,
            )
        )


def answer_attributes(answered: Answered) -> dict[str, Any]:
    """The numbers and words of an answer; what is not known is left out."""
    found: dict[str, Any] = {
        "http.status_code": answered.status,
        "llm.response.seconds": round(answered.seconds, 6),
        "source": answered.source,
    }
    for name, field in _TOLD_WHERE_KNOWN:
        told = getattr(answered, field)
        if told is not None:
            found[name] = told
    if answered.text:
        found["llm.response.content"] = answered.text
    if answered.ending != "answered":
        found["ending"] = answered.ending
    if answered.cost_usd is not None:
        found["llm.cost_usd"] = str(answered.cost_usd)
    if (usage := answered.usage) is not None:
        found["llm.usage.input_tokens"] = usage.input_tokens
        found["llm.usage.output_tokens"] = usage.output_tokens
        found["llm.usage.total_tokens"] = usage.total_tokens
        found["llm.usage.cache_read_tokens"] = usage.cache_read_tokens
        found["llm.usage.cache_write_tokens"] = usage.cache_write_tokens
        found["llm.usage.reasoning_tokens"] = usage.reasoning_tokens
    return found


def tool_results(body: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Call id, content and whether it failed, of each result of a tool in the newest turns."""
    for item in since_the_model(history(body)):
        if not isinstance(item, Mapping):
            continue
        if item.get("role") == "tool":
            yield str(item.get("tool_call_id")), item.get("content"), False
        elif item.get("type") in ("function_call_output", "custom_tool_call_output"):
            failed = item.get("status") == "incomplete"
            yield str(item.get("call_id")), item.get("output"), failed
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and part.get("type") == "tool_result":
                yield (
                    str(part.get("tool_use_id")),
                    part.get("content"),
                    bool(part.get("is_error")),
                )


def _params(body: Mapping[str, Any]) -> Any:
    return _REDACTOR.named({n: each for n, each in body.items() if n not in _TOLD_ELSEWHERE})


def _params_of(call: Any) -> Any:
    try:
        return _REDACTOR.named(orjson.loads(call.arguments))
    except ValueError:
        return call.arguments
