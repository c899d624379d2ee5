"""Which calls belong together: by a header, by the API's own ids, or by the whole history."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from typing import Any, Final

import msgspec

from batchata.gateway.proxy.exchange import EMBEDDINGS, RESPONSES, Answered, Exchange
from batchata.gateway.proxy.reading.tools import ToolCall
from batchata.gateway.proxy.telemetry.history import (
    History,
    canonical,
    digest,
    history,
    unmarked_line,
)

#: how many sessions may share one history
_MOST_TWINS: Final = 8
#: how many tool calls of one session may await their results
_MOST_CALLS: Final = 256


class Session(msgspec.Struct, eq=False):
    """Calls that belong together."""

    id: str
    is_named: bool  #: by the client, rather than inferred here
    last_seconds: float
    agent_id: str = ""
    provider: str = ""
    tags: Mapping[str, str] = {}
    #: names of the tools that the model asked for and when, by call id
    waiting: dict[str, tuple[str, float]] = {}
    keys: list[bytes] = []  #: histories that lead here


class Sessions:
    """All sessions in memory: the least recently used goes first, each step in constant time."""

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
        self._oldest_seconds = -inf  # no session was used before
        #: learns what is not learnt yet
        self.catch_up: Callable[[], None] = lambda: None
        self.on_end: Callable[[Session], None] = lambda session: None

    def __len__(self) -> int:
        return len(self._all)

    def find(self, exchange: Exchange, named: str) -> tuple[Session, bool]:
        """The session of a request, and whether it is new."""
        now = self._clock()
        self._expire(now)
        if named:
            return self._named(named, now)
        leads = _leads(exchange)
        if leads:
            self.catch_up()
        for key in leads:
            if (ids := self._by_history.get(key)) is not None:
                # of several with one history, the first that has not gone on
                found = next((each for each in ids if self._all[each].keys[-1] == key), ids[-1])
                return self._touched(self._all[found], now), False
        return self._add(Session(self._new_id(), False, now)), True

    def wait_for(self, exchange: Exchange, answered: Answered) -> None:
        """Remember the tool calls whose results the client will send."""
        session = self._all.get(exchange.session_id)
        if session is None:
            return
        now, done = self._clock(), {each.id for each in answered.tool_results}
        for call in answered.tool_calls:
            if call.id in done:
                continue
            session.waiting[call.id] = (call.name, now)
            while len(session.waiting) > _MOST_CALLS:
                del session.waiting[next(iter(session.waiting))]

    def learn(self, exchange: Exchange, answered: Answered) -> None:
        """Remember where a session stands after an answer, so that its next call is known."""
        session = self._all.get(exchange.session_id)
        if session is None or session.is_named:
            return
        for key in _ends(exchange, answered):
            self._lead(key, session)

    def get(self, session_id: str) -> Session | None:
        """The session with this id, while it is remembered."""
        return self._all.get(session_id)

    def expire(self) -> None:
        """End the sessions that have been silent for too long."""
        self._expire(self._clock())

    def end_all(self) -> None:
        """End every session."""
        for session in tuple(self._all.values()):
            self._drop(session)

    def _expire(self, now: float) -> None:
        oldest = now - self._ttl
        while self._all and self._oldest_seconds <= oldest:
            session = next(iter(self._all.values()))
            if session.last_seconds > oldest:
                self._oldest_seconds = session.last_seconds
                return
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
        ids = self._by_history.get(key)
        if ids is None:
            self._by_history[key] = [session.id]
        elif session.id in ids:
            return
        else:
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


def _leads(exchange: Exchange) -> list[bytes]:
    """Histories that the request may continue, the surest first."""
    body = exchange.json
    if body is None:
        return []
    found = exchange.history = _history(exchange, body)
    keys: list[bytes] = []
    if "previous_response_id" in body:
        keys += _id_keys(exchange, body, "previous_response_id")
    if "conversation" in body:
        keys += _id_keys(exchange, body, "conversation")
    if found.spoken:
        keys.append(found.continued())
    if exchange.attempt > 1 and exchange.spilled is None:
        keys.append(digest(found.whole() + b"failed"))
    return keys


def _ends(exchange: Exchange, answered: Answered) -> list[bytes]:
    """Histories that the next request may continue."""
    body = exchange.json
    if body is None or (answered.is_success and exchange.endpoint == EMBEDDINGS):
        return []
    found = exchange.history or _history(exchange, body)
    if not answered.is_success:
        return [digest(found.whole() + b"failed")] if exchange.spilled is None else []
    keys: list[bytes] = []
    if answered.response_id and exchange.endpoint == RESPONSES:
        keys.append(_id_key(exchange, "previous_response_id", answered.response_id))
    if "conversation" in body:
        keys += _id_keys(exchange, body, "conversation")
    if exchange.spilled is None:
        if answered.choices:  # a client may continue any of them
            said = enumerate(answered.choices, 1)
            keys += found.each_answered((text, _calls_of(answered, n)) for n, text in said)
        keys.append(found.answered(answered.text, _calls_of(answered, 0)))
    return keys


def _id_keys(exchange: Exchange, body: Mapping[str, Any], name: str) -> list[bytes]:
    """A key of the API's own id that a body has under this name."""
    value = body[name]
    if isinstance(value, dict):
        value = value.get("id")
    return [_id_key(exchange, name, value)] if isinstance(value, str) else []


def _calls_of(answered: Answered, choice: int) -> tuple[ToolCall, ...]:
    calls = answered.tool_calls
    return tuple([each for each in calls if each.choice == choice]) if calls else calls


def _id_key(exchange: Exchange, name: str, value: str) -> bytes:
    """A key of the API's own id, without the instructions, which may change from call to call."""
    return digest(canonical([exchange.client, name, value]))


def _history(exchange: Exchange, body: Mapping[str, Any]) -> History:
    """The turns as the client sent them; of a body on disk they are not read."""
    return History(_seed(exchange, body), history(body) if exchange.spilled is None else ())


def _seed(exchange: Exchange, body: Mapping[str, Any]) -> bytes:
    """Keeps conversations of different clients, endpoints or instructions apart."""
    system, instructions = body.get("system"), body.get("instructions")
    if system is None and instructions is None:
        return _plain_seed(exchange.client, exchange.endpoint)
    return digest(unmarked_line([exchange.client, exchange.endpoint, system, instructions]))


@lru_cache(1024)
def _plain_seed(client: str, endpoint: str | None) -> bytes:
    return digest(canonical([client, endpoint, None, None]))
