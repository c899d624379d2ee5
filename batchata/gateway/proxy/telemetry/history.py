"""A conversation as one hash: of all of its content, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

import orjson

from batchata.core.thinking import split_thinking
from batchata.gateway.proxy.reading.tools import ToolCall, arguments_of, parts_of

_SIZE: Final = 16
_LINE: Final = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
_CALL_ID: Final = itemgetter(0)
_MODELS_ROLES: Final = ("assistant", "model")
#: items of the responses API made by the model, besides those that end in `_call`
_MODELS_ITEMS: Final = (
    *("reasoning", "output_text", "compaction", "mcp_list_tools"),
    *("mcp_approval_request", "tool_search_output"),
)
_TEXT: Final = frozenset({"type", "text"})
_MARK: Final = b'"cache_control":'


def history(body: Mapping[str, Any]) -> Sequence[Any]:
    """The turns of a request, whichever API it is for."""
    items = body.get("messages")
    items = body.get("input") if items is None else items
    if isinstance(items, list):
        return items
    return [] if items is None else [{"role": "user", "content": items}]


def since_the_model(items: Sequence[Any]) -> Sequence[Any]:
    """The turns after the model's last one: what a request adds."""
    return items[_spoken(items) :]


class History:
    """The hash of a request's turns.

    What the model said in one turn counts the same however its items are cut.
    """

    __slots__ = ("_before", "_line", "_said", "_seed", "added", "items", "spoken")

    def __init__(self, seed: bytes, items: Sequence[Any]) -> None:
        self._seed = seed  # what the hash starts from
        self.spoken = spoken = _spoken(items)  #: turns up to the model's last one
        self.items = items
        self.added = items[spoken:] if spoken else items  #: what the request adds
        self._said: list[Any] = []  # the model's last turn
        self._line = b""  # and its line
        if spoken:
            self._before = blake2b(seed, digest_size=_SIZE)  # of the lines before it
            self._listen(items[:spoken])

    def _listen(self, items: Sequence[Any]) -> None:
        for each in items:
            if _is_models(each):
                self._said.append(each)
                continue
            if self._said:
                self._before.update(_turn_bytes(self._said))
                self._said = []
            self._before.update(_client_line(each))
        self._line = _turn_bytes(self._said)

    def continued(self) -> bytes:
        """The hash of the turns up to the model's last one, if it has one."""
        return self._with(self._line)

    def whole(self) -> bytes:
        """The hash of all turns."""
        return self._with(self._lines())

    def answered(self, text: str, calls: tuple[ToolCall, ...]) -> bytes:
        """The hash of all turns and of what the model says to them."""
        if self._said and not self.added:  # it goes on with its own turn
            return self._with(_turn_bytes([*self._said, _Turn(text, calls)]))
        return self._with(self._lines() + _answer_line(text, calls))

    def each_answered(self, said: Iterable[tuple[str, tuple[ToolCall, ...]]]) -> list[bytes]:
        """The same for several answers: the turns, which may be megabytes, are read once."""
        if self._said and not self.added:
            return [self.answered(*each) for each in said]
        whole = self._before.copy() if self.spoken else blake2b(self._seed, digest_size=_SIZE)
        whole.update(self._lines())
        return [_further(whole, _answer_line(*each)) for each in said]

    def _lines(self) -> bytes:
        return b"".join((self._line, *map(_client_line, self.added)))

    def _with(self, lines: bytes) -> bytes:
        if not self.spoken:
            return digest(self._seed + lines)
        return _further(self._before, lines)


def _further(known: blake2b, lines: bytes) -> bytes:
    further = known.copy()
    further.update(lines)
    return further.digest()


@dataclass(slots=True)
class _Turn:
    """What the model has just said."""

    text: str
    calls: tuple[ToolCall, ...]


def _spoken(items: Sequence[Any]) -> int:
    for number in range(len(items), 0, -1):
        if _is_models(items[number - 1]):
            return number
    return 0


def _is_models(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if item.get("role") in _MODELS_ROLES:
        return True
    kind = item.get("type")
    return isinstance(kind, str) and (kind in _MODELS_ITEMS or kind.endswith("_call"))


def _turn_bytes(turns: Sequence[Any]) -> bytes:
    """One turn of the model as clients echo it: its text and its tool calls, nothing else."""
    texts: list[str] = []
    calls: list[tuple[str, str, Any]] = []
    for turn in turns:
        if isinstance(turn, _Turn):
            texts.append(turn.text)
            calls.extend((call.id, call.name, arguments_of(call.arguments)) for call in turn.calls)
        else:
            _echoed(turn, texts, calls)
    calls.sort(key=_CALL_ID)
    return _model_line("".join(texts), calls)


def _answer_line(text: str, calls: tuple[ToolCall, ...]) -> bytes:
    return _turn_bytes([_Turn(text, calls)]) if calls else _model_line(text, ())


def _model_line(text: str, calls: Sequence[tuple[str, str, Any]]) -> bytes:
    """A line for a turn of the model, as clients may drop outer space and leading thoughts."""
    return canonical(["model", split_thinking(text)[0].strip(), calls])


def _echoed(turn: Mapping[str, Any], texts: list[str], calls: list[tuple[str, str, Any]]) -> None:
    if str(turn.get("type")).endswith("_call"):
        calls.append(_call(turn))
        return
    content = turn.get("content")
    if isinstance(content, str):
        texts.append(content)
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") in ("text", "output_text"):
            texts.append(str(part.get("text") or ""))
        elif str(part.get("type")).endswith("tool_use"):
            calls.append(_call(part))
    asked = turn.get("tool_calls")
    for call in asked if isinstance(asked, list) else ():
        if isinstance(call, dict):
            calls.append(_call(call))
    if isinstance(function := turn.get("function_call"), dict):
        calls.append(_call(function))


def _call(item: Mapping[str, Any]) -> tuple[str, str, Any]:
    call_id, name, asked = parts_of(item)
    return call_id, name, arguments_of(asked)


def _client_line(turn: Any) -> bytes:
    """A line for a client's turn, as cache marks, and with them lists of one text, come and go."""
    line = canonical(_plain(turn))
    return line if _MARK not in line else canonical(_plain(_unmarked(turn)))


def _plain(turn: Any) -> Any:
    content = turn.get("content") if type(turn) is dict else None
    if type(content) is not list or len(content) != 1:
        return turn
    part = content[0]
    if isinstance(part, dict) and part.keys() == _TEXT and part["type"] in ("text", "input_text"):
        return {**turn, "content": part["text"]}
    return turn


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(each) for name, each in value.items() if name != "cache_control"}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value


def canonical(value: Any) -> bytes:
    """The same line of JSON for equal values."""
    try:
        return orjson.dumps(value, option=_LINE)
    except TypeError:  # numbers beyond 64 bits
        return f"{value!r}\n".encode("utf-8", "surrogatepass")


def unmarked_line(value: Any) -> bytes:
    """The same, without cache marks."""
    line = canonical(value)
    return line if _MARK not in line else canonical(_unmarked(value))


def digest(data: bytes) -> bytes:
    """The hash of some bytes."""
    return blake2b(data, digest_size=_SIZE).digest()
