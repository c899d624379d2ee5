"""What happens in LangChain, by the names of the log."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from batchata.core.errors import ValidationError


class EventType(StrEnum):
    """An event of LangChain as the log names it."""

    LLM_START = "llm_start"
    LLM_END = "llm_end"
    LLM_ERROR = "llm_error"
    CHAT_MODEL_START = "chat_model_start"
    CHAIN_START = "chain_start"
    CHAIN_END = "chain_end"
    CHAIN_ERROR = "chain_error"
    TOOL_START = "tool_start"
    TOOL_END = "tool_end"
    TOOL_ERROR = "tool_error"
    AGENT_ACTION = "agent_action"
    AGENT_FINISH = "agent_finish"
    RETRIEVER_START = "retriever_start"
    RETRIEVER_END = "retriever_end"
    RETRIEVER_ERROR = "retriever_error"

    @classmethod
    def default_set(cls) -> frozenset[EventType]:
        """Questions to models, their answers and their errors."""
        return frozenset({cls.LLM_START, cls.LLM_END, cls.LLM_ERROR, cls.CHAT_MODEL_START})

    @classmethod
    def all_events(cls) -> frozenset[EventType]:
        """Everything."""
        return frozenset(cls)


def checked_types(values: Iterable[EventType | str] | None) -> frozenset[EventType]:
    """Event types as asked for; ValidationError for a word that is none."""
    if values is None:
        return EventType.default_set()
    found = [values] if isinstance(values, str) else list(values)
    known = {str(each) for each in EventType}
    for value in found:
        if str(value) not in known:
            raise ValidationError(
                f"{value!r} is not an event type", hint=f"there are: {', '.join(sorted(known))}"
            )
    return frozenset(EventType(value) for value in found)
