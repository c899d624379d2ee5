"""Whether an answer is what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson
from pydantic import BaseModel

from batchata.core.citing import CitedBlock, map_citations, parse_labelled, parse_quoted, unstated
from batchata.core.parse import Parsed, parse_answer
from batchata.core.result import Answer, Citation, Failure, Reason
from batchata.core.schema_checker import Checker
from batchata.core.submission import Shape


class Verdict(msgspec.Struct, frozen=True):
    """What an answer amounts to: `failure` None is success."""

    failure: Failure | None = None
    parsed: bytes | None = None  #: JSON
    repairs: tuple[str, ...] = ()  #: what was changed to read the answer
    mappings: Mapping[str, list[Citation]] = {}  #: field path → what it rests on
    quotes: Mapping[str, str] = {}  #: field path → the model's quote, to be looked up
    unstated: tuple[str, ...] = ()  #: fields whose quotes do not state their values


_FINE = Verdict()
#: what vLLM, SGLang and OpenRouter say of an answer that they did not bring to its end
BROKEN_OFF: Final = frozenset({"abort", "error"})


def verdict_of(
    answer: Answer,
    model: type[BaseModel] | None,
    schema: Mapping[str, Any] | Checker | None,
    *,
    shape: Shape | None = None,
) -> Verdict:
    """Success, or why a paid answer cannot be used; its text is kept either way.

    `shape` says whether it was asked for as labelled lines, or with a quote beside each field.
    """
    failure = _unusable(answer)
    if failure is not None:
        return Verdict(failure)
    if model is None and schema is None:
        if answer.finish_reason == "length" and not answer.text and not answer.extra:
            return Verdict(_truncated("before the answer began"))
        return _FINE
    blocks = [CitedBlock(text, cited) for text, cited in answer.blocks]
    lines = _lines_of(model, shape)
    quotes: dict[str, str] = {}
    parsed: Parsed | Failure
    if lines is not None:
        parsed = parse_labelled(blocks or answer.text, lines)
    elif shape is not None and shape.quotes:
        parsed, quotes = parse_quoted(answer.text, model=model, schema=schema)
    else:
        parsed = parse_answer(answer.text, model=model, schema=schema)
    if not isinstance(parsed, Failure):
        mapped = _mapped(blocks, parsed.value, model)
        missing = unstated(quotes, parsed.value, model=model) if quotes else ()
        return Verdict(None, parsed.json, parsed.repairs, mapped, quotes, tuple(missing))
    if answer.finish_reason == "length":
        return Verdict(_truncated("and is not complete JSON"))
    return Verdict(parsed)


def _unusable(answer: Answer) -> Failure | None:
    """Why an answer cannot be used whatever its text is; None when its text decides."""
    match answer.finish_reason:
        case "refusal":
            said = answer.refusal or answer.text[:200]
            return Failure(Reason.REFUSED, f"the model refused: {said}")
        case "content_filter":
            return Failure(Reason.FILTERED, "a content filter stopped the answer")
        case "cancelled":
            return Failure(Reason.VENDOR_CANCELLED, "the response was cancelled on its way")
        case why if why in BROKEN_OFF:
            said = f"the server broke the answer off (finish_reason {why!r})"
            return Failure(Reason.SERVER_ERROR, said)
        case _:
            return None


def _lines_of(
    model: type[BaseModel] | None, shape: Shape | None
) -> type[BaseModel] | Mapping[str, Any] | None:
    """What labelled lines say, where an answer was asked for so: with citations and fields."""
    if shape is None or not shape.citations or shape.schema is None:
        return None
    return (model or orjson.loads(shape.schema)) if shape.provider == "anthropic" else None


def _mapped(
    blocks: Sequence[CitedBlock], value: Any, model: type[BaseModel] | None
) -> Mapping[str, list[Citation]]:
    if not any(block.citations for block in blocks):
        return {}
    return map_citations(blocks, value, model=model).fields


def _truncated(where: str) -> Failure:
    return Failure(Reason.TRUNCATED, f"the answer hit max_tokens {where}; raise max_tokens")
