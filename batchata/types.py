"""Types, under the module name that earlier releases had."""

from collections.abc import Mapping
from typing import Any, Literal

from batchata.core.job import Message
from batchata.core.result import Citation

MessageRole = Literal["system", "developer", "user", "assistant"]
MessageContent = str | list[Mapping[str, Any]]

__all__ = ["Citation", "Message", "MessageContent", "MessageRole"]
