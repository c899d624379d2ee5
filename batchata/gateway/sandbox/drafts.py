"""Decides what a scripted answer says and costs, before it takes a vendor's shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from batchata.gateway.sandbox.input_tokens import input_tokens
from batchata.gateway.sandbox.row_answers import row_answers, row_ids
from batchata.gateway.sandbox.scenario import ItemOutcome, Scenario
from batchata.gateway.sandbox.schema_values import SchemaValues
from batchata.gateway.sandbox.script import cut, digest, scripted_text, tokens_of
from batchata.gateway.sandbox.upstream import Question
from batchata.gateway.wire.anthropic import MessagesRequest
from batchata.gateway.wire.openai import ChatRequest, ResponsesRequest
from batchata.gateway.wire.vendors import TokenUsage

THINKING_TEXT: Final = "Scripted thinking of the sandbox."
REFUSAL_TEXT: Final = "Scripted refusal of the sandbox: I can't help with that."
SEPARATORS: Final = " line\u2028separator paragraph\u2029separator next\u0085line"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedTool:
    """The tool a request insists on, and the arguments of the scripted call."""

    name: str
    arguments: str


@dataclass(slots=True, kw_only=True)
class Draft:
    """One scripted answer: its text or its tool call, and its tokens."""

    mark: str  #: hexadecimal digest of the request, part of all ids
    text: str
    is_cut: bool
    outcome: ItemOutcome | None
    usage: TokenUsage
    tool: ForcedTool | None = None
    has_thinking: bool = False


def draft(question: Question, scenario: Scenario, outcome: ItemOutcome | None) -> Draft:
    """Write the answer to a question that asks for text, JSON or a tool call."""
    key = digest(question.seed or question.body)
    seed = int.from_bytes(key)
    tool = _forced_tool(question.request, seed)
    text = tool.arguments if tool else _text(question, scenario, seed)
    if outcome == "refusal":
        text = REFUSAL_TEXT
    elif outcome == "content_filter":
        text = ""
    elif outcome == "unicode_separators" and not _schema(question.request):
        text += SEPARATORS
    cap = _max_tokens(question.request)
    if outcome in ("length", "incomplete"):
        half = max(1, tokens_of(text) // 2)
        cap = half if cap is None else min(cap, half)
    thought = _thinking_tokens(question.request, outcome, cap)
    text, is_cut = cut(text, None if cap is None else cap - thought)
    asked = input_tokens(question.request)
    usage = TokenUsage(
        input_tokens=asked,
        output_tokens=(tokens_of(text) + thought) * _copies(question.request),
        cached_tokens=int(asked * scenario.cached_share),
        reasoning_tokens=thought,
    )
    return Draft(
        mark=key.hex(),
        text=text,
        is_cut=is_cut,
        outcome=outcome,
        usage=usage,
        tool=None if outcome in ("refusal", "content_filter") else tool,
        has_thinking=thought > 0,
    )


@lru_cache(maxsize=512)
def _values(schema: bytes) -> SchemaValues:
    return SchemaValues.from_json(schema)


def _text(question: Question, scenario: Scenario, seed: int) -> str:
    for part, reply in scenario.replies.items():
        if part.encode() in question.body:
            return reply
    if schema := _schema(question.request):
        values, ids = _values(schema), row_ids(question.body)
        made = row_answers(ids, values.value, seed) if ids else values.value(seed)
        return orjson.dumps(made).decode()
    if _wants_json(question.request):
        ids = row_ids(question.body)
        answer: dict[str, Any] = {"answer": scripted_text(seed)}
        if ids:
            answer = {"all_results": [{"input_id": row_id, **answer} for row_id in ids]}
        return orjson.dumps(answer).decode()
    return scripted_text(seed)


def _schema(request: object) -> bytes | None:
    match request:
        case ChatRequest(response_format=wanted) if wanted and wanted.json_schema:
            return bytes(wanted.json_schema.schema)
        case ResponsesRequest(text=config) if config and config.format:
            return bytes(config.format.schema) if config.format.type == "json_schema" else None
        case MessagesRequest(output_config=output) if output and output.format:
            return bytes(output.format.schema)
    return None


def _wants_json(request: object) -> bool:
    match request:
        case ChatRequest(response_format=wanted) if wanted:
            return wanted.type == "json_object"
        case ResponsesRequest(text=config) if config and config.format:
            return config.format.type == "json_object"
    return False


def _forced_tool(request: object, seed: int) -> ForcedTool | None:
    if not isinstance(request, ChatRequest | ResponsesRequest | MessagesRequest):
        return None
    choice = request.tool_choice
    if not choice or not request.tools or choice in ("auto", "none"):
        return None
    tools = [_function(tool) for tool in request.tools]
    wanted = _function(choice).get("name") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and choice.get("type") in ("auto", "none"):
        return None
    chosen = next((tool for tool in tools if wanted in (None, tool.get("name"))), None)
    if chosen is None:
        return None
    schema = orjson.dumps(chosen.get("parameters") or chosen.get("input_schema") or {})
    made = _values(schema).value(seed)
    arguments = made if isinstance(made, dict) else {}
    return ForcedTool(name=str(chosen.get("name")), arguments=orjson.dumps(arguments).decode())


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = tool.get("function")
    return inner if isinstance(inner, dict) else tool


def _max_tokens(request: object) -> int | None:
    match request:
        case ChatRequest():
            return request.max_completion_tokens or request.max_tokens
        case ResponsesRequest():
            return request.max_output_tokens
        case MessagesRequest():
            return request.max_tokens
    return None


def _thinking_tokens(request: object, outcome: ItemOutcome | None, cap: int | None) -> int:
    wanted = outcome == "thinking"
    if isinstance(request, MessagesRequest) and request.thinking:
        wanted = wanted or request.thinking.get("type") in ("enabled", "adaptive")
    if not wanted:
        return 0
    most = tokens_of(THINKING_TEXT)
    return most if cap is None else min(most, cap // 2)


def _copies(request: object) -> int:
    return request.n or 1 if isinstance(request, ChatRequest) else 1
