"""What a chain gave back as JSON, and that again as what it was."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from pydantic import BaseModel

from batchata.core.logged import to_json
from batchata.core.result import JobResult


def serialized(output: Any) -> dict[str, Any]:
    """An output as values that JSON has words for, all but nothing of it lost."""
    if isinstance(output, BaseMessage):
        return {"message": message_to_dict(output)}
    if isinstance(output, BaseModel):
        kind = type(output)
        return {
            "model": output.model_dump(mode="json"),
            "class": f"{kind.__module__}:{kind.__qualname__}",
        }
    if isinstance(output, Mapping):
        return {"fields": {str(name): serialized(value) for name, value in output.items()}}
    if isinstance(output, (list, tuple)):
        return {"items": [serialized(each) for each in output]}
    return {"value": output}


def deserialized(said: Mapping[str, Any]) -> Any:
    """What `serialized` was given; a model whose class is not in this process comes as a dict."""
    if "message" in said:
        return messages_from_dict([said["message"]])[0]
    if "model" in said:
        kind = _class(said["class"])
        return said["model"] if kind is None else kind.model_validate(said["model"])
    if "fields" in said:
        return {name: deserialized(value) for name, value in said["fields"].items()}
    if "items" in said:
        return [deserialized(each) for each in said["items"]]
    return said["value"]


def output_of(result: JobResult) -> Any:
    """What the chain gave back for a job that succeeded."""
    return deserialized((result.extra or {})["output"])


def text_of(output: Any) -> str:
    """An output as text, for people who look into the state file."""
    if isinstance(output, BaseMessage):
        return output.text if isinstance(output.text, str) else str(output.content)
    return output if isinstance(output, str) else to_json(output).decode()


def _class(path: str) -> type[BaseModel] | None:
    """A class of a module that is loaded already: a state file makes nothing be imported."""
    module, _, names = path.partition(":")
    found: Any = sys.modules.get(module)
    for name in names.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None
