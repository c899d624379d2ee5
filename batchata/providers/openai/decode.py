"""OpenAI's answers as ours. Pure, and never raises for what a vendor sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from batchata.core.result import Answer, Failure, Reason
from batchata.core.thinking import split_thinking
from batchata.core.usage import Usage, plausible
from batchata.providers.encoding import json_text
from batchata.providers.failures import item_failure
from batchata.providers.openai import wire
from batchata.providers.surrogates import decoded
from batchata.providers.tolerant import unreadable_answer


def decode_body(
    endpoint: str, body: bytes | msgspec.Raw, *, tool: str | None = None
) -> Answer | Failure:
    """The answer body of this endpoint; the arguments of a call of `tool` are the answer's text."""
    try:
        return _READERS[endpoint](body, tool)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return unreadable_answer(body, error)


def chat_usage(usage: wire.ChatUsage | None) -> Usage | None:
    """Usage of a chat completion or an embedding; None when the vendor did not say."""
    if usage is None or usage.prompt_tokens is None:
        return None
    read = write = reasoning = heard = spoken = 0
    if (details := usage.prompt_tokens_details) is not None:
        read, write = details.cached_tokens or 0, details.cache_write_tokens or 0
        heard = details.audio_tokens or 0
    if (out := usage.completion_tokens_details) is not None:
        reasoning, spoken = out.reasoning_tokens or 0, out.audio_tokens or 0
    output = _all_output(usage.completion_tokens, usage.total_tokens, usage.prompt_tokens)
    return plausible(
        Usage(usage.prompt_tokens, output, read, write, reasoning, 0, 0, heard, spoken)
    )


def _all_output(told: int | None, total: int | None, read: int) -> int:
    """Output including reasoning, which xAI and Gemini count beside it and in the total."""
    output, beside = told or 0, (total or 0) - read
    return beside if beside > output >= 0 else output


def _chat(body: bytes | msgspec.Raw, tool: str | None) -> Answer | Failure:
    chat = decoded(wire.decode_chat, body, wire.Chat)
    if not chat.choices:
        return Failure(Reason.UNREADABLE, "the answer has no choices")
    if len(chat.choices) > 1 and all(type(each.index) is int for each in chat.choices):
        chat.choices.sort(key=lambda each: each.index)
    choice = chat.choices[0]
    message = choice.message
    finish = "refusal" if message.refusal else choice.finish_reason or "unknown"
    text, thinking = _told_apart(message)
    if message.function_call and not message.tool_calls:
        message.tool_calls = [{"type": "function", "function": message.function_call}]
    if tool is not None and message.tool_calls:
        said, message.tool_calls = _split_calls(message.tool_calls, tool)
        if said is not None:
            text = said
            finish = "stop" if finish == "tool_calls" and not message.tool_calls else finish
    extra: dict[str, Any] | None = None
    if message.tool_calls or choice.logprobs or len(chat.choices) > 1:
        extra = _chat_extra(chat)
    return Answer(
        text=text,
        finish_reason=finish,
        usage=chat_usage(chat.usage),
        model=chat.model,
        service_tier=chat.service_tier,
        request_id=chat.id,
        refusal=message.refusal,
        thinking=thinking,
        extra=extra,
    )


def _told_apart(message: wire.ChatMessage) -> tuple[str, str | None]:
    """The answer and its reasoning, which has a field of its own or precedes the answer."""
    text = text_of(message.content)
    thinking = message.reasoning or message.reasoning_content
    if thinking:
        return text, thinking if isinstance(thinking, str) else _joined(thinking) or None
    return split_thinking(text)


def _split_calls(calls: list[Any], tool: str) -> tuple[str | None, list[Any]]:
    """The arguments of the first call of `tool`, and the calls of others."""
    said = [each["function"] for each in calls if _called(each) == tool]
    rest = [each for each in calls if _called(each) != tool]
    return _arguments(said[0]) if said else None, rest


def _arguments(call: dict[str, Any]) -> str:
    """The arguments of a call as JSON text; some servers send them as a JSON value."""
    said = call.get("arguments")
    return said if isinstance(said, str) else "" if said is None else json_text(said)


def _called(call: dict[str, Any]) -> Any:
    return (call.get("function") or {}).get("name")


def _chat_extra(chat: wire.Chat) -> dict[str, Any]:
    first = chat.choices[0]
    extra: dict[str, Any] = {}
    if first.message.tool_calls:
        extra["tool_calls"] = first.message.tool_calls
    if first.logprobs:
        extra["logprobs"] = first.logprobs
    if len(chat.choices) > 1:
        extra["choices"] = [_choice_extra(each) for each in chat.choices]
    return extra


