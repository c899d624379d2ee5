"""What LangChain says of an event, in plain values with each text once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage

from batchata.core.model_code import attempted

#: fields of a message that are worth keeping when they are not empty
_MESSAGE: Final = (
    "id",
    "name",
    "tool_call_id",
    "tool_calls",
    "invalid_tool_calls",
    "status",
    "additional_kwargs",
    "artifact",
)
#: vendors' words for what has a field of its own
_USAGE: Final = frozenset({"token_usage", "usage"})


def named(serialized: Mapping[str, Any] | None, given: Mapping[str, Any]) -> str | None:
    """The name of what runs; LangChain says it in several places, and sometimes in none."""
    said = serialized or {}
    path = said.get("id") or [None]
    name = given.get("name") or said.get("name") or path[-1]
    return None if name is None else str(name)


def described(serialized: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a serialised object is, without everything that it is made of."""
    said = serialized or {}
    return {name: said[name] for name in ("name", "id") if name in said}


def asking(serialized: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """What both kinds of models' starts have."""
    params = dict(given.get("invocation_params") or {})
    return {
        "llm_type": params.get("_type"),
        "serialized": described(serialized),
        "model": _model(serialized, given, params),
        "tools": params.pop("tools", None),
        "invocation_params": params,
    }


def _model(
    serialized: Mapping[str, Any] | None, given: Mapping[str, Any], params: Mapping[str, Any]
) -> str | None:
    kwargs = (serialized or {}).get("kwargs") or {}
    found = (
        params.get("model")
        or params.get("model_name")
        or kwargs.get("model")
        or kwargs.get("model_name")
        or (given.get("metadata") or {}).get("ls_model_name")
    )
    return None if found is None else str(found)


def message(each: Any) -> Any:
    """A message as a mapping: its kind, its content, and what else is not empty."""
    if not isinstance(each, BaseMessage):
        return each
    fields = vars(each)  # asking a pydantic model for a field it has not is slow
    said = {"type": fields["type"], "content": fields["content"]}
    for name in _MESSAGE:
        value = fields.get(name)
        if value:
            said[name] = value
    return said


def conversations(messages: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The messages of each question."""
    return [[message(each) for each in one] for one in messages]


def answered(response: Any) -> dict[str, Any]:
    """An LLMResult: every generation, and the first one's usage beside them."""
    generations = [[_generation(each) for each in one] for one in response.generations]
    first = response.generations[0][0] if generations and generations[0] else None
    said = getattr(first, "message", None)
    output = response.llm_output or {}
    metadata = getattr(said, "response_metadata", None) or {}
    return {
        "response": {"generations": generations, "llm_output": _beyond(metadata, output)},
        "model": output.get("model_name") or output.get("model") or metadata.get("model_name"),
        "usage": output.get("token_usage") or output.get("usage"),
        "usage_metadata": getattr(said, "usage_metadata", None),
        "response_metadata": _beyond({}, metadata),
    }


def _beyond(known: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said beside what is known already, without the usage, which has its own place."""
    return {
        name: value
        for name, value in said.items()
        if name not in _USAGE and (name not in known or known[name] != value)
    }


def _generation(each: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"text": each.text}
    said = getattr(each, "message", None)
    if said is not None:
        plain = message(said)
        if plain["content"] == each.text:
            del plain["content"]
        made["message"] = plain
    if each.generation_info:
        made["generation_info"] = each.generation_info
    return made


def failed(error: BaseException) -> dict[str, Any]:
    """An error by its kind and its words."""
    name = type(error).__name__
    return {"error": {"message": attempted(lambda: str(error), name), "type": name}}


def plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Inputs and outputs of chains: messages in them as mappings, all else as it is.

    `above` are the ids of what it lies in: what holds itself is named there.
    """
    if not isinstance(value, (Mapping, list, tuple)):
        return message(value)
    if id(value) in above:
        return f"<{type(value).__name__}>"
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return {_name(name): plain(each, above) for name, each in value.items()}
    return [plain(each, above) for each in value]


def _name(key: Any) -> str:
    return key if type(key) is str else str(attempted(lambda: str(key), type(key).__name__))
