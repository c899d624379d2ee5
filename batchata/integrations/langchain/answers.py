"""Questions of LangChain as jobs, and results of jobs as LangChain's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from batchata.core.errors import (
    BatchataError,
    CostLimitExceededError,
    ProviderError,
    RunError,
    ValidationError,
)
from batchata.core.job import Job, digest
from batchata.core.result import JobResult, Reason

#: modules and classes of LangChain's models whose requests are known, by vendor
CLASSES: Final = {
    "openai": ("langchain_openai", "ChatOpenAI"),
    "anthropic": ("langchain_anthropic", "ChatAnthropic"),
}
_VENDORS: Final = {named: vendor for vendor, named in CLASSES.items()}
#: clouds that offer the same models with another batch API, or with none
_CLOUDS: Final = ("Azure", "Bedrock", "Vertex", "Foundry")
_LIVE: Final = "batch_run(df, llm, ...) asks any chat model live, with the same limits and resume"
#: what says how an answer travels, not what is asked
_TRAVEL: Final = ("stream", "stream_options", "betas")


def provider_of(llm: BaseChatModel) -> str:
    """The vendor of a model of these classes, or of classes made from them.

    Raises ValidationError for one whose requests are not known.
    """
    kinds = type(llm).__mro__
    theirs = [kind.__name__ for kind in kinds if kind.__module__.startswith("langchain_")]
    cloud = next((each for each in _CLOUDS for name in theirs if each in name), None)
    if cloud is not None:
        raise ValidationError(
            f"{type(llm).__name__} asks at {cloud}, which has not its vendor's batch API",
            hint=f"give a ChatOpenAI or a ChatAnthropic with a key of the vendor's; {_LIVE}",
        )
    names = [(kind.__module__.partition(".")[0], kind.__name__) for kind in kinds]
    found = next((_VENDORS[each] for each in names if each in _VENDORS), None)
    if found is None:
        raise ValidationError(
            f"{type(llm).__name__} cannot be asked through a batch API",
            hint=f"give a ChatOpenAI, a ChatAnthropic, or a class made from one; {_LIVE}",
        )
    return found


def job_of(
    llm: BaseChatModel,
    messages: Sequence[BaseMessage],
    stop: Sequence[str] | None,
    options: Mapping[str, Any],
) -> Job:
    """A question as the model would send it; its id follows from its content."""
    provider = provider_of(llm)
    options = {name: value for name, value in options.items() if not name.startswith("ls_")}
    payload: dict[str, Any] = llm._get_request_payload(messages, stop=stop, **options)  # type: ignore[attr-defined]
    params = {name: value for name, value in payload.items() if name not in _TRAVEL}
    if isinstance(params.get("response_format"), type):
        raise ValidationError(
            f"response_format is the class {params['response_format'].__name__}",
            hint="call with_structured_output() of the batch model itself",
        )
    said = digest(orjson.dumps(params, default=str, option=orjson.OPT_SORT_KEYS)).hex()
    model = f"{provider}:{params.pop('model')}"
    return Job(
        f"lc-{said}",
        model,
        params.pop("messages", None),
        max_tokens=None,
        endpoint="responses" if "input" in params else None,
        params=params,
    )


def told_apart(jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs with an id for each, also where two ask the same."""
    seen: dict[str, int] = {}
    for job in jobs:
        number = seen[job.id] = seen.get(job.id, 0) + 1
        yield job if number == 1 else job.with_id(f"{job.id}-{number}")


def answer_of(result: JobResult) -> ChatResult:
    """What a model would have returned."""
    calls, broken = _tool_calls(result.extra or {})
    message = AIMessage(
        content=result.raw_response or "",
        id=result.request_id,
        tool_calls=calls,
        invalid_tool_calls=broken,
        additional_kwargs={"reasoning_content": result.thinking} if result.thinking else {},
        response_metadata={
            "model_name": result.model,
            "model_provider": result.provider,
            "finish_reason": result.finish_reason,
            "batch_id": result.batch_id,
            "job_id": result.job_id,
            "cost_usd": str(result.cost_usd),
        },
        usage_metadata={
            "input_tokens": result.input_tokens,
            "output_tokens": result.output_tokens,
            "total_tokens": result.total_tokens,
            "input_token_details": {
                "cache_read": result.cache_read_tokens,
                "cache_creation": result.cache_write_tokens,
            },
            "output_token_details": {"reasoning": result.reasoning_tokens},
        },
    )
    return ChatResult(
        generations=[ChatGeneration(message=message)], llm_output={"model_name": result.model}
    )


def error_of(result: JobResult) -> BatchataError:
    """Why there is no answer, as an error to raise."""
    reason = result.reason.value if result.reason else result.status.value
    message = f"job {result.job_id} has no answer ({reason}): {result.error or result.status}"
    if result.reason is Reason.COST_LIMIT:
        return CostLimitExceededError(message, hint="raise the limit and ask again")
    if result.reason is Reason.BAD_INPUT:
        return ValidationError(message)
    if result.reason in (None, Reason.TIME_LIMIT, Reason.CANCELLED):
        return RunError(message, hint="ask again: the answers so far are kept")
    return ProviderError(message, request_id=result.request_id)


def _tool_calls(extra: Mapping[str, Any]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for each in extra.get("tool_calls") or ():
        function = each.get("function") or each
        said = function.get("arguments", each.get("input"))
        name, call_id = function.get("name") or "", each.get("call_id") or each.get("id")
        try:
            arguments = json.loads(said) if isinstance(said, str) else dict(said or {})
        except ValueError as error:
            broken.append(invalid_tool_call(name=name, args=said, id=call_id, error=str(error)))
        else:
            calls.append(tool_call(name=name, args=arguments, id=call_id))
    return calls, broken