def _choice_extra(choice: wire.Choice) -> dict[str, Any]:
    text, thinking = _told_apart(choice.message)
    said: dict[str, Any] = {"text": text, "finish_reason": choice.finish_reason}
    if thinking:
        said["thinking"] = thinking
    if choice.message.tool_calls:
        said["tool_calls"] = choice.message.tool_calls
    if choice.logprobs:
        said["logprobs"] = choice.logprobs
    return said


def text_of(content: Any) -> str:
    """The text of a content, which may be in parts."""
    return content if isinstance(content, str) else _joined(content)


def _joined(parts: Any) -> str:
    if not isinstance(parts, list):
        return ""
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _response(body: bytes | msgspec.Raw, tool: str | None) -> Answer | Failure:
    answer = decoded(wire.decode_response, body, wire.Response)
    if answer.status is None and not answer.output:
        raise ValueError("it has neither a status nor an output")
    if answer.status == "failed":
        error = answer.error or {}
        return item_failure(
            status=None,
            code=error.get("code"),
            message=str(error.get("message") or "the response failed"),
            request_id=answer.id,
        )
    if answer.status == "cancelled" and answer.usage is None:
        return Failure(Reason.VENDOR_CANCELLED, "the response was cancelled", request_id=answer.id)
    texts, refusals, thoughts, calls = _response_parts(answer.output)
    said = [call for call in calls if tool is not None and call.get("name") == tool]
    if said:
        texts = [_arguments(said[0])]
        calls = [call for call in calls if call.get("name") != tool]
    refusal = "".join(refusals) or None
    return Answer(
        text="".join(texts),
        finish_reason=_response_finish(answer, refusal, calls),
        usage=_response_usage(answer),
        model=answer.model,
        service_tier=answer.service_tier,
        request_id=answer.id,
        refusal=refusal,
        thinking="\n".join(thoughts) or None,
        extra={"tool_calls": calls} if calls else None,
    )


def _response_parts(
    output: list[dict[str, Any]],
) -> tuple[list[str], list[str], list[str], list[dict[str, Any]]]:
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in output:
        kind = item.get("type")
        if kind == "message":
            for part in item.get("content") or ():
                texts.append(part.get("text") or "")
                refusals.append(part.get("refusal") or "")
        elif kind == "reasoning":
            # servers of open weights tell the thoughts themselves, OpenAI a summary of them
            parts = item.get("content") or item.get("summary") or ()
            thoughts.extend(part.get("text") or "" for part in parts)
        elif kind is not None and kind.endswith("_call"):
            calls.append(item)
    return texts, refusals, thoughts, calls


def _response_finish(
    answer: wire.Response, refusal: str | None, calls: list[dict[str, Any]]
) -> str:
    if refusal:
        return "refusal"
    if answer.status == "incomplete":
        why = (answer.incomplete_details or {}).get("reason")
        return {"max_output_tokens": "length", None: "incomplete"}.get(why, str(why))
    if answer.status in ("completed", None):
        return "tool_calls" if calls else "stop"
    return answer.status


def _response_usage(answer: wire.Response) -> Usage | None:
    usage = answer.usage
    if usage is None or usage.input_tokens is None:
        return None
    inside, out = usage.input_tokens_details, usage.output_tokens_details
    return plausible(
        Usage(
            usage.input_tokens,
            _all_output(usage.output_tokens, usage.total_tokens, usage.input_tokens),
            (inside.cached_tokens or 0) if inside else 0,
            (inside.cache_write_tokens or 0) if inside else 0,
            (out.reasoning_tokens or 0) if out else 0,
            web_searches=_searches(answer),
            input_audio_tokens=(inside.audio_tokens or 0) if inside else 0,
            output_audio_tokens=(out.audio_tokens or 0) if out else 0,
        )
    )


def _searches(answer: wire.Response) -> int:
    """Billable web searches: the vendor's own count, else the number of searches shown."""
    told = answer.tool_usage.web_search if answer.tool_usage is not None else None
    if told is not None and told.num_requests is not None:
        return told.num_requests
    calls = [item for item in answer.output if item.get("type") == "web_search_call"]
    actions = [item.get("action") for item in calls]
    return sum(1 for each in actions if not isinstance(each, dict) or each.get("type") == "search")


def _embeddings(body: bytes | msgspec.Raw, tool: str | None) -> Answer | Failure:
    answer = decoded(wire.decode_embeddings, body, wire.Embeddings)
    vectors = [each["embedding"] for each in answer.data]
    extra = {"embedding": vectors[0]} if len(vectors) == 1 else {"embeddings": vectors}
    return Answer(
        text="",
        finish_reason="stop",
        usage=chat_usage(answer.usage),
        model=answer.model,
        extra=extra,
    )


_READERS: dict[str, Callable[[bytes | msgspec.Raw, str | None], Answer | Failure]] = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _response,
    "/v1/embeddings": _embeddings,
}
