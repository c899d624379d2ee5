"""Exchanges and sessions as events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from batchata.core.redact import Redactor
from batchata.core.usage import Usage
from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.reading.tools import (
    ToolCall,
    ToolResult,
    arguments_of,
    name_of,
    results_of,
)
from batchata.gateway.proxy.telemetry.client_names import id_of
from batchata.gateway.proxy.telemetry.event_queue import EventQueue
from batchata.gateway.proxy.telemetry.events import EventName, GatewayEvent, now_us
from batchata.gateway.proxy.telemetry.history import history, since_the_model
from batchata.gateway.proxy.telemetry.sessions import Session, Sessions

_TOLD_ELSEWHERE: Final = ("messages", "input", "model")
_REDACTOR: Final = Redactor()


class EventEmitter:
    """Emits what happened, in order, with ids that pair under any concurrency."""

    def __init__(
        self, queue: EventQueue, sessions: Sessions | None, monotonic: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._sessions = sessions
        self._monotonic = monotonic
        if sessions is not None:
            sessions.on_end = self._ended
            sessions.catch_up = queue.catch_up

    def began(self, exchange: Exchange, named_session: str) -> None:
        """A model is about to be asked."""
        session = self._session(exchange, named_session)
        body = exchange.json or {}
        turns, added = _turns_of(exchange, body)
        if session is not None and session.waiting:
            self._tell_results(exchange, session, results_of(added))
        if self._queue.has_observers:
            model = exchange.model  # an interceptor may replace it, and the body
            self._queue.put(partial(_call_start, now_us(), exchange, model, body, turns, added))

    def ended(self, exchange: Exchange, answered: Answered) -> None:
        """An answer came, or will not come."""
        if self._queue.has_observers:
            self._tell_end(exchange, answered)
        if self._sessions is not None:
            self._remember(self._sessions, exchange, answered)

    def _remember(self, sessions: Sessions, exchange: Exchange, answered: Answered) -> None:
        """Remember an answer; what its history leads to, many in a row, before anyone asks."""
        if answered.tool_calls:
            sessions.wait_for(exchange, answered)
        self._queue.later(partial(sessions.learn, exchange, answered))

    def _tell_end(self, exchange: Exchange, answered: Answered) -> None:
        self._queue.put(partial(_call_end, now_us(), exchange, answered))
        for call in answered.tool_calls:
            asked = {"tool.id": call.id, "tool.name": call.name, "tool.params": _params_of(call)}
            if call.choice:
                asked["tool.choice"] = call.choice
            self._tell("tool.execution", exchange, asked)
        if answered.tool_results:
            self._tell_own_results(exchange, answered)

    def _tell_own_results(self, exchange: Exchange, answered: Answered) -> None:
        """Emit the results of tools that the vendor itself ran."""
        names = {call.id: call.name for call in answered.tool_calls}
        later = []  # results of calls that an earlier answer began
        for result in answered.tool_results:
            if result.id in names:
                self._tell_result(exchange, names[result.id], result, {})
            else:
                later.append(result)
        session = self._sessions and self._sessions.get(exchange.session_id)
        if session and later:
            self._tell_results(exchange, session, later)

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
            if self._queue.has_observers:
                model, body = exchange.model, exchange.json or {}
                self._queue.put(partial(_session_start, now_us(), exchange, model, body))
        return session

    def _tell_results(
        self, exchange: Exchange, session: Session, results: Iterable[ToolResult]
    ) -> None:
        """Emit the results of the calls that this session waits for, each once."""
        for result in results:
            found = session.waiting.pop(result.id, None)
            if found is not None:
                name, asked = found
                seconds = round(self._monotonic() - asked, 6)
                self._tell_result(exchange, name, result, {"tool.seconds": seconds})

    def _tell_result(
        self, exchange: Exchange, name: str, result: ToolResult, more: Mapping[str, Any]
    ) -> None:
        attributes = {
            "tool.id": result.id,
            "tool.name": name,
            "tool.status": "error" if result.is_error else "success",
            **more,
            "tool.result": _REDACTOR.named(result.content),
        }
        self._tell("tool.result", exchange, attributes)

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
        self._queue.put(_event(name, now_us(), exchange, attributes))


def _event(
    name: EventName, at_us: int, exchange: Exchange, attributes: Mapping[str, Any]
) -> GatewayEvent:
    return GatewayEvent(
        name,
        at_us,
        exchange.session_id,
        exchange.id,
        exchange.agent_id,
        exchange.provider,
        exchange.tags,
        attributes,
    )


def _call_start(
    at_us: int,
    exchange: Exchange,
    model: str,
    body: Mapping[str, Any],
    turns: Sequence[Any],
    added: Sequence[Any],
) -> GatewayEvent:
    attributes = {
        "llm.vendor": exchange.provider,
        "llm.model": model,
        "llm.endpoint": exchange.endpoint,
        "llm.request.stream": body.get("stream") is True,
        "llm.request.messages": len(turns),
        "llm.request.new_messages": _REDACTOR.named(added),
        "llm.request.params": _params(body),
        "attempt": exchange.attempt,
    }
    return _event("llm.call.start", at_us, exchange, attributes)


def _call_end(at_us: int, exchange: Exchange, answered: Answered) -> GatewayEvent:
    attributes = answer_attributes(answered)
    attributes["llm.vendor"] = exchange.provider
    attributes["llm.model"] = answered.model or exchange.model
    attributes["attempt"] = exchange.attempt
    name: EventName = "llm.call.finish" if answered.is_success else "llm.call.error"
    return _event(name, at_us, exchange, attributes)


def answer_attributes(answered: Answered) -> dict[str, Any]:
    """The numbers and texts of an answer; what is unknown is left out."""
    found: dict[str, Any] = {
        "http.status_code": answered.status,
        "llm.response.seconds": round(answered.seconds, 6),
        "source": answered.source,
    }
    _add_known(found, answered)
    _add_outcome(found, answered)
    if answered.usage is not None:
        _add_usage(found, answered.usage)
    return found


def _add_known(found: dict[str, Any], answered: Answered) -> None:
    """Add what an answer says about itself."""
    if answered.first_byte_seconds is not None:
        found["llm.response.first_byte_seconds"] = answered.first_byte_seconds
    if answered.finish_reason is not None:
        found["llm.response.finish_reason"] = answered.finish_reason
    if answered.thinking is not None:
        found["llm.response.thinking"] = answered.thinking
    if answered.refusal is not None:
        found["llm.response.refusal"] = answered.refusal
    if answered.response_id is not None:
        found["llm.response.id"] = answered.response_id
    if answered.request_id is not None:
        found["llm.request_id"] = answered.request_id
    if answered.service_tier is not None:
        found["llm.service_tier"] = answered.service_tier


def _add_outcome(found: dict[str, Any], answered: Answered) -> None:
    """Add its error, its texts, how it ended and its cost."""
    if answered.error is not None:
        found["error.message"] = answered.error
    if answered.error_type is not None:
        found["error.type"] = answered.error_type
    if answered.text:
        found["llm.response.content"] = answered.text
    if answered.choices:
        found["llm.response.choices"] = [answered.text, *answered.choices]
    if answered.ending != "answered":
        found["ending"] = answered.ending
    if answered.cost_usd is not None:
        found["llm.cost_usd"] = str(answered.cost_usd)


def _add_usage(found: dict[str, Any], usage: Usage) -> None:
    """Add all counts, but those that are zero for most calls only where they are not."""
    found["llm.usage.input_tokens"] = usage.input_tokens
    found["llm.usage.output_tokens"] = usage.output_tokens
    found["llm.usage.total_tokens"] = usage.total_tokens
    found["llm.usage.cache_read_tokens"] = usage.cache_read_tokens
    found["llm.usage.cache_write_tokens"] = usage.cache_write_tokens
    found["llm.usage.reasoning_tokens"] = usage.reasoning_tokens
    if usage.cache_write_1h_tokens:
        found["llm.usage.cache_write_1h_tokens"] = usage.cache_write_1h_tokens
    if usage.web_searches:
        found["llm.usage.web_searches"] = usage.web_searches
    if usage.input_audio_tokens:
        found["llm.usage.input_audio_tokens"] = usage.input_audio_tokens
    if usage.output_audio_tokens:
        found["llm.usage.output_audio_tokens"] = usage.output_audio_tokens


def _session_start(
    at_us: int, exchange: Exchange, model: str, body: Mapping[str, Any]
) -> GatewayEvent:
    """Who opens a session, and with what; its first call has what is asked."""
    found: dict[str, Any] = {
        "session.id": exchange.session_id,
        "client.type": "gateway",
        "llm.vendor": exchange.provider,
        "llm.model": model,
    }
    tools = body.get("tools") or body.get("functions")
    if tools and isinstance(tools, list):
        found["llm.tools"] = [name_of(each) for each in tools if isinstance(each, dict)]
    metadata = body.get("metadata")
    user = body.get("safety_identifier") or body.get("user")
    if user is None and isinstance(metadata, dict):
        user = metadata.get("user_id")
    if user and isinstance(user, str):
        found["user.id"] = id_of(user, ())
    return _event("session.start", at_us, exchange, found)


def _turns_of(exchange: Exchange, body: Mapping[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """All turns of a request, and those that it adds."""
    if (found := exchange.history) is not None:
        return found.items, found.added
    turns = history(body)
    return turns, since_the_model(turns)


def _params(body: Mapping[str, Any]) -> Any:
    params = dict(body)
    for name in _TOLD_ELSEWHERE:
        params.pop(name, None)
    return _REDACTOR.named(params)


def _params_of(call: ToolCall) -> Any:
    return _REDACTOR.named(arguments_of(call.arguments))
