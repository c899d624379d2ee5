"""Which calls belong together: told by a header, by the API's own ids, or by the whole history."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import orjson

from batchata.gateway.proxy.exchange import (
    EMBEDDINGS,
    RESPONSES,
    Answered,
    Exchange,
    ToolCall,
)

_SIZE: Final = 16
#: sessions that one and the same history may belong to
_MOST_TWINS: Final = 8
#: tool calls of one session whose results are waited for
_MOST_CALLS: Final = 256


@dataclass(slots=True)
class Session:
    """Calls that belong together."""

    id: str
    is_named: bool  #: by the client, rather than found out here
    last_seconds: float
    agent_id: str = ""
    provider: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    #: names of the tools that the model asked for and when, by call id
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)  #: histories that lead here


class Sessions:
    """All sessions in memory: the one used longest ago goes first, each step in constant time."""

    def __init__(
        self,
        *,
        max_sessions: int,
        ttl_seconds: float,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._most = max_sessions
        self._ttl = ttl_seconds
        self._clock = clock
        self._new_id = new_id
        self._all: OrderedDict[str, Session] = OrderedDict()
        #: ids of sessions by the hash of a history they had
        self._by_history: dict[bytes, list[str]] = {}
        self.on_end: Callable[[Session], None] = lambda session: None

    def __len__(self) -> int:
        return len(self._all)

    def find(self, exchange: Exchange, named: str) -> tuple[Session, bool]:
        """The session of a request, and whether it is new."""
        self.expire()
        now = self._clock()
        if named:
            return self._named(named, now)
        for key in self._leads(exchange):
            if (ids := self._by_history.get(key)) is not None:
                # of twins with one history, the first that has not gone on
                found = next((each for each in ids if self._all[each].keys[-1] == key), ids[-1])
                return self._touched(self._all[found], now), False
        return self._add(Session(self._new_id(), False, now)), True

    def learn(self, exchange: Exchange, answered: Answered) -> None:
        """Remember where a session stands after an answer, so that its next call is known."""
        session = self._all.get(exchange.session_id)
        if session is None:
            return
        now = self._clock()
        for call in answered.tool_calls:
            session.waiting[call.id] = (call.name, now)
            while len(session.waiting) > _MOST_CALLS:
                del session.waiting[next(iter(session.waiting))]
        if session.is_named:
            return
        for key in _ends(exchange, answered):
            self._lead(key, session)

    def get(self, session_id: str) -> Session | None:
        """The session of this id, while it is remembered."""
        return self._all.get(session_id)

    def expire(self) -> None:
        """End the sessions that have been silent too long."""
        oldest = self._clock() - self._ttl
        while self._all:
            session = next(iter(self._all.values()))
            if session.last_seconds > oldest:
                return
            self._drop(session)

    def end_all(self) -> None:
        """End every session."""
        for session in tuple(self._all.values()):
            self._drop(session)

    def _named(self, name: str, now: float) -> tuple[Session, bool]:
        found = self._all.get(name)
        if found is not None:
            return self._touched(found, now), False
        return self._add(Session(name, True, now)), True

    def _touched(self, session: Session, now: float) -> Session:
        session.last_seconds = now
        self._all.move_to_end(session.id)
        return session

    def _add(self, session: Session) -> Session:
        self._all[session.id] = session
        if len(self._all) > self._most:
            self._drop(next(iter(self._all.values())))
        return session

    def _drop(self, session: Session) -> None:
        del self._all[session.id]
        for key in session.keys:
            ids = self._by_history.get(key)
            if ids is not None and session.id in ids:
                ids.remove(session.id)
                if not ids:
                    del self._by_history[key]
        self.on_end(session)

    def _lead(self, key: bytes, session: Session) -> None:
        ids = self._by_history.setdefault(key, [])
        if session.id in ids:
            return
        if len(ids) >= _MOST_TWINS:
            twin = self._all[ids.pop(0)]
            twin.keys.remove(key)
        ids.append(session.id)
        session.keys.append(key)
        if len(session.keys) > 2 * _MOST_CALLS:
            self._forget(session, session.keys[0])

    def _forget(self, session: Session, key: bytes) -> None:
        session.keys.remove(key)
        ids = self._by_history[key]
        ids.remove(session.id)
        if not ids:
            del self._by_history[key]

    def _leads(self, exchange: Exchange) -> Iterator[bytes]:
        """Histories that the request goes on from, the surest first."""
        body = exchange.json
        if body is None:
            return
        seed = _seed(exchange)
        for name in ("previous_response_id", "conversation"):
            value = body.get(name)
            if isinstance(value, dict):
                value = value.get("id")
            if isinstance(value, str):
                yield _hash(seed + _canonical([name, value]))
        if exchange.spilled is not None:
            return  # its turns are not read
        items = history(body)
        spoken = [number for number, each in enumerate(items) if _is_models(each)]
        if spoken:
            yield rolled(seed, items[: spoken[-1] + 1])
        if exchange.attempt > 1:
            yield _hash(rolled(seed, items) + b"failed")


def history(body: Mapping[str, Any]) -> Sequence[Any]:
    """The turns of a request, whichever API it is for."""
    items = body.get("messages")
    items = body.get("input") if items is None else items
    if isinstance(items, list):
        return items
    return [] if items is None else [{"role": "user", "content": items}]


def since_the_model(body: Mapping[str, Any]) -> Sequence[Any]:
    """The turns after the model's last one: what this request adds."""
    items = history(body)
    last = max((n for n, each in enumerate(items) if _is_models(each)), default=-1)
    return items[last + 1 :]


