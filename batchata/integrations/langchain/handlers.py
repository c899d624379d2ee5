"""What LangChain tells a handler, as events of the log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from batchata.integrations.langchain import payloads
from batchata.integrations.langchain.event_types import EventType


@dataclass(slots=True)
class Callback:
    """One call of LangChain's to its handlers."""

    kind: EventType
    run_id: UUID
    given: Mapping[str, Any]  #: what LangChain says besides: tags, metadata, the parent's id
    data: dict[str, Any]  #: what the event will say
    arguments: tuple[Any, ...]  #: as they came, for logs that keep them


class EventHandler(BaseCallbackHandler):
    """Makes an event of each call; whoever derives from it says what becomes of them."""

    run_inline = True  #: no thread is started for a few µs of work

    @abstractmethod
    def _begin(self, call: Callback) -> None:
        """Something begins."""

    @abstractmethod
    def _end(self, call: Callback) -> None:
        """It is over."""

    @abstractmethod
    def _note(self, call: Callback) -> None:
        """It happened at once."""

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **given: Any
    ) -> None:
        """A text model is asked."""
        data = {"prompts": prompts, **payloads.asking(serialized, given)}
        self._begin(Callback(EventType.LLM_START, run_id, given, data, (serialized, prompts)))

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        **given: Any,
    ) -> None:
        """A chat model is asked."""
        asked = payloads.conversations(messages)
        data = {"messages": asked, **payloads.asking(serialized, given)}
        self._begin(
            Callback(EventType.CHAT_MODEL_START, run_id, given, data, (serialized, messages))
        )

    def on_llm_end(self, response: Any, *, run_id: UUID, **given: Any) -> None:
        """A model answered."""
        self._end(
            Callback(EventType.LLM_END, run_id, given, payloads.answered(response), (response,))
        )

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **given: Any) -> None:
        """A model did not answer."""
        data = payloads.failed(error)
        partial = given.get("response")
        if partial is not None and partial.generations:  # a stream that broke off is paid for
            data |= payloads.answered(partial)
        self._end(Callback(EventType.LLM_ERROR, run_id, given, data, (error,)))

    def on_chain_start(
        self, serialized: dict[str, Any] | None, inputs: Any, *, run_id: UUID, **given: Any
    ) -> None:
        """A chain or a graph begins; LangChain does not always say which."""
        data = {
            "inputs": payloads.plain(inputs),
            "serialized": payloads.described(serialized),
            "model": payloads.named(serialized, given),
        }
        self._begin(Callback(EventType.CHAIN_START, run_id, given, data, (serialized, inputs)))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **given: Any) -> None:
        """A chain is done."""
        data = {"outputs": payloads.plain(outputs)}
        self._end(Callback(EventType.CHAIN_END, run_id, given, data, (outputs,)))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **given: Any) -> None:
        """A chain broke off."""
        self._end(Callback(EventType.CHAIN_ERROR, run_id, given, payloads.failed(error), (error,)))

    def on_tool_start(
        self, serialized: dict[str, Any] | None, input_str: str, *, run_id: UUID, **given: Any
    ) -> None:
        """A tool is called."""
        data = {
            "input_str": input_str,
            "inputs": given.get("inputs"),
            "serialized": payloads.described(serialized),
            "model": payloads.named(serialized, given),
            "description": (serialized or {}).get("description"),
        }
        self._begin(Callback(EventType.TOOL_START, run_id, given, data, (serialized, input_str)))

    def on_tool_end(self, output: Any, *, run_id: UUID, **given: Any) -> None:
        """A tool is done."""
        data = {"output": payloads.plain(output)}
        self._end(Callback(EventType.TOOL_END, run_id, given, data, (output,)))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **given: Any) -> None:
        """A tool broke off."""
        self._end(Callback(EventType.TOOL_ERROR, run_id, given, payloads.failed(error), (error,)))

    def on_agent_action(self, action: Any, *, run_id: UUID, **given: Any) -> None:
        """An agent decided what to do."""
        said = {name: getattr(action, name, None) for name in ("tool", "tool_input", "log")}
        self._note(Callback(EventType.AGENT_ACTION, run_id, given, {"action": said}, (action,)))

    def on_agent_finish(self, finish: Any, *, run_id: UUID, **given: Any) -> None:
        """An agent is done."""
        said = {name: getattr(finish, name, None) for name in ("return_values", "log")}
        self._note(Callback(EventType.AGENT_FINISH, run_id, given, {"finish": said}, (finish,)))

    def on_retriever_start(
        self, serialized: dict[str, Any] | None, query: str, *, run_id: UUID, **given: Any
    ) -> None:
        """Documents are looked for."""
        data = {"query": query, "model": payloads.named(serialized, given)}
        self._begin(Callback(EventType.RETRIEVER_START, run_id, given, data, (serialized, query)))

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **given: Any) -> None:
        """Documents were found."""
        data = {"documents": list(documents)}
        self._end(Callback(EventType.RETRIEVER_END, run_id, given, data, (documents,)))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **given: Any) -> None:
        """Documents could not be looked for."""
        self._end(
            Callback(EventType.RETRIEVER_ERROR, run_id, given, payloads.failed(error), (error,))
        )
