"""Tool calls and their results, in all three protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from batchata.core.logged import to_json

#: where items of the responses API keep the input of a tool
_ASKED: Final = ("arguments", "input", "action", "actions", "operation", "queries", "code")
#: where items of tools that the vendor itself runs keep their results
_CAME: Final = {
    "mcp_call": "output",
    "code_interpreter_call": "outputs",
    "file_search_call": "results",
    "web_search_call": None,
    "image_generation_call": None,
}
_FAILED: Final = ("failed", "incomplete")


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that the model asks for, or that its vendor has run."""

    id: str
    name: str
    arguments: str  #: JSON, or the text of a tool that takes text
    choice: int = 0  #: which of several answers asks for it


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a tool call."""

    id: str  #: of the call
    content: Any  #: None if unknown
    is_error: bool = False


def tool_call(item: Mapping[str, Any], choice: int = 0) -> ToolCall:
    """A tool call of the chat, responses or messages API."""
    call_id, name, asked = parts_of(item)
    text = asked if isinstance(asked, str) else to_json(asked).decode()
    return ToolCall(id=call_id, name=name, arguments=text, choice=choice)


def name_of(item: Mapping[str, Any]) -> str:
    """The name of a tool or a tool call; for a tool without a name its type."""
    return _name_in(_function_of(item), item)


def _name_in(place: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    return str(place.get("name") or str(item.get("type") or "").removesuffix("_call"))


def parts_of(item: Mapping[str, Any]) -> tuple[str, str, Any]:
    """Id, name and arguments of a call; one without an id goes by its name."""
    place = _function_of(item)
    name = _name_in(place, item)
    asked: Any = next((place[each] for each in _ASKED if place.get(each) is not None), {})
    return str(item.get("call_id") or item.get("id") or name), name, asked


def _function_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with name and arguments: chat has them one level down."""
    function = item.get("function") or item.get("custom")
    return function if isinstance(function, dict) else item


def arguments_of(text: Any) -> Any:
    """Arguments as a value, since clients echo them in a spelling of their own."""
    if not isinstance(text, str):
        return text
    try:
        return orjson.loads(text) if text else {}
    except ValueError:
        return text


def results_in(item: Any) -> Iterator[ToolResult]:
    """Results in one turn of a request, or in one item or block of an answer."""
    if not isinstance(item, dict):
        return
    kind = item.get("type")
    if item.get("role") == "tool":
        yield ToolResult(id=str(item.get("tool_call_id")), content=item.get("content"))
    elif item.get("role") == "function":
        yield ToolResult(id=str(item.get("name")), content=item.get("content"))
    elif isinstance(kind, str) and kind.endswith("_call_output"):
        call_id, failed = item.get("call_id") or item.get("id"), item.get("status") in _FAILED
        yield ToolResult(id=str(call_id), content=item.get("output"), is_error=failed)
    elif isinstance(kind, str) and kind.endswith("tool_result"):
        content = item.get("content")
        said = content.get("type") if isinstance(content, dict) else None
        failed = bool(item.get("is_error")) or str(said).endswith("_error")
        yield ToolResult(id=str(item.get("tool_use_id")), content=content, is_error=failed)
    elif isinstance(kind, str) and kind in _CAME:
        yield _own_result(item, _CAME[kind])
    else:
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and str(part.get("type")).endswith("tool_result"):
                yield from results_in(part)


def results_of(items: Sequence[Any]) -> Iterator[ToolResult]:
    """Results in several of them."""
    for item in items:
        yield from results_in(item)


def _own_result(item: Mapping[str, Any], place: str | None) -> ToolResult:
    error = item.get("error")
    content = error if error is not None else item.get(place) if place else None
    failed = error is not None or item.get("status") in _FAILED
    return ToolResult(id=parts_of(item)[0], content=content, is_error=failed)