def rolled(seed: bytes, items: Sequence[Any]) -> bytes:
    """The hash of a history: of all of its content, turn by turn; what the model said in one turn
    counts the same however its items are cut.
    """
    rolling = seed
    said: list[Any] = []
    for each in items:
        if _is_models(each):
            said.append(each)
            continue
        if said:
            rolling, said = _hash(rolling + _said(said)), []
        rolling = _hash(rolling + _canonical(each))
    return _hash(rolling + _said(said)) if said else rolling


def _ends(exchange: Exchange, answered: Answered) -> Iterator[bytes]:
    body = exchange.json
    if body is None:
        return
    seed = _seed(exchange)
    if not answered.is_success:
        if exchange.spilled is None:
            yield _hash(rolled(seed, history(body)) + b"failed")
        return
    if exchange.endpoint == EMBEDDINGS:
        return
    if answered.response_id and exchange.endpoint == RESPONSES:
        yield _hash(seed + _canonical(["previous_response_id", answered.response_id]))
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if isinstance(conversation, str):
        yield _hash(seed + _canonical(["conversation", conversation]))
    if exchange.spilled is not None:
        return
    turn = _Turn(answered.text, answered.tool_calls)
    yield rolled(seed, [*history(body), turn])


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the model said just now."""

    text: str
    calls: tuple[ToolCall, ...]


def _seed(exchange: Exchange) -> bytes:
    """Conversations of other clients, endpoints or instructions are others."""
    if not exchange.history_seed:
        body = exchange.json or {}
        system, instructions = body.get("system"), body.get("instructions")
        if system is None and instructions is None:
            exchange.history_seed = _plain_seed(exchange.client, exchange.endpoint)
        else:
            told = [exchange.client, exchange.endpoint, system, instructions]
            exchange.history_seed = _hash(_canonical(told))
    return exchange.history_seed


@lru_cache(1024)
def _plain_seed(client: str, endpoint: str | None) -> bytes:
    return _hash(_canonical([client, endpoint, None, None]))


def _is_models(item: Any) -> bool:
    if isinstance(item, _Turn):
        return True
    if not isinstance(item, dict):
        return False
    if item.get("role") in ("assistant", "model"):
        return True
    return item.get("type") in ("reasoning", "function_call", "custom_tool_call", "output_text")


def _said(turns: Sequence[Any]) -> bytes:
    """One turn of the model as clients echo it: its text and its tool calls, nothing else."""
    texts: list[str] = []
    calls: list[tuple[str, str, Any]] = []
    for turn in turns:
        if isinstance(turn, _Turn):
            texts.append(turn.text)
            calls.extend((call.id, call.name, _arguments(call.arguments)) for call in turn.calls)
        else:
            _echoed(turn, texts, calls)
    return _canonical(["model", "".join(texts), sorted(calls, key=lambda call: call[0])])


def _echoed(turn: Mapping[str, Any], texts: list[str], calls: list[tuple[str, str, Any]]) -> None:
    content = turn.get("content")
    if isinstance(content, str):
        texts.append(content)
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping):
            continue
        if part.get("type") in ("text", "output_text"):
            texts.append(str(part.get("text") or ""))
        elif str(part.get("type")).endswith("tool_use"):
            calls.append((str(part.get("id")), str(part.get("name")), part.get("input")))
    asked = turn.get("tool_calls")
    for call in asked if isinstance(asked, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            arguments = _arguments(function.get("arguments"))
            calls.append((str(call.get("id")), str(function.get("name")), arguments))
    if turn.get("type") in ("function_call", "custom_tool_call"):
        arguments = _arguments(turn.get("arguments"))
        calls.append((str(turn.get("call_id")), str(turn.get("name")), arguments))


def _arguments(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # numbers beyond 64 bits
        return repr(value).encode("utf-8", "surrogatepass")


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SIZE).digest()
