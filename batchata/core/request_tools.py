"""The tools that a request body names, wherever it names them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

#: rounds of a tool that the vendor runs itself, where the request sets no limit
HOSTED_ROUNDS: Final = 10
#: tools that run at the caller's: they cost no more than their text
_CALLERS_TOOLS: Final = (
    "function",
    "custom",
    "bash",
    "text_editor",
    "computer",
    "browser",
    "memory",
    "local_shell",
    "shell",
    "apply_patch",
    "namespace",
)
_CONVERSATIONS: Final = ("input", "messages")
#: items of a conversation that bring tools, as `tools` does
_BRINGING: Final = ("additional_tools", "tool_search_output")


def tools_of(request: Mapping[str, Any]) -> list[Any]:
    """The tools of a request, with those that come in the middle of its conversation."""
    tools = list(request.get("tools") or ())
    for name in _CONVERSATIONS:
        items = request.get(name)
        for item in items if isinstance(items, (list, tuple)) else ():
            # the everyday message is text only
            if isinstance(item, dict) and ("tools" in item or type(item.get("content")) is not str):
                tools.extend(_brought(item))
    return tools


def _brought(item: dict[str, Any]) -> Iterator[Any]:
    """The tools that one item of a conversation brings."""
    if "tools" in item and item.get("type") in _BRINGING:
        yield from item["tools"] or ()
    blocks = item.get("content")
    if isinstance(blocks, (list, tuple)):
        for block in blocks:
            if isinstance(block, dict) and block.get("type") == "tool_addition":
                yield from _added(block.get("tool"))


def _added(tool: object) -> Iterable[Any]:
    return (tool["definition"],) if isinstance(tool, dict) and "definition" in tool else ()


def is_callers_tool(tool: Mapping[str, Any]) -> bool:
    """True for a tool that runs at the caller's: it costs no more than its text."""
    kind = tool.get("type")
    if kind == "shell" and isinstance(place := tool.get("environment"), dict):
        return place.get("type") == "local"  # else in a container of the vendor's
    return kind is None or str(kind).startswith(_CALLERS_TOOLS)


def hosted_rounds(request: Mapping[str, Any], tool: Mapping[str, Any]) -> int:
    """How often the vendor may run this tool by itself and read what it brought."""
    if is_callers_tool(tool):
        return 0
    limit = tool.get("max_uses") or request.get("max_tool_calls")
    return limit + 1 if isinstance(limit, int) and limit >= 0 else HOSTED_ROUNDS


def web_search_bound(request: Mapping[str, Any], tools: Iterable[Any] | None = None) -> int:
    """The most web searches that the vendor may charge for; `tools` are those of the request."""
    bound = 0 if request.get("web_search_options") is None else HOSTED_ROUNDS
    for tool in tools_of(request) if tools is None else tools:
        if isinstance(tool, dict) and str(tool.get("type")).startswith("web_search"):
            bound += hosted_rounds(request, tool)
    return bound
